from datetime import timedelta

import pki
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)

from mutualgate.errors import BadInput
from mutualgate.partners import material
from mutualgate.reading.explain import explain


def _remarks(issued: pki.Issued) -> str:
    return " ".join(material.remarks(issued.legible, pki.NOW))


def test_what_is_odd_is_said() -> None:
    """R17: what 'openssl req -x509' makes says that it is a CA; it may be pinned, and its holder is told."""
    assert "CA:TRUE" in _remarks(pki.leaf(None, ca=True))
    assert ".NET" in _remarks(pki.leaf(None, eku=None))
    assert "does not name clientAuth" in _remarks(pki.leaf(None, eku=[pki.SERVER_AUTH]))
    assert "X.509 v1" in _remarks(pki.as_v1(pki.leaf(None)))
    assert "not valid before" in _remarks(pki.leaf(None, not_before=pki.NOW + timedelta(hours=1)))
    assert _remarks(pki.leaf(None)) == ""


@pytest.mark.parametrize(
    ("leaf", "where"),
    [
        (pki.leaf(None), "everywhere."),
        (pki.leaf(None, eku=None), "everywhere but in some .NET clients."),
        (pki.as_v1(pki.leaf(None)), "everywhere but in some TLS libraries."),
        (pki.leaf(None, eku=[pki.SERVER_AUTH]), "everywhere except for browsers and .NET clients: its extended key"),
    ],
    ids=["plain", "no purpose", "v1", "for servers"],
)
def test_what_is_said_before_a_pin_is_what_is_said_of_a_file(leaf: pki.Issued, where: str) -> None:
    """One table: the command that pins and the page that explains do not contradict one another."""
    told = explain(leaf.pem, "f", now=pki.NOW)
    assert told.works.startswith(f"It works {where}")
    said = [one.sentence for one in told.findings if one.whom != "partner CAs"]
    assert material.remarks(leaf.legible, pki.NOW) == said


def test_a_clock_that_is_a_little_late_is_no_remark() -> None:
    """R28."""
    assert _remarks(pki.leaf(None, not_before=pki.NOW + timedelta(minutes=1))) == ""


def test_a_certificate_in_words() -> None:
    assert material.words(pki.leaf(None, key=pki.rsa_key(), days=1000).legible) == (
        "self-signed, RSA 2048, 1000 days, until 2029-02-25"
    )
    assert material.words(pki.named_in_latin_1(days=90).legible).endswith("P-256, 90 days, until 2026-08-30")


@pytest.mark.parametrize("password", [None, "secret"])
def test_a_private_key_is_refused_in_any_form(password: str | None) -> None:
    leaf = pki.leaf(None)
    public = leaf.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = pki.key_pem(leaf.key, password)
    for data in (private + leaf.pem, public + private, leaf.key.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption())):  # fmt: skip
        with pytest.raises(BadInput) as refused:
            material.read(data, "both.pem")
        assert refused.value.code == "private_key_given"
        assert "new key" in str(refused.value)


CA = pki.ca("Somebody's CA")
LEAF = pki.leaf(CA)


@pytest.mark.parametrize(
    "data",
    [
        LEAF.der,
        CA.pem + LEAF.pem,
        pkcs7.serialize_certificates([CA.certificate, LEAF.certificate], Encoding.DER),
        pkcs7.serialize_certificates([CA.certificate, LEAF.certificate], Encoding.PEM),
        pkcs12.serialize_key_and_certificates(None, None, None, [CA.certificate, LEAF.certificate], NoEncryption()),
    ],
    ids=["DER", "PEM", "PKCS#7", "PKCS#7 in PEM", "a .p12 without a key"],
)
def test_the_leaf_is_found_in_any_form(data: bytes) -> None:
    """Windows hands out PKCS#7, whose certificates are a set in no order."""
    assert material.read(data, "own").fingerprint == material.of_certificate(LEAF.legible, "own").fingerprint


@pytest.mark.parametrize("password", [NoEncryption(), BestAvailableEncryption(b"secret")])
def test_who_hands_in_a_p12_with_its_key_is_told_to_replace_it(password: KeySerializationEncryption) -> None:
    leaf = pki.leaf(None)
    data = pkcs12.serialize_key_and_certificates(None, leaf.key, leaf.certificate, None, password)
    with pytest.raises(BadInput) as refused:
        material.read(data, "own.p12")
    assert refused.value.code == "private_key_given"


def test_a_csr_is_no_certificate() -> None:
    with pytest.raises(BadInput) as refused:
        material.read(pki.csr(pki.fresh_key()), "own.csr")
    assert refused.value.code == "csr_given"
