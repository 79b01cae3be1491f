"""What systemd is told, over real sockets."""

import os
import socket
from pathlib import Path

import pytest

from mutualgate.app import notify


def test_states_reach_the_socket_that_systemd_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify.tell("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_the_socket_may_be_an_abstract_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"mutualgate-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify.tell(notify.reloading())
        lines = listener.recv(100).decode().splitlines()
    assert lines[0] == "RELOADING=1"
    assert lines[1].removeprefix("MONOTONIC_USEC=").isdigit()


@pytest.mark.parametrize("address", [None, "/nowhere/notify"])
def test_without_systemd_nothing_happens(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.tell("READY=1")


@pytest.mark.parametrize(
    ("given", "whom", "seconds"),
    [
        ("30000000", "", 15.0),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
        (None, "", None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    given: str | None, whom: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if given is not None:
        monkeypatch.setenv("WATCHDOG_USEC", given)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if whom == "own" else whom)
    assert notify.watchdog_seconds() == seconds
