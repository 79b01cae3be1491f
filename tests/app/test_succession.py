"""A running gate hands over to a new process, here a few lines of Python, that goes so far and no further."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from app.test_handover import BEGIN
from installation import Installation
from processes import alive, parent

from mutualgate.app import Services, control
from mutualgate.app.claim import claimed
from mutualgate.app.given import Given
from mutualgate.app.handover import Successor
from mutualgate.app.runner import Runner
from mutualgate.errors import Unavailable

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
    monkeypatch.setattr("mutualgate.app.succession.SERVE_SECONDS", 3.0)
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
                    await runner.succession.hand_over()
                assert not running.done()
                assert not runner.succession.done
                assert not parents(started[-1].pid), "the new process is still there"
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
                await runner.succession.hand_over()
            await running

    asyncio.run(run())


def parents(pid: int) -> list[int]:
    """The process that a process is a child of, that one's, and so on; none where it has ended."""
    return [parent(pid), *parents(parent(pid))] if alive(pid) else []


def test_a_successor_that_a_service_manager_hears_of_is_no_child_of_the_old_process(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd gives a main process that is not its own child no time to end what is under way."""
    goes_on = SERVING.format(then="await old.proved(); await asyncio.sleep(600)")

    async def run() -> None:
        async with handing_over(installed, monkeypatch, goes_on) as (runner, running):
            pid = await runner.succession.hand_over()
            above = parents(pid)
            os.kill(pid, signal.SIGKILL)
            await running
            assert above
            assert os.getpid() not in above

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
                    pid = await runner.succession.hand_over()
                    await running
                    assert f"MAINPID={pid}" in heard(manager)
                else:
                    with pytest.raises(Unavailable):
                        await runner.succession.hand_over()
                    assert "MAINPID" not in heard(manager)

        asyncio.run(run())


def heard(manager: socket.socket) -> str:
    manager.setblocking(False)
    said = ""
    with suppress(BlockingIOError):
        while True:
            said += manager.recv(4096).decode() + "\n"
    return said
