"""A credential: a certificate that a client proves itself with."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mutualgate.model.revocation import Revocation
from mutualgate.model.serial import text


class Origin(StrEnum):
    """How a certificate came to be known."""

    ISSUED = "issued"
    """We signed it."""
    LISTED = "listed"
    """An adopted authority signed it before, and we were shown it."""


class CredentialState(StrEnum):
    """Whether a certificate counts, its dates aside."""

    VALID = "valid"
    HELD = "held"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate of a client. `fingerprint` is SHA-256 of its DER, `spki` of its SubjectPublicKeyInfo.

    `replaces` is the id of the one that it renews, `replaces_pin` that of the pin; `superseded` is when it ends because
    another one renews it.
    """

    id: int
    client: int
    authority: int
    serial: bytes
    fingerprint: bytes
    spki: bytes
    origin: Origin
    not_before: datetime
    not_after: datetime
    created: datetime
    revocation: Revocation | None
    replaces: int | None = None
    replaces_pin: int | None = None
    superseded: datetime | None = None

    @property
    def serial_text(self) -> str:
        """The serial number, for people and programs."""
        return text(self.serial)

    @property
    def state(self) -> CredentialState:
        """Whether it counts; expiry is for the reader's clock."""
        if self.revocation is None:
            return CredentialState.VALID
        return CredentialState.HELD if self.revocation.can_be_lifted else CredentialState.REVOKED
