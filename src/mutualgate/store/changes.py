"""The change feed: what the judge has to be told of, numbered in the order of commits."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, select, update

from mutualgate.model.change import Change, ChangeKind
from mutualgate.store import sqlite
from mutualgate.store.schema import change, feed

KEPT = 50_000
"""Entries: a gate that is further behind builds its snapshot anew, which is then the quicker way."""

LISTED_AT_MOST = 5_000
"""Entries of one bulk change; beyond it one entry says 'all'."""

_EPOCH, _OLDEST = select(feed.c.epoch), select(feed.c.oldest)
_SINCE = (
    select(change.c.seq, change.c.kind, change.c.key).where(change.c.seq > bindparam("epoch")).order_by(change.c.seq)
)


class Changes:
    """Writes in the transaction of the change itself. In one that writes, nobody else does, so it counts in memory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._noted: list[Change] = []
        self._epoch: int | None = None

    def epoch(self) -> int:
        """The number of the last change, this transaction's own among them; 0 in an empty store."""
        if self._epoch is None:
            self._epoch = self._connection.execute(_EPOCH).scalar_one()
        return self._epoch

    def note(self, kind: ChangeKind, key: str | int) -> int:
        """Adds an entry and returns its number."""
        self._epoch = self.epoch() + 1
        self._noted.append(Change(self._epoch, kind, str(key)))
        return self._epoch

    def note_many(self, kind: ChangeKind, keys: Iterable[str | int]) -> int:
        """Adds an entry for each of `keys`, or one for everything where they are too many."""
        wanted = []
        for key in keys:
            wanted.append(key)
            if len(wanted) > LISTED_AT_MOST:
                return self.note(ChangeKind.ALL, "")
        for key in wanted:
            self.note(kind, key)
        return self.epoch()

    def since(self, epoch: int) -> list[Change] | None:
        """What changed after `epoch`, in order; `None` when the feed does not reach back or cannot list it."""
        oldest = self._connection.execute(_OLDEST).scalar_one()
        if epoch < oldest or epoch > self.epoch():
            return None
        rows = self._connection.execute(_SINCE, {"epoch": epoch})
        changes = [Change(row.seq, ChangeKind(row.kind), row.key) for row in rows]
        return None if any(entry.kind is ChangeKind.ALL for entry in changes) else changes

    def write(self) -> None:
        """Writes what was noted; the transaction calls it before it commits."""
        if not self._noted:
            return
        epoch = self.epoch()
        rows = [(entry.seq, str(entry.kind), entry.key) for entry in self._noted]
        sqlite.insert(self._connection, change, ("seq", "kind", "key"), rows)
        self._noted.clear()
        self._connection.execute(update(feed).values(epoch=epoch))
        oldest = self._connection.execute(_OLDEST).scalar_one()
        if epoch - oldest > 2 * KEPT:  # seldom, and then many
            self._connection.execute(delete(change).where(change.c.seq <= epoch - KEPT))
            self._connection.execute(update(feed).values(oldest=epoch - KEPT))
