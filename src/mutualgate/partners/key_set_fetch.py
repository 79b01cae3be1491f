"""What is due is fetched: the keys that clients publish, and how they come to count.

Whoever takes over the web server of a client can publish what they like (R27). So a fetch only adds, and only to that
client: a new key waits for its hold, operators and the client are told of it, and it becomes a pin only if it still
stands in the set when its hold is over, or when an operator says so. Nothing that is in the set, or is not, ends a pin,
brings a retired one back, or lets a suspended client in.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mutualgate import audit
from mutualgate.clients import states, subject
from mutualgate.counts import counted
from mutualgate.errors import Conflict, MutualgateError
from mutualgate.model.client import Client
from mutualgate.model.key_set import KeySet, KeyState, PublishedKey
from mutualgate.model.pin import PinKind, PinState
from mutualgate.partners import fetching, pins
from mutualgate.partners.addresses import read_location
from mutualgate.partners.jwks import MAX_SET_BYTES, Published, ReadSet, read_set
from mutualgate.partners.key_sets import LONGEST_EVERY, accept, find_set
from mutualgate.store import Store, Transaction

log = logging.getLogger("mutualgate")

MOST_NEW = 32
"""New keys of a client within `PERIOD`: what more there is in its set is not looked at before that is over."""
PERIOD = timedelta(days=1)
REMEMBERED = timedelta(days=30)
"""How long a key that left the set without ever having counted is kept."""
AT_ONCE = 4
"""Fetches side by side: one slow server does not hold up the others."""
TOTAL_SECONDS = 30.0
_AUTOMATIC = "key set"


@dataclass(frozen=True)
class Notice:
    """What somebody is to be told of. `lines` are sentences in plain text; `once` keeps it from being told twice."""

    subject: str
    lines: Sequence[str]
    facts: Mapping[str, Any]
    once: str


Tell = Callable[[Transaction, Client, Notice], None]
"""Tells the operators, and the client by its contact, in the transaction of what they are told."""


@dataclass(frozen=True)
class Taken:
    """What came of a fetch. `problem` is a sentence when nothing did."""

    set: KeySet
    found: tuple[PublishedKey, ...] = ()
    """New ones, whatever became of them."""
    pinned: tuple[PublishedKey, ...] = ()
    left: tuple[PublishedKey, ...] = ()
    """Those that are not in the set any more."""
    back: tuple[PublishedKey, ...] = ()
    problem: str | None = None


class KeySetFetch:
    """The service of the running gate, and of who wants it now."""

    def __init__(self, store: Store, tell: Tell = lambda tx, client, notice: None) -> None:
        self._store = store
        self._tell = tell

    def due(self) -> Sequence[KeySet]:
        """Those that are to be fetched now, at most as many as are fetched side by side."""
        with self._store.reading() as tx:
            return tx.key_sets.due(self._store.clock(), LONGEST_EVERY, AT_ONCE)

    def now(self, name: str) -> Taken:
        """Fetches a client's set, due or not. Raises `NotFound`, and `Conflict` for a client that is suspended."""
        with self._store.reading() as tx:
            client, found = find_set(tx, name)
            states.check_usable(tx, client)
            if not tx.key_sets.kept_in(client.id):
                raise Conflict(f"a partner of the client '{client.name}' is suspended", code="client_suspended")
        return self.fetch(found)

    def fetch(self, wanted: KeySet) -> Taken:
        """Fetches a set and takes what is new in it. Whatever goes wrong is a sentence, and the next try is later."""
        where = wanted.url
        try:
            fetched = fetching.fetch(
                read_location(wanted.url),
                private=wanted.private,
                max_bytes=MAX_SET_BYTES,
                total_seconds=TOTAL_SECONDS,
                signed=False,
            )
            read = read_set(fetched.data or b"", where)
        except MutualgateError as error:
            return self._failed(wanted, error)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = self._still(tx, wanted)
            if client is None:
                return Taken(wanted, problem="was changed while it was fetched")
            taken = self._take(tx, client, wanted, read, now)
        return self._admit(taken)

    def _take(self, tx: Transaction, client: Client, wanted: KeySet, read: ReadSet, now: datetime) -> Taken:
        """Notes what came and what went. Nothing of it counts yet."""
        known = {(one.kind, one.digest): one for one in tx.key_sets.keys_of(client.id)}
        room = MOST_NEW - sum(now - one.since < PERIOD for one in known.values())
        found, back, left = [], [], []
        crowd = 0
        for published in read.keys:
            before = known.pop((published.kind, published.digest), None)
            if before is not None and before.state not in (KeyState.WITHDRAWN, KeyState.REFUSED):
                if before.gone is not None:
                    back.append(replace(before, gone=None))
                    tx.key_sets.set_key(back[-1])
                continue
            state, pin, detail = _assess(tx, client, published, now)
            if before is not None and before.state is state and before.gone is None:
                if detail != before.detail:
                    tx.key_sets.set_key(replace(before, detail=detail))
                continue
            if room <= 0:
                crowd += 1
                continue
            room -= 1
            if before is None:
                found.append(
                    tx.key_sets.add_key(
                        client.id,
                        kind=published.kind,
                        digest=published.digest,
                        material=published.der,
                        label=_label(published),
                        state=state,
                        at=now,
                        pin=pin,
                        detail=detail,
                    )
                )
            else:
                found.append(replace(before, state=state, since=now, gone=None, pin=pin, detail=detail))
                tx.key_sets.set_key(found[-1])
        for one in known.values():
            if one.gone is None:
                withdrawn = one.state is KeyState.WAITING
                left.append(replace(one, state=KeyState.WITHDRAWN if withdrawn else one.state, gone=now))
                tx.key_sets.set_key(left[-1])
        tx.key_sets.forget_keys(
            one.id
            for one in known.values()
            if one.gone is not None
            and now - one.gone > REMEMBERED
            and one.state in (KeyState.WITHDRAWN, KeyState.REFUSED)
        )
        odd = list(read.left_out)
        if crowd:
            more = counted(crowd, "more key is", "more keys are")
            odd.append(f"{more} not looked at: no more than {MOST_NEW} new ones a day are")
        done = replace(wanted, fetched=now, failures=0, error="", left_out=tuple(odd))
        done = replace(done, next_fetch=_next(tx, done, now))
        tx.key_sets.put(done)
        for action, keys in (("keys.found", found), ("keys.back", back), ("keys.left", left)):
            for one in keys:
                _audit(tx, now, action, client, one)
        news = [
            *(_found_words(one, done) for one in found),
            *(f"{_words(one)} is back in the set." for one in back if one.state is not KeyState.DECLINED),
            *(_left_words(one) for one in left),
            *(f"Left out: {one}." for one in odd if one not in wanted.left_out),
        ]
        if news:
            self._say(tx, client, done, "published other keys", news, now, [*found, *back, *left])
        if wanted.failures:
            log.info("the keys of the client %s at %s come again", client.name, wanted.url)
        return Taken(done, tuple(found), (), tuple(left), tuple(back))

    def _admit(self, taken: Taken) -> Taken:
        """Makes pins of those that were in the set just now and whose hold is over; each by itself."""
        now = self._store.clock()
        with self._store.reading() as tx:
            waiting = [one.id for one in tx.key_sets.keys_of(taken.set.client) if _is_due(one, taken.set, now)]
        pinned = []
        for id in waiting:
            try:
                with self._store.transaction() as tx:
                    client, key = self._still(tx, taken.set), tx.key_sets.key(id)
                    if client is None or key is None or not _is_due(key, taken.set, now):
                        continue
                    _, done = accept(tx, client, taken.set, key, at=now, by=_AUTOMATIC)
                    words = [f"{_words(done)} lets the client in from now on: it is the pin {done.pin}."]
                    self._say(tx, client, taken.set, "has a new key", words, now, [done])
                pinned.append(done)
            except MutualgateError as error:
                self._refused(taken.set, id, error, now)
        return replace(taken, pinned=tuple(pinned))

    def _refused(self, wanted: KeySet, id: int, error: MutualgateError, now: datetime) -> None:
        """It would have been made a pin and cannot be."""
        with self._store.transaction() as tx:
            client, key = self._still(tx, wanted), tx.key_sets.key(id)
            if client is None or key is None or key.state is not KeyState.WAITING:
                return
            done = replace(key, state=KeyState.REFUSED, detail=error.problem)
            tx.key_sets.set_key(done)
            _audit(tx, now, "keys.refused", client, done)
            words = [f"{_words(done)} cannot be accepted: {error.problem}."]
            self._say(tx, client, wanted, "published a key that cannot be accepted", words, now, [done])

    def _failed(self, wanted: KeySet, error: MutualgateError) -> Taken:
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = self._still(tx, wanted)
            if client is None:
                return Taken(wanted, problem=str(error))
            done = replace(
                wanted,
                failures=wanted.failures + 1,
                error=error.problem[:1_000],
                next_fetch=now + min(fetching.retry(wanted.failures + 1), wanted.every),
            )
            tx.key_sets.put(done)
            if error.code == "private_key_given" and error.problem != wanted.error:
                audit.record(tx, now, _AUTOMATIC, "keys.private", subject(client), {"url": wanted.url})
                says = [
                    f"{wanted.url} {error.problem}. {error.fix}.",
                    "What is pinned already stays: retire the pin of that key, everybody may have it by now.",
                ]
                self._say(tx, client, done, "published a private key", says, now, [])
        if not wanted.failures:
            log.warning("the keys of the client %s: %s", client.name, error)
        return Taken(done, problem=str(error))

    def _still(self, tx: Transaction, wanted: KeySet) -> Client | None:
        """The client, unless it or a partner of it is suspended by now, or its set is to be taken otherwise."""
        now, client = tx.key_sets.get(wanted.client), tx.clients.get(wanted.client)
        if now is None or client is None or not tx.key_sets.kept_in(client.id):
            return None
        same = (now.url, now.private, now.environment, now.hold, now.every) == (
            wanted.url,
            wanted.private,
            wanted.environment,
            wanted.hold,
            wanted.every,
        )
        return client if same else None

    def _say(
        self,
        tx: Transaction,
        client: Client,
        wanted: KeySet,
        what: str,
        lines: Sequence[str],
        now: datetime,
        keys: Sequence[PublishedKey],
    ) -> None:
        facts = {
            "client": str(client.name),
            "url": wanted.url,
            "keys": [
                {"id": one.id, "kind": str(one.kind), "sha256": one.digest.hex(), "state": str(one.state)}
                for one in keys
            ],
        }
        # A set that goes to and fro says the same once a day.
        told = f"{now:%Y-%m-%d} {what} " + ",".join(f"{one.id} {one.state} {one.gone is None}" for one in keys)
        once = f"keys:{client.id}:{hashlib.sha256(told.encode()).hexdigest()[:32]}"
        self._tell(tx, client, Notice(f"{client.name} {what}", lines, facts, once))


def _assess(tx: Transaction, client: Client, published: Published, now: datetime) -> tuple[KeyState, int | None, str]:
    """What becomes of a key that is new in the set: its state, the pin that it is already, why it is refused."""
    pin = tx.pins.with_digest(published.kind, published.digest)
    if pin is not None and pin.client == client.id and pin.state is not PinState.REMOVED:
        return KeyState.PINNED, pin.id, ""  # an operator's, or from before: whatever its state is, it stays as it is
    try:
        pins.check(tx, client, published.what, at=now, kind=published.kind)
    except MutualgateError as error:
        return KeyState.REFUSED, None, error.problem
    return KeyState.WAITING, None, ""


def _is_due(key: PublishedKey, wanted: KeySet, now: datetime) -> bool:
    return key.state is KeyState.WAITING and key.gone is None and now - key.since >= wanted.hold


def _next(tx: Transaction, wanted: KeySet, now: datetime) -> datetime:
    """At the latest when the first hold is over, for it takes a fetch to see that the key is still there."""
    ends = [
        one.since + wanted.hold
        for one in tx.key_sets.keys_of(wanted.client)
        if one.state is KeyState.WAITING and one.since + wanted.hold > now
    ]
    return min([now + wanted.every, *ends])


def _label(published: Published) -> str:
    return ", ".join(part for part in (published.kid, published.what.subject) if part)


def _audit(tx: Transaction, at: datetime, action: str, client: Client, key: PublishedKey) -> None:
    facts: audit.Facts = {
        "key": key.id,
        "kind": str(key.kind),
        "digest": key.digest.hex(),
        "state": str(key.state),
        "pin": key.pin,
    }
    if key.detail:
        facts = {**facts, "detail": key.detail}
    audit.record(tx, at, _AUTOMATIC, action, subject(client), facts)


def _words(key: PublishedKey) -> str:
    what = "certificate" if key.kind is PinKind.CERTIFICATE else "key"
    label = f" ({key.label})" if key.label else ""
    return f"The {what} {key.digest.hex()[:16]}…{label}, number {key.id},"


def _found_words(key: PublishedKey, wanted: KeySet) -> str:
    match key.state:
        case KeyState.WAITING if not wanted.hold:
            return f"{_words(key)} is new."
        case KeyState.WAITING:
            due = key.since + wanted.hold
            return f"{_words(key)} is new. If it is still there on {due:%Y-%m-%d at %H:%M} UTC, it lets the client in."
        case KeyState.REFUSED:
            return f"{_words(key)} is new and cannot be accepted: {key.detail}."
        case _:
            return f"{_words(key)} is in the set, and is the pin {key.pin} already."


def _left_words(key: PublishedKey) -> str:
    if key.state is KeyState.PINNED:
        return f"{_words(key)} left the set. It still lets the client in: end it with mutualgate pin retire {key.pin}."
    return f"{_words(key)} left the set, and is not waited for."
