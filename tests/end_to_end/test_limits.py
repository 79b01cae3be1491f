"""What nobody may do to the gate: hold it up, fill it, make it work for nothing."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from end_to_end import h2
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import Connection
from end_to_end.recorder import Recorder

PATIENCE_SECONDS = 10
# Short, so that the tests are; what is under test is that there is an end.
TIMEOUTS = '[gate.timeouts]\nhandshake = "1s"\nheader = "1s"\nidle = "1s"\nresponse = "2s"\nconnect = "1s"\n'


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[tuple[Gate, Identity]]:
    folder = tmp_path_factory.mktemp("impatient")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "{upstream.url}" }},
    {{ path = "/silent", upstream = "http://127.0.0.1:{silent.getsockname()[1]}" }},
]
"""
        with running_gate(folder / "gate", sites, TIMEOUTS) as gate:
            yield gate, gate.client("somebody")


def ended(connection: Connection) -> bool:
    """Whether the gate ends it before our patience does."""
    began = time.monotonic()
    connection.rest()
    return time.monotonic() - began < PATIENCE_SECONDS


def test_a_connection_that_says_nothing_is_ended(impatient: tuple[Gate, Identity]) -> None:
    with Connection.plain(impatient[0].port) as connection:
        assert ended(connection)


def test_a_handshake_that_stops_half_way_is_ended(impatient: tuple[Gate, Identity]) -> None:
    with Connection.plain(impatient[0].port) as connection:
        connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert ended(connection)


def test_a_header_that_drips_is_ended(impatient: tuple[Gate, Identity]) -> None:
    gate, identity = impatient
    with gate.open(identity) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < PATIENCE_SECONDS:
                connection.send(b"X: y\r\n")
                time.sleep(0.1)
        assert time.monotonic() - began < PATIENCE_SECONDS


def test_an_idle_connection_is_ended(impatient: tuple[Gate, Identity]) -> None:
    gate, identity = impatient
    with gate.open(identity) as connection:
        assert connection.request("/").status == 200
        assert ended(connection)


def test_a_service_that_does_not_answer_is_a_504(impatient: tuple[Gate, Identity]) -> None:
    gate, identity = impatient
    assert gate.get("/silent", identity).status == 504


def test_a_service_that_is_not_there_is_a_503(estate: Estate, alice: Identity) -> None:
    response = estate.gate.get("/dead", alice)
    assert response.status == 503
    assert b"127.0.0.1" not in response.body


def test_a_header_beyond_the_limit_is_a_431(estate: Estate, alice: Identity) -> None:
    word = mark()
    assert estate.gate.get(f"/{word}", alice, [("X-Large", "x" * 40_000)]).status == 431
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_beyond_the_limit_is_a_413(chunked: bool, estate: Estate, alice: Identity) -> None:
    with estate.gate.open(alice) as connection:
        if chunked:
            connection.send(b"POST /small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n")
        else:
            connection.send(b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2048\r\n\r\n")
        assert connection.response().status == 413


def test_early_data_is_never_accepted(estate: Estate, alice: Identity) -> None:
    """Lesson 25: what is sent in the first flight could be sent again by anybody."""
    with estate.gate.open(alice) as connection:
        assert connection.request("/").status == 200
        session = connection.tls.session
    assert session is not None
    assert session.has_ticket
    assert b"Max Early Data: 0" in _session_text(estate, alice)


def open_h2(gate: Gate, identity: Identity) -> Connection:
    return Connection.open(gate.port, gate.context(identity, alpn=["h2"]))


def test_a_flood_of_resets_ends_the_connection_and_spares_the_service(estate: Estate, alice: Identity) -> None:
    """CVE-2023-44487: open a stream, reset it, open the next."""
    word = mark()
    fields = [(":method", "GET"), (":scheme", "https"), (":path", f"/{word}"), (":authority", "localhost")]
    with open_h2(estate.gate, alice) as connection:
        client = H2(connection)
        with suppress(OSError):
            for number in range(5000):
                stream = 2 * number + 1
                head = h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, h2.block(fields))
                client.send(head + h2.frame(h2.RST_STREAM, 0, stream, (8).to_bytes(4)))
        assert ended(connection)
    assert len(estate.recorder.marked(word)) < 1000
    assert estate.gate.get("/", alice).status == 200


def test_endless_continuation_frames_end_the_connection(estate: Estate, alice: Identity) -> None:
    """RUSTSEC-2024-0332: a header block that has no end."""
    with open_h2(estate.gate, alice) as connection:
        client = H2(connection)
        piece = h2.block([("x-filler", "y" * 8000)])
        client.send(h2.frame(h2.HEADERS, 0, 1, h2.block([(":method", "GET")])))
        with suppress(OSError):
            for _ in range(2000):
                client.send(h2.frame(h2.CONTINUATION, 0, 1, piece))
        assert ended(connection)
    assert estate.gate.get("/", alice).status == 200


def test_streams_that_the_server_is_made_to_reset_end_the_connection(estate: Estate, alice: Identity) -> None:
    """CVE-2025-8671: the client breaks a rule on each stream, so that the server does the resetting."""
    word = mark()
    fields = [(":method", "POST"), (":scheme", "https"), (":path", f"/{word}"), (":authority", "localhost")]
    with open_h2(estate.gate, alice) as connection:
        client = H2(connection)
        with suppress(OSError):
            for number in range(5000):
                stream = 2 * number + 1
                head = h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.block(fields))
                # RFC 9113 6.9: an increment of 0 is an error of the stream.
                client.send(head + h2.frame(h2.WINDOW_UPDATE, 0, stream, (0).to_bytes(4)))
        assert ended(connection)
    assert len(estate.recorder.marked(word)) < 2000
    assert estate.gate.get("/", alice).status == 200


def test_many_strangers_hold_up_no_client(estate: Estate, alice: Identity) -> None:
    strangers = [Connection.plain(estate.gate.port) for _ in range(300)]
    try:
        began = time.monotonic()
        for _ in range(5):
            assert estate.gate.get("/", alice).status == 200
        assert time.monotonic() - began < PATIENCE_SECONDS
    finally:
        for stranger in strangers:
            stranger.transport.close()


def test_garbage_instead_of_tls_is_no_crash(estate: Estate, alice: Identity) -> None:
    full_record = b"\x16\x03\x01\x40\x00" + b"\x01" * 16384
    for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 100, b"\xff" * 70_000, full_record):
        with Connection.plain(estate.gate.port) as connection, suppress(OSError):
            connection.send(data)
            connection.rest()
    assert estate.gate.get("/", alice).status == 200


def _session_text(estate: Estate, identity: Identity) -> bytes:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{estate.gate.port}",
        "-servername",
        "localhost",
        "-tls1_3",
    ]
    command += ["-cert", str(identity.certificate), "-key", str(identity.key), "-ign_eof"]
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return subprocess.run(command, input=request, capture_output=True, timeout=30).stdout
