"""What is said once the gate is open."""

from types import SimpleNamespace
from typing import cast

import pytest

from mutualgate.app.runner import Runner
from mutualgate.cli.opened import url_of


@pytest.mark.parametrize(
    ("hosts", "listening", "url"),
    [
        (["gate.example", "localhost"], "0.0.0.0:8443", "https://localhost:8443"),
        (["gate.example"], "0.0.0.0:443", "https://gate.example"),
        (["::1"], "[::1]:9443", "https://[::1]:9443"),
        (["192.0.2.1"], "192.0.2.1:443", "https://192.0.2.1"),
    ],
)
def test_the_address_is_one_that_a_client_can_use(hosts: list[str], listening: str, url: str) -> None:
    config = SimpleNamespace(sites=[SimpleNamespace(hosts=hosts)])
    assert url_of(cast(Runner, SimpleNamespace(config=config, listening=[listening]))) == url
