"""How commands speak: text for people, JSON for programs, and one sentence for what went wrong."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mutualgate.errors import MutualgateError, Unavailable

DONE = 0
NO = 1
"""The command worked and the answer is no: refused, not running, not valid."""
WRONG_USE = 2
INTERNAL = 70
"""A defect of ours (EX_SOFTWARE in sysexits.h)."""


def emit(value: Mapping[str, Any] | Sequence[Any], text: str, as_json: bool) -> None:
    """Prints a result: `value` as JSON, or `text`."""
    sys.stdout.write((json.dumps(value, indent=2, ensure_ascii=False) if as_json else text.rstrip("\n")) + "\n")
    sys.stdout.flush()


def fail(error: MutualgateError, as_json: bool) -> int:
    """Prints what went wrong and returns the exit status."""
    if as_json:
        parts = {"code": error.code, "problem": error.problem, "where": error.where, "expected": error.expected}
        emit({"error": {**parts, "fix": error.fix, "facts": error.facts}}, "", as_json=True)
    else:
        sys.stderr.write(f"mutualgate: {error}\n")
    return NO if isinstance(error, Unavailable) else WRONG_USE


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; the last one runs free."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def plain(value: object) -> str:
    """A value from outside, safe on a terminal: control characters (CSI sequences, say) are escaped."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in str(value))
