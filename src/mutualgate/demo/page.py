"""What was seen, for whoever asks: a page for browsers, JSON for programs, text for terminals."""

import base64
import functools
import hashlib
import json
import textwrap
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING

from mutualgate.demo.handshake import ADMITTED, Seen, day

if TYPE_CHECKING:
    import jinja2

NOTHING = "default-src 'none'; frame-ancestors 'none'"


def render(what: Seen, kind: str) -> tuple[bytes, str, str]:
    """The body, its Content-Type and its Content-Security-Policy; `kind` is `html`, `json` or `text`."""
    match kind:
        case "html":
            return _html(what)
        case "json":
            return _json(what), "application/json", NOTHING
    return _text(what).encode(), "text/plain; charset=utf-8", NOTHING


def headline(what: Seen) -> str:
    """One sentence: who is asking."""
    if what.client.verdict == ADMITTED:
        return f"Hello, {what.client.name or 'client'}."
    return "Hello, whoever you are." if what.client.verdict else "Nobody guards this door."


def _html(what: Seen) -> tuple[bytes, str, str]:
    style, policy = _style()
    body = _page().render(
        seen=what, headline=headline(what), admitted=what.client.verdict == ADMITTED, style=style, day=day
    )
    return body.encode(), "text/html; charset=utf-8", policy


def _json(what: Seen) -> bytes:
    return (json.dumps(asdict(what), indent=2, default=str, ensure_ascii=False) + "\n").encode()


def _text(what: Seen) -> str:
    """For a terminal of 80 columns. No byte of a certificate can move the cursor."""
    lines = [headline(what), ""]
    for step in what.steps:
        arrow = {
            "client": "client ---> gate",
            "gate": "client <--- gate",
            "client alone": "client",
            "gate alone": "gate",
        }
        skipped = "  (not needed: a session was resumed)" if step.skipped else ""
        lines += [f"{step.number}. {step.title}{skipped}", f"   [{arrow[step.by]}]  {step.message}"]
        lines += textwrap.wrap(step.meaning, 76, initial_indent="   ", subsequent_indent="   ")
        lines += [f"     {name + ':':<20} {value}" for name, value in step.facts]
        lines.append("")
    if what.fields:
        lines.append("What this service was told, in header fields:")
        lines += [
            f"   {name.title()}: {value if len(value) <= 160 else value[:157] + '...'}" for name, value in what.fields
        ]
    else:
        lines.append("No header field says who is asking: the request did not come through the gate.")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"


@functools.cache
def _style() -> tuple[str, str]:
    """The style sheet, and a policy that allows it and nothing else: no script, no other host."""
    style = (resources.files("mutualgate.demo") / "templates" / "hello.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return style, f"{NOTHING}; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@functools.cache
def _page() -> "jinja2.Template":
    import jinja2  # 0.1 s: only when a page is asked for

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mutualgate.demo"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("hello.html.j2")
