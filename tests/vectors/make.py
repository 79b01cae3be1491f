"""Makes the vectors next to it: a chain, a snapshot and a moment, and the verdict that has to come out.

Every reason has vectors that meet it and the nearest ones that pass. Needs pyca/cryptography and the openssl command.
Keys are made anew each time and never written; only certificates are. Run it again after a change, and
`rust/fuzz/make_seeds.py` after it, and commit what they wrote.
"""

import ipaddress
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID, ObjectIdentifier
from makers import AT, DAY, NOW, Made, crl, make, name, openssl_recipe, p256

HERE = Path(__file__).resolve().parent
OURS, ADOPTED = 1, 2

Record = dict[str, Any]
"""A vector, or what is recorded in its snapshot, as it is written."""

ROOT = make("Example Root", ca=True)
ISSUING = make("Example Issuing CA", ROOT, ca=True, path_length=0)
OLD_ROOT_KEY = rsa.generate_private_key(65537, 2048)
OLD_ROOT = make("Old Root", key=OLD_ROOT_KEY, ca=True, usage=None)
GOOD = make("alice", ISSUING)


def authority(
    made: Made | str, *, number: int = OURS, admits: str = "issued", estate: int | None = None, **more: Any
) -> Record:
    pem = made if isinstance(made, str) else made.pem
    return {"id": number, "name": f"authority-{number}", "certificate": pem, "admits": admits, "estate": estate} | more


def ours() -> Record:
    return authority(ISSUING)


def adopted(made: Made | str | None = None, admits: str = "signed", **more: Any) -> Record:
    return authority(made or OLD_ROOT, number=ADOPTED, admits=admits, estate=2 if admits == "signed" else None, **more)


def client(number: int, client_name: str, roles: Sequence[str] = (), *, suspended: bool = False) -> Record:
    return {"id": number, "name": client_name, "roles": list(roles), "suspended": suspended}


def credential(pem: Made | str, *, number: int = 10, of: int = 1, under: int = OURS) -> Record:
    certificate = pem.certificate if isinstance(pem, Made) else x509.load_pem_x509_certificate(pem.encode())
    return {
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "id": number,
        "client": of,
        "authority": under,
    }


def revocation(made: Made | str, *, under: int = OURS, reason: int = 1) -> Record:
    serial = (
        made.certificate.serial_number
        if isinstance(made, Made)
        else x509.load_pem_x509_certificate(made.encode()).serial_number
    )
    digits = serial.to_bytes((serial.bit_length() + 7) // 8).hex()
    return {"authority": under, "serial": digits, "at": NOW - 3600, "reason": reason}


def vector(
    title: str,
    chain: Sequence[Made | str],
    reason: str | None = None,
    *,
    blame: int | None = None,
    known: bool | None = None,
    holder: int | None = None,
    at: int = NOW,
    authorities: list[Record] | None = None,
    credentials: list[Record] | None = None,
    revocations: Sequence[Record] = (),
    suspended: bool = False,
    route: Record | None = None,
) -> Record:
    """One vector. `blame` is the index of the certificate to blame, `known` whether the issuer is one of ours."""
    sent = [made.pem if isinstance(made, Made) else made for made in chain]
    authorities = [ours(), adopted()] if authorities is None else authorities
    if credentials is None:
        # What the store knows: the leaf, as one that our own authority issued.
        known_leaf = sent and sent[0].startswith("-----BEGIN") and any(record["id"] == OURS for record in authorities)
        credentials = [credential(sent[0])] if known_leaf else []
    return {
        "name": title,
        "snapshot": {
            "authorities": authorities,
            "clients": [client(1, "alice", ["staff"], suspended=suspended), client(2, "estate")],
            "credentials": credentials,
            "revocations": list(revocations),
        },
        "chain": sent,
        "at": at,
        "route": route,
        "verdict": "refused" if reason else "admitted",
        "reason": reason,
        "certificate": blame,
        "issuer_known": known,
        "client": holder,
    }


def admitted(title: str, chain: Sequence[Made | str], *, holder: int | None = 1, **more: Any) -> Record:
    return vector(title, chain, holder=holder, **more)


def no_certificate() -> list[Record]:
    return [vector("nothing was sent", [], "no_certificate", known=False), admitted("the certificate was sent", [GOOD])]


def malformed() -> list[Record]:
    der = GOOD.certificate.public_bytes(serialization.Encoding.DER)
    filler = [make(f"filler {number}", ROOT) for number in range(3)]
    big = make(
        "big",
        ISSUING,
        extra=[
            (
                x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\4\x82\x7f\xf0" + bytes(0x7FF0)),
                False,
            )
        ],
    )
    return [
        vector("cut short", ["hex:" + der[:-1].hex()], "malformed", blame=0, known=False),
        vector("with a byte too many", ["hex:" + der.hex() + "00"], "malformed", blame=0, known=False),
        vector("not a certificate", ["hex:3003020105"], "malformed", blame=0, known=False),
        vector("empty", ["hex:"], "malformed", blame=0, known=False),
        vector("an unreadable companion", [GOOD, "hex:00"], "malformed", blame=1, known=False),
        vector("five certificates", [GOOD, ISSUING, *filler], "malformed", known=False),
        admitted("four certificates", [GOOD, ISSUING, *filler[:2]]),
        vector("more than 32 KiB", [big], "malformed", known=False),
    ]


def bad_signature() -> list[Record]:
    der = bytearray(GOOD.certificate.public_bytes(serialization.Encoding.DER))
    tampered = der.replace(b"alice", b"alicf")
    flipped = bytearray(der)
    flipped[-1] ^= 1
    namesake = make("Example Issuing CA", ca=True)
    root, leaf = openssl_recipe()
    sha1_root, sha1 = openssl_recipe(leaf_options=("-sha1",))
    md5_root, md5 = openssl_recipe(leaf_options=("-md5",))
    middle = make("Middle CA", OLD_ROOT, ca=True)
    other_middle = make("Middle CA", make("Somebody", ca=True), ca=True, key=None)
    under = make("alice", middle, aki=False)
    return [
        vector("the subject was changed", ["hex:" + tampered.hex()], "bad_signature", blame=0, known=False),
        vector("the signature was changed", ["hex:" + flipped.hex()], "bad_signature", blame=0, known=False),
        vector(
            "another CA with our subject name, no key identifier",
            [make("alice", namesake, aki=False)],
            "bad_signature",
            blame=0,
            known=False,
        ),
        vector(
            "an intermediate that did not sign it",
            [under, other_middle],
            "bad_signature",
            blame=0,
            known=False,
        ),
        admitted("the intermediate that did", [under, middle], holder=2, credentials=[]),
        vector("signed with SHA-1", [sha1], "bad_signature", blame=0, known=False, authorities=[adopted(sha1_root)]),
        vector("signed with MD5", [md5], "bad_signature", blame=0, known=False, authorities=[adopted(md5_root)]),
        admitted("signed with SHA-256", [leaf], holder=2, authorities=[adopted(root)], credentials=[]),
    ]


def unknown_issuer() -> list[Record]:
    namesake = make("Example Issuing CA", ca=True)
    stranger = make("Stranger CA", ca=True)
    middle = make("Middle CA", OLD_ROOT, ca=True)
    under = make("alice", middle)
    sibling = make("Example Issuing CA", ca=True)
    return [
        vector("a stranger's CA", [make("alice", stranger)], "unknown_issuer", blame=0, known=False),
        vector(
            "a stranger's CA, sent along", [make("alice", stranger), stranger], "unknown_issuer", blame=1, known=False
        ),
        vector("a stranger's CA itself", [stranger], "unknown_issuer", blame=0, known=False),
        vector("signed by itself", [make("alice")], "unknown_issuer", blame=0, known=False),
        vector(
            "signed by itself, with our CA's name", [make("Example Issuing CA")], "bad_signature", blame=0, known=False
        ),
        vector("another CA with our subject name", [make("alice", namesake)], "unknown_issuer", blame=0, known=False),
        vector("its intermediate was not sent", [under], "unknown_issuer", blame=0, known=False),
        admitted("its intermediate was sent", [under, middle], holder=2, credentials=[]),
        admitted("companions in any order", [under, ROOT, ISSUING, middle], holder=2, credentials=[]),
        vector("issued by our root, which is no anchor", [make("alice", ROOT)], "unknown_issuer", blame=0, known=False),
        admitted(
            "two CAs with one name, the second signed it",
            [make("alice", sibling)],
            authorities=[ours(), authority(sibling, number=ADOPTED, admits="signed", estate=1)],
            credentials=[],
        ),
    ]


def path_invalid() -> list[Record]:
    v1_root, v1_middle = openssl_recipe(with_key=True)
    v1_leaf = v1_middle.pem
    negative_root, negative = openssl_recipe(leaf_options=("-set_serial", "-5"))
    one_root, one = openssl_recipe(leaf_options=("-set_serial", "1"))
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    middle = make("Middle CA", OLD_ROOT, ca=True)
    short = make("Middle CA", OLD_ROOT, ca=True, path_length=0)
    deeper = make("Deeper CA", short, ca=True)
    leaf_issuer = make("not a CA", OLD_ROOT, ca=False, usage=None)
    silent_issuer = make("says nothing", OLD_ROOT)
    no_sign = make("Middle CA", OLD_ROOT, ca=True, usage=("crl_sign",))
    below_ours = make("Sub CA", ISSUING, ca=True)
    cautious = make(
        "Cautious CA",
        OLD_ROOT,
        ca=True,
        extra=[(x509.NameConstraints(None, [x509.DNSName("internal.example.com")]), True)],
    )
    permitted = x509.NameConstraints([x509.DNSName("example.com")], None)
    excluded = x509.NameConstraints(None, [x509.DNSName("example.com")])
    mail = x509.NameConstraints([x509.RFC822Name("example.com")], None)
    uri = x509.NameConstraints([x509.UniformResourceIdentifier(".example.com")], None)
    directory = x509.NameConstraints([x509.DirectoryName(name("team"))], None)
    network = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None)

    def constrained(
        title: str, constraint: x509.NameConstraints, good: x509.GeneralName, bad: x509.GeneralName
    ) -> list[Record]:
        issuer = make("Constrained CA", OLD_ROOT, ca=True, extra=[(constraint, True)])
        anchor = make("Constrained Root", ca=True, extra=[(constraint, True)])
        return [
            vector(
                f"{title}: outside",
                [make(subject(bad), issuer, sans=sans(bad)), issuer],
                "path_invalid",
                blame=0,
                known=True,
                credentials=[],
            ),
            admitted(
                f"{title}: inside", [make(subject(good), issuer, sans=sans(good)), issuer], holder=2, credentials=[]
            ),
            vector(
                f"{title} of the anchor: outside",
                [make(subject(bad), anchor, sans=sans(bad))],
                "path_invalid",
                blame=0,
                known=True,
                authorities=[adopted(anchor)],
                credentials=[],
            ),
            admitted(
                f"{title} of the anchor: inside",
                [make(subject(good), anchor, sans=sans(good))],
                holder=2,
                authorities=[adopted(anchor)],
                credentials=[],
            ),
        ]

    def subject(general: x509.GeneralName) -> str | x509.Name:
        return general.value if isinstance(general, x509.DirectoryName) else "alice"

    def sans(general: x509.GeneralName) -> tuple[x509.GeneralName, ...]:
        return () if isinstance(general, x509.DirectoryName) else (general,)

    team = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "TEAM"), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "a")]
    )
    address = ipaddress.ip_address
    return [
        vector(
            "v1 under an authority of ours",
            [v1_leaf],
            "path_invalid",
            blame=0,
            known=True,
            authorities=[authority(v1_root)],
        ),
        admitted("v1 under an adopted one", [v1_leaf], holder=2, authorities=[adopted(v1_root)], credentials=[]),
        vector(
            "negative serial number",
            [negative],
            "path_invalid",
            blame=0,
            known=True,
            authorities=[adopted(negative_root)],
            credentials=[],
        ),
        admitted("serial number 1", [one], holder=2, authorities=[adopted(one_root)], credentials=[]),
        vector(
            "an unknown critical extension",
            [make("alice", ISSUING, extra=[(unknown, True)])],
            "path_invalid",
            blame=0,
            known=True,
        ),
        admitted("an unknown extension that is not critical", [make("alice", ISSUING, extra=[(unknown, False)])]),
        vector(
            "one CA more than the path may have",
            [make("alice", deeper), deeper, short],
            "path_invalid",
            blame=2,
            known=True,
            credentials=[],
        ),
        admitted("as many CAs as the path may have", [make("alice", short), short], holder=2, credentials=[]),
        vector("below the anchor's path length", [make("alice", below_ours), below_ours], "path_invalid", known=True),
        vector(
            "one CA more than was allowed below the anchor",
            [make("alice", short), short],
            "path_invalid",
            known=True,
            authorities=[ours(), adopted(depth=0)],
            credentials=[],
        ),
        admitted(
            "as many CAs as were allowed below the anchor",
            [make("alice", short), short],
            holder=2,
            authorities=[ours(), adopted(depth=1)],
            credentials=[],
        ),
        vector(
            "below the anchor's path length, which is less than was allowed",
            [make("alice", below_ours), below_ours],
            "path_invalid",
            known=True,
            authorities=[authority(ISSUING, depth=3), adopted()],
        ),
        vector(
            "issued by a leaf",
            [make("alice", leaf_issuer), leaf_issuer],
            "path_invalid",
            blame=1,
            known=True,
            credentials=[],
        ),
        vector(
            "v3 below v1",
            [make("alice", v1_middle), v1_middle],
            "path_invalid",
            blame=1,
            known=True,
            authorities=[adopted(v1_root)],
            credentials=[],
        ),
        vector(
            "issued by one that does not say what it is",
            [make("alice", silent_issuer), silent_issuer],
            "path_invalid",
            blame=1,
            known=True,
            credentials=[],
        ),
        vector(
            "issued by a CA that may not sign certificates",
            [make("alice", no_sign), no_sign],
            "path_invalid",
            blame=1,
            known=True,
            credentials=[],
        ),
        admitted("issued by a CA that may", [make("alice", middle), middle], holder=2, credentials=[]),
        vector(
            "may sign certificates but is no CA",
            [make("alice", ISSUING, usage=("digital_signature", "key_cert_sign"))],
            "path_invalid",
            blame=0,
            known=True,
        ),
        vector(
            "name constraints in a leaf",
            [make("alice", ISSUING, extra=[(permitted, True)])],
            "path_invalid",
            blame=0,
            known=True,
        ),
        vector(
            "no authority key identifier under ours",
            [make("alice", ISSUING, aki=False)],
            "path_invalid",
            blame=0,
            known=True,
        ),
        admitted(
            "no authority key identifier under an adopted one",
            [make("alice", OLD_ROOT, aki=False)],
            holder=2,
            credentials=[],
        ),
        vector(
            "requires a policy",
            [make("alice", ISSUING, extra=[(x509.PolicyConstraints(0, None), True)])],
            "path_invalid",
            blame=0,
            known=True,
        ),
        *constrained("DNS permitted", permitted, x509.DNSName("a.example.com"), x509.DNSName("example.org")),
        *constrained("DNS excluded", excluded, x509.DNSName("example.org"), x509.DNSName("a.example.com")),
        vector(
            "a wildcard that stands for an excluded name, too",
            [make("alice", cautious, sans=[x509.DNSName("*.example.com")]), cautious],
            "path_invalid",
            blame=0,
            known=True,
            credentials=[],
        ),
        admitted(
            "a wildcard that does not",
            [make("alice", cautious, sans=[x509.DNSName("*.example.org")]), cautious],
            holder=2,
            credentials=[],
        ),
        *constrained("mailbox", mail, x509.RFC822Name("alice@example.com"), x509.RFC822Name("alice@mail.example.com")),
        *constrained(
            "URI",
            uri,
            x509.UniformResourceIdentifier("https://a.example.com/x"),
            x509.UniformResourceIdentifier("urn:x:y"),
        ),
        *constrained("directory name", directory, x509.DirectoryName(team), x509.DirectoryName(name("other"))),
        *constrained("IP address", network, x509.IPAddress(address("10.1.2.3")), x509.IPAddress(address("11.1.2.3"))),
    ]


def validity() -> tuple[list[Record], list[Record]]:
    """Returns not_yet_valid and expired: to the second, and for each certificate of the path."""
    edge = make("alice", ISSUING, before=AT, after=AT)
    late_middle = make("Middle CA", OLD_ROOT, ca=True, before=AT + DAY)
    old_middle = make("Middle CA", OLD_ROOT, ca=True, after=AT - DAY)
    late_root = make("Late Root", ca=True, before=AT + DAY)
    old_root = make("Expired Root", ca=True, after=AT - DAY)
    early = [
        vector("a second before", [edge], "not_yet_valid", blame=0, known=True, at=NOW - 1),
        admitted("to the second", [edge]),
        vector(
            "its intermediate",
            [make("alice", late_middle), late_middle],
            "not_yet_valid",
            blame=1,
            known=True,
            credentials=[],
        ),
        vector("its anchor", [make("alice", late_root)], "not_yet_valid", known=True, authorities=[adopted(late_root)]),
    ]
    late = [
        vector("a second after", [edge], "expired", blame=0, known=True, at=NOW + 1),
        admitted("to the second", [edge]),
        vector(
            "its intermediate", [make("alice", old_middle), old_middle], "expired", blame=1, known=True, credentials=[]
        ),
        vector("its anchor", [make("alice", old_root)], "expired", known=True, authorities=[adopted(old_root)]),
        vector(
            "expired and revoked: expired is said first",
            [edge],
            "expired",
            blame=0,
            known=True,
            at=NOW + 1,
            revocations=[revocation(edge)],
        ),
    ]
    return early, late


def not_for_client_auth() -> list[Record]:
    server_only = make("Server CA", OLD_ROOT, ca=True, extra=[(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)])
    both = make(
        "Both CA", OLD_ROOT, ca=True, extra=[(x509.ExtendedKeyUsage([Eku.SERVER_AUTH, Eku.CLIENT_AUTH]), False)]
    )
    anchor = make("Server Root", ca=True, extra=[(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)])
    return [
        vector(
            "for servers only",
            [make("alice", ISSUING, eku=[Eku.SERVER_AUTH])],
            "not_for_client_auth",
            blame=0,
            known=True,
        ),
        vector(
            "for mail only",
            [make("alice", ISSUING, eku=[Eku.EMAIL_PROTECTION])],
            "not_for_client_auth",
            blame=0,
            known=True,
        ),
        admitted("for servers and clients", [make("alice", ISSUING, eku=[Eku.SERVER_AUTH, Eku.CLIENT_AUTH])]),
        admitted("for anything, by name", [make("alice", ISSUING, eku=[Eku.ANY_EXTENDED_KEY_USAGE])]),
        admitted("for anything, by silence", [make("alice", ISSUING, eku=None)]),
        vector(
            "its intermediate is for servers",
            [make("alice", server_only), server_only],
            "not_for_client_auth",
            blame=1,
            known=True,
            credentials=[],
        ),
        admitted("its intermediate is for both", [make("alice", both), both], holder=2, credentials=[]),
        vector(
            "its anchor is for servers",
            [make("alice", anchor)],
            "not_for_client_auth",
            known=True,
            authorities=[adopted(anchor)],
        ),
        vector(
            "its key may not sign",
            [make("alice", ISSUING, usage=("key_encipherment",))],
            "not_for_client_auth",
            blame=0,
            known=True,
        ),
        admitted("no key usage", [make("alice", ISSUING, usage=None)]),
    ]


def ca_as_client() -> list[Record]:
    return [
        vector("our issuing CA", [ISSUING], "ca_as_client", blame=0, known=True, credentials=[]),
        vector("our issuing CA with its root", [ISSUING, ROOT], "ca_as_client", blame=0, known=True, credentials=[]),
        vector("an adopted root", [OLD_ROOT], "ca_as_client", blame=0, known=True, credentials=[]),
        vector("a leaf that is a CA", [make("alice", OLD_ROOT, ca=True)], "ca_as_client", blame=0, known=True),
        vector(
            "a leaf that is a CA and may sign",
            [make("alice", OLD_ROOT, ca=True, usage=("digital_signature",))],
            "ca_as_client",
            blame=0,
            known=True,
        ),
        admitted("a leaf that says it is none", [make("alice", ISSUING, ca=False)]),
    ]


def weak_key() -> list[Record]:
    weak_middle = make("Weak CA", OLD_ROOT, ca=True, key=rsa.generate_private_key(65537, 1024))
    return [
        vector(
            "RSA with 1024 bits",
            [make("alice", ISSUING, key=rsa.generate_private_key(65537, 1024))],
            "weak_key",
            blame=0,
            known=False,
        ),
        admitted("RSA with 2048 bits", [make("alice", ISSUING, key=rsa.generate_private_key(65537, 2048))]),
        admitted("RSA with exponent 3", [make("alice", ISSUING, key=rsa.generate_private_key(3, 2048))]),
        vector(
            "P-224",
            [make("alice", ISSUING, key=ec.generate_private_key(ec.SECP224R1()))],
            "weak_key",
            blame=0,
            known=False,
        ),
        vector(
            "secp256k1",
            [make("alice", ISSUING, key=ec.generate_private_key(ec.SECP256K1()))],
            "weak_key",
            blame=0,
            known=False,
        ),
        vector("DSA", [make("alice", ISSUING, key=dsa.generate_private_key(2048))], "weak_key", blame=0, known=False),
        vector(
            "weak and expired: nobody proved to hold it",
            [make("alice", ISSUING, key=rsa.generate_private_key(65537, 1024), after=AT - DAY)],
            "weak_key",
            blame=0,
            known=False,
        ),
        admitted("P-384", [make("alice", ISSUING, key=ec.generate_private_key(ec.SECP384R1()))]),
        admitted("P-521", [make("alice", ISSUING, key=ec.generate_private_key(ec.SECP521R1()))]),
        admitted("Ed25519", [make("alice", ISSUING, key=ed25519.Ed25519PrivateKey.generate())]),
        vector(
            "an intermediate with RSA 1024",
            [make("alice", weak_middle), weak_middle],
            "weak_key",
            blame=1,
            known=False,
            credentials=[],
        ),
    ]


def revoked() -> list[Record]:
    other = make("alice", OLD_ROOT, serial=77)
    middle = make("Middle CA", OLD_ROOT, ca=True)
    under = make("alice", middle)
    return [
        vector("its key was exposed", [GOOD], "revoked", blame=0, known=True, holder=1, revocations=[revocation(GOOD)]),
        vector("on hold", [GOOD], "revoked", blame=0, known=True, holder=1, revocations=[revocation(GOOD, reason=6)]),
        admitted(
            "the same serial number under another authority", [GOOD], revocations=[revocation(GOOD, under=ADOPTED)]
        ),
        vector(
            "adopted and not listed",
            [other],
            "revoked",
            blame=0,
            known=True,
            credentials=[],
            revocations=[revocation(other, under=ADOPTED)],
        ),
        vector(
            "revoked and suspended: revoked is said first",
            [GOOD],
            "revoked",
            blame=0,
            known=True,
            holder=1,
            suspended=True,
            revocations=[revocation(GOOD)],
        ),
        vector(
            "its intermediate",
            [under, middle],
            "revoked",
            blame=1,
            known=True,
            credentials=[],
            revocations=[revocation(middle, under=ADOPTED)],
        ),
        vector(
            "listed under an intermediate",
            [under, middle],
            "revoked",
            blame=0,
            known=True,
            holder=1,
            credentials=[credential(under, under=ADOPTED)],
            revocations=[revocation(under, under=ADOPTED)],
        ),
    ]


def not_enrolled() -> list[Record]:
    root, v1_leaf = openssl_recipe()
    listed = adopted(root, admits="listed")
    return [
        vector("ours, but the store does not know it", [GOOD], "not_enrolled", blame=0, known=True, credentials=[]),
        admitted("ours", [GOOD]),
        vector(
            "known under another authority",
            [GOOD],
            "not_enrolled",
            blame=0,
            known=True,
            credentials=[credential(GOOD, under=ADOPTED)],
        ),
        vector(
            "adopted with a list that it is not on",
            [v1_leaf],
            "not_enrolled",
            blame=0,
            known=True,
            authorities=[listed],
            credentials=[],
        ),
        admitted(
            "adopted with a list that it is on",
            [v1_leaf],
            authorities=[listed],
            credentials=[credential(v1_leaf, under=ADOPTED)],
        ),
        admitted("adopted without a list", [v1_leaf], holder=2, authorities=[adopted(root)], credentials=[]),
    ]


def client_suspended() -> list[Record]:
    return [
        vector("suspended", [GOOD], "client_suspended", blame=0, known=True, holder=1, suspended=True),
        admitted("resumed", [GOOD]),
    ]


def not_granted() -> list[Record]:
    def route(mode: str = "required", roles: Sequence[str] = (), clients: Sequence[str] = ()) -> Record:
        return {"client_certificate": mode, "roles": list(roles), "clients": list(clients)}

    return [
        vector(
            "another role",
            [GOOD],
            "not_granted",
            known=True,
            holder=1,
            route=route(roles=["admin"]),
            credentials=[credential(GOOD)],
        ),
        admitted("its role", [GOOD], route=route(roles=["admin", "staff"])),
        vector(
            "another client",
            [GOOD],
            "not_granted",
            known=True,
            holder=1,
            route=route(clients=["bob"]),
            credentials=[credential(GOOD)],
        ),
        admitted("itself", [GOOD], route=route(roles=["admin"], clients=["alice"])),
        admitted("any client", [GOOD], route=route()),
        admitted(
            "suspended where a certificate is optional: nobody",
            [GOOD],
            suspended=True,
            route=route("optional"),
            holder=None,
        ),
        admitted(
            "revoked where a certificate is optional: nobody",
            [GOOD],
            revocations=[revocation(GOOD)],
            route=route("optional"),
            holder=None,
        ),
        admitted("admitted where a certificate is optional", [GOOD], route=route("optional")),
        admitted("not looked at", [GOOD], route=route("off"), holder=None),
    ]


def adopted_estates() -> list[Record]:
    """What openssl leaves behind, and has to go on working."""
    plain_root, plain = openssl_recipe()
    v1_root, under_v1 = openssl_recipe(version_one_root=True)
    bare_root, under_bare = openssl_recipe(root_options=("-addext", "keyUsage=critical,keyCertSign,cRLSign"))
    v1_as_issuer = x509.load_pem_x509_certificate(under_v1.encode())
    pss = make("alice", OLD_ROOT, rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), 32))
    assert v1_as_issuer.version is x509.Version.v1
    return [
        admitted(
            "v1 leaf, root by req -x509 without key usage",
            [plain],
            holder=2,
            authorities=[adopted(plain_root)],
            credentials=[],
        ),
        admitted(
            "v1 leaf with its root sent along",
            [plain, plain_root],
            holder=2,
            authorities=[adopted(plain_root)],
            credentials=[],
        ),
        admitted("v1 leaf under a v1 root", [under_v1], holder=2, authorities=[adopted(v1_root)], credentials=[]),
        admitted(
            "v1 leaf, root with key usage", [under_bare], holder=2, authorities=[adopted(bare_root)], credentials=[]
        ),
        vector(
            "v1 leaf, tampered",
            [tampered(plain)],
            "bad_signature",
            blame=0,
            known=False,
            authorities=[adopted(plain_root)],
            credentials=[],
        ),
        vector(
            "v1 leaf, expired",
            [plain],
            "expired",
            blame=0,
            known=True,
            authorities=[adopted(plain_root)],
            credentials=[],
            at=NOW + 5 * 365 * 86400,
        ),
        vector(
            "v1 leaf, revoked",
            [plain],
            "revoked",
            blame=0,
            known=True,
            authorities=[adopted(plain_root)],
            credentials=[],
            revocations=[revocation(plain, under=ADOPTED)],
        ),
        admitted("signed with RSA-PSS", [pss], holder=2, credentials=[]),
    ]


def tampered(pem: str) -> str:
    der = bytearray(x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER))
    return "hex:" + der.replace(b"Old Client", b"Old Clienu").hex()


def renewed_authorities() -> list[Record]:
    """A CA whose certificate was renewed is in the store twice and is one CA: an anchor is its key."""
    key = p256()
    old = make("Renewed Root", key=key, ca=True, after=AT - DAY)
    new = make("Renewed Root", key=key, ca=True)
    leaf = make("alice", new)
    authorities = [authority(old, admits="listed"), authority(new, number=ADOPTED, admits="listed")]
    listed = [credential(leaf)]
    return [
        admitted("listed before its CA was renewed", [leaf], authorities=authorities, credentials=listed),
        vector(
            "revoked before its CA was renewed",
            [leaf],
            "revoked",
            blame=0,
            known=True,
            holder=1,
            authorities=authorities,
            credentials=listed,
            revocations=[revocation(leaf)],
        ),
        vector(
            "its CA was not renewed",
            [leaf],
            "expired",
            known=True,
            authorities=authorities[:1],
            credentials=listed,
        ),
    ]


def v1_issuers() -> list[Record]:
    """An X.509 v1 certificate is never an issuer, whoever signed it."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> None:
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)

        run(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            "-days",
            "3650",
            "-subj",
            "/CN=Old Root",
        )
        for subject, issuer in (("middle", "root"), ("leaf", "middle")):
            run(
                "req",
                "-new",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                f"{subject}.key",
                "-out",
                f"{subject}.csr",
                "-subj",
                f"/CN={subject}",
            )
            run(
                "x509",
                "-req",
                "-in",
                f"{subject}.csr",
                "-CA",
                f"{issuer}.pem",
                "-CAkey",
                f"{issuer}.key",
                "-CAcreateserial",
                "-out",
                f"{subject}.pem",
                "-days",
                "500",
            )
        root, middle, leaf = ((Path(folder) / f"{file}.pem").read_text() for file in ("root", "middle", "leaf"))
    return [
        vector(
            "v1 below v1",
            [leaf, middle],
            "path_invalid",
            blame=0,
            known=True,
            authorities=[adopted(root)],
            credentials=[],
        ),
        admitted("v1 directly below the anchor", [middle], holder=2, authorities=[adopted(root)], credentials=[]),
    ]


def questions() -> list[Record]:
    """Lines for `decide --batch` and their answers: what only such lines can ask, revocation lists and large pools."""

    def question(
        title: str,
        answer: str | None,
        chain: Sequence[Made] = (GOOD,),
        *,
        trusted: Sequence[Made] = (ISSUING,),
        pool: Sequence[Made] = (),
        blame: int | None = None,
        crls: Sequence[str] = (),
        **more: Any,
    ) -> Record:
        line = {
            "id": title,
            "chain": [made.pem for made in chain],
            "trusted": [made.pem for made in trusted],
            "at": NOW,
            "crls": list(crls),
        }
        line |= {"intermediates": [made.pem for made in pool]} | more
        expected = {"id": title, "verdict": "refused" if answer else "admitted", "reason": answer, "certificate": blame}
        return {"question": line, "answer": expected}

    partial = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    no_lists = make("No Lists", ca=True, usage=("key_cert_sign",))
    under_no_lists = make("alice", no_lists)
    namesake = make("Example Issuing CA", ca=True)
    middle = make("Middle CA", ROOT, ca=True)
    under = make("alice", middle)
    # Nine CAs that all sign each other, and none of them known.
    keys = [(f"CA {number}", p256()) for number in range(9)]
    roots = [make(title, key=key, ca=True) for title, key in keys]
    mesh = [make(title, issuer, key=key, ca=True) for title, key in keys for issuer in roots if issuer.key is not key]
    return [
        question("no list", None),
        question("on no list", None, crls=[crl(ISSUING, [ROOT])]),
        question("revoked", "revoked", blame=0, crls=[crl(ISSUING, [GOOD])]),
        question("revoked on the second list", "revoked", blame=0, crls=[crl(ISSUING), crl(ISSUING, [GOOD])]),
        question("on another issuer's list", None, crls=[crl(ROOT, [GOOD])]),
        question(
            "its intermediate is revoked",
            "revoked",
            [under],
            pool=[middle],
            trusted=[ROOT],
            blame=1,
            crls=[crl(ROOT, [middle])],
        ),
        question(
            "a list that should have been replaced", "path_invalid", blame=0, crls=[crl(ISSUING, after=AT - DAY / 2)]
        ),
        question("a list of tomorrow", "path_invalid", blame=0, crls=[crl(ISSUING, before=AT + DAY / 2)]),
        question("a list without a number", "path_invalid", blame=0, crls=[crl(ISSUING, number=None)]),
        question("a list with a wrong signature", "path_invalid", blame=0, crls=[crl(ISSUING, signer=namesake)]),
        question("a partial list", "path_invalid", blame=0, crls=[crl(ISSUING, extra=[(partial, True)])]),
        question(
            "a CA that may not sign lists",
            "path_invalid",
            [under_no_lists],
            trusted=[no_lists],
            blame=0,
            crls=[crl(no_lists)],
        ),
        question("a CA that may not, without a list", None, [under_no_lists], trusted=[no_lists]),
        question(
            "one intermediate where none may be",
            "unknown_issuer",
            [under],
            pool=[middle],
            trusted=[ROOT],
            blame=0,
            max_chain_depth=0,
        ),
        question("one intermediate where one may be", None, [under], pool=[middle], trusted=[ROOT], max_chain_depth=1),
        question("CAs that sign each other", "path_invalid", [make("alice", roots[0])], pool=mesh, blame=0),
    ]


def main() -> None:
    (HERE / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in questions()))
    early, late = validity()
    files = {
        "no_certificate": no_certificate(),
        "malformed": malformed(),
        "bad_signature": bad_signature(),
        "unknown_issuer": unknown_issuer(),
        "path_invalid": path_invalid(),
        "not_yet_valid": early,
        "expired": late,
        "not_for_client_auth": not_for_client_auth(),
        "ca_as_client": ca_as_client(),
        "weak_key": weak_key(),
        "revoked": revoked(),
        "not_enrolled": not_enrolled(),
        "client_suspended": client_suspended(),
        "not_granted": not_granted(),
        "adopted": adopted_estates() + v1_issuers() + renewed_authorities(),
    }
    for file, vectors in files.items():
        (HERE / f"{file}.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
