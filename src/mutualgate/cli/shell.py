"""`mutualgate shell`: many commands in one process, which pays once for Python's start, the imports and SQL.

Nothing else is kept from one command to the next: each opens the store as a process of its own would.
"""

import codecs
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, BinaryIO, TypeVar

import typer
from typer.core import TyperGroup

from mutualgate import __version__
from mutualgate.cli import attempt, output
from mutualgate.cli.commands import app
from mutualgate.cli.group import found
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.relay import DIR_VARIABLE
from mutualgate.cli.words import split
from mutualgate.errors import BadInput, MutualgateError

PROMPT = "mutualgate> "
MOST_BYTES = 1 << 17
"""Of a line: as long as Linux lets one argument of a program be (MAX_ARG_STRLEN)."""
END = ("exit", "quit")
STAYS = {"up": "stays as long as the gate is open", "standby": "stays until it is ended", "shell": "is this already"}
"""What is no command for in here, and why."""
_SLOW = (
    "app.services",
    "authorities.p12",
    "config.reader",
    "enrolment.invitations",
    "enrolment.service",
    "gate",
    "partners.service",
)
"""What most commands import, and what takes long. Then the first of each is as fast as those after it, and no Ctrl-C
leaves an import half done, which would break all of them."""

Done = TypeVar("Done")


def shell(
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a line that failed; the worst exit status counts.")
    ] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Run commands that are typed, or read from a pipe or file, one in a line, all in one process: milliseconds each.

    Lines are as for the command line, with or without `mutualgate` before them, with quotes and # comments. --dir and
    --json hold for all of them. At a terminal: Tab completes, `help` shows, `exit` ends. From a pipe or file: the first
    line that fails ends it with its exit status, and its number is said. `-` is no file there: the lines are.

    Examples:
    mutualgate shell
    mutualgate shell --dir /etc/mutualgate < commands.txt
    """
    if sys.stdin is None:
        raise BadInput("there is no standard input", expected="commands, one in a line")
    for module in _SLOW:
        import_module(f"mutualgate.{module}")
    gc.freeze()  # what was imported stays: to look through it takes the collector longer than most commands take
    commands = _Commands(json)
    with _everywhere(dir):
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(f"mutualgate {__version__}, commands for {output.plain(dir)}. `help` shows them, `exit` ends.")
            _typed(commands)
            return output.DONE
        with _taken() as lines:
            return _given(commands, lines, keep_going)


@contextmanager
def _everywhere(dir: Path) -> Iterator[None]:
    """Within it, `dir` is the installation of all commands that name none."""
    before = os.environ.get(DIR_VARIABLE)
    os.environ[DIR_VARIABLE] = str(dir)
    try:
        yield
    finally:
        if before is None:
            del os.environ[DIR_VARIABLE]
        else:
            os.environ[DIR_VARIABLE] = before


class _End(Exception):
    """`exit` was said."""


class _Commands:
    """Runs lines as the command line runs its words."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def run(self, line: str) -> int:
        """Runs a line and returns its exit status. Raises `_End`; `BrokenPipeError` where nobody reads the answer."""
        try:
            words = self._words(line)
            return attempt(words) if words is not None else output.DONE
        except MutualgateError as error:
            return output.fail(error, self._as_json)

    def _words(self, line: str) -> list[str] | None:
        """What is called, or None where nothing is."""
        if len(os.fsencode(line)) > MOST_BYTES:
            raise BadInput("the line is too long", expected=f"at most {MOST_BYTES:,} bytes")
        if "\0" in line:
            raise BadInput("a NUL is in the line", expected="text")
        words = split(line)
        if not words:
            return None
        if words[0] == "mutualgate":  # as documents say it
            del words[0]
        match words:
            case [word] if word in END:
                raise _End
            case [word, *_] if word in END:
                raise BadInput(f"{word} takes nothing")
            case [word, *rest] if word in STAYS and rest != ["--help"]:
                raise BadInput(f"{word} cannot be run in the shell: it {STAYS[word]}")
            case ["help", *rest]:
                return [*rest, "--help"]
        return self._with_json(words) if self._as_json else words

    def _with_json(self, words: list[str]) -> list[str]:
        named, command = found(app, words)
        takes_it = any("--json" in parameter.opts for parameter in command.params)
        return [*named, "--json", *words[len(named) :]] if takes_it else words


def _given(commands: _Commands, lines: Iterator[bytes], keep_going: bool) -> int:
    """Runs the lines of a pipe or file; returns the exit status of the first that failed, or the worst."""
    worst = output.DONE
    for number, line in enumerate(lines, 1):
        try:
            status = commands.run(os.fsdecode(line))
        except _End:
            break
        except BrokenPipeError:
            # Passwords and links are shown once: no more are made for nobody.
            output.complain(f"line {number}: nobody reads the answers; later lines are not run")
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            return max(worst, output.NO)
        if status != output.DONE:
            worst = max(worst, status)
            stop = not keep_going or status == output.INTERRUPTED
            output.complain(f"line {number}: exit status {status}{'; later lines are not run' if stop else ''}")
            if stop:
                break
    return worst


@contextmanager
def _taken() -> Iterator[Iterator[bytes]]:
    """The lines of standard input, which no command can read meanwhile. Of one that is too long, the beginning."""

    def lines(source: BinaryIO) -> Iterator[bytes]:
        mark = codecs.BOM_UTF8  # editors put it in front of the first
        while line := source.readline(MOST_BYTES + 2):
            more = line
            while more and not more.endswith(b"\n"):
                more = source.readline(MOST_BYTES)
            yield line.removeprefix(mark).removesuffix(b"\n").removesuffix(b"\r")
            mark = b""

    source, sys.stdin = sys.stdin, None
    try:
        yield lines(source.buffer)
    finally:
        sys.stdin = source


def _typed(commands: _Commands) -> None:
    """Runs what is typed until its end."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as Python reads the words of a command line
    with suppress(ImportError):
        _editing()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, _control_c)
    with suppress(_End):
        while True:
            lines = _interruptible(_read)
            if lines is None or not all(_done(commands, line) for line in lines):
                print()
                gc.collect()  # what the command held open, and with that the store, is let go
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process ends now


def _read() -> list[str]:
    """What is typed next: one line, or several that were pasted as one."""
    try:
        return input(PROMPT).split("\n")
    except EOFError:
        print()
        return ["exit"]


def _done(commands: _Commands, line: str) -> bool:
    """Runs the line, and says whether it came to its end."""
    return _interruptible(lambda: commands.run(line)) not in (None, output.INTERRUPTED)


def _interruptible(work: Callable[[], Done]) -> Done | None:
    """What `work` returns, or None where Ctrl-C ended it. Outside of it Ctrl-C waits, however long it is held down."""
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            return work()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except KeyboardInterrupt:
        return None


def _control_c(_number: int, _frame: FrameType | None) -> None:
    """Raises `KeyboardInterrupt` once, and holds back what comes after: `input` calls for what came meanwhile while the
    exception is on its way, and any handler in Python makes a `SystemError` of that (python/cpython issue 134644)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what came until now is handled in here
    raise KeyboardInterrupt


def _editing() -> None:
    """Editing, completion, and a history that is gone with the process: what was typed may be secret."""
    import readline

    def complete(text: str, state: int) -> str | None:
        before = readline.get_line_buffer()[: readline.get_begidx()].split()
        # readline goes on after an exception, and Ctrl-C would be held back until the end of the line
        fitting = [f"{word} " for word in _interruptible(lambda: candidates(before)) or () if word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")


def candidates(before: Sequence[str]) -> list[str]:
    """What can come after these words: groups and commands, or flags."""
    words = list(before[1:] if before and before[0] in ("mutualgate", "help") else before)
    named, command = found(app, words)
    flags = [*(flag for one in command.params for flag in one.opts if flag.startswith("--")), "--help"]
    if not isinstance(command, TyperGroup):
        return flags
    if named != words:
        return []
    return [*command.commands, *(() if before else ("help", *END)), *flags]
