"""What the store says of an installation at one moment, for those who watch it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mutualgate.model import ClientState, LetterCount
from mutualgate.store import Store


@dataclass(frozen=True)
class Overview:
    """The newest epoch, how many clients there are in each state, and what ends when."""

    epoch: int
    clients: Mapping[str, int]
    authorities: Sequence[tuple[str, datetime]]
    """Name and notAfter."""
    lists: Sequence[tuple[str, datetime]]
    """The name of an authority and the nextUpdate of its revocation list."""
    letters: LetterCount


def overview(store: Store) -> Overview:
    """As it is now. Raises what the store raises when it cannot be read."""
    with store.reading() as tx:
        authorities = tx.authorities.all()
        lists = [(str(one.name), tx.crls.find(one.id)) for one in authorities if one.has_key]
        return Overview(
            epoch=tx.changes.epoch(),
            clients={str(state): tx.clients.count(state=state) for state in ClientState},
            authorities=[(str(one.name), one.not_after) for one in authorities],
            lists=[(name, crl.next_update) for name, crl in lists if crl is not None and crl.der],
            letters=tx.outbox.count(),
        )
