"""What goes wrong while the soak runs (soak.py): a fault is a function of a Site, and returns what is to be said of it.

Everything is on loopback, bounded in number and time, and ends by itself. None of it may cost a client a request.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOST = "localhost"


@dataclass
class Site:
    """The gate under the soak, and what the faults need to reach it."""

    pid: int
    folder: Path
    program: str
    pki: Path
    port: int
    upstreams: list[Any]
    victims: list[Path]
    cuts_ms: list[float] = field(default_factory=list)
    taken: int = 0

    def command(self, *words: str) -> str:
        """A command of the gate's; what it says."""
        done = subprocess.run(
            [self.program, *words, "--dir", str(self.folder)], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def context(self, client: str | Path | None = "client", protocols: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
        """TLS of a client whose files are in the PKI folder, of a victim (a path), or of nobody (None)."""
        context = ssl.create_default_context(cafile=str(self.pki / "root.pem"))
        context.set_alpn_protocols(list(protocols))
        if isinstance(client, Path):
            context.load_cert_chain(client, client.with_suffix(".key"))
        elif client:
            context.load_cert_chain(self.pki / f"{client}.pem", self.pki / f"{client}.key")
        return context

    def connect(
        self,
        client: str | Path | None = "client",
        protocols: Sequence[str] = ("http/1.1",),
        receive_buffer: int | None = None,
    ) -> ssl.SSLSocket:
        """A connection whose handshake is done."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(10)
        raw.connect(("127.0.0.1", self.port))
        return self.context(client, protocols).wrap_socket(raw, server_hostname=HOST)


@dataclass(frozen=True)
class Fault:
    name: str
    do: Callable[[Site], str]


def upstream_dies(site: Site) -> str:
    """One of the two servers is killed, and comes back after three seconds."""
    one = random.choice(site.upstreams)
    one.kill()
    time.sleep(3)
    one.start()
    return "killed, back after 3 s"


def reload_settings(site: Site) -> str:
    with open(site.folder / "mutualgate.toml", "a") as settings:
        settings.write("# changed\n")
    os.kill(site.pid, signal.SIGHUP)
    return "read again"


def trust_changes(site: Site) -> str:
    site.taken += 1
    site.command("client", "add", f"added-{site.taken}")
    site.command("partner", "add", f"partner-{site.taken}", "--names", f"dns:*.p{site.taken}.example")
    site.command("client", "suspend", f"added-{site.taken}")
    return "a client and a partner more, one suspended"


def revocation(site: Site) -> str:
    """A client with an answer under way is revoked: how long until that is cut, and is it refused anew?"""
    if not site.victims:
        return "no victim left"
    victim = site.victims.pop()
    connection = site.connect(victim, receive_buffer=4096)
    connection.sendall(b"GET /10m HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = connection.recv(64)
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise RuntimeError(f"{victim.stem} was not let in: {answer[:60]!r}")
    cut: list[float] = []
    watcher = threading.Thread(target=_when_closed, args=(site.port, connection.getsockname()[1], cut), daemon=True)
    watcher.start()
    site.command("client", "revoke", victim.stem)
    confirmed = time.monotonic()
    refused = site.connect(victim)
    refused.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status = refused.recv(65536).partition(b"\r\n")[0]
    if b" 403 " not in status:
        raise RuntimeError(f"{victim.stem} is revoked and gets {status!r}")
    watcher.join(10)
    if not cut:
        raise RuntimeError(f"the connection of {victim.stem} was not cut")
    site.cuts_ms.append(max(0.0, cut[0] - confirmed) * 1000)
    return "cut and refused"


def _when_closed(port: int, client_port: int, moment: list[float]) -> None:
    """Notes when the gate's end of a connection is no longer established: what it sent before is read after that.

    It begins before the command, which on a core that is full may take longer than all that follows.
    """
    ends = f":{port:04X}", f":{client_port:04X}"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with open("/proc/net/tcp") as table:
            rows = (line.split()[1:4] for line in table)
            pairs = (here[-5:] + there[-5:] for here, there, state in rows if state == "01")
            if "".join(ends) not in pairs:
                moment.append(time.monotonic())
                return
        time.sleep(0.005)


def slow_heads(site: Site) -> str:
    """Two hundred connections, half of them admitted, that send a byte now and then."""
    return _hold([(site.connect("client" if n % 2 else None), b"GET /1k HTTP/1.1\r\nX: ") for n in range(200)], b"x")


def slow_bodies(site: Site) -> str:
    head = b"POST /1k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    return _hold([(site.connect(), head) for _ in range(50)], b"x")


def slow_readers(site: Site) -> str:
    """Thirty clients that ask for ten megabytes and hardly read."""
    ask = b"GET /10m HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return _hold([(site.connect(receive_buffer=4096), ask) for _ in range(30)], b"", read=512)


def _hold(connections: Sequence[tuple[ssl.SSLSocket, bytes]], drip: bytes, read: int = 0, seconds: float = 8) -> str:
    for connection, first in connections:
        with contextlib.suppress(OSError):
            connection.sendall(first)
    end = time.monotonic() + seconds
    alive = len(connections)
    while time.monotonic() < end:
        time.sleep(1)
        alive = 0
        for connection, _ in connections:
            with contextlib.suppress(OSError):
                if drip:
                    connection.sendall(drip)
                if read:
                    connection.recv(read)
                alive += 1
    for connection, _ in connections:
        connection.close()
    return f"{len(connections)}, {alive} of them to the end"


def garbage(site: Site) -> str:
    """What is no TLS, TLS that stops in the middle, and connections that say nothing."""
    hello = bytes.fromhex("160301020001000001fc0303") + random.randbytes(32)
    for n in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", site.port), timeout=5) as one:
            one.sendall((random.randbytes(200), b"GET / HTTP/1.1\r\n\r\n", hello, b"")[n % 4])
    return "300"


def strangers(site: Site) -> str:
    """Certificates that nobody vouches for, no certificate, and requests that mean two things."""
    wrong = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /../../x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    )
    let_in = 0
    for n in range(100):
        with contextlib.suppress(OSError), site.connect(("stranger", None, "client")[n % 3]) as one:
            one.sendall(wrong[n % len(wrong)])
            let_in += b" 200 " in one.recv(65536).partition(b"\r\n")[0]
    if let_in:
        raise RuntimeError(f"{let_in} of 100 were let in")
    return "100, none let in"


def rapid_reset(site: Site) -> str:
    """HTTP/2 streams begun and reset at once (CVE-2023-44487), until the gate ends the connection."""
    # RFC 9113 4.1 frames; RFC 7541: :method GET, :path /, :scheme https are entries 2, 4 and 7 of the static table.
    block = bytes([0x82, 0x84, 0x87, 0x41, len(HOST)]) + HOST.encode()
    sent = 0
    with contextlib.suppress(OSError), site.connect(protocols=("h2",)) as one:
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        for stream in range(1, 20_001, 2):
            number = stream.to_bytes(4, "big")
            headers = len(block).to_bytes(3, "big") + b"\x01\x05" + number + block
            one.sendall(headers + b"\x00\x00\x04\x03\x00" + number + b"\x00\x00\x00\x08")
            sent += 1
    if sent == 10_000:
        raise RuntimeError("10,000 resets, and the connection is open")
    return f"ended after {sent:,} streams"


def handed_over(site: Site) -> str:
    """The gate is started anew, and its sockets go over to the new process."""
    before = site.pid
    site.command("restart")
    site.pid = json.loads(site.command("status", "--json"))["pid"]
    if site.pid == before:
        raise RuntimeError("the gate is the same process as before")
    return "a new process, with the sockets of the old one"


FAULTS = (
    Fault("an upstream dies and comes back", upstream_dies),
    Fault("settings are read again", reload_settings),
    Fault("trust changes", trust_changes),
    Fault("a client is revoked", revocation),
    Fault("slow heads", slow_heads),
    Fault("slow bodies", slow_bodies),
    Fault("slow readers", slow_readers),
    Fault("garbage and half handshakes", garbage),
    Fault("strangers and ambiguous requests", strangers),
    Fault("rapid reset", rapid_reset),
    Fault("the gate is started anew", handed_over),
)


def make_victims(site_folder: Path, program: str, count: int) -> list[Path]:
    """So many clients of the gate's own authority, whose certificates the soak revokes one by one."""
    requests = site_folder / "victims"
    requests.mkdir()
    for number in range(count):
        name = requests / f"victim-{number}"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
        subprocess.run(
            ["openssl", "req", "-new", *key, "-subj", "/CN=x", "-out", f"{name}.csr"], check=True, capture_output=True
        )
    subprocess.run(
        [program, "client", "sign", "--csrs", str(requests), "--add", "--dir", str(site_folder)],
        check=True,
        capture_output=True,
    )
    return sorted(requests.glob("victim-*.crt"))


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
