"""The last refusals, for who looks up an id from a refusal page."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from mutualgate.model.refusal import RefusalRecord
from mutualgate.store.schema import refusal, seen

KEPT = 10_000
"""Entries. Strangers cause them, so there is an end."""

_SHORT, _LONG = 255, 1_000
"""Characters kept of texts that strangers choose."""


class Refusals:
    """Keeps the newest, forgets the oldest."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_many(self, records: Iterable[RefusalRecord]) -> None:
        """Adds them, oldest first; an id that is there already, or comes twice, is left as it was told first."""
        first: dict[str, RefusalRecord] = {}
        for record in records:
            first.setdefault(record.id, record)
        rows = [
            {
                "id": record.id,
                "at": record.at,
                "reason": record.reason[:32],
                "detail": record.detail[:_LONG],
                "site": record.site[:_SHORT],
                "path": record.path[:_LONG],
                "peer": record.peer[:64],
                "subject": record.subject[:_LONG],
                "fingerprint": record.fingerprint,
                "client": record.client,
            }
            for record in first.values()
            if self.find(record.id) is None
        ]
        if not rows:
            return
        self._connection.execute(insert(refusal), rows[-KEPT:])
        newest = self._connection.execute(select(func.max(refusal.c.number))).scalar_one()
        self._connection.execute(delete(refusal).where(refusal.c.number <= newest - KEPT))

    def find(self, id: str) -> RefusalRecord | None:
        """The one with this id."""
        row = self._connection.execute(select(refusal).where(refusal.c.id == id)).first()
        return None if row is None else _record(row)

    def recent_shown(self, limit: int) -> list[tuple[RefusalRecord, bytes]]:
        """Of the newest `limit` that showed a certificate those whose chain is still remembered, with it."""
        newest = (
            select(refusal.c.number)
            .where(refusal.c.fingerprint.is_not(None))
            .order_by(refusal.c.number.desc())
            .limit(limit)
        )
        query = (
            select(refusal, seen.c.chain)
            .join(seen, seen.c.fingerprint == refusal.c.fingerprint)
            .where(refusal.c.number.in_(newest))
            .order_by(refusal.c.number.desc())
        )
        return [(_record(row), row.chain) for row in self._connection.execute(query)]

    def recent(self, *, reason: str | None = None, client: int | None = None, limit: int = 100) -> list[RefusalRecord]:
        """The newest `limit`, newest first."""
        query = select(refusal).order_by(refusal.c.number.desc()).limit(limit)
        if reason is not None:
            query = query.where(refusal.c.reason == reason)
        if client is not None:
            query = query.where(refusal.c.client == client)
        return [_record(row) for row in self._connection.execute(query)]


def _record(row: Row[Any]) -> RefusalRecord:
    return RefusalRecord(
        id=row.id,
        at=row.at,
        reason=row.reason,
        detail=row.detail,
        site=row.site,
        path=row.path,
        peer=row.peer,
        subject=row.subject,
        fingerprint=row.fingerprint,
        client=row.client,
    )
