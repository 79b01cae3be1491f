"""One POST to an address of the settings: bounded in size and time, without redirects."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mutualgate.notices.failure import Failure, said

_MAX_ANSWER_BYTES = 64 * 1024
_ALL_OF_IT = 2
"""How often the time for one step the whole exchange may take: a receiver that drips holds nobody up for longer."""


@dataclass(frozen=True)
class Answer:
    """What the receiver said; whatever its status."""

    status: int
    retry_after: str
    body: bytes = field(repr=False)


def post(url: str, body: bytes, headers: Mapping[str, str], *, ca_file: Path | None, seconds: float) -> Answer:
    """POSTs `body`; each step may take `seconds`. Raises `Failure` where there is no answer."""
    where = urlsplit(url).netloc
    connection, target = _connection(url, ca_file, seconds)
    watch = threading.Timer(_ALL_OF_IT * seconds, _cut, [connection])
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        answer = response.read(_MAX_ANSWER_BYTES)
        return Answer(response.status, response.headers.get("Retry-After", ""), answer)
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"{where} has a certificate that is not trusted ({said(error.verify_message)})", everybody=True
        ) from error
    except TimeoutError as error:
        raise Failure(f"{where} did not answer in time", everybody=True) from error
    except (OSError, http.client.HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise Failure(f"{where} cannot be reached ({said(words)})", everybody=True) from error
    finally:
        watch.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _connection(url: str, ca_file: Path | None, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=seconds), target
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise Failure(f"{ca_file} holds no certificate that can be used, expected PEM", everybody=True) from error
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=seconds, context=context), target
