"""Sockets that only their owner can use, and a server that is a guest in our loop."""

import asyncio
import os
import signal
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mutualgate.errors import Unavailable
from mutualgate.ops.service import application
from mutualgate.ops.status import Status
from mutualgate.serving import later, serving, tcp_socket, unix_socket

if TYPE_CHECKING:
    from starlette.types import ASGIApp

GOOD = Status(started=datetime(2026, 11, 24, tzinfo=UTC))


def test_nobody_else_can_connect(tmp_path: Path) -> None:
    old = os.umask(0)  # the most generous
    try:
        listener = unix_socket(tmp_path / "run" / "demo.sock")
    finally:
        os.umask(old)
    with listener:
        assert stat.S_IMODE((tmp_path / "run" / "demo.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_the_socket_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    unix_socket(tmp_path / "s").close()
    with unix_socket(tmp_path / "s"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(Unavailable, match="there is a file"):
        unix_socket(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_what_cannot_be_listened_on_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot listen"):
        unix_socket(tmp_path / ("x" * 200))
    with tcp_socket("127.0.0.1", 0) as taken, pytest.raises(Unavailable, match="cannot listen"):
        tcp_socket("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(Unavailable, match="cannot listen"):
        tcp_socket("192.0.2.1", 0)


def test_signals_stay_with_their_owner() -> None:
    async def run() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        listener = tcp_socket("127.0.0.1", 0)
        async with serving(application(lambda: GOOD), listener):
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        assert listener.fileno() == -1

    asyncio.run(run())


@pytest.mark.parametrize(
    "sent", [b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: websocket", b"?"]
)
def test_what_strangers_send_is_no_warning_to_anybody(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> bytes:
        listener = tcp_socket("127.0.0.1", 0)
        async with serving(application(lambda: GOOD), listener):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
            writer.write(sent + b"\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        return answer

    assert asyncio.run(run()).startswith(b"HTTP/1.1 ")
    assert caplog.messages == []


def test_what_nobody_asks_for_is_not_made() -> None:
    made = []

    def make() -> "ASGIApp":
        made.append("one")
        return application(lambda: GOOD)

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def run() -> None:
        listener = tcp_socket("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with serving(later(make), listener):
            assert made == []
            for _ in range(2):
                assert (await ask(port)).startswith(b"HTTP/1.1 ")
        assert made == ["one"]

    asyncio.run(run())


def test_an_error_inside_the_block_comes_out() -> None:
    async def run() -> None:
        async with serving(application(lambda: GOOD), tcp_socket("127.0.0.1", 0)):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(run())
