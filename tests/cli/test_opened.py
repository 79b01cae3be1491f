"""What is said once the gate is open."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mutualgate.app import Services
from mutualgate.app.runner import Runner
from mutualgate.app.setup import FirstClient
from mutualgate.cli.opened import facts, text, url_of
from mutualgate.config import parse


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


OWN = 'certificate = "shop.pem"\nkey = "shop.key"'


@pytest.mark.parametrize(
    ("own", "routes", "said", "unsaid"),
    [
        ("", '{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }',
         ["--cacert gate/root.pem", "trust gate/root.pem as", "https://a.example/hello", "invite partner-7"],
         ["client p12"]),
        (OWN, '{ path = "/", upstream = "http://127.0.0.1:8080" }',
         ["\n  then open https://a.example/\n", "client p12 partner-7 --out partner-7.p12 --dir gate"],
         ["root.pem", "invite", "/hello"]),
    ],
)  # fmt: skip
def test_what_is_to_be_tried_is_what_the_settings_allow(
    own: str, routes: str, said: list[str], unsaid: list[str]
) -> None:
    config = parse(f'[[sites]]\nname = "a"\nhosts = ["a.example"]\n{own}\nroutes = [{routes}]\n')
    runner = cast(Runner, SimpleNamespace(config=config, listening=["0.0.0.0:443"]))
    folder = SimpleNamespace(path=Path("gate"), root=Path("gate/root.pem"))
    keys = SimpleNamespace(passphrase=SimpleNamespace(source="a file"))
    services = cast(Services, SimpleNamespace(folder=folder, keys=keys))
    first = FirstClient("first-client", Path("gate/first-client.p12"), "secret")
    shown = text(services, runner, url_of(runner), first)
    assert [one for one in said if one not in shown] == []
    assert [one for one in unsaid if one in shown] == []
    assert ("--cacert" in facts(services, runner, url_of(runner), first)["curl"]) == (not own)
