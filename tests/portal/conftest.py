"""A portal over a store of its own, whose clock is the tests'."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import Hands

from mutualgate.app import Folder, Services
from mutualgate.portal.application import application

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@pytest.fixture
def services(tmp_path: Path, clock: Hands) -> Iterator[Services]:
    folder = Folder(tmp_path / "portal")
    folder.create()
    made = Services(folder, clock=clock, environment={"MUTUALGATE_PASSPHRASE": "a passphrase for tests"})
    made.authorities.create()
    yield made
    made.close()


@pytest.fixture
def portal(services: Services, clock: Hands) -> "ASGIApp":
    return application(services, clock, lambda: ["/join"])
