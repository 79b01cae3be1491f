"""The running process's control socket: how a command that changed the store learns that the gate has it in force.

One JSON object a line, each answered by one. The socket lies in a folder that only its owner can enter; there is no
other authentication, and nothing on it can change what the store holds.
"""

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mutualgate.app.claim import is_claimed
from mutualgate.app.folder import Folder
from mutualgate.errors import MutualgateError, Unavailable

log = logging.getLogger("mutualgate")

_LINE_BYTES = 1 << 20
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.05

Handler = Callable[[], Awaitable[Mapping[str, Any]]]


def ask(folder: Folder, do: str, patience_seconds: float = _PATIENCE_SECONDS) -> dict[str, Any] | None:
    """Asks the running process to `do` something: its answer, or None where no process runs.

    Raises `Unavailable` when one runs and does not answer in time, or answers that it could not.
    """
    deadline = time.monotonic() + patience_seconds
    while (answer := _ask(folder, do, patience_seconds)) is None and is_claimed(folder):
        # It starts, or ends: what it read of the store may be from before the change that is asked about.
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the gate has been starting or stopping for {patience_seconds:g} s",
                where=str(folder.path),
                fix="See its log.",
            )
        time.sleep(_PAUSE_SECONDS)
    return answer


def _ask(folder: Folder, do: str, patience_seconds: float) -> dict[str, Any] | None:
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
            line = connection.makefile("rb").readline(_LINE_BYTES)
        except OSError as error:
            raise Unavailable(
                f"the running gate did not answer within {patience_seconds:g} s",
                where=str(folder.control),
                fix="The store has the change; the gate takes it over as soon as it can. See its log.",
            ) from error
    return _answer(line, folder)


def _answer(line: bytes, folder: Folder) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise Unavailable("the running gate stopped before it answered", where=str(folder.control)) from error
    if not isinstance(answer, dict) or "problem" in answer:
        problem = answer.get("problem") if isinstance(answer, dict) else answer
        raise Unavailable(f"the running gate could not: {problem}", where=str(folder.control))
    return answer


def listener(folder: Folder) -> socket.socket:
    """Opens the socket, for whoever has claimed the folder: one that is there is of a process that was killed."""
    folder.control.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with folder.control_address() as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


class Server:
    """Answers on a socket until it is closed. The socket stays open: another process may go on with it."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._answering: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        own = listener.dup()
        own.setblocking(False)
        if sys.version_info >= (3, 13):  # which would remove the file of a socket that is not its own
            self._server = await asyncio.start_unix_server(
                self._converse, sock=own, limit=_LINE_BYTES, cleanup_socket=False
            )
        else:
            self._server = await asyncio.start_unix_server(self._converse, sock=own, limit=_LINE_BYTES)

    def close(self) -> None:
        """Takes no more connections."""
        if self._server is not None:
            self._server.close()

    async def answered(self, seconds: float) -> None:
        """Waits until what was asked has been answered, but not longer than that."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=seconds)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answering = asyncio.ensure_future(self._answer(line, writer))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
                await answering
        except (OSError, ValueError):  # a line beyond the limit, or a peer that is gone
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(await _handle(line, self._handlers)).encode() + b"\n")
        await writer.drain()


async def serve(listener: socket.socket, handlers: Mapping[str, Handler]) -> Server:
    """Answers on the socket from now on."""
    server = Server(handlers)
    await server.open(listener)
    return server


async def _handle(line: bytes, handlers: Mapping[str, Handler]) -> Mapping[str, Any]:
    try:
        question = json.loads(line)
        handler = handlers[question["do"]]
    except (ValueError, KeyError, TypeError):
        return {"problem": f"expected an object with `do`, one of {', '.join(sorted(handlers))}"}
    try:
        return await handler()
    except MutualgateError as error:  # the asker gets the sentence; the process lives on
        return {"problem": str(error)}
    except Exception:
        log.exception("the question %r could not be answered", question["do"])
        return {"problem": "a defect of mutualgate; the gate's log has it"}
