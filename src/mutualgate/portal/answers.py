"""What is sent back: pages by template, JSON for programs, text for terminals; and the policy that all go out with.

The policy lets a page run the portal's own scripts and nothing else, and send to the portal's own addresses alone: a
name in a certificate is hostile text, and a private key is made in one of these pages.
"""

import functools
import json
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.responses import Response

from mutualgate.counts import counted, days_left
from mutualgate.errors import ended
from mutualgate.portal import assets
from mutualgate.portal.asked import Asked
from mutualgate.portal.problems import Problem
from mutualgate.portal.systems import ACCEPT_CH

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

# For the gate alone, which removes it: no further request on this connection. The next makes a new handshake.
CLOSE: Final = "Mutualgate-Close"

CHAIN_TYPE: Final = "application/pem-certificate-chain"

COLUMNS: Final = 78


def page(
    asked: Asked, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """A page: `template` with `values`, and with `asked`, `visitor` and what the layout needs."""
    body = _environment().get_template(template).render(
        asked=asked,
        visitor=asked.visitor,
        favicon=assets.icon(),
        now=asked.desk.clock(),
        operators=asked.desk.is_operator(asked.visitor),
        **values,
    )  # fmt: skip
    return send(asked, body, "text/html; charset=utf-8", status, {"Accept-CH": ACCEPT_CH, **(headers or {})})


def document(
    asked: Asked,
    value: Any,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON, for programs."""
    body = json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n"
    return send(asked, body, content_type, status, headers)


def text(asked: Asked, body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """For a terminal: lines are folded, and nothing in them can move its cursor."""
    lines = []
    for line in body.splitlines():
        clean = "".join(c if c.isprintable() else "?" for c in line)
        indent = clean[: len(clean) - len(clean.lstrip())]
        # A command is typed as it stands; sentences are folded.
        lines += [clean] if indent else textwrap.wrap(clean, COLUMNS) or [""]
    return send(asked, "\n".join(lines) + "\n", "text/plain; charset=utf-8", status, headers)


def file(asked: Asked, content: bytes, content_type: str, name: str) -> Response:
    """A file to keep. `name` is of our own making, or from `file_name` (RFC 6266 5)."""
    given = f'attachment; filename="{re.sub("[^ -~]", "-", name)}"'
    if not name.isascii():
        given += f"; filename*=UTF-8''{quote(name)}"
    return send(asked, content, content_type, 200, {"Content-Disposition": given})


def see_other(asked: Asked, *parts: str, headers: Mapping[str, str] | None = None) -> Response:
    """On to a page of the portal, after a form (RFC 9110 15.4.4)."""
    return send(asked, "", "text/plain; charset=utf-8", 303, {"Location": asked.to(*parts), **(headers or {})})


def see_other_place(asked: Asked, place: str) -> Response:
    """On to a path of the portal as it stands."""
    return send(asked, "", "text/plain; charset=utf-8", 303, {"Location": place})


def problem(asked: Asked | None, what: Problem, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error: RFC 9457 for programs, a page for people. Without `asked`, where there is no telling who asks."""
    if what.retry_after:
        headers = {"Retry-After": str(what.retry_after), **(headers or {})}
    if kind == "html" and asked is not None:
        return page(asked, "problem.html.j2", status=what.status, headers=headers, problem=what)
    if kind == "json":
        return (
            document(
                asked, what.document(), status=what.status, content_type="application/problem+json", headers=headers
            )
            if asked
            else send(None, json.dumps(what.document()) + "\n", "application/problem+json", what.status, headers)
        )
    lines = [what.title, *([f"Expected: {what.expected}."] if what.expected else []), *([what.fix] if what.fix else [])]
    body = "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"
    return send(asked, body, "text/plain; charset=utf-8", what.status, headers)


def chain(asked: Asked, pem: bytes) -> Response:
    """A certificate and what is above it but the root, as PEM (RFC 8555 9.1)."""
    return send(asked, pem, CHAIN_TYPE, 200, None)


def send(
    asked: Asked | None, body: str | bytes, content_type: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Any of them, with the header fields that all have."""
    return Response(
        body,
        status,
        {
            "Content-Type": content_type,
            "Content-Security-Policy": policy(asked),
            "Cache-Control": "no-store",
            "Vary": "Accept",
            # A token is part of the address, so no path is told to anybody. With `no-referrer` browsers would send
            # `Origin: null` with our own forms.
            "Referrer-Policy": "strict-origin",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Robots-Tag": "noindex",
            **(headers or {}),
        },
    )


def policy(asked: Asked | None) -> str:
    """Content-Security-Policy. Our own addresses only, by path: the service behind shares our host, and is not us."""
    nothing = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
    if asked is None:
        return f"{nothing}; form-action 'none'"
    # A source of the policy cannot name an IPv6 address (CSP 2.3.1): there the whole host has to do.
    ours, static = ("'self'",) * 2 if asked.host.startswith("[") else (f"{asked.base}/", f"{asked.base}/static/")
    return (
        f"{nothing}; script-src {static}; style-src {static}; img-src data:; "
        f"connect-src {ours}; form-action {ours}; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def day(moment: datetime) -> str:
    """`3 May 2027`."""
    return f"{moment.day} {moment:%B %Y}"


def moment(at: datetime) -> str:
    """`3 May 2027, 14:05 UTC`."""
    return f"{day(at)}, {at:%H:%M} UTC"


def groups(digits: str) -> str:
    """A long number in groups of four, as people compare it."""
    return " ".join(textwrap.wrap(digits, 4))


def capfirst(sentence: str) -> str:
    """The sentence with a capital at its beginning, and the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def code(sentence: str) -> "Markup":
    """A sentence in which `this` is something to type."""
    from markupsafe import Markup, escape

    # Escaped first: what is between the backticks is as hostile as the rest.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704


def file_name(name: str) -> str:
    """A name of somebody as that of a file: letters and digits, and nothing that a system could take for more."""
    return re.sub(r"[^\w-]+", "-", name)[:48].strip("-") or "client"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2  # 0.1 s: only when a page is asked for

    from mutualgate.portal.sent import form_key

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mutualgate.portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "day": day,
        "days_left": days_left,
        "moment": moment,
        "groups": groups,
        "capfirst": capfirst,
        "file_name": file_name,
        "code": code,
        "ended": ended,
    }
    environment.globals["form_key"] = form_key
    environment.globals["counted"] = counted
    return environment
