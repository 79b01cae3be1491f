"""The current CRL of each authority whose key we have."""

import secrets
from collections import deque
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from mutualgate.model import serial
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store.schema import crl, crl_part

PART_OCTETS = 1 << 20
"""What is written in one transaction: others wait for it."""


class Draft:
    """A list that is to follow the one of the edition `after`; `left` parts of it are not written yet."""

    def __init__(self, entry: StoredCrl, after: int) -> None:
        self.entry, self.after = entry, after
        self.edition = secrets.randbits(62)
        self._starts = deque(range(0, len(entry.der), PART_OCTETS))

    @property
    def left(self) -> int:
        return len(self._starts)

    def take(self) -> tuple[int, bytes]:
        """Where the next part begins, and its octets: a copy, for sqlite3 keeps it for a while."""
        start = self._starts.popleft()
        return start, self.entry.der[start : start + PART_OCTETS]


class Crls:
    """Finds and keeps CRLs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, authority: int) -> StoredCrl | None:
        """The current one."""
        state = self.state(authority)
        if state is None:
            return None
        parts = self._connection.execute(
            select(crl_part.c.octets)
            .where(crl_part.c.authority == authority, crl_part.c.edition == self._edition(authority))
            .order_by(crl_part.c.begins)
        )
        der = b"".join(parts.scalars())
        return StoredCrl(authority, state.number, state.this_update, state.next_update, state.epoch, der)

    def state(self, authority: int) -> CrlState | None:
        """All of the current one but the list itself, which may have many MB."""
        return self._read(select(crl).where(crl.c.authority == authority)).get(authority)

    def states(self) -> dict[int, CrlState]:
        """Those of all authorities that have one."""
        return self._read(select(crl))

    def put(self, entry: StoredCrl) -> None:
        """Replaces it, in this transaction."""
        self.replace(self.draft(entry))
        while self.clear(entry.authority):
            pass

    # One of many MB, in a transaction for each part.

    def draft(self, entry: StoredCrl) -> Draft:
        """What is to follow the current one."""
        return Draft(entry, self._edition(entry.authority))

    def write(self, draft: Draft) -> None:
        """Writes the next part."""
        begins, octets = draft.take()
        self._connection.execute(
            insert(crl_part).values(
                authority=draft.entry.authority, edition=draft.edition, begins=begins, after=draft.after, octets=octets
            )
        )

    def replace(self, draft: Draft) -> bool:
        """Writes what is left of it, and puts it in place of the one that it follows. False: another did so before."""
        entry = draft.entry
        if self._edition(entry.authority) != draft.after:
            return False
        while draft.left:
            self.write(draft)
        self._connection.execute(delete(crl).where(crl.c.authority == entry.authority))
        self._connection.execute(
            insert(crl).values(
                authority=entry.authority,
                number=serial.from_int(entry.number),  # RFC 5280 5.2.3: up to 20 octets, more than a column's 64 bits
                this_update=entry.this_update,
                next_update=entry.next_update,
                epoch=entry.epoch,
                edition=draft.edition,
            )
        )
        return True

    def clear(self, authority: int) -> bool:
        """Deletes a part of a list that is not in force any more, or will never be; returns whether there are more."""
        current = self._edition(authority)
        useless = self._connection.execute(
            select(crl_part.c.edition, crl_part.c.begins)
            .where(crl_part.c.authority == authority, crl_part.c.edition != current, crl_part.c.after != current)
            .limit(2)
        ).all()
        for edition, begins in useless[:1]:
            self._connection.execute(
                delete(crl_part).where(
                    crl_part.c.authority == authority, crl_part.c.edition == edition, crl_part.c.begins == begins
                )
            )
        return len(useless) > 1

    def _edition(self, authority: int) -> int:
        """That of the current one; 0 where there is none."""
        query = select(func.coalesce(func.max(crl.c.edition), 0)).where(crl.c.authority == authority)
        return int(self._connection.execute(query).scalar_one())

    def _read(self, query: Select[Any]) -> dict[int, CrlState]:
        return {
            row.authority: CrlState(
                row.authority, serial.to_int(row.number), row.this_update, row.next_update, row.epoch
            )
            for row in self._connection.execute(query)
        }
