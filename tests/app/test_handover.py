"""What two processes say to each other when one succeeds the other; here the new one is a few lines of Python."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from installation import Installation

from mutualgate.app import Services, control
from mutualgate.app.claim import claimed
from mutualgate.app.given import Given
from mutualgate.app.handover import CHANNEL, Predecessor, Successor
from mutualgate.app.runner import Runner
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


# The gate itself hands over, to a process that goes so far and no further.

PREPARED = f"""{BEGIN}
async def main():
    await old.prepared()
    {{then}}
asyncio.run(main())
"""
SERVING = PREPARED.format(then="await old.serving(); {then}")
KILLED = "os.kill(os.getpid(), 9)"
FOR_EVER = "await asyncio.sleep(600)"


@asynccontextmanager
async def handing_over(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, program: str
) -> AsyncIterator[tuple[Runner, "asyncio.Task[Any]"]]:
    """A running gate whose successor will run `program`, and the task that it is."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", program])
    monkeypatch.setattr("mutualgate.app.runner._LOOK_SECONDS", 0.05)
    services, opened = installed.services(), asyncio.Event()

    async def ready() -> None:
        opened.set()

    with claimed(installed.folder) as claim, installed.folder.sockets() as sockets:
        runner = Runner(services, sockets, claim=claim)
        runner.start()
        running = asyncio.create_task(runner.run(ready))
        await asyncio.wait({running, asyncio.create_task(opened.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield runner, running
        finally:
            runner.stop()
            await running
    services.close()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (PREPARED.format(then="sys.exit(7)"), "ended with 7 before it was ready"),
        (PREPARED.format(then="await old._channel.say(failed='no port')"), "did not start: no port"),
        (PREPARED.format(then=FOR_EVER), "was not ready after 3 s"),
        (SERVING.format(then="sys.exit(7)"), "ended with 7 when it had just begun to serve"),
        (SERVING.format(then=KILLED), "was ended by signal 9 when it had just begun to serve"),
        (SERVING.format(then="await old.sync(); sys.exit(7)"), "ended with 7 when it had just begun to serve"),
        (SERVING.format(then=FOR_EVER), "had not proved itself after 3 s"),
    ],
)
def test_a_gate_whose_successor_fails_takes_commands_and_chores_back(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    monkeypatch.setattr("mutualgate.app.handover.SERVE_SECONDS", 3.0)
    monkeypatch.setattr("mutualgate.app.runner.SERVE_SECONDS", 3.0)
    started = list[Successor]()
    start = Successor.start

    def recorded(given: Sequence[Given], claim: int) -> Successor:
        started.append(start(given, claim))
        return started[-1]

    monkeypatch.setattr(Successor, "start", recorded)

    async def run() -> None:
        async with handing_over(installed, monkeypatch, program) as (runner, running):
            for _ in range(2):  # and again
                with pytest.raises(Unavailable, match=why):
                    await runner.succeed()
                assert not running.done()
                assert not runner.succeeded
                assert started[-1]._process.poll() is not None, "the new process is still there"
                assert (await asyncio.to_thread(control.ask, installed.folder, "status") or {})["pid"] == os.getpid()
                with closing_services(installed) as other:  # nobody tells the gate of it
                    other.clients.add(f"client-{len(started)}")
                    epoch = other.store.epoch()
                while runner.epoch < epoch:
                    await asyncio.sleep(0.02)

    asyncio.run(run())


@contextmanager
def closing_services(installed: Installation) -> Iterator[Services]:
    services = installed.services()
    try:
        yield services
    finally:
        services.close()


def test_a_gate_ends_with_a_successor_that_was_told_to_end(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with handing_over(installed, monkeypatch, SERVING.format(then="")) as (runner, running):
            with pytest.raises(Unavailable, match="was told to end, and the gate ends with it"):
                await runner.succeed()
            await running

    asyncio.run(run())


@pytest.mark.parametrize(("then", "named"), [("sys.exit(7)", False), ("await old.proved()", True)])
def test_a_service_manager_hears_of_a_successor_that_has_proved_itself_and_of_no_other(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, then: str, named: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        async def run() -> None:
            async with handing_over(installed, monkeypatch, SERVING.format(then=then)) as (runner, running):
                if named:
                    pid = await runner.succeed()
                    await running
                    assert f"MAINPID={pid}" in heard(manager)
                else:
                    with pytest.raises(Unavailable):
                        await runner.succeed()
                    assert "MAINPID" not in heard(manager)

        asyncio.run(run())


def heard(manager: socket.socket) -> str:
    manager.setblocking(False)
    said = ""
    with suppress(BlockingIOError):
        while True:
            said += manager.recv(4096).decode() + "\n"
    return said
