"""A CRL of a partner's CA: believed only if it is its word of now, and for no more than it says (R13)."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.errors import BadInput
from mutualgate.model.foreign import CA_SCOPE
from mutualgate.partners import revocation_list
from mutualgate.partners.revocation_list import VerifiedList, verify_list

NOW = pki.NOW
CA = pki.ca("acme issuing", parent=pki.ca("acme root"), path_length=0)
URL = "http://crl.acme.example/1.crl"


def point(
    *urls: str,
    user: bool = False,
    ca: bool = False,
    attribute: bool = False,
    indirect: bool = False,
    reasons: frozenset[x509.ReasonFlags] | None = None,
    relative: x509.RelativeDistinguishedName | None = None,
) -> tuple[x509.ExtensionType, bool]:
    names = [x509.UniformResourceIdentifier(url) for url in urls] or None
    return (
        x509.IssuingDistributionPoint(
            full_name=names,
            relative_name=relative,
            only_contains_user_certs=user,
            only_contains_ca_certs=ca,
            only_some_reasons=reasons,
            indirect_crl=indirect,
            only_contains_attribute_certs=attribute,
        ),
        True,
    )


def read(data: bytes, *helpers: pki.Issued, ca: pki.Issued = CA, url: str = "") -> VerifiedList:
    return verify_list(data, ca.certificate, [one.certificate for one in helpers], NOW, "x.crl", url)


def problem(data: bytes, *helpers: pki.Issued, ca: pki.Issued = CA) -> str:
    with pytest.raises(BadInput) as error:
        read(data, *helpers, ca=ca)
    assert str(error.value).isprintable()
    return error.value.problem


def test_a_complete_list() -> None:
    data = pki.crl(CA, 5, 2**150, number=7, reason=x509.ReasonFlags.key_compromise)
    read_ = read(data)
    assert (read_.scope, read_.number, read_.base, read_.count) == ("", 7, None, 2)
    assert [(one.serial.hex(), one.reason) for one in read_.entries()] == [("05", 1), ((2**150).to_bytes(19).hex(), 1)]
    assert read(pki.crl(CA, number=None)).number == 0
    der = x509.load_pem_x509_crl(data).public_bytes(Encoding.DER)
    assert read(der).digest == read_.digest, "PEM and DER are the same list"


@pytest.mark.parametrize(
    ("idp", "scope"),
    [
        (point(user=True), ""),
        (point(URL), URL),
        (point(URL, user=True), URL),
        (point("ldap://ldap.acme.example/x", URL, "http://other.example/"), URL),
        (point("ldap://ldap.acme.example/x"), "ldap://ldap.acme.example/x"),
        (point(ca=True), CA_SCOPE),
        (point(URL, ca=True), CA_SCOPE),
    ],
)
def test_what_a_list_covers(idp: tuple[x509.ExtensionType, bool], scope: str) -> None:
    assert read(pki.crl(CA, 5, extensions=[idp])).scope == scope


def test_of_several_names_the_one_it_was_fetched_by() -> None:
    data = pki.crl(CA, 5, extensions=[point("http://a.example/", URL)])
    assert read(data, url=URL).scope == URL
    assert read(data, url="http://c.example/").scope == "http://a.example/"


@pytest.mark.parametrize(
    ("idp", "says"),
    [
        (point(indirect=True), "is an indirect CRL"),
        (point(reasons=frozenset([x509.ReasonFlags.key_compromise])), "lists some reasons for revocation only"),
        (point(attribute=True), "lists attribute certificates"),
        (
            point(relative=x509.RelativeDistinguishedName(list(pki.common_name("x").rdns[0]))),
            "names its distribution point relative to the CA",
        ),
        (point("http://crl.acme.example/" + "x" * 1_000), "names a distribution point without an address"),
    ],
)
def test_a_part_does_not_pass_for_the_whole(idp: tuple[x509.ExtensionType, bool], says: str) -> None:
    assert says in problem(pki.crl(CA, 5, extensions=[idp]))


def test_a_delta() -> None:
    data = pki.crl(CA, 5, number=9, extensions=[(x509.DeltaCRLIndicator(7), True)])
    assert (read(data).base, read(data).number) == (7, 9)
    assert "a delta CRL without a number" in problem(
        pki.crl(CA, number=None, extensions=[(x509.DeltaCRLIndicator(7), True)])
    )


def test_where_deltas_are_is_learned() -> None:
    freshest = x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, None)])
    assert read(pki.crl(CA, extensions=[(freshest, False)])).fresher == (URL,)


def test_who_may_sign() -> None:
    root = pki.ca("acme root")
    stranger = pki.ca("acme issuing")
    assert "is the CRL of CN=acme root" in problem(pki.crl(root, 5))
    assert "was not signed by CN=acme issuing" in problem(pki.crl(stranger, 5)), "the same name, another key"
    mute = pki.issue(
        root,
        "mute",
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (pki.usage(key_cert_sign=True), True),
        ],
    )
    assert "may not sign revocation lists" in problem(pki.crl(mute, 5), ca=mute)
    old = pki.ca("old", key_usage=False)
    assert read(pki.crl(old, 5), ca=old).count == 1


def _list_key(
    name: str = "acme issuing", parent: pki.Issued = CA, *, sign: bool = True, days: float = 365
) -> pki.Issued:
    usage = pki.usage(crl_sign=sign, digital_signature=not sign)
    return pki.issue(parent, name, days=days, extensions=[(usage, True)])


def test_a_key_for_lists_alone() -> None:
    """RFC 5280 4.2.1.3: the CA's name, under the CA's key, cRLSign; given as an intermediate."""
    helper = _list_key()
    data = pki.crl(helper, 5)
    assert read(data, helper).count == 1
    assert "was not signed by" in problem(data)
    for wrong in (
        _list_key(sign=False),
        _list_key("somebody else"),
        _list_key(parent=pki.ca("acme issuing")),
        _list_key(days=-1),
        pki.issue(CA, "acme issuing"),
    ):
        signed = pki.crl(pki.Issued(CA.certificate, wrong.key), 5)
        assert "was not signed by" in problem(signed, wrong), wrong.certificate.subject


def test_dates() -> None:
    begins = x509.CertificateRevocationListBuilder().issuer_name(CA.certificate.subject).last_update(NOW)
    at_once = begins.next_update(NOW).add_extension(x509.CRLNumber(1), False).sign(CA.key, hashes.SHA256())
    assert "ends before it begins" in problem(at_once.public_bytes(Encoding.DER))
    assert "begins in the future" in problem(pki.crl(CA, now=NOW + timedelta(hours=1)))
    stale = read(pki.crl(CA, 5, now=NOW - timedelta(days=10), days=7))
    assert stale.next_update < NOW, "stale lists still say who is revoked: what their age means, the policy says"


def test_a_list_without_an_end_is_refused(tmp_path: Path) -> None:
    """nextUpdate is optional in X.509; only openssl makes such a list here."""
    der = x509.load_pem_x509_crl(pki.crl(CA, number=None)).tbs_certlist_bytes
    # Take nextUpdate out of the signed part, and sign it again.
    parts = pki._parts(pki._parts(der)[0][1])
    times = [index for index, part in enumerate(parts) if part[0] in (0x17, 0x18)]
    kept = [part for index, part in enumerate(parts) if index != times[1]]
    tbs = pki._der(0x30, b"".join(pki._der(*part) for part in kept))
    assert isinstance(CA.key, ec.EllipticCurvePrivateKey)
    signature = CA.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    whole = pki._parts(pki._parts(x509.load_pem_x509_crl(pki.crl(CA)).public_bytes(Encoding.DER))[0][1])
    data = pki._der(0x30, tbs + pki._der(*whole[1]) + pki._der(0x03, b"\0" + signature))
    assert "does not say when the next one comes" in problem(data)


def test_what_is_not_known_and_critical_is_refused() -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert "a critical extension that we do not know (1.3.6.1.4.1.99999.1)" in problem(
        pki.crl(CA, extensions=[(odd, True)])
    )
    assert read(pki.crl(CA, extensions=[(odd, False)])).count == 0


def test_an_entry_of_another_issuer_is_refused() -> None:
    """RFC 5280 5.3.3: certificateIssuer is critical, and would make it an indirect list."""
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(NOW)
        .add_extension(x509.CertificateIssuer([x509.DirectoryName(pki.common_name("other"))]), True)
        .build()
    )
    builder = x509.CertificateRevocationListBuilder().issuer_name(CA.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1)).add_revoked_certificate(entry)
    data = builder.sign(CA.key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(BadInput, match="entry 1 has a critical extension"):
        list(read(data).entries())


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_list, "MAX_ENTRIES", 2)
    assert read(pki.crl(CA, 1, 2)).count == 2
    assert "has 3 entries" in problem(pki.crl(CA, 1, 2, 3))
    assert read(pki.crl(CA, number=2**158)).number == 2**158
    for number in (2**159, 2**200):
        assert "has a number that is none" in problem(pki.crl(CA, number=number))


@pytest.mark.parametrize("data", [b"", b"-----BEGIN X509 CRL-----\n", b"\x30\x03\x02\x01\x00", b"<html>", CA.pem])
def test_what_is_no_list(data: bytes) -> None:
    assert problem(data)


def test_an_old_hash_is_refused(tmp_path: Path) -> None:
    rsa = pki.ca("acme rsa", key=pki.rsa_key())
    rsa.write(tmp_path, "ca")
    (tmp_path / "index.txt").write_text("")
    (tmp_path / "x.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncertificate=ca.crt\nprivate_key=ca.key\ndefault_crl_days=30\n"
    )
    for md, fine in (("sha256", True), ("sha1", False), ("md5", False)):
        subprocess.run(
            ["openssl", "ca", "-config", "x.cnf", "-gencrl", "-md", md, "-out", f"{md}.crl"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        data = (tmp_path / f"{md}.crl").read_bytes()
        at = pki.real_now()
        if fine:
            assert verify_list(data, rsa.certificate, [], at, md).count == 0
        else:
            with pytest.raises(BadInput, match="is signed with SHA-1 or MD5"):
                verify_list(data, rsa.certificate, [], at, md)
