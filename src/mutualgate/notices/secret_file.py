"""Passwords and secrets: each in a file of its own, which only its owner may read."""

import os
import re
import stat
from codecs import BOM_UTF8
from pathlib import Path

from mutualgate.errors import BadInput
from mutualgate.modes import refuse_others

MIN_SIGNING_CHARACTERS = 16
"""Of a secret that letters are signed with; a password is as short as its server takes it."""
MAX_BYTES = 1023
MAX_FIELDS_BYTES = 16 * 1024
MAX_FIELDS = 20


def read_secret(path: Path, least: int = 1) -> bytes:
    """The one line in `path`, of at least `least` characters. Raises `BadInput`, without a word of what is in it."""
    line = _read(path, MAX_BYTES, "a file with one line").removesuffix(b"\n").removesuffix(b"\r")
    if not least <= len(line) <= MAX_BYTES or any(byte < 0x20 or byte == 0x7F for byte in line):
        raise BadInput(
            "holds something else", where=str(path), expected=f"one line of {least} to {MAX_BYTES} characters"
        )
    return line


def read_fields(path: Path) -> dict[str, str]:
    """Header fields of HTTP, one a line: `Name: value`. Raises `BadInput`, without a word of what is in them."""
    expected = "header fields, one a line, such as Authorization: Bearer ..."
    fields: dict[str, str] = {}
    for number, line in enumerate(_read(path, MAX_FIELDS_BYTES, expected).splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~](?:[ -~\t]*[!-~])?)[ \t]*", line)
        if match is None or len(fields) == MAX_FIELDS:
            raise BadInput(f"line {number} holds something else", where=str(path), expected=expected)
        fields[match[1].decode()] = match[2].decode()
    return fields


def _read(path: Path, most: int, expected: str) -> bytes:
    """What is in a file of at most `most` bytes, and a line's end; `expected` to be there."""
    where = str(path)
    try:
        # NONBLOCK: a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=where, expected=expected) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput("is not a file", where=where, expected=expected)
        refuse_others(status, where)
        # Editors put a byte order mark in front, which is no part of a secret.
        return os.read(descriptor, len(BOM_UTF8) + most + 3).removeprefix(BOM_UTF8)[: most + 3]
    finally:
        os.close(descriptor)
