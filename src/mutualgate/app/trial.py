"""What a change of trust would do to those who come in today.

It is made where nothing is kept, and every chain that the gate has seen lately and that it concerns is judged before
and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.partner import AnchorState, MemberState
from mutualgate.store.members import parse_member_key
from mutualgate.store.seen import PlainSeen, split
from mutualgate.store.types import EPOCH

if TYPE_CHECKING:
    from mutualgate.app.services import Services
    from mutualgate.gate import Judge, Verdict
    from mutualgate.snapshot import Concern, SiteRecord
    from mutualgate.store import Store, Transaction

FEW = 20
"""Chains that are judged by what concerns them alone; for more, it is quicker to tell the judge of everything that may
concern so many."""
SOON = 200
"""Chains that are judged while somebody waits for a page."""
PART = 1_000
"""Certificates that are judged before somebody is told, and may end it."""

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
    """What a change would do. `certificates` were seen lately; `clients` came in with them, or would now with one that
    would be judged otherwise. Who is `locked_out` would not come in any more, with any certificate.

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

    def __init__(
        self, services: Services, before: Transaction, since: datetime, counts: Callable[[], tuple[int, int]]
    ) -> None:
        """`before` reads the store as it is while the change is made, and `counts` waits for how many certificates
        were seen `since` then, of how many clients."""
        from mutualgate import snapshot

        self._services = services
        self._store = services.store
        self._before = before
        self._now = self._store.clock()
        self._since = since
        self._counts = counts
        self._sites = snapshot.site_records(services.config)
        self._hosts = {site.name: site.hosts[0] for site in services.config.sites}
        self._concern: Concern | None = None
        self._following: Callable[[Judge], Judge]
        self._assumed: list[str] = []
        self._outside: tuple[str, ...] = ()
        self._forget()

    def make(self, change: Make, tried: Store) -> None:
        """Makes the change in `tried`, which is not kept, and finds out what it concerns: all that `tried` is for."""
        from mutualgate import snapshot

        epoch = self._before.changes.epoch()
        services = self._services.rehearsing(tried)
        change(services)
        with tried.reading() as after:
            changes = after.changes.since(epoch)
            if changes is None or any(one.kind is ChangeKind.ANCHOR for one in changes):
                # One whose time is over waits no more: who claims the CA anew has made that claim.
                pending = self._before.anchors.pending()
                waiting = {one.id for one in pending if one.state_at(self._now) is AnchorState.PENDING}
                self._assumed = _prove(services, waiting)
                changes = after.changes.since(epoch)
            self._outside = _put_out(after, changes or ())
            self._concern = snapshot.concern(changes, (self._before, after))
        self._following = _following(tried, epoch, self._sites)

    def judge_few(self) -> bool:
        """Judges what the change concerns, and these clients' other certificates. False if that may be much."""
        from mutualgate import snapshot
        from mutualgate.gate import Judge

        for concern in self._steps():
            found = None if concern is None else self._found(concern, FEW)
            if found is None:
                return False
            for seen in self._before.seen.shown(self._since, found, FEW):
                chains = [split(chain) for _, chain, *_ in seen]
                before = Judge(snapshot.excerpt_of(self._before, self._sites, chains, self._concern))
                self._compare(seen, before, self._following(before))
        return True

    def concerns_many(self) -> bool:
        """Whether what the change concerns may be more than is judged soon."""
        return self._concern is None or self._found(self._concern, SOON) is None

    def judge_many(self, told: Told) -> None:
        """As `judge_few`, however many these are."""
        self._forget()
        begun = False
        for concern in self._steps():
            found = None if concern is None else self._found(concern)
            if found is None:
                total, _ = self._counts()
            else:
                total = len(self._judged) + len(found)
            if not begun:
                told(0, total)
                begun = True
            if total == len(self._judged):
                continue
            judges = self._judges(concern)
            with closing(_ahead(self._before.seen.shown(self._since, found, PART))) as parts:
                for seen in parts:
                    self._compare(seen, *judges)
                    told(len(self._judged), max(total, len(self._judged)))

    def _judges(self, concern: Concern | None) -> tuple[Judge, Judge]:
        """The judges before and after, of what is concerned or of all."""
        from mutualgate import snapshot
        from mutualgate.gate import Judge

        if concern is None or self._concern is None:
            before = Judge(snapshot.build_of(self._before, self._sites))
        else:
            before = Judge(snapshot.build_of_seen(self._before, self._sites, concern, self._concern))
        return before, self._following(before)

    def found(self) -> Tried:
        """What was found out."""
        certificates, clients = self._counts()
        return Tried(
            since=self._since,
            certificates=certificates,
            clients=clients + len(self._before.seen.showed_none(self._unknown, self._since)),
            locked_out=tuple(sorted(self._came.keys() - self._would_come.keys() - self._stay)),
            let_in=tuple(sorted(self._would_come.keys() - self._came.keys() - self._stay)),
            affected=tuple(sorted(self._affected, key=lambda one: (one.last_at, one.fingerprint), reverse=True)),
            assumed=tuple(self._assumed),
            outside=self._outside,
        )

    def _forget(self) -> None:
        self._judged = set[bytes]()
        # Clients, by name: as whom what is judged otherwise comes in, and what is not.
        self._came, self._would_come, self._stay = dict[str, int](), dict[str, int](), set[str]()
        self._unknown = set[int]()
        self._affected: list[Affected] = []

    def _steps(self) -> Iterator[Concern | None]:
        """What is judged, one after the other; `None` for everything.

        Who has another certificate is not locked out, nor let in. What the change does not concern is judged as before,
        so nothing that a second step finds makes a third.
        """
        from mutualgate import snapshot

        yield self._concern
        moved = {
            id
            for one, other in ((self._came, self._would_come), (self._would_come, self._came))
            for name, id in one.items()
            if name not in other and name not in self._stay
        }
        if self._concern is not None and moved:
            yield snapshot.concern_of(moved, self._before)

    def _found(self, concern: Concern, limit: int | None = None) -> set[bytes] | None:
        """What of that was seen and is not judged yet. `None` for more than `limit`."""
        found = self._before.seen.concerned(concern.digests, concern.names, limit)
        return None if found is None else found - self._judged

    def _compare(self, seen: list[PlainSeen], before: Judge, after: Judge) -> None:
        """Judges what of `seen` is not judged yet."""
        seen = [one for one in seen if one[0] not in self._judged]
        self._judged.update(one[0] for one in seen)
        places = [(chain, signer, self._hosts.get(site), path or "/") for _, chain, signer, site, path, *_ in seen]
        otherwise, stay = before.compare(after, places, int(self._now.timestamp()))
        self._stay |= stay
        for position, (old, new) in otherwise:
            fingerprint, *_, client, subject, last_at, peer = seen[position]
            for verdict, names in ((old, self._came), (new, self._would_come)):
                if verdict.client_name is not None and verdict.client_id is not None:
                    names[verdict.client_name] = verdict.client_id
            if old.admitted and old.client_id is not None and old.client_id != client:
                self._unknown.add(old.client_id)
            self._affected.append(
                Affected(
                    subject=subject,
                    fingerprint=fingerprint,
                    admitted_before=old.admitted,
                    before=_word(old),
                    admitted_after=new.admitted,
                    after=_word(new),
                    detail=new.detail or "",
                    last_at=EPOCH + timedelta(microseconds=last_at),
                    peer=peer,
                )
            )


def _ahead(parts: Iterator[list[PlainSeen]]) -> Generator[list[PlainSeen], None, None]:
    """`parts`, of which the next is read while one is judged. Until it is closed, nothing else may be read in their
    transaction."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = reader.submit(next, parts, None)
            yield part


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


def _put_out(tx: Transaction, changes: Iterable[Change]) -> tuple[str, ...]:
    """The names of the clients that are outside their partner's rules by `changes`."""
    keys = [parse_member_key(one.key) for one in changes if one.kind is ChangeKind.MEMBER]
    members = [tx.members.get(*key) for key in dict.fromkeys(keys)]
    ids = {one.client for one in members if one is not None and one.state is MemberState.OUTSIDE}
    return tuple(sorted(str(one.name) for one in tx.clients.get_many(id for id in ids if id).values()))


def _word(verdict: Verdict) -> str:
    return (verdict.client_name or "") if verdict.admitted else (verdict.reason or "")
