"""A pin: a client's own certificate, or its key, accepted as it is. Never an issuer."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PinKind(StrEnum):
    """What is compared, whole."""

    CERTIFICATE = "certificate"
    """SHA-256 of the certificate's DER: this one alone."""
    KEY = "key"
    """SHA-256 of the SubjectPublicKeyInfo: every certificate with this key, renewed ones too."""


class PinState(StrEnum):
    """Whether a pin counts, its dates aside."""

    ACTIVE = "active"
    RETIRED = "retired"
    """Refused as `pin_retired`, so that its holder learns why."""
    REMOVED = "removed"
    """As if it had never been: added by mistake and taken back. The row stays for the audit."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A client's pin. `digest` is what is compared, `spki` the SHA-256 of the key in either case.

    `certificate` (DER) is the one it was made from, if it was one; `environment` is empty for all; `replaces` is the id
    of the one that it takes the place of.
    """

    id: int
    client: int
    kind: PinKind
    digest: bytes
    spki: bytes
    certificate: bytes | None
    subject: str
    environment: str
    state: PinState
    not_before: datetime
    not_after: datetime
    created: datetime
    retired: datetime | None
    replaces: int | None
