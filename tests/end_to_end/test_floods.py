"""Floods of HTTP/2 that the protocol allows: each is bounded, and an honest client is served all the while.

Resets, CONTINUATION and streams that the server is made to reset: test_limits.py. Here is what keeps no stream busy, or
keeps memory: frames that cost an answer, header blocks that grow when they are read, streams, windows.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from end_to_end import h2
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import Connection

PRIORITY = 2
FIELDS = [(":method", "GET"), (":scheme", "https"), (":path", "/large"), (":authority", "localhost")]
POST = [(":method", "POST"), *FIELDS[1:]]
REFUSED_STREAM = 7
WIDEST = b"\x7f\xff\xff\xff"
LARGE = 4 << 20
MAX_GROWTH = 64 << 20
"""Memory that a flood may cost, in bytes: what one connection may keep is a small part of it; the rest is noise."""


class Large(BaseHTTPRequestHandler):
    """4 MiB for every GET, nothing for other methods."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = LARGE if self.path == "/large" else 2
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(b"x" * size)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class World:
    gate: Gate
    alice: Identity
    mallory: Identity

    def memory(self) -> int:
        """Resident bytes of the gate."""
        status = Path(f"/proc/{self.gate.program.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) << 10

    @contextmanager
    def attacked(self) -> Iterator[H2]:
        """A connection for the flood. Meanwhile alice asks again and again, on a connection of her own."""
        over = threading.Event()
        got: list[int] = []

        def ask() -> None:
            with self.gate.open(self.alice) as honest:
                while not over.is_set() or not got:
                    got.append(honest.request("/x").status)

        before = self.memory()
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            with Connection.open(self.gate.port, self.gate.context(self.mallory, alpn=("h2",))) as connection:
                connection.tls.settimeout(3)
                yield H2(connection)
                growth = self.memory() - before
        finally:
            over.set()
            asking.join(30)
        assert got
        assert set(got) == {200}
        assert growth < MAX_GROWTH, f"{growth >> 20} MiB"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Large) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
[[sites.routes]]
path = "/"
upstream = "http://127.0.0.1:{server.server_address[1]}"
"""
        with running_gate(tmp_path_factory.mktemp("floods") / "gate", sites) as gate:
            yield World(gate, gate.client("alice"), gate.client("mallory"))
        server.shutdown()


def flood(client: H2, frames: bytes, times: int) -> None:
    """Sends the same bytes again and again, and reads nothing, until all is sent or the gate takes no more."""
    with suppress(OSError):
        for _ in range(times):
            client.send(frames)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(h2.frame(h2.PING, 0, 0, b"12345678"), id="PING (CVE-2019-9512)"),
        pytest.param(h2.frame(h2.SETTINGS, 0, 0, b""), id="SETTINGS (CVE-2019-9515)"),
        pytest.param(h2.frame(h2.SETTINGS, 0, 0, b"\x00\x04\x00\x00\xff\xff" * 100), id="long SETTINGS"),
        pytest.param(h2.frame(PRIORITY, 0, 1, b"\x00\x00\x00\x00\x10"), id="PRIORITY (CVE-2019-9513)"),
        pytest.param(h2.frame(h2.WINDOW_UPDATE, 0, 0, (1).to_bytes(4)), id="WINDOW_UPDATE"),
        pytest.param(h2.frame(99, 0, 0, b"?"), id="unknown frames"),
    ],
)
def test_frames_of_the_connection(frames: bytes, world: World) -> None:
    with world.attacked() as client:
        flood(client, frames * 1000, 300)


@pytest.mark.parametrize("size", [0, 1])
def test_data_in_frames_of_nothing(size: int, world: World) -> None:
    """CVE-2019-9518: frames without a payload, or hardly one, which cost more than they bring."""
    with world.attacked() as client:
        stream = client.start(POST)
        flood(client, h2.frame(h2.DATA, 0, stream, b"x" * size) * 1000, 300)


def test_a_header_block_that_grows_when_it_is_read(world: World) -> None:
    """One field of 4,000 bytes enters the table (RFC 7541 2.3.2); then each byte of the block stands for it again."""
    name, value = b"\x01a", b"\x7f\xa1\x1e" + b"b" * 4000
    start = h2.block(FIELDS[:3]) + h2.block([FIELDS[3]]) + b"\x40" + name + value
    with world.attacked() as client:
        for number in range(20):
            stream = 2 * number + 1
            block = (start if number == 0 else h2.block(FIELDS)) + b"\xbe" * 8000
            with suppress(OSError):
                client.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, block))
        with suppress(OSError):
            assert client.answer(1).status != 200


def test_more_streams_than_there_may_be(world: World) -> None:
    with world.attacked() as client:
        for _ in range(1000):
            client.start(POST)
        refused = 0
        with suppress(OSError):
            while refused < 800:
                kind, _, _, payload = client.next()
                refused += kind == h2.RST_STREAM and int.from_bytes(payload) == REFUSED_STREAM
        assert refused >= 1


def test_answers_that_nobody_takes(world: World) -> None:
    """Windows stay closed while 4 MiB wait on each of 150 streams: the gate keeps a little of each and waits."""
    with world.attacked() as client:
        client.send(h2.frame(h2.SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
        streams = [client.start(FIELDS, end=True) for _ in range(150)]
        begun: set[int] = set()
        with suppress(OSError):
            while len(begun) < len(streams):
                kind, _, stream, _ = client.next()
                begun |= {stream} if kind == h2.HEADERS else set()
        assert len(begun) > 20


@pytest.mark.parametrize(
    "provoke",
    [
        pytest.param(
            lambda stream: h2.frame(h2.WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff") * 2, id="window overflow"
        ),
        pytest.param(lambda stream: h2.frame(h2.HEADERS, 5, stream, h2.block([(":path", "/")])), id="bad trailers"),
        pytest.param(lambda stream: h2.frame(h2.DATA, 1, stream, b"more than was announced"), id="body too long"),
    ],
)
def test_streams_that_the_gate_is_made_to_reset(provoke: Callable[[int], bytes], world: World) -> None:
    """CVE-2025-8671: requests are begun and broken by the client, without a reset of its own."""
    with world.attacked() as client:
        with suppress(OSError):
            for number in range(5000):
                stream = 2 * number + 1
                head = h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.block([*POST, ("content-length", "1")]))
                client.send(head + provoke(stream))
        client._connection.tls.settimeout(20)
        assert client._connection.rest() is not None  # it ends, rather than time out


def test_a_connection_that_only_opens_sockets(world: World) -> None:
    """HTTP/2 was agreed on, and nothing is said: such connections cost others nothing."""
    with world.attacked() as client:
        many = [socket.create_connection(("127.0.0.1", world.gate.port)) for _ in range(200)]
        assert client.request("/x").status == 200
        for one in many:
            one.close()
