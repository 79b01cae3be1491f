"""A remembered refusal, so that the id on a refused person's page can be looked up."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """What the gate said and to whom; empty or `None` where it did not know. `fingerprint` is SHA-256 of the leaf."""

    id: str
    at: datetime
    reason: str
    detail: str
    site: str = ""
    path: str = ""
    peer: str = ""
    subject: str = ""
    fingerprint: bytes | None = None
    client: int | None = None
