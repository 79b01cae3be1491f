"""Fixtures for every test: a clock that moves when told, and a store in a folder of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import Passphrase
from mutualgate.authorities.service import Authorities
from mutualgate.gate import most_of_a_name
from mutualgate.store import Store


class Hands:
    """A clock: stands still at `pki.NOW` until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def store(tmp_path: Path, clock: Hands) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.sqlite3", clock)
    yield opened
    opened.close()


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing(lambda: Passphrase(b"a passphrase for tests", "the tests"))


@pytest.fixture
def authorities(store: Store, keys: KeyRing) -> Authorities:
    """The service, with our root and issuing authority made."""
    service = Authorities(
        store, keys, lambda: Policy(crl_url="http://gate.test/crl"), by="test", most_of_a_name=most_of_a_name
    )
    service.create()
    return service
