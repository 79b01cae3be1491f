"""A certificate revocation list that an authority of ours signed (RFC 5280 5)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

NEVER = -1
"""Older than any epoch."""


@dataclass(frozen=True, slots=True)
class CrlState:
    """What there is to know of the current list of an authority. `epoch` is that of the revocations that it tells of;
    `NEVER` where only the number of an older authority's last list is remembered."""

    authority: int
    number: int
    this_update: datetime
    next_update: datetime
    epoch: int

    @property
    def signed(self) -> bool:
        """Whether there is a list."""
        return self.epoch != NEVER

    @property
    def half_life(self) -> datetime:
        """When the next one is due although nothing was revoked."""
        return self.this_update + (self.next_update - self.this_update) / 2

    def lasts(self, now: datetime) -> timedelta:
        """How long it may still be served; negative when it must not be."""
        return self.next_update - now


@dataclass(frozen=True, slots=True)
class StoredCrl(CrlState):
    """The list itself, too."""

    der: bytes
