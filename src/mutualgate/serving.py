"""Runs an ASGI application on a socket inside a running asyncio loop, for the small services of our own.

Knows uvicorn. Does not know what the application does.
"""

import asyncio
import contextlib
import functools
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mutualgate.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

# What is still under way when the service stops gets this long: the gate in front has drained already.
STOP_SECONDS = 1


def unix_socket(path: Path) -> socket.socket:
    """A listening socket at `path` that only this user can connect to, in a folder that only this user can enter.

    Anybody who can connect can write identity headers as the gate does; servers make such sockets open to all. A
    socket that an earlier run left behind is replaced. Raises Unavailable, also when something else lies there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise Unavailable("there is a file where the socket goes", where=str(path), fix="Move it away.")
            path.unlink()
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(128)
    except OSError as error:
        listener.close()
        # The name of a socket has room for 107 bytes; Python says so without a number.
        reason = error.strerror or str(error)
        raise Unavailable(
            f"cannot listen: {reason}", where=str(path), fix="Choose a shorter --dir, or check it."
        ) from error
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def tcp_socket(host: str, port: int) -> socket.socket:
    """A listening socket at an IP address; port 0 takes a free one. Raises Unavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen: {error.strerror or error}", where=f"{host}:{port}") from error
    listener.setblocking(False)
    return listener


def later(make: "Callable[[], ASGIApp]") -> "ASGIApp":
    """An application that is made when it is first asked for."""
    made = functools.cache(make)

    async def application(scope: "Scope", receive: "Receive", send: "Send") -> None:
        await made()(scope, receive, send)

    return application


@contextlib.asynccontextmanager
async def serving(application: "ASGIApp", listener: socket.socket) -> "AsyncIterator[Callable[[], None]]":
    """Serves `application` on `listener` while the block runs, and closes both after it.

    Gives what makes it take no more connections; those that are there go on.
    """
    import uvicorn  # 0.1 s: only for whoever serves

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals belong to the process that we are a guest in

    config = uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        http="h11",
        loop="none",
        log_config=None,
        # It warns of what any stranger may send, and advises to install something.
        log_level="error",
        access_log=False,
        server_header=False,
        # The application believes the gate's headers as they are; nobody else can connect.
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.001)
        if running.done():
            running.result()

        def close() -> None:
            for accepting in server.servers:
                accepting.close()

        yield close
    finally:
        server.should_exit = True
        await running
        listener.close()
