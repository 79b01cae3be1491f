"""Revocations in the store; by the authority and the number alone, whether we know the certificate or not."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, delete, func, insert, select, type_coerce, update

from mutualgate.model.change import ChangeKind
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import sqlite
from mutualgate.store.changes import LISTED_AT_MOST, Changes
from mutualgate.store.schema import authority, revocation
from mutualgate.store.select import chunks, plain_rows
from mutualgate.store.types import EPOCH


class Revocations:
    """Finds and keeps revocations. The rules about reasons are the services'."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def find(self, authority_id: int, serial: bytes) -> Revocation | None:
        """The revocation of this number."""
        row = self._connection.execute(
            select(revocation.c.at, revocation.c.reason).where(
                revocation.c.authority == authority_id, revocation.c.serial == serial
            )
        ).first()
        return None if row is None else Revocation(authority_id, serial, row.at, RevocationReason(row.reason))

    def put(self, entry: Revocation) -> None:
        """Adds it, or replaces the one of the same number (a hold that becomes final)."""
        where = (revocation.c.authority == entry.authority, revocation.c.serial == entry.serial)
        changed = self._connection.execute(
            update(revocation).where(*where).values(at=entry.at, reason=int(entry.reason))
        )
        if changed.rowcount == 0:
            self._connection.execute(
                insert(revocation).values(
                    authority=entry.authority, serial=entry.serial, at=entry.at, reason=int(entry.reason)
                )
            )
        self._note(entry.authority, entry.serial)

    def lift(self, authority_id: int, serial: bytes) -> None:
        """Takes it away."""
        self._connection.execute(
            delete(revocation).where(revocation.c.authority == authority_id, revocation.c.serial == serial)
        )
        self._note(authority_id, serial)

    def add_many(self, authority_id: int, entries: Iterable[tuple[bytes, datetime, RevocationReason]]) -> int:
        """Adds those that are not there yet, a million in seconds, and says how many those were."""
        added = 0
        serials: list[bytes] = []
        for part in chunks(entries, 20_000):
            rows = [
                (authority_id, serial, (at - EPOCH) // timedelta(microseconds=1), int(reason))
                for serial, at, reason in part
            ]
            added += sqlite.insert_new(self._connection, revocation, ("authority", "serial", "at", "reason"), rows)
            if len(serials) <= LISTED_AT_MOST:
                serials += [serial for serial, _, _ in part]
        if added:
            self._changes.note_many(ChangeKind.REVOCATION, (key(authority_id, serial) for serial in serials))
            self._mark(authority_id)
        return added

    def count(self, authority_id: int | None = None) -> int:
        """How many there are, of one authority or of all."""
        query = select(func.count()).select_from(revocation)
        if authority_id is not None:
            query = query.where(revocation.c.authority == authority_id)
        return int(self._connection.execute(query).scalar_one())

    def more_than(self, authority_id: int, number: int) -> bool:
        """Whether an authority has more; not all are counted."""
        query = select(revocation.c.authority).where(revocation.c.authority == authority_id).limit(1).offset(number)
        return self._connection.execute(query).first() is not None

    def walk(self, authority_id: int, size: int) -> Iterator[list[tuple[bytes, int, int]]]:
        """Number, Unix seconds and reason of those of an authority, by their numbers, in parts of at most `size`.

        Plain values: a million of them are walked.
        """
        last: bytes | None = None
        query = (
            select(revocation.c.serial, type_coerce(revocation.c.at, BigInteger), revocation.c.reason)
            .where(revocation.c.authority == authority_id)
            .order_by(revocation.c.serial)
            .limit(size)
        )
        while rows := plain_rows(self._connection, query if last is None else query.where(revocation.c.serial > last)):
            yield [(serial, at // 1_000_000, reason) for serial, at, reason in rows]
            last = rows[-1][0]

    def _note(self, authority_id: int, serial: bytes) -> None:
        self._changes.note(ChangeKind.REVOCATION, key(authority_id, serial))
        self._mark(authority_id)

    def _mark(self, authority_id: int) -> None:
        """The authority's CRL is older than this now."""
        self._connection.execute(
            update(authority).where(authority.c.id == authority_id).values(revoked_epoch=self._changes.epoch())
        )


def key(authority_id: int, serial: bytes) -> str:
    """The revocation's key in the change feed."""
    return f"{authority_id}:{serial.hex()}"


def parse_key(text: str) -> tuple[int, bytes]:
    """Authority and number of a key in the change feed."""
    authority_id, _, serial = text.partition(":")
    return int(authority_id), bytes.fromhex(serial)
