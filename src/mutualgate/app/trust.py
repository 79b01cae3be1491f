"""Changes of trust: what one would do, before it is made; and the way back after it was."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.app.trial import Make, Told, Trial, Tried
from mutualgate.clients import states
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.names import shown
from mutualgate.model.partner import MemberState
from mutualgate.model.trust import TrustChange
from mutualgate.partners import bounds, room, sharing

if TYPE_CHECKING:
    from mutualgate.app.services import Services
    from mutualgate.store import Transaction

LOOKED_BACK = timedelta(days=30)


class Trust:
    """The service."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def try_(self, change: Make, *, back: timedelta = LOOKED_BACK, told: Told = lambda _, __: None) -> Tried:
        """Makes `change` where nothing is kept, and judges anew what of the certificates seen since `back` ago it
        concerns. `told` hears of it where these may be many; what it raises ends it.

        A CA that would wait for its proof counts as proved. Raises what `change` raises.
        """
        with self._trial(back) as trial:
            if not self._make(trial, change):
                trial.judge_many(told)
            return trial.found()

    def try_few(self, change: Make, *, back: timedelta = LOOKED_BACK) -> Tried | None:
        """As `try_`, in some milliseconds: `None` where what the change concerns may be many certificates."""
        with self._trial(back) as trial:
            few = self._make(trial, change)
            if not few and trial.concerns_many():
                return None
            if not few:
                trial.judge_many(lambda _, __: None)
            return trial.found()

    def _make(self, trial: Trial, change: Make) -> bool:
        """Makes the change, and whether it concerned few, which are judged then."""
        with self._services.store.rehearsal() as tried:
            trial.make(change, tried)
        return trial.judge_few()

    @contextmanager
    def _trial(self, back: timedelta) -> Iterator[Trial]:
        store = self._services.store
        since = store.clock() - back

        def counts() -> tuple[int, int]:
            with store.reading() as tx:
                return tx.seen.counts(since)

        # The store before the change is read by one transaction, which sees it as it is when it is first asked. To
        # count all that was seen takes as long as most else, and the database does it without Python.
        with store.reading() as before, ThreadPoolExecutor(1) as executor:
            yield Trial(self._services, before, since, executor.submit(counts).result)

    def undo(self, id: int | None = None) -> TrustChange:
        """Takes a change back, the last one unless it is named. It is a change itself, and audited.

        Raises `NotFound`, and `Conflict` where it is taken back already or something later builds on it: a client, too,
        whom a partner invited by a name that it could not vouch for then; and where there would be more of something
        than may be.
        """
        store = self._services.store
        now = store.clock()
        with store.transaction() as tx:
            change = tx.trust.last() if id is None else tx.trust.get(id)
            if change is None:
                raise NotFound(
                    "there is no change of trust that could be taken back"
                    if id is None
                    else f"there is no change {id}",
                    fix="See them with: mutualgate trust list",
                    code="no_such_change",
                )
            if change.undone is not None:
                raise Conflict(
                    f"the change {change.id} was taken back on {change.undone:%Y-%m-%d %H:%M} UTC already",
                    code="undone",
                )
            if change.final:
                raise Conflict(
                    f"{shown(change.what)} (change {change.id}) is final",
                    fix="To take an earlier change back, give its number: mutualgate trust list",
                    code="final",
                )
            bound = [_Bound(tx, change.id, id, self._services.permits) for id in tx.trust.members(change.id)]
            concerned = tx.trust.clients(change.id)
            rooms = room.of_change(tx, change.id, now)
            tx.trust.undo(change.id, now)
            _say_who_is_new(tx, concerned)
            sharing.check_undone(tx, change.id, now)
            room.check_grown(rooms, room.of_change(tx, change.id, now))
            for one in bound:
                one.check_nobody_falls_out()
            facts: audit.Facts = {"change": change.id, "what": change.what, "made_by": change.by}
            audit.record(tx, now, self._services.by, "trust.undo", f"change {change.id}", facts)
        return change

    def list(self, limit: int = 20, *, before: int | None = None) -> list[TrustChange]:
        """The newest changes, newest first, those before the id `before`; `limit` is 1 to 1,000."""
        if not 1 <= limit <= 1_000:
            raise BadInput(f"{limit} changes are not possible", expected="1 to 1,000")
        with self._services.store.reading() as tx:
            return tx.trust.recent(limit, before=before)

    def last(self) -> TrustChange | None:
        """The newest one that can be taken back, though final ones may have come after it."""
        with self._services.store.reading() as tx:
            return tx.trust.last(final=False)


def _say_who_is_new(tx: Transaction, concerned: Collection[int]) -> None:
    """Whoever could come in by what was taken back alone, and by nothing before it, is as new as before."""
    for one in tx.clients.get_many(concerned).values():
        if one.state is ClientState.ACTIVE and (state := states.of_what_it_has(tx, one.id)) is not one.state:
            tx.clients.set_state(one.id, state)


class _Bound:
    """A partner's clients that it invited, before a change is taken back that may bound them."""

    def __init__(self, tx: Transaction, change: int, partner: int, permits: bounds.Permits) -> None:
        self._tx, self._partner, self._permits = tx, partner, permits
        self._touched = tx.trust.members(change)[partner]
        self._invited = {
            *tx.members.invited_by(partner, MemberState.ACTIVE, self._touched),
            *tx.members.invited_under(partner, MemberState.ACTIVE, tx.trust.rules_made(change, partner)),
        }
        self._outside = bounds.outside(tx, partner, permits, list(self._invited))

    def check_nobody_falls_out(self) -> None:
        """Raises Conflict for those that the partner could not vouch for any more, now that it is taken back."""
        tx, partner = self._tx, self._partner
        names = {*self._invited, *tx.members.invited_by(partner, MemberState.ACTIVE, self._touched)}
        now_outside = bounds.outside(tx, partner, self._permits, list(names))
        fell = [name for name in now_outside if name not in self._outside]
        if fell:
            owner = tx.partners.get(partner)
            named = ", ".join(shown(name) for name in fell[:3]) + (
                f" and {len(fell) - 3} more" if len(fell) > 3 else ""
            )
            raise Conflict(
                f"without this change {owner.name if owner else partner} could not vouch for clients that it invited"
                f" since then: {named}",
                fix="Take the rules away instead, which keeps these out: mutualgate partner name remove",
                code="depended_on",
            )
