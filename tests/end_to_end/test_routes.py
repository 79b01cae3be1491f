"""What a route changes in both versions of HTTP: header fields, the beginning of the path, where a redirect leads."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end import h2
from end_to_end.estate import mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import Connection
from end_to_end.recorder import Recorded, Recorder
from end_to_end.servers import Server

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]

[[sites.routes]]
path = "/"
upstream = "{upstream}"

[[sites.routes]]
path = "/fields"
upstream = "{upstream}"
response_headers = {{set = {{"X-Frame-Options" = "DENY"}}, add = {{"Link" = "</a>"}}, remove = ["Content-Type"]}}
[sites.routes.request_headers]
set = {{"X-Tenant" = "north", "Cookie" = "only=this"}}
add = {{"X-Hops" = "gate"}}
remove = ["X-Debug"]

[[sites.routes]]
path = "/api"
upstream = "{upstream}"
strip_prefix = "/api"

[[sites.routes]]
path = "/api/admin"
upstream = "{upstream}"
strip_prefix = "/api"
roles = ["admin"]

[[sites.routes]]
path = "/v1"
upstream = "{upstream}"
replace_prefix = "/v2/x"

[[sites.routes]]
path = "/moved"
redirect = "https://www.example.com/new"
strip_prefix = "/moved"
response_headers = {{set = {{"Strict-Transport-Security" = "max-age=60"}}}}

[[sites.routes]]
path = "/login"
redirect = "/app/?from=login"
redirect_status = 302
redirect_keep_path = false
client_certificate = "off"

[[sites.routes]]
path = "/small"
upstream = "{upstream}"
max_body_bytes = "1 KiB"

[[sites.routes]]
path = "/early"
upstream = "{early}"
"""


class Early(Server):
    """Answers as soon as it has read the head."""

    def meet(self, peer: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(4096)
        peer.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno")
        while peer.recv(65536):
            pass


@dataclass(frozen=True)
class World:
    gate: Gate
    recorder: Recorder
    alice: Identity


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("routes")
    with Early() as early, running_gate(folder / "gate", SITES.format(upstream=upstream.url, early=early.url)) as gate:
        yield World(gate, upstream, gate.client("alice"))


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    request: Recorded | None
    """What arrived at the service."""


Ask = Callable[..., Got]


@pytest.fixture(params=["1.1", "2"])
def ask(request: pytest.FixtureRequest, world: World) -> Ask:
    """A request by curl with the protocol of the test; its mark is in a field of its own."""

    def curl(path: str, *fields: str, identity: Identity | None = world.alice, head: bool = False) -> Got:
        one = mark()
        shown: list[str | Path] = ["--cert", identity.certificate, "--key", identity.key] if identity else []
        said = [part for field in (f"X-Mark: {one}", *fields) for part in ("-H", field)]
        tls: list[str | Path] = ["--cacert", world.gate.root, f"--http{request.param}"]
        options = ["-sS", "-D", "-", "-o", "/dev/null", "--path-as-is", "--max-time", "20", *(["-I"] if head else [])]
        address = f"https://localhost:{world.gate.port}{path}"
        done = subprocess.run(["curl", *options, *tls, *shown, *said, address], capture_output=True, check=True)
        status, *lines = done.stdout.decode().split("\r\n")[:-2]
        headers: dict[str, str] = {}
        for line in lines:
            name, value = line.split(": ", 1)
            headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
        assert status.split(" ")[0] == f"HTTP/{request.param}"
        return Got(int(status.split(" ")[1]), headers, next(iter(world.recorder.marked(one)), None))

    return curl


def test_fields_of_requests_are_set_added_and_removed(ask: Ask) -> None:
    got = ask("/fields/x", "X-Tenant: evil", "X_Tenant: evil", "X-Hops: mine", "x.debug: 1", "Cookie: a=b", "X-Kept: 1")
    assert got.request
    assert got.request.values("x-tenant") == ["north"]
    assert got.request.values("x-hops") == ["mine", "gate"]
    assert got.request.values("cookie") == ["only=this"]
    assert got.request.values("x-kept") == ["1"]
    assert not {name for name, _ in got.request.headers} & {"x_tenant", "x.debug", "X_Tenant"}
    assert got.request.values("mutualgate-client") == ["alice"]


def test_a_connection_field_does_not_remove_what_a_rule_sets(world: World) -> None:
    one = mark()
    with world.gate.open(world.alice) as connection:
        connection.request("/fields/x", [("Connection", "x-tenant, x-hops"), ("X-Mark", one)])
    (request,) = world.recorder.marked(one)
    assert request.values("x-tenant") == ["north"]
    assert request.values("x-hops") == ["gate"]


def test_trailers_do_not_bring_back_what_a_rule_removes(world: World) -> None:
    one = mark()
    with Connection.open(world.gate.port, world.gate.context(world.alice, alpn=("h2",))) as connection:
        fields = [("x-mark", one), ("te", "trailers")]
        trailers = [("x-tenant", "evil"), ("x_debug", "1"), ("x-sum", "2")]
        assert H2(connection).request("/fields/x", fields, body=b"x", trailers=trailers, method="POST").status == 200
    (request,) = world.recorder.marked(one)
    assert request.trailers == [("x-sum", "2")]


def test_fields_of_responses_are_set_added_and_removed(ask: Ask) -> None:
    got = ask("/fields/x")
    assert got.status == 200
    assert got.headers["x-frame-options"] == "DENY"
    assert got.headers["link"] == "</a>"
    assert "content-type" not in got.headers
    assert "content-type" in ask("/x").headers


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/api", "/"),
        ("/api?q=/api/x", "/?q=/api/x"),
        ("/api/x?y=z", "/x?y=z"),
        ("/api/%20x/", "/%20x/"),
        ("/apis", "/apis"),
        ("/v1", "/v2/x"),
        ("/v1/y?z", "/v2/x/y?z"),
    ],
)
def test_the_path_begins_anew(ask: Ask, asked: str, sent: str) -> None:
    got = ask(asked)
    assert got.request
    assert got.request.target == sent
    assert got.request.values("x-forwarded-prefix") == (["/api"] if asked.startswith("/api") and sent != asked else [])
    assert got.request.values("host")[0].startswith("localhost:")


def test_a_client_says_nothing_of_the_prefix(ask: Ask) -> None:
    got = ask("/x", "X-Forwarded-Prefix: /evil")
    assert got.request
    assert got.request.values("x-forwarded-prefix") == []


def test_what_is_judged_is_the_path_that_was_asked_for(ask: Ask) -> None:
    for path in ("/api/admin", "/api/admin/x"):
        got = ask(path)
        assert (got.status, got.request) == (403, None)
        assert got.headers["mutualgate-reason"] == "not_granted"
    # No spelling leads around it: what could be read twice is refused, what is left has one reading.
    for path in ("/api//admin", "/api/./admin", "/api/x/../admin", "/api/%61dmin", "/api/admin;x", "/api%2fadmin"):
        got = ask(path)
        assert (got.status, got.request) == (400, None), path


def test_a_redirect_comes_after_the_judge(ask: Ask) -> None:
    got = ask("/moved/a/b?c=d")
    assert (got.status, got.headers["location"]) == (308, "https://www.example.com/new/a/b?c=d")
    assert got.headers["content-length"] == "0"
    assert got.headers["strict-transport-security"] == "max-age=60"
    assert ask("/moved").headers["location"] == "https://www.example.com/new/"
    nobody = ask("/moved/a", identity=None)
    assert nobody.status == 403
    assert "location" not in nobody.headers
    assert ask("/moved/%0d%0aX:y").status == 400


def test_a_redirect_may_lead_to_one_place(ask: Ask) -> None:
    for path in ("/login", "/login/x?y"):
        got = ask(path, identity=None, head=True)
        assert (got.status, got.headers["location"]) == (302, "/app/?from=login")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_is_limited_whether_or_not_its_length_is_known(world: World, announced: bool) -> None:
    """HTTP/1.1: Content-Length or chunked; HTTP/2: content-length or none, which `H2` leaves out."""
    body = b"x" * 1025
    with world.gate.open(world.alice) as connection:
        if announced:
            answer = connection.request("/small/x", method="POST", body=body)
        else:
            chunks = b"401\r\n" + body + b"\r\n0\r\n\r\n"
            connection.send(b"POST /small/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
            answer = connection.response()
        assert (answer.status, answer.reason) == (413, "body_too_large")
    for size, status in ((1024, 200), (1025, 413)):
        with Connection.open(world.gate.port, world.gate.context(world.alice, alpn=("h2",))) as connection:
            fields = [("content-length", str(size))] if announced else []
            answered = H2(connection).request("/small/x", fields, body=body[:size], method="POST")
            assert answered.status == status
            if status == 200:
                assert json.loads(answered.body)["bytes"] == size
    # Many small frames are one long body.
    with Connection.open(world.gate.port, world.gate.context(world.alice, alpn=("h2",))) as connection:
        client = H2(connection)
        head = [(":method", "POST"), (":scheme", "https"), (":path", "/small/x"), (":authority", "localhost")]
        connection.send(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.block(head)))
        for _ in range(103):
            connection.send(h2.frame(h2.DATA, 0, 1, b"0123456789"))
        assert client.answer(1).status == 413


@pytest.mark.parametrize(("path", "status"), [("/early", 405), ("/small/x", 413)])
def test_a_client_that_has_its_answer_early_may_send_a_little_more(world: World, path: str, status: int) -> None:
    """RFC 9113 8.1. Some look at no answer where they are told to stop in the middle of their body."""
    with Connection.open(world.gate.port, world.gate.context(world.alice, alpn=("h2",))) as connection:
        client = H2(connection)
        asked = [(":method", "PUT"), (":scheme", "https"), (":path", path), (":authority", "localhost")]
        stream = client.start(asked)
        client.data(stream, bytes(8000))
        assert client.answer(stream).status == status
        for place in range(20):
            client.data(stream, bytes(8000), end=place == 19)
        client.send(h2.frame(h2.PING, 0, 0, bytes(8)))
        while (frame := client.next())[0] != h2.PING:
            assert frame[0] != h2.RST_STREAM
        # But not for ever.
        stream = client.start(asked)
        client.data(stream, bytes(8000))
        assert client.answer(stream).status == status
        reset = None
        while reset is None:
            client.data(stream, bytes(8000))
            client.send(h2.frame(h2.PING, 0, 0, bytes(8)))
            while (frame := client.next())[0] != h2.PING:
                reset = int.from_bytes(frame[3]) if frame[0] == h2.RST_STREAM else reset
        assert reset == 0  # NO_ERROR
