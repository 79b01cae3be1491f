"""What clients publish themselves, in the store. No judge reads any of it: a key that is to count becomes a pin."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, FromClause, Select, Table, and_, delete, exists, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from mutualgate.model.client import ClientState
from mutualgate.model.key_set import KeySet, KeyState, PublishedKey
from mutualgate.model.partner import PartnerState
from mutualgate.model.pin import PinKind
from mutualgate.store.clients import stored
from mutualgate.store.schema import client, key_set, member, partner, published_key
from mutualgate.store.select import due


class KeySets:
    """Finds and keeps them. Which key may become whose pin, the services know."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Sets

    def put(self, wanted: KeySet) -> None:
        """Writes a client's set, in the place of the one that it had."""
        values: dict[str, Any] = {
            "url": wanted.url,
            "private": int(wanted.private),
            "environment": wanted.environment,
            "hold_seconds": wanted.hold // timedelta(seconds=1),
            "every_seconds": wanted.every // timedelta(seconds=1),
            "created": wanted.created,
            "fetched": wanted.fetched,
            "next_fetch": wanted.next_fetch,
            "failures": wanted.failures,
            "error": wanted.error,
            "left_out": "\n".join(wanted.left_out),
        }
        changed = self._connection.execute(update(key_set).where(key_set.c.client == wanted.client).values(**values))
        if changed.rowcount == 0:
            self._connection.execute(insert(key_set).values(client=wanted.client, **values))

    def get(self, client: int) -> KeySet | None:
        """The one of this client."""
        return next(iter(self._sets(select(key_set).where(key_set.c.client == client))), None)

    def remove(self, client: int) -> None:
        """Takes a client's set away, with all its keys. Pins stay."""
        self._connection.execute(delete(published_key).where(published_key.c.client == client))
        self._connection.execute(delete(key_set).where(key_set.c.client == client))

    def kept_in(self, id: int) -> bool:
        """Whether a client is neither gone nor suspended, and no partner that it is a client of is suspended."""
        query = select(client.c.id).where(client.c.id == id, _kept_in())
        return self._connection.execute(query).first() is not None

    def due(self, at: datetime, longest: timedelta, limit: int) -> list[KeySet]:
        """Those that are to be fetched at `at`, the longest due first; only of clients that are `kept_in`. None waits
        for longer than `longest`."""
        query = self._of_present(key_set).order_by(key_set.c.next_fetch, key_set.c.client).limit(limit)
        return next(filter(None, map(self._sets, due(query, key_set.c.next_fetch, at, longest))), [])

    def watched(self) -> list[tuple[KeySet, str]]:
        """All of clients that are `kept_in`, each with the client's name; by client."""
        query = self._of_present(key_set, client.c.name).order_by(key_set.c.client)
        return [(_set(row), row.name) for row in self._connection.execute(query)]

    def count(self) -> tuple[int, int, datetime | None]:
        """How many sets there are of clients that are `kept_in`, how many of these failed the last time, and when the
        one was fetched, or made, for which that is the longest ago."""
        last = func.coalesce(key_set.c.fetched, key_set.c.created)
        columns = (func.count(), func.count().filter(key_set.c.failures > 0), func.min(last))
        row = self._connection.execute(self._of_present(*columns)).one()
        return int(row[0]), int(row[1]), row[2]

    def failing(self, limit: int) -> list[tuple[str, str]]:
        """At most so many of those that failed, each as the client's name and the error; by client."""
        query = self._of_present(client.c.name, key_set.c.error).where(key_set.c.failures > 0)
        return [
            (row.name, row.error) for row in self._connection.execute(query.order_by(key_set.c.client).limit(limit))
        ]

    def count_keys(self) -> dict[KeyState, int]:
        """How many keys there are in each state, of clients that are `kept_in`."""
        query = (
            select(published_key.c.state, func.count())
            .select_from(_with_client(published_key))
            .where(_kept_in())
            .group_by(published_key.c.state)
        )
        return {KeyState(state): int(number) for state, number in self._connection.execute(query)}

    def count_waiting(self) -> dict[int, int]:
        """How many keys wait, by client; without those of whom none does."""
        query = select(published_key.c.client, func.count()).where(published_key.c.state == str(KeyState.WAITING))
        return {id: int(number) for id, number in self._connection.execute(query.group_by(published_key.c.client))}

    # Keys

    def add_key(
        self,
        client: int,
        *,
        kind: PinKind,
        digest: bytes,
        material: bytes,
        label: str,
        state: KeyState,
        at: datetime,
        pin: int | None,
        detail: str,
    ) -> PublishedKey:
        """Adds one that stands in the set since `at`."""
        result = self._connection.execute(
            insert(published_key).values(
                client=client,
                kind=str(kind),
                digest=digest,
                material=material,
                label=label,
                state=str(state),
                since=at,
                gone=None,
                pin=pin,
                detail=detail,
            )
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        return PublishedKey(id, client, kind, digest, material, label, state, at, None, pin, detail)

    def set_key(self, wanted: PublishedKey) -> None:
        """Writes all of a key that can change: its state, when it came and went, its pin and the detail."""
        self._connection.execute(
            update(published_key)
            .where(published_key.c.id == wanted.id)
            .values(
                state=str(wanted.state),
                since=wanted.since,
                gone=wanted.gone,
                pin=wanted.pin,
                detail=wanted.detail,
            )
        )

    def key(self, id: int) -> PublishedKey | None:
        """The one with this id."""
        return next(iter(self._keys(select(published_key).where(published_key.c.id == id))), None)

    def keys_of(self, client: int) -> list[PublishedKey]:
        """A client's, in the order in which they were found."""
        query = select(published_key).where(published_key.c.client == client)
        return self._keys(query.order_by(published_key.c.id))

    def forget_keys(self, ids: Iterable[int]) -> None:
        """Takes a few away."""
        self._connection.execute(delete(published_key).where(published_key.c.id.in_(list(ids))))

    def _of_present(self, *columns: Any) -> Select[Any]:
        return select(*columns).select_from(_with_client(key_set)).where(_kept_in())

    def _sets(self, query: Select[Any]) -> list[KeySet]:
        return [_set(row) for row in self._connection.execute(query)]

    def _keys(self, query: Select[Any]) -> list[PublishedKey]:
        return [
            PublishedKey(
                id=row.id,
                client=row.client,
                kind=PinKind(row.kind),
                digest=row.digest,
                material=row.material,
                label=row.label,
                state=KeyState(row.state),
                since=row.since,
                gone=row.gone,
                pin=row.pin,
                detail=row.detail,
            )
            for row in self._connection.execute(query)
        ]


_PRESENT = (stored(ClientState.ACTIVE), stored(ClientState.NEW))
_SUSPENDED = str(PartnerState.SUSPENDED)


def _kept_in() -> ColumnElement[bool]:
    """Over the table of clients."""
    of_its_own = exists().where(partner.c.client == client.c.id, partner.c.state == _SUSPENDED)
    of_another = exists().where(
        member.c.client == client.c.id, member.c.partner == partner.c.id, partner.c.state == _SUSPENDED
    )
    return and_(client.c.state.in_(_PRESENT), ~of_its_own, ~of_another)


def _with_client(table: Table) -> FromClause:
    """Each row with its client. A sum cannot be looked up in an index, so the database goes from the rows to the
    clients, of whom there are many more, and never the other way."""
    return table.join(client, client.c.id == table.c.client + 0)


def _set(row: Any) -> KeySet:
    return KeySet(
        client=row.client,
        url=row.url,
        private=bool(row.private),
        environment=row.environment,
        hold=timedelta(seconds=row.hold_seconds),
        every=timedelta(seconds=row.every_seconds),
        created=row.created,
        fetched=row.fetched,
        next_fetch=row.next_fetch,
        failures=row.failures,
        error=row.error,
        left_out=tuple(row.left_out.splitlines()),
    )
