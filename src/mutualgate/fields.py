"""The header fields of a request, as the services of our own behind the gate read them.

Those that the gate writes are believed: nobody else can connect, and it removes what a client sent under their names.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

KINDS: Final = {"text/html": "html", "application/json": "json", "text/plain": "text"}


def by_name(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields by name; one that came twice as a list (RFC 9110 5.3)."""
    fields: dict[str, str] = {}
    for name, value in items:
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def roles(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The client's, as the gate says."""
    # Split before decoding: a comma inside a role is encoded.
    return tuple(unquote(role) for role in fields.get("mutualgate-roles", "").split(",") if role)


def handshake(fields: Mapping[str, str]) -> dict[str, str]:
    """What the gate says of the connection's TLS."""
    pairs = (part.strip().partition("=") for part in fields.get("mutualgate-tls", "").split(";"))
    return {name: unquote(text) for name, _, text in pairs if name and text}


def preferred(accept: str) -> str:
    """`html`, `json` or `text`: what somebody with this `Accept` field (RFC 9110 12.5.1) reads best.

    Programs that take anything, as curl does, get text.
    """
    best, quality = "text", 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if match := re.fullmatch(r"q=(0(?:\.\d{1,3})?|1(?:\.0{1,3})?)", parameter):
                weight = float(match[1])
        if weight > quality and name in KINDS:
            best, quality = KINDS[name], weight
    return best
