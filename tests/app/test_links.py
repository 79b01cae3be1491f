"""The address of the portal."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from installation import Installation

from mutualgate.app import answering, control
from mutualgate.app.links import portal_url
from mutualgate.config import parse
from mutualgate.errors import NotFound

ROUTES = 'routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]'


def url(more: str = "", hosts: str = '"localhost", "gate.example"', routes: str = ROUTES, *listening: str) -> str:
    text = f'{more}\n[[sites]]\nname = "main"\nhosts = [{hosts}]\n{routes}\n'
    return portal_url(parse(text), lambda: listening)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('[gate]\nlisten = ["0.0.0.0:8443", "0.0.0.0:9443"]', "https://gate.example:8443/join"),
        ('[gate]\nlisten = ["0.0.0.0:443"]', "https://gate.example/join"),
        ('[gate]\nlisten = ["127.0.0.1:8443"]', "https://localhost:8443/join"),
        ('[portal]\nurl = "https://enter.example/in/"', "https://enter.example/in"),
    ],
)
def test_links_begin_with_what_people_reach(more: str, expected: str) -> None:
    assert url(more) == expected


@pytest.mark.parametrize(
    ("listening", "expected"),
    [
        (("127.0.0.1:9443", "0.0.0.0:8443"), "https://localhost:9443/join"),
        (("[::1]:9443",), "https://localhost:9443/join"),
        (("0.0.0.0:443",), "https://gate.example/join"),
        ((), "https://localhost:8443/join"),
    ],
)
def test_where_a_gate_runs_its_own_address_counts(listening: tuple[str, ...], expected: str) -> None:
    hosts = '"localhost", "gate.example"'
    assert url('[gate]\nlisten = ["127.0.0.1:8443"]', hosts, ROUTES, *listening) == expected


def test_a_site_of_its_own_and_an_address() -> None:
    other = 'routes = [{ path = "/", upstream = "demo" }]\n[[sites]]\nname = "join"\nhosts = ["join.example"]\n'
    own = 'routes = [{ path = "/", upstream = "portal" }]'
    assert url(routes=other + own) == "https://join.example:8443"
    assert url(hosts='"::1"') == "https://[::1]:8443/join"


def test_without_a_route_there_is_no_link() -> None:
    with pytest.raises(NotFound, match="portal"):
        url(routes='routes = [{ path = "/", upstream = "demo" }]')


def test_a_chosen_port_is_known_while_the_gate_runs(installed: Installation) -> None:
    installed.config.write_text('[gate]\nlisten = ["127.0.0.1:0"]\n')
    services = installed.services()
    with pytest.raises(NotFound, match="is not known before it runs"):
        services.base_url()
    services.listening = ["127.0.0.1:40123"]
    assert services.base_url() == "https://localhost:40123/join"
    services.close()


def test_the_gate_of_another_process_is_asked_once(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags for one run are not in mutualgate.toml."""
    installed.config.write_text('[gate]\nlisten = ["127.0.0.1:8443"]\n')
    questions = []

    async def running() -> Mapping[str, Any]:
        questions.append("running")
        return {"listening": ["127.0.0.1:9443"]}

    async def run() -> None:
        with answering.listener(installed.folder) as listener:
            server = answering.Server(listener, {"running": running})
            try:
                assert (
                    await asyncio.to_thread(lambda: [services.base_url(), services.base_url()])
                    == ["https://localhost:9443/join"] * 2
                )
            finally:
                server.close()

    services = installed.services()
    asyncio.run(run())
    services.close()
    assert questions == ["running"]
    alone = installed.services()
    assert alone.base_url() == "https://localhost:8443/join", "no gate runs"
    alone.close()
    monkeypatch.setattr(control, "ask", pytest.fail)
    own = installed.services()
    own.has_claim = True
    assert own.base_url() == "https://localhost:8443/join", "this process is to be the gate"
    own.close()
