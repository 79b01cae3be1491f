"""`mutualgate upstream list`: the servers of a gate that does not run, and of one that does."""

from collections.abc import Mapping
from typing import Any

import pytest
from commands import Run

from mutualgate.app import control

SERVER: Mapping[str, Any] = {
    "upstream": "app",
    "server": "http://app:80",
    "address": "192.0.2.1:80",
    "state": "ejected",
    "requests": 41,
    "failures": 5,
    "retries": 2,
    "ejections": 1,
}


def test_without_a_gate_there_is_nothing_to_show(cli: Run) -> None:
    answer = cli("upstream", "list")
    assert answer.code != 0
    assert "no gate runs here" in answer.err


def test_each_server_is_a_line(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ask", lambda folder, do: {"servers": [SERVER]})
    answer = cli("upstream", "list")
    assert answer.code == 0
    line = next(line for line in answer.out.splitlines() if "192.0.2.1" in line)
    assert line.split() == ["app", "http://app:80", "192.0.2.1:80", "ejected", "41", "5", "2", "1"]
