"""`mutualgate standby`: a process in which all is loaded, and which makes a copy of itself for each command.

`relay` has the other side, and what both say. The copy is the command: it has the words, environment, directory and
descriptors of the process that asks, and no more rights than that one has. Nothing of a command stays behind: the
process itself opens no store and no key.
"""

import gc
import logging
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, Popen
from threading import Thread
from typing import Annotated

import typer

import mutualgate
from mutualgate.cli import output, relay, run
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.errors import Unavailable
from mutualgate.priority import undiminished

log = logging.getLogger("mutualgate")

MOST_AT_ONCE = 32
"""Commands. Others are run where they were asked for."""

_NEVER = ("demo", "ops", "portal", "store.migrations", "tracing", "serving", "app.runner", "__main__")
"""What no command uses: the gate's own services."""
_AT_START = (b"PYTHON", b"LD_", b"MALLOC_", b"OPENSSL_", b"SSL_", b"TYPER_", b"_TYPER_")
"""Variables that Python and libraries read when they are loaded."""
_RIGHTS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
"""Lines of proc_pid_status(5)."""
_SECONDS = 5.0
_NICE = 10
_HANG_UP = 0x2000  # POLLRDHUP, poll(2)


def standby(
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
    lifeline: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> int:
    """Have commands at hand: as long as this runs, each of the same user on the same folder takes milliseconds.

    A running gate has such a process, unless it was started with --no-standby. This is for where none can: where
    no gate runs, or where it runs in a sandbox from which the files of commands cannot be seen (systemd). Commands are
    called as ever. What is called with other rights, or was installed anew meanwhile, is run by itself as before.

    Example: mutualgate standby --dir /var/lib/mutualgate
    """
    from mutualgate.app import Folder

    folder = Folder(dir)
    folder.require()
    folder.create()
    _possible()
    began = time.time_ns()
    _load_everything()
    if len(os.listdir("/proc/self/task")) != 1:
        raise Unavailable("a library has started threads, and no copy can be made of those", where="mutualgate standby")
    where = folder.path / relay.SOCKET
    standing_by = _Standby(where, lifeline, began)
    output.emit({"socket": str(where)}, f"Commands are at hand for {output.plain(dir)}.", json, one_line=True)
    asked = standing_by.serve()
    if asked is None:
        return output.DONE
    return run(asked)  # in a copy of this process


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Has a standby process for the folder as long as the block runs, and no longer than this process."""
    if sys.platform != "linux":
        yield
        return
    theirs, ours = os.pipe()
    words = [sys.executable, "-Pm", "mutualgate", "standby", f"--dir={folder}", f"--lifeline={theirs}"]

    def start() -> "Popen[bytes]":
        return Popen(
            words,
            stdin=DEVNULL,
            stdout=DEVNULL,
            pass_fds=[theirs],
            env={name: value for name, value in os.environ.items() if not name.startswith("MUTUALGATE_")},
            start_new_session=True,  # what a terminal sends to the gate is not for it
        )

    try:
        undiminished(start)
    except OSError as error:
        log.warning("commands take longer than they could: no process for them can be started: %s", error.strerror)
    finally:
        os.close(theirs)
    try:
        yield
    finally:
        os.close(ours)


def _possible() -> None:
    """Raises `Unavailable` where the system has not what this needs."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise Unavailable("this takes Linux 5.3 or later", where="mutualgate standby") from error


def _load_everything() -> None:
    """Imports what any command may need, and gives way to others meanwhile: a gate is beginning to serve."""
    loading = Thread(target=_load)  # Linux has a nice value for each thread, and this one's goes with it
    loading.start()
    loading.join()
    gc.collect()
    gc.freeze()  # what was imported stays: the collector need not look through it, nor so write to it in each copy


def _load() -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + _NICE, 19))
    for module in pkgutil.walk_packages(mutualgate.__path__, "mutualgate.", onerror=lambda _name: None):
        name = module.name.removeprefix("mutualgate.")
        if not any(name == one or name.startswith(f"{one}.") for one in _NEVER):
            import_module(module.name)


class _Refused(Exception):
    """A command that is not for this process."""


class _Standby:
    """Listens until it is told to end, and lets what it has begun come to its end."""

    def __init__(self, path: Path, lifeline: int | None, began: int) -> None:
        self._lifeline = lifeline
        self._began = began
        self._files = _files()
        self._listener = _listening(path)
        self._path, self._is = path, path.stat()
        self._running: dict[int, tuple[int, socket.socket]] = {}
        """By a descriptor of the process: its number, and the connection to who asked for it."""
        self._poll = select.poll()
        self._listens, self._outdated = True, False

    def serve(self) -> list[str] | None:
        """Returns in a copy of this process: the words of its command; and here, at the end: None.

        Raises `Unavailable` at the end where another program lies on the disk.
        """
        signalled, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        # As a program begins, whatever who started this one has blocked or ignored.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        ends = {one for one in (signalled, self._lifeline) if one is not None}
        for descriptor in (self._listener.fileno(), *ends):
            self._poll.register(descriptor, select.POLLIN)
        while self._listens or self._running:
            descriptor, _ = self._poll.poll()[0]  # one at a time: the number of one that is closed may be taken again
            if descriptor in ends:
                self._poll.unregister(descriptor)
                self._close()
            elif self._listens and descriptor == self._listener.fileno():
                connection = self._accepted()
                if connection is not None and self._copied(connection):
                    self._forget()
                    return _become(connection)
            elif descriptor in self._running:
                self._ended(descriptor)
            else:
                self._hung_up(descriptor)
        if self._outdated:
            raise Unavailable(
                "mutualgate has been installed anew",
                fix="Commands are run by themselves until the gate, or this, is started again.",
            )
        return None

    def _accepted(self) -> socket.socket | None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None
        if self._changed():
            self._outdated = True
            self._close()
        elif len(self._running) < MOST_AT_ONCE and relay.peer(connection)[1] == os.geteuid():
            return connection
        connection.close()
        return None

    def _changed(self) -> bool:
        """Whether a command that is run by itself would load something else than lies here."""
        try:
            return any(os.stat(path).st_mtime_ns > self._began for path in self._files)
        except OSError:
            return True

    def _copied(self, connection: socket.socket) -> bool:
        """True in the copy."""
        try:
            number = os.fork()
        except OSError:
            connection.close()
            return False
        if number == 0:
            return True
        process = os.pidfd_open(number)
        self._running[process] = number, connection
        self._poll.register(process, select.POLLIN)
        self._poll.register(connection, _HANG_UP)
        return False

    def _forget(self) -> None:
        """In a copy: lets go of what is the original's, whose descriptors `_take_descriptors` closes."""
        signal.set_wakeup_fd(-1)
        for one in (self._listener, *(connection for _, connection in self._running.values())):
            one.detach()

    def _ended(self, process: int) -> None:
        """Tells who asked how it ended."""
        number, connection = self._running.pop(process)
        _, status = os.waitpid(number, 0)
        self._poll.unregister(process)
        os.close(process)
        with suppress(KeyError):
            self._poll.unregister(connection)
        with suppress(OSError):
            connection.sendall(status.to_bytes(relay.SIZE))
        connection.close()

    def _hung_up(self, descriptor: int) -> None:
        """Who asked is gone: the command ends as it would have with it."""
        self._poll.unregister(descriptor)
        for process, (_, connection) in self._running.items():
            if connection.fileno() == descriptor:
                signal.pidfd_send_signal(process, signal.SIGKILL)

    def _close(self) -> None:
        """No more commands. Another process may have taken the place meanwhile."""
        if not self._listens:
            return
        self._listens = False
        self._poll.unregister(self._listener)
        self._listener.close()
        with suppress(OSError):
            if os.path.samestat(self._path.lstat(), self._is):
                self._path.unlink()


def _listening(path: Path) -> socket.socket:
    """A socket that is at `path` all at once, in place of one that may be there. Raises `Unavailable`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{draft.name}")
        finally:
            os.close(folder)
        listener.listen(MOST_AT_ONCE)
        draft.replace(path)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen: {error.strerror}", where=str(path)) from error
    finally:
        os.umask(mask)
    return listener


def _become(connection: socket.socket) -> list[str]:
    """Makes this process what the one at the other end would be, had it gone on by itself; returns its words.

    Ends it where that is not possible, or where who asked has gone.
    """
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection.settimeout(_SECONDS)
        asked, received = _received(connection)
        process, _ = relay.peer(connection)
        _same(asked)
        _same_rights(process)
        _take_limits(process)
        connection = _take_descriptors(asked, received, connection)
        _take_surroundings(asked, process)
        own = os.pidfd_open(os.getpid())
        socket.send_fds(connection, [relay.READY], [own])
        os.close(own)
        if connection.recv(1) != relay.GO:
            raise _Refused
        connection.close()
    except (_Refused, OSError, ValueError):
        os._exit(output.DONE)
    return asked.words


def _received(connection: socket.socket) -> tuple[relay.Asked, list[int]]:
    data, descriptors, _, _ = socket.recv_fds(
        connection, relay.MOST_BYTES, relay.MOST_DESCRIPTORS + 1, socket.MSG_CMSG_CLOEXEC
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


def _files() -> list[str]:
    """What tells by its time that something else would be loaded now: our files, and what is installed into."""
    ours = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "mutualgate"]
    return [path for path in (*ours, *sys.path) if path and path != os.getcwd() and os.path.exists(path)]


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
    import fcntl

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
