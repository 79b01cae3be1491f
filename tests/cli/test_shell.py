"""Many commands in one process: typed at a real terminal, and piped into a real process."""

import gc
import logging
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import installation
import pki
import pytest
from commands import Run
from installation import Installation
from processes import open_files

from mutualgate.cli.shell import MOST_BYTES, candidates

PROGRAM = [sys.executable, "-m", "mutualgate", "shell"]


# Lines from a pipe or file


def test_lines_are_run_as_the_command_line_runs_words(cli: Run, installed: Installation) -> None:
    said = cli(
        "shell",
        stdin=b"""# three clients
client add anna --role 'orders' # the first

  mutualgate client add bert\r
client add "carl"
client list --json""",
    )
    assert said.code == 0, said.err
    assert said.err == ""
    head = [line.split(".")[0] for line in said.out.splitlines()[:3]]
    assert head == ["anna is client 2", "bert is client 3", "carl is client 4"]
    assert said.out.endswith(cli("client", "list", "--json").out)
    assert cli("client", "show", "anna", "--json").json["roles"] == ["orders"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(cli: Run) -> None:
    said = cli("shell", stdin=b"\xef\xbb\xbfclient add anna\r\nclient add bert\r\n")
    assert (said.code, said.err) == (0, "")
    later = cli("shell", stdin=b"client list\n\xef\xbb\xbfclient list\n")
    assert later.code == 2


def test_the_first_line_that_fails_ends_it_and_is_named(cli: Run) -> None:
    script = b"client add anna\n\nclient show nobody\nclient add bert\n"
    said = cli("shell", stdin=script)
    assert said.code == 2
    assert said.err.splitlines() == [
        *cli("client", "show", "nobody").err.splitlines(),
        "mutualgate: line 3: exit status 2; later lines are not run",
    ]
    assert cli("client", "list", "--json").json["total"] == 2
    assert cli("shell", stdin=b"status\nclient add bert\n").code == 1  # the answer is no


def test_who_goes_on_gets_the_worst_status(cli: Run) -> None:
    said = cli(
        "shell", "--keep-going", stdin=b"client show nobody\nstatus\nclient 'add\nclient add anna\nexit\nnonsense"
    )
    assert said.code == 2
    assert [line for line in said.err.splitlines() if "line" in line] == [
        "mutualgate: line 1: exit status 2",
        "mutualgate: line 2: exit status 1",
        "mutualgate: a quote is not closed; expected a command in one line",
        "mutualgate: line 3: exit status 2",
    ]
    assert cli("client", "show", "anna").code == 0
    assert cli("shell", "--keep-going", stdin=b"client list\n").code == 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"up", "up cannot be run in the shell: it stays as long as the gate is open"),
        (b"mutualgate up --host --help", "up cannot be run in the shell"),
        (b"shell", "shell cannot be run in the shell: it is this already"),
        (b"exit 3", "exit takes nothing"),
        (b"client show 'x", "a quote is not closed"),
        (b"client list > x", "> means nothing here"),
        (b"client show a\0b", "a NUL is in the line"),
        (b"client add " + b"x" * MOST_BYTES, "the line is too long; expected at most 131,072 bytes"),
        (b"nonsense", "No such command 'nonsense'"),
        (b"client show gr\xf6\xdfe", r"there is no client 'gr\udcf6\udcdfe'"),
        (b"mutualgate", "Usage: mutualgate"),
        # The lines are the shell's: no command reads them for its own.
        (b"decide --batch", "there is no standard input here"),
        (b"decide --cert -", "there is no standard input here"),
        (b"client sign first-client --csr - --out x.pem", "there is no standard input here"),
        (b"client import -", "there is no standard input here"),
        (b"explain --file -", "there is no standard input here"),
        (b"enrol -", "there is no standard input here"),
    ],
    ids=lambda given: given[:40] if isinstance(given, bytes) else "",
)
def test_a_wrong_line_is_a_sentence_and_those_after_it_are_run(cli: Run, line: bytes, problem: str) -> None:
    said = cli("shell", "--keep-going", stdin=line + b"\nclient add anna\n")
    assert said.code == 2
    assert problem in said.err + said.out
    assert re.findall("line .*", said.err)[-1:] == ["line 1: exit status 2"]
    assert said.err.count("exit status") == 1
    assert "anna is client 2" in said.out


def test_the_longest_line_is_run(cli: Run) -> None:
    line = b"client list #".ljust(MOST_BYTES, b"x")
    assert cli("shell", stdin=line + b"\r\n" + line).code == 0


def test_help_is_the_help_of_the_command_line(cli: Run) -> None:
    assert cli("shell", stdin=b"help client add").out == cli("client", "add", "--help").out
    assert cli("shell", stdin=b"up --help").code == 0
    assert "systemd-unit" in cli("shell", stdin=b"help").out


def test_a_command_that_exits_does_not_end_it(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def exits(_: object) -> None:
        raise SystemExit(3)  # as typer does behind some flags

    monkeypatch.setattr("mutualgate.app.Folder.require", exits)
    said = cli("shell", "--keep-going", stdin=b"status\nsystemd-unit\n")
    assert said.code == 3
    assert "ExecStart" in said.out


def test_the_folder_and_json_hold_for_all_that_name_none(
    bare: Run, installed: Installation, template: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTUALGATE_DIR", str(tmp_path / "nowhere"))
    other = installation.copy(template, tmp_path / "other").folder.path
    script = f"client add anna\nclient list --dir {other}\nclient show anna\ntrust try client suspend anna\n"
    said = bare("shell", "--dir", installed.folder.path, "--json", stdin=script.encode())
    assert said.code == 0, said
    names = re.findall(r'^ *"name": "(.*)"', said.out, re.MULTILINE)
    assert names == ["anna", "first-client", "anna"]
    said = bare("shell", "--json", "--dir", installed.folder.path, stdin=b"client show -- nobody\n")
    assert said.out.startswith("{")
    assert os.environ["MUTUALGATE_DIR"] == str(tmp_path / "nowhere")
    # The one command to whom --dir may mean something else.
    (tmp_path / "csrs").mkdir()
    (tmp_path / "csrs" / "anna.csr").write_bytes(pki.csr(pki.fresh_key(), "anna"))
    script = f"client sign --dir {tmp_path / 'csrs'}\n"
    assert bare("shell", "--dir", installed.folder.path, stdin=script.encode()).code == 0


def test_without_standard_input_there_is_a_sentence(installed: Installation) -> None:
    done = subprocess.run([*PROGRAM, "--dir", installed.folder.path], preexec_fn=lambda: os.close(0), **CAPTURED)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no standard input" in done.stderr


CAPTURED: dict[str, Any] = {"capture_output": True, "text": True}


def test_it_goes_no_further_when_nobody_reads(installed: Installation, cli: Run) -> None:
    # Whoever would have read the links of the others is gone.
    folder = installed.folder.path
    lines = "".join(f"client add c-{number} --json\n" for number in range(300))
    told = r"mutualgate: line \d+: nobody reads the answers; later lines are not run\n"
    # The second comes upon clients that are there, and the worst exit status counts.
    for redirection, reader, status, expected in (("", "head -1", 1, told), ("2>&1", "true", 2, "")):
        command = f"{' '.join(PROGRAM)} --keep-going --dir {folder} {redirection} | {reader}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], input=lines, **CAPTURED)
        assert done.returncode == status
        assert re.fullmatch(expected, done.stderr)
    assert cli("client", "list", "--json").json["total"] < 300
    assert re.fullmatch(
        r"(mutualgate: line \d+: what it said is lost: Broken pipe; later lines are not run\n)?", done.stderr
    )


# One process


@contextmanager
def piped(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A shell that is given a line at a time."""
    with subprocess.Popen(
        [*PROGRAM, "--keep-going", "--dir", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        try:
            yield shell
        finally:
            shell.kill()


def asked(shell: "subprocess.Popen[str]", *lines: str) -> str:
    """What the shell says to the lines."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write("".join(f"{line}\n" for line in (*lines, "--version")))
    shell.stdin.flush()
    said: list[str] = []
    while not (line := shell.stdout.readline()).startswith("mutualgate 0."):
        assert line, said
        said.append(line)
    return "".join(said)


def test_nothing_of_a_command_is_left_for_the_next(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "x.csr").write_bytes(pki.csr(pki.fresh_key(), "x"))
    (tmp_path / "people.csv").write_text("name\nanna\n")
    root = installed.folder.root
    lines = [
        "client list",
        "client add {n}",
        "client sign {n} --csr x.csr --out {n}.pem --force",
        "client p12 {n} --out {n}.p12",
        "client roles {n} --add orders",
        "client import people.csv --invite --out links-{n}.csv",
        "client show nobody",
        "trust try client revoke {n}",
        "client revoke {n}",
        "invite guest-{n}",
        "partner add partner-{n}",
        "ca list",
        "pin list",
        "expiring",
        "audit list",
        "audit verify",
        "status",
        "upstream list",
        "check",
        "systemd-unit",
        f"decide --cert {root}",
        f"explain {root}",
        "client lsit",
        "client 'x",
        "client list --limit x",
    ]

    def kept(shell: "subprocess.Popen[str]") -> tuple[object, ...]:
        process = Path(f"/proc/{shell.pid}")
        umask = re.search(r"^Umask:.*$", (process / "status").read_text(), re.MULTILINE)
        return umask and umask[0], sorted(open_files(shell.pid).values()), len(list((process / "task").iterdir()))

    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with piped(installed.folder.path) as shell:
            asked(shell)
            at_first = kept(shell)
            for number in range(6):
                said = asked(shell, *(line.format(n=f"c-{number}") for line in lines))
                assert "defect" not in said
            assert kept(shell) == at_first
    finally:
        os.chdir(before)


def test_the_process_is_as_before(cli: Run) -> None:
    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
        logs = [logging.getLogger(name).handlers for name in ("", "mutualgate")]
        streams = sys.stdout, sys.stderr
        return dict(os.environ), gc.get_threshold(), handlers, logs, streams, threading.active_count(), Path.cwd()

    before = state()
    script = (
        b"client add anna\ntrust try client suspend anna\nclient p12 anna --out /nowhere/x\ncheck\nexpiring\nnonsense\n"
    )
    cli("shell", "--keep-going", stdin=script)
    assert state() == before


def test_what_others_did_is_seen_and_a_store_that_was_put_in_its_place(
    installed: Installation, template: Installation, cli: Run, tmp_path: Path
) -> None:
    folder = installed.folder.path
    other = installation.copy(template, tmp_path / "other").folder.path
    with piped(folder) as shell:
        assert "anna" not in asked(shell, "client list")
        cli("client", "add", "anna")
        assert "anna" in asked(shell, "client list")
        assert "anna" in asked(shell, "client show anna")
        shutil.move(folder, tmp_path / "away")
        assert "there is no mutualgate installation" in asked(shell, "client list")
        shutil.move(other, folder)
        assert "anna" not in asked(shell, "client list")
        assert "there is no client 'anna'" in asked(shell, "client show anna")


def test_what_is_slow_to_import_is_there_before_the_first_line() -> None:
    program = (
        "import io, sys\n"
        "sys.stdin = io.TextIOWrapper(io.BytesIO())\n"
        "from mutualgate.cli import run\n"
        "assert run(['shell']) == 0\n"
        "wanted = {'sqlalchemy', 'mutualgate.store.store', 'cryptography.x509', 'mutualgate._engine'}\n"
        "assert wanted <= set(sys.modules), wanted - set(sys.modules)\n"
        "unwanted = {'uvicorn', 'starlette', 'jinja2', 'alembic', 'mutualgate.portal', 'mutualgate.app.runner'}\n"
        "assert not unwanted & set(sys.modules), unwanted & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_shell_that_is_killed_leaves_what_it_said_and_no_half(installed: Installation, cli: Run) -> None:
    with piped(installed.folder.path) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write("".join(f"client add c-{number} --role r\n" for number in range(400)))
        shell.stdin.flush()
        said = [shell.stdout.readline().split()[0] for _ in range(25)]
        shell.kill()
        said += [line.split()[0] for line in shell.stdout if line.endswith("\n")]
    there = cli("client", "list", "--role", "r", "--limit", 1000, "--json").json["clients"]
    names = [one["name"] for one in there]
    assert names[: len(said)] == said
    assert len(names) - len(said) in (0, 1)  # done, and killed before it could say so
    assert cli("audit", "verify").code == 0
    assert cli("shell", stdin=b"client add another\n").code == 0


# At a terminal


class Terminal:
    """A person's end of a terminal in which the shell runs."""

    def __init__(self, command: list[str], inputrc: Path) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm", "INPUTRC": str(inputrc), "PYTHONIOENCODING": "utf-8:strict"}
            os.execve(sys.executable, command, environment)
        self.seen = ""

    def type(self, text: str | bytes) -> None:
        os.write(self._end, text if isinstance(text, bytes) else text.encode())

    def read(self, seconds: float) -> bool:
        """Waits so long for what appears; whether something does."""
        ready, _, _ = select.select([self._end], [], [], seconds)
        with suppress(OSError):  # of Linux, where the other end is closed
            self.seen += os.read(self._end, 65536).decode(errors="replace") if ready else ""
            return bool(ready)
        return False

    def until(self, text: str) -> str:
        """What appears, up to `text`, which has to come."""
        while text not in self.seen:
            assert self.read(100), f"{text!r} does not come after {self.seen!r}"
        seen, _, self.seen = self.seen.partition(text)
        return seen + text

    def ended(self) -> int:
        """The exit status, when it has ended."""
        while self.read(100):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self._end)


PROMPT = "mutualgate> "
PASTES = "set enable-bracketed-paste on\n"


@contextmanager
def at_terminal(folder: Path, home: Path, *, inputrc: str = "", program: str = "") -> Iterator[Terminal]:
    """A terminal in which the shell waits for a line; `program` runs it."""
    (home / "inputrc").write_text(inputrc)
    command = [sys.executable, "-c", program, "shell"] if program else PROGRAM
    opened = Terminal([*command, "--dir", str(folder)], home / "inputrc")
    opened.until(PROMPT)
    try:
        yield opened
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(opened.pid, signal.SIGKILL)
            os.waitpid(opened.pid, 0)
        opened.close()


@pytest.fixture
def terminal(installed: Installation, tmp_path: Path) -> Iterator[Terminal]:
    with at_terminal(installed.folder.path, tmp_path) as opened:
        yield opened


def test_commands_are_typed_until_exit(terminal: Terminal) -> None:
    terminal.type("client add anna --role 'a' # yes\n")
    assert "anna is client 2" in terminal.until(PROMPT)
    terminal.type("client show nobody\n")
    assert "there is no client 'nobody'" in terminal.until(PROMPT)
    terminal.type("client 'show\n\n# nothing\n")
    assert "a quote is not closed" in terminal.until(PROMPT)
    terminal.until(PROMPT)
    terminal.until(PROMPT)
    terminal.type("up\n")
    assert "cannot be run in the shell" in terminal.until(PROMPT)
    terminal.type(b"client show gr\xf6\xdfe\n")
    assert "mutualgate: " in terminal.until(PROMPT)
    terminal.type("mutualgate client list\n")
    assert "anna" in terminal.until(PROMPT)
    terminal.type("exit\n")
    assert terminal.ended() == 0


def test_the_end_of_input_ends_it(terminal: Terminal) -> None:
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_words_are_completed_and_lines_remembered(terminal: Terminal) -> None:
    terminal.type("cli\t")
    terminal.until("client ")
    terminal.type("susp\t")
    terminal.until("suspend ")
    terminal.type("--he\t\n")
    assert "Keep a client out" in terminal.until(PROMPT)
    terminal.type("\x1b[A")  # the line before
    terminal.until("client suspend --help ")
    terminal.type("\x15quit\n")
    assert terminal.ended() == 0


def test_ctrl_c_abandons_a_line_and_a_command_and_not_the_shell(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("client remove first-client")
    terminal.until("first-client")
    terminal.type("\x03")
    while not terminal.read(10):  # readline overlooks one that comes in the moment before it waits for the next key
        terminal.type("\x03")
    terminal.until(PROMPT)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    terminal.type(f"explain {fifo}\n")
    with fifo.open("wb"):  # it is being read
        terminal.type("\x03")
        while PROMPT not in terminal.seen:
            if not terminal.read(10):  # Python overlooks one that comes in the moment before it waits for what is read
                terminal.type("\x03")
        terminal.until(PROMPT)
    terminal.type("client show first-client --json\n")
    assert '"state": "active"' in terminal.until(PROMPT)


def test_ctrl_c_may_be_held_down(installed: Installation, tmp_path: Path) -> None:
    with at_terminal(installed.folder.path, tmp_path, program=HELD_DOWN) as terminal:
        terminal.type("client list\n" * 20)
        terminal.until("let go")
        terminal.type("client add anna\n")  # the last of them may end this one still
        terminal.type("client add bert\n")
        terminal.until("bert is client")


HELD_DOWN = """
import os, signal, sys, threading, time
from mutualgate.cli import main

def hold_down():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.01)
    for _ in range(10_000):
        # From here it comes at every moment in which the main thread lets another one work, in a system call say.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0)
    print("let go", flush=True)

threading.Thread(target=hold_down, daemon=True).start()
main()
"""


def test_a_command_that_was_abandoned_holds_nothing(
    terminal: Terminal, installed: Installation, cli: Run, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text("name\n" + "".join(f"p-{number}\n" for number in range(20_000)))
    terminal.type(f"client import {people}\n")
    terminal.until("adding")  # the bar: it writes
    terminal.type("\x03")
    terminal.until(PROMPT)
    assert cli("client", "add", "anna").code == 0  # in another process, while the shell is there
    assert not [one for one in open_files(terminal.pid).values() if "store.sqlite3" in one]


def test_lines_that_are_pasted_as_one_are_run_in_turn(installed: Installation, tmp_path: Path) -> None:
    with at_terminal(installed.folder.path, tmp_path, inputrc=PASTES) as terminal:
        terminal.type("\x1b[200~client add anna\nmutualgate client add bert\n\x1b[201~\n")
        terminal.until("anna is client 2")
        terminal.until("bert is client 3")
        terminal.type("exit\n")
        assert terminal.ended() == 0


def test_standard_input_of_a_command_is_the_terminal(terminal: Terminal) -> None:
    terminal.type("decide --batch\n")
    terminal.type('{"x": 1}\n')
    terminal.until("malformed")
    terminal.type("\x04")
    terminal.until(PROMPT)
    terminal.type("exit\n")
    assert terminal.ended() == 0


def test_candidates_come_from_the_commands() -> None:
    top = candidates([])
    assert {"client", "partner", "status", "help", "exit", "--version"} <= set(top)
    assert {"add", "sign", "keys", "--help"} <= set(candidates(["client"]))
    assert candidates(["mutualgate", "partner", "ca"]) == candidates(["partner", "ca"])
    assert {"--csr", "--csrs", "--dir", "--json", "--help"} <= set(candidates(["client", "sign", "x"]))
    assert "exit" not in candidates(["help"])
    assert candidates(["nonsense"]) == []
    assert candidates(["client", "nonsense"]) == []
