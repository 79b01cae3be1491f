from datetime import timedelta

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from mutualgate.errors import BadInput
from mutualgate.model.certificate import signed
from mutualgate.partners import ca
from mutualgate.partners.terms import Terms


def test_an_issuing_ca_is_explained() -> None:
    issuing = pki.ca("acme issuing", parent=pki.ca("acme root"), path_length=0)
    found = ca.read(issuing.pem, "ca.pem", pki.NOW)
    text = " ".join(ca.explained(found))
    assert "acme issuing" in text
    assert found.spki.hex() in text
    assert "signed by CN=acme root" in text
    assert ca.remarks(found, pki.NOW, Terms(), ca.no_fault) == []


@pytest.mark.parametrize(
    ("issued", "says"),
    [
        (pki.leaf(None), "does not say that it is a CA"),
        (pki.leaf(None, ca=None), "does not say that it is a CA"),
        (pki.as_v1(pki.ca()), "X.509 v1"),
        (pki.issue(None, "x", extensions=[(x509.BasicConstraints(True, None), True), (pki.usage(crl_sign=True), True)]),
         "keyCertSign"),
        (pki.issue(None, "x", extensions=[(x509.BasicConstraints(True, None), True),
                                         (x509.ExtendedKeyUsage([pki.SERVER_AUTH]), False)]), "client authentication"),
        (pki.ca(days=-1), "expired"),
        (pki.ca(key=pki.rsa_key(1024)), "1024 bits"),
        (pki.issue(None, x509.Name([]), extensions=[(x509.BasicConstraints(True, None), True)]), "no subject"),
    ],
)  # fmt: skip
def test_what_can_be_no_ca_is_refused(issued: pki.Issued, says: str) -> None:
    """R15, R17."""
    with pytest.raises(BadInput, match=says):
        ca.read(issued.pem, "ca.pem", pki.NOW)


def test_what_holds_more_than_the_ca_is_refused() -> None:
    root = pki.ca("root")
    with pytest.raises(BadInput, match="private key"):
        ca.read(root.pem + root.key_pem, "ca.pem", pki.NOW)
    with pytest.raises(BadInput, match="2 certificates"):
        ca.read(root.pem + pki.ca("issuing", parent=root).pem, "ca.pem", pki.NOW)
    assert ca.read(root.pem + root.pem, "ca.pem", pki.NOW).self_signed


def test_a_ca_is_taken_as_windows_hands_it_out() -> None:
    root = pki.ca("root")
    packed = pkcs7.serialize_certificates([root.certificate], Encoding.DER)
    assert ca.read(packed, "ca.p7b", pki.NOW).der == root.der


def test_what_is_odd_is_said() -> None:
    """R9: a root vouches for whatever the CAs below it do."""

    def remarks(issued: pki.Issued, depth: int = 0) -> str:
        return " ".join(ca.remarks(ca.read(issued.pem, "f", pki.NOW), pki.NOW, Terms(depth=depth), ca.no_fault))

    assert "root that may have other CAs" in remarks(pki.ca("root"))
    assert "root that may" not in remarks(pki.ca("root", path_length=0))
    assert "no keyUsage" in remarks(pki.ca("root", key_usage=False))
    assert "--sub-ca" in remarks(pki.ca("root"), depth=1)
    assert "begins on" in remarks(pki.ca("root", not_before=pki.NOW + timedelta(hours=1)))


def test_a_signature_by_an_old_hash_is_none() -> None:
    root = pki.ca("root")
    assert signed(root.certificate, pki.leaf(root).certificate)
    assert not signed(pki.ca("root").certificate, pki.leaf(root).certificate)
    assert not signed(root.certificate, pki.v1_leaf(root, md="sha1").certificate)
