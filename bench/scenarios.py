"""What is measured: each scenario is a way to set a subject up (Options) and a way to measure it (a function of a Rig).

A measure returns a Reading or raises Invalid; an error or a wrong status in the load is always Invalid.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import process

HERE = Path(__file__).resolve().parent
LOAD = HERE / "load" / "mtls-load"
MANY_CONNECTIONS = min(50_000, process.raise_file_limit() - 2_000)
"""Idle connections in Dmany: 50,000, or all for which one process may have files."""
SOURCES = 4  # addresses 127.0.0.x that many connections come from: each has some 28,000 ports
RELOADS = 20
SERVER_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True)
class Options:
    """How a subject is to be set up; handed to its start()."""

    ca: Path  # PEM bundle of the client CAs
    crl: Path | None = None  # PEM CRL of the root: check it for the whole chain
    hints: bool = True  # name the client CAs in the CertificateRequest
    direct: bool = False  # serve /1k and /10m (from `files`) itself instead of forwarding to the upstream
    files: Path | None = None  # the folder with the files 1k and 10m
    workers: int = 1  # worker processes or threads
    connections: int = 9_000  # open at once, at most; HAProxy asks for two files for each


class Target(Protocol):
    """What the load is sent to: a port, and the folder with the certificates."""

    pki: Path
    port: int


@dataclass
class Rig:
    """A running subject under load."""

    subject: Any
    process: subprocess.Popen[bytes]
    folder: Path
    pki: Path
    port: int
    options: Options
    seconds: float

    def cpu(self) -> float:
        return process.cpu_seconds(self.process.pid)


Running = Callable[..., AbstractContextManager[Rig]]
"""Runs the subject on the cores given, with a worker for each."""


@dataclass
class Reading:
    """One repeat of one cell: the value in the scenario's unit, and what else was seen."""

    value: float
    units: int
    detail: dict[str, Any] = field(default_factory=dict)


class Invalid(Exception):
    """The load met an error, a wrong status, or not what the scenario is about."""


# --- load ---


def load_command(
    to: Target,
    mode: str,
    path: str = "/1k",
    connections: int = 16,
    client: str | None = "client",
    extra: Sequence[object] = (),
) -> list[str]:
    """The command line of the load generator; `client` None means without a certificate."""
    identity = ["-E", f"{to.pki}/{client}.pem", "-K", f"{to.pki}/{client}.key"] if client else []
    return [
        str(LOAD),
        "-m",
        mode,
        "-p",
        str(to.port),
        "-u",
        path,
        "-c",
        str(connections),
        "-C",
        f"{to.pki}/root.pem",
        *identity,
        *map(str, extra),
    ]


@dataclass(frozen=True)
class Load:
    """A load generator that is ready."""

    stdin: IO[str]
    stdout: IO[str]

    def go(self) -> None:
        """Lets it begin."""
        self.stdin.write("g")
        self.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What it says when it has ended."""
        found: dict[str, Any] = json.loads(self.stdout.readline())
        return found


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator["Load"]:
    """The load generator, run up to its READY line."""
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdin is not None
    assert load.stdout is not None
    with load.stdin, load.stdout:
        try:
            line = load.stdout.readline()
            if line.strip() != "READY":
                raise Invalid(_reason(line))
            yield Load(load.stdin, load.stdout)
        finally:
            load.kill()
            load.wait()


def _reason(line: str) -> str:
    try:
        return str(json.loads(line).get("error") or "load failed")
    except ValueError:
        return "load failed"


def one_request(rig: Rig, client: str | None = "client", seconds: int = 5) -> str | None:
    """Send one request on a new connection; returns None if it was answered with 200, else what went wrong."""
    command = load_command(rig, "handshake", connections=1, client=client, extra=("-n", 1, "-t", seconds))
    answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60).stdout
    try:
        result = json.loads(answer)
    except ValueError:
        return "load failed"
    return None if result["units"] >= 1 else str(result["error"] or "no answer")


def probe(rig: Rig) -> None:
    """Refuse to measure a subject that does not do its job: serve our client, and nobody else."""
    if reason := one_request(rig):
        raise Invalid(reason)
    if one_request(rig, client=None, seconds=1) is None:
        raise Invalid("answers 200 without a client certificate")
    if one_request(rig, client="stranger", seconds=1) is None:
        raise Invalid("answers 200 to a certificate of an unknown CA")
    if rig.options.crl and one_request(rig, client="revoked", seconds=1) is None:
        raise Invalid("answers 200 to a revoked certificate")
    partner = f"{rig.options.ca.stem}-client"  # a client of the bundle's last CA
    if (rig.pki / f"{partner}.pem").exists() and (reason := one_request(rig, client=partner)):
        raise Invalid(f"client of the last CA: {reason}")


# --- measures ---


def cpu_per_unit(
    mode: str,
    path: str = "/1k",
    connections: int = 16,
    warm_up: float = 0.5,
    scale: float = 1.0,
    resumed: bool = False,
) -> Callable[[Rig], Reading]:
    """A measure: microseconds of server CPU per unit of the load, times `scale`."""

    def measure(rig: Rig) -> Reading:
        command = load_command(rig, mode, path, connections, extra=("-t", rig.seconds, "-w", warm_up))
        with started(command) as load:
            before = rig.cpu()
            load.go()
            result = load.result()
            spent = rig.cpu() - before
        if result["errors"] or not result["units"]:
            raise Invalid(f"{result['errors']} errors, {result['units']} units; {result['error']}")
        if resumed != (result["resumed"] > 0) or (resumed and result["resumed"] < 0.99 * result["units"]):
            raise Invalid(f"{result['resumed']} of {result['units']} handshakes were resumed")
        return Reading(spent / result["units"] * 1e6 * scale, result["units"], result | {"cpu_seconds": spent})

    return measure


def two_workers(mode: str, connections: int) -> Callable[[Running], Reading]:
    """A measure: how many times as much two workers on two cores do as one on one, as far as the server decides it.

    There are no cores left for the load, so throughput says nothing. What the server needs does: with two workers a
    unit may cost more (locks, caches), and one worker may get more than its half. The reading is
    2 x (CPU per unit with one worker / with two) x (mean / greatest CPU time of the two workers).

    Beneath it is what this machine allows: the same load for two servers of one worker each, one on each core, which
    share nothing but the machine, the load and the upstream (`apart_us`).
    """

    def measure(running: Running) -> Reading:
        with running(SERVER_CORE) as rig:
            one, _ = _together([rig], mode, connections)
        with running(SERVER_CORE, LOAD_CORE) as rig:
            two, threads = _together([rig], mode, connections)
        with running(SERVER_CORE) as here, running(LOAD_CORE) as there:
            apart, _ = _together([here, there], mode, connections // 2)
        most, least = threads[:2]
        balance = (most + least) / 2 / most
        detail = {"one_us": one * 1e6, "two_us": two * 1e6, "apart_us": apart * 1e6, "balance": balance}
        return Reading(2 * one / two * balance, round(sum(threads) / two), detail)

    return measure


def _together(rigs: Sequence[Rig], mode: str, connections: int) -> tuple[float, list[float]]:
    """CPU seconds per unit of all `rigs` under so many connections each; and of each of their threads, most first."""
    spent: list[float] = []
    units = 0
    with contextlib.ExitStack() as stack:
        extra = ("-t", rigs[0].seconds, "-w", 0.5)
        loads = [stack.enter_context(started(load_command(rig, mode, "/1k", connections, extra=extra))) for rig in rigs]
        before = [process.thread_seconds(rig.process.pid) for rig in rigs]
        for load in loads:
            load.go()
        for rig, load, started_with in zip(rigs, loads, before, strict=True):
            result = load.result()
            if result["errors"] or not result["units"]:
                raise Invalid(f"{result['errors']} errors, {result['units']} units; {result['error']}")
            units += result["units"]
            after = process.thread_seconds(rig.process.pid)
            spent += [seconds - started_with.get(thread, 0.0) for thread, seconds in after.items()]
    return sum(spent) / units, sorted(spent, reverse=True)


def idle_memory(connections: int) -> Callable[[Rig], Reading]:
    """A measure: KiB per idle connection, the tree's Pss with the connections open minus before."""

    def measure(rig: Rig) -> Reading:
        return _idle_memory(rig, connections)

    return measure


def _idle_memory(rig: Rig, connections: int) -> Reading:
    warm = load_command(rig, "keepalive", connections=64, extra=("-t", 0.5))
    subprocess.run(warm, capture_output=True, check=True)
    time.sleep(1)
    before = process.pss_kib(rig.process.pid)
    with started(load_command(rig, "idle", connections=connections, extra=("-b", SOURCES))) as load:
        time.sleep(1)
        after, alive = process.pss_kib(rig.process.pid), process.established(rig.port)
        load.stdin.close()
        result = load.result()
    if result["errors"] or alive < connections:
        raise Invalid(f"{alive} of {connections} connections alive, {result['errors']} errors; {result['error']}")
    return Reading((after - before) / connections, connections, {"before_kib": before, "after_kib": after})


def reloads(rig: Rig) -> Reading:
    """Failed requests while the subject reloads 20 times under keep-alive load, and what that does to their latency.

    The load is open, at half of what the subject can: 32 connections at a fixed rate, for as long without reloads as
    with them. Errors are the result here.
    """
    fastest = _latency(rig, ("-t", 1))
    rate = fastest["units"] / fastest["seconds"] / 2
    extra = ("-t", RELOADS * 0.5, "-r", round(rate))
    still = _latency(rig, extra)
    before = rig.cpu()
    with subprocess.Popen(
        load_command(rig, "keepalive", connections=32, extra=extra), stdout=subprocess.PIPE, text=True
    ) as load:
        for _ in range(RELOADS):
            rig.subject.reload(rig.process, rig.folder, rig.pki, rig.options)
            time.sleep(0.48)
        result = json.loads(load.communicate()[0])
    if not result["units"]:
        raise Invalid(result["error"])
    if reason := one_request(rig):
        raise Invalid(f"after {RELOADS} reloads: {reason}")
    detail = {"reloads": RELOADS, "rate": rate, "still_p99_us": still["p99_us"], "cpu_seconds": rig.cpu() - before}
    return Reading(result["errors"], result["units"], result | detail)


def _latency(rig: Rig, extra: Sequence[object]) -> dict[str, Any]:
    command = load_command(rig, "keepalive", connections=32, extra=extra)
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return found


@dataclass(frozen=True)
class Scenario:
    title: str
    unit: str
    measure: Callable[[Any], Reading]  # of a Rig; of what runs one (Running) where the unit is `times one`
    options: dict[str, Any] = field(
        default_factory=dict
    )  # ca, crl: names below the PKI folder; hints, direct: as in Options


_slow_handshakes = cpu_per_unit("handshake", connections=4)

SCENARIOS = {
    "A": Scenario("full mutual handshake + 1 proxied GET /1k", "µs", cpu_per_unit("handshake")),
    "A2": Scenario("resumed handshake + 1 proxied GET /1k", "µs", cpu_per_unit("resume", resumed=True)),
    "B": Scenario("keep-alive GET /1k, proxied, 32 connections", "µs", cpu_per_unit("keepalive", connections=32)),
    "B0": Scenario(
        "keep-alive GET /1k, served itself, 32 connections",
        "µs",
        cpu_per_unit("keepalive", connections=32),
        {"direct": True},
    ),
    "C": Scenario(
        "download of 10 MiB, proxied, 4 connections",
        "µs/MiB",
        cpu_per_unit("keepalive", path="/10m", connections=4, scale=0.1),
    ),
    "D": Scenario("memory per idle connection (5,000)", "KiB", idle_memory(5_000)),
    "Dmany": Scenario(
        f"memory per idle connection ({MANY_CONNECTIONS:,})",
        "KiB",
        idle_memory(MANY_CONNECTIONS),
        {"connections": MANY_CONNECTIONS * 5 // 4},  # the gate makes room when nine tenths are taken
    ),
    "A4": Scenario("A, 4 at a time: what E and F compare with", "µs", _slow_handshakes),
    "E100k": Scenario("A with a CRL of 100,000", "µs", _slow_handshakes, {"crl": "crl-100000.pem"}),
    "E1M": Scenario("A with a CRL of 1,000,000", "µs", _slow_handshakes, {"crl": "crl-1000000.pem"}),
    "F1k": Scenario("A with 1,000 client CAs, hinted", "µs", _slow_handshakes, {"ca": "bundle-1000.pem"}),
    "F10k": Scenario("A with 10,000 client CAs, hinted", "µs", _slow_handshakes, {"ca": "bundle-10000.pem"}),
    "F10k-nohint": Scenario(
        "A with 10,000 client CAs, not hinted", "µs", _slow_handshakes, {"ca": "bundle-10000.pem", "hints": False}
    ),
    "H": Scenario(f"failed requests, {RELOADS} reloads under load", "failed", reloads),
    "2A": Scenario("A with two workers on two cores", "times one", two_workers("handshake", 64)),
    "2B": Scenario("B with two workers on two cores, 256 connections", "times one", two_workers("keepalive", 256)),
}
