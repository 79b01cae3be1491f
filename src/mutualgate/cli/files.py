"""Files that users name: read within bounds, written whole, and never over something else by mistake."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from mutualgate.errors import BadInput, Conflict
from mutualgate.reading import bounded

MOST_BYTES = 64 << 20
"""No file that we read is larger, CRLs of a million entries included."""


def read_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """What is in the file, or on standard input for `-`. Raises `BadInput`."""
    if str(path) != "-":
        return bounded.read_file(path, most_bytes)
    data = standard_input().read(most_bytes + 1)
    if len(data) > most_bytes:
        raise bounded.too_large(path, most_bytes)
    return data


def standard_input() -> BinaryIO:
    """Raises `BadInput` where there is none: it is closed, or the script of `mutualgate shell`."""
    if sys.stdin is None:
        raise BadInput("there is no standard input here", where="-", expected="a file")
    return sys.stdin.buffer


def read_erasable(path: Path, most_bytes: int) -> bytearray:
    """As `read_file`, into memory that can be overwritten: for what may turn out to be a private key."""
    data = bytearray(most_bytes + 1)
    view = memoryview(data)
    length = 0
    try:
        # Without a buffer in between, which would keep a copy.
        descriptor = standard_input().fileno() if str(path) == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while length < len(data) and (count := os.readv(descriptor, [view[length:]])) > 0:
                length += count
        finally:
            if str(path) != "-":
                os.close(descriptor)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path), expected="a file") from error
    view.release()
    del data[length:]
    if length > most_bytes:
        raise bounded.too_large(path, most_bytes)
    return data


def write_file(path: Path, data: bytes, *, private: bool = False, force: bool = False) -> None:
    """Writes a file, durably: whole or not at all; `private` keeps other users from reading it.

    Raises `Conflict` where one is there, unless `force`; `BadInput` where it cannot be written.
    """
    from mutualgate.authorities.private_files import write_whole

    refuse_existing(path, force)
    try:
        write_whole(path, data, 0o600 if private else 0o644)
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", where=str(path), expected="a file in a folder that exists"
        ) from error


def refuse_existing(path: Path, force: bool) -> None:
    """Raises `Conflict` where a file is there: to be asked before anything is signed for it."""
    try:
        path.lstat()
        there = True
    except FileNotFoundError:
        there = False
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(path), expected="a new file") from error
    if there and not force:
        raise Conflict("there is a file of that name", where=str(path), fix="Choose another one, or say --force.")
    if path.is_dir():
        raise BadInput("is a folder", where=str(path), expected="a file")
    if not path.parent.is_dir():
        raise BadInput("is not there", where=str(path.parent), expected="a folder")
