"""The control socket's end in the process that runs the gate: takes questions and answers them (see `control`)."""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mutualgate.app.control import LINE_BYTES
from mutualgate.app.folder import Folder
from mutualgate.errors import MutualgateError

log = logging.getLogger("mutualgate")

Handler = Callable[[], Awaitable[Mapping[str, Any]]]


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
                self._converse, sock=own, limit=LINE_BYTES, cleanup_socket=False
            )
        else:
            self._server = await asyncio.start_unix_server(self._converse, sock=own, limit=LINE_BYTES)

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
