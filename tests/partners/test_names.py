import hashlib
import ipaddress
from datetime import timedelta

import pki
import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mutualgate import snapshot
from mutualgate.gate import Judge
from mutualgate.model.names import ClientName
from mutualgate.model.partner import Member, MemberState, PartnerAdmits, PartnerProfile
from mutualgate.partners.names import hashes_in, name_hash, name_of
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.store import Store


def _name(*sans: x509.GeneralName | str, subject: str | x509.Name = "api") -> str | None:
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if sans:
        names = [one if isinstance(one, x509.GeneralName) else x509.DNSName(one) for one in sans]
        extensions = [(x509.SubjectAlternativeName(names), False)]
    return name_of(pki.issue(None, subject, extensions=extensions).certificate)


def test_the_first_name_of_the_first_kind() -> None:
    uri, email = x509.UniformResourceIdentifier("spiffe://a.example/x"), x509.RFC822Name("Ann@A.example")
    assert _name(uri, "B.example", "a.example") == "dns:b.example"
    assert _name(uri, email) == "email:Ann@a.example"
    assert _name(uri) == "uri:spiffe://a.example/x"
    assert _name(x509.IPAddress(ipaddress.ip_address("2001:db8::1"))) == "ip:2001:db8::1"


def test_a_chain_is_found_by_who_signed_it_and_by_each_name_that_it_may_have() -> None:
    """Else a trial of a change does not tell that it concerns it."""
    issuer = pki.ca("acme issuing")
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "PSDBE-NBB-1")])
    leaf = pki.issue(
        issuer, subject, extensions=[(x509.SubjectAlternativeName([x509.DNSName("A.acme.example")]), False)]
    )
    found = hashes_in(leaf.chain_der)
    above = hashlib.sha256(issuer.certificate.subject.public_bytes()).digest()
    assert {above, name_hash("dns:a.acme.example"), name_hash("organization:PSDBE-NBB-1")} <= set(found)
    assert hashes_in([leaf.der, b"no certificate"]) == ()


def test_a_payment_service_provider_is_its_identifier() -> None:
    def name(*identifiers: str) -> str | None:
        kinds = [(NameOID.ORGANIZATION_IDENTIFIER, one) for one in identifiers]
        subject = x509.Name([x509.NameAttribute(*one) for one in [*kinds, (NameOID.COMMON_NAME, "x")]])
        hosts: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([x509.DNSName("shop.example")]), False)
        ]
        return name_of(pki.issue(None, subject, extensions=hosts).certificate, PartnerProfile.PSD2)

    assert name("PSDBE-NBB-0123456789") == "organization:PSDBE-NBB-0123456789"
    assert name() is None
    assert name("PSDBE-NBB-1", "PSDBE-NBB-2") is None


def test_without_names_the_subject() -> None:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Ltd"), x509.NameAttribute(NameOID.COMMON_NAME, "api")]
    )
    assert _name(subject=subject) == r"dn:CN=api,O=Acme\, Ltd"


def test_a_name_of_another_kind_is_none() -> None:
    assert _name(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))) is None


TEXTS = (_ASN1Type.UTF8String, _ASN1Type.T61String, _ASN1Type.BMPString, _ASN1Type.UniversalString)
SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, ' #Acme, "Ltd" + <Söhne>; '),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@acme.example"),
        x509.NameAttribute(x509.ObjectIdentifier("1.2.3.4"), "#x"),
        x509.NameAttribute(NameOID.COMMON_NAME, "api\\1"),
    ]
)


@pytest.mark.parametrize(
    ("rule", "sans", "subject"),
    [
        ("dns:*.acme.example", ["b.acme.example", "a.acme.example"], "x"),
        ("dns:*.acme.example", ["B.Acme.EXAMPLE"], "x"),
        ("email:*@acme.example", [x509.RFC822Name("Ann.B@ACME.example")], "x"),
        ("uri:https://acme.example/*", [x509.UniformResourceIdentifier("HTTPS://Acme.example/Orders")], "x"),
        ("uri:urn:x:Y", [x509.UniformResourceIdentifier("URN:x:Y")], "x"),
        ("ip:2001:db8::/32", [x509.IPAddress(ipaddress.ip_address("2001:db8:0:0::1"))], "x"),
        ("ip:::ffff:192.0.2.0/120", [x509.IPAddress(ipaddress.ip_address("::ffff:192.0.2.1"))], "x"),
        ("ip:::/96", [x509.IPAddress(ipaddress.ip_address("::192.0.2.1"))], "x"),
        ("dn:CN=*", [], "api"),
        *(("dn:CN=*", [], x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Zoë", kind)])) for kind in TEXTS),
        ("dn:CN=*,1.2.3.4=*,emailAddress=*,O=*,C=*", [], SUBJECT),
    ],
)
def test_the_judge_finds_a_client_by_this_name(
    store: Store, rule: str, sans: list[x509.GeneralName | str], subject: str | x509.Name
) -> None:
    """Two readers of names have to agree, or a client that was approved stays out."""
    partners = Partners(store, by="test")
    partners.add("acme", names=[rule], wide=True, admits=PartnerAdmits.LISTED)
    ca = pki.ca("acme", path_length=0)
    anchor = partners.anchors.claim("acme", ca.pem).anchor
    partners.anchors.approve("acme", anchor.id, without_proof=True)
    names = [one if isinstance(one, x509.GeneralName) else x509.DNSName(one) for one in sans]
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    leaf = pki.issue(ca, subject, days=30, extensions=extensions)
    at = int(pki.NOW.timestamp())
    before = Judge(snapshot.build(store, [])).decide([leaf.der], at)
    assert before.reason == "not_enrolled", before.detail
    name = name_of(leaf.certificate)
    assert name is not None
    with store.transaction() as tx:
        client = tx.clients.add(ClientName("anna"), contact="", roles=(), at=pki.NOW)
        tx.members.put(Member(1, name, client.id, MemberState.ACTIVE, pki.NOW))
    found = Judge(snapshot.build(store, [])).decide([leaf.der], at)
    assert found.client_name == "anna", (name, found.detail)


def judged(store: Store, ca: pki.Issued, leaf: pki.Issued, rule: str) -> str | None:
    """The reason by which `leaf`, which `ca` or one below it signed, is refused under a partner with this rule."""
    partners = Partners(store, by="test")
    partners.add("acme", names=[rule], wide=True, admits=PartnerAdmits.RULE)
    anchor = partners.anchors.claim("acme", ca.pem, terms=Terms(depth=1, leaf_limit=timedelta(days=400))).anchor
    partners.anchors.approve("acme", anchor.id, without_proof=True)
    return Judge(snapshot.build(store, [])).decide(leaf.chain_der, int(pki.NOW.timestamp())).reason


def test_a_value_that_reads_as_a_pattern_names_nobody(store: Store) -> None:
    ca = pki.ca("acme")
    assert judged(store, ca, pki.leaf(ca, "*"), "dn:CN=*") == "name_not_permitted"


@pytest.mark.parametrize("kind", [_ASN1Type.IA5String, *TEXTS])
@pytest.mark.parametrize(("host", "reason"), [("acme.example", None), ("other.example", "path_invalid")])
def test_a_mailbox_in_a_subject_is_constrained_whatever_it_is_spelt_in(
    store: Store, kind: _ASN1Type, host: str, reason: str | None
) -> None:
    ca = pki.ca("acme")
    constraint = x509.NameConstraints([x509.RFC822Name("acme.example")], None)
    below = pki.issue(ca, "below", extensions=[(x509.BasicConstraints(True, 0), True), (constraint, True)])
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, f"anna@{host}", kind)])
    leaf = pki.issue(below, subject, extensions=[(x509.BasicConstraints(False, None), True)])
    assert judged(store, ca, leaf, "dn:emailAddress=*") == reason
