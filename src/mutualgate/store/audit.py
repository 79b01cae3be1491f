"""Rows of the audit log. Knows no chain: `mutualgate.audit` does."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from mutualgate.model.audit import AuditEntry
from mutualgate.store import sqlite
from mutualgate.store.schema import audit
from mutualgate.store.types import microseconds

_text = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_LAST = select(audit).order_by(audit.c.number.desc()).limit(1)


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
        query = select(audit).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.number < before)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        return [_entry(row) for row in self._connection.execute(query)]

    def walk(self, size: int = 1_000) -> Iterator[AuditEntry]:
        """All, oldest first."""
        last: int | None = None
        while True:
            query = select(audit).order_by(audit.c.number).limit(size)
            if last is not None:
                query = query.where(audit.c.number > last)
            rows = self._connection.execute(query).all()
            if not rows:
                return
            for row in rows:
                yield _entry(row)
            last = rows[-1].number


def _entry(row: Row[Any]) -> AuditEntry:
    try:
        facts = json.loads(row.facts)
    except ValueError:
        facts = {"unreadable": row.facts}  # someone wrote into it: `verify` will say so, reading must go on
    return AuditEntry(row.number, row.at, row.by, row.action, row.subject, facts, row.previous, row.hash)
