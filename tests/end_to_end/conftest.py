"""The gate and the services that the end-to-end tests share, started once for each worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end import forge
from end_to_end.estate import Estate, sites
from end_to_end.forge import Identity
from end_to_end.gate import running_gate
from end_to_end.process import free_port
from end_to_end.recorder import Recorder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Recorder]:
    with Recorder() as server:
        yield server


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    adopted = forge.authority(folder / "adopted")
    dead = f"http://127.0.0.1:{free_port()}"
    with running_gate(folder / "gate", sites(upstream.url, dead), standby=True) as gate:
        gate.command("ca", "adopt", "--cert", adopted.certificate_file, "--key", adopted.key_file)
        alice, operator = gate.client("alice"), gate.client("operator", "admin")
        yield Estate(gate, upstream, adopted, alice, operator, folder)


@pytest.fixture
def alice(estate: Estate) -> Identity:
    return estate.alice


@pytest.fixture
def operator(estate: Estate) -> Identity:
    return estate.operator


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Path:
    """Where pictures are left for a person to look at: `d/screenshots` in pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    return cache.mkdir("screenshots")
