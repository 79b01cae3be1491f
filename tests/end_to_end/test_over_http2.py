"""What one client does on connections to a service over HTTP/2, and what others see of it.

A real Tomcat: it ends a connection, with all that runs on it, for what it takes for an attack. A real nginx and Apache
httpd, too: with both, uploads and requests that are given up are all right.
"""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end import java, peers
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2, RST_STREAM, frame
from end_to_end.raw import Connection

CANCEL = 8
"""RFC 9113 section 7."""


@pytest.fixture(scope="module")
def tomcat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if problem := java.missing():
        pytest.skip(problem)
    with java.container("tomcat", tmp_path_factory.mktemp("tomcat") / "container.log") as url:
        yield url


@pytest.fixture(scope="module")
def gate(tomcat: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with gate_before(tomcat, tmp_path_factory.mktemp("over-http2")) as gate:
        yield gate


@contextmanager
def gate_before(service: str, folder: Path) -> Iterator[Gate]:
    sites = f"""
[[upstreams]]
name = "service"
servers = ["{service}"]
protocol = "h2"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "service" }}]
"""
    # One worker, so that all have its connections.
    with running_gate(folder / "gate", sites, "workers = 1\n") as gate:
        yield gate


@pytest.fixture
def anna(gate: Gate) -> Iterator[Connection]:
    with connected(gate, "anna") as connection:
        yield connection


@pytest.fixture
def mallory(gate: Gate) -> Iterator[Connection]:
    with connected(gate, "mallory") as connection:
        yield connection


def connected(gate: Gate, name: str) -> Connection:
    client = gate.client(f"{name}-{time.monotonic_ns()}")
    return Connection.open(gate.port, gate.context(client, alpn=("h2",)))


def asked(method: str, path: str) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]


@pytest.mark.parametrize("at_once", [1, 20], ids=["one by one", "many at once"])
@pytest.mark.parametrize("own", [False, True], ids=["of others", "of its own"])
def test_one_who_gives_up_many_requests_ends_none_that_are_not(
    gate: Gate, own: bool, at_once: int, anna: Connection, mallory: Connection
) -> None:
    giving_up = H2(mallory)
    hers = giving_up if own else H2(anna)
    # Not idempotent: nothing of it may be sent again.
    waiting = hers.start(asked("POST", "/slow?ms=4000"), end=True)
    time.sleep(0.5)
    for _ in range(40 // at_once):
        streams = [giving_up.start(asked("GET", "/slow?ms=9000"), end=True) for _ in range(at_once)]
        time.sleep(0.05)  # the service has begun with them
        for stream in streams:
            giving_up.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))
    answered = hers.answer(waiting)
    assert answered.status == 200, answered.body
    assert giving_up.request("/hello").status == 200


def test_one_who_sends_little_pieces_ends_no_other_clients(anna: Connection, mallory: Connection) -> None:
    hers, his = H2(anna), H2(mallory)
    waiting = hers.start(asked("POST", "/slow?ms=2000"), end=True)
    time.sleep(0.5)
    trickling = his.start(asked("POST", "/upload"))
    for _ in range(10):
        his.data(trickling, b"x")
        time.sleep(0.05)
    # So Tomcat ends whatever runs there, even the request itself: cut off, or with an answer of its own before that.
    assert his.answer(trickling).status in (400, 502)
    answered = hers.answer(waiting)
    assert answered.status == 200, answered.body
    # Nor does whoever is next find anything of it.
    assert [hers.request("/upload", method="POST", body=b"{}").status for _ in range(3)] == [200] * 3


def test_one_who_sends_large_fields_ends_no_other_clients(gate: Gate, anna: Connection) -> None:
    hers = H2(anna)
    waiting = hers.start(asked("POST", "/slow?ms=2000"), end=True)
    time.sleep(0.5)
    # Twice as many as Tomcat takes: it does not read on.
    large = [(f"X-{number}", "x" * 4000) for number in range(6)]
    mallory = gate.client("mallory")
    for _ in range(3):
        assert gate.get("/hello", mallory, large).status == 502
    answered = hers.answer(waiting)
    assert answered.status == 200, answered.body


def test_one_whose_body_nobody_reads_holds_up_no_other_client(anna: Connection, mallory: Connection) -> None:
    hers, his = H2(anna), H2(mallory)
    unread = his.start(asked("POST", "/slow?ms=60000"))
    for _ in range(7):
        his.data(unread, b"x" * 10_000)  # in all, more than Tomcat takes unread
    time.sleep(0.5)
    assert hers.request("/upload", method="POST", body=b"y" * 15_000).status == 200
    his.send(frame(RST_STREAM, 0, unread, CANCEL.to_bytes(4)))


@pytest.mark.parametrize("size", [1, 2, 20])
def test_small_bodies_come_one_after_the_other(gate: Gate, size: int, anna: Connection) -> None:
    hers = H2(anna)
    body = b"x" * size
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\n"
    with gate.open(gate.client(f"small-{size}")) as older:
        for _ in range(30):
            assert hers.request("/upload", method="POST", body=body).status == 200
            older.send(head + b"Content-Length: %d\r\n\r\n%s" % (size, body))
            assert older.response().status == 200
            older.send(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, body))
            assert older.response().status == 200


def test_many_upload_at_once(gate: Gate) -> None:
    """Each has room as Tomcat gives it: in portions of any size."""
    many_upload(gate, rounds=4)


@pytest.mark.parametrize("server", peers.SPEAK_HTTP2)
def test_nginx_and_apache_are_services_over_http2_as_well(server: str, tomcat: str, tmp_path: Path) -> None:
    if peers.SPEAK_HTTP2[server] is None:
        pytest.skip(f"not installed: {server} (bench/install.sh)")
    with peers.over_http2(server, tmp_path, tomcat) as url, gate_before(url, tmp_path) as gate:
        many_upload(gate, rounds=1)
        with connected(gate, "anna") as anna, connected(gate, "mallory") as mallory:
            hers, his = H2(anna), H2(mallory)
            waiting = hers.start(asked("POST", "/slow?ms=2000"), end=True)
            for _ in range(40):
                stream = his.start(asked("GET", "/slow?ms=9000"), end=True)
                time.sleep(0.02)
                his.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))
            assert hers.answer(waiting).status == 200
            assert his.request("/hello").status == 200


def many_upload(gate: Gate, rounds: int) -> None:
    body = hashlib.sha256(b"piece").digest() * (1 << 17)
    digest = hashlib.sha256(body).hexdigest()
    head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    clients = [gate.client(f"many-{number}") for number in range(8)]

    def upload(number: int) -> tuple[int, str]:
        with gate.open(clients[number]) as connection:
            connection.send(head + body)
            answer = connection.response()
            return answer.status, str(answer.json().get("sha256"))

    with ThreadPoolExecutor(len(clients)) as pool:
        for _ in range(rounds):
            assert list(pool.map(upload, range(len(clients)))) == [(200, digest)] * len(clients)
