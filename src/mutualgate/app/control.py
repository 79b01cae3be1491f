"""The running process's control socket: how a command that changed the store learns that the gate has it in force.

One JSON object a line, each answered by one; `answering` is the other end. The socket lies in a folder that only its
owner can enter; there is no other authentication, and nothing on it can change what the store holds.
"""

import json
import socket
import time
from typing import Any

from mutualgate.app.claim import is_claimed
from mutualgate.app.folder import Folder
from mutualgate.errors import Unavailable

LINE_BYTES = 1 << 20
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_FIX = "See its log; `mutualgate status` says what runs."


class _CutOff(Exception):
    """The process that was asked is gone, or has hung up: nobody knows whether it did what it was asked."""


def ask(
    folder: Folder, do: str, patience_seconds: float = _PATIENCE_SECONDS, *, again: bool = True
) -> dict[str, Any] | None:
    """Asks the running process to `do` something: its answer, or None where no process runs.

    Who is cut off asks again, `again` permitting: the process may have died just after another one took over. Raises
    `Unavailable` when one runs and does not answer in time, or answers that it could not.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            answer = _ask(folder, do, max(deadline - time.monotonic(), _PAUSE_SECONDS))
        except _CutOff as error:
            if not again or time.monotonic() > deadline:
                often = f", each time for {patience_seconds:g} s" if again else ""
                raise Unavailable(
                    f"the running gate hung up before it answered{often}", where=str(folder.control), fix=_FIX
                ) from error
        except TimeoutError as error:
            raise Unavailable(
                f"the running gate did not answer within {patience_seconds:g} s",
                where=str(folder.control),
                fix=_FIX,
            ) from error
        else:
            if answer is not None or not is_claimed(folder):
                return answer
            # It starts, or ends: what it read of the store may be from before the change that is asked about.
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the gate has been starting or stopping for {patience_seconds:g} s",
                    where=str(folder.path),
                    fix="See its log.",
                )
        time.sleep(_PAUSE_SECONDS)


def _ask(folder: Folder, do: str, patience_seconds: float) -> dict[str, Any] | None:
    """Raises `TimeoutError`, too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience_seconds)
        try:
            with folder.control_address() as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise Unavailable("may not be opened by this user", where=str(folder.control)) from error
        except OSError as error:
            raise Unavailable(f"cannot be opened: {error.strerror or error}", where=str(folder.control)) from error
        try:
            connection.sendall(json.dumps({"do": do}).encode() + b"\n")
            line = connection.makefile("rb").readline(LINE_BYTES)
        except ConnectionError as error:
            raise _CutOff from error
    if not line.endswith(b"\n") and len(line) < LINE_BYTES:
        raise _CutOff
    return _answer(line, folder)


def _answer(line: bytes, folder: Folder) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise Unavailable("the running gate's answer cannot be read", where=str(folder.control)) from error
    if not isinstance(answer, dict) or "problem" in answer:
        problem = answer.get("problem") if isinstance(answer, dict) else answer
        raise Unavailable(f"the running gate could not: {problem}", where=str(folder.control))
    return answer
