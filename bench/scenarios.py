"""What is measured: each scenario is a way to set a subject up (Options) and a way to measure it (a function of a Rig).

A measure returns a Reading or raises Invalid; an error or a wrong status in the load is always Invalid.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import process

HERE = Path(__file__).resolve().parent
LOAD = HERE / "load" / "mtls-load"
IDLE_CONNECTIONS = 5000


@dataclass(frozen=True)
class Options:
    """How a subject is to be set up; handed to its start()."""

    ca: Path  # PEM bundle of the client CAs
    crl: Path | None = None  # PEM CRL of the root: check it for the whole chain
    hints: bool = True  # name the client CAs in the CertificateRequest
    direct: bool = False  # serve /1k and /10m (from `files`) itself instead of forwarding to the upstream
    files: Path | None = None  # the folder with the files 1k and 10m
    workers: int = 1  # worker processes or threads; all of them share one core


@dataclass
class Rig:
    """A running subject under load."""

    subject: Any
    process: subprocess.Popen
    folder: Path
    pki: Path
    port: int
    options: Options
    seconds: float

    def cpu(self):
        return process.cpu_seconds(self.process.pid)


@dataclass
class Reading:
    """One repeat of one cell: the value in the scenario's unit, and what else was seen."""

    value: float
    units: int
    detail: dict = field(default_factory=dict)


class Invalid(Exception):
    """The load met an error, a wrong status, or not what the scenario is about."""


# --- load ---


def load_command(rig, mode, path="/1k", connections=16, client="client", extra=()):
    """The command line of the load generator against `rig`; `client` None means without a certificate."""
    identity = ["-E", f"{rig.pki}/{client}.pem", "-K", f"{rig.pki}/{client}.key"] if client else []
    return [
        str(LOAD),
        "-m",
        mode,
        "-p",
        str(rig.port),
        "-u",
        path,
        "-c",
        str(connections),
        "-C",
        f"{rig.pki}/root.pem",
        *identity,
        *map(str, extra),
    ]


@contextlib.contextmanager
def started(command):
    """The load generator, run up to its READY line."""
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = load.stdout.readline()
        if line.strip() != "READY":
            raise Invalid(_reason(line))
        yield load
    finally:
        load.kill()
        load.wait()
        load.stdin.close()
        load.stdout.close()


def _reason(line):
    try:
        return json.loads(line).get("error") or "load failed"
    except ValueError:
        return "load failed"


def one_request(rig, client="client", seconds=5):
    """Send one request on a new connection; returns None if it was answered with 200, else what went wrong."""
    command = load_command(rig, "handshake", connections=1, client=client, extra=("-n", 1, "-t", seconds))
    answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60).stdout
    try:
        result = json.loads(answer)
    except ValueError:
        return "load failed"
    return None if result["units"] >= 1 else result["error"] or "no answer"


def probe(rig):
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


def cpu_per_unit(mode, path="/1k", connections=16, warm_up=0.5, scale=1.0, resumed=False):
    """A measure: microseconds of server CPU per unit of the load, times `scale`."""

    def measure(rig):
        command = load_command(rig, mode, path, connections, extra=("-t", rig.seconds, "-w", warm_up))
        with started(command) as load:
            before = rig.cpu()
            load.stdin.write("g")
            load.stdin.flush()
            result = json.loads(load.stdout.readline())
            spent = rig.cpu() - before
        if result["errors"] or not result["units"]:
            raise Invalid(f"{result['errors']} errors, {result['units']} units; {result['error']}")
        if resumed != (result["resumed"] > 0) or (resumed and result["resumed"] < 0.99 * result["units"]):
            raise Invalid(f"{result['resumed']} of {result['units']} handshakes were resumed")
        return Reading(spent / result["units"] * 1e6 * scale, result["units"], result | {"cpu_seconds": spent})

    return measure


def idle_memory(rig):
    """KiB per idle connection: the tree's Pss with the connections open minus before."""
    warm = load_command(rig, "keepalive", connections=64, extra=("-t", 0.5))
    subprocess.run(warm, capture_output=True, check=True)
    time.sleep(1)
    before = process.pss_kib(rig.process.pid)
    with started(load_command(rig, "idle", connections=IDLE_CONNECTIONS)) as load:
        time.sleep(1)
        after, alive = process.pss_kib(rig.process.pid), process.established(rig.port)
        load.stdin.close()
        result = json.loads(load.stdout.readline())
    if result["errors"] or alive < IDLE_CONNECTIONS:
        raise Invalid(f"{alive} of {IDLE_CONNECTIONS} connections alive, {result['errors']} errors; {result['error']}")
    return Reading((after - before) / IDLE_CONNECTIONS, IDLE_CONNECTIONS, {"before_kib": before, "after_kib": after})


def reloads(rig):
    """Failed requests while the subject reloads every second under 32 keep-alive connections.

    Errors are the result here.
    """
    seconds = max(5.0, rig.seconds)
    before, count = rig.cpu(), 0
    load = subprocess.Popen(
        load_command(rig, "keepalive", connections=32, extra=("-t", seconds)), stdout=subprocess.PIPE, text=True
    )
    end = time.monotonic() + seconds - 0.5
    while time.monotonic() < end:
        time.sleep(1)
        rig.subject.reload(rig.process, rig.folder, rig.pki, rig.options)
        count += 1
    result = json.loads(load.communicate()[0])
    if not result["units"]:
        raise Invalid(result["error"])
    if reason := one_request(rig):
        raise Invalid(f"after {count} reloads: {reason}")
    return Reading(result["errors"], result["units"], result | {"reloads": count, "cpu_seconds": rig.cpu() - before})


@dataclass(frozen=True)
class Scenario:
    title: str
    unit: str
    measure: Callable[[Rig], Reading]
    options: dict = field(default_factory=dict)  # ca, crl: names below the PKI folder; hints, direct: as in Options


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
    "D": Scenario(f"memory per idle connection ({IDLE_CONNECTIONS:,})", "KiB", idle_memory),
    "E100k": Scenario("A with a CRL of 100,000", "µs", _slow_handshakes, {"crl": "crl-100000.pem"}),
    "E1M": Scenario("A with a CRL of 1,000,000", "µs", _slow_handshakes, {"crl": "crl-1000000.pem"}),
    "F1k": Scenario("A with 1,000 client CAs, hinted", "µs", _slow_handshakes, {"ca": "bundle-1000.pem"}),
    "F10k": Scenario("A with 10,000 client CAs, hinted", "µs", _slow_handshakes, {"ca": "bundle-10000.pem"}),
    "F10k-nohint": Scenario(
        "A with 10,000 client CAs, not hinted", "µs", _slow_handshakes, {"ca": "bundle-10000.pem", "hints": False}
    ),
    "H": Scenario("failed requests, reload every second", "failed", reloads),
}
