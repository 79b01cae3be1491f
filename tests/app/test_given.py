"""Sockets that listen already: which address of the settings each stands for."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mutualgate.app import given as module
from mutualgate.app.given import Given, from_systemd, settle, strangers
from mutualgate.config import Address
from mutualgate.errors import BadInput


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(opened: ExitStack, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listener.bind((host, port))
    listener.listen()
    return listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_without_any_the_settings_are_as_they_are() -> None:
    settled = settle("tls", [Address("127.0.0.1", 443), Address("::1", 443)], [])
    assert settled.addresses == ("127.0.0.1:443", "[::1]:443")
    assert settled.open == ()


def test_a_named_one_is_all_that_its_service_gets(opened: ExitStack) -> None:
    given = Given("tls", "", listening(opened))
    settled = settle("tls", [Address("192.0.2.1", 443)], [given])
    assert settled.addresses == (str(given.address),)
    assert [one.listener for one in settled.open] == [given.listener]
    assert settle("plain", [Address("127.0.0.1", 80)], [given]).open == ()


def test_one_without_a_name_stands_for_its_address(opened: ExitStack) -> None:
    first, other = listening(opened), listening(opened)
    given = [Given("", "", first), Given("", "", other)]
    address = Address("127.0.0.1", port_of(first))
    settled = settle("tls", [address], given)
    assert [(one.service, one.wanted, one.listener) for one in settled.open] == [("tls", str(address), first)]
    assert [one.listener for one in strangers(given, [settled])] == [other]


def test_a_wildcard_serves_every_address_of_its_port(opened: ExitStack) -> None:
    everywhere = Given("", "", listening(opened, "::"))
    port = everywhere.address.port
    settled = settle(
        "tls", [Address("0.0.0.0", port), Address("::", port), Address("127.0.0.1", port + 1)], [everywhere]
    )
    # The exact one takes it; what it serves besides is not opened once more.
    assert settled.addresses == (f"0.0.0.0:{port}", f"127.0.0.1:{port + 1}")
    assert [one.listener for one in settled.open] == [everywhere.listener]


def test_what_a_process_hands_over_goes_together(opened: ExitStack) -> None:
    """Each worker had a socket; port 0 is asked for again by that name."""
    sockets = [listening(opened) for _ in range(3)]
    given = [Given("tls", "127.0.0.1:0", one) for one in sockets]
    settled = settle("tls", [Address("127.0.0.1", 0), Address("127.0.0.1", 0)], given)
    assert settled.addresses == ("127.0.0.1:0", "127.0.0.1:0")
    assert [one.listener for one in settled.open] == sockets
    assert settle("tls", [Address("127.0.0.1", 1)], given).open == ()


def handed(count: int, names: str = "", pid: int | None = None) -> dict[str, str]:
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, "OTHER": "x"}


def test_systemd_s_are_found_with_their_names(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listening(opened).detach()
    second = os.dup(first)
    monkeypatch.setattr(module, "_FIRST", min(first, second))
    os.set_inheritable(first, True)
    environment = handed(2 if abs(first - second) == 1 else 1, "tls:mutualgate.socket")
    found = from_systemd(environment)
    assert environment == {"OTHER": "x"}, "a child would take them for its own"
    assert found[0].service == "tls"
    assert not found[0].listener.get_inheritable()
    assert [one.service for one in found[1:]] in ([], [""])
    for descriptor in {first, second} - {one.listener.fileno() for one in found}:
        os.close(descriptor)
    for one in found:
        one.listener.close()


def test_those_of_another_process_are_none() -> None:
    assert from_systemd({}) == []
    environment = handed(1, pid=1)
    assert from_systemd(environment) == []
    assert "LISTEN_FDS" not in environment


def test_what_does_not_listen_is_refused(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    datagrams = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    silent = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    local = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    for wrong in (datagrams, silent, local):
        monkeypatch.setattr(module, "_FIRST", os.dup(wrong.fileno()))
        with pytest.raises(BadInput, match="no listening TCP socket"):
            from_systemd(handed(1))
    reading, writing = os.pipe()
    os.close(writing)
    monkeypatch.setattr(module, "_FIRST", reading)
    with pytest.raises(BadInput, match=f"descriptor {reading} of systemd .tls.: is no socket"):
        from_systemd(handed(1, "tls"))
    os.close(reading)
