"""Letters that wait to be sent, and what became of them."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from mutualgate.model.letter import Letter, LetterCount, LetterKind, LetterState
from mutualgate.store.schema import outbox
from mutualgate.store.select import due

_Letters = list[Letter]  # `list` is a method below


class Outbox:
    """Finds and keeps letters. When one is tried again and when it is given up, the service says."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, kind: LetterKind, recipient: str, subject: str, body: str, once: str | None, at: datetime
    ) -> int | None:
        """Adds a letter that is due at once and returns its id; None if there is or was one with this `once`."""
        if once is not None and self._connection.execute(select(outbox.c.id).where(outbox.c.once == once)).first():
            return None
        result = self._connection.execute(
            insert(outbox).values(
                kind=str(kind),
                recipient=recipient,
                subject=subject,
                body=body,
                once=once,
                created=at,
                next_try=at,
                tries=0,
                sent=None,
                error="",
            )
        )
        return int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted

    def get(self, letter: int) -> Letter | None:
        """The letter with this id."""
        return next(iter(self._read(select(outbox).where(outbox.c.id == letter))), None)

    def due(self, at: datetime, longest: timedelta, without: Collection[LetterKind] = ()) -> Letter | None:
        """The letter that has been due for longest at `at`, of another kind than `without`; none waits for longer than
        `longest`."""
        query = select(outbox).order_by(outbox.c.next_try, outbox.c.id).limit(1)
        if without:
            query = query.where(outbox.c.kind.not_in([str(kind) for kind in without]))
        return next((one for part in due(query, outbox.c.next_try, at, longest) for one in self._read(part)), None)

    def try_(self, letter: int, again: datetime) -> None:
        """Counts a try that begins now. `again`: when the next one is, should nobody live to tell of this one."""
        self._connection.execute(
            update(outbox).where(outbox.c.id == letter).values(tries=outbox.c.tries + 1, next_try=again)
        )

    def sent(self, letter: int, at: datetime) -> None:
        """It was taken by whoever carries it on. What it said is no longer needed."""
        self._connection.execute(
            update(outbox).where(outbox.c.id == letter).values(sent=at, next_try=None, body="", error="")
        )

    def failed(self, letter: int, error: str, again: datetime | None) -> None:
        """A try failed; `again` is None when it was the last."""
        self._connection.execute(update(outbox).where(outbox.c.id == letter).values(error=error, next_try=again))

    def revive(self, letter: int, at: datetime) -> None:
        """It is tried again as if it were new."""
        self._connection.execute(
            update(outbox).where(outbox.c.id == letter).values(next_try=at, tries=0, created=at, error="")
        )

    def count(self) -> LetterCount:
        """How full the outbox is."""
        waiting, oldest = self._connection.execute(
            select(func.count(), func.min(outbox.c.created)).where(outbox.c.next_try.is_not(None))
        ).one()
        dead = self._connection.execute(select(func.count()).where(*_DEAD)).scalar_one()
        error = self._connection.execute(
            select(outbox.c.error).where(outbox.c.sent.is_(None), outbox.c.error != "").order_by(outbox.c.id.desc())
        ).scalar()
        return LetterCount(waiting, dead, oldest, error or "")

    def list(self, state: LetterState | None = None, limit: int = 100) -> "_Letters":
        """The newest letters, newest first."""
        query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
        if state is LetterState.WAITING:
            query = query.where(outbox.c.next_try.is_not(None))
        elif state is LetterState.SENT:
            query = query.where(outbox.c.sent.is_not(None))
        elif state is LetterState.DEAD:
            query = query.where(*_DEAD)
        return self._read(query)

    def prune(self, forgotten: datetime, wiped: datetime) -> None:
        """Forgets what was done before `forgotten`, and wipes what was given up before `wiped`."""
        self._connection.execute(
            delete(outbox).where(outbox.c.created < forgotten, outbox.c.next_try.is_(None)),
        )
        self._connection.execute(
            update(outbox).where(*_DEAD, outbox.c.created < wiped, outbox.c.body != "").values(body="")
        )

    def _read(self, query: Select[Any]) -> "_Letters":
        return [
            Letter(
                id=row.id,
                kind=LetterKind(row.kind),
                recipient=row.recipient,
                subject=row.subject,
                body=row.body,
                once=row.once,
                created=row.created,
                next_try=row.next_try,
                tries=row.tries,
                sent=row.sent,
                error=row.error,
            )
            for row in self._connection.execute(query)
        ]


_DEAD = (outbox.c.next_try.is_(None), outbox.c.sent.is_(None))
