"""What our certificates say, read back with OpenSSL where it has an opinion, and what is never signed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities import profiles
from mutualgate.authorities.keys import KeyKind, PrivateKey, make_key
from mutualgate.authorities.profiles import (
    ClientProfile,
    IntermediateProfile,
    Prepared,
    Profile,
    RootProfile,
    ServerProfile,
    is_mail_address,
    prepare,
    sign,
)
from mutualgate.errors import BadInput

NOW = pki.NOW
CRL_URL = "http://gate.example:8480/crl/issuing.crl"


class Hierarchy:
    """A root and an issuing intermediate, made with what is tested here."""

    def __init__(self, kind: KeyKind = KeyKind.P256) -> None:
        self.root_key, self.key = make_key(kind), make_key(kind)
        self.root = sign(prepare(RootProfile("Test root"), self.root_key.public_key(), None, NOW), self.root_key)
        profile = IntermediateProfile("Test issuing")
        self.issuing = sign(prepare(profile, self.key.public_key(), self.root, NOW, CRL_URL), self.root_key)

    def issue(self, profile: Profile, key: PrivateKey | None = None) -> x509.Certificate:
        return sign(prepare(profile, (key or pki.fresh_key()).public_key(), self.issuing, NOW, CRL_URL), self.key)


HIERARCHY = Hierarchy()
ALICE = ClientProfile(7, "alice", "alice@example.com")
EVERY_PROFILE = [RootProfile("a"), IntermediateProfile("b"), ALICE, ServerProfile(("localhost",))]


def prepared(profile: Profile = ALICE, **changes: Any) -> Prepared:
    arguments: dict[str, Any] = {
        "public_key": pki.fresh_key().public_key(),
        "issuer": None if isinstance(profile, RootProfile) else HIERARCHY.issuing,
        "now": NOW,
    }
    return prepare(profile, **(arguments | changes))


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.RSA2048, KeyKind.ED25519])
def test_openssl_accepts_the_chain_strictly(tmp_path: Path, kind: KeyKind) -> None:
    made = Hierarchy(kind)
    client = made.issue(ALICE)
    server = made.issue(ServerProfile(("localhost", "127.0.0.1", "gate.example.com", "*.example.com", "::1")))
    for name, certificate in (("root", made.root), ("issuing", made.issuing), ("client", client), ("server", server)):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    at = str(int(NOW.timestamp()))
    chain = ("verify", "-x509_strict", "-attime", at, "-CAfile", "root.pem", "-untrusted", "issuing.pem")
    assert b"client.pem: OK" in pki.openssl(*chain, "-purpose", "sslclient", "client.pem", cwd=tmp_path)
    assert b"OK" in pki.openssl(*chain, "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "server.pem", cwd=tmp_path)
    assert b"OK" in pki.openssl(*chain, "-verify_hostname", "a.example.com", "server.pem", cwd=tmp_path)
    with pytest.raises(AssertionError, match="certificate purpose"):
        pki.openssl(*chain, "-purpose", "sslserver", "client.pem", cwd=tmp_path)


def test_a_client_certificate_says_exactly_this() -> None:
    text = _text(HIERARCHY.issue(ALICE))
    for line in (
        "Version: 3",
        "Subject: CN = alice\n",
        "Issuer: CN = Test issuing\n",
        "X509v3 Basic Constraints: critical CA:FALSE",
        "X509v3 Key Usage: critical Digital Signature X509v3",
        "X509v3 Extended Key Usage: TLS Web Client Authentication X509v3",
        "X509v3 Subject Alternative Name: URI:urn:mutualgate:client:7, email:alice@example.com",
        f"URI:{CRL_URL}",
    ):
        assert " ".join(line.split()) in " ".join(text.split()), text


def test_an_intermediate_signs_leaves_and_its_crl_and_nothing_else() -> None:
    text = " ".join(_text(HIERARCHY.issuing).split())
    assert "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0" in text
    assert "X509v3 Key Usage: critical Certificate Sign, CRL Sign X509v3" in text
    assert CRL_URL in text
    assert "CRL Distribution" not in _text(HIERARCHY.root)
    with pytest.raises(BadInput, match="basicConstraints forbid it") as refused:
        prepared(IntermediateProfile("below"))
    assert refused.value.code == "issuer_may_not_sign"


def test_key_identifiers_link_the_chain() -> None:
    client = HIERARCHY.issue(ALICE)
    own = HIERARCHY.issuing.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert client.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_the_issuers_own_key_identifier_is_used_however_it_was_made() -> None:
    key = pki.fresh_key()
    odd = pki.issue(
        None,
        "adopted",
        key=key,
        identifiers=False,
        extensions=[(x509.BasicConstraints(True, None), True), (x509.SubjectKeyIdentifier(b"any bytes"), False)],
    )
    client = sign(prepared(issuer=odd.certificate), key)
    assert client.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == b"any bytes"


def test_lifetimes_begin_five_minutes_ago_and_count_the_last_second() -> None:
    client = HIERARCHY.issue(ALICE)
    assert client.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert client.not_valid_after_utc - client.not_valid_before_utc == timedelta(days=398) - timedelta(seconds=1)
    years = (HIERARCHY.root.not_valid_after_utc - NOW).days / 365.25
    assert round(years) == 10
    assert round((HIERARCHY.issuing.not_valid_after_utc - NOW).days / 365.25) == 5


def test_nothing_outlives_its_issuer_or_begins_before_it() -> None:
    key = pki.fresh_key()
    issuer = pki.ca("short", key=key, days=10, not_before=NOW - timedelta(minutes=1))
    client = sign(prepared(issuer=issuer.certificate), key)
    assert client.not_valid_after_utc == issuer.certificate.not_valid_after_utc
    assert client.not_valid_before_utc == issuer.certificate.not_valid_before_utc


def test_an_issuer_that_is_not_valid_now_signs_nothing() -> None:
    with pytest.raises(BadInput, match="expired on") as refused:
        prepared(now=HIERARCHY.issuing.not_valid_after_utc)
    assert refused.value.code == "issuer_expired"
    with pytest.raises(BadInput, match="Is this machine's clock right") as refused:
        prepared(now=NOW - timedelta(days=1))
    assert refused.value.code == "issuer_not_yet_valid"


@pytest.mark.parametrize(
    "issuer",
    [pki.leaf(None, "leaf"), pki.issue(None, "no", extensions=[(pki.usage(crl_sign=True), True)])],
    ids=["CA:FALSE", "no keyCertSign"],
)
def test_an_issuer_that_may_not_sign_signs_nothing(issuer: pki.Issued) -> None:
    with pytest.raises(BadInput) as refused:
        prepared(issuer=issuer.certificate)
    assert refused.value.code == "issuer_may_not_sign"


def test_an_adopted_root_without_key_usage_signs() -> None:
    root = pki.ca("adopted", key=pki.rsa_key(), key_usage=False)
    client = sign(prepared(issuer=root.certificate), pki.rsa_key())
    client.verify_directly_issued_by(root.certificate)


def test_serial_numbers_are_positive_random_and_fit_into_20_octets() -> None:
    serials = [prepared().serial for _ in range(200)]
    assert len(set(serials)) == 200
    assert all(0 < serial < 2**159 for serial in serials)
    assert max(serials).bit_length() > 155
    certificate = HIERARCHY.issue(ALICE)
    assert certificate.serial_number.bit_length() <= 159


def test_what_is_prepared_is_what_is_signed_and_only_once() -> None:
    ready = prepared()
    certificate = sign(ready, HIERARCHY.key)
    assert certificate.serial_number == ready.serial
    assert certificate.subject == ready.subject
    assert certificate.not_valid_before_utc == ready.not_before
    assert certificate.not_valid_after_utc == ready.not_after
    with pytest.raises(RuntimeError, match="signed already"):
        sign(ready, HIERARCHY.key)


def test_another_key_than_the_issuers_signs_nothing_and_spoils_nothing() -> None:
    ready = prepared()
    with pytest.raises(ValueError, match="not the issuer's key"):
        sign(ready, pki.fresh_key())
    sign(ready, HIERARCHY.key)


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.RSA2048, KeyKind.ED25519])
def test_what_is_signed_is_to_the_octet_what_was_looked_at(kind: KeyKind, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(kind)
    looked_at: list[bytes] = []
    monkeypatch.setattr(profiles, "lint", lambda der, _issuer: looked_at.append(der))
    certificate = sign(prepared(issuer=pki.ca("issuing", key=key).certificate), key)
    seen = [x509.load_der_x509_certificate(der).tbs_certificate_bytes for der in looked_at]
    assert seen == [certificate.tbs_certificate_bytes]


@pytest.mark.parametrize("profile", EVERY_PROFILE, ids=lambda profile: type(profile).__name__)
def test_a_weak_key_is_never_prepared(profile: Profile) -> None:
    with pytest.raises(BadInput) as refused:
        prepared(profile, public_key=pki.rsa_key(1024).public_key(), issuer=_issuer(profile))
    assert refused.value.code == "weak_key"


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "new\nline", "nul\0", "right\u202eleft", "tab\there"])
def test_names_that_cannot_stand_in_a_certificate_are_refused(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        prepared(ClientProfile(1, name))
    assert refused.value.code == "bad_name"
    assert refused.value.problem.isprintable()


@pytest.mark.parametrize("name", ["a", "x" * 64, "Łukasz Ørsted, Inc.", "名前", 'quote"<script>'])
def test_other_names_are_utf8_in_the_common_name(name: str) -> None:
    certificate = HIERARCHY.issue(ClientProfile(1, name))
    assert [attribute.value for attribute in certificate.subject] == [name]


@pytest.mark.parametrize("contact", [None, "", "call me", "a@b@c", "ä@example.com", "a@example.com\n", "a@ex..com"])
def test_a_contact_that_is_no_mail_address_is_left_out(contact: str | None) -> None:
    assert prepared(ClientProfile(3, "bob", contact)).sans == ("URI:urn:mutualgate:client:3",)


def test_mail_addresses() -> None:
    assert is_mail_address("first.last+tag@mail.example.com")
    assert not is_mail_address("first.last@")


@pytest.mark.parametrize(
    "host", ["", "a b", "-a.example", "a..b", "x" * 64, "a.example.", "münchen.example", "*.*.a", "a/b"]
)
def test_hosts_that_are_none_are_refused(host: str) -> None:
    with pytest.raises(BadInput) as refused:
        prepared(ServerProfile(("localhost", host)))
    assert refused.value.code == "bad_host"


def test_hosts_are_named_once_and_as_what_they_are() -> None:
    ready = prepared(ServerProfile(("LocalHost", "127.0.0.1", "[::1]", "127.0.0.1", "xn--mnchen-3ya.example")))
    assert ready.sans == ("DNS:localhost", "IP:127.0.0.1", "IP:::1", "DNS:xn--mnchen-3ya.example")


@pytest.mark.parametrize("url", ["https://gate.example/x.crl", "ldap://x", "http://a b/", "http://ä/", "/crl"])
def test_a_crl_is_fetched_over_plain_http_only(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        prepared(crl_url=url)
    assert refused.value.code == "bad_crl_url"


def test_lifetimes_have_bounds() -> None:
    for lifetime in (timedelta(0), timedelta(days=-1), timedelta(days=40_000)):
        with pytest.raises(BadInput, match=r"a lifetime of -?\d+d is out of range"):
            prepared(ClientProfile(1, "x", lifetime=lifetime))


def test_a_root_has_no_issuer_and_nothing_else_is_without_one() -> None:
    with pytest.raises(ValueError, match="a root has no issuer"):
        prepared(ALICE, issuer=None)
    with pytest.raises(ValueError, match="a root has no issuer"):
        prepared(RootProfile("x"), issuer=HIERARCHY.root)


def _issuer(profile: Profile) -> x509.Certificate | None:
    if isinstance(profile, RootProfile):
        return None
    return HIERARCHY.root if isinstance(profile, IntermediateProfile) else HIERARCHY.issuing


def _text(certificate: x509.Certificate) -> str:
    return pki.openssl("x509", "-noout", "-text", stdin=certificate.public_bytes(Encoding.PEM)).decode()
