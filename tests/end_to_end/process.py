"""Starts a program in a process group of its own, keeps what it prints, and leaves nothing behind.

Knows processes and ports. Does not know what the programs are.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass
class Running:
    """A program that runs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """What it has printed so far, on both streams."""
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, what: Callable[[], bool], seconds: float = 30) -> None:
        """Waits until `what` is true; fails with the program's last words if it ends or takes longer."""
        deadline = time.monotonic() + seconds
        while not what():
            if not self.alive():
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} was not ready after {seconds} s:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.text().splitlines()[-lines:])

    def signal(self, number: int) -> None:
        """Sends a signal to the whole group."""
        if self.alive():
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Ends the group as a power cut would, and waits for it."""
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 10) -> int:
        """Asks it to end, insists after `seconds`; returns its exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


@contextmanager
def running(
    name: str, arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Runs a program until the block ends; when the block fails, its last words are in the report."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    program = Running(name, process, log)
    try:
        yield program
    except BaseException:
        print(f"--- {name} said:\n{program.tail()}")
        raise
    finally:
        program.stop()
        # A child of it may have outlived it.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


# Below the range from which systems take ports for outgoing connections, and a part of it for each worker.
_ports = count(12_000 + os.getpid() % 200 * 100)


def free_port() -> int:
    """A port of the loopback address that nobody uses and that was not given out before."""
    while True:
        port = next(_ports)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
