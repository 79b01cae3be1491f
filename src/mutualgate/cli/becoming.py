"""What makes a copy of the process that stands by (`standby`) into the command of another process (`relay`).

It has the words, environment, directory, limits and descriptors of the process that asks, and no more rights than that
one has: where these differ, it is not for it.
"""

import fcntl
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mutualgate.cli import output, relay

_AT_START = (b"PYTHON", b"LD_", b"MALLOC_", b"OPENSSL_", b"SSL_", b"TYPER_", b"_TYPER_")
"""Variables that Python and libraries read when they are loaded."""
_RIGHTS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
"""Lines of proc_pid_status(5)."""
_SECONDS = 5.0
_FIRST_BYTES = 16 << 10


class _Refused(Exception):
    """A command that is not for this process."""


def become(connection: socket.socket) -> tuple[list[str], socket.socket]:
    """Makes this process what the one at the other end would be, had it gone on by itself; returns its words, and the
    connection, which may have moved.

    Ends it where that is not possible, or where who asked has gone.
    """
    try:
        connection.settimeout(_SECONDS)
        own = os.pidfd_open(os.getpid())
        socket.send_fds(connection, [relay.HERE], [own])
        os.close(own)
        asked, received = _received(connection)
        process, _ = relay.peer(connection)
        _same(asked)
        _same_rights(process)
        _take_limits(process)
        _take_signals(process)
        connection = _take_descriptors(asked, received, connection)
        _take_surroundings(asked, process)
        connection.sendall(relay.READY)
        if connection.recv(1) != relay.GO:
            raise _Refused
        connection.settimeout(None)
    except Exception:  # whatever is wrong with it: it is run where it was asked for
        os._exit(output.DONE)
    return asked.words, connection


def tell(connection: socket.socket, status: int) -> None:
    """Tells who asked that the command has come to its end, and who reads what it says. This process has nothing left
    to do but to give back its memory, which takes as long as a command."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        return  # what is wrong with them is said at the end
    if threading.active_count() > 1:
        return
    for number in (1, 2):
        with suppress(OSError):
            os.close(number)
    with suppress(OSError):
        connection.sendall((status << 8).to_bytes(relay.SIZE))


def _received(connection: socket.socket) -> tuple[relay.Asked, list[int]]:
    # A little at first: whatever is asked for is made before anything has come.
    data, descriptors, _, _ = socket.recv_fds(
        connection, _FIRST_BYTES, relay.MOST_DESCRIPTORS + 1, socket.MSG_CMSG_CLOEXEC
    )
    size = int.from_bytes(data[: relay.SIZE])
    if size > relay.MOST_BYTES:
        raise _Refused
    while data and len(data) < relay.SIZE + size:
        more = connection.recv(relay.SIZE + size - len(data))
        if not more:
            raise _Refused
        data += more
    asked = relay.Asked.unpacked(data[relay.SIZE :])
    if len(descriptors) != len(asked.descriptors) + 1:
        raise _Refused
    return asked, descriptors


def _same(asked: relay.Asked) -> None:
    """Raises `_Refused` unless the same program asks, and would have loaded the same."""

    def read(environment: Mapping[bytes, bytes]) -> set[tuple[bytes, bytes]]:
        return {(name, value) for name, value in environment.items() if name.startswith(_AT_START)}

    if asked.python != relay.same_program() or read(asked.environment) != read(os.environb):
        raise _Refused


def _same_rights(process: int) -> None:
    """Raises `_Refused` unless the other process may do what this one may, and sees the same."""
    if _rights(process) != _rights(os.getpid()):
        raise _Refused


def _rights(process: int) -> list[str]:
    home = Path(f"/proc/{process}")
    found = [line for line in (home / "status").read_text().splitlines() if line.partition(":")[0] in _RIGHTS]
    found += sorted(os.readlink(one) for one in (home / "ns").iterdir() if not one.name.startswith("cgroup"))
    root = (home / "root").stat()
    found.append(f"{root.st_dev} {root.st_ino}")
    with suppress(OSError):  # not there without AppArmor or SELinux
        found.append((home / "attr/current").read_text())
    return found


def _take_limits(process: int) -> None:
    """Raises `_Refused` where those of the other process cannot be had."""
    try:
        for name in dir(resource):
            if name.startswith("RLIMIT_"):
                number = getattr(resource, name)
                wanted, own = resource.prlimit(process, number), resource.getrlimit(number)
                if wanted != own:
                    # The hard one may be lower here; then nothing could be raised as far as there.
                    resource.setrlimit(number, (wanted[0], _lower(wanted[1], own[1])))
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, process))
        os.sched_setaffinity(0, os.sched_getaffinity(process))
    except (OSError, ValueError) as error:
        raise _Refused from error


def _lower(one: int, other: int) -> int:
    unlimited = resource.RLIM_INFINITY
    return min((limit for limit in (one, other) if limit != unlimited), default=unlimited)


def _take_signals(process: int) -> None:
    """Ignores those that the other process does, under `nohup` for one, and no others; blocks them likewise."""
    ignored, blocked = (int(_line(process, name), 16) for name in ("SigIgn", "SigBlk"))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if ignored >> number - 1 & 1:
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, {one for one in signal.valid_signals() if blocked >> one - 1 & 1})


def _take_descriptors(asked: relay.Asked, received: list[int], connection: socket.socket) -> socket.socket:
    """Puts what was received where the other process has it, and closes all else but the connection, which moves."""
    above = max(asked.descriptors, default=0) + 1
    high = [_moved(number, above) for number in (connection.detach(), *received)]
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in high:
            with suppress(OSError):
                os.close(number)
    first, here, *rest = high
    os.fchdir(here)
    os.close(here)
    for number, wanted in zip(rest, asked.descriptors, strict=True):
        os.dup2(number, wanted)
        os.close(number)
    moved = socket.socket(fileno=first)
    moved.settimeout(_SECONDS)
    return moved


def _moved(number: int, above: int) -> int:
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(above, 3))


def _take_surroundings(asked: relay.Asked, process: int) -> None:
    os.umask(int(_line(process, "Umask"), 8))
    os.environb.clear()
    os.environb.update(asked.environment)
    time.tzset()
    sys.argv = [asked.program, *asked.words]
    pairs = zip(("stdin", "stdout", "stderr"), asked.streams[::2], asked.streams[1::2], strict=True)
    for number, (name, encoding, errors) in enumerate(pairs):
        stream = _stream(number, encoding, errors) if number in asked.descriptors and encoding else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _line(process: int, name: str) -> str:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def _stream(number: int, encoding: str, errors: str) -> object:
    """As Python makes its standard streams."""
    mode = "r" if number == 0 else "w"
    by_line = number == 2 or os.isatty(number)
    return open(number, mode, 1 if by_line else -1, encoding=encoding, errors=errors, closefd=False)
