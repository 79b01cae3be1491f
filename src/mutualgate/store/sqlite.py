"""All that is SQLite's own: how a file is opened, what each connection is told, what its errors mean.

Another database is a second file like this one.
"""

import logging
import os
import shlex
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Engine, ExceptionContext, Table, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util import LRUCache

from mutualgate.errors import BadInput, Corrupt, MutualgateError, NotFound, Unavailable
from mutualgate.modes import WRITING, refuse_others

Row: TypeAlias = tuple[int | str | bytes | None, ...]
"""As the database keeps it."""

READ_ONLY = "mutualgate_read_only"
"""The execution option of a connection that only reads."""

BUSY_SECONDS = 30
"""How long a writer waits for another: longer than an import of a million revocations takes."""

APPLICATION = 0x6D677374
"""`PRAGMA application_id` of our files, "mgst": tells a foreign database from ours before a table is touched."""

_COMPILED = LRUCache[Any, Any](500)
"""Statements as SQL, for all stores of the process: to make one takes longer than to run most, and a process that runs
many commands opens a store for each."""

_HEADER = b"SQLite format 3\x00"

# Who interrupts a command while a connection is closed hears of it by the command's end, and of no traceback besides.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


def engine(path: Path, *, create: bool) -> Engine:
    """An engine for the store in the file at `path`; makes an empty one, readable by its owner only, if wanted.

    Raises `NotFound`, `BadInput` for what is no store of ours or is open to others, `Unavailable` where the file cannot
    be used.
    """
    _look_at(path, create)
    pool = QueuePool(
        # isolation_level=None: sqlite3 would open transactions by its own rules, and none before DDL or SELECT.
        partial(sqlite3.connect, path.absolute(), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False),
        pool_size=4,
        max_overflow=60,
        dialect=_SHARED.dialect,
    )
    made = Engine(pool, _SHARED.dialect, _SHARED.url, execution_options={"compiled_cache": _COMPILED})
    event.listen(made, "connect", _connected)
    event.listen(made, "begin", _begun)
    return made


def _look_at(path: Path, create: bool) -> None:
    try:
        if create:
            try:
                # 0600 before the first byte: it holds the authorities' keys, encrypted, and all that clients are.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                pass
        with path.open("rb") as file:
            status, above = os.fstat(file.fileno()), path.parent.stat()
            head = file.read(100)
    except FileNotFoundError as error:
        raise NotFound(
            "there is no store", where=str(path), fix="Run 'mutualgate up' to create one, or name its folder with --dir"
        ) from error
    except OSError as error:
        raise Unavailable(f"the store cannot be opened: {error.strerror}", where=str(path)) from error
    _refuse_foreign(head, path)
    # Who may write it makes clients, and who reads it knows them all.
    refuse_others(status, str(path))
    refuse_others(above, str(path.parent), WRITING, _elsewhere(above, path.parent))


def _elsewhere(status: os.stat_result, folder: Path) -> str | None:
    """What to do about a folder of another user, whose mode is not for us to change: as a volume is that is made for a
    group (Kubernetes' fsGroup)."""
    if status.st_uid == os.geteuid():
        return None
    return f"Name one within it, which is made for this user alone: --dir {shlex.quote(str(folder / 'gate'))}"


def _refuse_foreign(head: bytes, path: Path) -> None:
    if not head:
        return
    if len(head) < 100 or head[:16] != _HEADER:
        raise BadInput("this is no store of mutualgate", where=str(path), expected="a file that mutualgate made")
    application = int.from_bytes(head[68:72], "big")  # SQLite file format 1.3
    # 0: another process is creating it, its first commit is still in the WAL; the version decides then.
    if application not in (0, APPLICATION):
        raise BadInput(
            "this database belongs to another program", where=str(path), expected="a file that mutualgate made"
        )


def _connected(connection: Any, _record: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys=ON")
        # FULL: NORMAL may lose a confirmed commit when the power goes.
        cursor.execute("PRAGMA synchronous=FULL")
        # A letter that was sent may have held a link: what is wiped is gone from the file, however SQLite was built.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.execute("PRAGMA cell_size_check=ON")
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode=WAL")
    finally:
        cursor.close()


def _begun(connection: Connection) -> None:
    """IMMEDIATE: a writer that begins is the only one, so what it reads stays true until it commits.

    A deferred transaction that turned into a writing one could fail half-way because another was faster.
    """
    if connection.get_execution_options().get(READ_ONLY):
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.exec_driver_sql("BEGIN DEFERRED")
    else:
        connection.exec_driver_sql("PRAGMA query_only=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _failed(context: ExceptionContext) -> None:
    """Integers have 64 bits: sqlite3 refuses to ask for larger ones, which no row can have."""
    if isinstance(context.original_exception, OverflowError):
        raise NotFound("nothing in the store has so large a number", code="no_such_number")


def _without_store() -> Engine:
    made = create_engine("sqlite+pysqlite://")
    event.listen(made, "handle_error", _failed)
    made.connect().close()  # the dialect looks at what this SQLite can do
    made.dispose()
    return made


_SHARED = _without_store()
"""An engine whose dialect all others have: what is compiled for it serves them all."""


def tables(connection: Connection) -> set[str]:
    """The names of all tables. (SQLAlchemy's inspector makes and compiles statements for it.)"""
    return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())


def mark(connection: Connection) -> None:
    """Writes into the file whose it is."""
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION}")


def meaning(error: DBAPIError, path: Path) -> MutualgateError:
    """What went wrong, as one of our errors."""
    cause = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    where = str(path)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(
            f"the store has been busy for {BUSY_SECONDS} seconds",
            where=where,
            fix="Try again when the other command ends",
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt("the store is damaged", where=where, fix="Stop the gate and put back a copy of the store")
    # What the file beside the log needs is written by itself, and fails under another name.
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return Unavailable("the disk is full", where=where, fix="Nothing was changed")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return Unavailable(
            "the store may not be written here",
            where=where,
            fix="Look at the owner and mode of its folder, and whether its disk is full",
        )
    if primary == sqlite3.SQLITE_IOERR:
        return Unavailable("the disk under the store reports an error", where=where)
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return Corrupt(f"the store holds something else than expected ({cause})", where=where)
    return Unavailable(f"the store does not answer ({cause})", where=where)


def contains(column: Column[str], part: str) -> ColumnElement[bool]:
    """Whether the text in the column has this part, ASCII letters in either case: LIKE compares so here. Around each
    of 100,000 texts LOWER() takes as long as that."""
    return column.contains(part, autoescape=True)


def contains_exactly(column: Column[Any], part: str) -> ColumnElement[bool]:
    """Whether the text in the column has this part, letter by letter.

    Where 100,000 texts begin as the part does, GLOB takes half as long as LIKE.
    """
    literal = "".join(f"[{one}]" if one in "*?[" else one for one in part)
    return column.op("GLOB", is_comparison=True)(f"*{literal}*")


def insert(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Adds `rows`, as the database keeps them, all or none.

    Below SQLAlchemy's Core on purpose, as `insert_new` is: what it does for each row takes longer than the database.
    """
    _insert("INSERT", connection, table, columns, rows)


def insert_new(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Adds those `rows`, as the database keeps them, whose key is not there yet, and says how many those were."""
    return _insert("INSERT OR IGNORE", connection, table, columns, rows)


def _insert(verb: str, connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    if not rows:
        return 0
    marks = ", ".join("?" for _ in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    statement = f'{verb} INTO "{table.name}" ({names}) VALUES ({marks})'
    return connection.exec_driver_sql(statement, list(rows)).rowcount
