"""An installation for each test, copied from one that is made once."""

from collections.abc import Iterator
from pathlib import Path

import installation
import pytest
from installation import Installation

from mutualgate.app import Services


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation.make(tmp_path_factory.mktemp("template") / "gate")


@pytest.fixture
def installed(template: Installation, tmp_path: Path) -> Installation:
    return installation.copy(template, tmp_path / "gate")


@pytest.fixture
def services(installed: Installation) -> Iterator[Services]:
    made = installed.services()
    yield made
    made.close()
