"""The control socket, asked over a real one."""

import asyncio
import json
import resource
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mutualgate.app import Folder, answering, control
from mutualgate.app.claim import claimed
from mutualgate.errors import Unavailable


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "gate")
    made.create()
    return made


async def status() -> Mapping[str, Any]:
    return {"epoch": 7}


async def refused() -> Mapping[str, Any]:
    raise Unavailable("the store is busy")


async def defect() -> Mapping[str, Any]:
    raise RuntimeError("passphrase hunter2")


HANDLERS = {"status": status, "refused": refused, "defect": defect}


def with_server(folder: Folder, do: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        with answering.listener(folder) as listener:
            server = answering.Server(listener, HANDLERS)
            try:
                await do()
            finally:
                server.close()

    asyncio.run(run())


def test_a_question_is_answered(folder: Folder) -> None:
    async def do() -> None:
        assert stat.S_IMODE(folder.control.stat().st_mode) == 0o600
        assert await asyncio.to_thread(control.ask, folder, "status") == {"epoch": 7}
        assert await asyncio.to_thread(control.ask, folder, "status") == {"epoch": 7}

    with_server(folder, do)


def test_what_the_gate_could_not_do_is_said(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    async def do() -> None:
        for question, answer in (
            ("refused", "the running gate could not: the store is busy"),
            ("defect", "a defect of mutualgate; the gate's log has it"),
            ("unknown", "expected an object with `do`, one of defect, refused, status"),
        ):
            with pytest.raises(Unavailable, match=answer) as caught:
                await asyncio.to_thread(control.ask, folder, question)
            assert "hunter2" not in str(caught.value)

    with_server(folder, do)


@pytest.mark.parametrize("line", [b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"do": []}\n', b"\xff\xfe\n", b"1\n"])
def test_nonsense_gets_a_sentence_and_the_next_question_an_answer(folder: Folder, line: bytes) -> None:
    async def do() -> None:
        reader, writer = await asyncio.open_unix_connection(str(folder.control))
        writer.write(line + b'{"do": "status"}\n')
        assert "problem" in json.loads(await reader.readline())
        assert json.loads(await reader.readline()) == {"epoch": 7}
        writer.close()

    with_server(folder, do)


def test_a_line_without_end_is_hung_up_on(folder: Folder) -> None:
    async def do() -> None:
        reader, writer = await asyncio.open_unix_connection(str(folder.control))
        with suppress(OSError):  # a broken pipe or a reset, as it happens
            for _ in range(64):
                writer.write(b"x" * (1 << 16))
                await writer.drain()
            assert await reader.read() == b""
        assert writer.is_closing()
        assert await asyncio.to_thread(control.ask, folder, "status") == {"epoch": 7}

    with_server(folder, do)


def test_nobody_there_is_no_error(folder: Folder, tmp_path: Path) -> None:
    assert control.ask(folder, "status") is None
    assert control.ask(Folder(tmp_path / "nowhere"), "status") is None


def test_the_socket_of_a_process_that_was_killed_counts_for_nothing_and_is_replaced(folder: Folder) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.control))
        listener.listen()
    assert control.ask(folder, "status") is None

    async def do() -> None:
        assert await asyncio.to_thread(control.ask, folder, "status") == {"epoch": 7}

    with_server(folder, do)


def test_a_gate_that_does_not_answer_is_said_so(folder: Folder) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.control))
        listener.listen()
        with pytest.raises(Unavailable, match=r"did not answer within 0.1 s.* See its log"):
            control.ask(folder, "sync", patience_seconds=0.1)


@contextmanager
def hanging_up(folder: Folder, times: int, said: bytes = b"") -> Iterator[list[bytes]]:
    """A gate that hangs up `times` times when it has heard a question, after `said`, then answers. What it heard."""
    heard = []

    def serve(listener: socket.socket) -> None:
        for time in range(times + 1):
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(1024))
                connection.sendall(said if time < times else b'{"epoch": 7}\n')

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.control))
        listener.listen()
        listener.settimeout(30)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield heard
        finally:
            thread.join()


@pytest.mark.parametrize("said", [b"", b'{"epoch": 7'])
def test_who_is_cut_off_asks_again(folder: Folder, said: bytes) -> None:
    with hanging_up(folder, 2, said) as heard:
        assert control.ask(folder, "status") == {"epoch": 7}
    assert heard == [b'{"do": "status"}\n'] * 3


def test_what_must_not_be_done_twice_is_asked_once(folder: Folder) -> None:
    with hanging_up(folder, 1) as heard:
        with pytest.raises(Unavailable, match=r"hung up before it answered\. "):
            control.ask(folder, "restart", again=False)
        assert heard == [b'{"do": "restart"}\n']
        assert control.ask(folder, "status") == {"epoch": 7}


def test_a_gate_that_hangs_up_each_time_is_said_so(folder: Folder) -> None:
    with hanging_up(folder, 1):
        with pytest.raises(Unavailable, match=r"hung up before it answered, each time for 0 s.* See its log"):
            control.ask(folder, "sync", patience_seconds=0)
        control.ask(folder, "status")


@pytest.mark.parametrize("turns", range(6))
def test_nobody_is_cut_off_when_another_process_takes_over(folder: Folder, turns: int) -> None:
    """In whichever turn of the loop the old one closes its end after somebody has connected."""

    async def run() -> None:
        with answering.listener(folder) as listener, socket.socket(socket.AF_UNIX) as asking:
            old = answering.Server(listener, {"status": status})
            await asyncio.sleep(0)
            asking.connect(str(folder.control))
            asking.sendall(b'{"do": "status"}\n')
            for _ in range(turns):
                await asyncio.sleep(0)
            old.close()
            new = answering.Server(listener, {"status": status})
            asking.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(asking, 1024) == b'{"epoch": 7}\n'
            new.close()

    asyncio.run(run())


def test_a_process_without_descriptors_hears_again_when_it_has_some(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mutualgate.app.answering._EXHAUSTED_SECONDS", 0.01)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def do() -> None:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(30)
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (asking.fileno() + 1, hard))
            try:
                asking.connect(str(folder.control))
                asking.sendall(b'{"do": "status"}\n')
                while not caplog.records:
                    await asyncio.sleep(0.01)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert await asyncio.to_thread(asking.recv, 1024) == b'{"epoch": 7}\n'
        assert "Too many open files" in caplog.text

    with_server(folder, do)


def test_a_gate_that_is_about_to_start_is_waited_for(folder: Folder) -> None:
    with claimed(folder), pytest.raises(Unavailable, match="starting or stopping"):
        control.ask(folder, "sync", patience_seconds=0.1)

    async def run() -> None:
        with claimed(folder):
            asked = asyncio.create_task(asyncio.to_thread(control.ask, folder, "status"))
            await asyncio.sleep(0.2)
            assert not asked.done()
            with answering.listener(folder) as listener:
                server = answering.Server(listener, HANDLERS)
                assert await asked == {"epoch": 7}
                server.close()

    asyncio.run(run())
