"""One HTTP exchange with a server that somebody else chose: bounded in size and time, to one address, no redirects.

Not a general client on purpose: http.client does the protocol, and what it would be lenient in is refused here.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from mutualgate import __version__
from mutualgate.errors import Unavailable
from mutualgate.partners.addresses import Location, may_connect, why_not
from mutualgate.reading.files import shown

MAX_LIST_BYTES = 64 * 1024 * 1024
"""More than a million entries."""
MAX_ANSWER_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
TOTAL_SECONDS = 120.0
"""For all of it: a server that sends a byte now and then holds nobody up for longer."""
FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=1)
_CHUNK = 64 * 1024

Resolve = Callable[[str, int], list[str]]
"""The addresses of a name; a test may have names of its own."""


@dataclass(frozen=True)
class Fetched:
    """What came: None for `data` when the server has nothing newer (RFC 9110 15.4.5)."""

    data: bytes | None = field(repr=False)
    etag: str = ""
    modified: str = ""


def retry(failures: int) -> timedelta:
    """After so many failures, how long until the next try: a minute, two, four, up to an hour."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 20)), LAST_RETRY)


def resolve(host: str, port: int) -> list[str]:
    """By this machine's resolver. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def fetch(
    location: Location,
    *,
    private: bool = False,
    etag: str = "",
    modified: str = "",
    body: bytes | None = None,
    content_type: str = "",
    max_bytes: int = MAX_LIST_BYTES,
    total_seconds: float = TOTAL_SECONDS,
    signed: bool = True,
    resolve: Resolve = resolve,
) -> Fetched:
    """GETs `location`, or POSTs `body` there. Raises `Unavailable` with one sentence for everything that goes wrong.

    `signed`: what comes proves by itself whose it is, whatever it came by.
    """
    until = time.monotonic() + total_seconds
    connection = _Connection(location, _connect(location, private, signed, resolve, until))
    # http.client waits for each part of the answer by itself: this ends all of it.
    watch = threading.Timer(max(0.0, until - time.monotonic()), connection.cut)
    watch.daemon = True
    watch.start()
    try:
        headers = {
            "Host": location.shown_host,
            "User-Agent": f"mutualgate/{__version__}",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if body is not None:
            headers["Content-Type"] = content_type
        if etag:
            headers["If-None-Match"] = etag
        if modified:
            headers["If-Modified-Since"] = modified
        connection.request("GET" if body is None else "POST", location.target, body, headers)
        return _answer(location, connection.getresponse(), max_bytes, bool(etag or modified))
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() >= until
        words = f"no answer within {total_seconds:.0f} seconds" if late else _words(error)
        raise _failed(location, f"did not answer as it should ({words})") from error
    finally:
        watch.cancel()
        connection.close()


def _answer(location: Location, response: http.client.HTTPResponse, max_bytes: int, conditional: bool) -> Fetched:
    if response.status == 304 and conditional:
        return Fetched(None)
    if 300 <= response.status < 400:
        target = shown(response.headers.get("Location", "nowhere"), 200)
        raise _failed(location, f"leads on to {target}, and redirects are not followed", "Approve that address instead")
    if response.status != 200:
        raise _failed(location, f"answers {response.status}")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        # Nothing is unpacked: a few KiB could become gigabytes.
        raise _failed(location, f"sends a body that is packed ({shown(encoding, 20)}), which was not asked for")
    if response.length is not None and response.length > max_bytes:
        raise _failed(location, f"sends {response.length} bytes, more than the {max_bytes} bytes that are read")
    expected, parts, size = response.length, [], 0
    while part := response.read(_CHUNK):
        size += len(part)
        if size > max_bytes:
            raise _failed(location, f"sends more than the {max_bytes} bytes that are read")
        parts.append(part)
    if expected is not None and size != expected:
        raise http.client.HTTPException(f"broke off after {size} of {expected} bytes")
    return Fetched(b"".join(parts), _kept(response, "ETag"), _kept(response, "Last-Modified"))


def _kept(response: http.client.HTTPResponse, name: str) -> str:
    """A validator to send back later: only if it can be a field's value, and is not a burden."""
    value = response.headers.get(name, "")
    return value if len(value) <= 200 and value.isascii() and value.isprintable() else ""


class _Connection(http.client.HTTPConnection):
    """Over a socket that is open already."""

    def __init__(self, location: Location, sock: socket.socket) -> None:
        super().__init__(location.host, location.port)
        self.sock = sock

    def connect(self) -> None:
        raise http.client.NotConnected  # never again, and never by the name

    def cut(self) -> None:
        """From another thread: whoever waits for an answer waits no longer."""
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _connect(location: Location, private: bool, signed: bool, resolve: Resolve, until: float) -> socket.socket:
    """Resolves once and connects to what came: a name that means something else a moment later gains nothing."""
    try:
        texts = resolve(location.host, location.port)
    except (OSError, UnicodeError) as error:
        raise _failed(location, "cannot be found: no such name, or no name server answers") from error
    addresses = [ipaddress.ip_address(text) for text in texts]
    allowed = [address for address in addresses if may_connect(address, private)]
    if not addresses:
        raise _failed(location, "cannot be found: the name has no address")
    if not allowed:
        raise _failed(location, *why_not(private), code="private_address")
    problem: Exception | None = None
    for address in allowed[:4]:
        seconds = min(CONNECT_SECONDS, until - time.monotonic())
        if seconds <= 0:
            break
        try:
            sock = socket.create_connection((str(address), location.port), timeout=seconds)
        except OSError as error:
            problem = error
            continue
        sock.settimeout(max(1.0, until - time.monotonic()))
        if not location.secure:
            return sock
        try:
            sock.settimeout(seconds)
            wrapped = ssl.create_default_context().wrap_socket(sock, server_hostname=location.host)
            wrapped.settimeout(max(1.0, until - time.monotonic()))
            return wrapped
        except ssl.SSLCertVerificationError as error:
            sock.close()
            raise _failed(
                location,
                f"has a certificate that is not trusted ({shown(error.verify_message, 80)})",
                "Lists are signed: an http address will do" if signed else None,
            ) from error
        except OSError as error:
            sock.close()
            problem = error
    raise _failed(location, f"cannot be reached ({_words(problem) if problem else 'too late'})") from problem


def _failed(location: Location, problem: str, fix: str | None = None, code: str | None = None) -> Unavailable:
    return Unavailable(f"{location.shown_host} {problem}", fix=fix, code=code or "fetch_failed")


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return shown(error.strerror, 100)
    return shown(str(error), 100) or type(error).__name__
