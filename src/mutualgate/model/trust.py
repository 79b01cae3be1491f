"""A change of whom the gate trusts, with what takes it back."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrustChange:
    """`what` is said as a command would; `undone` is when it was taken back. `final`: it cannot be."""

    id: int
    at: datetime
    by: str
    what: str
    undone: datetime | None
    final: bool
