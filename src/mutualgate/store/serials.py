"""Serial numbers that are given away, whatever for: what is about to be signed is here first."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from mutualgate.errors import Conflict
from mutualgate.model.serial import text
from mutualgate.store import sqlite
from mutualgate.store.schema import serial
from mutualgate.store.types import microseconds


class Serials:
    """Gives each number of an authority once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reserve(self, authority: int, number: bytes, purpose: str, at: datetime) -> None:
        """Takes a number before anything is signed under it (RFC 5280 4.1.2.2). Raises `Conflict` when it is taken."""
        if self.taken(authority, number):
            raise Conflict(f"the serial number {text(number)} is taken", code="serial_taken")
        self._connection.execute(insert(serial).values(authority=authority, serial=number, purpose=purpose, at=at))

    def reserve_many(self, authority: int, numbers: Sequence[bytes], purpose: str, at: datetime) -> None:
        """Takes many. Raises `Conflict` when one is taken, or given twice."""
        moment = microseconds(at)
        rows = [(authority, number, purpose, moment) for number in numbers]
        columns = ("authority", "serial", "purpose", "at")
        if sqlite.insert_new(self._connection, serial, columns, rows) != len(rows):
            raise Conflict("a serial number is taken", code="serial_taken")

    def taken(self, authority: int, number: bytes) -> bool:
        """Whether it is."""
        found = self._connection.execute(
            select(serial.c.purpose).where(serial.c.authority == authority, serial.c.serial == number)
        ).first()
        return found is not None

    def note(self, authority: int, numbers: Iterable[bytes], purpose: str, at: datetime) -> int:
        """Numbers that an adopted authority gave before; says how many were new."""
        moment = microseconds(at)
        return sqlite.insert_new(
            self._connection,
            serial,
            ("authority", "serial", "purpose", "at"),
            [(authority, number, purpose, moment) for number in numbers],
        )
