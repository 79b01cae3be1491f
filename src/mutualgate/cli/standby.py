"""`mutualgate standby`: a process in which all is loaded, and which makes a copy of itself for each command.

`relay` has the other side, and what both say; `becoming`, how a copy becomes the command; `beside`, how a gate has such
a process. Nothing of a command stays behind: the process itself opens no store and no key but those of its rehearsal.
"""

import gc
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import mutualgate
from mutualgate.cli import output, relay, run
from mutualgate.cli.becoming import become, tell
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.errors import Unavailable

MOST_AT_ONCE = 32
"""Commands. Others are run where they were asked for."""

_NEVER = ("demo", "ops", "portal", "store.migrations", "tracing", "serving", "app.runner", "__main__")
"""What no command uses: the gate's own services."""
_NICE = 10
_PAUSE_SECONDS = 0.25
_ANEW = "--anew"
_INSTALLING_SECONDS = 5
"""Whoever installs something may not be done when the first command comes upon it."""
_INSTALLED_ANEW = """mutualgate, or a package that it uses, has been installed anew. Commands are of what lies on the
disk now, and a running gate is after: mutualgate restart""".replace("\n", " ")
_HANG_UP = 0x2000  # POLLRDHUP, poll(2)


def standby(
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
    lifeline: Annotated[int | None, typer.Option(hidden=True)] = None,
    anew: Annotated[bool, typer.Option(_ANEW, hidden=True)] = False,
) -> int:
    """Have commands at hand: as long as this runs, each of the same user on the same folder takes milliseconds.

    A running gate has such a process, unless it was started with --no-standby. This is for where none can: where
    no gate runs, or where it runs in a sandbox from which the files of commands cannot be seen (systemd). Commands are
    called as ever. What is called with other rights is run by itself as before. Once mutualgate is installed anew, this
    begins anew, too.

    Example: mutualgate standby --dir /var/lib/mutualgate
    """
    from mutualgate.app import Folder

    folder = Folder(dir)
    folder.require()
    folder.create()
    _possible()
    began = time.time_ns()
    rehearsed = folder.run / str(os.getpid())
    ends = _ends(lifeline)
    _load_everything(rehearsed, ends)
    if anew and relay.connected(str(folder.path)) is not None:
        shutil.rmtree(rehearsed, ignore_errors=True)
        return output.DONE  # the gate was started again meanwhile, and has one
    where = folder.path / relay.SOCKET
    try:
        standing_by = _Standby(where, rehearsed, ends, began)
    except Unavailable:
        shutil.rmtree(rehearsed, ignore_errors=True)
        raise
    output.emit({"socket": str(where)}, f"Commands are at hand for {output.plain(dir)}.", json, one_line=True)
    asked = standing_by.serve()
    if asked is None:
        if standing_by.outdated and not select.select(ends, [], [], _INSTALLING_SECONDS)[0]:
            _begin_anew()
        return output.DONE
    words, connection = asked  # in a copy of this process
    status = run(words)
    tell(connection, status)
    return status


def _begin_anew() -> NoReturn:
    """As the program that lies on the disk now, in the same process. Raises `Unavailable`."""
    words = [word for word in sys.orig_argv[1:] if word != _ANEW]
    try:
        os.execv(sys.executable, [sys.executable, *words, _ANEW])  # noqa: S606  # this program
    except OSError as error:
        raise Unavailable(f"cannot be started again: {error.strerror}", where=sys.executable) from error


def _possible() -> None:
    """Raises `Unavailable` where the system has not what this needs."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise Unavailable("this takes Linux 5.3 or later", where="mutualgate standby") from error


def _ends(lifeline: int | None) -> list[int]:
    """Descriptors that can be read once this process is to end: it was told so, or its gate has ended."""
    signalled, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by who started this one, nobody would tell how copies end
    return [signalled] if lifeline is None else [signalled, lifeline]


def _load_everything(place: Path, ends: list[int]) -> None:
    """Imports what any command may need, and makes what each would make once. Gives way to others meanwhile, since a
    gate is beginning to serve, and ends this process where it is to end."""
    with ThreadPoolExecutor(1) as executor:  # Linux has a nice value for each thread
        loading = executor.submit(_load, place)
        while not loading.done():
            if select.select(ends, [], [], 0)[0]:
                shutil.rmtree(place, ignore_errors=True)
                os._exit(output.DONE)
            wait([loading], 0.1)
        loading.result()
    gc.collect()
    gc.freeze()  # what was made stays: the collector need not look through it, nor so write to it in each copy


def _load(place: Path) -> None:
    """As `load`, with less right to the processor than whoever serves."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(os.getpriority(os.PRIO_PROCESS, 0) + _NICE, 19))
    load(place)


def load(place: Path) -> None:
    """Imports what any command may need, and makes, in the folder `place`, what each would make once."""
    for module in pkgutil.walk_packages(mutualgate.__path__, "mutualgate.", onerror=lambda _name: None):
        name = module.name.removeprefix("mutualgate.")
        if not any(name == one or name.startswith(f"{one}.") for one in _NEVER):
            import_module(module.name)
    from mutualgate.cli.rehearsal import rehearse

    rehearse(place)


class _Copy:
    """A copy of this process: its number, our end of what it waits at, and then the connection to who asked for it."""

    def __init__(self, number: int, waits: socket.socket) -> None:
        self.number = number
        self.waits = waits
        self.connection: socket.socket | None = None


class _Standby:
    """Listens until it is told to end, and lets what it has begun come to its end.

    One copy is made before it is asked for, and waits: to make it, and to give it memory of its own, takes as long as
    many commands do.
    """

    def __init__(self, path: Path, rehearsed: Path, ends: list[int], began: int) -> None:
        self._rehearsed = rehearsed
        self._ends = ends
        self._began = began
        if len(os.listdir("/proc/self/task")) != 1:
            raise Unavailable(
                "a library has started threads, and no copy can be made of those", where="mutualgate standby"
            )
        self._files = _files()
        late = _newer(self._files, time.time_ns())
        if late is not None:
            raise Unavailable("is dated in the future, so nobody can tell when it is installed anew", where=late)
        self._listener = _listening(path)
        self._path, self._is = path, path.stat()
        self._copies: dict[int, _Copy] = {}
        """By a descriptor of the process."""
        self._next: int | None = None
        """Of the one that waits."""
        self._poll = select.poll()
        self._listens = True
        self.outdated = False
        """Whether another program lies on the disk."""

    def serve(self) -> tuple[list[str], socket.socket] | None:
        """Returns in a copy of this process: the words of its command, and the connection to who asked; and here, at
        the end: None."""
        for descriptor in (self._listener.fileno(), *self._ends):
            self._poll.register(descriptor, select.POLLIN)
        waits = self._copied()
        while waits is None and (self._listens or self._running()):
            descriptor, _ = self._poll.poll()[0]  # one at a time: the number of one that is closed may be taken again
            if descriptor in self._ends:
                self._poll.unregister(descriptor)
                self._close()
            elif self._listens and descriptor == self._listener.fileno():
                connection = self._accepted()
                if connection is not None:
                    waits = self._given(connection)
            elif descriptor in self._copies:
                had_command = self._ended(descriptor)
                if had_command and self._listens and self._next is None:
                    waits = self._copied()
            else:
                self._hung_up(descriptor)
        if waits is not None:
            return self._become(waits)
        shutil.rmtree(self._rehearsed, ignore_errors=True)
        return None

    def _running(self) -> int:
        return sum(copy.connection is not None for copy in self._copies.values())

    def _accepted(self) -> socket.socket | None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None
        if _newer(self._files, self._began) is not None:
            output.complain(_INSTALLED_ANEW)
            self.outdated = True
            self._close()
        elif self._running() < MOST_AT_ONCE and relay.peer(connection)[1] == os.geteuid():
            return connection
        connection.close()
        return None

    def _copied(self) -> socket.socket | None:
        """Makes the next copy. Returns in that: what it waits at."""
        ours, theirs = socket.socketpair()
        try:
            number = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return None
        if number == 0:
            ours.close()
            self._let_go()
            return theirs
        theirs.close()
        self._next = os.pidfd_open(number)
        self._copies[self._next] = _Copy(number, ours)
        self._poll.register(self._next, select.POLLIN)
        return None

    def _let_go(self) -> None:
        """In a copy: of what is the original's. A terminal is, too: what is typed there ends no command of others, and
        who asks may have another, from which only a session of its own lets it read."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        self._listener.close()
        for copy in self._copies.values():
            if copy.connection is not None:
                copy.connection.close()

    def _given(self, connection: socket.socket) -> socket.socket | None:
        """Gives the copy that waits its command; makes one first where none does, and returns as `_copied`."""
        if self._next is None:
            waits = self._copied()
            if waits is not None:
                connection.close()  # it is sent to the copy, as to one that had waited
                return waits
        if self._next is not None:
            copy = self._copies[self._next]
            self._next = None
            try:
                socket.send_fds(copy.waits, [relay.GO], [connection.fileno()])
            except OSError:
                pass  # it was killed, and its end is told next
            copy.waits.close()
            copy.connection = connection
            self._poll.register(connection, _HANG_UP)
        else:
            connection.close()
        return None

    def _become(self, waits: socket.socket) -> tuple[list[str], socket.socket]:
        """In a copy: waits for its command."""
        _make_memory_its_own(waits, self._rehearsed)
        _, found, _, _ = socket.recv_fds(waits, 1, 1)
        if not found:
            os._exit(output.DONE)  # the original has ended
        waits.close()
        return become(socket.socket(fileno=found[0]))

    def _ended(self, process: int) -> bool:
        """Tells who asked how it ended. Whether it was asked for."""
        copy = self._copies.pop(process)
        _, status = os.waitpid(copy.number, 0)
        self._poll.unregister(process)
        os.close(process)
        if copy.connection is None:
            copy.waits.close()
            self._next = None
            return False
        with suppress(KeyError):
            self._poll.unregister(copy.connection)
        with suppress(OSError):
            copy.connection.sendall(status.to_bytes(relay.SIZE))
        copy.connection.close()
        return True

    def _hung_up(self, descriptor: int) -> None:
        """Who asked is gone: the command ends as it would have with it."""
        self._poll.unregister(descriptor)
        for process, copy in self._copies.items():
            if copy.connection is not None and copy.connection.fileno() == descriptor:
                signal.pidfd_send_signal(process, signal.SIGKILL)

    def _close(self) -> None:
        """No more commands. Another process may have taken the place meanwhile."""
        if not self._listens:
            return
        self._listens = False
        self._poll.unregister(self._listener)
        self._listener.close()
        if self._next is not None:
            self._copies[self._next].waits.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            if os.path.samestat(self._path.lstat(), self._is):
                self._path.unlink()


def _make_memory_its_own(waits: socket.socket, rehearsed: Path) -> None:
    """In a copy, until it has its command. Where one comes after the other it is not kept from it for long."""
    from mutualgate.cli.rehearsal import rehearse_once_more

    if not select.select([waits], [], [], 0)[0]:
        for _ in rehearse_once_more(rehearsed):
            if select.select([waits], [], [], _PAUSE_SECONDS)[0]:
                return


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


def _files() -> list[str]:
    """What tells by its time that something else would be loaded now: our files, and what is installed into."""
    ours = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "mutualgate"]
    return [path for path in (*ours, *sys.path) if path and path != os.getcwd() and os.path.exists(path)]


def _newer(files: list[str], began: int) -> str | None:
    """One that was written since, or has gone."""
    for path in files:
        try:
            if os.stat(path).st_mtime_ns > began:
                return path
        except OSError:
            return path
    return None
