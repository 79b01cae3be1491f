"""The bar for who waits."""

import io
import sys

import pytest

from mutualgate.cli.waiting import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("reading certificates") as tell:
        tell(5, 10)
    assert "reading certificates" in terminal.getvalue()


def test_a_program_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("reading certificates") as tell:
        tell(5, 10)
    assert stream.getvalue() == ""
