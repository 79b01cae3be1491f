"""mutualgate, as `mutualgate` on PATH: one worker thread, and the control plane that comes with it.

The CAs of the bundle (and the CRL) are adopted into a folder of its own; the gate then runs with that folder.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from process import cpu_seconds

NAME = "mutualgate"
CAPABILITIES = {"A", "A2", "B", "C", "D", "E100k", "E1M", "F1k", "F10k", "F10k-nohint", "H", "A4", "2A", "2B", "Dmany"}
NO_HINTS = "names no CA in the handshake, whatever is asked: the cell is that of a server without hints"
NOTES = {
    "F1k": NO_HINTS,
    "F10k": NO_HINTS,
    "H": "SIGHUP after a route has changed: settings and sites are new, and every connection is judged again",
}
QUIET_SECONDS = 0.03
"""Of CPU in a second: what a gate does by itself takes a fifth of it."""

SETTINGS = """
[gate]
listen = ["127.0.0.1:{port}"]
plain_listen = []
ops_listen = []
workers = {workers}
access_log = ""
max_connections = {connections}
timeouts.idle = "1h"

[[sites]]
name = "bench"
hosts = ["localhost"]
client_certificate = "required"
certificate = {certificate}
key = {key}
[[sites.routes]]
path = "/"
upstream = "http://127.0.0.1:{upstream_port}"
"""

ROUTE = """
[[sites.routes]]
path = "/reloaded"
upstream = "http://127.0.0.1:9"
roles = ["{role}"]
"""


def version() -> str:
    return subprocess.run(["mutualgate", "--version"], capture_output=True, text=True).stdout.split()[-1]


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    data = folder / "data"
    data.mkdir()
    (data / "mutualgate.toml").write_text(
        SETTINGS.format(
            port=port,
            upstream_port=upstream_port,
            workers=options.workers,
            connections=options.connections,
            certificate=json.dumps(f"{pki}/server.pem"),
            key=json.dumps(f"{pki}/server.key"),
        )
    )
    crl = ["--crl", str(options.crl)] if options.crl else []
    adopt = ["mutualgate", "ca", "adopt", "--dir", str(data), "--cert", str(options.ca), *crl]
    with open(folder / "log", "ab") as log:
        subprocess.run(adopt, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, env=_environment())
        gate = subprocess.Popen(
            ["mutualgate", "up", "--dir", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=_environment(),
        )
    _wait_for_standby(gate, data / "run/standby.sock")
    return gate


def _wait_for_standby(gate: subprocess.Popen[bytes], socket: Path) -> None:
    """Until the process that has commands at hand has loaded everything, which takes seconds, once. It is in the tree
    that is measured."""
    end = time.monotonic() + 60
    ready = False
    while not ready:
        if time.monotonic() > end:
            raise TimeoutError("what stands by beside the gate is not ready")
        before = cpu_seconds(gate.pid)
        time.sleep(1)
        ready = socket.is_socket() and cpu_seconds(gate.pid) - before < QUIET_SECONDS


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    """With a route that is another each time, so that settings and sites are new and every connection is judged again.

    The changed file alone would be taken, too; the signal makes the moment known.
    """
    file = folder / "data" / "mutualgate.toml"
    text = file.read_text()
    role = "even" if ROUTE.format(role="odd") in text else "odd"
    new = file.with_suffix(".new")
    new.write_text(text.partition(ROUTE.partition("{")[0])[0] + ROUTE.format(role=role))
    new.replace(file)
    process.send_signal(signal.SIGHUP)


def _environment() -> dict[str, str]:
    """Nothing that the caller has set for a gate of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MUTUALGATE_")}
