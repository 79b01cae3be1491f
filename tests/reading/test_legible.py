"""What the judge admits is read for people, whatever characters stand in its names."""

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.reading.files import UNREADABLE
from mutualgate.reading.legible import legible


@pytest.mark.parametrize("text", ["A&B", "a@b.example", "a_b", "*"])
def test_a_printable_string_with_other_characters(text: str) -> None:
    odd, twin = pki.oddly_spelt(pki.ca("root"), text, sans=["a.example"])
    with pytest.raises(ValueError, match="PrintableString"):
        x509.load_der_x509_certificate(odd)
    found = legible(odd)
    assert found.subject.rfc4514_string() == f"CN={text}"
    assert found.not_valid_after_utc == twin.certificate.not_valid_after_utc
    assert list(found.extensions) == list(twin.certificate.extensions)
    as_spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    assert found.public_key().public_bytes(*as_spki) == twin.certificate.public_key().public_bytes(*as_spki)


def test_others_are_left_as_they_are() -> None:
    leaf = pki.leaf(None, "plain")
    assert legible(leaf.der).public_bytes(Encoding.DER) == leaf.der


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x03abc", pki.leaf(None, "cut").der[:-20]])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(UNREADABLE):
        legible(der)
