"""A client: somebody or something that we know."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mutualgate.model.names import ClientName, Role


class ClientState(StrEnum):
    """Where a client stands."""

    NEW = "new"
    """Known, without a credential so far; `Client.invited` says whether it could have one."""
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
    invited: bool = field(default=False, compare=False)
    """Whether an invitation of it is not used yet."""

    @property
    def standing(self) -> str:
        """Its state in words: `new, invited`."""
        return f"{self.state}, invited" if self.state is ClientState.NEW and self.invited else str(self.state)

    @property
    def suspended(self) -> bool:
        """Whether it is kept out for now."""
        return self.state is ClientState.SUSPENDED
