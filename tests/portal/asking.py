"""Asks the portal as the gate would: an ASGI request, with the gate's header fields."""

import asyncio
import base64
import functools
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any, ParamSpec
from urllib.parse import quote, unquote, urlencode

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

P = ParamSpec("P")

HOST = "gate.test"
ORIGIN = f"https://{HOST}"
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
JSON = "application/json"
TEXT = "*/*"
PEER = "192.0.2.7"

ANONYMOUS = {"Mutualgate-Verdict": "anonymous", "X-Forwarded-For": PEER}


def admitted(
    name: str,
    chain: list[bytes],
    *,
    client_id: int = 1,
    roles: tuple[str, ...] = (),
    authority: str = "issuing",
    partner: str = "",
) -> dict[str, str]:
    """What the gate says of an admitted client."""
    return {
        "Mutualgate-Verdict": "admitted",
        "Mutualgate-Client-Id": str(client_id),
        "Mutualgate-Client": quote(name),
        "Mutualgate-Roles": ",".join(quote(role, safe="") for role in roles),
        "Mutualgate-Authority": authority,
        **({"Mutualgate-Partner": quote(partner)} if partner else {}),
        "X-Forwarded-For": PEER,
        **shown(chain),
    }


def refused(chain: list[bytes], reason: str, detail: str = "", *, known: bool = False) -> dict[str, str]:
    """What the gate says of a proved certificate that it does not let in."""
    return {
        "Mutualgate-Verdict": "refused",
        "Mutualgate-Reason": reason,
        "Mutualgate-Detail": quote(detail),
        "Mutualgate-Issuer-Known": "yes" if known else "no",
        "X-Forwarded-For": PEER,
        **shown(chain),
    }


def shown(chain: list[bytes]) -> dict[str, str]:
    """RFC 9440."""
    values = [f":{base64.b64encode(der).decode()}:" for der in chain]
    return {"Client-Cert": values[0], **({"Client-Cert-Chain": ", ".join(values[1:])} if values[1:] else {})}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def words(self) -> str:
        """What a person reads of a page: no markup, spaces as one."""
        text = re.sub(r"<(script|style|svg|head)\b.*?</\1>", " ", self.text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


async def asking(
    application: "ASGIApp",
    path: str,
    who: dict[str, str] = ANONYMOUS,
    *,
    method: str = "GET",
    accept: str = HTML,
    form: dict[str, str] | None = None,
    body: bytes | list[bytes] = b"",
    **fields: str,
) -> Answer:
    """One request. With a `form` it is a POST from a page of the portal, as a browser sends it."""
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", "Accept": accept, **who}
    if method == "GET" and accept == HTML:  # of a link that was followed
        headers["Sec-Fetch-Site"] = "same-origin"
    if form is not None:
        method = "POST"
        headers |= {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
    headers |= {name.replace("_", "-"): value for name, value in fields.items()}
    return await _ask(application, method, path, headers, body if isinstance(body, list) else [body])


def _alone(function: Callable[P, Coroutine[Any, Any, Answer]]) -> Callable[P, Answer]:
    @functools.wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> Answer:
        return asyncio.run(function(*args, **kwargs))

    return ask


ask = _alone(asking)
"""`asking`, for one request at a time."""


async def _ask(
    application: "ASGIApp", method: str, target: str, headers: dict[str, str], chunks: list[bytes]
) -> Answer:
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": None,
        "server": None,
    }
    waiting = list(chunks)
    sent: list[Message] = []

    async def receive() -> "Message":
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: "Message") -> None:
        sent.append(message)

    await application(scope, receive, send)
    start = sent[0]
    fields: dict[str, str] = {}
    for name, value in start["headers"]:
        fields[name.decode().title()] = value.decode("latin-1")
    return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))
