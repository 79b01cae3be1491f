"""The Autobahn test suite of WebSocket, through the gate and without it; skipped where it is not installed.

The gate is neither end of a WebSocket. So each case runs three times, with the suite's own end on the other side:
directly, through the gate over HTTP/1.1, and through it over HTTP/2. All three have to come out the same.

The suite shows no client certificate: `relay.mjs` does that for it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from end_to_end.gate import running_gate
from end_to_end.process import Running, answers, free_port, running

PROGRAM = shutil.which("wstest")
NODE = shutil.which("node")
RELAY = Path(__file__).with_name("relay.mjs")

# Without the performance of the two ends (9), and a few of the 216 about compression: those take hours.
# AUTOBAHN_CASES says otherwise: "*" is all.
CASES = os.environ.get(
    "AUTOBAHN_CASES", "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*,12.1.1,12.1.10,12.2.1,13.1.1,13.2.1,13.3.1,13.7.1"
).split(",")

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="python2.7 -m pip install autobahntestsuite"),
    pytest.mark.skipif(NODE is None, reason="apt install nodejs"),
    pytest.mark.timeout(7200),
]


@dataclass(frozen=True)
class Ways:
    """The ports that lead to the port `service`, on which nobody listens yet."""

    service: int
    ports: dict[str, int]


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    service = free_port()
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "http://127.0.0.1:{service}" }}]
"""
    with ExitStack() as stack:
        gate = stack.enter_context(running_gate(tmp_path / "gate", sites))
        alice = gate.client("alice")
        ports = {"direct": service}
        for how in ("h1", "h2"):
            proof: list[str | Path] = [str(gate.port), alice.certificate, alice.key, gate.root, f"localhost:{service}"]
            relay = stack.enter_context(
                running(f"relay {how}", [str(NODE), RELAY, how, *proof], tmp_path / f"{how}.log")
            )
            ports[how] = listening_port(relay)
        yield Ways(service, ports)


def listening_port(relay: Running) -> int:
    """What a relay says first."""
    relay.wait_for(lambda: relay.text().endswith("\n"))
    return int(relay.text())


def wstest(log: Path, *arguments: str | Path) -> None:
    """Runs the suite until it is done."""
    with log.open("wb") as sink:
        done = subprocess.run([str(PROGRAM), *arguments], stdout=sink, stderr=subprocess.STDOUT, cwd=log.parent)
    assert done.returncode == 0, log.read_text()[-2000:]


def outcomes(folder: Path) -> dict[str, dict[str, tuple[Any, ...]]]:
    """What came out, by way and case."""
    index = json.loads((folder / "index.json").read_text())
    return {
        way: {
            case: tuple(result[key] for key in ("behavior", "behaviorClose", "remoteCloseCode"))
            for case, result in cases.items()
        }
        for way, cases in index.items()
    }


def check(found: dict[str, dict[str, tuple[Any, ...]]]) -> None:
    assert set(found) == {"direct", "h1", "h2"}
    assert len(found["direct"]) > 200 or "AUTOBAHN_CASES" in os.environ
    assert not [case for case, (behavior, *_) in found["direct"].items() if behavior == "FAILED"]
    for way in ("h1", "h2"):
        assert {
            case: (found[way].get(case), out) for case, out in found["direct"].items() if found[way].get(case) != out
        } == {}


def test_a_service_is_reached_as_if_the_gate_were_not_there(ways: Ways, tmp_path: Path) -> None:
    servers = [{"agent": way, "url": f"ws://localhost:{port}"} for way, port in ways.ports.items()]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"outdir": str(tmp_path), "servers": servers, "cases": CASES, "exclude-cases": [],
                                "exclude-agent-cases": {}}))  # fmt: skip
    echo = [str(PROGRAM), "-m", "testeeserver", "-w", f"ws://localhost:{ways.service}", "-u", "0"]
    with running("testeeserver", echo, tmp_path / "server.log") as program:
        program.wait_for(lambda: answers(ways.service))
        wstest(tmp_path / "client.log", "-m", "fuzzingclient", "-s", spec)
    check(outcomes(tmp_path))


def test_a_client_is_reached_as_if_the_gate_were_not_there(ways: Ways, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"url": f"ws://localhost:{ways.service}", "outdir": str(tmp_path), "cases": CASES,
                                "exclude-cases": [], "exclude-agent-cases": {}}))  # fmt: skip
    suite: list[str | Path] = [str(PROGRAM), "-m", "fuzzingserver", "-s", spec, "-u", "0"]
    with running("fuzzingserver", suite, tmp_path / "server.log") as program:
        program.wait_for(lambda: answers(ways.service))
        for way, port in ways.ports.items():
            wstest(tmp_path / f"{way}.log", "-m", "testeeclient", "-w", f"ws://localhost:{port}", "-i", way)
    check(outcomes(tmp_path))
