"""WebSockets through the gate, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441).

Both ends are the `websockets` library: its client or its frames on this side, its server behind the gate. Where bytes
that no library sends are wanted, they are said by hand.
"""

import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from end_to_end import h2
from end_to_end.estate import mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import SECONDS, Connection, message
from end_to_end.recorder import Recorder
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol
from websockets.utils import accept_key

ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441 3
MESSAGES: list[str | bytes] = ["", "hello", "é" * 40, b"", b"\x00\xff"]
MESSAGES += [b"x" * size for size in (125, 126, 65535, 65536, 100_000)]


def echo(connection: ServerConnection) -> None:
    assert connection.request
    if connection.request.path.endswith("/headers"):
        connection.send("\n".join(f"{name}: {value}" for name, value in connection.request.headers.raw_items()))
    if connection.request.path.endswith("/leave"):
        connection.close(4001, "enough")
    for said in connection:
        connection.send(said)


def chosen(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("chat.v2") if "chat.v2" in offered else None


@dataclass(frozen=True)
class World:
    gate: Gate
    alice: Identity
    recorder: Recorder

    @property
    def authority(self) -> str:
        return f"localhost:{self.gate.port}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("websockets")
    with serve(echo, "127.0.0.1", 0, select_subprotocol=chosen, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "http://127.0.0.1:{port_of(server)}" }},
    {{ path = "/admin", upstream = "http://127.0.0.1:{port_of(server)}", roles = ["admin"] }},
    {{ path = "/raw", upstream = "{upstream.url}" }},
]
"""
        with running_gate(folder / "gate", sites) as gate:
            yield World(gate, gate.client("alice"), upstream)


def port_of(server: Server) -> int:
    return int(server.socket.getsockname()[1])


class OverH2:
    """A WebSocket in a stream of HTTP/2, with the frames of the `websockets` library."""

    def __init__(self, world: World, path: str, identity: Identity | None = None, **more: str) -> None:
        identity = identity or world.alice
        self.connection = Connection.open(world.gate.port, world.gate.context(identity, alpn=("h2",)))
        self.client = H2(self.connection)
        fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", path),
                  (":authority", world.authority), ("sec-websocket-version", "13")]  # fmt: skip
        fields += [(name.replace("_", "-"), value) for name, value in more.items()]
        self.stream = self.client.start(fields)
        self.protocol = Protocol(CLIENT, state=OPEN, max_size=None)
        self.header = b""
        self.waiting: list[Frame] = []
        while True:
            kind, _, stream, payload = self.client.next()
            if stream == self.stream and kind in (h2.HEADERS, h2.RST_STREAM):
                self.status = h2.status(payload) if kind == h2.HEADERS else None
                self.header = payload
                break

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self.flush()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            for at in range(0, len(data), 16384):
                self.client.data(self.stream, data[at : at + 16384])

    def recv(self) -> str | bytes:
        parts: list[Frame] = []
        while not parts or not parts[-1].fin:
            frame = self.frame()
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                parts.append(frame)
        data = b"".join(bytes(part.data) for part in parts)
        return data.decode() if parts[0].opcode is Opcode.TEXT else data

    def frame(self) -> Frame:
        """The next frame of the service."""
        while True:
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                self.waiting.append(event)
            if self.waiting:
                return self.waiting.pop(0)
            kind, flags, stream, payload = self.client.next()
            if stream == self.stream and kind == h2.RST_STREAM:
                raise ConnectionResetError
            if stream == self.stream and kind == h2.DATA:
                self.protocol.receive_data(payload)
                if flags & h2.END_STREAM:
                    self.protocol.receive_eof()
            self.flush()

    def close(self) -> None:
        self.connection.transport.close()


def over_h1(world: World, path: str, **more: Any) -> AbstractContextManager[ClientConnection]:
    tls = world.gate.context(world.alice)
    tls.check_hostname = True
    opened: ClientConnection = connect(f"wss://{world.authority}{path}", ssl=tls, max_size=None, proxy=None, **more)
    return opened


@pytest.fixture(params=["h1", "h2"])
def opened(request: pytest.FixtureRequest, world: World) -> Iterator[Callable[[str], ClientConnection | OverH2]]:
    with ExitStack() as stack:

        def make(path: str) -> ClientConnection | OverH2:
            if request.param == "h1":
                return stack.enter_context(over_h1(world, path))
            return stack.enter_context(closing(OverH2(world, path)))

        yield make


def test_messages_of_all_sizes_come_back(opened: Callable[[str], ClientConnection | OverH2]) -> None:
    socket = opened("/echo")
    for said in MESSAGES:
        socket.send(said)
        assert socket.recv() == said


def test_who_asks_is_told_and_the_protocol_is_not(opened: Callable[[str], ClientConnection | OverH2]) -> None:
    told = str(opened("/headers").recv()).lower().split("\n")
    assert "mutualgate-client: alice" in told
    assert "upgrade: websocket" in told
    assert "connection: upgrade" in told
    assert len([line for line in told if line.startswith("sec-websocket-key: ")]) == 1
    assert not [line for line in told if line.startswith((":", "protocol"))]


def test_fragments_pings_and_the_close(world: World) -> None:
    socket = OverH2(world, "/echo")
    socket.protocol.send_text(b"hel", fin=False)
    socket.protocol.send_ping(b"between")
    socket.protocol.send_continuation(b"lo", fin=True)
    socket.protocol.send_pong(b"unasked")
    socket.flush()
    assert (pong := socket.frame()).opcode is Opcode.PONG
    assert bytes(pong.data) == b"between"
    assert socket.recv() == "hello"
    socket.protocol.send_close(1000, "done")
    socket.flush()
    assert (close := socket.frame()).opcode is Opcode.CLOSE
    assert Close.parse(bytes(close.data)).code == 1000
    socket.close()


def test_the_service_may_leave(opened: Callable[[str], ClientConnection | OverH2]) -> None:
    socket = opened("/leave")
    if isinstance(socket, OverH2):
        close = Close.parse(bytes(socket.frame().data))
        assert (close.code, close.reason) == (4001, "enough")
    else:
        with pytest.raises(Exception, match=r"4001.*enough"):
            socket.recv()


def test_subprotocols_and_compression_are_agreed_on_by_the_ends(world: World) -> None:
    with over_h1(world, "/echo", subprotocols=[Subprotocol("chat.v1"), Subprotocol("chat.v2")]) as socket:
        assert socket.subprotocol == "chat.v2"
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]
        socket.send("x" * 100_000)
        assert socket.recv() == "x" * 100_000
    over_h2 = OverH2(world, "/echo", sec_websocket_protocol="chat.v2")
    assert over_h2.status == 200
    assert b"chat.v2" in huffman_free(over_h2.header)
    over_h2.close()


def huffman_free(header: bytes) -> bytes:
    """What a header block says in plain or in Huffman's code, as far as this test looks: `chat.v2` in both."""
    return header.replace(bytes.fromhex("24e34afdc5"), b"chat.v2") if b"chat.v2" not in header else header


def test_bytes_are_not_looked_at(world: World) -> None:
    """What no library sends: reserved bits and opcodes, frames in pieces of one byte, data at once with the request."""
    odd = bytes(range(256)) + b"\xff\xff\x00" * 50
    one = mark()
    with world.gate.open(world.alice) as connection:
        upgrade = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")]
        connection.send(message(f"/raw/ws?{one}", upgrade) + odd)
        assert connection.response().status == 101
        assert connection.exactly(len(odd)) == odd
        for byte in odd[:64]:
            connection.send(bytes([byte]))
        assert connection.exactly(64) == odd[:64]
    (request,) = world.recorder.marked(one)
    assert request.values("connection") == ["upgrade"]


@dataclass
class Answering:
    """A service that says the same bytes to every request."""

    answer: bytes
    heads: list[bytes] = field(default_factory=list)

    def __enter__(self) -> "Answering":
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.heads.append(connection.recv(65536))
                connection.sendall(self.answer)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 502),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
        (b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n", 426),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302),
    ],
)  # fmt: skip
def test_what_is_no_websocket_is_none_over_http_2(odd: "Odd", answer: bytes, status: int) -> None:
    odd.service.answer = answer
    socket = OverH2(odd.world, "/odd")
    assert socket.status == status
    socket.close()
    assert odd.service.heads[-1].startswith(b"GET /odd HTTP/1.1\r\n")
    assert b"connection: upgrade\r\nupgrade: websocket\r\n" in odd.service.heads[-1]


@dataclass(frozen=True)
class Odd:
    world: World
    service: Answering


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Odd]:
    with Answering(b"") as service:
        address = f"http://127.0.0.1:{service.listener.getsockname()[1]}"
        sites = (
            f'[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{{ path = "/", upstream = "{address}" }}]\n'
        )
        with running_gate(tmp_path_factory.mktemp("odd") / "gate", sites) as gate:
            yield Odd(World(gate, gate.client("alice"), upstream), service)


def test_extended_connect_is_offered_and_for_nothing_else(world: World) -> None:
    with Connection.open(world.gate.port, world.gate.context(world.alice, alpn=("h2",))) as connection:
        client = H2(connection)
        common = [(":scheme", "https"), (":path", "/raw/x"), (":authority", "localhost")]
        for protocol in ("connect-udp", "h2c", "websocket2", "connect-tcp"):
            assert client.fields([(":method", "CONNECT"), (":protocol", protocol), *common]).status == 501
        assert client.settings[ENABLE_CONNECT_PROTOCOL] == 1
        assert client.fields([(":method", "CONNECT"), (":authority", "localhost:443")]).status == 405
        assert client.fields([(":method", "TRACE"), *common]).status == 405
        # RFC 8441 4: `:protocol` goes with CONNECT alone.
        one = mark()
        odd = [(":method", "GET"), (":protocol", "websocket"), *common, ("x-mark", one)]
        assert client.fields(odd).status not in (200, 101)
        assert world.recorder.marked(one) == []
        # RFC 9113 8.5: what follows a CONNECT is no body, so it has no length that a service would wait for.
        odd = [(":method", "CONNECT"), (":protocol", "websocket"), *common, ("x-mark", one), ("content-length", "0")]
        assert client.fields([*odd, ("sec-websocket-version", "13")]).status is None
        assert world.recorder.marked(one) == []
    for method in ("CONNECT", "TRACE"):
        with world.gate.open(world.alice) as connection:
            target = "localhost:443" if method == "CONNECT" else "/raw/x"
            assert connection.request(target, method=method).status == 405


def test_a_websocket_over_http_2_is_judged(world: World) -> None:
    with closing(OverH2(world, "/admin/echo")) as socket:
        assert socket.status == 403
    stranger = Connection.open(world.gate.port, world.gate.context(alpn=("h2",)))
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/echo")]
    with stranger:
        assert H2(stranger).fields([*fields, (":authority", world.authority)]).status == 403


def test_a_websocket_over_http_2_is_cut_when_its_client_is_revoked(world: World) -> None:
    bob = world.gate.client("bob")
    socket = OverH2(world, "/echo", bob)
    socket.send("before")
    assert socket.recv() == "before"
    socket.connection.tls.settimeout(SECONDS)
    world.gate.command("client", "revoke", "bob")
    assert socket.connection.rest() is not None  # it ends, rather than time out
    socket.close()


def test_many_websockets_share_a_connection_with_requests(world: World) -> None:
    first = OverH2(world, "/echo")
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/echo"),
              (":authority", world.authority), ("sec-websocket-version", "13")]  # fmt: skip
    for _ in range(20):
        first.client.start(fields)
    opened: set[int] = set()
    while len(opened) < 20:
        kind, _, stream, payload = first.client.next()
        if kind == h2.HEADERS:
            assert h2.status(payload) == 200
            opened.add(stream)
    assert first.client.request("/raw/x", authority=world.authority).status == 200
    first.send("still")
    assert first.recv() == "still"
    first.close()


class Deaf:
    """A service that takes one WebSocket, and then says nothing; what comes, it `reads` or leaves."""

    def __init__(self, *, reads: bool) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.heard = b""
        self.over = threading.Event()
        self._reads = reads
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Deaf":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join(SECONDS)
        self.listener.close()

    @property
    def sites(self) -> str:
        """A gate in front of it."""
        address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        return f'[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{{ path = "/", upstream = "{address}" }}]\n'

    def _serve(self) -> None:
        connection, (_, self.port) = self.listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
            key = head.lower().split(b"sec-websocket-key: ")[1].split(b"\r\n")[0]
            place = head.lower().index(key)
            accept = accept_key(head[place : place + len(key)].decode())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
            )
            while self._reads and (data := connection.recv(4096)):
                self.heard += data
            self.over.wait()  # who waits for the gate to let go is not helped

    def is_held(self) -> bool:
        """Whether the gate still holds its end of the connection: what is closed is on its way out (proc(5))."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if int(local[-4:], 16) == self.port and int(remote[-4:], 16) == self.listener.getsockname()[1]:
                return state == "01"
        return False


def until(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def test_the_end_of_a_gate_is_told_although_a_websocket_was_the_last_to_be_busy(
    upstream: Recorder, tmp_path: Path
) -> None:
    """The task of the WebSocket and that of the connection both wait for it: neither may take the other's place."""
    with (
        Deaf(reads=True) as service,
        running_gate(tmp_path / "gate", service.sites, '[gate.timeouts]\ndrain = "5s"\n') as gate,
    ):
        anna = gate.client("anna")
        with closing(OverH2(World(gate, anna, upstream), "/x")) as ours:
            ours.client.data(ours.stream, b"hello")
            assert until(lambda: service.heard == b"hello")
            time.sleep(0.5)  # nothing more is under way
            gate.program.signal(signal.SIGTERM)
            while ours.client.next()[0] != h2.GOAWAY:
                pass


@pytest.mark.parametrize("how", ["revoked", "gone"])
def test_nothing_is_left_of_a_websocket_whose_service_does_not_read(
    how: str, upstream: Recorder, tmp_path: Path
) -> None:
    with Deaf(reads=False) as service, running_gate(tmp_path / "gate", service.sites) as gate:
        anna = gate.client("anna")
        ours = OverH2(World(gate, anna, upstream), "/x")
        fill(ours)
        assert service.is_held()
        if how == "revoked":
            gate.command("client", "revoke", "anna")
        else:
            ours.close()
        assert until(lambda: not service.is_held())
        ours.close()


def test_nothing_is_left_of_a_websocket_whose_client_resets_while_its_service_does_not_read(tmp_path: Path) -> None:
    with Deaf(reads=False) as service, running_gate(tmp_path / "gate", service.sites) as gate:
        with gate.open(gate.client("anna")) as ours:
            key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
            ours.send(message("/x", [("Connection", "Upgrade"), ("Upgrade", "websocket"), *key]))
            assert ours.response().status == 101
            ours.tls.settimeout(1)
            with suppress(TimeoutError):
                while True:
                    ours.send(bytes(16384))
            assert service.is_held()
            ours.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert until(lambda: not service.is_held())


def fill(ours: OverH2) -> None:
    """Says so much that the gate takes no more of it."""
    room = ours.client.settings[4]  # SETTINGS_INITIAL_WINDOW_SIZE
    ours.connection.tls.settimeout(1)
    while True:
        while room >= 16384:
            ours.client.data(ours.stream, bytes(16384))
            room -= 16384
        try:
            kind, _, stream, payload = ours.client.next()
        except TimeoutError:
            return
        if kind == h2.WINDOW_UPDATE and stream == ours.stream:
            room += int.from_bytes(payload)
