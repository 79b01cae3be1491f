"""A change of whom the gate trusts, with what takes it back."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrustChange:
    """`what` is said as a command would; `undone` is when it was taken back."""

    id: int
    at: datetime
    by: str
    what: str
    undone: datetime | None


@dataclass(frozen=True, slots=True)
class SeenChain:
    """A certificate that was shown to the gate, with its key: the chain (DER, leaf first), when, how often, from where.

    `reason` is that of the last refusal, empty when it was admitted.
    """

    fingerprint: bytes
    chain: tuple[bytes, ...]
    site: str
    path: str
    first_at: datetime
    last_at: datetime
    count: int
    reason: str
    subject: str
    peer: str
