"""Builds every service once, of one folder. Whoever needs a service asks here; nobody else puts them together."""

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from mutualgate.app.folder import Folder
from mutualgate.clock import Clock, system_clock
from mutualgate.config import Config, load

if TYPE_CHECKING:
    from mutualgate.authorities import Authorities
    from mutualgate.authorities.keys import Passphrase
    from mutualgate.clients import Clients
    from mutualgate.enrolment import Enrolment
    from mutualgate.store import Store


class Services:
    """The services of one folder. Each is made when it is first asked for, so that a command imports what it needs."""

    def __init__(
        self, folder: Folder, *, clock: Clock = system_clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.clock = clock
        self._environment = os.environ if environment is None else environment

    @cached_property
    def by(self) -> str:
        """Who acts, for the audit log: the user of this process."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    @cached_property
    def config(self) -> Config:
        """mutualgate.toml, or its defaults. Raises `BadInput`."""
        return load(self.folder.config)

    @cached_property
    def store(self) -> "Store":
        from mutualgate.store import Store

        return Store.open(self.folder.store, self.clock)

    @cached_property
    def passphrase(self) -> "Passphrase":
        from mutualgate.authorities.keys import find_passphrase

        return find_passphrase(self.folder.path, self._environment)

    @cached_property
    def clients(self) -> "Clients":
        from mutualgate.clients import Clients

        return Clients(self.store, self.by)

    def close(self) -> None:
        """Closes the store, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


@contextmanager
def services(folder: Folder) -> Iterator[Services]:
    """The services of an installation that is there; closed at the end. Raises `BadInput` where there is none."""
    folder.require()
    made = Services(folder)
    try:
        yield made
    finally:
        made.close()
