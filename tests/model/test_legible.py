"""What the judge admits is read for people, whatever stands in it; what is verified are its own bytes."""

import hashlib
import json
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.model.certificate import facts, signed
from mutualgate.model.legible import UNREADABLE, Legible, NotLegible, legible

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "encodings.json").read_text(encoding="utf-8"))
ADMITTED = [
    (vector["name"], bytes.fromhex(vector["chain"][0].removeprefix("hex:")), vector["snapshot"]["authorities"][1])
    for vector in VECTORS
    if vector["verdict"] == "admitted" and vector["chain"][0].startswith("hex:")
]
ROOT, NAMESAKE = pki.ca("root"), pki.ca("root")
PLAIN = pki.leaf(ROOT, "plain", sans=["a.example"])


def spelt(old: str, new: str, of: pki.Issued = PLAIN) -> bytes:
    """The certificate with `old` in it made `new`, hexadecimal, and signed again."""
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    assert before in of.der
    return pki.respelt(of, before, after)


# 2.5.29.37 and the key purposes in it; clientAuth.
PURPOSES = "0603551d25040c300a06082b06010505070302"
ODD = {
    "critical FALSE": (PURPOSES, "0603551d25010100040c300a06082b06010505070302"),
    "CA:FALSE": ("0101ff04023000", "0101ff04053003010100"),
    "an extension": ("0603551d11040d300b8209612e6578616d706c65", "0603551d11040d300b8209e12e6578616d706c65"),
    "a subject": ("0c05706c61696e", "1405706c61ef6e"),
    "a printable subject": ("0c05706c61696e", "130540262a5f3b"),
    "half a character": ("0c05706c61696e", "1e04d8000061"),
    "no text": ("0c05706c61696e", "020105"),
}


@pytest.mark.parametrize(("der", "authority"), [one[1:] for one in ADMITTED], ids=[one[0] for one in ADMITTED])
def test_what_the_judge_admits_can_be_read_and_its_issuer_found(der: bytes, authority: dict[str, str]) -> None:
    issuer = x509.load_pem_x509_certificate(authority["certificate"].encode())
    found = legible(der)
    assert (found.der, facts(found).der, facts(found).fingerprint) == (der, der, hashlib.sha256(der).digest())
    assert found.says.subject.rdns
    assert signed(issuer, found)


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_told_and_the_rest_is_read(odd: str) -> None:
    der = spelt(*ODD[odd])
    found = legible(der)
    assert found.oddities
    assert all(one.sentence.startswith("It") and one.sentence.endswith(".") for one in found.oddities)
    assert found.says.not_valid_after_utc == PLAIN.certificate.not_valid_after_utc
    as_spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    assert found.says.public_key().public_bytes(*as_spki) == PLAIN.key.public_key().public_bytes(*as_spki)
    assert facts(found).spki == facts(PLAIN.certificate).spki
    assert (found.unread == {"2.5.29.17"}) is (odd == "an extension")
    assert len(list(found.says.extensions)) == 5 - len(found.unread)


@pytest.mark.parametrize("odd", ODD)
def test_its_own_bytes_are_verified(odd: str) -> None:
    der = spelt(*ODD[odd])
    assert signed(ROOT.certificate, legible(der))
    assert not signed(NAMESAKE.certificate, legible(der))
    assert not signed(pki.ca("other", key=ROOT.key).certificate, legible(der))
    forged = bytearray(der)
    forged[-1] ^= 1
    assert not signed(ROOT.certificate, legible(bytes(forged)))


def test_what_the_twin_leaves_out_is_verified_too() -> None:
    der = spelt(*ODD["an extension"])
    assert der.count(b"\xe1.example") == 1
    other = legible(der.replace(b"\xe1.example", b"\xe2.example"))
    assert other.says == legible(der).says
    assert not signed(ROOT.certificate, other)


def test_a_name_that_is_only_read_alike_is_another() -> None:
    """An issuer is known by the bytes of its name, as the judge knows it."""
    company = pki.ca("A&B")
    leaf = pki.leaf(company, "plain")
    printable = legible(pki.respelt(leaf, b"\x0c\x03A&B", b"\x13\x03A&B"))
    assert printable.says.issuer == company.certificate.subject
    assert not signed(company.certificate, printable)


@pytest.mark.parametrize("sha1", [True, False])
def test_an_old_hash_is_no_signature(sha1: bool) -> None:
    root = pki.ca("root", key=pki.rsa_key())
    odd = pki.respelt(pki.leaf(root, "plain"), *(bytes.fromhex(one) for one in ODD["a subject"]), sha1=sha1)
    assert signed(root.certificate, legible(odd)) is not sha1


@pytest.mark.parametrize("text", ["A&B", "a@b.example", "a_b", "*"])
def test_a_printable_string_with_other_characters(text: str) -> None:
    odd, twin = pki.oddly_spelt(pki.ca("root"), text, sans=["a.example"])
    with pytest.raises(ValueError, match="PrintableString"):
        x509.load_der_x509_certificate(odd)
    found = legible(odd).says
    assert found.subject.rfc4514_string() == f"CN={text}"
    assert list(found.extensions) == list(twin.certificate.extensions)


def test_others_are_left_as_they_are() -> None:
    assert legible(PLAIN.der) == Legible(PLAIN.der, PLAIN.certificate)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x30\x03abc", PLAIN.der[:-20], PLAIN.der + b"\0"])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(UNREADABLE):
        legible(der)


def test_a_year_that_no_calendar_has_is_told() -> None:
    old = f"{PLAIN.certificate.not_valid_before_utc:%y%m%d%H%M%S}Z".encode()
    der = pki.respelt(PLAIN, b"\x17\x0d" + old, b"\x18\x0f00000101000000Z")
    with pytest.raises(NotLegible, match=r"begins at a moment that cannot be read \(year 0"):
        legible(der)


@pytest.mark.parametrize(
    "time",
    [b"\x17\x0d270230120000Z", b"\x17\x0d271301120000Z", b"\x17\x0b2702281200Z", b"\x18\x0f20270229120000Z"],
    ids=["30 February", "month 13", "no seconds", "no leap year"],
)
@pytest.mark.parametrize(("edge", "which"), [("begins", "not_valid_before_utc"), ("ends", "not_valid_after_utc")])
def test_a_day_that_no_calendar_has_is_told(edge: str, which: str, time: bytes) -> None:
    old = f"{getattr(PLAIN.certificate, which):%y%m%d%H%M%S}Z".encode()
    der = pki.respelt(PLAIN, b"\x17\x0d" + old, time)
    with pytest.raises(NotLegible, match=f"{edge} at a moment that cannot be read .'{time[2:].decode()}'"):
        legible(der)


def test_an_extension_that_is_there_twice_is_told() -> None:
    key_id = bytes.fromhex("301d0603551d0e04160414")
    at = PLAIN.der.index(key_id)
    found = legible(pki.respelt(PLAIN, PLAIN.der[at : at + 31], PLAIN.der[at : at + 31] * 2))
    assert [(one.extension, one.twice) for one in found.oddities] == [("2.5.29.14", True)]
