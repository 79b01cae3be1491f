"""What a partner's CA says about the certificates that it revoked, and where it is asked."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

OCSP_SCOPE = "ocsp"
"""Stands for the list in a revocation that an OCSP responder reported."""
CA_SCOPE = "CA certificates"
"""The scope of a list of CA certificates only: what it revokes counts, but it covers no client."""


class SourceKind(StrEnum):
    """What an address gives."""

    CRL = "crl"
    OCSP = "ocsp"


class SourceState(StrEnum):
    """Whether an address may be fetched."""

    LEARNED = "learned"
    """A certificate named it; nothing is fetched before somebody has approved it."""
    APPROVED = "approved"
    REFUSED = "refused"
    """Looked at and not wanted; it is not learned again."""


@dataclass(frozen=True, slots=True)
class RevocationSource:
    """An address at which a partner's CA publishes revocations.

    `private`: it may lie in this network or on this machine. `error`: why the last fetch failed, empty if it did not;
    `failures`: how many did, one after the other. `etag` and `modified` are the version that was taken last.
    """

    id: int
    anchor: int
    kind: SourceKind
    url: str
    state: SourceState
    private: bool
    etag: str
    modified: str
    created: datetime
    fetched: datetime | None
    next_fetch: datetime | None
    failures: int
    error: str


@dataclass(frozen=True, slots=True)
class ForeignList:
    """A CRL in force of a partner's CA. `scope`: all certificates, empty; or those of one distribution point, its URI.

    `number` (RFC 5280 5.2.3, 0 without one) grows; it is ahead of `base_number`, that of the last complete list with
    `digest` (SHA-256 of its DER), when delta CRLs were applied since.
    """

    anchor: int
    scope: str
    number: int
    base_number: int
    this_update: datetime
    next_update: datetime
    entries: int
    digest: bytes
    fetched: datetime


@dataclass(frozen=True, slots=True)
class ForeignRevocation:
    """A serial number that a partner's CA revoked; `reason` by RFC 5280 5.3.1."""

    anchor: int
    serial: bytes
    scope: str
    at: datetime
    reason: int


class OcspStatus(StrEnum):
    """What the responder said of a certificate."""

    WANTED = "wanted"
    """Nothing yet: it is to be asked."""
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    """The responder does not know the certificate: it covers nothing."""


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """The last answer about one certificate, and when it is asked again."""

    anchor: int
    serial: bytes
    status: OcspStatus
    this_update: datetime | None
    next_update: datetime | None
    next_ask: datetime
    failures: int
    error: str
