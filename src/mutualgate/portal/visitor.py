"""What the gate's header fields say of a visitor: the verdict, the client, and the certificates that were shown.

Pure: fields in, a value out. The gate wrote them and removed what a client had sent under their names, so nothing is
verified again. What came past the gate is an error, never a visitor.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from mutualgate.errors import Unavailable
from mutualgate.fields import handshake, roles

MAX_CHAIN: Final = 16
"""Certificates; the gate takes fewer."""


class Verdict(StrEnum):
    """What the judge said of this connection."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    """A key was proved, and its certificate is not let in."""
    ANONYMOUS = "anonymous"
    """No certificate was shown."""


@dataclass(frozen=True)
class Visitor:
    """Who is there. Fields of a client are empty unless it was admitted; a chain is there whenever one was shown."""

    verdict: Verdict
    peer: str
    """The address that the connection came from."""
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    """DER, the visitor's own certificate first, as it was sent. Possession of its key is proved."""
    reason: str = ""
    """The code, when refused."""
    detail: str = ""
    issuer_known: bool = False
    """Whether who signed it is known here: if not, the visitor may be anybody."""
    client_id: int | None = None
    client: str = ""
    roles: tuple[str, ...] = ()
    authority: str = ""
    partner: str = ""
    credential: str = ""
    evidence: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)

    @property
    def admitted(self) -> bool:
        """Whether the gate knows who this is."""
        return self.verdict is Verdict.ADMITTED

    @property
    def pinned(self) -> bool:
        """Whether it was let in by a certificate or key of its own, not by one that an authority vouches for."""
        return self.admitted and self.authority == "pin"

    @property
    def shown(self) -> bytes | None:
        """The certificate whose key was proved, DER."""
        return self.chain[0] if self.chain else None


def visitor(fields: Mapping[str, str]) -> Visitor:
    """The visitor of a request with `fields`, names in lower case. Raises Unavailable if it came past the gate."""
    try:
        verdict = Verdict(fields.get("mutualgate-verdict", ""))
    except ValueError:
        raise Unavailable(
            "this request did not come through the gate",
            expected="the address at which the gate listens",
            code="no_gate",
        ) from None

    def text(name: str) -> str:
        return unquote(fields.get(f"mutualgate-{name}", ""))

    admitted, refused = verdict is Verdict.ADMITTED, verdict is Verdict.REFUSED
    client_id = text("client-id")
    return Visitor(
        verdict=verdict,
        peer=fields.get("x-forwarded-for", "").rpartition(",")[2].strip(),
        chain=() if verdict is Verdict.ANONYMOUS else _chain(fields),
        reason=text("reason") if refused else "",
        detail=text("detail") if refused else "",
        issuer_known=admitted or text("issuer-known") == "yes",
        client_id=int(client_id) if admitted and client_id.isascii() and client_id.isdecimal() else None,
        client=text("client") if admitted else "",
        roles=roles(fields) if admitted else (),
        authority=text("authority") if admitted else "",
        partner=text("partner") if admitted else "",
        credential=text("credential") if admitted else "",
        evidence=text("evidence") if admitted else "",
        tls=handshake(fields),
    )


def _chain(fields: Mapping[str, str]) -> tuple[bytes, ...]:
    """RFC 9440 2.2 and 2.3: Client-Cert has the visitor's own, Client-Cert-Chain what it sent above it."""
    values = [fields.get("client-cert", ""), *fields.get("client-cert-chain", "").split(",")]
    given = [value.strip() for value in values if value.strip()]
    if not fields.get("client-cert") or len(given) > MAX_CHAIN:
        return ()
    try:
        return tuple(_binary(value) for value in given)
    except binascii.Error:
        return ()


def _binary(value: str) -> bytes:
    """A byte sequence of RFC 8941 3.3.5."""
    if len(value) < 3 or value[0] != ":" or value[-1] != ":":
        raise binascii.Error("no byte sequence")
    return base64.b64decode(value[1:-1], validate=True)
