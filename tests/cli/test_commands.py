"""All commands: their help, their use, and that nothing brings out a traceback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pki
import pytest
from commands import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from installation import Installation
from typer.core import TyperGroup

from mutualgate.app import Folder, control
from mutualgate.cli.commands import app
from mutualgate.cli.group import built
from mutualgate.errors import Unavailable

PROGRAM = [sys.executable, "-m", "mutualgate"]


def words_of_all(group: TyperGroup, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from words_of_all(command, (*before, name))
        else:
            yield (*before, name)


ALL = list(words_of_all(built(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_has_help_with_an_example_and_json(words: tuple[str, ...], bare: Run) -> None:
    said = bare(*words, "--help")
    assert said.code == 0
    flat = " ".join(said.out.split())
    assert f"mutualgate {' '.join(words)}" in flat.split("Example", 1)[1], "no example"
    assert "--json" in flat
    assert "--dir" in flat or words in (("import", "apache"), ("enrol",))  # they need no installation


def test_each_example_is_a_line_that_can_be_copied(bare: Run) -> None:
    said = bare("client", "revoke", "--help").out.splitlines()
    start = said.index("  Examples:")
    assert said[start + 1 : start + 4] == [
        "  mutualgate client revoke partner-7 --reason keyCompromise",
        "  mutualgate client revoke partner-7 --credential 12 --lineage",
        "  mutualgate client revoke --certificate stolen.pem --reason keyCompromise",
    ]


def test_the_list_of_commands_says_what_exit_codes_mean(bare: Run) -> None:
    said = bare("--help")
    assert said.code == 0
    assert "Exit status: 0 done, 1 the answer is no, 2 wrong use or bad input." in said.out
    assert bare("--version").out.startswith("mutualgate 0.")


@pytest.mark.parametrize("words", [("--help",), ("client", "--help"), ("up", "--help"), ("--version",)], ids=" ".join)
def test_help_does_not_wait_for_the_store_or_cryptography(words: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom mutualgate.cli import run\n"
        f"assert run({list(words)!r}) == 0\n"
        "heavy = {'sqlalchemy', 'cryptography', 'alembic', 'uvicorn', 'starlette', 'mutualgate._engine'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


MISUSED = [(), ("client",), ("nonsense",), ("up", "--nonsense"), ("client", "show"), ("up", "x")]


@pytest.mark.parametrize("words", MISUSED)
def test_wrong_use_is_told_where_help_is(words: tuple[str, ...], bare: Run) -> None:
    said = bare(*words)
    assert said.code == 2
    assert "mutualgate" in said.err + said.out


@pytest.mark.parametrize("words", [(), ("client",), ("partner", "ca")])
def test_a_group_alone_says_what_it_has(words: tuple[str, ...], bare: Run) -> None:
    said = bare(*words)
    assert said.code == 2
    assert said.out == bare(*words, "--help").out
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "see"),
    [
        (("clients", "list"), "mutualgate --help"),
        (("client", "lsit"), "mutualgate client --help"),
        (("partner", "ca", "remove"), "mutualgate partner ca remove --help"),
        (("status", "client"), "mutualgate status --help"),
    ],
)
def test_wrong_use_is_told_of_help_that_there_is(words: tuple[str, ...], see: str, bare: Run) -> None:
    assert bare(*words).err.endswith(f"See: {see}\n")


def test_wrong_use_is_json_for_who_asked_for_it(bare: Run) -> None:
    said = bare("client", "show", "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "wrong_use"
    assert said.err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str, tmp_path: Path) -> None:
    # The shell is named rather than looked for among the parents of this process: a test has none.
    home = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run([*PROGRAM, "--show-completion", shell], capture_output=True, text=True, env=home)
    assert shown.returncode == 0, shown.stderr
    assert "_MUTUALGATE_COMPLETE" in shown.stdout


def test_a_command_is_completed() -> None:
    done = subprocess.run(
        PROGRAM,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "_MUTUALGATE_COMPLETE": "complete_bash",
            "COMP_WORDS": "mutualgate client re",
            "COMP_CWORD": "2",
        },
    )
    assert done.stdout.split() == ["resume", "remove", "revoke"]


TOO_MANY = "9" * 30

# What a person could type; no NUL, which no argument can hold, and no `up`, which would stay.
WORDS = st.one_of(
    st.sampled_from(sorted({word for words in ALL for word in words} - {"up"})),
    st.sampled_from(["--json", "--help", "--cert", "--csr", "--out", "--limit", "--at", "--role", "-", "--"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.sampled_from(["/", "/dev/null", "/nowhere", "x" * 300, "\udcff", "\x1b[31m", TOO_MANY, "-1"]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORDS, max_size=7))
def test_no_words_bring_out_a_defect(words: list[str], bare: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "nothing-here"
    before = Path.cwd()
    here = tmp_path_factory.mktemp("here")
    os.chdir(here)  # what `--out x` may write
    try:
        if words[:1] != ["up"]:
            said = bare("client", *words, "--dir", folder) if len(words) % 2 else bare(*words)
            assert said.code in (0, 1, 2), (words, said)
            assert "\x1b" not in said.out + said.err
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    "words",
    [
        ("pin", "retire", TOO_MANY),
        ("pin", "add", "first-client", "{pem}", "--replaces", TOO_MANY),
        ("pin", "add", "first-client", "{pem}", "--replaces", "1", "--overlap", "999999999d"),
        ("invitation", "show", TOO_MANY),
        ("trust", "undo", TOO_MANY),
        ("trust", "try", "pin", "retire", TOO_MANY),
        ("notices", "retry", TOO_MANY),
        ("client", "list", "--after", TOO_MANY),
        ("client", "p12", "first-client", "--out", "{out}", "--days", TOO_MANY),
        ("invite", "anna", "--valid-for", TOO_MANY),
        ("expiring", "--within", f"{TOO_MANY}d"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_too_large_is_no_defect(cli: Run, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_bytes(pki.leaf(None, "own", now=pki.real_now()).pem)
    said = cli(*(word.format(pem=tmp_path / "own.pem", out=tmp_path / "out") for word in words))
    assert said.code == 2, said
    assert said.err.count("\n") <= 2


def test_a_reader_that_goes_away_is_no_error(installed: Installation) -> None:
    folder = installed.folder.path
    done = subprocess.run(
        f"{sys.executable} -m mutualgate audit list --json --dir {folder} | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "0"
    assert done.stderr == ""


def test_ctrl_c_is_no_traceback(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mutualgate.app.control.ask", interrupted)
    monkeypatch.setattr("mutualgate.app.Folder.require", lambda _: None)
    said = bare("status")
    assert (said.code, said.out) == (130, "")


def test_a_defect_is_said_to_be_one(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no\x1b[31mbody thought of it")

    monkeypatch.delenv("MUTUALGATE_DEBUG", raising=False)
    monkeypatch.setattr("mutualgate.app.Folder.require", broken)
    said = bare("status")
    assert said.code == 70
    assert "a defect of mutualgate: RuntimeError: no\\x1b[31mbody thought of it" in said.err


def test_what_does_not_answer_is_a_no(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full", where="store.sqlite3")

    monkeypatch.setattr("mutualgate.app.Folder.require", away)
    said = bare("status", "--json")
    assert said.code == 1
    assert json.loads(said.out)["error"]["code"] == "unavailable"


def test_a_terminal_that_cannot_show_a_name_gets_its_number(installed: Installation) -> None:
    folder = installed.folder.path
    run = [*PROGRAM, "client", "add", "größe", "--dir", str(folder)]
    done = subprocess.run(run, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"gr\\xf6\\xdfe is client 2")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("invite", "ward-3"), "/join/"),
        (("client", "add", "ward-3"), "ward-3 is client"),
        (("client", "p12", "first-client", "--out", "{out}"), "Password, shown once: "),
        (("client", "import", "{people}", "--invite", "--out", "{out}"), "1 invited"),
        (("client", "suspend", "first-client"), "is suspended; the running gate has not confirmed it."),
    ],
)
@pytest.mark.parametrize(
    ("error", "status", "why"),
    [
        (Unavailable("the running gate did not answer within 10 s"), 1, "did not answer within 10 s. The store has"),
        (KeyboardInterrupt(), 130, "you did not wait. The store has the change"),
    ],
)
def test_what_was_made_is_shown_though_the_gate_does_not_confirm_it(
    words: tuple[str, ...],
    shown: str,
    error: BaseException,
    status: int,
    why: str,
    cli: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(_folder: Folder, do: str, *_: object) -> None:
        if do == "sync":
            raise error

    monkeypatch.setattr(control, "ask", ask)
    out, people = tmp_path / "out", tmp_path / "people.csv"
    people.write_text("name\nward-4\n")
    said = cli(*(word.format(out=out, people=people) for word in words))
    assert said.code == status
    assert shown in said.out
    assert why in said.err
    assert out.exists() is ("{out}" in words)


def test_programs_get_one_answer_where_the_gate_does_not_confirm_it(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> None:
        raise Unavailable("the running gate did not answer within 10 s")

    monkeypatch.setattr(control, "ask", ask)
    said = cli("client", "add", "ward-3", "--json")
    assert said.code == 1
    assert said.json["name"] == "ward-3"
    assert said.json["in_force"] is False
    assert "did not answer within 10 s" in said.json["unconfirmed"]
    monkeypatch.undo()
    assert cli("client", "add", "ward-4").code == 0


@pytest.mark.parametrize(
    "words", ["client list --search {}", "decide --cert {pem} --host {}", "explain {}", "partner list --search {}"]
)
def test_a_word_that_is_no_text_is_refused(cli: Run, installed: Installation, words: str) -> None:
    said = cli(*(one.format("\udcff%", pem=installed.pem()) for one in words.split()))
    assert (said.code, said.err) == (2, "mutualgate: '\\udcff%' is not UTF-8; expected text\n")


@pytest.mark.parametrize("module", ["mutualgate.cli.brief", "typer.models"])
def test_control_c_while_a_command_begins_brings_out_no_traceback(installed: Installation, module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mutualgate", "client", "list", "--dir"]
    environment = os.environ | {"MUTUALGATE_STANDBY": "no"}
    with subprocess.Popen(
        [*command, installed.folder.path], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(line.rstrip().endswith(f" {module}") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode == 130
