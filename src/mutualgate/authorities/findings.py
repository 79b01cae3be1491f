"""What is to be said about certificates that somebody else made: values, for every face to show in its way."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    NOTE = "note"
    """Good to know; nothing changes."""
    WARNING = "warning"
    """Goes on working; should be replaced or looked into."""
    REFUSED = "refused"
    """Left out, or the gate will not admit it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found: a stable code, where, what it is, and what we do about it or the user should."""

    code: str
    severity: Severity
    where: str
    sentence: str
    action: str
