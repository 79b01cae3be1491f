"""What a change of trust would do to those who come in today, before it is made; and the way back after it was.

Tries changes on a store that keeps nothing, and asks the judge about every chain that the gate has seen lately and that
the change concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.names import shown
from mutualgate.model.partner import Member, MemberState
from mutualgate.model.sighting import Sighting
from mutualgate.model.trust import TrustChange
from mutualgate.partners import bounds, sharing
from mutualgate.store.members import parse_member_key

if TYPE_CHECKING:
    from mutualgate.app.services import Services
    from mutualgate.gate import Judge, Verdict
    from mutualgate.snapshot import SiteRecord
    from mutualgate.store import Store, Transaction

LOOKED_BACK = timedelta(days=30)
FEW = 200
"""Chains that are judged by what concerns them alone; for more, it is quicker to tell the judge of everything."""


@dataclass(frozen=True)
class Affected:
    """A certificate that would be judged otherwise. `before` and `after` are client names, or reasons of refusal."""

    subject: str
    fingerprint: bytes
    admitted_before: bool
    before: str
    admitted_after: bool
    after: str
    detail: str
    last_at: datetime
    peer: str


@dataclass(frozen=True)
class Tried:
    """What a change would do. `certificates` were seen lately, those of `clients` among them; who is `locked_out` would
    not come in any more, with any certificate.

    Not `whole`: there were more certificates than were to be looked at, and these are the ones that came last.
    `outside` are the clients, seen or not, whom a partner invited and may not vouch for any more.
    """

    since: datetime
    certificates: int
    clients: int
    locked_out: tuple[str, ...]
    let_in: tuple[str, ...]
    affected: tuple[Affected, ...]
    assumed: tuple[str, ...]
    whole: bool = True
    outside: tuple[str, ...] = ()


class Trust:
    """The service."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def try_(
        self, change: Callable[[Services], object], *, back: timedelta = LOOKED_BACK, most: int | None = None
    ) -> Tried:
        """Makes `change` where nothing is kept, and judges anew what of the certificates seen since `back` ago it
        concerns; where that may be many, `most` of them.

        A CA that would wait for its proof counts as proved. Raises what `change` raises.
        """
        from mutualgate import snapshot
        from mutualgate.gate import Judge

        store = self._services.store
        now = store.clock()
        since = now - back
        sites = snapshot.site_records(self._services.config)
        compared = _Compared({site.name: site.hosts[0] for site in self._services.config.sites}, now)
        with store.rehearsal() as tried:
            epoch = tried.epoch()
            services = self._services.rehearsing(tried)
            waiting = {claim.id for claim, _, _ in services.partners.anchors.pending()}
            change(services)
            assumed = _prove(services, waiting)
            outside = _put_out(tried, epoch)
            few = _compare_few(compared, store, tried, sites, since)
            if not few:
                following = _following(tried, epoch, sites)
                # While it is tried, nobody else writes. It is read as it is now, but not now: others wait.
                batches = snapshot.build(store, sites)
                first = next(batches)
        whole = True
        if not few:
            before = Judge(chain([first], batches))
            after = following(before)
            compared = _Compared(compared.hosts, now)
            with store.reading() as tx:
                seen = tx.seen.since(since)
                compared.add(islice(seen, most), before, after)
                whole = next(seen, None) is None
        with store.reading() as tx:
            certificates, clients = tx.seen.counts(since, compared.came.values())
        return Tried(
            since=since,
            certificates=certificates if whole else len(compared.judged),
            clients=clients,
            locked_out=tuple(sorted(compared.came.keys() - compared.would_come.keys())),
            let_in=tuple(sorted(compared.would_come.keys() - compared.came.keys())),
            affected=tuple(sorted(compared.affected, key=lambda one: one.last_at, reverse=True)),
            assumed=tuple(assumed),
            whole=whole,
            outside=outside,
        )

    def undo(self, id: int | None = None) -> TrustChange:
        """Takes a change back, the last one unless it is named. It is a change itself, and audited.

        Raises `NotFound`, and `Conflict` where it is taken back already or something later builds on it: a client, too,
        whom a partner invited by a name that it could not vouch for then.
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
            before = {id: bounds.outside(tx, id, self._services.permits) for id in tx.trust.partners(change.id)}
            tx.trust.undo(change.id, now)
            sharing.check_undone(tx, change.id, now)
            for partner, those in before.items():
                _check_nobody_falls_out(tx, partner, those, self._services.permits)
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


def _put_out(store: Store, since: int) -> tuple[str, ...]:
    """The names of the clients that are outside their partner's rules by what changed after the epoch `since`."""
    with store.reading() as tx:
        keys = [parse_member_key(one.key) for one in tx.changes.since(since) or () if one.kind is ChangeKind.MEMBER]
        members = [tx.members.get(*key) for key in dict.fromkeys(keys)]
        ids = {one.client for one in members if one is not None and one.state is MemberState.OUTSIDE}
        return tuple(sorted(str(one.name) for one in tx.clients.get_many(id for id in ids if id).values()))


def _check_nobody_falls_out(
    tx: Transaction, partner: int, before: Mapping[str, Member], permits: bounds.Permits
) -> None:
    """Raises Conflict for clients that the partner invited and could not vouch for any more."""
    fell = [name for name in bounds.outside(tx, partner, permits) if name not in before]
    if fell:
        owner = tx.partners.get(partner)
        named = ", ".join(shown(name) for name in fell[:3]) + (f" and {len(fell) - 3} more" if len(fell) > 3 else "")
        raise Conflict(
            f"without this change {owner.name if owner else partner} could not vouch for clients that it invited since"
            f" then: {named}",
            fix="Take the rules away instead, which keeps these out: mutualgate partner name remove",
            code="depended_on",
        )


def _following(tried: Store, epoch: int, sites: list[SiteRecord]) -> Callable[[Judge], Judge]:
    """What makes the judge of `epoch` that of `tried`."""
    from mutualgate import snapshot
    from mutualgate.gate import Judge

    delta = snapshot.delta(tried, epoch)
    if delta is None:  # too much to list
        anew = Judge(snapshot.build(tried, sites))
        return lambda _: anew
    return partial(Judge.after, delta=delta)


def _prove(services: Services, waiting: set[int]) -> list[str]:
    """Lets claims count that the change made: what they would do is what is asked."""
    assumed = []
    for claim, partner, holder in services.partners.anchors.pending():
        if claim.id in waiting:
            continue
        if holder is not None:
            assumed.append(f"The CA {claim.subject} would wait: its key is the partner {holder.name}'s.")
            continue
        services.partners.anchors.approve(partner.name, claim.id, without_proof=True)
        assumed.append(f"As if {partner.name} had proved that it controls {claim.subject}.")
    return assumed


class _Compared:
    """What the judge says before and after."""

    def __init__(self, hosts: Mapping[str, str], now: datetime) -> None:
        self.hosts = hosts
        self._now = now
        self.judged = set[bytes]()
        self.came, self.would_come = dict[str, int](), dict[str, int]()
        self.affected: list[Affected] = []

    def add(self, seen: Iterable[Sighting], before: Judge, after: Judge) -> set[int]:
        """Judges `seen`; returns the ids of the clients as which something is judged otherwise."""
        concerned = set[int]()
        for one in seen:
            self.judged.add(one.fingerprint)
            old, new = (_judged(judge, one, self.hosts, self._now) for judge in (before, after))
            for verdict, names in ((old, self.came), (new, self.would_come)):
                if verdict.admitted and verdict.client_name is not None and verdict.client_id is not None:
                    names[verdict.client_name] = verdict.client_id
            if (old.admitted, _word(old)) != (new.admitted, _word(new)):
                concerned |= {verdict.client_id for verdict in (old, new) if verdict.client_id is not None}
                self.affected.append(
                    Affected(
                        subject=one.subject,
                        fingerprint=one.fingerprint,
                        admitted_before=old.admitted,
                        before=_word(old),
                        admitted_after=new.admitted,
                        after=_word(new),
                        detail=new.detail or "",
                        last_at=one.last_at,
                        peer=one.peer,
                    )
                )
        return concerned


def _compare_few(compared: _Compared, store: Store, tried: Store, sites: list[SiteRecord], since: datetime) -> bool:
    """Judges what the change concerns, and these clients' other certificates. False if that is too much."""
    from mutualgate import snapshot
    from mutualgate.gate import Judge

    epoch = store.epoch()
    with store.reading() as before, tried.reading() as after:
        changes = after.changes.since(epoch)
        while True:
            concern = snapshot.concern(changes, (before, after))
            if concern is None:
                return False
            seen = after.seen.concerned(since, concern.digests, concern.names, FEW)
            if seen is None:
                return False
            seen = [one for one in seen if one.fingerprint not in compared.judged]
            chains = [one.chain for one in seen]
            judges = (Judge(snapshot.build_for(state, sites, chains)) for state in (store, tried))
            clients = compared.add(seen, *judges) if seen else ()
            if not clients:
                return True
            # Who has another certificate is not locked out: what a change of these clients would concern.
            changes = [Change(epoch, ChangeKind.CLIENT, str(id)) for id in clients]


def _judged(judge: Judge, one: Sighting, hosts: Mapping[str, str], now: datetime) -> Verdict:
    """At the place where it was seen: an environment is a site's. Where that is gone, the certificate alone."""
    seconds = int(now.timestamp())
    host = hosts.get(one.site)
    if host is not None:
        try:
            verdict = judge.authorize(one.chain, seconds, host, one.path or "/")
        except BadInput:
            pass  # no route covers it any more
        else:
            if not verdict.admitted or verdict.client_name is not None:
                return verdict
    return judge.decide(one.chain, seconds)


def _word(verdict: Verdict) -> str:
    return (verdict.client_name or "") if verdict.admitted else (verdict.reason or "")
