"""How commands speak: text for people, JSON for programs, and one sentence for what went wrong."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mutualgate.errors import MutualgateError, Unavailable

DONE = 0
NO = 1
"""The command worked and the answer is no: refused, not running, not valid."""
WRONG_USE = 2
SHOWN = 20
"""Names in a sentence and rows of a list of which `--json` has all."""
INTERNAL = 70
"""A defect of ours (EX_SOFTWARE in sysexits.h)."""
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


def emit(value: Mapping[str, Any] | Sequence[Any], text: str, as_json: bool, *, one_line: bool = False) -> None:
    """Prints a result: `value` as JSON, on `one_line` if more will follow it, or `text`.

    Raises `BrokenPipeError` where nobody reads it, and `SystemExit` once it has said that it cannot be written.
    """
    said = _json(value, one_line) if as_json else text.rstrip("\n")
    try:
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"the answer cannot be written: {error.strerror}")
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # for what is still to be written at the end
        raise SystemExit(NO) from error


def fail(error: MutualgateError, as_json: bool) -> int:
    """Prints what went wrong and returns the exit status."""
    if as_json:
        parts = {"code": error.code, "problem": error.problem, "where": error.where, "expected": error.expected}
        emit({"error": {**parts, "fix": error.fix, "facts": error.facts}}, "", as_json=True)
    else:
        complain(plain(error))
    return NO if isinstance(error, Unavailable) else WRONG_USE


def misused(problem: str, see: str, as_json: bool) -> int:
    """Prints that a command was not used as it can be, and returns the exit status."""
    if as_json:
        parts = {"code": "wrong_use", "problem": problem, "where": None, "expected": None}
        emit({"error": {**parts, "fix": f"See: {see}", "facts": {}}}, "", as_json=True)
    else:
        complain(f"{plain(problem)}\nSee: {plain(see)}")
    return WRONG_USE


def complain(text: str) -> None:
    """Says on standard error what went wrong. If nobody reads it, the exit status says it still."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"mutualgate: {text}\n")
        sys.stderr.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; the last one runs free."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def plain(value: object) -> str:
    """A value from outside, safe on a terminal: control characters (CSI sequences, say) are escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def named(names: Sequence[object]) -> str:
    """Names in a sentence: the first ones, and how many more there are."""
    shown = ", ".join(plain(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _json(value: Mapping[str, Any] | Sequence[Any], one_line: bool) -> str:
    text = json.dumps(value, indent=None if one_line else 2, ensure_ascii=False)
    # RFC 8259 lets most control characters stand as they are, and half of a surrogate pair cannot be printed at all.
    return "".join(
        character if character.isprintable() or character == "\n" else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]
