"""Has the process that stands by (`standby`) run a command, which then takes milliseconds: all imports are done there.

This side imports next to nothing itself, so that Python's start is all that such a command pays. What goes over the
socket, a stream between two processes of one user on one machine:

    by     one byte `HERE`, with a descriptor of the process that will run the command (pidfd_open(2))
    asks   4 bytes of length, big-endian, and so many bytes: `Asked`, with its descriptors (SCM_RIGHTS, unix(7)). Who
           hangs is not sent them: they would stay open on the way, and the other end of a pipe would wait without end
    by     one byte `READY`; or nothing, when this command is not for it, and then it is run here
    asks   one byte `GO`: only now is anything done, so nothing is done twice
    by     4 bytes: how the process ended, or will, as waitpid(2) tells

Whose byte is not there in time is not told to go, whatever it says later: the connection is closed by then.
"""

# What `signal` and `socket` are made of: to import these takes half as long as Python takes to start.
import _signal as signal  # type: ignore[import-not-found]  # typeshed has only the one that is made of it
import _socket
import os
import select
import sys

FOLDER, DIR_VARIABLE = "mutualgate", "MUTUALGATE_DIR"
"""The installation's folder where no --dir names another, and what names it in the environment."""
SOCKET = "run/standby.sock"
"""In the folder."""
VARIABLE = "MUTUALGATE_STANDBY"
"""Set to `no`, every command is run here."""

HERE, READY, GO = b"h", b"r", b"g"
SIZE = 4
MOST_BYTES = 4 << 20
"""Of words and environment: twice what Linux lets a program be started with."""
MOST_DESCRIPTORS = 250  # SCM_MAX_FD is 253
DESCRIPTOR = 4  # bytes of an int

_ALONE = frozenset({"up", "standby", "shell"})
_PATIENCE_SECONDS = 1.0
"""For each byte that says it goes on: it is there in a few milliseconds. A command by itself takes about as long."""
_LAST_WORD_SECONDS = 5.0
"""For how the process ended, once it has: nobody is served by less."""
_PATH_BYTES = 107  # of a unix socket
_WOKEN_BYTES = 512  # one for each signal
_UCRED = 12  # bytes: pid, uid, gid
_LOST, INTERRUPTED = 70, 130  # as `output` has them, which imports too much


class Asked:
    """What a process has that its command is to find: NUL-separated on the way, since nothing of it can hold a NUL."""

    def __init__(
        self,
        *,
        program: str,
        words: list[str],
        environment: dict[bytes, bytes],
        python: list[str],
        streams: list[str],
        descriptors: list[int],
    ) -> None:
        self.program = program
        self.words = words
        self.environment = environment
        self.python = python
        """What makes two processes the same program, see `same_program`."""
        self.streams = streams
        """Encoding and errors of stdin, stdout and stderr; empty for one that is closed."""
        self.descriptors = descriptors
        """The numbers that the descriptors have which come with it, after one of the working directory."""

    @classmethod
    def own(cls, words: list[str]) -> "Asked":
        """This process's."""
        return cls(
            program=sys.argv[0],
            words=words,
            environment=dict(os.environb),
            python=same_program(),
            streams=[
                said
                for stream in (sys.stdin, sys.stdout, sys.stderr)
                for said in ((stream.encoding, stream.errors or "") if stream else ("", ""))
            ],
            descriptors=_inherited(),
        )

    def packed(self) -> bytes:
        lists = [
            [self.program],
            self.words,
            self.python,
            self.streams,
            [str(number) for number in self.descriptors],
        ]
        parts = [part for one in lists for part in (b"%d" % len(one), *map(os.fsencode, one))]
        parts += [part for pair in self.environment.items() for part in pair]
        return b"\0".join(parts)

    @classmethod
    def unpacked(cls, data: bytes) -> "Asked":
        """Raises `ValueError` for what is none."""
        parts = iter(data.split(b"\0"))

        def taken() -> list[str]:
            try:
                return [os.fsdecode(next(parts)) for _ in range(int(next(parts)))]
            except StopIteration:
                raise ValueError("cut off") from None

        (program,), words, python, streams, descriptors = (taken() for _ in range(5))
        rest = list(parts)
        return cls(
            program=program,
            words=words,
            environment=dict(zip(rest[::2], rest[1::2], strict=True)),
            python=python,
            streams=streams,
            descriptors=[int(number) for number in descriptors],
        )


def same_program() -> list[str]:
    """What two processes have in common that run the same code and read the same bytes as the same text."""
    return [sys.version, sys.executable, __file__, sys.getfilesystemencoding(), str(sys.flags.optimize)]


def relayed(words: list[str]) -> int | None:
    """Has the command run where all is loaded: its exit status, or None where it is to be run here.

    Ends this process as the other one was ended, if a signal did.
    """
    if sys.platform != "linux" or not words or words[0] in _ALONE or os.environ.get(VARIABLE) == "no":
        return None
    connection = connected(_folder(words))
    if connection is None:
        return None
    try:
        process = _agreed(connection, Asked.own(words))
    except (OSError, ValueError):
        process = None
    except KeyboardInterrupt:
        return INTERRUPTED
    if process is None:
        connection.close()
        return None
    return _ended(connection, process)


def _folder(words: list[str]) -> str:
    """Where a standby process may be found. Which folder a command is about it finds out itself."""
    found = os.environ.get(DIR_VARIABLE) or FOLDER
    for number, word in enumerate(words):
        if word == "--dir" and number + 1 < len(words):
            found = words[number + 1]
        elif word.startswith("--dir="):
            found = word[6:]
    return found


def connected(folder: str) -> _socket.socket | None:
    """None where no process of this user listens: what is sent is for no other's eyes."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    holder = None
    try:
        connection.settimeout(_PATIENCE_SECONDS)
        path = os.path.join(folder, SOCKET)
        if len(os.fsencode(path)) > _PATH_BYTES:
            holder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{holder}/{os.path.basename(path)}"
        connection.connect(path)
        if peer(connection)[1] == os.geteuid():
            return connection
    except (OSError, ValueError):
        pass
    finally:
        if holder is not None:
            os.close(holder)
    connection.close()
    return None


def peer(connection: _socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a unix socket: who connected, or began to listen (SO_PEERCRED, unix(7))."""
    found = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _UCRED)
    return int.from_bytes(found[:4], sys.byteorder), int.from_bytes(found[4:8], sys.byteorder)


def _inherited() -> list[int]:
    """The descriptors that a program started by this one would have: `<(…)` of a shell is one."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # the one by which they were listed
    return found


def _agreed(connection: _socket.socket, asked: Asked) -> int | None:
    """A descriptor of the process that will run it once it is told to, or None where none will."""
    if len(asked.descriptors) > MOST_DESCRIPTORS:
        return None
    data = asked.packed()
    data = len(data).to_bytes(SIZE) + data
    said, found, _, _ = connection.recvmsg(1, _socket.CMSG_SPACE(DESCRIPTOR))
    if said != HERE or len(found) != 1:
        return None
    process = int.from_bytes(found[0][2][:DESCRIPTOR], sys.byteorder)
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        rights = b"".join(number.to_bytes(DESCRIPTOR, sys.byteorder) for number in (here, *asked.descriptors))
        sent = connection.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        connection.sendall(memoryview(data)[sent:])
        if connection.recv(1) == READY:
            return process
    except OSError:
        pass
    finally:
        os.close(here)
    signal.pidfd_send_signal(process, signal.SIGKILL)  # where it hangs, what was opened for the command hangs with it
    os.close(process)
    return None


def _ended(connection: _socket.socket, process: int) -> int | None:
    """Tells the process to begin, waits for its end, and meanwhile passes on what a terminal or a user sends here.

    None where it had gone before it began.
    """

    def pass_on(number: int, _frame: object) -> None:
        try:
            signal.pidfd_send_signal(process, signal.SIGSTOP if number == signal.SIGTSTP else number)
        except ProcessLookupError:
            pass  # it has ended just now
        if number == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)

    # Without it, a signal that comes in the moment before this waits would be passed on when the command has ended.
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT)
    before = {number: signal.getsignal(number) for number in passed_on}
    for number, what in before.items():
        if what != signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        connection.sendall(GO)
    except OSError:
        for number, what in before.items():
            signal.signal(number, what)
        signal.set_wakeup_fd(-1)
        os.close(woken)
        os.close(wake)
        return None
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(woken, select.POLLIN)
    poll.register(process, select.POLLIN)  # who stands by, and would tell how it ended, may hang
    while poll.poll() == [(woken, select.POLLIN)]:
        os.read(woken, _WOKEN_BYTES)
    connection.settimeout(_LAST_WORD_SECONDS)
    try:
        said = connection.recv(SIZE, _socket.MSG_WAITALL)
    except OSError:
        said = b""
    if len(said) < SIZE:
        sys.stderr.write("mutualgate: the process that ran the command has ended; how far it came is not known\n")
        return _LOST
    status = int.from_bytes(said)
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    return os.waitstatus_to_exitcode(status)
