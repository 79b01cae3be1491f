"""Scenario G: from "revoked" to "refused", and until what is open is cut.

    .venv/bin/python bench/revocation.py                 # 100 clients

Each client has a certificate of its own, a connection that has been used, and one that is in the middle of a download.
It is revoked as `mutualgate client revoke` does it: the change is committed, and the gate says that it is in force.
That is the moment at which the command returns, and the clock starts.
"""

import argparse
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from process import free_port
from scale import CONFIG, PROGRAM, Pair, environment, leaf

from mutualgate.app import Folder, Services, control
from mutualgate.app.setup import set_up

LIMITS_MS = {"refused": 5.0, "cut": 50.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutualgate-bench-") as work, Endless() as upstream:
        folder, port = Folder(Path(work) / "gate"), free_port()
        folder.create()
        folder.config.write_text(CONFIG.format(port=port, upstream=f"http://127.0.0.1:{upstream}"))
        services = Services(folder, environment=environment())
        set_up(services)
        people = [leaf(None, f"client {number}") for number in range(options.clients)]
        for number, pair in enumerate(people):
            services.clients.add(f"client {number}")
            services.pins.add(f"client {number}", pair.pem)
        refused, cut = [], []
        with Gate(folder):
            for number, pair in enumerate(people):
                idle, busy = (opened(folder, port, pair, Path(work)) for _ in range(2))
                assert ask(idle, "/small").startswith(b"HTTP/1.1 200"), "not served before it was revoked"
                assert ask(busy, "/endless").startswith(b"HTTP/1.1 200"), "no download"
                end: list[float] = []
                watcher = threading.Thread(target=watch, args=(busy, end))
                watcher.start()
                services.clients.revoke(f"client {number}")
                assert control.ask(folder, "sync") is not None
                begun = time.perf_counter()
                answer = ask(idle, "/small")
                refused.append((time.perf_counter() - begun) * 1e3)
                if answer.startswith(b"HTTP/1.1 200"):
                    sys.exit("served after it was revoked")
                watcher.join(10)
                assert end, "not cut"
                cut.append(max(0.0, (end[0] - begun) * 1e3))
                idle.close()
                busy.close()
        services.close()
    late = False
    for name, times in (("refused", refused), ("cut", cut)):
        times.sort()
        half, most = times[len(times) // 2], times[int(0.99 * (len(times) - 1))]
        late |= most > LIMITS_MS[name]
        print(f"{name:8} p50 {half:6.2f} ms, p99 {most:6.2f} ms (at most {LIMITS_MS[name]:.0f}), of {len(times)}")
    return int(late)


class Gate:
    """A running gate, for the time of a `with`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        command = [*PROGRAM, "up", "--dir", str(self._folder.path), "--json"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the gate did not open"

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class Endless:
    """An upstream with a small answer and one without end; gives its port."""

    def __enter__(self) -> int:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while line := self.rfile.readline():
                    while self.rfile.readline().strip():
                        pass
                    if b"/endless" not in line:
                        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        continue
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                    try:
                        while True:
                            self.wfile.write(b"x" * 1000)
                            time.sleep(0.002)
                    except OSError:
                        return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def opened(folder: Folder, port: int, pair: Pair, work: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(folder.root))
    context.load_cert_chain(pair.write(work, "client"))
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(connection, server_hostname="localhost")


def ask(connection: ssl.SSLSocket, path: str) -> bytes:
    """The beginning of the answer; nothing where the connection is closed instead."""
    try:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection.recv(400)
    except OSError:
        return b""


def watch(connection: ssl.SSLSocket, end: list[float]) -> None:
    """Reads until the connection ends, and notes when that was."""
    try:
        while connection.recv(65_536):
            pass
    except OSError:
        pass
    end.append(time.perf_counter())


if __name__ == "__main__":
    sys.exit(main())
