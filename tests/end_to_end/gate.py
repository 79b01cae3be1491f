"""Runs `mutualgate` as its users do: as a program, in a folder, from the command line.

Knows the commands and where a folder keeps its files. Imports nothing of the package under test.
"""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from end_to_end import forge, raw
from end_to_end.commander import commander
from end_to_end.forge import Identity
from end_to_end.process import Running, free_port, running
from end_to_end.raw import Connection, Headers, Response

MUTUALGATE = [sys.executable, "-c", "import sys; from mutualgate.cli import main; sys.exit(main())"]
COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, f"nothing on stdout, exit {self.code}: {self.err}"
        return json.loads(self.out)


def command(folder: Path, *arguments: str | Path, check: bool = True, stdin: str | None = None) -> Answer:
    """Runs one command on `folder` with `--json`; unless `check` is off, it has to be done (exit 0)."""
    words = [*(str(argument) for argument in arguments), "--dir", str(folder), "--json"]
    environment = {**os.environ, "MUTUALGATE_DEBUG": "1"}  # a defect shows where it happened
    if threading.current_thread() is threading.main_thread():
        done = commander().run(words, environment, stdin, COMMAND_SECONDS)
    else:  # beside one of the main thread's
        done = subprocess.run(
            [*MUTUALGATE, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env=environment,
        )
    assert "Traceback" not in done.stderr, done.stderr
    answer = Answer(done.returncode, done.stdout, done.stderr)
    if check:
        said = " ".join(str(argument) for argument in arguments)
        assert answer.code == 0, f"`mutualgate {said}` ended with {answer.code}: {answer.out}{answer.err}"
    return answer


@dataclass
class Gate:
    """A gate that runs, and how to speak to it."""

    folder: Path
    port: int
    plain_port: int
    ops_port: int
    program: Running

    @property
    def root(self) -> Path:
        """The root that clients trust."""
        return self.folder / "root.pem"

    def command(self, *arguments: str | Path, check: bool = True, stdin: str | None = None) -> Answer:
        return command(self.folder, *arguments, check=check, stdin=stdin)

    def context(
        self,
        identity: Identity | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        tickets: bool = True,
        alpn: Sequence[str] = ("http/1.1",),
    ) -> ssl.SSLContext:
        return raw.context(self.root, identity, version=version, tickets=tickets, alpn=alpn)

    def open(self, identity: Identity | None = None, sni: str | None = "localhost") -> Connection:
        """A new connection, with a full handshake."""
        return Connection.open(self.port, self.context(identity), sni)

    def get(
        self,
        target: str,
        identity: Identity | None = None,
        headers: Headers = (),
        *,
        host: str = "localhost",
        method: str = "GET",
        body: bytes = b"",
    ) -> Response:
        """One request on a connection of its own; SNI and Host are both `host`."""
        with self.open(identity, host) as connection:
            return connection.request(target, headers, method=method, host=host, body=body)

    def client(self, name: str, *roles: str, kind: str = "p256") -> Identity:
        """Adds a client with a certificate that the gate's own authority issued to a key made here."""
        self.command("client", "add", name, *(part for role in roles for part in ("--role", role)))
        return self.certificate(name, kind)

    def certificate(self, name: str, kind: str = "p256") -> Identity:
        """One more certificate for a client that is known."""
        request, key = forge.request(self.folder.parent / "requests", name, kind)
        out = request.with_suffix(".pem")
        self.command("client", "sign", name, "--csr", request, "--out", out)
        return Identity(out, key)


def listeners(port: int, plain_port: int, ops_port: int) -> str:
    """The `[gate]` table of a test: everything on the loopback address, on ports of its own."""
    return (
        "[gate]\n"
        f'listen = ["127.0.0.1:{port}"]\n'
        f'plain_listen = ["127.0.0.1:{plain_port}"]\n'
        f'ops_listen = ["127.0.0.1:{ops_port}"]\n'
        'access_format = "json"\n'
    )


@contextmanager
def running_gate(
    folder: Path, sites: str, gate_settings: str = "", *arguments: str, standby: bool = False
) -> Iterator[Gate]:
    """Writes `mutualgate.toml` with `sites` and runs `mutualgate up` on it until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_port(), free_port(), free_port()
    (folder / "mutualgate.toml").write_text(f"{listeners(*ports)}{gate_settings}\n{sites}")
    with up(folder, ports[0], ports[1], ports[2], *arguments, standby=standby) as gate:
        yield gate


@contextmanager
def up(
    folder: Path, port: int, plain_port: int, ops_port: int, *arguments: str, standby: bool = False
) -> Iterator[Gate]:
    """Runs `mutualgate up` on a folder until the block ends; with a process that has commands at hand if `standby`,
    whose start takes as long as the gate's."""
    log = folder.parent / f"{folder.name}-up.log"
    program_arguments = [*MUTUALGATE, "up", "--dir", str(folder), *([] if standby else ["--no-standby"]), *arguments]
    environment = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    with running("mutualgate up", program_arguments, log, environment) as program:
        program.wait_for(lambda: "The gate is open" in program.text(), 30)
        yield Gate(folder, port, plain_port, ops_port, program)
        assert "Traceback" not in program.text(), program.tail()
        assert "panicked" not in program.text(), program.tail()
