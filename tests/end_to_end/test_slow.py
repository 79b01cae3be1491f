"""Clients that take their time, so that what they hold is held for long: each way of it comes to an end.

What is under test is that there is an end, and that nobody else meets it. The rates are far apart, so that how busy the
machine is decides nothing.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest
from end_to_end import h2
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.raw import SECONDS, Connection
from end_to_end.recorder import Recorder

PATIENCE_SECONDS = 15
SLOW_SECONDS = 4
"""What takes this long goes on for longer than the grace."""

SETTINGS = """
workers = 1
[gate.timeouts]
handshake = "1s"
idle = "1m"
[gate.limits]
min_body_rate = "200 B"
min_read_rate = "16 KiB"
slow_grace = "1s"
"""
LARGE = 64 << 20


class Large:
    """A service that answers each request with more than any buffer on the way holds, after it has waited a while."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._left = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1 << 16)
            if b"/late" in head:
                # Waits for the whole body, which does not come.
                self._left.clear()
                with suppress(OSError):
                    while connection.recv(1 << 16):
                        pass
                self._left.set()
            elif b"/lazy" in head:
                # Reads nothing of the body for a while, and then all of it.
                time.sleep(SLOW_SECONDS)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                left = length - (len(head) - head.index(b"\r\n\r\n") - 4)
                while left > 0:
                    left -= len(connection.recv(1 << 16))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
                for _ in range(LARGE >> 20):
                    connection.sendall(bytes(1 << 20))

    def is_left(self) -> bool:
        """Whether the gate has closed the connection of what did not come."""
        return self._left.wait(SECONDS)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@dataclass(frozen=True)
class Slow:
    gate: Gate
    somebody: Identity
    large: Large

    def counted(self, limit: str) -> int:
        return int(dict(self.gate.command("status").json["counters"]["limited"])[limit])


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Slow]:
    folder = tmp_path_factory.mktemp("slow")
    with closing(Large()) as large:
        sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "{upstream.url}" }},
    {{ path = "/large", upstream = "{large.url}" }},
    {{ path = "/lazy", upstream = "{large.url}" }},
    {{ path = "/late", upstream = "{large.url}" }},
]
"""
        with running_gate(folder / "gate", sites, SETTINGS) as gate:
            yield Slow(gate, gate.client("somebody"), large)


def drips_until_the_end(send: Callable[[], object]) -> bool:
    """Whether the gate ends what `send` goes on with before our patience ends."""
    began = time.monotonic()
    with suppress(OSError):
        while time.monotonic() - began < PATIENCE_SECONDS:
            send()
            time.sleep(0.1)
    return time.monotonic() - began < PATIENCE_SECONDS


@pytest.mark.parametrize("first", [0, 200_000], ids=["from the start", "after a fast start"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_that_drips_is_told_so(chunked: bool, first: int, slow: Slow) -> None:
    before = slow.counted("min_body_rate")
    with slow.gate.open(slow.somebody) as connection:
        if chunked:
            head, piece = b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nxx\r\n"
            connection.send(b"POST /late HTTP/1.1\r\nHost: localhost\r\n" + head)
            connection.send(b"%x\r\n%s\r\n" % (first, b"x" * first) if first else b"")
        else:
            head, piece = b"Content-Length: 9999999\r\n\r\n", b"xx"
            connection.send(b"POST /late HTTP/1.1\r\nHost: localhost\r\n" + head + b"x" * first)
        connection.tls.settimeout(0.1)

        def drip() -> None:
            connection.send(piece)
            with suppress(TimeoutError):
                connection.more()
                raise EOFError

        with pytest.raises(EOFError):
            drips_until_the_end(drip)
        connection.tls.settimeout(SECONDS)
        answer = connection.response()
        assert (answer.status, answer.reason, answer.header("connection")) == (408, "body_too_slow", "close")
        assert connection.closed()
    assert slow.counted("min_body_rate") == before + 1
    assert slow.large.is_left()


def test_a_stream_that_drips_is_told_so_and_the_others_go_on(slow: Slow) -> None:
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost")]
    with Connection.open(slow.gate.port, slow.gate.context(slow.somebody, alpn=["h2"])) as connection:
        client = h2.H2(connection)
        dripping, steady = (client.start([*fields, (":path", path)]) for path in ("/late", "/x"))
        for _ in range(SLOW_SECONDS * 10):
            client.data(dripping, b"x")
            client.data(steady, b"x" * 1000)
            time.sleep(0.1)
        client.data(steady, b"", end=True)
        answered = client.answer(dripping)
        assert answered.status == 408
        assert b"body_too_slow" in answered.body
        assert client.answer(steady).status == 200
        assert client.request("/x").status == 200
    assert slow.large.is_left()


def test_a_body_that_comes_steadily_is_taken(slow: Slow) -> None:
    pieces = SLOW_SECONDS * 10
    with slow.gate.open(slow.somebody) as connection:
        connection.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (pieces * 1000))
        for _ in range(pieces):
            connection.send(b"x" * 1000)
            time.sleep(0.1)
        assert connection.response().status == 200


def test_a_service_that_reads_late_is_not_the_fault_of_the_client(slow: Slow) -> None:
    with slow.gate.open(slow.somebody) as connection:
        size = 16 << 20
        connection.send(b"POST /lazy HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        connection.send(bytes(size))
        assert connection.response().status == 200


def test_a_conversation_has_its_own_pace(slow: Slow) -> None:
    """gRPC: a client may say nothing for long, and then something."""
    with slow.gate.open(slow.somebody) as connection:
        head = b"Content-Type: application/grpc+proto\r\nContent-Length: 40\r\n\r\n"
        connection.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\n" + head)
        for _ in range(40):
            connection.send(b"x")
            time.sleep(SLOW_SECONDS / 40)
        assert connection.response().status == 200


def test_an_answer_that_is_taken_drop_by_drop_is_ended(slow: Slow) -> None:
    before = slow.counted("min_read_rate")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    plain.settimeout(SECONDS)
    plain.connect(("127.0.0.1", slow.gate.port))
    with closing(slow.gate.context(slow.somebody).wrap_socket(plain, server_hostname="localhost")) as tls:
        tls.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def sip() -> None:
            if slow.counted("min_read_rate") > before:
                raise ConnectionResetError
            tls.recv(100)

        assert drips_until_the_end(sip)
    assert slow.counted("min_read_rate") > before


def test_an_answer_that_is_taken_at_once_is_not(slow: Slow) -> None:
    with slow.gate.open(slow.somebody) as connection:
        connection.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.until(b"\r\n\r\n")
        left = LARGE - (1 << 20)
        while left > 0:
            left -= len(connection.exactly(1 << 14))


def test_a_window_that_stays_closed_ends_the_connection(slow: Slow) -> None:
    """CVE-2016-1546: over HTTP/2 a client takes nothing although its socket could."""
    before = slow.counted("min_read_rate")
    fields = [(":method", "GET"), (":scheme", "https"), (":path", "/large"), (":authority", "localhost")]
    with Connection.open(slow.gate.port, slow.gate.context(slow.somebody, alpn=["h2"])) as connection:
        settings = b"\x00\x04" + (1).to_bytes(4)  # SETTINGS_INITIAL_WINDOW_SIZE
        connection.send(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0, settings))
        connection.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, h2.block(fields)))
        window = h2.frame(h2.WINDOW_UPDATE, 0, 1, (1).to_bytes(4))
        assert drips_until_the_end(lambda: connection.send(window + h2.frame(h2.PING, 0, 0, bytes(8))))
    assert slow.counted("min_read_rate") > before


def test_a_handshake_that_drips_is_ended(slow: Slow) -> None:
    """Record by record, so that something comes all the time."""
    with Connection.plain(slow.gate.port) as connection:
        hello = iter(range(2000))
        connection.send(b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\x00\x07\xd0")
        assert drips_until_the_end(lambda: connection.send(b"\x16\x03\x01\x00\x01" + bytes([next(hello) & 1])))
