"""Makes the vectors about what clients and partners brought: pins, partners' CAs, names, revocations.

As `make.py`, which makes the others; run this one again after a change of a rule about those: all of them, or the files
that are named, `make_brought.py policies`.
"""

import hashlib
import ipaddress
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID, ObjectIdentifier
from makers import AT, DAY, NOW, Extension, Made, make, name, openssl_recipe

HERE = Path(__file__).resolve().parent
Record = dict[str, Any]
"""A vector, or what is recorded in its snapshot, as it is written."""
SECOND = DAY / 86400
DAYS = 86400
ALICE, ACME, OTHER, BOB = 1, 2, 3, 4
OURS, LIST = 1, "http://lists.acme.example/1.crl"

ISSUING = make("Example Issuing CA", ca=True, path_length=0)
ROOT = make("Acme Root", ca=True)
CA = make("Acme Issuing CA", ROOT, ca=True)
DNS = x509.DNSName

Subject = x509.Name | Sequence[x509.GeneralName]
"""What a certificate is about: its subject, or alternative names."""
Terms = Sequence[tuple[str, Any]]
FAIL: Terms = (("revocation", "fail"),)


def load(one: Made | str) -> x509.Certificate:
    return one.certificate if isinstance(one, Made) else x509.load_pem_x509_certificate(one.encode())


def pem(one: Made | str) -> str:
    return one.pem if isinstance(one, Made) else one


def fingerprint(one: Made | str) -> str:
    return load(one).fingerprint(hashes.SHA256()).hex()


def key_hash(one: Made | str) -> str:
    spki = load(one).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def serial(one: Made | str) -> str:
    number = load(one).serial_number
    return number.to_bytes((number.bit_length() + 7) // 8).hex()


def pin(one: Made | str, kind: str = "certificate", **more: Any) -> Record:
    digest = fingerprint(one) if kind == "certificate" else key_hash(one)
    plain = {"id": 70, "client": ALICE, "not_before": NOW - 9 * DAYS, "not_after": NOW + 9 * DAYS}
    return {"kind": kind, "digest": digest, **plain, "retired": False, "environment": ""} | more


def rule(text: str, anchor: int | None = None) -> Record:
    kind, _, pattern = text.partition(":")
    return {"kind": kind, "pattern": pattern, "anchor": anchor}


def partner(*rules: str | Record, id: int = 1, **more: Any) -> Record:
    known = {1: ("acme", ACME), 2: ("other", OTHER)}
    title, own = known[id]
    permitted = [one if isinstance(one, dict) else rule(one) for one in rules]
    plain = {"id": id, "name": title, "admits": "rule", "client": own, "suspended": False}
    return {**plain, "rules": permitted, "intermediates": [pem(one) for one in more.pop("helpers", ())]} | more


def anchor(one: Made | str, id: int = 5, of: int = 1, **more: Any) -> Record:
    plain = {
        "id": id,
        "partner": of,
        "certificate": pem(one),
        "not_before": NOW - 20 * DAYS,
        "not_after": NOW + 20 * DAYS,
        "shared": False,
        "depth": 0,
        "sub_cas": [],
        "environment": "",
        "revocation": "ignore",
        "grace_seconds": 0,
        "leaf_limit_seconds": 1000 * DAYS,
        "lists": [],
    }
    return plain | more


def member(text: str, client: int | None = ALICE, of: int = 1) -> Record:
    return {"partner": of, "name": text, "client": client}


def foreign(one: Made | str, under: int = 5) -> Record:
    return {"anchor": under, "serial": serial(one), "at": NOW - 3600, "reason": 1}


def leaf(issuer: Made = CA, *sans: x509.GeneralName, subject: str | x509.Name = "alice", **more: Any) -> Made:
    return make(subject, issuer, sans=sans or (DNS("a.acme.example"),), **more)


def vector(
    title: str,
    chain: Sequence[Made | str],
    reason: str | None = None,
    *,
    blame: int | None = 0,
    known: bool | None = True,
    holder: int | None = None,
    evidence: str | None = None,
    of: str | None = None,
    **more: Any,
) -> Record:
    """One vector: `chain` as sent, and in `more` the kinds of records that there are besides the clients."""
    suspended = more.pop("suspended", ())
    at, route = more.pop("at", NOW), more.pop("route", None)
    ours = {"id": OURS, "name": "ours", "certificate": ISSUING.pem, "admits": "issued", "estate": None}
    clients = [
        {"id": id, "name": title, "roles": ["staff"], "suspended": id in suspended}
        for id, title in ((ALICE, "alice"), (ACME, "acme"), (OTHER, "other"), (BOB, "bob"))
    ]
    snapshot = {"authorities": [ours], "clients": clients, "credentials": [], "revocations": []}
    return {
        "name": title,
        "snapshot": snapshot | more,
        "chain": [pem(one) for one in chain],
        "at": at,
        "route": route,
        "verdict": "refused" if reason else "admitted",
        "reason": reason,
        "certificate": blame if reason else None,
        "issuer_known": known if reason else None,
        "client": holder,
        "evidence": evidence,
        "partner": of,
    }


def pinned(title: str, chain: Sequence[Made | str], pins: list[Record], **more: Any) -> Record:
    return vector(title, chain, holder=more.pop("holder", ALICE), evidence="pin", pins=pins, **more)


def vouched(
    title: str,
    chain: Sequence[Made | str],
    partners: list[Record],
    anchors: list[Record],
    *,
    holder: int | None = ACME,
    of: str | None = "acme",
    **more: Any,
) -> Record:
    return vector(title, chain, holder=holder, evidence="partner", of=of, partners=partners, anchors=anchors, **more)


def acme(*rules: str | Record, **more: Any) -> list[Record]:
    return [partner(*(rules or ("dns:*.acme.example",)), **more)]


def pins() -> list[Record]:
    _, old = openssl_recipe(with_key=True)
    recipe = make("alice", ca=True)
    own = make("alice")
    same_key = make("somebody else", key=own.key)
    twin = make("alice", serial=own.certificate.serial_number)
    strange = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    below = make("mallory", recipe)
    swapped = pin(own) | {"digest": key_hash(own)}
    swapped_key = pin(own, "key") | {"digest": fingerprint(own)}
    issued = make("alice", ISSUING)
    listed = {"fingerprint": fingerprint(issued), "id": 10, "client": ALICE, "authority": OURS}
    known: dict[str, Any] = {"credentials": [listed]}
    gone: dict[str, Any] = {"revocations": [{"authority": OURS, "serial": serial(issued), "at": NOW - 60, "reason": 1}]}
    early = make("alice", before=AT + 121 * SECOND)
    soon = make("alice", before=AT + 120 * SECOND)
    late = make("alice", after=AT - SECOND)
    last = make("alice", after=AT)
    weak = make("alice", key=rsa.generate_private_key(65537, 1024))
    server = make("alice", eku=(Eku.SERVER_AUTH,))
    critical = make("alice", extra=[(strange, True)])
    everywhere = {"client_certificate": "required", "roles": [], "clients": []}
    return [
        pinned("signed by itself, CA:TRUE as openssl makes it", [recipe], [pin(recipe)]),
        vector("the same, and not pinned", [recipe], "unknown_issuer", known=False, pins=[pin(own)]),
        vector(
            "R4: issued by a pinned CA:TRUE one",
            [below, recipe],
            "unknown_issuer",
            blame=1,
            known=False,
            pins=[pin(recipe), pin(recipe, "key", id=71)],
        ),
        pinned("X.509 v1", [old], [pin(old)]),
        pinned("for servers", [server], [pin(server)]),
        pinned("with a critical extension that nobody knows", [critical], [pin(critical)]),
        pinned("of an issuer that is not known", [leaf(make("Nobody", ca=True))], [])
        | {"verdict": "refused", "reason": "unknown_issuer", "certificate": 0, "issuer_known": False, "client": None},
        pinned("with a companion that is no issuer of it", [own, CA], [pin(own)]),
        vector(
            "R3: the same names and number with another key",
            [twin],
            "unknown_issuer",
            known=False,
            pins=[pin(own), pin(own, "key")],
        ),
        vector(
            "another certificate with a key of which one was pinned",
            [same_key],
            "unknown_issuer",
            known=False,
            pins=[pin(own)],
        ),
        pinned("another certificate with a pinned key", [same_key], [pin(own, "key")]),
        vector("the hash of the key as that of the certificate", [own], "unknown_issuer", known=False, pins=[swapped]),
        vector(
            "the hash of the certificate as that of the key", [own], "unknown_issuer", known=False, pins=[swapped_key]
        ),
        pinned("of two pins, the exact one", [own], [pin(own), pin(own, "key", client=BOB, id=71)]),
        vector("a pinned one that is not yet valid", [early], "not_yet_valid", holder=ALICE, pins=[pin(early)]),
        pinned("R28: made by a clock that is two minutes ahead", [soon], [pin(soon)]),
        vector("a pinned one that has expired", [late], "expired", holder=ALICE, pins=[pin(late)]),
        pinned("a pinned one in its last second", [last], [pin(last)]),
        vector("a pinned weak key", [weak], "weak_key", known=False, pins=[pin(weak)]),
        vector("a suspended client", [own], "client_suspended", holder=ALICE, pins=[pin(own)], suspended=[ALICE]),
        vector("of a client that is gone", [own], "not_enrolled", pins=[pin(own, client=99)]),
        vector(
            "one of ours that was revoked, pinned by its key",
            [issued],
            "revoked",
            holder=ALICE,
            pins=[pin(issued, "key")],
            **known,
            **gone,
        ),
        pinned("one of ours, pinned by its key", [issued], [pin(issued, "key")], **known),
        pinned(
            "a pin for tests on a site for tests",
            [own],
            [pin(own, environment="test")],
            route=everywhere | {"environment": "test"},
        ),
        vector(
            "a pin for tests elsewhere",
            [own],
            "not_granted",
            blame=None,
            holder=ALICE,
            pins=[pin(own, environment="test")],
            route=everywhere,
        ),
        vector(
            "a pin for tests in production",
            [own],
            "not_granted",
            blame=None,
            holder=ALICE,
            pins=[pin(own, environment="test")],
            route=everywhere | {"environment": "production"},
        ),
        pinned("a pin for all on a site for tests", [own], [pin(own)], route=everywhere | {"environment": "test"}),
        vector(
            "a pin for tests where none is needed",
            [own],
            evidence=None,
            pins=[pin(own, environment="test")],
            route=everywhere | {"client_certificate": "optional"},
        ),
        vector("refused, on a route that shows it", [own], route=everywhere | {"client_certificate": "shown"}),
        pinned(
            "admitted, on a route that shows it", [own], [pin(own)], route=everywhere | {"client_certificate": "shown"}
        ),
    ]


def pin_retired() -> list[Record]:
    own = make("alice")
    issued = make("alice", ISSUING)
    retired: dict[str, Any] = {"retired": True}
    known = {"fingerprint": fingerprint(issued), "id": 10, "client": ALICE, "authority": OURS}
    return [
        vector("a certificate that was retired", [own], "pin_retired", holder=ALICE, pins=[pin(own, **retired)]),
        vector("a key that was retired", [own], "pin_retired", holder=ALICE, pins=[pin(own, "key", **retired)]),
        pinned("one that was not", [own], [pin(own)]),
        vector("a second after the pin's end", [own], "pin_retired", holder=ALICE, pins=[pin(own, not_after=NOW - 1)]),
        pinned("in the pin's last second", [own], [pin(own, not_after=NOW)]),
        vector("before the pin counts", [own], "not_yet_valid", holder=ALICE, pins=[pin(own, not_before=NOW + 121)]),
        pinned("as soon as the pin counts", [own], [pin(own, not_before=NOW + 120)]),
        vector(
            "retired, though its key is pinned",
            [own],
            "pin_retired",
            holder=ALICE,
            pins=[pin(own, **retired), pin(own, "key", id=71)],
        ),
        pinned("pinned, though its key was retired", [own], [pin(own), pin(own, "key", id=71, **retired)]),
        vector(
            "retired, though an authority of ours issued it",
            [issued],
            "pin_retired",
            holder=ALICE,
            pins=[pin(issued, **retired)],
            credentials=[known],
        ),
        vector(
            "retired, and of a suspended client",
            [own],
            "pin_retired",
            holder=ALICE,
            pins=[pin(own, **retired)],
            suspended=[ALICE],
        ),
    ]


def name_not_permitted() -> list[Record]:
    def pair(title: str, rules: Sequence[str | Record], good: Subject, bad: Subject, **more: Any) -> list[Record]:
        """A certificate that the rules permit, and the nearest that they do not: alternative names or a subject."""

        def certificate(names: Subject) -> Made:
            if isinstance(names, x509.Name):
                return make(names, CA)
            return make("alice", CA, sans=names)

        found = []
        for which, names in (("inside", good), ("outside", bad)):
            chain = [certificate(names)]
            records: dict[str, Any] = {"partners": acme(*rules), "anchors": [anchor(CA)]}
            if which == "inside":
                found.append(vouched(f"{title}: inside", chain, records["partners"], records["anchors"], **more))
            else:
                found.append(vector(f"{title}: outside", chain, "name_not_permitted", **records))
        return found

    def subject(**parts: str) -> x509.Name:
        kinds = {"cn": NameOID.COMMON_NAME, "o": NameOID.ORGANIZATION_NAME, "c": NameOID.COUNTRY_NAME}
        return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in parts.items()])

    mail, uri, ip = x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress
    address = ipaddress.ip_address
    upn = x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x07a@x.org")
    shared = {"shared": True}
    other_ca = make("Acme Issuing CA", ca=True)
    both = [partner("dns:*.acme.example"), partner("dns:*.other.example", id=2)]
    cas = [anchor(CA), anchor(other_ca, id=6, of=2)]
    public = [anchor(CA, **shared), anchor(CA, id=6, of=2, **shared)]
    exact = [partner(rule("dns:a.acme.example", 5)), partner(rule("dns:a.other.example", 6), id=2)]
    return [
        *pair("a host, exactly", ["dns:api.acme.example"], [DNS("API.acme.example")], [DNS("b.acme.example")]),
        *pair("hosts below", ["dns:*.acme.example"], [DNS("a.b.acme.example")], [DNS("acme.example")]),
        *pair("hosts below, a longer name", ["dns:*.acme.example"], [DNS("x.acme.example")], [DNS("xacme.example")]),
        *pair("a wildcard", ["dns:*.acme.example"], [DNS("*.b.acme.example")], [DNS("*.example")]),
        *pair(
            "all names count",
            ["dns:*.acme.example"],
            [DNS("a.acme.example"), DNS("b.acme.example")],
            [DNS("a.acme.example"), DNS("a.other.example")],
        ),
        *pair("a mailbox, exactly", ["email:a@acme.example"], [mail("a@Acme.example")], [mail("A@acme.example")]),
        *pair("mailboxes of a host", ["email:*@acme.example"], [mail("x@acme.example")], [mail("x@m.acme.example")]),
        *pair("a URI, exactly", ["uri:spiffe://acme/api"], [uri("spiffe://ACME/api")], [uri("spiffe://acme/api/b")]),
        *pair("URIs below", ["uri:spiffe://acme/*"], [uri("spiffe://acme/a/b")], [uri("spiffe://acme/../other/b")]),
        *pair("an address", ["ip:192.0.2.7"], [ip(address("192.0.2.7"))], [ip(address("192.0.2.8"))]),
        *pair("a network", ["ip:192.0.2.0/24"], [ip(address("192.0.2.255"))], [ip(address("192.0.3.0"))]),
        *pair(
            "a subject, exactly",
            ["dn:CN=api,O=Acme\\, Inc"],
            subject(o="Acme, Inc", cn="api"),
            subject(o="Acme, Inc", cn="API"),
        ),
        *pair("subjects", ["dn:CN=*,O=Acme"], subject(o="Acme", cn="anybody"), subject(o="Acme", cn="a", c="DE")),
        *pair("subjects in another order", ["dn:CN=*,O=Acme"], subject(o="Acme", cn="a"), subject(cn="a", o="Acme")),
        *pair(
            "of two kinds",
            ["dns:*.acme.example", "email:*@acme.example"],
            [DNS("a.acme.example"), mail("a@acme.example")],
            [DNS("a.acme.example"), mail("a@other.example")],
        ),
        vector(
            "a subject beside an alternative name is decoration",
            [make("alice", CA, sans=[DNS("x.example")])],
            "name_not_permitted",
            partners=acme("dn:CN=alice"),
            anchors=[anchor(CA)],
        ),
        vouched("a subject alone is a name", [make("alice", CA)], acme("dn:CN=alice"), [anchor(CA)]),
        vector("no rule, nothing admitted", [leaf()], "name_not_permitted", partners=[partner()], anchors=[anchor(CA)]),
        vector(
            "a user principal name is somebody's name, too",
            [make("alice", CA, sans=[DNS("a.acme.example"), upn])],
            "name_not_permitted",
            partners=acme(),
            anchors=[anchor(CA)],
        ),
        vector(
            "a directory name",
            [make("alice", CA, sans=[DNS("a.acme.example"), x509.DirectoryName(name("x"))])],
            "name_not_permitted",
            partners=acme(),
            anchors=[anchor(CA)],
        ),
        vector(
            "R18: a control character in a subject",
            [make(subject(cn="a\nb"), CA)],
            "name_not_permitted",
            partners=acme("dn:CN=*"),
            anchors=[anchor(CA)],
        ),
        vector(
            "neither a subject nor another name",
            [make(x509.Name([]), CA)],
            "name_not_permitted",
            partners=acme("dn:CN=*", "dns:*.acme.example"),
            anchors=[anchor(CA)],
        ),
        vector(
            "a rule of another of its CAs",
            [leaf()],
            "name_not_permitted",
            partners=acme(rule("dns:a.acme.example", 6)),
            anchors=[anchor(CA), anchor(other_ca, id=6)],
        ),
        vouched("a rule of this CA alone", [leaf()], acme(rule("dns:a.acme.example", 5)), [anchor(CA)]),
        vector(
            "R1: a partner vouches for another's name",
            [leaf(CA, DNS("a.other.example"))],
            "name_not_permitted",
            partners=both,
            anchors=cas,
        ),
        vouched(
            "the other vouches for it, under an equal CA name",
            [leaf(other_ca, DNS("a.other.example"))],
            both,
            cas,
            holder=OTHER,
            of="other",
        ),
        vouched("and each for its own", [leaf()], both, cas),
        vector(
            "P6: a shared CA and a pattern",
            [leaf()],
            "name_not_permitted",
            partners=acme(rule("dns:*.acme.example", 5)),
            anchors=[anchor(CA, **shared)],
        ),
        vector(
            "P6: a shared CA and a rule for all CAs",
            [leaf()],
            "name_not_permitted",
            partners=acme("dns:a.acme.example"),
            anchors=[anchor(CA, **shared)],
        ),
        vouched("P6: a shared CA and its exact rule", [leaf()], exact, public),
        vouched(
            "P6: the same CA, the other partner",
            [leaf(CA, DNS("a.other.example"))],
            exact,
            public,
            holder=OTHER,
            of="other",
        ),
        vector(
            "P6: somebody else under the same CA",
            [leaf(CA, DNS("b.acme.example"))],
            "name_not_permitted",
            partners=exact,
            anchors=public,
        ),
    ]


def partners() -> list[Record]:
    middle = make("Acme Sub CA", CA, ca=True)
    deeper = make("Acme Deeper CA", middle, ca=True)
    sibling = make("Acme Second CA", ROOT, ca=True)
    namesake = make("Acme Issuing CA", ca=True)
    cross = make(CA.certificate.subject, namesake, key=CA.key, ca=True)
    limited = make("Acme Limited CA", CA, ca=True, extra=[(x509.NameConstraints([DNS("b.acme.example")], None), True)])
    servers = make("Acme Server CA", CA, ca=True, extra=[(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)])
    clients = make("Acme Client CA", CA, ca=True, extra=[(x509.ExtendedKeyUsage([Eku.CLIENT_AUTH]), False)])
    weak = make("Acme Weak CA", CA, ca=True, key=rsa.generate_private_key(65537, 1024))
    weak_ca = make("Acme Weak Issuing CA", ca=True, key=rsa.generate_private_key(65537, 1024))
    v1_root, v1 = openssl_recipe(with_key=True)
    sha1_root, sha1 = openssl_recipe(leaf_options=("-sha1",))
    v1_ca, under_v1 = openssl_recipe(version_one_root=True, with_key=True)
    foreign_ca = make("Other Issuing CA", ca=True)
    both = [partner("dns:*.acme.example"), partner("dns:*.other.example", id=2)]
    good, other = leaf(), leaf(CA, DNS("b.acme.example"))
    ours = make("alice", ISSUING, sans=[DNS("a.acme.example")])
    known = {"fingerprint": fingerprint(ours), "id": 10, "client": ALICE, "authority": OURS}
    gone = {"authority": OURS, "serial": serial(ours), "at": NOW - 60, "reason": 1}
    everywhere = {"client_certificate": "required", "roles": [], "clients": []}
    deep = [anchor(CA, depth=1)]
    month = {"leaf_limit_seconds": 30 * DAYS}

    def refused(title: str, chain: Sequence[Made | str], reason: str, **more: Any) -> Record:
        more.setdefault("partners", acme())
        more.setdefault("anchors", [anchor(CA)])
        return vector(title, chain, reason, **more)

    def passes(title: str, chain: Sequence[Made | str], **more: Any) -> Record:
        return vouched(title, chain, more.pop("partners", acme()), more.pop("anchors", [anchor(CA)]), **more)

    return [
        passes("any under the rule", [good]),
        passes("a member is its own client", [good], holder=ALICE, members=[member("dns:a.acme.example")]),
        refused(
            "only members, and this is none",
            [good],
            "not_enrolled",
            partners=acme(admits="listed"),
            members=[member("dns:b.acme.example")],
        ),
        passes(
            "only members, and this is one",
            [good],
            partners=acme(admits="listed"),
            holder=ALICE,
            members=[member("dns:a.acme.example")],
        ),
        refused("nobody approved it", [good], "not_enrolled", partners=acme(admits="approval")),
        passes(
            "somebody approved it",
            [good],
            partners=acme(admits="approval"),
            holder=ALICE,
            members=[member("dns:a.acme.example")],
        ),
        refused(
            "another partner's member of that name",
            [good],
            "not_enrolled",
            partners=acme(admits="listed"),
            members=[member("dns:a.acme.example", of=2)],
        ),
        refused(
            "a member that is suspended",
            [good],
            "client_suspended",
            holder=ALICE,
            suspended=[ALICE],
            members=[member("dns:a.acme.example")],
        ),
        refused("a partner that is suspended", [good], "client_suspended", holder=ACME, partners=acme(suspended=True)),
        refused(
            "a partner that is suspended, with a member",
            [good],
            "client_suspended",
            holder=ALICE,
            partners=acme(suspended=True),
            members=[member("dns:a.acme.example")],
        ),
        refused("a CA of nobody's", [good], "unknown_issuer", known=False, anchors=[anchor(foreign_ca)]),
        refused("a CA whose partner is gone", [good], "unknown_issuer", known=False, partners=[]),
        refused(
            "R2: another CA with an equal name, and no key identifier",
            [leaf(namesake, aki=False)],
            "bad_signature",
            known=False,
        ),
        passes("R2: both are tried", [leaf(namesake, aki=False)], anchors=[anchor(CA), anchor(namesake, id=6)]),
        refused(
            "R9: under a sibling of the CA that was registered",
            [leaf(sibling), sibling, ROOT],
            "unknown_issuer",
            blame=2,
            known=False,
        ),
        refused("R9: under the root of the CA that was registered", [leaf(ROOT)], "unknown_issuer", known=False),
        refused("R9: one CA more than the one that was registered", [leaf(middle), middle], "path_invalid", blame=1),
        passes("R9: one CA more where one may be", [leaf(middle), middle], anchors=deep),
        refused(
            "R9: two CAs more where one may be", [leaf(deeper), deeper, middle], "path_invalid", blame=1, anchors=deep
        ),
        refused(
            "R9: a CA that is not on the list",
            [leaf(middle), middle],
            "path_invalid",
            blame=1,
            anchors=[anchor(CA, depth=1, sub_cas=[key_hash(deeper)])],
        ),
        passes(
            "R9: a CA that is on the list",
            [leaf(middle), middle],
            anchors=[anchor(CA, depth=1, sub_cas=[key_hash(middle)])],
        ),
        refused("R10: its intermediate was not sent", [leaf(middle)], "unknown_issuer", known=False, anchors=deep),
        passes(
            "R10: its partner registered the intermediate",
            [leaf(middle)],
            partners=acme(helpers=[middle]),
            anchors=deep,
        ),
        refused(
            "R10: another partner registered the intermediate",
            [leaf(middle)],
            "unknown_issuer",
            known=False,
            partners=[partner("dns:*.acme.example"), partner("dns:*.acme.example", id=2, helpers=[middle])],
            anchors=deep,
        ),
        refused(
            "R10: an intermediate is trusted by nobody",
            [leaf(sibling)],
            "unknown_issuer",
            known=False,
            partners=acme(helpers=[sibling]),
        ),
        refused(
            "R10: a registered intermediate below the wrong depth",
            [leaf(middle)],
            "path_invalid",
            blame=None,
            partners=acme(helpers=[middle]),
        ),
        refused(
            "R8: after the day that was agreed", [good], "expired", blame=None, anchors=[anchor(CA, not_after=NOW - 1)]
        ),
        passes("R8: on the day that was agreed", [good], anchors=[anchor(CA, not_after=NOW)]),
        passes(
            "R8: in the grace of a CA that has expired",
            [make("alice", make("Late CA", key=CA.key, ca=True, after=AT - DAY), sans=[DNS("a.acme.example")])],
            anchors=[anchor(make("Late CA", key=CA.key, ca=True, after=AT - DAY), not_after=NOW + DAYS)],
        ),
        refused(
            "before the day that was agreed",
            [good],
            "not_yet_valid",
            blame=None,
            anchors=[anchor(CA, not_before=NOW + 1)],
        ),
        refused("R15: SHA-1", [sha1], "bad_signature", known=False, anchors=[anchor(sha1_root)]),
        refused(
            "R15: an intermediate with RSA 1024", [leaf(weak), weak], "weak_key", blame=1, known=False, anchors=deep
        ),
        refused("R15: a CA with RSA 1024", [leaf(weak_ca)], "unknown_issuer", known=False, anchors=[anchor(weak_ca)]),
        refused("R16: for servers", [leaf(eku=(Eku.SERVER_AUTH,))], "not_for_client_auth"),
        passes("R16: for servers and clients", [leaf(eku=(Eku.SERVER_AUTH, Eku.CLIENT_AUTH))]),
        passes("R16: for anything", [leaf(eku=(Eku.ANY_EXTENDED_KEY_USAGE,))]),
        passes("R16: not said for what", [leaf(eku=())]),
        refused("R16: under a CA for servers", [leaf(servers), servers], "not_for_client_auth", blame=1, anchors=deep),
        passes("R16: under a CA for clients", [leaf(clients), clients], anchors=deep),
        refused("R17: CA:TRUE", [leaf(ca=True)], "ca_as_client"),
        passes("R17: CA:FALSE", [leaf(ca=False)]),
        refused("R17: the CA itself", [CA], "ca_as_client"),
        refused("R17: may sign certificates", [leaf(usage=("digital_signature", "key_cert_sign"))], "path_invalid"),
        refused("R17: X.509 v1", [v1], "path_invalid", anchors=[anchor(v1_root)], partners=acme("dn:CN=*")),
        refused(
            "R17: under an X.509 v1 CA",
            [make("alice", Made(x509.load_pem_x509_certificate(v1_ca.encode()), under_v1.key), aki=False)],
            "bad_signature",
            known=False,
            anchors=[anchor(v1_ca)],
        ),
        refused(
            "its issuer may not vouch for it (RFC 5280 4.2.1.10)",
            [leaf(limited), limited],
            "path_invalid",
            anchors=deep,
        ),
        passes("its issuer may vouch for it", [leaf(limited, DNS("b.acme.example")), limited], anchors=deep),
        refused("revoked", [good], "revoked", holder=ACME, foreign=[foreign(good)]),
        refused(
            "revoked, a member",
            [good],
            "revoked",
            holder=ALICE,
            foreign=[foreign(good)],
            members=[member("dns:a.acme.example")],
        ),
        passes("R13: revoked under another CA", [good], foreign=[foreign(good, under=6)]),
        passes("another one revoked", [good], foreign=[foreign(other)]),
        refused(
            "its CA was revoked",
            [leaf(middle), middle],
            "revoked",
            blame=1,
            holder=ACME,
            anchors=deep,
            foreign=[foreign(middle)],
        ),
        passes(
            "a number of its own CA's, among those that the CA above revoked",
            [leaf(middle, serial=77), middle],
            anchors=deep,
            foreign=[foreign(leaf(serial=77))],
        ),
        refused(
            "R12: nobody asks for revocations, and it lives long",
            [leaf(before=AT - DAY, after=AT + 29 * DAY + SECOND)],
            "path_invalid",
            anchors=[anchor(CA, **month)],
        ),
        passes(
            "R12: nobody asks for revocations, and it does not",
            [leaf(before=AT - DAY, after=AT + 29 * DAY)],
            anchors=[anchor(CA, **month)],
        ),
        refused("R28: three minutes ahead", [leaf(before=AT + 180 * SECOND)], "not_yet_valid"),
        passes("R28: two minutes ahead", [leaf(before=AT + 120 * SECOND)]),
        refused("expired", [leaf(after=AT - SECOND)], "expired"),
        passes("in its last second", [leaf(after=AT)]),
        passes(
            "R23: a CA for tests on a site for tests",
            [good],
            anchors=[anchor(CA, environment="test")],
            route=everywhere | {"environment": "test"},
        ),
        refused(
            "R23: a CA for tests in production",
            [good],
            "not_granted",
            blame=None,
            holder=ACME,
            anchors=[anchor(CA, environment="test")],
            route=everywhere | {"environment": "production"},
        ),
        refused(
            "ours, revoked, though a partner vouches for it",
            [ours],
            "revoked",
            holder=ALICE,
            anchors=[anchor(ISSUING)],
            credentials=[known],
            revocations=[gone],
        ),
        refused(
            "ours, not issued as far as the store knows, though a partner vouches for it",
            [ours],
            "not_enrolled",
            anchors=[anchor(ISSUING)],
        ),
        passes(
            "R22: cross-signed by another partner",
            [good],
            partners=[partner("dns:*.acme.example"), partner("dns:*.other.example", id=2, helpers=[cross])],
            anchors=[anchor(CA), anchor(namesake, id=6, of=2, depth=1)],
        ),
        refused(
            "R22: expired, and cross-signed by another partner",
            [leaf(after=AT - SECOND)],
            "expired",
            partners=[partner("dns:*.acme.example"), partner("dns:*.other.example", id=2, helpers=[cross])],
            anchors=[anchor(CA), anchor(namesake, id=6, of=2, depth=1)],
        ),
        refused(
            "R22: a longer path, expired, and cross-signed by another partner",
            [leaf(middle), make("Acme Sub CA", CA, key=middle.key, ca=True, after=AT - SECOND)],
            "expired",
            blame=1,
            partners=[
                partner("dns:*.acme.example"),
                partner("dns:*.other.example", id=2, helpers=[make("Acme Sub CA", namesake, key=middle.key, ca=True)]),
            ],
            anchors=[anchor(CA, depth=1), anchor(namesake, id=6, of=2, depth=1)],
        ),
        refused(
            "R22: a name of the other's, by way of a CA that it cross-signed",
            [leaf(middle, DNS("a.other.example"))],
            "name_not_permitted",
            partners=both,
            anchors=[anchor(CA, depth=1), anchor(foreign_ca, id=6, of=2)],
        )
        | {"chain": [leaf(middle, DNS("a.other.example")).pem, middle.pem]},
    ]


def own_terms() -> list[Record]:
    """R9: a CA that its partner registered is under its own terms, also where the CA above it was registered, too."""
    good = leaf()
    anew = make("Acme Issuing CA", ROOT, ca=True, key=CA.key)
    namesake = make("Acme Issuing CA", ca=True)
    above, gone = anchor(ROOT, id=6, depth=1), [foreign(good)]
    strict = anchor(CA, revocation="fail")
    listed = [{"scope": "", "this_update": NOW - DAYS, "next_update": NOW + DAYS}]
    both = [partner("dns:*.acme.example"), partner("dns:*.other.example", id=2)]
    retired, next_key = anchor(CA, retired=True), make("Acme Issuing CA", ROOT, ca=True)

    def refused(title: str, chain: Sequence[Made], reason: str, **more: Any) -> Record:
        more.setdefault("holder", ACME)
        more.setdefault("partners", acme())
        more.setdefault("anchors", [strict, above])
        return vector(title, chain, reason, **more)

    def passes(title: str, chain: Sequence[Made], *anchors: Record, **more: Any) -> Record:
        return vouched(title, chain, more.pop("partners", acme()), list(anchors), **more)

    return [
        refused("revoked", [good], "revoked", foreign=gone),
        refused("revoked, with its CA", [good, CA], "revoked", foreign=gone),
        refused("revoked, with its CA, signed anew", [good, anew], "revoked", foreign=gone),
        refused("revoked, its CA as a help", [good], "revoked", foreign=gone, partners=acme(helpers=[CA])),
        refused("no list", [good, CA], "crl_missing"),
        refused("no list, its CA as a help", [good], "crl_missing", partners=acme(helpers=[CA])),
        refused(
            "no longer accepted",
            [good, CA],
            "expired",
            blame=None,
            holder=None,
            anchors=[anchor(CA, not_after=NOW - 1), above],
        ),
        refused("retired", [good], "unknown_issuer", known=False, holder=None, anchors=[retired, above]),
        refused(
            "retired, with its CA",
            [good, CA],
            "unknown_issuer",
            blame=1,
            known=False,
            holder=None,
            anchors=[retired, above],
        ),
        refused(
            "retired, its CA as a help",
            [good],
            "unknown_issuer",
            known=False,
            holder=None,
            anchors=[retired, above],
            partners=acme(helpers=[CA]),
        ),
        passes("retired, and its next key counts", [leaf(next_key)], anchor(next_key), anchor(CA, id=7, retired=True)),
        passes(
            "R22: retired by another partner",
            [good, CA],
            anchor(CA, of=2, retired=True),
            above,
            partners=both,
        ),
        passes("a list", [good, CA], anchor(CA, revocation="fail", lists=listed), above),
        passes("not registered itself", [good, CA], above, foreign=gone),
        passes("of the same name, and not that CA", [good, CA], anchor(namesake, revocation="fail"), above),
        passes(
            "R22: registered by another partner",
            [good, CA],
            anchor(CA, of=2, revocation="fail"),
            above,
            partners=both,
            foreign=gone,
        ),
    ]


def crl_missing() -> list[Record]:
    there = {"this_update": NOW - DAYS, "next_update": NOW + DAYS}
    plain = leaf()
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(LIST)], None, None, None)
    pointing = leaf(extra=[(x509.CRLDistributionPoints([point]), False)])
    some = x509.DistributionPoint(
        [x509.UniformResourceIdentifier(LIST)], None, frozenset([x509.ReasonFlags.key_compromise]), None
    )
    partly = leaf(extra=[(x509.CRLDistributionPoints([some]), False)])
    middle = make("Acme Sub CA", CA, ca=True)
    below = leaf(middle)
    below_pointing = leaf(middle, serial=77, extra=[(x509.CRLDistributionPoints([point]), False)])
    next_key = make("Acme Issuing CA", CA, ca=True)
    below_next_key = leaf(next_key)

    def named(address: str) -> Made:
        there = x509.DistributionPoint([x509.UniformResourceIdentifier(address)], None, None, None)
        return leaf(extra=[(x509.CRLDistributionPoints([there]), False)])

    def scoped(scope: str, **more: Any) -> Record:
        return {"revocation": "fail", "lists": [{"scope": scope, **there}]} | more

    def missing(title: str, chain: Sequence[Made], reason: str = "crl_missing", **more: Any) -> Record:
        terms = more.pop("terms")
        return vector(title, chain, reason, holder=ACME, partners=acme(), anchors=[anchor(CA, **terms)], **more)

    def there_is(title: str, chain: Sequence[Made], **more: Any) -> Record:
        return vouched(title, chain, acme(), [anchor(CA, **more.pop("terms"))], **more)

    deep = scoped(LIST, depth=1)
    number = format(plain.certificate.serial_number, "x")
    even = format(int(serial(plain), 16), "x").zfill(len(serial(plain)))
    return [
        missing("no list at all", [plain], terms={"revocation": "fail"}),
        missing("no list at all, with grace", [plain], terms={"revocation": "grace", "grace_seconds": 9 * DAYS}),
        there_is("none, and none is asked for", [plain], terms={"revocation": "ignore"}),
        there_is("a list of all", [plain], terms=scoped("")),
        missing("a list of others", [plain], terms=scoped(LIST)),
        missing("a list of another distribution point", [pointing], terms=scoped(LIST + "x")),
        there_is("a list of its distribution point", [pointing], terms=scoped(LIST)),
        missing("a list for some reasons only", [partly], terms=scoped(LIST)),
        missing("a list of CAs only, which it names", [named("ca")], terms=scoped("ca")),
        missing("an answer about another, which it names", [named("ocsp:7f")], terms=scoped("ocsp:7f")),
        missing("a list of CAs only", [plain], terms=scoped("ca")),
        there_is("an answer about it", [plain], terms=scoped(f"ocsp:{number}")),
        there_is("an answer about it, in whole octets", [plain], terms=scoped(f"ocsp:{even}")),
        missing("an answer about another", [plain], terms=scoped("ocsp:7f")),
        missing(
            "R28: a list of the day after",
            [plain],
            terms=scoped("") | {"lists": [{"scope": "", "this_update": NOW + 121, "next_update": NOW + DAYS}]},
        ),
        there_is(
            "R28: a list that is two minutes ahead",
            [plain],
            terms=scoped("") | {"lists": [{"scope": "", "this_update": NOW + 120, "next_update": NOW + DAYS}]},
        ),
        missing("revoked, and no list", [plain], "revoked", terms={"revocation": "fail"}, foreign=[foreign(plain)]),
        missing("of a CA below, whose numbers are its own", [below, middle], terms=scoped("", depth=1)),
        missing("of a CA below, and it names a list of the CA above", [below_pointing, middle], terms=deep),
        missing(
            "of a CA below, and it names a list that revokes its number",
            [below_pointing, middle],
            terms=deep,
            foreign=[foreign(below_pointing)],
        ),
        there_is(
            "of a CA below, and it names a list that revokes its number, and none is asked for",
            [below_pointing, middle],
            terms=deep | {"revocation": "ignore"},
            foreign=[foreign(below_pointing)],
        ),
        missing(
            "of a CA below, and an answer about its number", [below_pointing, middle], terms=scoped("ocsp:4d", depth=1)
        ),
        missing(
            "of a CA below that was revoked, and none is asked for",
            [below_pointing, middle],
            "revoked",
            blame=1,
            terms=deep | {"revocation": "ignore"},
            foreign=[foreign(middle)],
        ),
        missing("of the same CA with another key", [below_next_key, next_key], terms=scoped("", depth=1)),
        missing(
            "of the same CA with another key, revoked",
            [below_next_key, next_key],
            "revoked",
            terms=scoped("", depth=1, revocation="ignore"),
            foreign=[foreign(below_next_key)],
        ),
    ]


def crl_expired() -> list[Record]:
    plain = leaf()

    def lists(*ends: tuple[str, int]) -> list[Record]:
        return [{"scope": scope, "this_update": NOW - 9 * DAYS, "next_update": end} for scope, end in ends]

    def expired(
        title: str, *ends: tuple[str, int], reason: str = "crl_expired", terms: Terms = FAIL, **more: Any
    ) -> Record:
        said: dict[str, Any] = dict(terms) | {"lists": lists(*ends)}
        return vector(title, [plain], reason, holder=ACME, partners=acme(), anchors=[anchor(CA, **said)], **more)

    def in_force(title: str, *ends: tuple[str, int], terms: Terms = FAIL) -> Record:
        return vouched(title, [plain], acme(), [anchor(CA, **dict(terms), lists=lists(*ends))])

    grace = (("revocation", "grace"), ("grace_seconds", 3600))
    answer = f"ocsp:{plain.certificate.serial_number:x}"
    return [
        expired("a second after its nextUpdate", ("", NOW - 1)),
        in_force("in the second of its nextUpdate", ("", NOW)),
        expired("a second after the grace", ("", NOW - 3601), terms=grace),
        in_force("in the last second of the grace", ("", NOW - 3600), terms=grace),
        expired("grace is for who has it", ("", NOW - 1), terms=(("revocation", "fail"), ("grace_seconds", 3600))),
        in_force("an old list and a newer answer", ("", NOW - 1), (answer, NOW + 60)),
        expired("an old list and an old answer", ("", NOW - 1), (answer, NOW - 60)),
        in_force("old, and none is asked for", ("", NOW - 1), terms=(("revocation", "ignore"),)),
        expired("revoked on an old list", ("", NOW - 1), reason="revoked", foreign=[foreign(plain)]),
    ]


def policies() -> list[Record]:
    """R9: what is issued under one certificate policy alone."""
    required, other, any_policy = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2", "2.5.29.32.0"

    def under(*policies: str, critical: bool = False) -> Extension:
        wanted = [x509.PolicyInformation(ObjectIdentifier(one), ["https://acme.example/cps"]) for one in policies]
        return (x509.CertificatePolicies(wanted), critical)

    def raw(oid: str, value: str, critical: bool = False) -> Extension:
        return (x509.UnrecognizedExtension(ObjectIdentifier(oid), bytes.fromhex(value)), critical)

    def ca(*extra: Extension, title: str = "Acme Sub CA", issuer: Made = CA) -> Made:
        return make(title, issuer, ca=True, extra=extra)

    pair = {"issuer_domain_policy": required, "subject_domain_policy": other}
    mapping = asn1_x509.PolicyMappings([pair]).dump().hex()
    needs = (x509.PolicyConstraints(0, None), True)
    named, other_one, whatever = under(required), under(other), under(any_policy)
    direct, deep = [anchor(CA, policy=required)], [anchor(CA, depth=1, policy=required)]
    strict_ca = make("Strict CA", ca=True, extra=[(x509.InhibitAnyPolicy(0), True)])
    needy_ca = make("Needy CA", ca=True, extra=[needs])

    def refused(title: str, chain: Sequence[Made | str], blame: int | None = 0, **more: Any) -> Record:
        more.setdefault("anchors", deep)
        return vector(title, chain, "path_invalid", blame=blame, partners=acme(), **more)

    def passes(title: str, chain: Sequence[Made | str], **more: Any) -> Record:
        return vouched(title, chain, acme(), more.pop("anchors", deep), **more)

    def below(issuer: Made, *extra: Extension) -> list[Made]:
        return [leaf(issuer, extra=extra), issuer]

    return [
        passes("under the policy", [leaf(extra=[named])], anchors=direct),
        passes("under it and another", [leaf(extra=[under(other, required, critical=True)])], anchors=direct),
        refused("under another", [leaf(extra=[other_one])], anchors=direct),
        refused("under none", [leaf()], anchors=direct),
        refused("a leaf under any", [leaf(extra=[whatever])], anchors=direct),
        refused("one that begins like it", [leaf(extra=[under(required + ".1")])], anchors=direct),
        refused("policies that cannot be read", [leaf(extra=[raw("2.5.29.32", "3006300406022a")])], anchors=direct),
        vouched("and no policy is required", [leaf()], acme(), [anchor(CA)]),
        vouched(
            "unreadable, and no policy is required",
            [leaf(extra=[raw("2.5.29.32", "3006300406022a")])],
            acme(),
            [anchor(CA)],
        ),
        passes("a CA between that is under it", below(ca(named), named)),
        passes("a CA between that is under any", below(ca(whatever), named)),
        refused("a CA between that is under another", below(ca(other_one), named), blame=1),
        refused("a CA between that is under none", below(ca(), named), blame=1),
        refused("only the CA between is under it", below(ca(named))),
        refused(
            "a CA between that maps it to another",
            below(ca(named, raw("2.5.29.33", mapping, True)), named),
            blame=1,
        ),
        refused(
            "any, under a CA that forbids it",
            below(make("Acme Sub CA", strict_ca, ca=True, extra=[whatever]), named),
            blame=1,
            anchors=[anchor(strict_ca, depth=1, policy=required)],
        ),
        passes(
            "named, under a CA that forbids any",
            below(make("Acme Sub CA", strict_ca, ca=True, extra=[named]), named),
            anchors=[anchor(strict_ca, depth=1, policy=required)],
        ),
        passes("required by the CA between, too", below(ca(named, needs), named)),
        refused("required by the CA between alone", below(ca(named, needs), named), 1, anchors=[anchor(CA, depth=1)]),
        passes(
            "required by the anchor, too",
            [leaf(needy_ca, extra=[named])],
            anchors=[anchor(needy_ca, policy=required)],
        ),
        refused(
            "required by the anchor alone", [leaf(needy_ca, extra=[named])], blame=None, anchors=[anchor(needy_ca)]
        ),
        vector(
            "a policy that is none vouches for nobody",
            [leaf(extra=[named])],
            "unknown_issuer",
            known=False,
            partners=acme(),
            anchors=[anchor(CA, policy="no policy")],
        ),
    ]


def held() -> list[Record]:
    """R9: CAs between that wait until somebody allows them."""
    middle = make("Acme Sub CA", CA, ca=True)
    other = make("Acme Other CA", CA, ca=True)

    def refused(title: str, chain: Sequence[Made | str], **more: Any) -> Record:
        more.setdefault("blame", 1)
        return vector(title, chain, "path_invalid", partners=more.pop("partners", acme()), **more)

    def passes(title: str, chain: Sequence[Made], *anchors: Record) -> Record:
        return vouched(title, chain, acme(), list(anchors))

    new = anchor(CA, depth=1, hold=True)
    known = anchor(CA, depth=1, hold=True, sub_cas=[key_hash(middle)])
    return [
        refused("a new CA, and none was allowed", [leaf(middle), middle], anchors=[new]),
        passes("none between", [leaf()], new),
        passes("one that was allowed", [leaf(middle), middle], known),
        refused("another than the one that was allowed", [leaf(other), other], anchors=[known]),
        passes(
            "the same name and key, signed anew",
            [leaf(middle), make("Acme Sub CA", CA, ca=True, key=middle.key)],
            known,
        ),
        refused(
            "a new one that its partner registered as a help",
            [leaf(other)],
            blame=None,
            partners=acme(helpers=[other]),
            anchors=[known],
        ),
    ]


def psd2() -> list[Record]:
    """R25: payment service providers, known by the organizationIdentifier of their certificates."""
    bank, other = "PSDBE-NBB-0123456789", "PSDBE-NBB-0123456780"

    def provider(*identifiers: str, host: str = "shop.example") -> Made:
        kinds = [(NameOID.ORGANIZATION_IDENTIFIER, one) for one in identifiers]
        subject = [
            (NameOID.COUNTRY_NAME, "BE"),
            (NameOID.ORGANIZATION_NAME, "Bank"),
            *kinds,
            (NameOID.COMMON_NAME, "x"),
        ]
        return make(x509.Name([x509.NameAttribute(*one) for one in subject]), CA, sans=[DNS(host)] if host else ())

    def of(*rules: str | Record, **more: Any) -> Record:
        return partner(*rules, profile="psd2", **more)

    ours, shared = of(rule(f"organization:{bank}", 5)), [anchor(CA, shared=True)]

    def refused(title: str, chain: Sequence[Made | str], **more: Any) -> Record:
        more.setdefault("anchors", shared)
        more.setdefault("partners", [ours])
        return vector(title, chain, more.pop("reason", "name_not_permitted"), **more)

    def passes(title: str, chain: Sequence[Made | str], **more: Any) -> Record:
        return vouched(title, chain, more.pop("partners", [ours]), more.pop("anchors", shared), **more)

    two = [ours, partner(rule("dns:shop.example", 6), id=2)]
    both = [anchor(CA, shared=True), anchor(CA, id=6, of=2, shared=True)]
    return [
        passes("by its identifier, whatever hosts it names", [provider(bank)]),
        passes("without an alternative name", [provider(bank, host="")]),
        passes(
            "a member",
            [provider(bank)],
            holder=ALICE,
            members=[member(f"organization:{bank}")],
            partners=[of(rule(f"organization:{bank}", 5), admits="listed")],
        ),
        refused("another provider under the same CA", [provider(other)]),
        refused("the identifier in other letters", [provider(bank.lower())]),
        refused("one character more", [provider(bank + "0")]),
        refused("none", [provider()]),
        refused("two of them", [provider(bank, other)]),
        refused("two of them, the other way round", [provider(other, bank)]),
        refused("the same twice", [provider(bank, bank)]),
        refused("another scheme", [provider("VATBE-0123456789")]),
        refused("a rule for all CAs, under a shared one", [provider(bank)], partners=[of(f"organization:{bank}")]),
        passes(
            "a rule for all CAs, under its own",
            [provider(bank)],
            partners=[of(f"organization:{bank}")],
            anchors=[anchor(CA)],
        ),
        refused(
            "a rule for hosts permits none of its kind", [provider(bank)], partners=[of(rule("dns:shop.example", 5))]
        ),
        refused(
            "the rule under a partner that goes by names",
            [provider(bank)],
            partners=[partner(rule(f"organization:{bank}", 5))],
        ),
        refused(
            "its licence was withdrawn",
            [provider(bank)],
            reason="client_suspended",
            holder=ACME,
            partners=[of(rule(f"organization:{bank}", 5), suspended=True)],
        ),
        passes("R1: a host of another partner's does not make it his", [provider(bank)], partners=two, anchors=both),
        passes(
            "R1: nor does an identifier make another's host the provider's",
            [provider(other)],
            partners=two,
            anchors=both,
            holder=OTHER,
            of="other",
        ),
    ]


def main() -> None:
    files = {
        "pins": pins(),
        "pin_retired": pin_retired(),
        "name_not_permitted": name_not_permitted(),
        "partners": partners(),
        "own_terms": own_terms(),
        "crl_missing": crl_missing(),
        "crl_expired": crl_expired(),
        "policies": policies(),
        "held": held(),
        "psd2": psd2(),
    }
    for file in sys.argv[1:] or files:
        vectors = files[file]
        (HERE / f"{file}.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
