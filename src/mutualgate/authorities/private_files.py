"""Files written so that a crash leaves the whole file or none, and those that only their owner may read."""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from mutualgate.errors import BadInput, Conflict


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
    refuse_others(folder.stat(), str(folder), "0700")


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
    place: Callable[[Path, Path], None] = os.replace,
    *,
    durable: bool = True,
) -> None:
    """Writes `path`, which never exists half written; on return it survives a power cut. Raises `OSError`.

    `place` puts what was written beside it there: in place of an older file, unless something else is given. Unless it
    is to be `durable` by itself, the caller waits for the disk, once for many.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL and a fresh name: nobody can have put a link there for us to write through.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        place(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_others(status: os.stat_result, where: str, expected: str, others: int = 0o077) -> None:
    """BadInput when the mode lets somebody else in: any of the bits in `others`."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & others:
        raise BadInput(
            f"others may read it (mode {mode:04o})",
            where=where,
            expected=f"mode {expected}",
            fix=f"Run: chmod {expected} {where}",
            code="others_may_read",
        )
