"""`mutualgate pin`, each verb, for people and for programs."""

from pathlib import Path
from typing import Any

import pki
import pytest
from commands import Run
from installation import Installation


def own(folder: Path, name: str = "own", **anything: Any) -> Path:
    path = folder / f"{name}.pem"
    path.write_bytes(pki.leaf(None, name, now=pki.real_now(), **anything).pem)
    return path


def test_a_certificate_of_ones_own_comes_in(cli: Run, tmp_path: Path) -> None:
    path = own(tmp_path, ca=True, eku=None)
    assert cli("decide", "--cert", path, "--json").json["verdict"] == "refused"
    said = cli("pin", "add", "first-client", path)
    assert said.code == 0, said.err
    assert said.out.startswith("Pin 1: this certificate is first-client's until ")
    assert "CA:TRUE" in said.out
    assert ".NET" in said.out
    decided = cli("decide", "--cert", path, "--json").json
    assert (decided["verdict"], decided["client"], decided["authority"]) == ("admitted", "first-client", "pin")
    listed = cli("pin", "list", "first-client").out.splitlines()
    assert listed[1].split()[:4] == ["1", "first-client", "certificate", "active"]


def test_an_environment_that_no_site_has_is_remarked_on(cli: Run, installed: Installation, tmp_path: Path) -> None:
    """A word that was mistyped would keep its holder out, and nobody would know why."""
    said = cli("pin", "add", "first-client", own(tmp_path), "--environment", "tset")
    assert said.code == 0
    assert "No site in mutualgate.toml is of the environment tset yet" in said.out
    installed.config.write_text(installed.config.read_text().replace("hosts =", 'environment = "tset"\nhosts ='))
    assert "No site" not in cli("pin", "add", "first-client", own(tmp_path, "next"), "--environment", "tset").out


def test_a_pin_retires_renews_and_is_replaced(cli: Run, tmp_path: Path) -> None:
    path = own(tmp_path)
    cli("pin", "add", "first-client", path)
    assert cli("pin", "retire", "1").out.startswith("The pin 1 is retired; ")
    decided = cli("decide", "--cert", path, "--json").json
    assert (decided["verdict"], decided["reason"]) == ("refused", "pin_retired")
    ended = cli("pin", "list", "--json").json["pins"][0]["retired"][:10]
    assert cli("pin", "list").out.splitlines()[1].split()[3:5] == ["retired", ended]
    assert cli("pin", "renew", "1", "--json").json["state"] == "active"
    assert cli("decide", "--cert", path, "--json").json["verdict"] == "admitted"
    added = cli("pin", "add", "first-client", own(tmp_path, "next"), "--replaces", "1", "--overlap", "7d", "--json")
    assert added.json["replaces"] == 1
    assert cli("pin", "list", "--json").json["pins"][0]["not_after"] < added.json["not_after"]


def test_a_client_is_shown_with_its_pins_and_loses_them(cli: Run, tmp_path: Path) -> None:
    cli("pin", "add", "first-client", own(tmp_path))
    shown = cli("client", "show", "first-client")
    assert "certificate" in shown.out.splitlines()[-1]
    assert cli("client", "show", "first-client", "--json").json["pins"][0]["state"] == "active"
    said = cli("client", "revoke", "first-client")
    assert said.out.startswith("1 certificate revoked (")
    assert ", 1 pin retired (1); " in said.out
    cli("pin", "renew", "1")
    alone = cli("client", "revoke", "first-client", "--json").json
    assert (alone["revoked"], alone["pins_retired"]) == ([], [1])


def test_a_compromised_certificate_names_the_pins_that_go_with_it(cli: Run, tmp_path: Path) -> None:
    key = pki.fresh_key()
    cli("pin", "add", "first-client", own(tmp_path, "own", key=key))
    (tmp_path / "a.csr").write_bytes(pki.csr(key))
    cli("client", "sign", "first-client", "--csr", tmp_path / "a.csr", "--out", tmp_path / "a.crt")
    said = cli("client", "revoke", "--certificate", tmp_path / "a.crt", "--reason", "keyCompromise")
    assert said.out.startswith("1 certificate revoked (")
    assert ", 1 pin retired (1); " in said.out


def test_a_key_is_pinned_alone(cli: Run, tmp_path: Path) -> None:
    key = pki.fresh_key()
    one, two = own(tmp_path, "one", key=key), own(tmp_path, "two", key=key)
    assert cli("pin", "add", "first-client", one, "--key", "--json").json["kind"] == "key"
    assert cli("decide", "--cert", two, "--json").json["verdict"] == "admitted"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "nobody", "own.pem"), "no client"),
        (("add", "first-client", "both.pem"), "private key"),
        (("add", "first-client", "own.pem", "--until", "tomorrow"), "--until"),
        (("add", "first-client", "own.pem", "--replaces", "1", "--overlap", "7"), "--overlap"),
        (("add", "first-client", "own.pem", "--environment", "A B"), "environment"),
        (("add", "first-client", "own.pem", "--replaces", "9"), "no pin"),
        (("add", "first-client", "/nowhere"), "/nowhere"),
        (("retire", "9"), "no pin"),
        (("renew", "9"), "no pin"),
        (("list", "nobody"), "no client"),
    ],
)
def test_wrong_use_is_one_sentence(cli: Run, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    path = own(tmp_path)
    (tmp_path / "both.pem").write_bytes(path.read_bytes() + pki.key_pem(pki.fresh_key()))
    said = cli("pin", *(tmp_path / word if word.endswith(".pem") else word for word in words))
    assert said.code == 2
    assert says in said.err
    assert len(said.err.splitlines()) == 1
