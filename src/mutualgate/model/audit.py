"""An entry of the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

Facts = Mapping[str, str | int | bool | None]
"""Names and values; never a secret, never a certificate's whole text."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what, when; `hash` covers all of it and `previous`, the hash of the entry before."""

    number: int
    at: datetime
    by: str
    action: str
    subject: str
    facts: Facts
    previous: bytes
    hash: bytes
