"""What the last look before signing stops, whoever made it."""

from datetime import timedelta

import pki
import pytest
from cryptography import x509

from mutualgate.authorities.lint import LintError, lint

ROOT = pki.ca("root")
GOOD: list[tuple[x509.ExtensionType, bool]] = [
    (x509.BasicConstraints(False, None), True),
    (pki.usage(digital_signature=True), True),
    (x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False),
    (x509.SubjectAlternativeName([x509.DNSName("a.example")]), False),
]


def without(kind: type[x509.ExtensionType]) -> list[tuple[x509.ExtensionType, bool]]:
    return [(value, critical) for value, critical in GOOD if not isinstance(value, kind)]


def test_a_good_leaf_passes() -> None:
    lint(pki.issue(ROOT, "good", extensions=GOOD).der, ROOT.certificate)


@pytest.mark.parametrize(
    ("extensions", "rule"),
    [
        (without(x509.BasicConstraints), "has no BasicConstraints"),
        (without(x509.KeyUsage), "has no KeyUsage"),
        (without(x509.ExtendedKeyUsage), "has no ExtendedKeyUsage"),
        (without(x509.SubjectAlternativeName), "has no SubjectAlternativeName"),
        ([*without(x509.KeyUsage), (pki.usage(key_cert_sign=True), True)], "signing is for authorities"),
        ([*without(x509.KeyUsage), (pki.usage(crl_sign=True), True)], "signing is for authorities"),
        ([*without(x509.KeyUsage), (pki.usage(key_agreement=True), True)], "signatures are for leaves"),
        ([*without(x509.KeyUsage), (pki.usage(digital_signature=True), False)], "critical"),
        ([*GOOD, (x509.IssuerAlternativeName([x509.DNSName("x")]), True)], "others are not critical"),
        (
            [*without(x509.ExtendedKeyUsage), (x509.ExtendedKeyUsage([pki.CLIENT_AUTH, pki.SERVER_AUTH]), False)],
            "for one purpose",
        ),
        (
            [
                *without(x509.SubjectAlternativeName),
                (x509.SubjectAlternativeName([x509.DNSName("a" * 63)] * 200), False),
            ],
            "within 8 KiB",
        ),
    ],
)
def test_extensions(extensions: list[tuple[x509.ExtensionType, bool]], rule: str) -> None:
    with pytest.raises(LintError, match=rule):
        lint(pki.issue(ROOT, "bad", extensions=extensions).der, ROOT.certificate)


def test_an_intermediate_needs_path_length_0() -> None:
    lint(pki.ca("issuing", parent=ROOT, path_length=0).der, ROOT.certificate)
    with pytest.raises(LintError, match="signs leaves only"):
        lint(pki.ca("issuing", parent=ROOT).der, ROOT.certificate)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_serial_number_is_positive() -> None:
    one = pki.issue(ROOT, "x", extensions=GOOD, serial=0x7F000000000000000000000000000000000000AA)
    lint(one.der, ROOT.certificate)
    negative = pki.changed(one, one.serial, b"\xff" + one.serial[1:])
    with pytest.raises(LintError, match="positive serial"):
        lint(negative.der, ROOT.certificate)


def test_names_and_dates() -> None:
    with pytest.raises(LintError, match="the issuer's name"):
        lint(pki.issue(ROOT, "x", extensions=GOOD, issuer_name=pki.common_name("y")).der, ROOT.certificate)
    with pytest.raises(LintError, match="outlive"):
        lint(pki.issue(ROOT, "x", extensions=GOOD, days=4000).der, ROOT.certificate)
    early = pki.issue(ROOT, "x", extensions=GOOD, not_before=pki.NOW - timedelta(days=90))
    with pytest.raises(LintError, match="begin before"):
        lint(early.der, ROOT.certificate)
    with pytest.raises(LintError, match="a subject"):
        lint(pki.issue(ROOT, x509.Name([]), extensions=GOOD).der, ROOT.certificate)
    with pytest.raises(LintError, match="AuthorityKeyIdentifier"):
        lint(pki.issue(ROOT, "x", extensions=GOOD, identifiers=False).der, ROOT.certificate)


def test_v1_is_never_ours() -> None:
    with pytest.raises(LintError):
        lint(pki.as_v1(pki.issue(ROOT, "x", extensions=GOOD)).der, ROOT.certificate)
    odd = pki.as_v1(pki.issue(ROOT, "x", extensions=GOOD), keep_extensions=True)
    with pytest.raises(LintError, match="version 3"):
        lint(odd.der, ROOT.certificate)
