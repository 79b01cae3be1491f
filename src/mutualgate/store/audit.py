"""Rows of the audit log. Knows no chain: `mutualgate.audit` does."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, LargeBinary, Row, cast, func, select, type_coerce

from mutualgate.model.audit import AuditEntry, Facts
from mutualgate.store import sqlite
from mutualgate.store.schema import audit
from mutualgate.store.types import EPOCH, microseconds

_text = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
# As it lies there: who writes into the file is held to no type, and one entry that nobody can read must not hide all.
_ROWS = select(
    audit.c.number,
    type_coerce(audit.c.at, BigInteger).label("at"),
    *(
        cast(audit.c[name], LargeBinary).label(name)
        for name in ("by", "action", "subject", "facts", "previous", "hash")
    ),
)
_LAST = _ROWS.order_by(audit.c.number.desc()).limit(1)

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class AuditRows:
    """Adds and reads; there is no way to change one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, entry: AuditEntry) -> None:
        """Adds it as it is."""
        self.add_many([entry])

    def add_many(self, entries: Sequence[AuditEntry]) -> None:
        """Adds them as they are."""
        columns = ("number", "at", "by", "action", "subject", "facts", "previous", "hash")
        rows = [
            (
                one.number,
                microseconds(one.at),
                one.by,
                one.action,
                one.subject,
                _text(dict(one.facts)),
                one.previous,
                one.hash,
            )
            for one in entries
        ]
        sqlite.insert(self._connection, audit, columns, rows)

    def last(self) -> AuditEntry | None:
        """The newest."""
        row = self._connection.execute(_LAST).first()
        return None if row is None else _entry(row)

    def count(self) -> int:
        """How many there are."""
        return int(self._connection.execute(select(func.count()).select_from(audit)).scalar_one())

    def recent(self, *, subject: str | None = None, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """At most `limit`, newest first, those before the number `before`; of one subject, if given."""
        query = _ROWS.order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.number < before)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        return [_entry(row) for row in self._connection.execute(query)]

    def walk(self, size: int = 1_000) -> Iterator[AuditEntry]:
        """All, oldest first."""
        last: int | None = None
        while True:
            query = _ROWS.order_by(audit.c.number).limit(size)
            if last is not None:
                query = query.where(audit.c.number > last)
            rows = self._connection.execute(query).all()
            if not rows:
                return
            for row in rows:
                yield _entry(row)
            last = rows[-1].number


def _entry(row: Row[Any]) -> AuditEntry:
    """Someone may have written into it: `verify` will say so, by what stands here for what cannot be read."""
    by, action, subject, text = (one.decode(errors="replace") for one in (row.by, row.action, row.subject, row.facts))
    at, facts = _moment(row.at), _facts(text)
    if at is None or facts is None:
        at, facts = at or _UNKNOWN, {"unreadable": f"{row.at} {text}" if at is None else text}
    return AuditEntry(row.number, at, by, action, subject, facts, row.previous, row.hash)


def _moment(value: object) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=value) if isinstance(value, int) else None
    except OverflowError:
        return None


def _facts(text: str) -> Facts | None:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None
