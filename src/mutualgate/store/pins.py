"""Pins in the store: clients' own certificates and keys. Never issuers, and in no table with them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    exists,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from mutualgate.model.change import ChangeKind
from mutualgate.model.pin import Pin, PinKind, PinState
from mutualgate.store.changes import Changes
from mutualgate.store.schema import client, pin, seen
from mutualgate.store.seen import ways_to
from mutualgate.store.select import among, chunks, plain_rows

PlainPin = tuple[str, bytes, int, int, int, int, bool, str]
"""Kind, digest, id, client, not before and not after in Unix seconds, whether retired, environment."""

_PLAIN = (
    pin.c.kind,
    pin.c.digest,
    pin.c.id,
    pin.c.client,
    type_coerce(pin.c.not_before, BigInteger),
    type_coerce(pin.c.not_after, BigInteger),
    pin.c.state,
    pin.c.environment,
)
# Made once, as each change of trust asks them.
_TOLD = (
    select(*_PLAIN)
    .join(client, client.c.id == pin.c.client)
    .where(client.c.name_key.is_not(None), pin.c.state != str(PinState.REMOVED))
)
_DIGESTS_OF = select(pin.c.digest).where(among(pin.c.client), pin.c.state != str(PinState.REMOVED))
_CERTIFICATES = _TOLD.where(pin.c.kind == str(PinKind.CERTIFICATE), among(pin.c.digest))
_KEYS = _TOLD.where(pin.c.kind == str(PinKind.KEY), among(pin.c.digest))
_KEYS_SEEN = _TOLD.where(pin.c.kind == str(PinKind.KEY), exists().where(seen.c.spki == pin.c.digest))


class Pins:
    """Finds and keeps pins. Who may have one, the services know."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(
        self,
        *,
        client: int,
        kind: PinKind,
        digest: bytes,
        spki: bytes,
        certificate: bytes | None,
        subject: str,
        environment: str,
        not_before: datetime,
        not_after: datetime,
        at: datetime,
        replaces: int | None = None,
    ) -> Pin:
        """Adds one; takes the row of a removed one of the same digest, of which there is no other."""
        values: dict[str, Any] = {
            "client": client,
            "kind": str(kind),
            "digest": digest,
            "spki": spki,
            "certificate": certificate,
            "subject": subject,
            "environment": environment,
            "state": str(PinState.ACTIVE),
            "not_before": not_before,
            "not_after": not_after,
            "created": at,
            "retired": None,
            "replaces": replaces,
        }
        before = self.with_digest(kind, digest)
        if before is not None and before.state is PinState.REMOVED:
            id = before.id
            self._connection.execute(update(pin).where(pin.c.id == id).values(**values))
        else:
            result = self._connection.execute(insert(pin).values(**values))
            id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        self._changes.note(ChangeKind.PIN, id)
        found = self.get(id)
        assert found is not None  # noqa: S101 - written above, in this transaction
        return found

    def set(self, id: int, *, state: PinState, retired: datetime | None, not_after: datetime | None = None) -> None:
        """Moves it; with `not_after`, to another end."""
        values: dict[str, Any] = {"state": str(state), "retired": retired}
        if not_after is not None:
            values["not_after"] = not_after
        self._connection.execute(update(pin).where(pin.c.id == id).values(**values))
        self._changes.note(ChangeKind.PIN, id)

    def get(self, id: int) -> Pin | None:
        """The one with this id, a removed one too."""
        return next(iter(self._read(select(pin).where(pin.c.id == id))), None)

    def get_many(self, ids: Iterable[int]) -> dict[int, Pin]:
        """Those of `ids` that exist, removed ones too."""
        found: dict[int, Pin] = {}
        for part in chunks(ids):
            found |= {one.id: one for one in self._read(select(pin).where(pin.c.id.in_(part)))}
        return found

    def with_digest(self, kind: PinKind, digest: bytes) -> Pin | None:
        """The one of this certificate or key, a removed one too."""
        return next(iter(self._read(select(pin).where(pin.c.kind == str(kind), pin.c.digest == digest))), None)

    def with_key(self, spki: bytes) -> list[Pin]:
        """Those of this key, of either kind, oldest first; removed ones aside."""
        return self._read(self._there().where(pin.c.spki == spki).order_by(pin.c.id))

    def of_client(self, id: int) -> list[Pin]:
        """A client's, oldest first; removed ones aside."""
        return self._read(self._there().where(pin.c.client == id).order_by(pin.c.id))

    def digests_of(self, client_ids: Collection[int]) -> list[bytes]:
        """Those of these clients, by the SHA-256 of the certificate or of the key; removed ones aside."""
        return [digest for (digest,) in plain_rows(self._connection, _DIGESTS_OF, client_ids)]

    def page(self, *, after: int = 0, limit: int = 100) -> list[Pin]:
        """At most `limit` in the order of their ids, those after the id `after`; removed ones aside."""
        return self._read(self._there().where(pin.c.id > after).order_by(pin.c.id).limit(limit))

    def count(self) -> int:
        """How many there are, removed ones aside."""
        query = select(func.count()).select_from(pin).where(pin.c.state != str(PinState.REMOVED))
        return int(self._connection.execute(query).scalar_one())

    def plain(self, ids: Iterable[int]) -> list[PlainPin]:
        """Those of `ids` that the judge has to know."""
        return [
            one
            for part in chunks(ids)
            for one in _plain(self._connection.execute(_TOLD.where(pin.c.id.in_(part))).all())
        ]

    def walk(self, size: int) -> Iterator[list[PlainPin]]:
        """All that the judge has to know, by id, in parts of at most `size`: not those removed or of who is gone."""
        last = 0
        query = _TOLD.order_by(pin.c.id).limit(size)
        while rows := plain_rows(self._connection, query.where(pin.c.id > last)):
            yield _plain(rows)
            last = rows[-1][2]

    def plain_of(self, fingerprints: Collection[bytes], spkis: Collection[bytes]) -> list[PlainPin]:
        """Those that the judge has to know of these certificates and keys (SHA-256)."""
        rows = plain_rows(self._connection, _CERTIFICATES, fingerprints)
        rows += plain_rows(self._connection, _KEYS, spkis)
        return _plain(rows)

    def plain_of_seen(self, digests: Collection[bytes], names: Collection[bytes]) -> list[PlainPin]:
        """Those that the judge has to know of what `Seen.concerned` finds by these, and of whatever key was seen."""
        rows = plain_rows(self._connection, _KEYS_SEEN)
        for those, values in ways_to(digests, names):
            query = _TOLD.where(pin.c.kind == str(PinKind.CERTIFICATE), pin.c.digest.in_(those))
            rows += plain_rows(self._connection, query, values)
        return _plain(list(dict.fromkeys(rows)))

    def _there(self) -> Select[Any]:
        return select(pin).where(pin.c.state != str(PinState.REMOVED))

    def _read(self, query: Select[Any]) -> list[Pin]:
        return [
            Pin(
                id=row.id,
                client=row.client,
                kind=PinKind(row.kind),
                digest=row.digest,
                spki=row.spki,
                certificate=row.certificate,
                subject=row.subject,
                environment=row.environment,
                state=PinState(row.state),
                not_before=row.not_before,
                not_after=row.not_after,
                created=row.created,
                retired=row.retired,
                replaces=row.replaces,
            )
            for row in self._connection.execute(query)
        ]


def _plain(rows: Sequence[Any]) -> list[PlainPin]:
    retired = str(PinState.RETIRED)
    return [
        (kind, digest, id, owner, begin // 1_000_000, end // 1_000_000, state == retired, environment)
        for kind, digest, id, owner, begin, end, state, environment in rows
    ]
