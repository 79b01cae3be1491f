"""A client: somebody or something that we know."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mutualgate.model.names import ClientName, Role


class ClientState(StrEnum):
    """Where a client stands."""

    INVITED = "invited"
    """Known, without a credential so far."""
    ACTIVE = "active"
    """Has or had a credential."""
    SUSPENDED = "suspended"
    """Kept out for now, whatever it shows."""
    GONE = "gone"
    """Final. The record stays for the audit; the name is free again."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client as the store knows it. `id` is ours, never used twice, and what a service behind should keep."""

    id: int
    name: ClientName
    contact: str
    roles: tuple[Role, ...]
    state: ClientState
    created: datetime

    @property
    def suspended(self) -> bool:
        """Whether it is kept out for now."""
        return self.state is ClientState.SUSPENDED
