"""Passwords and secrets: each in a file of its own, which only its owner may read."""

import os
import stat
from pathlib import Path

from mutualgate.errors import BadInput

MAX_BYTES = 1023


def read_secret(path: Path, least: int = 1) -> bytes:
    """The one line in `path`, of at least `least` characters. Raises `BadInput`, without a word of what is in it."""
    where = str(path)
    try:
        # NONBLOCK: a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=where, expected="a file with one line") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput("is not a file", where=where, expected="a file with one line")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise BadInput(
                f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})",
                where=where,
                expected="mode 0600",
                fix=f"Run: chmod 0600 {where}",
                code="others_may_read",
            )
        data = os.read(descriptor, MAX_BYTES + 3)
    finally:
        os.close(descriptor)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not least <= len(line) <= MAX_BYTES or any(byte < 0x20 or byte == 0x7F for byte in line):
        raise BadInput("holds something else", where=where, expected=f"one line of {least} to {MAX_BYTES} characters")
    return line
