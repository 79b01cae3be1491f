"""Files written so that a crash leaves the whole file or none, and those that only their owner may read."""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from mutualgate.errors import BadInput, Conflict
from mutualgate.modes import refuse_others

_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}", re.DOTALL)
_OLD_SECONDS = 600
"""Nobody takes as long between making a draft and locking it."""
_NUMBERS = tuple(f"{number:016x}" for number in range(8))
"""Of drafts of one file: whoever looks for those of killed writers looks at these and not through the folder."""


def ensure_private_folder(folder: Path) -> None:
    """Makes `folder` with mode 0700; BadInput when it is there and others can look into it."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise BadInput(
            f"cannot be made ({error.strerror})", where=str(folder), expected="a folder that we may make"
        ) from error
    if not folder.is_dir():
        raise BadInput("is no folder", where=str(folder), expected="a folder")
    refuse_others(folder.stat(), str(folder))


def create_private_file(path: Path, data: bytes) -> None:
    """Writes a new file `path` with mode 0600. On return it survives a power cut; it never exists half written.

    Conflict when it exists: nothing is overwritten.
    """
    try:
        write_whole(path, data, 0o600, os.link)  # unlike a rename, a link never replaces what is there
    except FileExistsError as error:
        raise Conflict("exists already", where=str(path), fix="Move it away or choose another name") from error
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})", where=str(path), expected="a folder we may write to"
        ) from error


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Writes `path` whole, in place of an older one or not at all. On return it survives a power cut. BadInput."""
    try:
        write_whole(path, data, mode)
    except OSError as error:
        raise BadInput(
            f"cannot be written ({error.strerror})", where=str(path), expected="a folder we may write to"
        ) from error


def write_whole(
    path: Path,
    data: bytes,
    mode: int,
    place: Callable[[str, Path], None] = os.replace,
    *,
    durable: bool = True,
) -> None:
    """Writes `path`, which never exists half written; on return it survives a power cut. Raises `OSError`.

    `place` puts what was written beside it there: in place of an older file, unless something else is given. Unless it
    is to be `durable` by itself, the caller waits for the disk, once for many.

    A writer that was killed may have left a draft beside it: the next one takes it away.
    """
    with Draft(path, mode) as draft:
        draft.put(data, place, durable=durable)


class Draft:
    """Beside `path`, a file that is to be put there when it is written. Whoever makes something that is nowhere else
    has one before: what keeps a file from being written is known then. It has `room` for so many bytes.

    It raises `OSError`, and leaves nothing where nothing was put there.
    """

    def __init__(self, path: Path, mode: int, room: int = 0) -> None:
        self._path = path
        self._draft, self._descriptor = _new_draft(path, mode)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # it ends with this process, however that ends
            self._write(bytes(room))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, data: bytes, place: Callable[[str, Path], None] = os.replace, *, durable: bool = True) -> None:
        """Writes it and ends it; as `write_whole`."""
        self._write(data)
        os.ftruncate(self._descriptor, len(data))
        if durable:
            os.fsync(self._descriptor)
        now = os.fstat(self._descriptor).st_mtime
        place(self._draft, self._path)
        self.close()
        if durable:
            for number in _NUMBERS:
                with suppress(OSError):
                    _forget(_draft(self._path, number), now)
            sync_folder(self._path.parent)

    def close(self) -> None:
        """Takes it away, unless it was put in its place."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            _unlink_own(self._draft, descriptor)
        finally:
            os.close(descriptor)

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], written)


def _draft(path: Path, number: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{number}")


def _new_draft(path: Path, mode: int) -> tuple[str, int]:
    """A draft that was not there, open for writing; by a name of its own where all others are taken."""
    for number in (*_NUMBERS, secrets.token_hex(8)):
        draft = _draft(path, number)
        with suppress(FileExistsError):
            # O_EXCL: nobody can have put a link there for us to write through.
            return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _unlink_own(draft: str, descriptor: int) -> None:
    """Takes the draft away, unless it was put in its place: then the name may be another writer's by now."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(draft, follow_symlinks=False), os.fstat(descriptor)):
            os.unlink(draft)


def forget_drafts(folder: Path, now: float) -> None:
    """Takes away all drafts in `folder` whose writers were killed. `now`: Unix seconds."""
    try:
        found = [one for one in os.scandir(folder) if one.name.startswith(".")]
    except OSError:
        return
    for one in found:
        if _DRAFT.fullmatch(one.name):
            with suppress(OSError):
                _forget(one.path, now)


def _forget(draft: str, now: float) -> None:
    descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or abs(now - status.st_mtime) < _OLD_SECONDS:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: somebody is writing it
        _unlink_own(draft, descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
