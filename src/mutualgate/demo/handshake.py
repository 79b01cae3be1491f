"""What the gate's header fields say: who is asking, and the six steps of the handshake that let them in.

Pure: fields in, values out. The fields were written by the gate, so nothing is verified again; a certificate that
cannot be parsed is left out, never an error.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from mutualgate.counts import days_left
from mutualgate.fields import handshake, roles

ADMITTED: Final = "admitted"

# Names as people say them; what is not here is shown as it came.
CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
GROUPS: Final = {
    "X25519MLKEM768": "X25519MLKEM768, safe from quantum computers too",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
}
PROTOCOLS: Final = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}


@dataclass(frozen=True)
class Certificate:
    """The client's certificate, from `Client-Cert` (RFC 9440 2.2)."""

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    key: str
    version: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class Client:
    """Whom the gate says this is. Everything is None or empty unless it was admitted."""

    verdict: str | None
    """`admitted`, `anonymous`, or None when no gate is in front."""
    id: str | None
    name: str | None
    roles: tuple[str, ...]
    authority: str | None
    credential: str | None


@dataclass(frozen=True)
class Step:
    """One of the six steps. `by` is who speaks: an arrow from the client, from the gate, or both work in silence."""

    number: int
    by: Literal["client", "gate", "client alone", "gate alone"]
    title: str
    message: str
    """What travels, in the standard's words."""
    meaning: str
    facts: tuple[tuple[str, str], ...]
    skipped: bool = False


@dataclass(frozen=True)
class Seen:
    """All that a service behind the gate sees of one request."""

    client: Client
    certificate: Certificate | None
    tls: Mapping[str, str]
    steps: tuple[Step, ...]
    fields: tuple[tuple[str, str], ...]
    """The gate's own header fields, as they came."""


def seen(fields: Mapping[str, str], now: datetime) -> Seen:
    """What `fields`, with names in lower case, say. `now` is for the age of the certificate."""
    client = _client(fields)
    certificate = _certificate(fields.get("client-cert", ""))
    tls = handshake(fields)
    ours = tuple((n, v) for n, v in fields.items() if n.startswith(("mutualgate-", "client-cert")))
    return Seen(client, certificate, tls, _steps(fields, client, certificate, tls, now), ours)


def _client(fields: Mapping[str, str]) -> Client:
    def text(name: str) -> str | None:
        value = fields.get(f"mutualgate-{name}")
        return unquote(value) if value else None

    return Client(
        text("verdict"), text("client-id"), text("client"), roles(fields), text("authority"), text("credential")
    )


def _certificate(value: str) -> Certificate | None:
    try:
        der = base64.b64decode(value.strip().strip(":"), validate=True)
        certificate = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=certificate.subject.rfc4514_string() or "(empty)",
            issuer=certificate.issuer.rfc4514_string() or "(empty)",
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            key=_key(certificate),
            version=certificate.version.name,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm, x509.InvalidVersion):
        return None


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "of a kind that cannot be shown"
    match key:
        case rsa.RSAPublicKey():
            return f"RSA, {key.key_size} bits"
        case ec.EllipticCurvePublicKey():
            return f"ECDSA on {CURVES.get(key.curve.name, key.curve.name)}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case dsa.DSAPublicKey():
            return f"DSA, {key.key_size} bits"
    return "of a kind that cannot be shown"


def day(moment: datetime) -> str:
    """`24 Nov 2026`."""
    return f"{moment.day} {moment:%b %Y}"


def _steps(
    fields: Mapping[str, str],
    client: Client,
    certificate: Certificate | None,
    tls: Mapping[str, str],
    now: datetime,
) -> tuple[Step, ...]:
    resumed = tls.get("resumed") == "yes"
    old = tls.get("version") == "TLSv1.2"
    anonymous = client.verdict != ADMITTED
    host = tls.get("sni") or fields.get("host", "")
    guarded = client.verdict is not None
    protocol = tls.get("alpn", "")
    return (
        Step(
            1,
            "client",
            "The client says hello",
            "ClientHello",
            "It names the site it wants, the versions and ciphers it can do, and a fresh half of a key exchange."
            if not old
            else "It names the site it wants, and the versions and ciphers it can do.",
            _given(
                ("Site", tls.get("sni") or ("none named: an address was asked for" if tls else "")),
                ("Protocol agreed on", PROTOCOLS.get(protocol, protocol)),
                ("From", fields.get("x-forwarded-for", "")),
            ),
        ),
        Step(
            2,
            "gate",
            "The gate answers with its certificate" if not resumed else "The gate takes up the session of before",
            "ServerHello"
            if resumed
            else f"ServerHello, Certificate, {'ServerKeyExchange' if old else 'CertificateVerify'}",
            "It picks version and cipher, adds its half of the key exchange, and signs both with its own key."
            if not resumed
            else "Both still hold a secret of an earlier connection, in which they proved who they are.",
            _given(
                ("Version", tls.get("version", "").replace("TLSv", "TLS ")),
                ("Cipher", tls.get("cipher", "")),
                ("Key exchange", GROUPS.get(tls.get("group", ""), tls.get("group", ""))),
            ),
        ),
        Step(
            3,
            "client alone",
            "The client checks the gate",
            "chain, dates, name, signature",
            "Is its certificate from an authority I trust, is it for the name I asked for, does the signature fit?",
            _given(
                ("Name checked", guarded and re.sub(r":\d+$", "", host)),
                ("Outcome", guarded and "it went on, so it was satisfied (or told not to look, as by curl -k)"),
            ),
            skipped=resumed,
        ),
        Step(
            4,
            "gate",
            "The gate asks: and who are you?",
            "CertificateRequest",
            "Here mutual TLS parts from the TLS of every web site. The gate names no authorities: strangers need not "
            "know whom it trusts.",
            _given(("Asked for", guarded and "a certificate, and a signature to go with it")),
            skipped=resumed,
        ),
        Step(
            5,
            "client",
            "The client shows its certificate and proves that it is its own",
            "Certificate, CertificateVerify",
            "A certificate is public; anybody can copy it. The signature over this very handshake can only be made "
            "with its private key, which never leaves the client.",
            _credential_facts(certificate, now)
            if not anonymous
            else _given(("Shown", guarded and "nothing that the gate let in; this path does not need it")),
            skipped=resumed,
        ),
        Step(
            6,
            "gate alone",
            "The gate decides, and the channel is encrypted" if not resumed else "The gate decides again",
            "Finished, and the verdict",
            "Which authority signed it, is it still good, was it revoked, whose is it? Only then does a request reach "
            "this service, and it is told who is asking.",
            _given(
                ("Verdict", client.verdict or "nobody judged: this request came past the gate"),
                ("Client", " ".join(p for p in (client.name or "", f"(no. {client.id})" if client.id else "") if p)),
                ("Roles", ", ".join(client.roles) or ("none" if not anonymous else "")),
                ("Vouched for by", client.authority or ""),
            ),
        ),
    )


def _credential_facts(certificate: Certificate | None, now: datetime) -> tuple[tuple[str, str], ...]:
    if certificate is None:
        return ()
    left = (certificate.not_after - now).days
    return (
        ("Subject", certificate.subject),
        ("Issuer", certificate.issuer),
        ("Key", certificate.key),
        ("Valid", f"{day(certificate.not_before)} to {day(certificate.not_after)} ({days_left(left)})"),
        ("Serial", certificate.serial),
        ("SHA-256", certificate.fingerprint),
    )


def _given(*facts: tuple[str, str | Literal[False]]) -> tuple[tuple[str, str], ...]:
    """Those facts that there are."""
    return tuple((name, value) for name, value in facts if value)
