"""What the store says of an installation at one moment, for those who watch it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from mutualgate.authorities import lists
from mutualgate.model.letter import LetterCount
from mutualgate.notices.expiry import Expiry, Summary
from mutualgate.partners.key_sets import KeySetFigures, KeySets
from mutualgate.partners.revocation import AnchorRevocation, PartnerRevocation
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
    lists_behind: Mapping[str, bool]
    """Of each of these lists, whether it does not tell of the last revocations yet."""
    letters: LetterCount

    def values(self) -> dict[str, Any]:
        """For `mutualgate status`."""
        oldest = self.letters.oldest
        return {
            "store_epoch": self.epoch,
            "clients": dict(self.clients),
            "authorities": {name: end.isoformat() for name, end in self.authorities},
            "lists": {name: end.isoformat() for name, end in self.lists},
            "letters": {**asdict(self.letters), "oldest": None if oldest is None else oldest.isoformat()},
        }


@dataclass(frozen=True)
class Figures:
    """What takes longer to find out, with many clients and partners: computed now and then, beside the loop."""

    expiring: Sequence[Summary] = ()
    partner_lists: Sequence[Mapping[str, Any]] = ()
    """For each CA of a partner that is asked about revocation: `partner`, `ca`, `mode`, `lists`, `entries`,
    `next_update` (the earliest, ISO 8601), `age_seconds` (of the oldest), `errors` and a `problem` if there is one."""
    key_sets: KeySetFigures = field(default_factory=KeySetFigures)
    """Of clients that publish their keys."""

    def values(self) -> dict[str, Any]:
        """For `mutualgate status`."""
        return {
            "expiring": [
                {
                    "kind": str(one.kind),
                    "nearest": None if one.nearest is None else one.nearest.isoformat(),
                    "within": {str(days): number for days, number in one.within.items()},
                }
                for one in self.expiring
            ],
            "partner_lists": [dict(one) for one in self.partner_lists],
            "key_sets": asdict(self.key_sets),
        }


def overview(store: Store) -> Overview:
    """As it is now. Raises what the store raises when it cannot be read."""
    with store.reading() as tx:
        states = [(str(one.name), tx.crls.state(one.id)) for one in tx.authorities.with_keys()]
        signed = [(name, state) for name, state in states if state is not None and state.signed]
        return Overview(
            epoch=tx.changes.epoch(),
            clients={str(state): number for state, number in tx.clients.counts().items()},
            authorities=[(str(name), not_after) for name, not_after in tx.authorities.ends()],
            lists=[(name, state.next_update) for name, state in signed],
            lists_behind={name: lists.is_behind(tx, state) for name, state in signed},
            letters=tx.outbox.count(),
        )


def figures(expiry: Expiry, revocation: PartnerRevocation, key_sets: KeySets) -> Figures:
    """As they are now. Raises what the store raises."""
    return Figures(expiry.summary(), [_partner_list(one) for one in revocation.overview()], key_sets.figures())


def _partner_list(one: AnchorRevocation) -> dict[str, Any]:
    ends = [state.list.next_update for state in one.lists]
    return {
        "partner": str(one.partner.name),
        "ca": one.anchor.id,
        "mode": str(one.anchor.revocation),
        "lists": len(one.lists),
        "entries": one.revoked,
        "next_update": min(ends).isoformat() if ends else None,
        "age_seconds": max((int(state.age.total_seconds()) for state in one.lists), default=None),
        "errors": sum(source.failures > 0 for source in one.sources),
        "problem": one.problem,
    }
