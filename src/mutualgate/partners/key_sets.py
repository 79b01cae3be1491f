"""Clients that publish their keys by a URL (RFC 7517, RFC 8705 2.2): whose are watched, and what operators say of them.

Does not know how keys are fetched, nor when one comes to count by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mutualgate import audit
from mutualgate.clients import find, states, subject
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client
from mutualgate.model.key_set import KeySet, KeyState, PublishedKey
from mutualgate.model.partner import environment as legal_environment
from mutualgate.model.pin import Pin, PinState
from mutualgate.partners import material, pins
from mutualgate.partners.addresses import check_written, read_location
from mutualgate.store import Store, Transaction

HOLD = timedelta(hours=24)
LONGEST_HOLD = timedelta(days=30)
EVERY = timedelta(hours=1)
SHORTEST_EVERY = timedelta(minutes=5)
LONGEST_EVERY = timedelta(days=7)
_PROBLEMS = 10


@dataclass(frozen=True)
class KeySetView:
    """A client's set with its keys, and with the pins that came of them."""

    client: Client
    set: KeySet
    keys: tuple[tuple[PublishedKey, Pin | None], ...]


@dataclass(frozen=True)
class KeySetFigures:
    """How it stands with all sets of clients that are neither suspended, they or a partner of theirs, nor gone."""

    sets: int = 0
    failing: int = 0
    oldest_seconds: int | None = None
    """Since the set was read that was not read for the longest time."""
    keys: Mapping[str, int] = field(default_factory=dict)
    """How many there are in each state; those of `KeyState`."""
    problems: Sequence[tuple[str, str]] = ()
    """The first few that fail: the client, and why."""


class KeySets:
    """The service of operators. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def watch(
        self,
        name: str,
        url: str,
        *,
        hold: timedelta = HOLD,
        every: timedelta = EVERY,
        private: bool = False,
        environment: str = "",
    ) -> KeySet:
        """Has a client's set fetched from now on; or from another address, or otherwise, than until now.

        `private`: the address may lie in this network or on this machine. Raises `NotFound`, `Conflict` for a client
        that is suspended, `BadInput` for what is no https address and for spans that are too short or too long.
        """
        location = read_location(url)
        if not location.secure:
            raise BadInput(
                "keys that come over plain http could be anybody's",
                where=url,
                expected="an https address",
                code="bad_address",
            )
        if not timedelta(0) <= hold <= LONGEST_HOLD:
            raise BadInput("a hold takes from 0 to 30 days", where="--hold", expected="such as 24h")
        if not SHORTEST_EVERY <= every <= LONGEST_EVERY:
            raise BadInput("a set is fetched every 5 minutes to 7 days", where="--every", expected="such as 1h")
        check_written(location, private)
        tag = legal_environment(environment)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = find(tx, name)
            states.check_usable(tx, client)
            before = tx.key_sets.get(client.id)
            wanted = KeySet(
                client=client.id,
                url=location.url,
                private=private,
                environment=tag,
                hold=hold,
                every=every,
                created=now if before is None else before.created,
                fetched=None if before is None or before.url != location.url else before.fetched,
                next_fetch=now,
                failures=0,
                error="",
                left_out=(),
            )
            tx.key_sets.put(wanted)
            facts: audit.Facts = {
                "url": wanted.url,
                "hold_seconds": hold // timedelta(seconds=1),
                "every_seconds": every // timedelta(seconds=1),
                "private": private,
                "environment": tag,
            }
            audit.record(tx, now, self._by, "keys.watch", subject(client), facts)
        return wanted

    def unwatch(self, name: str) -> int:
        """Has it not fetched any more, and says how many keys are no longer waited for. Its pins stay.

        Raises `NotFound`.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            client, found = find_set(tx, name)
            waiting = sum(one.state is KeyState.WAITING for one in tx.key_sets.keys_of(client.id))
            tx.key_sets.remove(client.id)
            audit.record(tx, now, self._by, "keys.unwatch", subject(client), {"url": found.url, "waiting": waiting})
        return waiting

    def show(self, name: str) -> KeySetView:
        """A client's set. Raises `NotFound`."""
        with self._store.reading() as tx:
            client, found = find_set(tx, name)
            return self._view(tx, client, found)

    def find(self, client: int) -> KeySetView | None:
        """The set of a client, if it has one."""
        with self._store.reading() as tx:
            owner, found = tx.clients.get(client), tx.key_sets.get(client)
            return None if owner is None or found is None else self._view(tx, owner, found)

    def list(self) -> Sequence[tuple[KeySet, str, int]]:
        """All of clients that are neither suspended nor gone: with the client's name, and how many keys wait."""
        with self._store.reading() as tx:
            waiting = tx.key_sets.count_waiting()
            return [(one, name, waiting.get(one.client, 0)) for one, name in tx.key_sets.watched()]

    def figures(self) -> KeySetFigures:
        """As it is now."""
        with self._store.reading() as tx:
            sets, failing, oldest = tx.key_sets.count()
            keys = tx.key_sets.count_keys() if sets else {}
            return KeySetFigures(
                sets=sets,
                failing=failing,
                oldest_seconds=None if oldest is None else int((self._store.clock() - oldest).total_seconds()),
                keys={str(state): keys.get(state, 0) for state in KeyState} if sets else {},
                problems=tx.key_sets.failing(_PROBLEMS),
            )

    def approve(self, name: str, id: int) -> Pin:
        """Makes a key a pin now, one that was declined, too. Raises `NotFound`, and `Conflict` where it cannot be."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            client, found = find_set(tx, name)
            key = self._key(tx, client, id)
            made = tx.pins.get(key.pin) if key.pin is not None else None
            if made is not None and made.state is not PinState.REMOVED:
                raise Conflict(
                    f"the key {id} is the pin {made.id} already, {made.state}",
                    fix=f"Let it count for longer: mutualgate pin renew {made.id}",
                    code="certificate_known",
                )
            if key.gone is not None:
                raise Conflict(
                    f"the key {id} is not in the set any more, since {key.gone:%Y-%m-%d %H:%M} UTC", code="key_gone"
                )
            facts: audit.Facts = {"key": id, "digest": key.digest.hex()}
            audit.record(tx, now, self._by, "keys.approve", subject(client), facts)
            pin, _ = accept(tx, client, found, key, at=now, by=self._by)
        return pin

    def decline(self, name: str, id: int) -> PublishedKey:
        """Has a key never become a pin by itself. Raises `NotFound`, and `Conflict` for one that is a pin."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            client, _ = find_set(tx, name)
            key = self._key(tx, client, id)
            if key.state is KeyState.PINNED:
                raise Conflict(
                    f"the key {id} is the pin {key.pin} already",
                    fix=f"End that: mutualgate pin retire {key.pin}",
                    code="certificate_known",
                )
            done = replace(key, state=KeyState.DECLINED, detail="")
            tx.key_sets.set_key(done)
            facts: audit.Facts = {"key": id, "digest": key.digest.hex()}
            audit.record(tx, now, self._by, "keys.decline", subject(client), facts)
        return done

    def _key(self, tx: Transaction, client: Client, id: int) -> PublishedKey:
        key = tx.key_sets.key(id)
        if key is None or key.client != client.id:
            raise NotFound(
                f"the client '{client.name}' has no published key {id}",
                fix=f"See them with: mutualgate client keys list {client.name.word}",
                code="no_such_key",
            )
        return key

    def _view(self, tx: Transaction, client: Client, found: KeySet) -> KeySetView:
        keys = tx.key_sets.keys_of(client.id)
        made = tx.pins.get_many(one.pin for one in keys if one.pin is not None)
        return KeySetView(client, found, tuple((one, made.get(one.pin or 0)) for one in keys))


def find_set(tx: Transaction, name: str) -> tuple[Client, KeySet]:
    """The client of this name and its set. Raises `NotFound`."""
    client = find(tx, name)
    found = tx.key_sets.get(client.id)
    if found is None:
        raise NotFound(
            f"no keys of the client '{client.name}' are watched",
            fix=f"Say where they are: mutualgate client keys watch {client.name.word} URL",
            code="no_key_set",
        )
    return client, found


def accept(
    tx: Transaction, client: Client, wanted: KeySet, key: PublishedKey, *, at: datetime, by: str
) -> tuple[Pin, PublishedKey]:
    """Makes a key a pin: by the rules of every pin, whose errors it raises, with their audit entry and way back."""
    what = material.read(key.material, f"the key {key.id}")
    pin = pins.record(tx, client, what, at=at, by=by, kind=key.kind, environment=wanted.environment)
    done = replace(key, state=KeyState.PINNED, pin=pin.id, detail="")
    tx.key_sets.set_key(done)
    return pin, done
