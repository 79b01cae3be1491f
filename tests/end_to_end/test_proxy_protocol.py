"""Behind a balancer that speaks the PROXY protocol: the client that it names is the peer; nobody else may name one."""

import contextlib
import select
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from end_to_end import forge, raw
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.recorder import Recorder

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""
HANDSHAKE = '[gate.timeouts]\nhandshake = "2s"\n'
V1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source: str, *, command: int = 1, remarks: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    there = socket.inet_pton(family, source)
    rest = there + bytes(len(there)) + struct.pack("!HH", 56324, 443) + remarks
    kind = 0x21 if ":" in source else 0x11
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, kind, len(rest)) + rest


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as made:
        yield made


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("balanced") / "gate"
    settings = 'proxy_protocol_from = ["127.0.0.1", "2001:db8::/32"]\n' + HANDSHAKE
    with running_gate(folder, SITES.format(upstream=recorder.url), settings) as gate:
        yield gate


@pytest.fixture(scope="module")
def anna(gate: Gate) -> Identity:
    return gate.client("anna")


def through(gate: Gate, header: bytes, identity: Identity | None) -> raw.Connection:
    """A connection as the balancer opens it."""
    plain = socket.create_connection(("127.0.0.1", gate.port), 10)
    try:
        plain.sendall(header)
        # The gate never speaks first. Python leaks a socket that is reset just when TLS is put on it.
        if select.select([plain], [], [], 0.1)[0]:
            raise ConnectionResetError
        return raw.Connection(gate.context(identity).wrap_socket(plain, server_hostname="localhost"))
    except BaseException:
        plain.close()
        raise


def handshakes(gate: Gate) -> dict[str, int]:
    counters: Any = gate.command("status").json["counters"]
    return {str(end): int(number) for end, number in counters["handshakes"]}


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (V1, "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n", "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2("203.0.113.9"), "203.0.113.9"),
        (v2("2001:db8::9", remarks=b"\x02\x00\x04host"), "2001:db8::9"),
        (v2("203.0.113.9", command=0), "127.0.0.1"),
    ],
    ids=["v1", "v1-ipv6", "v1-unknown", "v2", "v2-ipv6-tlv", "v2-local"],
)
def test_the_peer_is_the_client_that_the_balancer_names(
    gate: Gate, anna: Identity, recorder: Recorder, header: bytes, peer: str, request: pytest.FixtureRequest
) -> None:
    path = f"/{request.node.callspec.id}-end"
    with through(gate, header, anna) as connection:
        assert connection.request(path).status == 200
    [seen] = recorder.marked(path)
    assert seen.values("x-forwarded-for") == [peer]
    assert peer in seen.values("forwarded")[0]
    gate.program.wait_for(lambda: path in gate.program.text())
    line = next(line for line in gate.program.text().splitlines() if path in line)
    assert f'"peer":"{peer}"' in line


def test_who_is_refused_is_known_by_that_address(gate: Gate, tmp_path: Path) -> None:
    with through(gate, v2("203.0.113.77"), forge.self_signed(tmp_path, "eve")) as connection:
        answer = connection.request("/refused")
    assert answer.status == 403
    gate.program.wait_for(lambda: "/refused" in gate.program.text())
    line = next(line for line in gate.program.text().splitlines() if "/refused" in line)
    assert '"peer":"203.0.113.77"' in line


@pytest.mark.parametrize(
    "start",
    [
        b"",  # TLS at once
        b"PROXY TCP4 203.0.113.9 192.0.2.1 56324\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 056324 443\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        V1 + V1,
    ],
)
def test_without_a_right_header_there_is_no_handshake(gate: Gate, anna: Identity, start: bytes) -> None:
    before = handshakes(gate)
    with pytest.raises((ssl.SSLError, OSError)):
        through(gate, start, anna)
    after = handshakes(gate)
    assert after["full"] == before["full"]
    assert sum(after[end] - before[end] for end in ("proxy_header", "protocol", "plain_http", "closed")) == 1


def test_one_that_does_not_come_ends_with_the_time_of_a_handshake(gate: Gate) -> None:
    for start in (b"", b"PROX", b"PROXY TCP4 203.0.113.9 ", SIGNATURE + b"\x21\x11\x00\x0c"):
        with socket.create_connection(("127.0.0.1", gate.port), 20) as waiting:
            waiting.sendall(start)
            with contextlib.suppress(ConnectionResetError):
                assert waiting.recv(100) == b""


def test_the_plain_listener_asks_for_it_too(gate: Gate) -> None:
    for start, answered in ((V1, True), (b"", False)):
        with socket.create_connection(("127.0.0.1", gate.plain_port), 10) as plain:
            plain.sendall(start + b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert plain.recv(4096).startswith(b"HTTP/1.1 308") is answered


def test_limits_of_an_address_are_those_of_the_client_and_not_of_the_balancer(
    tmp_path: Path, recorder: Recorder
) -> None:
    settings = f'proxy_protocol_from = ["127.0.0.1"]\n{HANDSHAKE}[gate.limits]\naddress_connections = 2\n'
    with running_gate(tmp_path / "gate", SITES.format(upstream=recorder.url), settings) as gate, ExitStack() as stack:
        anna = gate.client("anna")
        for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1", "203.0.113.3"):
            connection = stack.enter_context(through(gate, v2(address), anna))
            assert connection.request("/").status == 200
        with pytest.raises((ssl.SSLError, OSError)):
            through(gate, v2("203.0.113.1"), anna)
        assert stack.enter_context(through(gate, v2("203.0.113.2"), anna)).request("/").status == 200


def test_from_others_a_header_is_no_tls(gate: Gate, anna: Identity) -> None:
    """The setting is read again while the gate runs."""
    text = (gate.folder / "mutualgate.toml").read_text()
    try:
        reload(gate, text.replace('"127.0.0.1", "2001', '"192.0.2.7", "2001'))
        assert gate.get("/without", anna).status == 200
        for header in (V1, v2("203.0.113.9")):
            with pytest.raises((ssl.SSLError, OSError)):
                through(gate, header, anna)
    finally:
        reload(gate, text)


def reload(gate: Gate, text: str) -> None:
    """Waits until the gate has it in force."""
    before = len(gate.program.text())
    (gate.folder / "mutualgate.toml").write_text(text)
    gate.program.wait_for(lambda: "was read again" in gate.program.text()[before:])
