"""What a program or person reads best, by its `Accept` field (RFC 9110 12.5.1)."""

import re
from typing import Final

KINDS: Final = {"text/html": "html", "application/json": "json", "text/plain": "text"}


def preferred(accept: str) -> str:
    """`html`, `json` or `text`: what somebody with this `Accept` field reads best. Programs that take anything, as curl
    does, get text."""
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
