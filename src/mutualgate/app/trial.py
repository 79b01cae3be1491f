"""What a change of trust would do to those who come in today.

It is made where nothing is kept, and every chain that the gate has seen lately and that it concerns is judged before
and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from mutualgate.errors import BadInput
from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.partner import MemberState
from mutualgate.model.sighting import Sighting
from mutualgate.store.members import parse_member_key

if TYPE_CHECKING:
    from mutualgate.app.services import Services
    from mutualgate.gate import Judge, Verdict
    from mutualgate.snapshot import SiteRecord
    from mutualgate.store import Store

FEW = 200
"""Chains that are judged by what concerns them alone; for more, it is quicker to tell the judge of everything."""

Make = Callable[["Services"], object]
"""A change, as services that keep it make it, and services that do not."""
Told = Callable[[int, int], None]
"""Hears how many certificates were judged, and of how many."""


@dataclass(frozen=True, slots=True)
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

    `outside` are the clients, seen or not, whom a partner invited and may not vouch for any more.
    """

    since: datetime
    certificates: int
    clients: int
    locked_out: tuple[str, ...]
    let_in: tuple[str, ...]
    affected: tuple[Affected, ...]
    assumed: tuple[str, ...]
    outside: tuple[str, ...] = ()


class Trial:
    """A change, and what the judge says before and after it."""

    def __init__(self, services: Services, back: timedelta) -> None:
        from mutualgate import snapshot

        self._services = services
        self._store = services.store
        self._now = self._store.clock()
        self._since = self._now - back
        self._sites = snapshot.site_records(services.config)
        self._hosts = {site.name: site.hosts[0] for site in services.config.sites}
        self._epoch = 0
        self._assumed: list[str] = []
        self._outside: tuple[str, ...] = ()
        self._forget()

    def make(self, change: Make, tried: Store) -> None:
        """Makes the change in `tried`, which is not kept."""
        self._epoch = tried.epoch()
        services = self._services.rehearsing(tried)
        waiting = {claim.id for claim, _, _ in services.partners.anchors.pending()}
        change(services)
        self._assumed = _prove(services, waiting)
        self._outside = _put_out(tried, self._epoch)

    def judge_few(self, tried: Store) -> bool:
        """Judges what the change concerns, and these clients' other certificates. False if that may be much."""
        from mutualgate import snapshot
        from mutualgate.gate import Judge

        with self._store.reading() as before, tried.reading() as after:
            changes = after.changes.since(self._epoch)
            while True:
                concern = snapshot.concern(changes, (before, after))
                if concern is None:
                    return False
                seen = after.seen.concerned(self._since, concern.digests, concern.names, FEW)
                if seen is None:
                    return False
                seen = [one for one in seen if one.fingerprint not in self._judged]
                chains = [one.chain for one in seen]
                judges = (Judge(snapshot.build_for(state, self._sites, chains)) for state in (self._store, tried))
                clients = self._compare(seen, *judges) if seen else ()
                if not clients:
                    return True
                # Who has another certificate is not locked out: what a change of these clients would concern.
                changes = [Change(self._epoch, ChangeKind.CLIENT, str(id)) for id in clients]

    @contextmanager
    def judges(self, tried: Store) -> Iterator[Callable[[], tuple[Judge, Judge]]]:
        """What makes the judges before and after, of everything. Until it ends, the store is kept as it is now."""
        from mutualgate import snapshot
        from mutualgate.gate import Judge

        following = _following(tried, self._epoch, self._sites)
        # While it is tried, nobody else writes. It is read as it is now, but not now: others wait.
        with closing(snapshot.build(self._store, self._sites)) as batches:
            first = next(batches)

            def both() -> tuple[Judge, Judge]:
                before = Judge(chain([first], batches))
                return before, following(before)

            yield both

    def judge_all(self, judges: Callable[[], tuple[Judge, Judge]], told: Told) -> None:
        """Judges everything that was seen."""
        self._forget()
        with self._store.reading() as tx:
            total, _ = tx.seen.counts(self._since)
        told(0, total)
        before, after = judges()
        with self._store.reading() as tx:
            seen = tx.seen.since(self._since)
            while part := list(islice(seen, FEW)):
                self._compare(part, before, after)
                told(len(self._judged), max(total, len(self._judged)))

    def found(self) -> Tried:
        """What was found out."""
        with self._store.reading() as tx:
            certificates, clients = tx.seen.counts(self._since, self._came.values())
        return Tried(
            since=self._since,
            certificates=certificates,
            clients=clients,
            locked_out=tuple(sorted(self._came.keys() - self._would_come.keys())),
            let_in=tuple(sorted(self._would_come.keys() - self._came.keys())),
            affected=tuple(sorted(self._affected, key=lambda one: one.last_at, reverse=True)),
            assumed=tuple(self._assumed),
            outside=self._outside,
        )

    def _forget(self) -> None:
        self._judged = set[bytes]()
        self._came, self._would_come = dict[str, int](), dict[str, int]()
        self._affected: list[Affected] = []

    def _compare(self, seen: Iterable[Sighting], before: Judge, after: Judge) -> set[int]:
        """Judges `seen`; returns the ids of the clients as which something is judged otherwise."""
        concerned = set[int]()
        for one in seen:
            self._judged.add(one.fingerprint)
            old, new = (_judged(judge, one, self._hosts, self._now) for judge in (before, after))
            for verdict, names in ((old, self._came), (new, self._would_come)):
                if verdict.admitted and verdict.client_name is not None and verdict.client_id is not None:
                    names[verdict.client_name] = verdict.client_id
            if (old.admitted, _word(old)) != (new.admitted, _word(new)):
                concerned |= {verdict.client_id for verdict in (old, new) if verdict.client_id is not None}
                self._affected.append(
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


def _put_out(store: Store, since: int) -> tuple[str, ...]:
    """The names of the clients that are outside their partner's rules by what changed after the epoch `since`."""
    with store.reading() as tx:
        keys = [parse_member_key(one.key) for one in tx.changes.since(since) or () if one.kind is ChangeKind.MEMBER]
        members = [tx.members.get(*key) for key in dict.fromkeys(keys)]
        ids = {one.client for one in members if one is not None and one.state is MemberState.OUTSIDE}
        return tuple(sorted(str(one.name) for one in tx.clients.get_many(id for id in ids if id).values()))


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
