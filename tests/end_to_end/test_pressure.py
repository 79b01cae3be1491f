"""When memory, or the room for connections, runs out: the gate gives up the least, stays up, and recovers by itself."""

import asyncio
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from end_to_end import h2
from end_to_end.forge import Identity
from end_to_end.gate import MUTUALGATE, Gate, running_gate
from end_to_end.raw import Connection
from end_to_end.recorder import Recorder

MIB = 1 << 20
STREAMS = 100


class Endless:
    """A service whose answers never end, for as many as ask."""

    def __init__(self) -> None:
        self._begun: Future[tuple[str, Callable[[], object]]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self.url, self._end = self._begun.result()

    async def _serve(self) -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._begun.set_result((url, partial(loop.call_soon_threadsafe, end.set)))
        await end.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()

    def close(self) -> None:
        self._end()
        self._thread.join()


@dataclass
class Short:
    """A gate whose memory is limited by the test."""

    gate: Gate
    somebody: Identity
    text: str

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self.gate.command("status").json["counters"]
        return counters

    def limited(self, limit: str) -> int:
        return int(dict(self.counters()["limited"])[limit])

    def allow(self, memory: str) -> None:
        file = self.gate.folder / "mutualgate.toml"
        new = file.with_suffix(".new")
        new.write_text(self.text.replace('memory_limit = "unlimited"', f'memory_limit = "{memory}"'))
        new.replace(file)
        self.gate.program.process.send_signal(signal.SIGHUP)

    def until_stage(self, *stages: int) -> None:
        self.gate.program.wait_for(lambda: self.counters()["memory_stage"] in stages, 20)

    def is_served(self) -> bool:
        try:
            return self.gate.get("/", self.somebody).status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Short]:
    folder = tmp_path_factory.mktemp("short")
    endless = Endless()
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "{upstream.url}" }}, {{ path = "/endless", upstream = "{endless.url}" }}]
"""
    settings = 'workers = 2\naccess_log = ""\nmemory_limit = "unlimited"\n[gate.limits]\nmin_read_rate = "0 B"\n'
    with closing(endless), running_gate(folder / "gate", sites, settings) as gate:
        text = (gate.folder / "mutualgate.toml").read_text()
        yield Short(gate, gate.client("somebody"), text)


def glutton(short: Short) -> Connection:
    """A connection with many large answers under way, of which nothing is taken."""
    connection = Connection.open(short.gate.port, short.gate.context(short.somebody, alpn=["h2"]))
    most = (1 << 31) - 1
    connection.send(h2.PREFACE + h2.frame(h2.SETTINGS, 0, 0, b"\x00\x04" + most.to_bytes(4)))
    connection.send(h2.frame(h2.WINDOW_UPDATE, 0, 0, (most - 65535).to_bytes(4)))
    fields = [(":method", "GET"), (":scheme", "https"), (":path", "/endless"), (":authority", "localhost")]
    for number in range(STREAMS):
        connection.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 2 * number + 1, h2.block(fields)))
    return connection


def test_many_that_take_nothing_do_not_fill_the_memory(short: Short) -> None:
    used = short.counters()["memory_bytes"]
    # The gate without clients stays below where it begins to be short.
    short.allow(f"{used // MIB * 3 // 2} MiB")
    before = short.limited("memory_cuts")
    with ExitStack() as gluttons:
        for _ in range(8):
            # While memory is short, no connection is taken.
            with suppress(OSError):
                gluttons.enter_context(glutton(short))
        short.gate.program.wait_for(lambda: short.limited("memory_cuts") > before, 40)
        assert short.gate.program.process.poll() is None
        # Those that hold on are cut, and there is room for others.
        short.gate.program.wait_for(short.is_served, 40)
    short.until_stage(0)
    assert short.is_served()
    short.allow("unlimited")


def test_who_comes_while_there_is_no_memory_is_told_when_to_come_again(short: Short) -> None:
    for _ in range(5):  # On a busy machine a connection may idle for long enough to be closed before it asks again.
        short.gate.program.wait_for(short.is_served, 40)
        with short.gate.open(short.somebody) as connection, suppress(ConnectionResetError):
            answer = connection.request("/")
            assert answer.status == 200
            short.allow("32 MiB")
            while answer.status == 200:
                answer = connection.request("/")
            assert (answer.status, answer.reason) == (503, "overloaded")
            assert int(answer.header("retry-after") or 0) >= 1
            assert connection.closed()
            break
        short.allow("unlimited")
    else:
        pytest.fail("no answer while memory was short")
    short.until_stage(3)
    assert "memory is short" in status_text(short)
    assert not short.is_served()
    assert short.limited("memory_connections") >= 1
    short.allow("unlimited")
    short.gate.program.wait_for(short.is_served, 40)
    assert short.counters()["memory_stage"] == 0


def status_text(short: Short) -> str:
    command = [*MUTUALGATE, "status", "--dir", str(short.gate.folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def narrow(upstream: Recorder) -> str:
    return (
        f'[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{{ path = "/", upstream = "{upstream.url}" }}]\n'
    )


NARROW = 'workers = 1\nmax_connections = 20\n[gate.timeouts]\nidle = "1h"\nhandshake = "1h"\n'


def test_idle_connections_make_room_for_others(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> None:
    folder = tmp_path_factory.mktemp("narrow")
    with running_gate(folder / "gate", narrow(upstream), NARROW) as gate, ExitStack() as stack:
        short = Short(gate, gate.client("somebody"), "")
        idle = []
        for _ in range(20):
            gate.program.wait_for(short.is_served, 40)
            idle.append(stack.enter_context(gate.open(short.somebody)))
            assert idle[-1].request("/").status == 200
        assert idle[0].closed()
        assert idle[-1].request("/").status == 200
        assert short.limited("idle_connections") >= 1


def test_who_does_not_say_who_it_is_makes_room_for_others(
    tmp_path_factory: pytest.TempPathFactory, upstream: Recorder
) -> None:
    folder = tmp_path_factory.mktemp("silent")
    with running_gate(folder / "gate", narrow(upstream), NARROW) as gate, ExitStack() as stack:
        short = Short(gate, gate.client("somebody"), "")
        for _ in range(40):
            stack.enter_context(Connection.plain(gate.port))
        gate.program.wait_for(short.is_served, 30)
        assert short.limited("max_connections") >= 20
