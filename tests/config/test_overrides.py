"""Flags of the command line over a configuration."""

from pathlib import Path
from typing import Any

import pytest

from mutualgate.config import PORTAL, Address, Upstream, load, parse, with_overrides
from mutualgate.errors import BadInput

TWO_SITES = """
[[sites]]
name = "a"
hosts = ["a.example"]
[[sites.routes]]
path = "/"
upstream = "http://127.0.0.1:1"
[[sites]]
name = "b"
hosts = ["b.example"]
[[sites.routes]]
path = "/"
upstream = "http://127.0.0.1:2"
"""


def test_what_flags_say_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = load("/nowhere/mutualgate.toml")
    after = with_overrides(
        before,
        listen="0.0.0.0:9443",
        plain_listen=[],
        ops_listen=["127.0.0.1:9481", "127.0.0.1:9481"],
        workers=2,
        access_log="a.log",
        hosts=["GATE.example", "localhost"],
        upstream="unix:app.sock",
    )
    assert after.gate.listen == (Address("0.0.0.0", 9443),)
    assert after.gate.plain_listen == ()
    assert after.gate.ops_listen == (Address("127.0.0.1", 9481),)
    assert after.gate.workers == 2
    assert after.gate.access_log == tmp_path / "a.log"
    assert after.sites[0].hosts == ("localhost", "127.0.0.1", "::1", "gate.example")
    assert after.destinations == (Upstream(f"unix:{tmp_path}/app.sock"), PORTAL)
    assert before == load("/nowhere/mutualgate.toml")


def test_without_flags_nothing_changes() -> None:
    config = parse(TWO_SITES)
    assert with_overrides(config) == config


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"listen": "8443"}, '--listen: found "8443"; expected an IP address and a port'),
        ({"listen": []}, "--listen: there is none; expected at least one address"),
        ({"listen": "127.0.0.1:8480"}, "--listen: 127.0.0.1:8480 overlaps 127.0.0.1:8480 of gate.listen[0]"),
        ({"workers": -1}, "--workers: found the number -1"),
        ({"hosts": ["*.example"]}, "--host: found"),
        ({"hosts": ["b.example"]}, '--host: "b.example" already belongs to sites[0]'),
        ({"upstream": "https://a/x"}, '--upstream: found "https://a/x"'),
        ({"upstream": "http://127.0.0.1:3"}, "--upstream: there are 2 routes in mutualgate.toml"),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        with_overrides(parse(TWO_SITES), **flags)
    assert str(caught.value).startswith(sentence)


def test_an_upstream_that_is_the_gate_itself_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^--upstream: .* is the gate's own listen"):
        with_overrides(load("/nowhere/mutualgate.toml"), upstream="http://127.0.0.1:8443")
