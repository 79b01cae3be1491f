"""HTTP/2 by hand (RFC 9113): just enough to say what a well-behaved library refuses to say.

Sends header fields without compression and reads of an answer its status and its body.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from end_to_end.raw import Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4

# RFC 7541 appendix A: :status in the static table; appendix B: the Huffman codes of the digits.
STATIC_STATUS = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
HUFFMAN_DIGITS = {"00000": "0", "00001": "1", "00010": "2"} | {f"{25 + n:06b}": str(3 + n) for n in range(7)}


@dataclass
class Answered:
    """What came back on one stream; `status` is None where the stream was reset or the connection ended."""

    status: int | None = None
    body: bytes = b""
    reset: int | None = None
    ended: bool = field(default=False, repr=False)


class H2:
    """A connection on which `h2` was agreed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stream = -1
        self.settings: dict[int, int] = {}
        """What the gate has said in SETTINGS."""
        # No dynamic table (SETTINGS_HEADER_TABLE_SIZE 0): answers say what they mean each time.
        connection.send(PREFACE + frame(SETTINGS, 0, 0, b"\x00\x01\x00\x00\x00\x00"))

    def request(
        self,
        path: str = "/",
        headers: Sequence[tuple[str, str]] = (),
        *,
        authority: str | None = "localhost",
        body: bytes = b"",
        trailers: Sequence[tuple[str, str]] = (),
        method: str = "GET",
    ) -> Answered:
        """One request; `authority` None leaves the pseudo-header out."""
        fields = [(":method", method), (":scheme", "https"), (":path", path)]
        if authority is not None:
            fields.append((":authority", authority))
        return self.fields([*fields, *headers], body, trailers)

    def fields(
        self, fields: Sequence[tuple[str, str]], body: bytes = b"", trailers: Sequence[tuple[str, str]] = ()
    ) -> Answered:
        """One request of exactly these fields, pseudo-headers among them."""
        self._stream += 2
        bare = not body and not trailers
        data = frame(HEADERS, END_HEADERS | (END_STREAM if bare else 0), self._stream, block(fields))
        if body or trailers:
            data += frame(DATA, 0 if trailers else END_STREAM, self._stream, body)
        if trailers:
            data += frame(HEADERS, END_HEADERS | END_STREAM, self._stream, block(trailers))
        try:
            self._connection.send(data)
            return self._answer(self._stream)
        except OSError:
            return Answered()

    def send(self, data: bytes) -> None:
        self._connection.send(data)

    def start(self, fields: Sequence[tuple[str, str]], *, end: bool = False) -> int:
        """Begins a request and returns the number of its stream."""
        self._stream += 2
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), self._stream, block(fields)))
        return self._stream

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends a part of a body; the gate's windows are the caller's to mind."""
        self.send(frame(DATA, END_STREAM if end else 0, stream, data))

    def next(self) -> tuple[int, int, int, bytes]:
        """The next frame: its type, flags, stream and payload. Settings are noted and acknowledged, windows opened."""
        length, kind, flags, number = self._head()
        payload = self._connection.exactly(length)
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, length, 6):
                self.settings[int.from_bytes(payload[at : at + 2])] = int.from_bytes(payload[at + 2 : at + 6])
            self._connection.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == DATA and payload:
            more = len(payload).to_bytes(4)
            self._connection.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, number, more))
        return kind, flags, number, payload

    def answer(self, stream: int) -> Answered:
        """Reads the answer on `stream` to its end."""
        return self._answer(stream)

    def _answer(self, stream: int) -> Answered:
        answered = Answered()
        while not answered.ended:
            kind, flags, number, payload = self.next()
            if kind == GOAWAY:
                # 0 is NO_ERROR: the streams under way are still answered.
                answered.ended = int.from_bytes(payload[4:8]) != 0
            elif number == stream and kind == RST_STREAM:
                answered.reset, answered.ended = int.from_bytes(payload[:4]), True
            elif number == stream and kind == HEADERS:
                if answered.status is None or answered.status < 200:
                    answered.status = status(payload)
                answered.ended = bool(flags & END_STREAM)
            elif number == stream and kind == DATA:
                answered.body += payload
                answered.ended = bool(flags & END_STREAM)
        return answered

    def _head(self) -> tuple[int, int, int, int]:
        head = self._connection.exactly(9)
        return int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:9])


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def block(fields: Sequence[tuple[str, str]]) -> bytes:
    """Header fields as literals without indexing and without Huffman (RFC 7541 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def status(payload: bytes) -> int:
    """The status in a header block of a response, where it comes first."""
    while payload[0] & 0xE0 == 0x20:  # a change of the table's size (RFC 7541 6.3)
        payload = payload[1:]
    if payload[0] & 0x80:
        return STATIC_STATUS[payload[0] & 0x7F]
    length = payload[1] & 0x7F
    value = payload[2 : 2 + length]
    return int(_digits(value) if payload[1] & 0x80 else value)


def _digits(value: bytes) -> str:
    bits, digits = "".join(f"{byte:08b}" for byte in value), ""
    while len(digits) < 3:
        size = 5 if bits[:5] in HUFFMAN_DIGITS else 6
        digits, bits = digits + HUFFMAN_DIGITS[bits[:size]], bits[size:]
    return digits


def _string(text: str) -> bytes:
    data = text.encode("latin-1")
    length = len(data)
    if length < 127:
        return bytes([length]) + data
    rest, prefix = length - 127, b"\x7f"
    while rest >= 128:
        prefix, rest = prefix + bytes([rest % 128 + 128]), rest // 128
    return prefix + bytes([rest]) + data
