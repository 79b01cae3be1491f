"""A verdict about one chain is the same by the part of the store that concerns it as by the whole."""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import mirror
import pki
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from rows import adopted, statements

from mutualgate.authorities.adopt import Estate
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.gate import Judge
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.names import ClientName
from mutualgate.model.partner import (
    Anchor,
    AnchorState,
    Member,
    MemberState,
    PartnerAdmits,
    PartnerName,
    PartnerProfile,
    RevocationMode,
    RuleKind,
)
from mutualgate.model.pin import PinKind
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.pins import Pins
from mutualgate.partners.revocation import PartnerRevocation
from mutualgate.snapshot import SiteRecord, build, build_for
from mutualgate.snapshot.records import RouteRecord
from mutualgate.store import Store

SITES = [SiteRecord("main", ["localhost"], "required", "page", [RouteRecord("/", "required", ["staff"], [], 0)])]
AT = int((pki.NOW + timedelta(hours=1)).timestamp())
FACTS = ("admitted", "reason", "detail", "client_id", "client_name", "roles", "credential_id", "evidence", "partner",
         "authority", "route")  # fmt: skip


def verdicts(judge: Judge, chain: list[bytes]) -> list[object]:
    asked = (judge.decide(chain, AT), judge.authorize(chain, AT, "localhost", "/"))
    return [getattr(verdict, fact) for verdict in asked for fact in FACTS]


RULES = [
    (RuleKind.DNS, "*.acme.example"),
    (RuleKind.EMAIL, "*@acme.example"),
    (RuleKind.URI, "spiffe://acme.example/*"),
    (RuleKind.IP, "2001:db8::/32"),
    (RuleKind.DN, "CN=*"),
    (RuleKind.ORGANIZATION, "PSDBE-NBB-0123456789"),
]


def with_partner(
    store: Store,
    ca: pki.Issued,
    name: str = "acme",
    recorded: Sequence[str] = ("dns:mia.acme.example",),
    *,
    admits: PartnerAdmits = PartnerAdmits.RULE,
    profile: PartnerProfile = PartnerProfile.NAMES,
    helper: pki.Issued | None = None,
) -> None:
    """A partner, which may name many and has recorded some of them."""
    with store.transaction() as tx:
        own = tx.clients.add(ClientName(name), contact="", roles=(), at=pki.NOW)
        partner = tx.partners.add(
            PartnerName(name),
            contact="",
            security_contact="",
            admits=admits,
            roles=(),
            client=own.id,
            at=pki.NOW,
            profile=profile,
        )
        anchor = Anchor(
            id=0,
            partner=partner.id,
            certificate=ca.der,
            spki=spki_fingerprint(ca.certificate),
            subject="",
            state=AnchorState.ACTIVE,
            shared=False,
            depth=1,
            sub_cas=(),
            environment="",
            not_before=pki.NOW - timedelta(days=1),
            not_after=pki.NOW + timedelta(days=100),
            expired_grace=timedelta(0),
            retire_at=None,
            created=pki.NOW,
            activated=pki.NOW,
            challenge=None,
            challenge_expires=None,
            revocation=RevocationMode.IGNORE,
            grace=timedelta(0),
            leaf_limit=timedelta(days=400),
        )
        tx.anchors.add(anchor, named(ca))
        for kind, pattern in RULES:
            if (kind is RuleKind.ORGANIZATION) == (profile is PartnerProfile.PSD2):
                tx.partners.add_rule(partner.id, kind, pattern, None, pki.NOW)
        if helper is not None:
            digest = hashlib.sha256(helper.der).digest()
            tx.partners.add_intermediate(partner.id, digest, named(helper), helper.der, pki.NOW)
        for number, text in enumerate(recorded):
            who = tx.clients.add(ClientName(f"{name} {number}"), contact="", roles=(), at=pki.NOW)
            tx.members.put(Member(partner.id, text, who.id, MemberState.ACTIVE, pki.NOW))


def named(ca: pki.Issued) -> bytes:
    return hashlib.sha256(ca.certificate.subject.public_bytes()).digest()


def test_it_says_what_the_whole_says(store: Store, keys: KeyRing, authorities: Authorities, tmp_path: Path) -> None:
    clients, enrolment, pins = Clients(store), Enrolment(store, keys, Policy()), Pins(store)
    chains: dict[str, list[bytes]] = {
        "nothing": [],
        "no certificate": [b"hello"],
        "v1": [pki.as_v1(pki.leaf(None)).der],
    }

    def issued(name: str) -> None:
        signed = enrolment.sign(name, pki.csr(pki.fresh_key()))
        chains[name] = [one.public_bytes(Encoding.DER) for one in (signed.certificate, *signed.chain)]

    for name in ("anna", "bert", "carl", "dora", "emil"):
        clients.add(name, roles=["staff"] if name < "c" else [])
        issued(name)
    clients.revoke("bert", reason=RevocationReason.keyCompromise)
    clients.suspend("carl")
    clients.remove("dora")
    for kind in PinKind:
        for state in ("kept", "retired"):
            clients.add(f"{kind} {state}")
            shown = pki.leaf(None)
            made = pins.add(f"{kind} {state}", shown.der, kind=kind)
            chains[f"{kind} {state}"] = [shown.der]
            if state == "retired":
                pins.retire(made.id)

    old = pki.ca("rootCA")
    (tmp_path / "issued").mkdir()
    certificate, key = old.write(tmp_path, "rootCA")
    listed = pki.leaf(old, "listed")
    listed.write(tmp_path / "issued", "listed")
    authorities.adopt(Estate(certificate=certificate, key=key, issued=tmp_path / "issued"))
    for name in ("unlisted", "unlisted, revoked"):
        chains[name] = [pki.leaf(old, name).der]
    clients.revoke_certificate(chains["unlisted, revoked"][0])
    chains["listed"] = [listed.der]
    chains["old v1"] = [pki.as_v1(pki.leaf(old, "old")).der]

    ca = pki.ca("Acme Issuing", pki.ca("Acme Root"))
    with_partner(store, ca)
    for host in ("mia.acme.example", "other.acme.example", "mia.elsewhere.example"):
        chains[host] = pki.leaf(ca, "x", sans=[host]).chain_der
    chains["forged"] = pki.leaf(pki.ca("Acme Issuing"), "x", sans=["mia.acme.example"]).chain_der
    chains["a CA's"] = [ca.der]
    theirs(store, ca, chains)

    whole = Judge(build(store, SITES))
    for name, chain in chains.items():
        part = Judge(build_for(store, SITES, [chain]))
        assert verdicts(part, chain) == verdicts(whole, chain), name
    for (name, chain), (other, beside) in itertools.pairwise(chains.items()):
        both = Judge(build_for(store, SITES, [chain, beside]))
        assert verdicts(both, chain) == verdicts(whole, chain), (name, other)
        assert verdicts(both, beside) == verdicts(whole, beside), (name, other)
    told = {verdicts(whole, chain)[1] for chain in chains.values()}
    assert told >= {None, "revoked", "client_suspended", "pin_retired", "unknown_issuer", "name_not_permitted"}


def test_thousands_of_adopted_authorities_are_not_asked_about_one_by_one(store: Store) -> None:
    chain = [pki.leaf(None).der]

    def asked(many: int) -> int:
        adopted(store, many)
        with statements(store) as told:
            list(build_for(store, SITES, [chain]))
        return len(told)

    assert asked(1) == asked(30)


def theirs(store: Store, acme: pki.Issued, chains: dict[str, list[bytes]]) -> None:
    """Partners whose members go by names of every kind, one with a CA of acme's name, one with a helper, and one with a
    helper that was revoked."""
    twin, issuing, qualified = pki.ca("Acme Issuing"), pki.ca("Umbrella Issuing"), pki.ca("Qualified Issuing")
    between = pki.ca("Umbrella Below", issuing)
    sans: dict[str, list[x509.GeneralName]] = {
        "dns:bo.acme.example": [x509.DNSName("Bo.acme.example")],
        "email:Bo@acme.example": [x509.RFC822Name("Bo@Acme.example")],
        "uri:spiffe://acme.example/Bo": [x509.UniformResourceIdentifier("SPIFFE://Acme.example/Bo")],
        "ip:2001:db8::b0": [x509.IPAddress(ip_address("2001:db8::b0"))],
    }
    listed = PartnerAdmits.LISTED
    with_partner(store, twin, "twin", [*sans, "dn:CN=bo"], admits=listed)
    with_partner(store, issuing, "umbrella", ["dn:CN=bo", *sans], admits=listed, helper=between)
    psd2 = PartnerProfile.PSD2
    with_partner(store, qualified, "bank", ["organization:PSDBE-NBB-0123456789"], admits=listed, profile=psd2)
    for name, names in sans.items():
        for parent in (twin, acme, between):
            chains[f"{name} of {parent.certificate.subject.rfc4514_string()}"] = pki.leaf(
                parent, "x", sans=names
            ).chain_der
        chains[f"{name} by a helper"] = [pki.leaf(between, "x", sans=names).der]
        chains[f"{name}, not recorded"] = pki.leaf(twin, "x", sans=[x509.DNSName("zoe.acme.example")]).chain_der
    chains["a subject"] = [pki.leaf(between, "bo").der]
    organization = x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "PSDBE-NBB-0123456789")
    chains["psd2"] = pki.issue(qualified, x509.Name([organization])).chain_der
    hooli = pki.ca("Hooli Issuing")
    exposed = pki.ca("Hooli Below", hooli)
    with_partner(store, hooli, "hooli", helper=exposed)
    PartnerRevocation(store).load("hooli", pki.crl(hooli, exposed.certificate.serial_number))
    chains["by a helper that was revoked"] = [pki.leaf(exposed, "x", sans=["mia.acme.example"]).der]


def test_it_tells_of_no_other_partner(store: Store, authorities: Authorities) -> None:
    acme, umbrella = pki.ca("Acme Issuing"), pki.ca("Umbrella Issuing")
    with_partner(store, acme, recorded=["dns:mia.acme.example", "dns:lea.acme.example"])
    with_partner(store, umbrella, "umbrella")
    told = mirror.of(build_for(store, SITES, [pki.leaf(acme, "x", sans=["mia.acme.example"]).chain_der]))
    assert [one.name for one in told.partners.values()] == ["acme"]
    assert len(told.anchors) == 1
    assert [name for _, name in told.members] == ["dns:mia.acme.example"]
    assert len(told.clients) == 2


def test_it_tells_of_nobody_else(store: Store, keys: KeyRing, authorities: Authorities) -> None:
    clients, enrolment = Clients(store), Enrolment(store, keys, Policy())
    for number in range(20):
        clients.add(f"client-{number}")
        signed = enrolment.sign(f"client-{number}", pki.csr(pki.fresh_key()))
    told = mirror.of(build_for(store, SITES, [[signed.certificate.public_bytes(Encoding.DER)]]))
    assert [one.name for one in told.clients.values()] == ["client-19"]
    assert len(told.credentials) == 1
    assert told.epoch == store.epoch()
