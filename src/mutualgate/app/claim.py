"""Only one process runs the gate of a folder: the one that holds a lock in it, which ends with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mutualgate.app.folder import Folder
from mutualgate.errors import BadInput, Unavailable

# Whoever only asks holds the lock for a moment, too.
_TRIES, _PAUSE_SECONDS = 10, 0.02


@contextmanager
def claimed(folder: Folder, held: int | None = None) -> Iterator[int]:
    """Holds the lock while the block runs, and gives its descriptor. Raises `Unavailable` when another process has it.

    `held` is the descriptor of a process that hands over: both hold the lock by it, and who lives longer keeps it.
    """
    if held is not None:
        try:
            yield held
        finally:
            os.close(held)
        return
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}",
            where=str(folder.lock),
            expected="a folder that this user may write to",
        ) from error
    try:
        for _ in range(_TRIES):
            if _locked(descriptor, fcntl.LOCK_EX):
                break
            time.sleep(_PAUSE_SECONDS)
        else:
            raise Unavailable(
                "another process already runs this gate", where=str(folder.path), fix="Stop it, or use another --dir."
            )
        yield descriptor
    finally:
        os.close(descriptor)


def is_claimed(folder: Folder) -> bool:
    """Whether a process runs the gate of `folder`, or is about to."""
    try:
        descriptor = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return True
    return False
