"""`/metrics`, `/healthz` and the keys of tokens. No framework: three addresses that take no input."""

import ipaddress
import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from mutualgate.errors import MutualgateError
from mutualgate.ops import metrics
from mutualgate.ops.status import Status

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

TEXT: Final = "text/plain; charset=utf-8"
JWK_SET: Final = "application/jwk-set+json"


KEYS: Final = "/.well-known/mutualgate/jwks.json"


def application(
    status: Callable[[], Status], hosts: Collection[str] = (), keys: Callable[[], bytes | None] = lambda: None
) -> "ASGIApp":
    """The service, as an ASGI application. `status` is asked for each request and should take no longer than a few
    milliseconds; if it raises, the gate counts as not healthy. `keys` gives the set that verifies tokens, if any.

    `hosts` are names, besides `localhost` and every IP address, under which it may be asked. A page from anywhere can
    make a name of its own lead to 127.0.0.1 (DNS rebinding) and read what a browser on this machine may read; an
    address in the Host field cannot be made up that way.
    """
    known = {"localhost", *(host.lower() for host in hosts)}

    async def service(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return
        host = _host(scope["headers"])
        code, body, content_type = _answer(scope["method"], scope["path"], host, known, status, keys)
        content = body.encode()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(content)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if code == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    return service


def _answer(
    method: str,
    path: str,
    host: str | None,
    known: set[str],
    status: Callable[[], Status],
    keys: Callable[[], bytes | None],
) -> tuple[int, str, str]:
    if host is None or not _trusted(host, known):
        return 421, "This service is not known under that name; ask for an IP address or localhost.\n", TEXT
    if path not in ("/metrics", "/healthz", KEYS):
        return 404, "Here are /metrics and /healthz.\n", TEXT
    if method not in ("GET", "HEAD"):
        return 405, "Only GET and HEAD.\n", TEXT
    try:
        if path == KEYS:
            found = keys()
            return (404, "No route tells by tokens.\n", TEXT) if found is None else (200, found.decode(), JWK_SET)
        now = status()
        if path == "/metrics":
            return 200, metrics.render(now), metrics.CONTENT_TYPE
    except MutualgateError as error:
        return 503, f"{error}\n", TEXT
    except Exception:
        log.exception("the status could not be put together")
        return 503, "The status could not be put together; the log says more.\n", TEXT
    return (503, f"{now.problem}\n", TEXT) if now.problem else (200, "ok\n", TEXT)


def _host(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    values = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return values[0] if len(values) == 1 else None


def _trusted(host: str, known: set[str]) -> bool:
    match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::[0-9]{1,5})?", host)
    if not match:
        return False
    name = (match[1] or match[2] or "").lower().removesuffix(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in known
    return True
