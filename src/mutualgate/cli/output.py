"""How commands speak: text for people, JSON for programs, and one sentence for what went wrong."""

import json
import os
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from mutualgate.errors import BadInput, MutualgateError, Unavailable

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


def emit(
    value: Mapping[str, Any] | Sequence[Any], text: str, as_json: bool, *, one_line: bool = False, lost: str = ""
) -> None:
    """Prints a result: `value` as JSON, on `one_line` if more will follow it, or `text`. `lost` says what nobody can
    know any more where it is not read, and what to do then: `require_reader` goes before it is made.

    Raises `BrokenPipeError` where nobody reads it, and `SystemExit` once it has said that it cannot be written.
    """
    error = _write((_json(value, one_line) if as_json else text.rstrip("\n")) + "\n")
    if error is None:
        return
    if isinstance(error, BrokenPipeError) and not lost:
        raise error
    _give_up("stdout")
    complain(f"the answer cannot be written: {error.strerror}{'. ' if lost else ''}{plain(lost)}")
    raise SystemExit(NO)


def _write(text: str) -> OSError | None:
    """What is in the way."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def nobody() -> TextIO:
    """In place of standard output or error where that is closed."""
    return open(os.devnull, "w")


def has_reader() -> bool:
    """Whether somebody may read what is printed. Standard output that leads to /dev/null is meant to."""
    if getattr(sys.stdout, "name", None) == os.devnull:  # `nobody`; what leads there has another name
        return False
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    return not any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0))  # the other end is closed


def require_reader() -> None:
    """Before something is made that is shown only once. Raises `BadInput` where nobody can read it."""
    if not has_reader():
        raise BadInput(
            "is closed, and part of what this command says is shown only once",
            where="standard output",
            expected="a terminal, a file or a pipe",
        )


def fail(error: MutualgateError, as_json: bool) -> int:
    """Prints what went wrong and returns the exit status."""
    parts = {"code": error.code, "problem": error.problem, "where": error.where, "expected": error.expected}
    _refuse({**parts, "fix": error.fix, "facts": error.facts}, plain(error), as_json)
    return NO if isinstance(error, Unavailable) else WRONG_USE


def misused(problem: str, see: str, as_json: bool) -> int:
    """Prints that a command was not used as it can be, and returns the exit status."""
    parts = {"code": "wrong_use", "problem": problem, "where": None, "expected": None}
    _refuse({**parts, "fix": f"See: {see}", "facts": {}}, f"{plain(problem)}\nSee: {plain(see)}", as_json)
    return WRONG_USE


def _refuse(error: Mapping[str, Any], text: str, as_json: bool) -> None:
    """In words where nobody reads JSON: the exit status stays what it is."""
    if as_json and has_reader():
        if _write(_json({"error": error}, one_line=False) + "\n") is None:
            return
        _give_up("stdout")
    complain(text)


def complain(text: str) -> None:
    """Says on standard error what went wrong. If nobody reads it, the exit status says it still."""
    try:
        sys.stderr.write(f"mutualgate: {text}\n")
        sys.stderr.flush()
    except OSError:
        _give_up("stderr")


def _give_up(name: str) -> None:
    """Nothing more is written there; what is in its buffer, and would be at the end, goes nowhere."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), getattr(sys, name).fileno())
    setattr(sys, name, nobody())


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
