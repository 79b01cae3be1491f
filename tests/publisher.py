"""An HTTP server on the loopback that publishes lists and answers, as a partner's CA does; or misbehaves as told."""

import hashlib
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from handling import Handler, handling


@dataclass
class Page:
    """What is at one path."""

    data: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """What Content-Length says, if not the truth; -1 for chunks."""
    drip_seconds: float = 0.0
    """Sends a byte, waits, and so on."""


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Publisher:
    """Its pages by path, and what it was asked."""

    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[bytes], bytes] | None = None
    """Makes the answer to a POST of its body."""
    scheme: str = "http"

    def put(self, path: str, data: bytes, **more: Any) -> str:
        """Publishes `data`; returns the address, by the loopback's name."""
        self.pages[path] = Page(data, **more)
        return self.url(path)

    def url(self, path: str = "/") -> str:
        """An address here."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def count(self, path: str) -> int:
        """How often it was asked for."""
        return sum(one.path == path for one in self.asked)


@contextmanager
def publisher(tls: ssl.SSLContext | None = None) -> Iterator[Publisher]:
    """Runs one, by https with `tls`."""
    kept = Publisher(scheme="http" if tls is None else "https")

    class Pages(Handler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - as http.server wants it
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
            if self.command == "POST" and kept.answer is not None:
                return self.send(Page(kept.answer(body)))
            self.send(kept.pages.get(self.path, Page(status=404)))

        do_POST = do_GET  # noqa: N815

        def send(self, page: Page) -> None:
            etag = f'"{hashlib.sha256(page.data).hexdigest()[:16]}"'
            if page.status == 200 and self.headers.get("If-None-Match") == etag:
                self.send_response(304)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.close_connection = True
            self.send_response(page.status)
            if page.status == 200:
                self.send_header("ETag", etag)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.length == -1:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for start in range(0, len(page.data), 60_000):
                    part = page.data[start : start + 60_000]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
                return
            self.send_header("Content-Length", str(len(page.data) if page.length is None else page.length))
            self.end_headers()
            if not page.drip_seconds:
                self.wfile.write(page.data)
                return
            for number in range(len(page.data)):
                self.wfile.write(page.data[number : number + 1])
                self.wfile.flush()
                time.sleep(page.drip_seconds)

    with handling(Pages, tls) as kept.port:
        yield kept
