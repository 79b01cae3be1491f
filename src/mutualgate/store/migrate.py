"""Brings a store to the newest version. Knows alembic, and imports it only when there is something to migrate.

A new store is made of the tables as they are today: the first start should not wait for a tool that it does not need.
A test holds that this and all migrations in a row give the same.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, insert

from mutualgate.errors import BadInput
from mutualgate.store import sqlite
from mutualgate.store.schema import VERSIONS, feed, metadata

# As alembic makes it, and not part of our tables.
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))


Migrating = Callable[[str, str], AbstractContextManager[None]]
"""Entered before a store is migrated, with the version that it has and the one that it will have, and left after it.
What it raises leaves the store as it is."""


def bring_up_to_date(engine: Engine, path: Path, migrating: Migrating) -> None:
    """Creates or migrates the tables, in one transaction; a process that comes second finds it done.

    Raises `BadInput` for a store of a newer program and for a database that is no store.
    """
    with engine.connect().execution_options(**{sqlite.READ_ONLY: True}) as connection, connection.begin():
        found = _version(connection, path)
    if found == VERSIONS[-1]:
        return
    with nullcontext() if found is None else migrating(found, VERSIONS[-1]), engine.begin() as connection:
        version = _version(connection, path)
        if version is None:
            sqlite.mark(connection)
            _create(connection)
        elif version != VERSIONS[-1]:
            _upgrade(connection)


def _version(connection: Connection, path: Path) -> str | None:
    tables = sqlite.tables(connection)
    if not tables:
        return None
    if "alembic_version" not in tables or "feed" not in tables:
        raise BadInput("this is no store of mutualgate", where=str(path), expected="a file that mutualgate made")
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if version is not None and version not in VERSIONS:
        raise BadInput(
            f"this store has version {str(version)[:20]!a}, which this program does not know",
            where=str(path),
            expected=f"at most version {VERSIONS[-1]}",
            fix="Install the newer mutualgate that wrote it",
        )
    return version


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(insert(feed).values(id=1, epoch=0, oldest=0))
    _VERSION.create(connection)
    connection.execute(insert(_VERSION).values(version_num=VERSIONS[-1]))


def _upgrade(connection: Connection, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
