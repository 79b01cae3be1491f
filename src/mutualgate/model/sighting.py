"""A certificate that was shown to the gate by somebody who holds its key."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is kept of one, told by its SHA-256. `chain` is DER, leaf first, as it was sent.

    `reason` is that of the last refusal, empty where it was admitted last. `client` is whose it was when it was last
    known to be anybody's, `evidence` what that rested on (`pin 3`, `credential 7`, `partner`), `admitted_at` when it
    first was admitted as that client's. `signer` is the SHA-256 of the key that verified its signature when the judge
    admitted it, if one did. `names` are hashes of those above it and of its own inside a partner: to find it by, and
    not read back.
    """

    fingerprint: bytes
    chain: tuple[bytes, ...]
    site: str
    path: str
    first_at: datetime
    last_at: datetime
    count: int
    reason: str
    peer: str
    spki: bytes | None = None
    client: int | None = None
    evidence: str = ""
    subject: str = ""
    not_after: datetime | None = None
    admitted_at: datetime | None = None
    signer: bytes | None = None
    names: tuple[bytes, ...] = field(default=(), compare=False)
