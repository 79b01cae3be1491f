"""An upstream that keeps every request byte for byte, and answers in the odd ways that upstreams do.

It reads framing strictly by RFC 9112: what it calls a request is what a careful server behind the gate would serve.
The last segment of the path says how it answers: `ws`, `sse`, `trailers`, `early`, `close`, `hop`; else it echoes.
"""

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader

from end_to_end.servers import Server


@dataclass
class Recorded:
    """A request that arrived."""

    connection: int
    head: bytes
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self._lines[0].split(" ")[0]

    @property
    def target(self) -> str:
        return self._lines[0].split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(line.split(":", 1)[0], line.split(":", 1)[1].strip()) for line in self._lines[1:] if line]

    def values(self, name: str) -> list[str]:
        """The values of a header field."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def _lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")


class Recorder(Server):
    """The server. `requests` grows in the order in which heads arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Recorded] = []
        self.streams_open = 0
        self._lock = threading.Lock()
        self._connections = 0

    def marked(self, mark: str) -> list[Recorded]:
        """The requests whose target or header fields hold `mark`."""
        return [request for request in list(self.requests) if mark.encode() in request.head]

    def meet(self, peer: socket.socket) -> None:
        with self._lock:
            self._connections += 1
            number = self._connections
        with peer.makefile("rb") as stream, suppress(ValueError, OverflowError):
            while self._one(peer, stream, number):
                pass

    def _one(self, connection: socket.socket, stream: BufferedReader, number: int) -> bool:
        head = _head(stream)
        if head is None:
            return False
        request = Recorded(number, head)
        self.requests.append(request)
        kind = request.target.split("?")[0].rsplit("/", 1)[-1]
        if kind == "ws":
            return self._upgrade(connection, stream, request)
        if request.values("expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        _body(stream, request)
        if kind == "sse":
            return self._stream(connection)
        connection.sendall(_answer(kind, request))
        return kind != "close"

    def _upgrade(self, connection: socket.socket, stream: BufferedReader, request: Recorded) -> bool:
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        with self._lock:
            self.streams_open += 1
        try:
            while data := stream.read1(65536):
                connection.sendall(data)
        finally:
            with self._lock:
                self.streams_open -= 1
        return False

    def _stream(self, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self._lock:
            self.streams_open += 1
        try:
            for event in range(1200):
                data = b"data: %d\n\n" % event
                connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
                time.sleep(0.05)
        finally:
            with self._lock:
                self.streams_open -= 1
        return False


def _head(stream: BufferedReader) -> bytes | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    return head


def _body(stream: BufferedReader, request: Recorded) -> None:
    if request.values("transfer-encoding"):
        while size := int(stream.readline().split(b";")[0], 16):
            request.body += stream.read(size)
            stream.readline()
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, value = line.decode("latin-1").split(":", 1)
            request.trailers.append((name, value.strip()))
    else:
        request.body = stream.read(int((request.values("content-length") or ["0"])[0]))


def _answer(kind: str, request: Recorded) -> bytes:
    if kind == "trailers":
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n"
        return head + b"5\r\nhello\r\n0\r\nX-Checksum: 42\r\n\r\n"
    if kind == "early":
        return b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    if kind == "close":
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"
    if kind == "hop":
        return b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"
    body = json.dumps({"target": request.target, "headers": request.headers, "bytes": len(request.body)}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + (b"" if request.method == "HEAD" else body)
