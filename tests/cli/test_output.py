"""What is printed, and what a terminal must not get to see."""

import json
import os
import sys
from pathlib import Path

import pytest

from mutualgate.cli.output import emit, fail, misused, plain, table
from mutualgate.errors import BadInput, Corrupt, Unavailable

HOSTILE = "a\x1b[31m\x9b31m\r\n\u202e\x7f\udcff\U0001f600é"


def test_what_comes_from_outside_cannot_speak_to_the_terminal() -> None:
    assert plain(HOSTILE) == "a\\x1b[31m\\x9b31m\\r\\n\\u202e\\x7f\\udcff\U0001f600é"


@pytest.mark.parametrize("one_line", [False, True])
def test_json_has_it_escaped_and_whole(one_line: bool, capsys: pytest.CaptureFixture[str]) -> None:
    emit({"name": HOSTILE, "list": [1]}, "", True, one_line=one_line)
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": HOSTILE, "list": [1]}
    assert all(character.isprintable() or character == "\n" for character in out)
    assert (out.count("\n") == 1) == one_line


def test_an_error_says_what_where_expected_and_fix(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadInput("is \x1b[31mred", where="file", expected="blue", fix="Paint it.")
    assert fail(error, as_json=False) == 2
    assert capsys.readouterr().err == "mutualgate: file: is \\x1b[31mred; expected blue. Paint it.\n"
    assert fail(error, as_json=True) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == {
        "code": "bad_input",
        "problem": "is \x1b[31mred",
        "where": "file",
        "expected": "blue",
        "fix": "Paint it.",
        "facts": {},
    }
    assert said.err == ""


def test_the_exit_status_tells_bad_input_from_a_no() -> None:
    assert fail(Unavailable("x"), as_json=False) == 1
    assert fail(Corrupt("x"), as_json=False) == 2


def test_columns_line_up() -> None:
    assert table(("a", "name"), [(1, "x"), (100, "")]) == "a    name\n1    x\n100"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has none")
@pytest.mark.parametrize("as_json", [False, True])
def test_what_went_wrong_keeps_its_exit_status_where_nothing_can_be_written(
    as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as out, open("/dev/full", "w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        assert fail(BadInput("x"), as_json) == 2
        assert misused("x", "y", as_json) == 2
        for stream in {sys.stdout, sys.stderr} - {out, err}:
            stream.close()


def test_json_that_nobody_reads_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert fail(BadInput("x"), as_json=True) == 2
    assert capsys.readouterr().err == "mutualgate: x\n"
