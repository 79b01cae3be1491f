"""An installation for each test, copied from one that is made once."""

from pathlib import Path

import installation
import pytest
from installation import Installation


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation.make(tmp_path_factory.mktemp("template") / "gate")


@pytest.fixture
def installed(template: Installation, tmp_path: Path) -> Installation:
    return installation.copy(template, tmp_path / "gate")
