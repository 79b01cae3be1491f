"""A client that publishes its keys, at a gate that runs: by https, by itself, over a restart, and hijacked (R27)."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pki
import pytest
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate, up
from published import https_publisher, jwk, jwks, with_certificate
from publisher import Publisher

pytestmark = pytest.mark.timeout(300)  # many commands, each a program of its own

SITES = """[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }]
"""


class Own:
    """A self-signed certificate of somebody."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(exist_ok=True)
        self.issued = pki.leaf(None, name, now=pki.real_now())
        self.identity = Identity(*self.issued.write(folder, name))

    @property
    def published(self) -> dict[str, object]:
        return with_certificate(self.issued)


def reason(gate: Gate, own: Own) -> str | None:
    response = gate.get("/hello", own.identity, [("Accept", "application/json")])
    return None if response.status == 200 else str(response.json()["reason"])


def until(what: Callable[[], bool]) -> None:
    """Waits for what the gate does by itself; the test's timeout is the limit."""
    while not what():
        time.sleep(0.2)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    with https_publisher(tmp_path, monkeypatch) as server:
        yield server


def test_a_gate_that_runs(server: Publisher, tmp_path: Path) -> None:
    anna, next_one, stranger = (Own(tmp_path / "own", name) for name in ("anna", "next", "stranger"))
    ben = Own(tmp_path / "own", "ben")
    url = server.put("/jwks", jwks(anna.published))
    with running_gate(tmp_path / "gate", SITES) as gate:
        gate.command("client", "add", "anna")
        gate.command("client", "add", "ben")
        gate.command("pin", "add", "ben", ben.identity.certificate)
        # Held, whatever is published; approved, at once.
        gate.command("client", "keys", "watch", "anna", url, "--private")
        assert reason(gate, anna) == "unknown_issuer"
        assert gate.command("client", "keys", "approve", "anna", "1").json["in_force"]
        assert reason(gate, anna) is None
        # The gate fetches by itself; without a hold, the next one counts within seconds.
        server.put("/jwks", jwks(anna.published, next_one.published))
        watched = gate.command("client", "keys", "watch", "anna", url, "--private", "--hold", "8s").json
        assert [one["state"] for one in watched["found"]] == ["waiting"]
        assert reason(gate, next_one) == "unknown_issuer"
        until(lambda: reason(gate, next_one) is None)
        # Hijacked: another's key, none of its own any more. Nothing goes, nobody else is touched, nobody comes.
        gate.command("client", "keys", "watch", "anna", url, "--private", "--hold", "1d")
        server.put("/jwks", jwks(ben.published, jwk(ben.issued.key), stranger.published))
        gate.command("client", "keys", "fetch", "anna")
        states = [one["state"] for one in gate.command("client", "keys", "list", "anna").json["keys"]]
        assert states == ["pinned", "pinned", "refused", "refused", "waiting"]
        assert [reason(gate, one) for one in (anna, next_one, ben)] == [None, None, None]
        assert reason(gate, stranger) == "unknown_issuer"
        who = gate.get("/hello", ben.identity, [("Accept", "application/json")]).json()
        assert "ben" in str(who)
        # Suspended: neither what it has nor what it publishes lets it in.
        gate.command("client", "suspend", "anna")
        assert reason(gate, anna) == "client_suspended"
        assert gate.command("client", "keys", "fetch", "anna", check=False).code == 2
        assert gate.command("client", "keys", "approve", "anna", "5", check=False).code == 2
        assert [reason(gate, one) for one in (anna, stranger)] == ["client_suspended", "unknown_issuer"]
        ports = gate.port, gate.plain_port, gate.ops_port
    # Started anew: what waits, waits; what is due is fetched.
    with up(tmp_path / "gate", *ports) as gate:
        gate.command("client", "resume", "anna")
        server.put("/jwks", jwks(anna.published, jwk(pki.fresh_key(), d="AA")))
        with pytest.raises(AssertionError, match="private or symmetric"):
            gate.command("client", "keys", "fetch", "anna")
        assert reason(gate, anna) is None
        assert reason(gate, stranger) == "unknown_issuer"
        until(lambda: gate.command("status").json["key_sets"]["failing"] == 1)
        assert "private or symmetric" in str(gate.command("status").json["key_sets"]["problems"])
        until(lambda: 'mutualgate_key_sets{state="failing"} 1' in metrics(gate))


def metrics(gate: Gate) -> str:
    url = f"http://127.0.0.1:{gate.ops_port}/metrics"
    return subprocess.run(["curl", "-sf", url], capture_output=True, text=True, check=True).stdout
