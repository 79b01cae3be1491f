"""What partners' CAs revoked: where it is asked, the lists and answers in force, and the numbers."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, delete, func, insert, select, tuple_, type_coerce, update

from mutualgate.model import serial
from mutualgate.model.change import ChangeKind
from mutualgate.model.foreign import (
    OCSP_SCOPE,
    ForeignList,
    ForeignRevocation,
    OcspAnswer,
    OcspStatus,
    RevocationSource,
    SourceKind,
    SourceState,
)
from mutualgate.store import sqlite
from mutualgate.store.changes import LISTED_AT_MOST, Changes
from mutualgate.store.revocations import key
from mutualgate.store.schema import foreign_crl, foreign_revocation, ocsp_answer, revocation_source
from mutualgate.store.select import FEW_KEYS, among, chunks, due, one_of, plain_rows
from mutualgate.store.types import EPOCH, microseconds

PlainList = tuple[str, int, int]
"""Scope, thisUpdate and nextUpdate in Unix seconds; an OCSP answer has the scope `ocsp:SERIAL`, in hex."""
PlainForeign = tuple[int, bytes, int, int]
"""CA, number, Unix seconds, reason."""
Entry = tuple[bytes, int, int]
"""Number, Unix seconds, reason."""


class Foreign:
    """Finds and keeps what partners' CAs say. Whether a list may be believed, the service has decided."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    # Sources

    def add_source(
        self, anchor: int, kind: SourceKind, url: str, state: SourceState, private: bool, at: datetime
    ) -> RevocationSource:
        """Adds an address; a list at one that is approved is fetched at once."""
        due = at if state is SourceState.APPROVED and kind is SourceKind.CRL else None
        result = self._connection.execute(
            insert(revocation_source).values(
                anchor=anchor,
                kind=str(kind),
                url=url,
                state=str(state),
                private=int(private),
                etag="",
                modified="",
                created=at,
                fetched=None,
                next_fetch=due,
                failures=0,
                error="",
            )
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        return RevocationSource(id, anchor, kind, url, state, private, "", "", at, None, due, 0, "")

    def set_source(self, wanted: RevocationSource) -> None:
        """Writes all of an address but its id, CA and URL."""
        self._connection.execute(
            update(revocation_source)
            .where(revocation_source.c.id == wanted.id)
            .values(
                kind=str(wanted.kind),
                state=str(wanted.state),
                private=int(wanted.private),
                etag=wanted.etag,
                modified=wanted.modified,
                fetched=wanted.fetched,
                next_fetch=wanted.next_fetch,
                failures=wanted.failures,
                error=wanted.error,
            )
        )

    def remove_source(self, id: int) -> None:
        """Takes an address away."""
        self._connection.execute(delete(revocation_source).where(revocation_source.c.id == id))

    def source(self, id: int) -> RevocationSource | None:
        """The one with this id."""
        return next(iter(self._sources(select(revocation_source).where(revocation_source.c.id == id))), None)

    def source_at(self, anchor: int, url: str) -> RevocationSource | None:
        """The one of this CA with this address."""
        query = select(revocation_source).where(revocation_source.c.anchor == anchor, revocation_source.c.url == url)
        return next(iter(self._sources(query)), None)

    def sources_of(self, anchor: int) -> list[RevocationSource]:
        """A CA's, oldest first."""
        query = select(revocation_source).where(revocation_source.c.anchor == anchor)
        return self._sources(query.order_by(revocation_source.c.id))

    def sources(self, kind: SourceKind | None = None) -> list[RevocationSource]:
        """All, oldest first."""
        query = select(revocation_source).order_by(revocation_source.c.id)
        return self._sources(query if kind is None else query.where(revocation_source.c.kind == str(kind)))

    def due_sources(self, at: datetime, longest: timedelta, limit: int) -> list[RevocationSource]:
        """Those that are to be fetched at `at`, the longest due first; none waits for longer than `longest`."""
        next_fetch = revocation_source.c.next_fetch
        query = select(revocation_source).order_by(next_fetch, revocation_source.c.id).limit(limit)
        return next(filter(None, map(self._sources, due(query, next_fetch, at, longest))), [])

    # Lists

    def list_of(self, anchor: int, scope: str) -> ForeignList | None:
        """The list in force of this CA and scope."""
        query = select(foreign_crl).where(foreign_crl.c.anchor == anchor, foreign_crl.c.scope == scope)
        return next(iter(self._lists(query)), None)

    def lists_of(self, anchor: int) -> list[ForeignList]:
        """Those of a CA."""
        return self._lists(select(foreign_crl).where(foreign_crl.c.anchor == anchor).order_by(foreign_crl.c.scope))

    def all_lists(self) -> list[ForeignList]:
        """Those of all CAs."""
        return self._lists(select(foreign_crl).order_by(foreign_crl.c.anchor, foreign_crl.c.scope))

    def put_list(self, wanted: ForeignList) -> None:
        """Puts a list in force in the place of the one before it; its numbers are `change`d apart."""
        self._connection.execute(
            delete(foreign_crl).where(foreign_crl.c.anchor == wanted.anchor, foreign_crl.c.scope == wanted.scope)
        )
        self._connection.execute(
            insert(foreign_crl).values(
                anchor=wanted.anchor,
                scope=wanted.scope,
                number=serial.from_int(wanted.number),
                base_number=serial.from_int(wanted.base_number),
                this_update=wanted.this_update,
                next_update=wanted.next_update,
                entries=wanted.entries,
                digest=wanted.digest,
                fetched=wanted.fetched,
            )
        )
        self._changes.note(ChangeKind.ANCHOR, wanted.anchor)

    def forget(self, anchor: int, scope: str) -> None:
        """Takes a list and all of its numbers away. No address of its CA has given a version that we have any more."""
        where = (foreign_revocation.c.anchor == anchor, foreign_revocation.c.scope == scope)
        gone = self._connection.execute(select(foreign_revocation.c.serial).where(*where)).scalars().all()
        self._connection.execute(delete(foreign_revocation).where(*where))
        self._connection.execute(
            delete(foreign_crl).where(foreign_crl.c.anchor == anchor, foreign_crl.c.scope == scope)
        )
        # Whichever of them gave it: who is asked only for newer ones would not give it again.
        self._connection.execute(
            update(revocation_source).where(revocation_source.c.anchor == anchor).values(etag="", modified="")
        )
        self._changes.note_many(ChangeKind.FOREIGN, (key(anchor, number) for number in gone))
        self._changes.note(ChangeKind.ANCHOR, anchor)

    # Numbers

    def entries_of(self, anchor: int, scope: str, size: int = 20_000) -> Iterator[Entry]:
        """The numbers of one list, in their order, without holding them all."""
        last: bytes | None = None
        query = (
            select(
                foreign_revocation.c.serial,
                type_coerce(foreign_revocation.c.at, BigInteger),
                foreign_revocation.c.reason,
            )
            .where(foreign_revocation.c.anchor == anchor, foreign_revocation.c.scope == scope)
            .order_by(foreign_revocation.c.serial)
            .limit(size)
        )
        while rows := self._connection.execute(
            query if last is None else query.where(foreign_revocation.c.serial > last)
        ).all():
            yield from ((number, at // 1_000_000, reason) for number, at, reason in rows)
            last = rows[-1][0]

    def change(self, anchor: int, scope: str, gone: Sequence[bytes], new: Iterable[Entry]) -> None:
        """Takes the numbers in `gone` from a list and adds those in `new`; what changed is both."""
        changed = list(gone[: LISTED_AT_MOST + 1])
        for part in chunks(gone, 400):
            self._connection.execute(
                delete(foreign_revocation).where(
                    foreign_revocation.c.anchor == anchor,
                    foreign_revocation.c.scope == scope,
                    foreign_revocation.c.serial.in_(part),
                )
            )
        for entries in chunks(new, 20_000):
            sqlite.insert_new(
                self._connection,
                foreign_revocation,
                ("anchor", "serial", "scope", "at", "reason"),
                [(anchor, number, scope, at * 1_000_000, reason) for number, at, reason in entries],
            )
            if len(changed) <= LISTED_AT_MOST:
                changed += [entry[0] for entry in entries]
        self._changes.note_many(ChangeKind.FOREIGN, dict.fromkeys(key(anchor, number) for number in changed))

    def count_of(self, anchor: int, scope: str) -> int:
        """How many numbers a list has."""
        where = (foreign_revocation.c.anchor == anchor, foreign_revocation.c.scope == scope)
        return int(
            self._connection.execute(select(func.count()).select_from(foreign_revocation).where(*where)).scalar_one()
        )

    def find(self, anchor: int, number: bytes) -> ForeignRevocation | None:
        """The revocation of this number, the earliest when several lists have it."""
        row = self._connection.execute(
            select(foreign_revocation)
            .where(foreign_revocation.c.anchor == anchor, foreign_revocation.c.serial == number)
            .order_by(foreign_revocation.c.at, foreign_revocation.c.scope)
        ).first()
        return None if row is None else ForeignRevocation(row.anchor, row.serial, row.scope, row.at, row.reason)

    def count(self, anchor: int) -> int:
        """How many certificates of this CA are revoked."""
        numbers = select(foreign_revocation.c.serial).where(foreign_revocation.c.anchor == anchor).distinct().subquery()
        return int(self._connection.execute(select(func.count()).select_from(numbers)).scalar_one())

    # OCSP

    def want(self, anchor: int, number: bytes, at: datetime, ends: datetime) -> bool:
        """Has the responder asked about a certificate from now on, until it ends; False if it is known already."""
        rows = [(anchor, number, str(OcspStatus.WANTED), microseconds(at), microseconds(ends), 0, "")]
        columns = ("anchor", "serial", "status", "next_ask", "ends", "failures", "error")
        return sqlite.insert_new(self._connection, ocsp_answer, columns, rows) > 0

    def put_answer(self, wanted: OcspAnswer) -> None:
        """Writes what the responder said of a certificate that is asked about; what follows from it, too."""
        self._connection.execute(
            update(ocsp_answer)
            .where(ocsp_answer.c.anchor == wanted.anchor, ocsp_answer.c.serial == wanted.serial)
            .values(
                status=str(wanted.status),
                this_update=wanted.this_update,
                next_update=wanted.next_update,
                next_ask=wanted.next_ask,
                failures=wanted.failures,
                error=wanted.error,
            )
        )

    def answer(self, anchor: int, number: bytes) -> OcspAnswer | None:
        """What was said of this certificate."""
        query = select(ocsp_answer).where(ocsp_answer.c.anchor == anchor, ocsp_answer.c.serial == number)
        return next(iter(self._answers(query)), None)

    def answers_of(self, anchor: int, limit: int = 1000) -> list[OcspAnswer]:
        """Those of a CA, in the order of the numbers."""
        query = select(ocsp_answer).where(ocsp_answer.c.anchor == anchor)
        return self._answers(query.order_by(ocsp_answer.c.serial).limit(limit))

    def due_answers(self, anchor: int, at: datetime, longest: timedelta, limit: int) -> list[OcspAnswer]:
        """Certificates of this CA that the responder is to be asked about at `at`; none waits for longer than
        `longest`."""
        query = select(ocsp_answer).where(ocsp_answer.c.anchor == anchor)
        query = query.order_by(ocsp_answer.c.next_ask, ocsp_answer.c.serial).limit(limit)
        return next(filter(None, map(self._answers, due(query, ocsp_answer.c.next_ask, at, longest))), [])

    def anchors_to_ask(self, at: datetime, longest: timedelta, limit: int) -> list[int]:
        """CAs whose responder is to be asked about some certificate at `at`; none waits for longer than `longest`."""
        # A sum, so that the database goes along the index of what is due, not through all answers in order of CAs.
        query = select(ocsp_answer.c.anchor + 0).distinct().limit(limit)
        for part in due(query, ocsp_answer.c.next_ask, at, longest):
            if found := self._connection.execute(part).scalars().all():
                return [int(id) for id in found]
        return []

    def count_answers(self, anchor: int) -> dict[OcspStatus, int]:
        """How many certificates of this CA have which status."""
        query = (
            select(ocsp_answer.c.status, func.count())
            .where(ocsp_answer.c.anchor == anchor)
            .group_by(ocsp_answer.c.status)
        )
        return {OcspStatus(status): number for status, number in self._connection.execute(query)}

    def count_all_answers(self) -> dict[int, dict[OcspStatus, int]]:
        """As `count_answers`, for each CA that has any."""
        query = select(ocsp_answer.c.anchor, ocsp_answer.c.status, func.count())
        found: dict[int, dict[OcspStatus, int]] = {}
        for anchor, status, number in self._connection.execute(
            query.group_by(ocsp_answer.c.anchor, ocsp_answer.c.status)
        ):
            found.setdefault(anchor, {})[OcspStatus(status)] = number
        return found

    def forget_ended(self, at: datetime) -> None:
        """Nobody asks about certificates that ended before `at`, or has to know that they were revoked."""
        ended = self._connection.execute(
            select(ocsp_answer.c.anchor, ocsp_answer.c.serial).where(ocsp_answer.c.ends < at)
        ).all()
        for anchor in {row.anchor for row in ended}:
            numbers = [row.serial for row in ended if row.anchor == anchor]
            for part in chunks(numbers, 400):
                self._connection.execute(
                    delete(ocsp_answer).where(ocsp_answer.c.anchor == anchor, ocsp_answer.c.serial.in_(part))
                )
            self.change(anchor, OCSP_SCOPE, numbers, [])
            self._changes.note(ChangeKind.ANCHOR, anchor)

    # For the judge

    def plain_lists(self, anchors: Iterable[int]) -> dict[int, list[PlainList]]:
        """For each CA its lists and answers, also those whose time is over: that is for the judge to say."""
        found: dict[int, list[PlainList]] = {}
        for part in chunks(anchors):
            for one in self._lists(
                select(foreign_crl)
                .where(foreign_crl.c.anchor.in_(part))
                .order_by(foreign_crl.c.anchor, foreign_crl.c.scope)
            ):
                found.setdefault(one.anchor, []).append(
                    (one.scope, _seconds(one.this_update), _seconds(one.next_update))
                )
            for answer in self._answers(
                select(ocsp_answer)
                .where(ocsp_answer.c.anchor.in_(part), ocsp_answer.c.status == str(OcspStatus.GOOD))
                .order_by(ocsp_answer.c.anchor, ocsp_answer.c.serial)
            ):
                if answer.this_update is not None and answer.next_update is not None:
                    scope = f"ocsp:{answer.serial.hex()}"
                    times = _seconds(answer.this_update), _seconds(answer.next_update)
                    found.setdefault(answer.anchor, []).append((scope, *times))
        return found

    def plain(self, keys: Iterable[tuple[int, bytes]]) -> list[PlainForeign]:
        """Those of these (CA, number) that are revoked."""
        found: dict[tuple[int, bytes], PlainForeign] = {}
        number_of = foreign_revocation.c.anchor, foreign_revocation.c.serial
        for part in chunks(keys, FEW_KEYS):
            rows = self._connection.execute(self._plain_query().where(one_of(number_of, part)))
            for anchor, number, at, reason in rows:
                entry = (anchor, number, at // 1_000_000, reason)
                before = found.get((anchor, number))
                if before is None or entry[2] < before[2]:
                    found[anchor, number] = entry
        return list(found.values())

    def walk_plain(self, size: int, anchors: Collection[int] | None = None) -> Iterator[list[PlainForeign]]:
        """All numbers that partners' CAs, or these of them, revoked, by CA and number, each once, in parts of at most
        `size`."""
        last: tuple[int, bytes] | None = None
        order = tuple_(foreign_revocation.c.anchor, foreign_revocation.c.serial)
        query = self._plain_query().order_by(
            foreign_revocation.c.anchor, foreign_revocation.c.serial, foreign_revocation.c.at
        )
        if anchors is not None:
            query = query.where(among(foreign_revocation.c.anchor))
        while True:
            part_of_it = (query if last is None else query.where(order > last)).limit(size)
            rows = plain_rows(self._connection, part_of_it, anchors)
            if not rows:
                return
            part: list[PlainForeign] = []
            for anchor, number, at, reason in rows:
                if (anchor, number) != last:  # a second list has it, too; the next part begins after both
                    part.append((anchor, number, at // 1_000_000, reason))
                last = (anchor, number)
            yield part

    def _plain_query(self) -> Select[Any]:
        return select(
            foreign_revocation.c.anchor,
            foreign_revocation.c.serial,
            type_coerce(foreign_revocation.c.at, BigInteger),
            foreign_revocation.c.reason,
        )

    # Rows

    def _sources(self, query: Select[Any]) -> list[RevocationSource]:
        return [
            RevocationSource(
                id=row.id,
                anchor=row.anchor,
                kind=SourceKind(row.kind),
                url=row.url,
                state=SourceState(row.state),
                private=bool(row.private),
                etag=row.etag,
                modified=row.modified,
                created=row.created,
                fetched=row.fetched,
                next_fetch=row.next_fetch,
                failures=row.failures,
                error=row.error,
            )
            for row in self._connection.execute(query)
        ]

    def _lists(self, query: Select[Any]) -> list[ForeignList]:
        return [
            ForeignList(
                anchor=row.anchor,
                scope=row.scope,
                number=serial.to_int(row.number),
                base_number=serial.to_int(row.base_number),
                this_update=row.this_update,
                next_update=row.next_update,
                entries=row.entries,
                digest=row.digest,
                fetched=row.fetched,
            )
            for row in self._connection.execute(query)
        ]

    def _answers(self, query: Select[Any]) -> list[OcspAnswer]:
        return [
            OcspAnswer(
                anchor=row.anchor,
                serial=row.serial,
                status=OcspStatus(row.status),
                this_update=row.this_update,
                next_update=row.next_update,
                next_ask=row.next_ask,
                failures=row.failures,
                error=row.error,
            )
            for row in self._connection.execute(query)
        ]


def _seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)
