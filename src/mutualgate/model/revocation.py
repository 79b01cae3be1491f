"""Revocations of certificates (RFC 5280 5)."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from mutualgate.errors import BadInput
from mutualgate.model.names import shown
from mutualgate.model.serial import text as serial_text


class RevocationReason(IntEnum):
    """CRLReason, with its number: RFC 5280 5.3.1."""

    unspecified = 0
    keyCompromise = 1  # noqa: N815 - the standard's spelling, and what users type
    cACompromise = 2  # noqa: N815
    affiliationChanged = 3  # noqa: N815
    superseded = 4
    cessationOfOperation = 5  # noqa: N815
    certificateHold = 6  # noqa: N815
    removeFromCRL = 8  # noqa: N815
    privilegeWithdrawn = 9  # noqa: N815
    aACompromise = 10  # noqa: N815

    @classmethod
    def parse(cls, text: str) -> "RevocationReason":
        """The reason that an operator named, in any case, with or without hyphens. Raises `BadInput`.

        removeFromCRL is for delta CRLs alone and no reason to revoke.
        """
        wanted = text.replace("-", "").replace("_", "").casefold()
        for reason in cls:
            if reason.name.casefold() == wanted and reason is not cls.removeFromCRL:
                return reason
        names = ", ".join(reason.name for reason in cls if reason is not cls.removeFromCRL)
        raise BadInput(f"{shown(text)} is no reason to revoke", expected=f"one of {names}", code="bad_reason")


@dataclass(frozen=True, slots=True)
class Revocation:
    """A serial number of an authority that counts no more, since when and why."""

    authority: int
    serial: bytes
    at: datetime
    reason: RevocationReason

    @property
    def serial_text(self) -> str:
        """The serial number, for people and programs."""
        return serial_text(self.serial)

    @property
    def can_be_lifted(self) -> bool:
        """RFC 5280 5.3.1: only certificateHold is temporary."""
        return self.reason is RevocationReason.certificateHold
