"""A letter: something that is to be told to somebody outside, by e-mail or by a call of a webhook."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class LetterKind(StrEnum):
    """How it goes out."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class LetterState(StrEnum):
    """How far it is."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    """Given up; somebody has to look at it."""


@dataclass(frozen=True)
class Letter:
    """One letter. `body` may open an invitation: it is in no log and no `repr`, and is wiped once the letter is sent.

    `once` names what it is about; there is never a second letter with the same.
    """

    id: int
    kind: LetterKind
    recipient: str
    subject: str
    body: str = field(repr=False)
    once: str | None
    created: datetime
    next_try: datetime | None
    """When it is sent, or sent again; None once it was sent or given up."""
    tries: int
    sent: datetime | None
    error: str
    """Why the last try failed; empty if none did."""

    @property
    def state(self) -> LetterState:
        """How far it is."""
        if self.sent is not None:
            return LetterState.SENT
        return LetterState.DEAD if self.next_try is None else LetterState.WAITING


@dataclass(frozen=True)
class LetterCount:
    """What is in the outbox: how many wait, since when the oldest does, how many were given up, and the last error."""

    waiting: int
    dead: int
    oldest: datetime | None
    error: str
