"""The portal behind the gate: everybody gets there, whatever the gate says of them elsewhere."""

import signal
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from end_to_end import forge
from end_to_end.forge import DAY, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.refusal import assert_refused

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]

[[sites]]
name = "close"
hosts = ["close.test"]
on_refusal = "close"
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("portal") / "gate", SITES) as gate:
        yield gate


@pytest.fixture(scope="module")
def visitors(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity | None]:
    folder = tmp_path_factory.mktemp("visitors")
    other = forge.authority(folder / "other")
    return {
        "nobody": None,
        "stranger": forge.leaf(folder, other, "stranger"),
        "expired": forge.leaf(folder, other, "expired", not_before=-9 * DAY, not_after=-DAY),
        "client": gate.client("client"),
    }


@pytest.mark.parametrize("host", ["localhost", "close.test"])
@pytest.mark.parametrize("who", ["nobody", "stranger", "expired", "client"])
def test_everybody_reaches_the_portal(gate: Gate, visitors: dict[str, Identity | None], who: str, host: str) -> None:
    answer = gate.get("/join/no-such-page", visitors[who], host=host)
    assert answer.status == 404
    assert answer.header("mutualgate-refusal") is None


def test_the_route_beside_it_stays_shut(gate: Gate, visitors: dict[str, Identity | None]) -> None:
    assert_refused(gate.get("/hello", visitors["stranger"]), "unknown_issuer")
    assert gate.get("/hello", visitors["client"]).status == 200


def seen(gate: Gate) -> dict[str, tuple[str, int | None, bool]]:
    """What the store has of each certificate that was shown, by its subject."""
    with closing(sqlite3.connect(f"file:{gate.folder}/store.sqlite3?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT subject, reason, client, admitted_at IS NOT NULL FROM seen").fetchall()
    return {subject: (reason, client, bool(admitted)) for subject, reason, client, admitted in rows}


def test_the_first_good_handshake_is_known_at_once(gate: Gate) -> None:
    late = gate.client("late")
    gate.command("client", "suspend", "late")
    assert gate.get("/join/x", late).status == 404
    gate.program.wait_for(lambda: seen(gate).get("CN=late", ("", None, False))[0] == "client_suspended", 15)
    gate.command("client", "resume", "late")
    assert gate.get("/hello", late).status == 200
    gate.program.wait_for(lambda: seen(gate)["CN=late"][0] == "" and seen(gate)["CN=late"][2], 15)


def test_who_shows_another_s_certificate_was_not_seen_with_it(
    gate: Gate, visitors: dict[str, Identity | None], tmp_path: Path
) -> None:
    """A key that is too weak proves nothing, so the handshake goes on unproven: the page can say why it is refused."""
    weak = forge.leaf(tmp_path, forge.authority(tmp_path / "other"), "weak", kind="rsa1024")
    assert gate.get("/join/x", weak).status == 404
    assert gate.get("/join/x", visitors["expired"]).status == 404
    gate.program.wait_for(lambda: "CN=expired" in seen(gate), 15)
    assert "CN=weak" not in seen(gate)


def test_nobody_but_the_gate_can_speak_to_it(gate: Gate) -> None:
    socket = next((gate.folder / "run").glob("*/portal.sock"))
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_route_to_it_can_come_while_the_gate_runs(tmp_path: Path) -> None:
    sites = '[[sites]]\nname = "main"\nhosts = ["localhost"]\n[[sites.routes]]\npath = "/"\nupstream = "demo"\n'
    with running_gate(tmp_path / "gate", sites) as gate:
        assert_refused(gate.get("/in/x"), "no_certificate")
        file = gate.folder / "mutualgate.toml"
        file.write_text(f'{file.read_text()}[[sites.routes]]\npath = "/in"\nupstream = "portal"\n')
        gate.program.process.send_signal(signal.SIGHUP)
        gate.program.wait_for(lambda: gate.get("/in/x").status == 404, 15)
