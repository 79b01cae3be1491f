"""The gate under what systemd does for a service: a notify socket, a watchdog, sockets that are open already."""

import contextlib
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end.gate import MUTUALGATE, Gate, listeners
from end_to_end.process import Running, free_port, running
from end_to_end.test_restart import SITES, end, gone, pid_of

# What systemd does between fork and exec (sd_listen_fds(3)).
LAUNCH = """
import os, socket, sys
port, names, *program = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": names}
os.execvp(program[0], program)
"""


class Manager:
    """Hears what a service says, as systemd would: who sent it, and what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self.heard: list[tuple[int, str]] = []
        self._queue: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """All the time: the kernel keeps ten messages, then whoever sends has to wait."""
        with contextlib.suppress(OSError):
            while True:
                data, ancillary, _, _ = self._socket.recvmsg(4096, 256)
                if not data:
                    return  # shut down
                self._queue.put((int.from_bytes(ancillary[0][2][:4], sys.byteorder), data.decode()))

    def hear(self, what: str, seconds: float = 60) -> tuple[int, str]:
        """Waits for a message that begins with `what`; gives who sent it, and all of it."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while True:
                self.heard.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
                if self.heard[-1][1].startswith(what):
                    return self.heard[-1]
        raise AssertionError(f"{what} was not heard, but {self.heard}")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextlib.contextmanager
def service(folder: Path, launcher: list[str], environment: dict[str, str]) -> Iterator[Running]:
    log = folder.parent / "service.log"
    with running("the service", [*launcher, *MUTUALGATE, "up", "--dir", str(folder)], log, environment) as program:
        yield program
        assert "Traceback" not in program.text(), program.tail()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def ports(tmp_path: Path) -> tuple[int, int, int]:
    ports = free_port(), free_port(), free_port()
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "mutualgate.toml").write_text(f"{listeners(*ports)}{SITES}")
    return ports


def test_systemd_hears_of_every_step(tmp_path: Path, ports: tuple[int, int, int], manager: Manager) -> None:
    folder = tmp_path / "gate"
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000", "NO_COLOR": "1"}
    with service(folder, [], environment) as program:
        main = program.process.pid
        gate = Gate(folder, *ports, program)
        sender, said = manager.hear("READY=1")
        assert sender == main
        assert f"STATUS=1 site at 127.0.0.1:{ports[0]}" in said
        assert manager.hear("WATCHDOG=1")[0] == main

        os.kill(main, signal.SIGHUP)
        assert manager.hear("RELOADING=1")[1].splitlines()[1].startswith("MONOTONIC_USEC=")
        assert manager.hear("READY=1")[0] == main

        answer = gate.command("restart").json
        # NotifyAccess=main: it is the old one that names the new one, and only then the new one speaks.
        assert manager.hear("MAINPID=") == (main, f"MAINPID={answer['successor']}")
        assert manager.hear("READY=1")[0] == answer["successor"]
        assert gone(main)
        # The old one may have said it once more while it ended.
        while manager.hear("WATCHDOG=1")[0] != answer["successor"]:
            pass
        assert not [said for _, said in manager.heard if said.startswith("STOPPING")], "the service does not end"
        end(gate)
        assert manager.hear("STOPPING=1")[0] == answer["successor"]


@pytest.mark.parametrize("name", ["tls", "mutualgate.socket"])
def test_a_socket_that_systemd_opened_is_used_and_handed_on(
    tmp_path: Path, ports: tuple[int, int, int], name: str
) -> None:
    """By its name in place of what the settings name, or else by its address."""
    folder = tmp_path / "gate"
    port = free_port() if name == "tls" else ports[0]
    with service(folder, [sys.executable, "-c", LAUNCH, str(port), name], {"NO_COLOR": "1"}) as program:
        program.wait_for(lambda: "The gate is open" in program.text())
        gate = Gate(folder, port, ports[1], ports[2], program)
        anna = gate.client("anna")
        assert gate.command("status").json["listening"] == [f"127.0.0.1:{port}"]
        assert gate.get("/hello", anna).status == 200
        # mutualgate.toml is read again without regard to the sockets.
        os.kill(pid_of(gate), signal.SIGHUP)
        program.wait_for(lambda: "the configuration was read again" in program.text())
        for _ in range(2):
            assert gone(gate.command("restart").json["pid"])
            assert gate.command("status").json["listening"] == [f"127.0.0.1:{port}"]
            assert gate.get("/hello", anna).status == 200
        end(gate)


def test_a_socket_that_no_setting_names_is_refused(tmp_path: Path, ports: tuple[int, int, int]) -> None:
    folder, port = tmp_path / "gate", free_port()
    with service(folder, [sys.executable, "-c", LAUNCH, str(port), "other"], {"NO_COLOR": "1"}) as program:
        program.process.wait(60)
        assert program.process.returncode == 2
        assert f"a socket at 127.0.0.1:{port} was handed over, and no setting names that address" in program.text()


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd-socket-activate is not installed")
def test_systemd_s_own_launcher_starts_it(tmp_path: Path, ports: tuple[int, int, int]) -> None:
    folder, port = tmp_path / "gate", free_port()
    launcher = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=tls", "-E", "PATH", "-E", "HOME"]
    with service(folder, launcher, {"NO_COLOR": "1"}) as program:
        program.wait_for(lambda: "Listening on" in program.text())
        with socket.create_connection(("127.0.0.1", port)):  # the first connection starts it, and is not lost
            program.wait_for(lambda: "The gate is open" in program.text())
        gate = Gate(folder, port, ports[1], ports[2], program)
        assert gate.get("/hello", gate.client("anna")).status == 200
