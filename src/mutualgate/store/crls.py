"""The current CRL of each authority whose key we have."""

from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from mutualgate.model import serial
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store import sqlite
from mutualgate.store.schema import crl

_STATE = [column for column in crl.c if column is not crl.c.der]


class Crls:
    """Finds and keeps CRLs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, authority: int) -> StoredCrl | None:
        """The current one."""
        row = self._connection.execute(select(crl).where(crl.c.authority == authority)).first()
        if row is None:
            return None
        return StoredCrl(row.authority, serial.to_int(row.number), row.this_update, row.next_update, row.epoch, row.der)

    def state(self, authority: int) -> CrlState | None:
        """All of the current one but the list itself, which may have many MB."""
        return self._read(select(*_STATE).where(crl.c.authority == authority)).get(authority)

    def states(self) -> dict[int, CrlState]:
        """Those of all authorities that have one."""
        return self._read(select(*_STATE))

    def put(self, entry: StoredCrl) -> None:
        """Replaces it."""
        self._connection.execute(delete(crl).where(crl.c.authority == entry.authority))
        self._connection.execute(
            insert(crl).values(
                authority=entry.authority,
                number=serial.from_int(entry.number),  # RFC 5280 5.2.3: up to 20 octets, more than a column's 64 bits
                this_update=entry.this_update,
                next_update=entry.next_update,
                epoch=entry.epoch,
                der=func.zeroblob(len(entry.der)),
            )
        )
        sqlite.fill_blob(self._connection, crl.c.der, entry.authority, entry.der)

    def _read(self, query: Select[Any]) -> dict[int, CrlState]:
        return {
            row.authority: CrlState(
                row.authority, serial.to_int(row.number), row.this_update, row.next_update, row.epoch
            )
            for row in self._connection.execute(query)
        }
