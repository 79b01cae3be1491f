"""Every oddity of an old certificate, and the one without it."""

from datetime import timedelta

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mutualgate.authorities.estate import authority_findings, leaf_findings
from mutualgate.authorities.findings import Severity
from mutualgate.model.legible import legible

NOTE, WARNING, REFUSED = Severity.NOTE, Severity.WARNING, Severity.REFUSED
ROOT = pki.ca("root")


def about_leaf(leaf: pki.Issued) -> list[tuple[str, Severity]]:
    found = leaf_findings(leaf.legible, "a.crt", pki.NOW)
    assert all(one.where == "a.crt" and one.sentence.endswith(".") and one.action.endswith(".") for one in found)
    return [(one.code, one.severity) for one in found]


def about_authority(authority: pki.Issued) -> tuple[list[tuple[str, Severity]], bool]:
    found, usable = authority_findings(authority.certificate, "ca.pem", pki.NOW)
    return [(one.code, one.severity) for one in found], usable


def leaf_with(value: x509.ExtensionType, critical: bool = True) -> pki.Issued:
    purpose: tuple[x509.ExtensionType, bool] = (x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False)
    return pki.issue(ROOT, "x", extensions=[(value, critical), purpose])


def test_a_good_leaf_has_no_findings() -> None:
    assert about_leaf(pki.leaf(ROOT)) == []
    assert about_leaf(leaf_with(pki.usage(digital_signature=True))) == []
    assert about_leaf(leaf_with(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), critical=False)) == []


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (pki.as_v1(pki.leaf(ROOT)), ("v1_certificate", WARNING)),
        (pki.leaf(ROOT, eku=None), ("missing_eku", NOTE)),
        (pki.leaf(ROOT, eku=[pki.SERVER_AUTH]), ("not_for_client_auth", REFUSED)),
        (pki.leaf(ROOT, ca=True), ("ca_as_client", REFUSED)),
        (pki.leaf(ROOT, days=-1), ("expired", REFUSED)),
        (pki.leaf(ROOT, not_before=pki.NOW + timedelta(hours=1)), ("not_yet_valid", WARNING)),
        (pki.leaf(ROOT, key=pki.rsa_key(1024)), ("weak_key", REFUSED)),
        (pki.leaf(ROOT, key=pki.ec_key("secp256k1")), ("weak_key", REFUSED)),
        (pki.leaf(ROOT, key=ed448.Ed448PrivateKey.generate()), ("weak_key", REFUSED)),
        (pki.leaf(ROOT, key=pki.rsa_key(2048, exponent=3)), ("weak_key", WARNING)),
        (pki.as_v1(pki.leaf(ROOT), keep_extensions=True), ("malformed", REFUSED)),
        (leaf_with(pki.usage(key_agreement=True)), ("not_for_client_auth", REFUSED)),
        (leaf_with(pki.usage(digital_signature=True, key_cert_sign=True)), ("ca_as_client", REFUSED)),
        (leaf_with(x509.NameConstraints([x509.DNSName("a")], None)), ("ca_as_client", REFUSED)),
        (leaf_with(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"")), ("critical_extension", REFUSED)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_each_oddity_of_a_leaf(leaf: pki.Issued, expected: tuple[str, Severity]) -> None:
    assert about_leaf(leaf) == [expected]


@pytest.mark.parametrize("eku", [[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], [pki.SERVER_AUTH, pki.CLIENT_AUTH]])
def test_other_ways_to_allow_client_authentication(eku: list[x509.ObjectIdentifier]) -> None:
    assert about_leaf(pki.leaf(ROOT, eku=eku)) == []


def test_a_leaf_without_basic_constraints_is_none_of_a_ca() -> None:
    assert about_leaf(pki.leaf(ROOT, ca=None)) == []


def test_odd_serial_numbers() -> None:
    one = pki.leaf(ROOT, serial=0x7F000000000000000000000000000000000000AA)
    assert about_leaf(one) == []
    for octets, severity in (
        (b"\0", WARNING),
        (b"\0" + b"\x91" * 20, WARNING),
        (b"\x91", REFUSED),
        (b"\1" * 21, REFUSED),
    ):
        found = leaf_findings(legible(pki.numbered(one, octets)), "a.crt", pki.NOW)
        assert [(finding.code, finding.severity) for finding in found] == [("odd_serial", severity)]


def test_extensions_that_cannot_be_read_are_a_finding_and_no_traceback() -> None:
    nonsense = x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"nonsense")
    assert about_leaf(pki.issue(ROOT, "x", extensions=[(nonsense, False)])) == [("malformed", REFUSED)]


def test_a_good_root_has_no_findings() -> None:
    assert about_authority(ROOT) == ([], True)


@pytest.mark.parametrize(
    ("authority", "expected", "usable"),
    [
        (pki.ca(key_usage=False), [("ca_without_key_usage", NOTE)], True),
        (pki.ca(basic_constraints=False), [("ca_without_basic_constraints", WARNING)], True),
        (pki.as_v1(pki.ca()), [("v1_root", WARNING)], True),
        (pki.leaf(None), [("not_an_authority", REFUSED), ("ca_without_key_usage", NOTE)], False),
        (pki.ca(days=-1), [("expired", REFUSED)], True),
        (pki.ca(not_before=pki.NOW + timedelta(days=1)), [("not_yet_valid", WARNING)], True),
        (pki.ca(parent=ROOT), [("intermediate", NOTE)], True),
        (pki.ca(key=pki.rsa_key(1024)), [("weak_key", REFUSED)], False),
        (pki.ca(key=pki.rsa_key(2048, exponent=3)), [("weak_key", WARNING)], True),
        (
            pki.issue(
                None,
                "x",
                extensions=[
                    (x509.BasicConstraints(True, None), True),
                    (pki.usage(key_cert_sign=True), True),
                    (x509.InhibitAnyPolicy(0), True),
                ],
            ),
            [],
            True,
        ),
        (
            pki.issue(
                None,
                "x",
                extensions=[
                    (x509.BasicConstraints(True, None), True),
                    (pki.usage(key_cert_sign=True), True),
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True),
                ],
            ),
            [("critical_extension", REFUSED)],
            False,
        ),
        (pki.tampered(pki.ca()), [("tampered", REFUSED)], False),
        (
            pki.issue(
                None, "x", extensions=[(x509.BasicConstraints(True, None), True), (pki.usage(crl_sign=True), True)]
            ),
            [("not_an_authority", REFUSED)],
            False,
        ),
    ],
)
def test_each_oddity_of_an_authority(authority: pki.Issued, expected: list[tuple[str, Severity]], usable: bool) -> None:
    assert about_authority(authority) == (expected, usable)


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_the_own_signature_of_a_root_does_not_matter(digest: str) -> None:
    options = ("-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=old", f"-{digest}", "-days", "9")
    root = x509.load_pem_x509_certificate(pki.openssl("req", "-x509", *options))
    found, usable = authority_findings(root, "ca.pem", pki.real_now())
    assert [one.code for one in found] == ["ca_without_key_usage", "weak_root_signature"]
    assert usable
