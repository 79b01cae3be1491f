from datetime import timedelta

import pki
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mutualgate.errors import BadInput
from mutualgate.partners import material


def _remarks(issued: pki.Issued) -> str:
    return " ".join(material.remarks(issued.certificate, pki.NOW))


def test_what_is_odd_is_said() -> None:
    """R17: what 'openssl req -x509' makes says that it is a CA; it may be pinned, and its holder is told."""
    assert "CA:TRUE" in _remarks(pki.leaf(None, ca=True))
    assert ".NET" in _remarks(pki.leaf(None, eku=None))
    assert "not for client authentication" in _remarks(pki.leaf(None, eku=[pki.SERVER_AUTH]))
    assert "X.509 v1" in _remarks(pki.as_v1(pki.leaf(None)))
    assert "begins on" in _remarks(pki.leaf(None, not_before=pki.NOW + timedelta(hours=1)))
    assert _remarks(pki.leaf(None)) == ""


def test_a_clock_that_is_a_little_late_is_no_remark() -> None:
    """R28."""
    assert _remarks(pki.leaf(None, not_before=pki.NOW + timedelta(minutes=1))) == ""


def test_a_certificate_in_words() -> None:
    assert material.words(pki.leaf(None, key=pki.rsa_key(), days=1000).certificate) == (
        "self-signed, RSA 2048, 1000 days, until 2029-02-25"
    )


@pytest.mark.parametrize("password", [None, "secret"])
def test_a_private_key_is_refused_in_any_form(password: str | None) -> None:
    leaf = pki.leaf(None)
    for data in (pki.key_pem(leaf.key, password) + leaf.pem, leaf.key.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption())):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            material.read(data, "both.pem")
        assert refused.value.code == "private_key"
        assert "new key" in str(refused.value)
