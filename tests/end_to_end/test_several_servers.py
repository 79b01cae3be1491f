"""Several servers behind a route: real processes that are killed, come back, are ill, or take a request in silence."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end import servers
from end_to_end.gate import Gate, running_gate
from end_to_end.process import free_port

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

name, port, illness = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes as a whole: who is killed has not begun one

    def do_GET(self):
        ill = self.path == "/health" and illness.exists()
        self.send_response(503 if ill else 200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name.encode())

    do_POST = do_GET

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Server).serve_forever()
"""
SETTINGS = """
[[upstreams]]
name = "app"
servers = {servers}
drain = {drain}
slow_start = "0s"
retries = {{ most = {most}, percent = 100, per_second = 1000 }}
ejection = {{ failures = 3, time = "100ms", most_percent = 50 }}
health = {{ check = "{check}", path = "/health", interval = "100ms", timeout = "2s", rise = 1, fall = 2 }}

[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "off"
routes = [{{ path = "/", upstream = "app" }}]
"""


class Server:
    """A server with a name, in a process of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.port, self.illness = name, free_port(), folder / f"{name}-is-ill"
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", SERVER, self.name, str(self.port), str(self.illness)]
        self._process = subprocess.Popen(command)
        wait_until(self._listens)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    servers = Server(tmp_path, "first"), Server(tmp_path, "second")
    yield servers
    for server in servers:
        server.kill()


def settings(*servers: str, check: str = "off", drain: str = "[]", most: int = 1) -> str:
    return SETTINGS.format(servers=json.dumps(servers), drain=drain, check=check, most=most)


def wait_until(what: Callable[[], bool]) -> None:
    """Waits until `what` is true."""
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def answered_by(gate: Gate, times: int) -> set[str]:
    """The names of those who answered, each time with 200."""
    with gate.open() as connection:
        responses = [connection.request("/") for _ in range(times)]
    assert {response.status for response in responses} == {200}
    return {response.body.decode() for response in responses}


def test_a_server_that_is_killed_costs_nobody_a_request(tmp_path: Path, pair: tuple[Server, Server]) -> None:
    first, second = pair
    with running_gate(tmp_path / "gate", settings(first.url, second.url)) as gate:
        assert answered_by(gate, 8) == {"first", "second"}
        statuses: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            with gate.open() as connection:
                while not stop.is_set():
                    statuses.append(connection.request("/").status)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(statuses) > 100)
        first.kill()
        before = len(statuses)
        wait_until(lambda: len(statuses) > before + 100)
        stop.set()
        for thread in threads:
            thread.join()
        assert {*statuses} == {200}
        assert answered_by(gate, 8) == {"second"}
        first.start()
        wait_until(lambda: "first" in answered_by(gate, 8))


def test_a_server_that_says_it_is_ill_gets_no_requests(tmp_path: Path, pair: tuple[Server, Server]) -> None:
    first, second = pair
    with running_gate(tmp_path / "gate", settings(first.url, second.url, check="http")) as gate:
        wait_until(lambda: answered_by(gate, 8) == {"first", "second"})
        first.illness.touch()
        wait_until(lambda: answered_by(gate, 8) == {"second"})
        assert not used(gate, first)
        assert used(gate, second)
        second.illness.touch()
        wait_until(lambda: gate.get("/").status == 503)
        answer = gate.get("/")
        assert int(answer.header("retry-after") or 0) >= 1
        first.illness.unlink()
        wait_until(lambda: gate.get("/").status == 200)
        assert answered_by(gate, 8) == {"first"}


def used(gate: Gate, server: Server) -> bool:
    rows = gate.command("upstream", "list").json["servers"]
    state: str = next(row["state"] for row in rows if str(server.port) in row["address"])
    return state == "up"


def test_a_server_that_drains_gets_no_requests(tmp_path: Path, pair: tuple[Server, Server]) -> None:
    first, second = pair
    with running_gate(tmp_path / "gate", settings(first.url, second.url, drain=json.dumps([second.url]))) as gate:
        assert answered_by(gate, 20) == {"first"}


class Mute(servers.Server):
    """Takes a request and closes without a word."""

    def meet(self, peer: socket.socket) -> None:
        peer.recv(65536)


@pytest.fixture
def mute() -> Iterator[str]:
    with Mute() as server:
        yield server.url


@pytest.mark.parametrize(
    ("method", "most", "expected"), [("GET", 1, {200}), ("GET", 0, {200, 502}), ("POST", 1, {200, 502})]
)
def test_what_may_be_repeated_is_sent_to_another(
    method: str, most: int, expected: set[int], tmp_path: Path, pair: tuple[Server, Server], mute: str
) -> None:
    """RFC 9110 9.2.2: nobody knows what became of a POST that got no answer."""
    text = settings(pair[0].url, mute, most=most).replace("failures = 3", "failures = 0")
    with running_gate(tmp_path / "gate", text) as gate:
        assert {gate.get("/", method=method).status for _ in range(12)} == expected
