"""An invitation: a single-use, expiring link that turns its holder into a client's credential holder."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mutualgate.model.pin import PinKind


class Way(StrEnum):
    """How a credential comes out of an invitation."""

    PAGE = "page"
    """A key made in the page, in the browser."""
    CSR = "csr"
    """A PKCS#10 request, pasted or uploaded."""
    OWN = "own"
    """A certificate that the client has already, proved by the handshake that shows it."""
    APPLE = "apple"
    """A configuration profile."""
    WINDOWS = "windows"
    """A script that has Windows make the key."""
    COMMAND = "command"
    """`mutualgate enrol`, or the script for Linux and servers."""


class InvitationState(StrEnum):
    """Where an invitation stands; whether it has expired is for the reader's clock."""

    OPEN = "open"
    WAITING = "waiting"
    """Something was handed in, and an operator has to approve it."""
    USED = "used"
    REVOKED = "revoked"
    DECLINED = "declined"
    LOCKED = "locked"
    """The second factor was wrong too often."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as the store knows it, without what opens it: of that there are hashes only.

    `way`, `peer` and `closed` say how and from where it was used, or what was handed in came, and when; `credential`
    and `pin` are what came out of it, `pin_kind` is how a certificate is to be pinned. `replaces_pin` is the pin that
    what comes out takes the place of, `partner` the one whose administrator made it.
    """

    id: int
    client: int
    ways: tuple[Way, ...]
    validity: timedelta | None
    approval: bool
    has_factor: bool
    state: InvitationState
    by: str
    created: datetime
    expires: datetime
    sent_to: str
    wrong_factors: int
    way: Way | None
    peer: str
    closed: datetime | None
    credential: int | None
    pin: int | None
    pin_kind: PinKind | None
    replaces_pin: int | None
    partner: int | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over and nothing came of it. What was handed in in time may wait longer."""
        return now >= self.expires and self.state in (InvitationState.OPEN, InvitationState.LOCKED)
