"""Files that users name: read within bounds, written whole, and never over something else by mistake."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from mutualgate.errors import BadInput, Conflict, MutualgateError
from mutualgate.reading import bounded

MOST_BYTES = 64 << 20
"""No file that we read is larger, CRLs of a million entries included."""
_ROOM = 64 << 10
"""More than a credential or a QR code takes: a disk that has no room for them is found before they are made."""
_FILE = "a file, or a name that is free"
_KINDS = {
    stat.S_IFREG: "",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


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
    with placed(path, private=private, force=force) as put:
        put(data)


class Put(Protocol):
    """Writes the file. What it raises says that something is `made` and stays so, and how to `fix` that."""

    def __call__(self, data: bytes, made: str = "", fix: str | None = None) -> None: ...


@contextmanager
def placed(path: Path, *, private: bool = False, force: bool = False) -> Iterator[Put]:
    """As `write_file`, for what is only made within it: nothing is made for a file that cannot be written."""
    from mutualgate.authorities.private_files import Draft

    refuse_existing(path, force)
    try:
        draft = Draft(path, 0o600 if private else 0o644, _ROOM)
    except OSError as error:
        raise _unwritable(path, error) from error

    def put(data: bytes, made: str = "", fix: str | None = None) -> None:
        try:
            refuse_existing(path, force)
            draft.put(data)
        except OSError as error:
            raise but(made, _unwritable(path, error), fix) from error
        except MutualgateError as error:
            raise but(made, error, fix) from None

    with draft:
        yield put


def but(made: str, error: MutualgateError, fix: str | None = None) -> MutualgateError:
    """The same error, which says that something is `made`, and what to do about that."""
    if made:
        error.problem = f"{made}, but {error.problem}"
    error.fix = fix or error.fix
    return error


def _unwritable(path: Path, error: OSError) -> BadInput:
    return BadInput(f"cannot be written: {error.strerror}", where=str(path), expected="a file in a folder that exists")


def refuse_existing(path: Path, force: bool) -> None:
    """Raises `Conflict` where a file is there, and `BadInput` where it could not be replaced or made."""
    if replaceable(path) and not force:
        raise Conflict("there is a file of that name", where=str(path), fix="Choose another one, or say --force.")
    if not path.parent.is_dir():
        raise BadInput("is not there", where=str(path.parent), expected="a folder")


def replaceable(path: Path) -> bool:
    """Whether a file, or a link to one, is there. Raises `BadInput` where it is anything else: a file in place of a
    device or a pipe takes it away from all who use it."""
    refuse_dash(path)
    try:
        link = stat.S_ISLNK(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(path), expected="a new file") from error
    try:
        status = path.stat()
    except FileNotFoundError:
        return True  # the link leads nowhere
    except OSError as error:
        raise BadInput(f"cannot be looked at: {error.strerror}", where=str(path), expected=_FILE) from error
    what = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
    # /dev/stdout leads to a file where somebody sends standard output to one, and is no less a device then.
    if link and what == "" and any(_is_open(number, status) for number in (0, 1, 2)):
        what = "what this command reads or writes"
    if what:
        raise BadInput(f"{'leads to' if link else 'is'} {what}", where=str(path), expected=_FILE)
    return True


def refuse_dash(path: Path) -> None:
    """Raises `BadInput` for what is standard input where something is read: nobody looks for a file of that name."""
    if str(path) == "-":
        raise BadInput("stands for standard input, and nothing can be written there", where="-", expected="a name")


def _is_open(descriptor: int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), status)
    except OSError:
        return False
