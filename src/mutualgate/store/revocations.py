"""Revocations in the store; by the authority and the number alone, whether we know the certificate or not."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, delete, func, insert, select, tuple_, type_coerce, update

from mutualgate.model.authority import AuthorityKind
from mutualgate.model.change import ChangeKind
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import sqlite
from mutualgate.store.changes import LISTED_AT_MOST, Changes
from mutualgate.store.schema import authority, revocation
from mutualgate.store.select import chunks, plain_rows
from mutualgate.store.types import microseconds

_PLAIN = (revocation.c.serial, type_coerce(revocation.c.at, BigInteger) // 1_000_000, revocation.c.reason)
"""Number, Unix seconds and reason."""

_IS_ROOT = authority.c.kind == str(AuthorityKind.ROOT)
"""A root signs no clients, so the judge is told of none of its revocations."""
_ONE = select(revocation.c.at, revocation.c.reason).where(
    revocation.c.authority == bindparam("authority"), revocation.c.serial == bindparam("serial")
)


class Revocations:
    """Finds and keeps revocations. The rules about reasons are the services'."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def find(self, authority_id: int, serial: bytes) -> Revocation | None:
        """The revocation of this number."""
        row = self._connection.execute(_ONE, {"authority": authority_id, "serial": serial}).first()
        return None if row is None else Revocation(authority_id, serial, row.at, RevocationReason(row.reason))

    def of_serials(self, serials: Iterable[bytes]) -> list[Revocation]:
        """Those of these numbers that the judge is told of, by whichever authority: a look-up for each of them."""
        found = self._connection.execute(
            select(revocation).where(
                revocation.c.authority.in_(select(authority.c.id).where(~_IS_ROOT)), revocation.c.serial.in_(serials)
            )
        )
        return [Revocation(row.authority, row.serial, row.at, RevocationReason(row.reason)) for row in found]

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
            rows = [(authority_id, serial, microseconds(at), int(reason)) for serial, at, reason in part]
            added += sqlite.insert_new(self._connection, revocation, ("authority", "serial", "at", "reason"), rows)
            if len(serials) <= LISTED_AT_MOST:
                serials += [serial for serial, _, _ in part]
        if added:
            self._changes.note_many(ChangeKind.REVOCATION, (key(authority_id, serial) for serial in serials))
            self._mark(authority_id)
        return added

    def counts(self) -> dict[int, int]:
        """How many there are of each authority that has any."""
        query = select(revocation.c.authority, func.count()).group_by(revocation.c.authority)
        return {id: number for id, number in self._connection.execute(query)}

    def more_than(self, authority_id: int, number: int) -> bool:
        """Whether an authority has more; not all are counted."""
        query = select(revocation.c.authority).where(revocation.c.authority == authority_id).limit(1).offset(number)
        return self._connection.execute(query).first() is not None

    def walk(self, size: int) -> Iterator[list[tuple[int, bytes, int, int]]]:
        """Authority, number, Unix seconds and reason of those that the judge is told of, in parts of at most `size`.

        By authority and number. Plain values: a million of them are walked.
        """
        last: tuple[int, bytes] | None = None
        order = tuple_(revocation.c.authority, revocation.c.serial)
        query = (
            select(revocation.c.authority, *_PLAIN)
            # Not "in" the others: SQLite would look through each of them again for every part.
            .where(revocation.c.authority.not_in(select(authority.c.id).where(_IS_ROOT)))
            .order_by(revocation.c.authority, revocation.c.serial)
            .limit(size)
        )
        while rows := plain_rows(self._connection, query if last is None else query.where(order > last)):
            yield rows
            last = rows[-1][:2]

    def walk_of(self, authority_id: int, size: int) -> Iterator[list[tuple[bytes, int, int]]]:
        """As `walk`, of one authority, whatever it is, which is not named again."""
        last: bytes | None = None
        query = select(*_PLAIN).where(revocation.c.authority == authority_id).order_by(revocation.c.serial).limit(size)
        while rows := plain_rows(self._connection, query if last is None else query.where(revocation.c.serial > last)):
            yield rows
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
