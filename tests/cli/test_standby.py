"""`mutualgate standby`: a command is the same, run by itself or by a copy of the process that stands by."""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.process import free_port
from installation import Installation
from processes import alive, children, open_files, state

from mutualgate.cli import relay
from mutualgate.cli.beside import kept
from mutualgate.clock import system_clock

PROGRAM = [sys.executable, "-m", "mutualgate"]
SECONDS = 120
"""Long, since what stands by is loaded after all else that the machine does."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it is for Linux alone"),
    pytest.mark.timeout(4 * SECONDS),
]


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def listening(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        with contextlib.suppress(OSError):
            tried.connect(str(folder / relay.SOCKET))
            return True
    return False


@contextlib.contextmanager
def standing_by(folder: Path, **more: Any) -> "Iterator[subprocess.Popen[str]]":
    """A process that stands by for the folder."""
    words = [*PROGRAM, "standby", "--dir", str(folder)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **more) as process:
        try:
            until(lambda: listening(folder) or process.poll() is not None, "it does not listen")
            yield process
        finally:
            process.terminate()
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
            process.wait(SECONDS)


class Asking:
    """Runs commands on an installation as processes, with or without help."""

    def __init__(self, installed: Installation, process: "subprocess.Popen[Any]") -> None:
        self.folder = installed.folder.path
        self.process = process
        self.pid = process.pid
        """Of the one that stands by."""

    def __call__(self, *words: object, alone: bool = False, **more: Any) -> "subprocess.CompletedProcess[str]":
        """What it said, its exit status; `stderr` without the modules that it has imported."""
        return self.traced(*words, alone=alone, **more)[0]

    def traced(
        self, *words: object, alone: bool = False, **more: Any
    ) -> "tuple[subprocess.CompletedProcess[str], bool]":
        """And whether the process that was started has run it itself: then it has imported what parses its words."""
        environment = os.environ | {"MUTUALGATE_DIR": str(self.folder)} | more.pop("environment", {})
        if alone:
            environment |= {relay.VARIABLE: "no"}
        command = [sys.executable, "-X", "importtime", "-m", "mutualgate", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, **more)
        lines = done.stderr.splitlines(keepends=True)
        done.stderr = "".join(line for line in lines if not line.startswith("import time:"))
        assert "Traceback" not in done.stderr
        return done, any("mutualgate.cli.commands" in line for line in lines)

    def reading(self, *before: str, alone: bool = False, **more: Any) -> "subprocess.Popen[bytes]":
        """A command that has read the first line of what it is given, and waits for more; `before` it other words."""
        environment = os.environ | {"MUTUALGATE_DIR": str(self.folder)} | ({relay.VARIABLE: "no"} if alone else {})
        there = self.copies()
        command = [*before, *PROGRAM, "client", "import", "-"]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
        )
        assert process.stdin is not None
        process.stdin.write(b"name\n")
        process.stdin.flush()
        pipe = process.stdin.fileno()
        until(lambda: not _unread(pipe), "it does not read")
        assert alone or self.copies() - there, "no copy was made for it"
        return process

    def copies(self) -> set[int]:
        """Those that have a standard input of their own: one waits for its command, and has that of the original."""
        given = open_files(self.pid)[0]
        return {one for one in self.children() if open_files(one).get(0, given) != given}

    def one_that_waits(self) -> int:
        """It stays; one that had a command, or whom `listening` asked for, is about to end."""
        found = set[int]()

        def stays() -> bool:
            nonlocal found
            busy = self.copies()  # first: one that ends meanwhile does not wait
            before, found = found, self.children() - busy
            time.sleep(0.1)
            return len(found) == 1 and found == before

        until(stays, "none waits")
        return found.pop()

    def children(self) -> set[int]:
        return children(self.pid)


@pytest.fixture
def asking(installed: Installation) -> Iterator[Asking]:
    with standing_by(installed.folder.path) as process:
        yield Asking(installed, process)


WORDS: list[tuple[str, ...]] = [
    ("--version",),
    ("--help",),
    ("client", "list"),
    ("client", "list", "--json"),
    ("client", "show", "nobody"),
    ("client", "show", "nobody", "--json"),
    ("client",),
    ("nonsense",),
    ("client", "add"),
    ("status",),
    ("check",),
    ("audit", "list", "--json"),
    ("client", "show", "h\u00e9l\u00e8ne \udcff"),
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: ascii(" ".join(words)))
def test_it_answers_as_the_command_alone(asking: Asking, words: tuple[str, ...]) -> None:
    alone, itself = asking.traced(*words, alone=True)
    assert itself
    helped, itself = asking.traced(*words)
    assert not itself
    assert (helped.returncode, helped.stdout, helped.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_each_command_is_as_new(asking: Asking) -> None:
    links = {asking("client", "add", f"client-{number}", "--json").stdout for number in range(3)}
    assert len(links) == 3
    passwords = [asking("client", "p12", "client-1", "--out", asking.folder / f"{n}.p12").stdout for n in range(2)]
    assert passwords[0] != passwords[1]
    listed = json.loads(asking("client", "list", "--json").stdout)
    assert {"client-0", "client-1", "client-2"} <= {client["name"] for client in listed["clients"]}


def test_it_is_where_it_was_called(asking: Asking, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    done, itself = asking.traced("client", "p12", "first-client", "--out", "a.p12", cwd=here, umask=0o077)
    assert (done.returncode, itself) == (0, False)
    assert (here / "a.p12").exists()
    elsewhere = asking("client", "list", "--dir", "gate", cwd=tmp_path)
    assert "first-client" in elsewhere.stdout
    assert "there is no mutualgate installation" in asking("client", "list", "--dir=none", cwd=tmp_path).stderr
    for mask in (0o022, 0o077):
        out = tmp_path / f"{mask:o}"
        asking("export", "apache", "--upstream", "http://127.0.0.1:8080", "--out", out, umask=mask)
        assert out.stat().st_mode & 0o777 == 0o777 & ~mask


def test_it_has_the_environment_of_who_calls(asking: Asking, tmp_path: Path) -> None:
    other = {"MUTUALGATE_PASSPHRASE": "quite another passphrase"}
    done, itself = asking.traced("client", "p12", "first-client", "--out", tmp_path / "a.p12", environment=other)
    assert (done.returncode, itself) == (2, False)
    assert "MUTUALGATE_PASSPHRASE does not open the key" in done.stderr
    assert asking("client", "p12", "first-client", "--out", tmp_path / "a.p12").returncode == 0


def test_it_has_nothing_of_the_environment_of_what_stands_by(installed: Installation, tmp_path: Path) -> None:
    other = {"MUTUALGATE_PASSPHRASE": "quite another passphrase"}
    with standing_by(installed.folder.path, env=os.environ | other) as process:
        asking = Asking(installed, process)
        done, itself = asking.traced("client", "p12", "first-client", "--out", tmp_path / "a.p12")
        assert (done.returncode, itself) == (0, False)


def test_it_reads_and_writes_what_was_opened_for_it(asking: Asking, tmp_path: Path) -> None:
    rows = "name,contact\nfrom-a-pipe,a@example.com\n"
    assert asking("client", "import", "-", input=rows).returncode == 0
    assert "from-a-pipe" in asking("client", "list").stdout
    root = (asking.folder / "root.pem").read_text()
    script = f'exec {sys.executable} -m mutualgate explain <(printf %s "$1")'
    said = subprocess.run(["bash", "-c", script, "bash", root], capture_output=True, text=True, timeout=SECONDS)
    assert "CN=mutualgate Root CA" in said.stdout
    closed = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m mutualgate client list --dir {asking.folder} >&- 2>&-"], timeout=SECONDS
    )
    assert closed.returncode == 0
    full = f"{sys.executable} -m mutualgate client list --dir {asking.folder} > /dev/full"
    for variable in ({}, {relay.VARIABLE: "no"}):
        told = subprocess.run(
            ["bash", "-c", full], env=os.environ | variable, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
        assert (told.returncode, told.stderr) == (
            1,
            "mutualgate: the answer cannot be written: No space left on device\n",
        )


def test_nobody_who_reads_is_no_fault(asking: Asking) -> None:
    script = f"{sys.executable} -m mutualgate client list --help | head -c 1; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS)
    assert (said.stdout.splitlines()[-1][-1:], said.stderr) == ("0", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_the_command(asking: Asking, number: signal.Signals, status: int) -> None:
    with asking.reading() as waiting:
        waiting.send_signal(number)
        _, said = waiting.communicate(timeout=SECONDS)
        assert (waiting.returncode, said) == (status, b"")
    until(lambda: not asking.copies(), "the copy goes on")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_what_stands_by_ignores_ends_the_command(installed: Installation, number: signal.Signals) -> None:
    # As in `nohup mutualgate up &` in a script; the tests themselves may run under nohup, but who asks does not.
    def told(what: signal.Handlers) -> Callable[[], object]:
        return lambda: signal.signal(number, what)

    with standing_by(installed.folder.path, preexec_fn=told(signal.SIG_IGN)) as process:
        with Asking(installed, process).reading(preexec_fn=told(signal.SIG_DFL)) as waiting:
            waiting.send_signal(number)
            assert waiting.wait(SECONDS) == -number


def test_what_who_calls_ignores_or_blocks_so_does_the_command(asking: Asking) -> None:
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})

    with asking.reading(preexec_fn=nohup) as waiting, asking.reading(alone=True, preexec_fn=nohup) as alone:
        (copy,) = asking.copies()
        assert _signals(copy) == _signals(alone.pid)
        waiting.send_signal(signal.SIGHUP)
        waiting.send_signal(signal.SIGINT)
        for process in (waiting, alone):
            process.communicate(b"late\n", timeout=SECONDS)
            assert process.returncode == 0


def _signals(process: int) -> list[str]:
    """What it blocks and ignores, as proc_pid_status(5) says it."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return [line for line in lines if line.startswith(("SigBlk", "SigIgn"))]


def test_it_has_the_open_files_of_who_calls_and_no_others(asking: Asking) -> None:
    redirections = " ".join(f"{number}<{asking.folder}/root.pem" for number in range(3, 40))
    opened = ["bash", "-c", f'exec "$@" {redirections}', "bash"]
    with asking.reading(*opened) as one, asking.reading(*opened) as other, asking.reading(*opened, alone=True) as alone:
        for copy in asking.copies():
            found = _descriptors(copy)
            (own,) = found.keys() - _descriptors(alone.pid).keys()
            assert found.pop(own).startswith("socket:")  # to who calls; it is closed for what the command starts
            assert found == _descriptors(alone.pid)
        for process in (one, other, alone):
            process.communicate(timeout=SECONDS)
            assert process.returncode == 0


def _descriptors(process: int) -> dict[int, str]:
    """What each leads to; but the standard ones, which are pipes of its own."""
    return {number: "" if number < 3 else where for number, where in open_files(process).items()}


def test_one_that_waits_has_nothing_of_what_others_do(asking: Asking) -> None:
    with asking.reading() as waiting:
        assert asking("client", "list", input="").returncode == 0
        one = asking.one_that_waits()
        until(lambda: not _sockets(one) & _sockets(asking.pid), "it keeps those of the original")
        os.kill(one, signal.SIGTERM)  # is for no command yet
        assert not asking.traced("client", "list")[1]
        waiting.communicate(timeout=SECONDS)
        assert waiting.returncode == 0


def _sockets(process: int) -> set[str]:
    return {one for one in open_files(process).values() if one.startswith("socket:")}


def test_one_that_waits_ends_with_the_original(asking: Asking) -> None:
    one = asking.one_that_waits()
    asking.process.kill()
    until(lambda: not alive(one), "it waits for ever")


def test_who_does_not_hear_of_ends_makes_one_that_does(installed: Installation) -> None:
    with standing_by(
        installed.folder.path, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ) as process:
        done, itself = Asking(installed, process).traced("client", "show", "nobody")
        assert (done.returncode, itself) == (2, False)


def test_who_is_killed_takes_the_command_along(asking: Asking) -> None:
    with asking.reading() as waiting:
        waiting.kill()
        until(lambda: not asking.copies(), "the copy goes on")


def test_control_z_holds_the_command(asking: Asking) -> None:
    with asking.reading() as waiting:
        (copy,) = asking.copies()
        waiting.send_signal(signal.SIGTSTP)
        until(lambda: {state(waiting.pid), state(copy)} == {"T"}, "one goes on")
        waiting.send_signal(signal.SIGCONT)
        until(lambda: state(copy) == "S", "it is held for ever")
        assert waiting.stdin is not None
        waiting.stdin.write(b"late\n")
        waiting.stdin.close()
        assert waiting.wait(SECONDS) == 0
    assert "late" in asking("client", "list").stdout


@contextlib.contextmanager
def at_terminal(command: list[str]) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    """A process at a terminal of its own, and the other end of that, which hangs up what is left at the end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            os.close(ours)


@pytest.mark.parametrize(("typed", "status"), [(b"typed\n\x04", 0), (b"\x03", 130)], ids=["end", "Ctrl-C"])
def test_it_is_typed_to_at_a_terminal(asking: Asking, typed: bytes, status: int) -> None:
    command = [*PROGRAM, "client", "import", "-", "--dir", str(asking.folder)]
    with at_terminal(command) as (process, ours):
        until(asking.copies, "no copy was made for it")
        os.write(ours, b"name\n")
        until(lambda: _unread(ours) == len("name\r\n"), "it is not echoed")  # by the terminal
        os.write(ours, typed)
        assert process.wait(SECONDS) == status
    until(lambda: not asking.copies(), "the copy goes on")
    assert ("typed" in asking("client", "list").stdout) is (status == 0)


def test_it_is_typed_to_at_the_terminal_where_what_stands_by_was_started(installed: Installation) -> None:
    folder = installed.folder.path
    program = f"{sys.executable} -m mutualgate"
    script = (
        f"{program} standby --dir {folder} & until [ -S {folder}/{relay.SOCKET} ]; do sleep 0.1; done\n"
        f"{program} client import - --dir {folder}; status=$?; kill %1; wait; exit $status"
    )
    with at_terminal(["bash", "-mc", script]) as (process, ours):  # with job control, as at a prompt
        os.write(ours, b"name\ntyped\n\x04")
        assert process.wait(SECONDS) == 0
    assert "typed" in Asking(installed, process)("client", "list").stdout


def test_control_c_where_it_was_started_ends_no_command(installed: Installation) -> None:
    with standing_by(installed.folder.path, start_new_session=True) as process:
        with Asking(installed, process).reading() as waiting:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            until(lambda: not listening(installed.folder.path), "it goes on listening")
            waiting.communicate(b"late\n", timeout=SECONDS)
            assert waiting.returncode == 0


def _unread(end: int) -> int:
    return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_what_is_under_way_comes_to_its_end(asking: Asking) -> None:
    with asking.reading() as waiting:
        asking.process.terminate()
        until(lambda: not listening(asking.folder), "it goes on listening")
        done, itself = asking.traced("client", "list")
        assert (done.returncode, itself) == (0, True)
        assert waiting.stdin is not None
        waiting.stdin.write(b"late\n")
        waiting.stdin.close()
        assert waiting.wait(SECONDS) == 0
    assert asking.process.wait(SECONDS) == 0
    assert not [one.name for one in (asking.folder / "run").iterdir() if one.name.isdigit()]  # what it rehearsed on
    assert "late" in asking("client", "list").stdout


def test_a_command_outlives_what_stood_by(asking: Asking) -> None:
    with asking.reading() as waiting:
        asking.process.kill()
        asking.process.wait(SECONDS)
        said, _ = waiting.communicate(b"late\n", timeout=SECONDS)
        assert waiting.returncode == 0
        assert said == b"1 added.\n"
    assert "late" in asking("client", "list").stdout


def test_one_that_is_killed_is_told(asking: Asking) -> None:
    with asking.reading() as waiting:
        (copy,) = asking.copies()
        asking.process.kill()
        asking.process.wait(SECONDS)
        os.kill(copy, signal.SIGKILL)
        _, said = waiting.communicate(timeout=SECONDS)
        assert waiting.returncode == 70
        assert said == b"mutualgate: the process that ran the command has ended; how far it came is not known\n"


def test_one_that_hangs_is_waited_for_no_longer_than_a_moment(asking: Asking) -> None:
    asking.process.send_signal(signal.SIGSTOP)
    done, itself = asking.traced("client", "add", "anna")  # what it says is read to its end: nobody else may hold it
    assert (done.returncode, itself) == (0, True)
    asking.process.send_signal(signal.SIGCONT)
    asking.one_that_waits()  # what was asked for meanwhile is given up
    assert _added(asking) == ["anna", "first-client"]
    assert not asking.traced("client", "list")[1]


def test_a_copy_that_hangs_is_passed_over(asking: Asking) -> None:
    one = asking.one_that_waits()
    os.kill(one, signal.SIGSTOP)
    done, itself = asking.traced("client", "add", "anna")
    assert (done.returncode, itself) == (0, True)
    until(lambda: not alive(one), "it is left behind")
    assert _added(asking) == ["anna", "first-client"]
    assert not asking.traced("client", "list")[1]


def _added(asking: Asking) -> list[str]:
    """The clients whose addition is recorded, the last first."""
    entries = json.loads(asking("audit", "list", "--json").stdout)["entries"]
    return [entry["subject"].split()[-1] for entry in entries if entry["action"] == "client.add"]


def test_a_command_that_is_ended_while_what_stands_by_hangs_has_ended(asking: Asking) -> None:
    with asking.reading() as waiting:
        asking.process.send_signal(signal.SIGSTOP)
        waiting.send_signal(signal.SIGTERM)
        _, said = waiting.communicate(timeout=SECONDS)
        assert waiting.returncode == 70
        assert said == b"mutualgate: the process that ran the command has ended; how far it came is not known\n"
        asking.process.send_signal(signal.SIGCONT)


def test_what_is_more_than_it_can_is_run_by_itself(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    from mutualgate.cli import standby

    with contextlib.ExitStack() as stack:
        for _ in range(standby.MOST_AT_ONCE):
            stack.enter_context(asking.reading())
        done, itself = asking.traced("client", "list")
        assert (done.returncode, itself) == (0, True)
    done, itself = asking.traced("client", "list")
    assert (done.returncode, itself) == (0, False)


def _no_new_privileges() -> None:
    assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS


def _few_groups() -> None:
    os.setgroups([12345])


def _own_names() -> None:
    assert ctypes.CDLL(None).unshare(0x04000000) == 0  # CLONE_NEWUTS


@pytest.mark.parametrize("change", [_no_new_privileges, _few_groups, _own_names])
def test_who_has_other_rights_is_not_lent_any(asking: Asking, change: Callable[[], None]) -> None:
    if change is not _no_new_privileges and os.geteuid() != 0:
        pytest.skip("only root can give up that")
    done, itself = asking.traced("client", "list", preexec_fn=change)
    assert (done.returncode, itself) == (0, True)


def test_the_limits_are_those_of_who_calls(asking: Asking, tmp_path: Path) -> None:
    def none_larger() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    words = ["export", "apache", "--upstream", "http://127.0.0.1:8080", "--out"]
    done, itself = asking.traced(*words, tmp_path / "none", preexec_fn=none_larger)
    assert (done.returncode, itself) == (1, False)
    done, itself = asking.traced(*words, tmp_path / "all")
    assert (done.returncode, itself) == (0, False)
    niced, itself = asking.traced("client", "list", preexec_fn=lambda: os.nice(5))
    assert (niced.returncode, itself) == (0, False)


@pytest.mark.parametrize(
    "environment", [{"PYTHONHASHSEED": "7"}, {"LD_LIBRARY_PATH": "/nowhere"}, {"OPENSSL_CONF": "/nowhere"}], ids=str
)
def test_what_is_read_at_the_start_is_not_another_s(asking: Asking, environment: dict[str, str]) -> None:
    done, itself = asking.traced("client", "list", environment=environment)
    assert (done.returncode, itself) == (0, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\4abcd",
        b"\0\0\0\x0f0\x001\x00client\x000\x000",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_nonsense_is_for_nobody(asking: Asking, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(asking.folder / relay.SOCKET))
        connection.settimeout(SECONDS)
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(9):
                said += more
        assert relay.READY not in said
    done, itself = asking.traced("client", "list")
    assert (done.returncode, itself) == (0, False)


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on everybody's path where packages can be installed, beside ours."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_a_program_that_has_changed_is_loaded_anew(installed: Installation, libraries: Path) -> None:
    with standing_by(installed.folder.path) as process:
        asking = Asking(installed, process)
        assert not asking.traced("client", "list")[1]
        (libraries / "another").mkdir()
        done, itself = asking.traced("client", "list")
        assert (done.returncode, itself) == (0, True)
        assert process.stderr is not None
        assert "has been installed anew" in process.stderr.readline()
        until(lambda: listening(installed.folder.path), "it does not begin anew")
        assert not asking.traced("client", "list")[1]
        (libraries / "third").mkdir()  # and once more
        assert asking.traced("client", "list")[1]
        process.stderr.readline()
        process.terminate()
        assert process.wait(SECONDS) == 0


def test_one_that_begins_anew_leaves_the_place_to_who_has_it_meanwhile(
    installed: Installation, libraries: Path
) -> None:
    with standing_by(installed.folder.path) as process:
        (libraries / "another").mkdir()
        assert Asking(installed, process).traced("client", "list")[1]
        process.send_signal(signal.SIGSTOP)
        with standing_by(installed.folder.path) as newest:  # of a gate that was started again
            process.send_signal(signal.SIGCONT)
            assert process.wait(SECONDS) == 0
            assert not Asking(installed, newest).traced("client", "list")[1]


def test_a_file_of_the_future_is_told_of(installed: Installation, libraries: Path) -> None:
    in_a_day = system_clock().timestamp() + 86400
    os.utime(libraries, (in_a_day, in_a_day))
    with standing_by(installed.folder.path) as process:
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == (
            f"mutualgate: {libraries}: is dated in the future, so nobody can tell when it is installed anew\n"
        )
    assert not list((installed.folder.path / "run").iterdir())


@pytest.fixture
def nobody(installed: Installation) -> int:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    for above in installed.folder.path.parents:
        if above.stat().st_mode & 0o001 == 0 and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    return 65534


def test_another_user_s_process_is_told_nothing(installed: Installation, nobody: int, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / "run").mkdir(parents=True)
    heard = tmp_path / "heard"
    heard.touch()
    os.chown(heard, nobody, nobody)
    os.chown(folder / "run", nobody, nobody)
    program = (
        "import os, socket, sys\n"
        f"os.setgid({nobody}); os.setuid({nobody})\n"
        "listener = socket.socket(socket.AF_UNIX)\nlistener.bind(sys.argv[1])\nlistener.listen()\nprint(flush=True)\n"
        "while True:\n    one, _ = listener.accept()\n    open(sys.argv[2], 'ab').write(one.recv(9999) + b'.')\n"
    )
    command = [sys.executable, "-c", program, str(folder / relay.SOCKET), str(heard)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        asking = Asking(installed, process)
        done, itself = asking.traced("client", "list", "--dir", folder)
        assert (done.returncode, itself) == (2, True)
        until(lambda: heard.read_bytes(), "nobody has come")
        assert heard.read_bytes() == b"."
        process.kill()


def test_another_user_is_not_served(asking: Asking, nobody: int) -> None:
    (asking.folder / "run").chmod(0o711)
    asking.folder.chmod(0o711)
    (asking.folder / relay.SOCKET).chmod(0o666)
    program = (
        "import os, socket, sys\n"
        f"os.setgid({nobody}); os.setuid({nobody})\n"
        "connection = socket.socket(socket.AF_UNIX)\nconnection.connect(sys.argv[1])\n"
        "try:\n    connection.sendall(bytes(9999))\nexcept OSError: pass\nprint(connection.recv(1))\n"
    )
    command = [sys.executable, "-c", program, str(asking.folder / relay.SOCKET)]
    before = asking.copies()
    said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert said.stdout == "b''\n" or "Connection reset" in said.stderr
    assert asking.copies() == before


def test_the_folder_s_path_may_be_long(installed: Installation, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100) / "gate"
    shutil.copytree(installed.folder.path, long, ignore=shutil.ignore_patterns("run"))
    with standing_by_long(long) as process:
        asking = Asking(installed, process)
        done, itself = asking.traced("client", "list", "--dir", long)
        assert (done.returncode, itself) == (0, False)


@contextlib.contextmanager
def standing_by_long(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen([*PROGRAM, "standby", "--dir", str(folder)], text=True) as process:
        try:
            until((folder / relay.SOCKET).exists, "it does not listen")
            yield process
        finally:
            process.terminate()


def test_it_says_where_it_is(installed: Installation, tmp_path: Path) -> None:
    command = [*PROGRAM, "standby", "--json", "--dir", str(installed.folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said == {"socket": str(installed.folder.path / relay.SOCKET)}
        assert Path(said["socket"]).is_socket()
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert not Path(said["socket"]).exists()
    none = subprocess.run([*PROGRAM, "standby", "--dir", str(tmp_path)], capture_output=True, text=True)
    assert (none.returncode, none.stdout) == (2, "")
    assert "there is no mutualgate installation" in none.stderr


def test_the_newest_is_asked(asking: Asking, installed: Installation) -> None:
    with contextlib.ExitStack() as stack:
        before = (asking.folder / relay.SOCKET).stat().st_ino
        stack.enter_context(standing_by_long(asking.folder))
        until(lambda: (asking.folder / relay.SOCKET).stat().st_ino != before, "it does not take the place")
        asking.process.terminate()
        asking.process.wait(SECONDS)
        done, itself = asking.traced("client", "list")
        assert (done.returncode, itself) == (0, False)


def test_one_is_kept_as_long_as_it_is_wanted(installed: Installation) -> None:
    async def one() -> None:
        async with kept(installed.folder.path):
            await asyncio.to_thread(until, lambda: listening(installed.folder.path), "there is none")

    asyncio.run(one())
    until(lambda: not listening(installed.folder.path), "it stays")


FLAGS = ["--plain-listen", "none", "--ops-listen", "none"]


@contextlib.contextmanager
def gate(folder: Path, *flags: str, **more: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """One that is open, in a session of its own."""
    listen = f"127.0.0.1:{free_port()}"
    command = [*PROGRAM, "up", "--json", "--dir", str(folder), "--listen", listen, *FLAGS, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **more) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["ready"]
            yield process
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_gate_has_one_as_long_as_it_runs(installed: Installation, number: signal.Signals) -> None:
    with gate(installed.folder.path) as process:
        until(lambda: listening(installed.folder.path), "it has none")
        done, itself = Asking(installed, process).traced("client", "add", "anna")
        assert (done.returncode, itself) == (0, False)
        process.send_signal(number)
        process.wait(SECONDS)
    until(lambda: not listening(installed.folder.path), "it stays without a gate")


def test_a_gate_may_have_none(installed: Installation) -> None:
    with gate(installed.folder.path, "--no-standby") as process:
        done, itself = Asking(installed, process).traced("client", "add", "anna")
        assert (done.returncode, itself) == (0, True)
        assert not (installed.folder.path / relay.SOCKET).exists()


def test_a_gate_says_when_it_has_none_any_more(installed: Installation, tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log, gate(installed.folder.path, stderr=log) as process:
        until(lambda: listening(installed.folder.path), "it has none")
        (standby,) = children(process.pid)
        os.kill(standby, signal.SIGKILL)
        until(lambda: not children(process.pid), "it stays as a zombie")
        said = (
            "commands take longer until `mutualgate restart`: the process that has them at hand was ended by signal 9\n"
        )
        until(lambda: (tmp_path / "log").read_text().endswith(said), "it says nothing")
    assert (tmp_path / "log").read_text().count("commands take longer") == 1


def test_a_gate_s_is_of_the_program_that_was_installed_last(installed: Installation, libraries: Path) -> None:
    with gate(installed.folder.path) as process:
        until(lambda: listening(installed.folder.path), "it has none")
        before = children(process.pid)
        (libraries / "another").mkdir()
        asking = Asking(installed, process)
        assert asking.traced("client", "list")[1]
        until(lambda: listening(installed.folder.path), "it has none any more")
        assert not asking.traced("client", "list")[1]
        assert children(process.pid) == before
    until(lambda: not listening(installed.folder.path), "it stays without a gate")


def test_control_c_at_the_gate_s_terminal_is_not_for_commands(installed: Installation) -> None:
    with gate(installed.folder.path) as process:
        until(lambda: listening(installed.folder.path), "it has none")
        os.killpg(process.pid, signal.SIGHUP)  # has the gate read its settings again, and nothing more
        assert not Asking(installed, process).traced("client", "list")[1]
        (standby,) = children(process.pid)
        asking = Asking(installed, process)
        asking.pid = standby
        with asking.reading() as waiting:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            process.wait(SECONDS)
            assert waiting.stdin is not None
            waiting.stdin.write(b"late\n")
            waiting.stdin.close()
            assert waiting.wait(SECONDS) == 0
