"""The control socket's end in the process that runs the gate: takes questions and answers them (see `control`)."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from mutualgate.app.control import LINE_BYTES
from mutualgate.app.folder import Folder
from mutualgate.errors import MutualgateError

log = logging.getLogger("mutualgate")

Handler = Callable[[], Awaitable[Mapping[str, Any]]]

_EXHAUSTED_SECONDS = 1.0


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
    """Answers on a socket until it is closed. The socket stays open: another process may go on with it.

    Whoever is accepted is heard: asyncio's own servers cut those off whom they accepted just before they are closed.
    """

    def __init__(self, listener: socket.socket, handlers: Mapping[str, Handler]) -> None:
        """Answers from now on, in the running loop."""
        self._handlers = handlers
        self._conversations: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listener = listener.dup()
        self._listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Takes no more connections."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def answered(self, seconds: float) -> None:
        """Waits until what was asked has been answered, but not longer than that."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=seconds)

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # the other process was quicker
            return
        except OSError as error:  # out of descriptors or memory: waiting helps, spinning does not
            log.error("nobody can be heard on the control socket for a moment: %s", error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_EXHAUSTED_SECONDS, self._listen)
            return
        _begin(self._converse(connection), self._conversations)

    async def _converse(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_BYTES)
        try:
            while line := await reader.readline():
                await _begin(self._answer(line, writer), self._answering)
        except (OSError, ValueError):  # a line beyond the limit, or a peer that is gone
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(await _handle(line, self._handlers)).encode() + b"\n")
        await writer.drain()


def _begin(what: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    """Starts a task, and keeps it in `among` until its end."""
    task = asyncio.create_task(what)
    among.add(task)
    task.add_done_callback(among.discard)
    return task


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
