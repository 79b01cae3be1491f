"""What two processes say to each other when one succeeds the other; here the new one is a few lines of Python."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mutualgate.app.given import Given
from mutualgate.app.handover import CHANNEL, Predecessor, Successor
from mutualgate.errors import Unavailable

BEGIN = """
import asyncio, os, sys
from mutualgate.app.handover import Predecessor
old = Predecessor.of(os.environ)
"""
SERVES = f"""{BEGIN}
async def main():
    await old.prepared()
    for one in old.given: one.listener.listen(5 + len(old.given))
    await old.serving()
    for _ in range(3): await old.sync()
    await old.proved()
    await old.sync()
asyncio.run(main())
"""


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@contextmanager
def successor(monkeypatch: pytest.MonkeyPatch, claim: int, program: str, sockets: int = 1) -> Iterator[Successor]:
    """A new process that runs `program`, with that many sockets."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", program])
    given = [Given("tls", f"127.0.0.1:{place}", socket.socket()) for place in range(sockets)]
    started = Successor.start(given, claim)
    for one in given:
        one.listener.close()
    try:
        yield started
    finally:
        started.kill()


def test_one_process_succeeds_the_other(monkeypatch: pytest.MonkeyPatch, claim: int) -> None:
    """With more sockets than one message of the kernel can carry."""
    synced, proved = [], []

    async def sync() -> int:
        synced.append(1)
        return 7

    async def run() -> None:
        with successor(monkeypatch, claim, SERVES, sockets=450) as new:
            await new.prepared()
            await new.serving()
            await new.yours()
            await new.answer(sync, lambda: proved.append(len(synced)))  # ends with the other process
            assert await new.ended() == ""

    asyncio.run(run())
    assert (len(synced), proved) == (4, [3])


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (
            f"{BEGIN}old.failed('mutualgate.toml: no')\nsys.exit(2)",
            "the new process did not start: mutualgate.toml: no",
        ),
        ("import sys; sys.exit(3)", "the new process ended with 3 before it was ready"),
        ("import os; os.kill(os.getpid(), 9)", "the new process was ended by signal 9"),
        (f"{BEGIN}os.write(old._channel._end.fileno(), b'nonsense\\n')\nsys.exit(4)", "ended with 4"),
    ],
)
def test_why_it_did_not_start_is_known(monkeypatch: pytest.MonkeyPatch, claim: int, program: str, why: str) -> None:
    async def run() -> None:
        with successor(monkeypatch, claim, program) as new:
            with pytest.raises(Unavailable, match=why):
                await new.prepared()

    asyncio.run(run())


def test_one_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, claim: int) -> None:
    monkeypatch.setattr("mutualgate.app.handover.PREPARE_SECONDS", 0.2)

    async def run() -> None:
        with successor(monkeypatch, claim, "import time; time.sleep(60)") as new:
            with pytest.raises(Unavailable, match=r"not ready after 0\.2 s"):
                await new.prepared()

    asyncio.run(run())


def test_a_usual_start_has_nobody_before_it() -> None:
    assert Predecessor.of({}) is None


def test_what_systemd_said_to_the_old_process_is_not_said_to_the_new_one(
    monkeypatch: pytest.MonkeyPatch, claim: int
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    program = f"""{BEGIN}
left = [name for name in os.environ if name.startswith(("LISTEN_", "WATCHDOG_", "{CHANNEL}"))]
old.failed(f"left {{left}}, {{os.environ['NOTIFY_SOCKET']}}")
"""

    async def run() -> None:
        with successor(monkeypatch, claim, program) as new:
            with pytest.raises(Unavailable, match=r"left \[\], /run/notify"):
                await new.prepared()

    asyncio.run(run())
