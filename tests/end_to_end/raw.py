"""A client that says exactly the bytes it is told to: TLS by OpenSSL, HTTP/1.1 by hand.

Knows sockets and framing. Does not know the gate's command line, nor what an answer should be.
"""

import json
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from end_to_end.forge import Identity

SECONDS = 20
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Response:
    """An answer, with its header fields in the order they came."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The field's values, joined as RFC 9110 5.2 allows; None where it is absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str | None:
        """The code in a refusal's problem document; None where the answer is no refusal."""
        if (self.header("content-type") or "").split(";")[0] != "application/problem+json":
            return None
        code = self.json()["reason"]
        assert isinstance(code, str)
        return code


class Transport(Protocol):
    """What a `Connection` speaks over."""

    def sendall(self, data: bytes) -> object: ...
    def recv(self, size: int) -> bytes: ...
    def close(self) -> object: ...


def context(
    root: Path,
    identity: Identity | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    tickets: bool = True,
    alpn: Sequence[str] = ("http/1.1",),
) -> ssl.SSLContext:
    """TLS as a client that trusts `root` alone; weak keys are allowed, for it is the gate that should refuse them."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    tls.load_verify_locations(root)
    if identity is not None:
        tls.load_cert_chain(identity.certificate, identity.key)
    if version is not None:
        tls.minimum_version = tls.maximum_version = version
    if not tickets:
        tls.options |= ssl.OP_NO_TICKET
    if alpn:
        tls.set_alpn_protocols(list(alpn))
    return tls


class Connection:
    """One TLS connection on which requests are said in HTTP/1.1."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._read = b""

    @classmethod
    def open(
        cls,
        port: int,
        tls: ssl.SSLContext,
        sni: str | None = "localhost",
        session: ssl.SSLSession | None = None,
    ) -> "Connection":
        """Connects and finishes the handshake; without SNI the server's name is not compared."""
        tls.check_hostname = sni is not None
        plain = socket.create_connection(("127.0.0.1", port), SECONDS)
        try:
            return cls(tls.wrap_socket(plain, server_hostname=sni, session=session))
        except BaseException:
            plain.close()
            raise

    @classmethod
    def plain(cls, port: int) -> "Connection":
        """Connects without TLS."""
        return cls(socket.create_connection(("127.0.0.1", port), SECONDS))

    @property
    def tls(self) -> ssl.SSLSocket:
        assert isinstance(self.transport, ssl.SSLSocket)
        return self.transport

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def send(self, data: bytes) -> None:
        self.transport.sendall(data)

    def request(
        self, target: str, headers: Headers = (), *, method: str = "GET", host: str = "localhost", body: bytes = b""
    ) -> Response:
        """One request and its answer."""
        self.send(message(target, headers, method=method, host=host, body=body))
        return self.response(method)

    def response(self, method: str = "GET") -> Response:
        """Reads the next final answer; 1xx but 101 are passed over."""
        while True:
            head = self.until(b"\r\n\r\n").decode("latin-1")
            status_line, *lines = head.split("\r\n")[:-2]
            status = int(status_line.split(" ")[1])
            headers = [(line.split(":", 1)[0], line.split(":", 1)[1].strip()) for line in lines]
            if status >= 200 or status == 101:
                return Response(status, headers, self._body(method, status, headers))

    def _body(self, method: str, status: int, headers: Headers) -> bytes:
        found = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status in (101, 204, 304):
            return b""
        if found.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(iter(self.chunk, b""))
        if "content-length" in found:
            return self.exactly(int(found["content-length"]))
        return self.rest()

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty at its end, when the trailers have been read too."""
        size = int(self.until(b"\r\n").split(b";")[0], 16)
        if size:
            data = self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            return data
        while self.until(b"\r\n") != b"\r\n":
            pass
        return b""

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        while mark not in self._read:
            self.more()
        end = self._read.index(mark) + len(mark)
        data, self._read = self._read[:end], self._read[end:]
        return data

    def exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            self.more()
        data, self._read = self._read[:count], self._read[count:]
        return data

    def rest(self) -> bytes:
        """Everything until the other side ends the connection, in whichever way."""
        while True:
            try:
                self.more()
            except ConnectionError:
                data, self._read = self._read, b""
                return data

    def closed(self) -> bool:
        """Whether the other side ends the connection, without another byte, before the time is up."""
        try:
            return self.rest() == b""
        except TimeoutError:
            return False

    def more(self) -> None:
        """Reads what comes next."""
        try:
            data = self.transport.recv(1 << 16)
        except (ssl.SSLError, OSError) as problem:
            if isinstance(problem, TimeoutError):
                raise
            raise ConnectionResetError(str(problem)) from problem
        if not data:
            raise ConnectionResetError(f"ended after {self._read[:200]!r}")
        self._read += data


def message(
    target: str, headers: Headers = (), *, method: str = "GET", host: str = "localhost", body: bytes = b""
) -> bytes:
    """A request as bytes, with a Content-Length if it has a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Fragmented:
    """TLS whose ClientHello is cut by `cut` into the pieces that go out one by one."""

    def __init__(self, port: int, tls: ssl.SSLContext, sni: str, cut: Callable[[bytes], Iterable[bytes]]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=sni)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            for piece in cut(self._outgoing.read()):
                self._socket.sendall(piece)
        self._until_done(self._object.do_handshake)

    def sendall(self, data: bytes) -> None:
        self._object.write(data)
        self._flush()

    def recv(self, size: int) -> bytes:
        data = self._until_done(lambda: self._object.read(size))
        assert isinstance(data, bytes)
        return data

    def close(self) -> None:
        self._socket.close()

    def _until_done(self, step: Callable[[], object]) -> object:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._socket.recv(1 << 16)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())


def records(hello: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    """Cuts the one record of a ClientHello into records of these sizes, the rest into a last one (RFC 8446 5.1)."""
    payload = hello[5:]
    for size in sizes:
        piece, payload = payload[:size], payload[size:]
        if piece:
            yield hello[:3] + len(piece).to_bytes(2) + piece
    if payload:
        yield hello[:3] + len(payload).to_bytes(2) + payload
