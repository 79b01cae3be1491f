"""Keys that a client publishes itself (RFC 7517), and what became of each. None of them is a pin before its time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mutualgate.model.pin import PinKind


class KeyState(StrEnum):
    """What became of a published key."""

    WAITING = "waiting"
    """New. It becomes a pin if it still stands in the set when its hold is over, or when an operator says so."""
    PINNED = "pinned"
    """It became a pin, whose state is its own from then on."""
    DECLINED = "declined"
    """An operator does not want it."""
    REFUSED = "refused"
    """It cannot be this client's pin: `detail` says why."""
    WITHDRAWN = "withdrawn"
    """It left the set before its hold was over. If it comes back, it waits anew."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Where a client publishes, and how that is taken. `environment` is that of the pins, empty for all."""

    client: int
    url: str
    private: bool
    """Whether the address may lie in this network or on this machine."""
    environment: str
    hold: timedelta
    """How long a new key waits before it admits anybody."""
    every: timedelta
    created: datetime
    fetched: datetime | None
    """When the set could last be read."""
    next_fetch: datetime
    failures: int
    """Since then."""
    error: str
    left_out: tuple[str, ...]
    """What of it could not be used, in sentences."""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key of a set, or one that was. `material` is the certificate, or the SubjectPublicKeyInfo of a bare key."""

    id: int
    client: int
    kind: PinKind
    digest: bytes
    material: bytes
    label: str
    """Its `kid` and the subject of its certificate, in plain text."""
    state: KeyState
    since: datetime
    """Since when it stands in the set without a break."""
    gone: datetime | None
    """When it left the set; None while it stands there."""
    pin: int | None
    detail: str
