"""The store: transactions and what can be done in them. Knows no rule of the services above."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from mutualgate.clock import Clock
from mutualgate.store import sqlite
from mutualgate.store.migrate import Migrating, bring_up_to_date

if TYPE_CHECKING:
    from mutualgate.store.anchors import Anchors
    from mutualgate.store.audit import AuditRows
    from mutualgate.store.authorities import Authorities
    from mutualgate.store.changes import Changes
    from mutualgate.store.clients import Clients
    from mutualgate.store.credentials import Credentials
    from mutualgate.store.crls import Crls
    from mutualgate.store.expiring import ExpiringRows
    from mutualgate.store.foreign import Foreign
    from mutualgate.store.invitations import Invitations
    from mutualgate.store.key_sets import KeySets
    from mutualgate.store.members import Members
    from mutualgate.store.outbox import Outbox
    from mutualgate.store.partners import Partners
    from mutualgate.store.pins import Pins
    from mutualgate.store.refusals import Refusals
    from mutualgate.store.revocations import Revocations
    from mutualgate.store.seen import Seen
    from mutualgate.store.serials import Serials
    from mutualgate.store.settings import Settings
    from mutualgate.store.trust import Trust


class Transaction:
    """What can be found and changed, a repository for each noun, made when it is asked for. `connection` is the store's
    own business."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def changes(self) -> "Changes":
        from mutualgate.store.changes import Changes

        return Changes(self._connection)

    @cached_property
    def clients(self) -> "Clients":
        from mutualgate.store.clients import Clients

        return Clients(self._connection, self.changes)

    @cached_property
    def credentials(self) -> "Credentials":
        from mutualgate.store.credentials import Credentials

        return Credentials(self._connection, self.changes)

    @cached_property
    def authorities(self) -> "Authorities":
        from mutualgate.store.authorities import Authorities

        return Authorities(self._connection, self.changes)

    @cached_property
    def pins(self) -> "Pins":
        from mutualgate.store.pins import Pins

        return Pins(self._connection, self.changes)

    @cached_property
    def key_sets(self) -> "KeySets":
        from mutualgate.store.key_sets import KeySets

        return KeySets(self._connection)

    @cached_property
    def partners(self) -> "Partners":
        from mutualgate.store.partners import Partners

        return Partners(self._connection, self.changes)

    @cached_property
    def anchors(self) -> "Anchors":
        from mutualgate.store.anchors import Anchors

        return Anchors(self._connection, self.changes)

    @cached_property
    def members(self) -> "Members":
        from mutualgate.store.members import Members

        return Members(self._connection, self.changes)

    @cached_property
    def invitations(self) -> "Invitations":
        from mutualgate.store.invitations import Invitations

        return Invitations(self._connection, self.changes)

    @cached_property
    def revocations(self) -> "Revocations":
        from mutualgate.store.revocations import Revocations

        return Revocations(self._connection, self.changes)

    @cached_property
    def serials(self) -> "Serials":
        from mutualgate.store.serials import Serials

        return Serials(self._connection)

    @cached_property
    def crls(self) -> "Crls":
        from mutualgate.store.crls import Crls

        return Crls(self._connection)

    @cached_property
    def audit(self) -> "AuditRows":
        from mutualgate.store.audit import AuditRows

        return AuditRows(self._connection)

    @cached_property
    def refusals(self) -> "Refusals":
        from mutualgate.store.refusals import Refusals

        return Refusals(self._connection)

    @cached_property
    def seen(self) -> "Seen":
        from mutualgate.store.seen import Seen

        return Seen(self._connection)

    @cached_property
    def settings(self) -> "Settings":
        from mutualgate.store.settings import Settings

        return Settings(self._connection)

    @cached_property
    def trust(self) -> "Trust":
        from mutualgate.store.trust import Trust

        return Trust(self._connection, self.changes, self.credentials)

    @cached_property
    def outbox(self) -> "Outbox":
        from mutualgate.store.outbox import Outbox

        return Outbox(self._connection)

    @cached_property
    def expiring(self) -> "ExpiringRows":
        from mutualgate.store.expiring import ExpiringRows

        return ExpiringRows(self._connection)

    @cached_property
    def foreign(self) -> "Foreign":
        from mutualgate.store.foreign import Foreign

        return Foreign(self._connection, self.changes)


class Store:
    """An open store. Threads may share it, and other processes may have the same one open."""

    def __init__(self, engine: Engine, path: Path, clock: Clock) -> None:
        self._engine = engine
        self.path = path
        self.clock = clock

    @classmethod
    def open(
        cls, path: Path, clock: Clock, *, create: bool = True, migrating: Migrating = lambda old, new: nullcontext()
    ) -> "Store":
        """Opens the store in the file at `path` and brings it to the newest version, if `migrating` lets it; creates it
        unless told not to.

        Raises `NotFound`, `BadInput` for a file that is none of ours or of a newer program, `Corrupt`, `Unavailable`.
        """
        engine = sqlite.engine(path, create=create)
        try:
            bring_up_to_date(engine, path, migrating)
        except DBAPIError as error:
            engine.dispose()
            raise sqlite.meaning(error, path) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, path, clock)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that writes: the only one while it lasts, in all processes; committed durably at the end.

        An exception undoes it. Waits for another writer for at most `sqlite.BUSY_SECONDS`, then `Unavailable`.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            transaction = Transaction(connection)
            yield transaction
            transaction.changes.write()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that only reads: one consistent state, and nobody waits for it. To write in it is an error."""
        with self._translated(), self._engine.connect() as connection:
            connection = connection.execution_options(**{sqlite.READ_ONLY: True})
            with connection.begin():
                yield Transaction(connection)

    @contextmanager
    def rehearsal(self) -> Iterator["Store"]:
        """A store in which everything can be tried: what is done in it is seen by it alone, and never kept.

        Others that write wait until it ends, as for a transaction, so let it be short. For one thread.
        """
        with self._translated(), self._engine.connect() as connection:
            tried = connection.begin()
            try:
                yield _Rehearsal(self, connection)
            finally:
                tried.rollback()

    def epoch(self) -> int:
        """The number of the last change: what a running gate compares with its own."""
        with self.reading() as tx:
            return tx.changes.epoch()

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise sqlite.meaning(error, self.path) from error


class _Rehearsal(Store):
    """A store within a transaction that is given up in the end; its transactions are savepoints."""

    def __init__(self, store: Store, connection: Connection) -> None:
        super().__init__(store._engine, store.path, store.clock)
        self._within = connection

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._translated(), self._within.begin_nested():
            transaction = Transaction(self._within)
            yield transaction
            transaction.changes.write()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._translated():
            yield Transaction(self._within)

    def close(self) -> None:
        """The file is the other's."""
