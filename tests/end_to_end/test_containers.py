"""A real Jetty and a real Tomcat behind the gate: what an ordinary servlet sees, and what its clients see of it."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from end_to_end import java
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.raw import Connection
from end_to_end.refusal import assert_refused
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

MIB = 1 << 20


@dataclass(frozen=True)
class Behind:
    """A gate before a container."""

    gate: Gate
    service: str
    client: Identity


@pytest.fixture(scope="session")
def jetty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    yield from before("jetty", tmp_path_factory.mktemp("jetty"))


@pytest.fixture(scope="session")
def tomcat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    yield from before("tomcat", tmp_path_factory.mktemp("tomcat"))


@pytest.fixture(scope="session")
def tomcat_over_http2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    yield from before("tomcat", tmp_path_factory.mktemp("tomcat-http2"), "h2")


@pytest.fixture(params=["jetty", "tomcat", "tomcat_over_http2"])
def behind(request: pytest.FixtureRequest) -> Behind:
    """Each in turn; all stay up, in whichever order tests run."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Behind)
    return found


def before(kind: str, folder: Path, protocol: str = "http/1.1") -> Iterator[Behind]:
    if problem := java.missing():
        pytest.skip(problem)
    dialects = {"jetty": '["rfc9440", "jetty"]', "tomcat": '["tomcat"]'}[kind]
    with java.container(kind, folder / "container.log") as url:
        sites = f"""
[[upstreams]]
name = "container"
servers = ["{url}"]
protocol = "{protocol}"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "container" }},
    {{ path = "/ws", upstream = "{url}" }},
    {{ path = "/public", upstream = "container", client_certificate = "off" }},
    {{ path = "/admin", upstream = "container", roles = ["admin"] }},
    {{ path = "/certificate", upstream = "container", identity = {dialects} }},
    {{ path = "/token", upstream = "container", identity = ["jwt"] }},
]
"""
        with running_gate(folder / "gate", sites) as gate:
            yield Behind(gate, url, gate.client("visitor"))


def test_the_servlet_is_told_who_the_client_is(behind: Behind) -> None:
    seen = behind.gate.get("/hello?q=1", behind.client).json()
    headers = {name.lower(): values for name, values in seen["headers"].items()}
    assert seen["server"].lower().startswith(("jetty/12.1", "apache tomcat/11.0"))
    assert (seen["method"], seen["uri"], seen["query"]) == ("GET", "/hello", "q=1")
    assert headers["mutualgate-client"] == ["visitor"]
    assert headers["mutualgate-verdict"] == ["admitted"]
    assert headers["client-cert"][0].startswith(":MII")


def test_the_container_knows_the_certificate_as_if_it_had_spoken_tls(behind: Behind) -> None:
    """By Tomcat's SSLValve, and by Jetty's ForwardedRequestCustomizer and the customizer of docs/howto."""
    with behind.gate.open(behind.client) as connection:
        seen = connection.request("/certificate").json()
        cipher = connection.tls.cipher()
    der = behind.client.leaf().public_bytes(Encoding.DER)
    assert cipher is not None
    assert seen["sha256"] == hashlib.sha256(der).hexdigest()
    assert "CN=visitor" in seen["subject"]
    assert seen["cipher"] == cipher[0]
    assert seen["key_bits"] == str(cipher[2])
    assert len(seen["session"]) == 32


def test_the_customizer_that_was_tried_is_the_one_of_the_page() -> None:
    page = Path(__file__).parents[2] / "docs/howto/tell-the-service.md"
    assert (java.SOURCES / "jetty/ClientCertCustomizer.java").read_text() in page.read_text()


def test_nimbus_verifies_the_token_by_the_published_keys(behind: Behind) -> None:
    keys = f"http://127.0.0.1:{behind.gate.plain_port}/.well-known/mutualgate/jwks.json"
    seen = behind.gate.get(f"/token?keys={keys}", behind.client).json()
    assert seen["good"] is True
    assert (seen["claims"]["client"], seen["claims"]["aud"], seen["claims"]["iss"]) == ("visitor", "main", "mutualgate")


def test_without_a_certificate_there_is_the_page(behind: Behind) -> None:
    assert_refused(behind.gate.get("/hello"), "no_certificate")
    page = behind.gate.get("/hello", None, [("Accept", "text/html")])
    assert page.status == 403
    assert "certificate" in page.body.decode()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_100_mib_go_up(version: str, chunked: bool, behind: Behind, tmp_path: Path) -> None:
    body = tmp_path / "body"
    piece = hashlib.sha256(b"piece").digest() * (MIB // 32)
    digest = hashlib.sha256()
    with body.open("wb") as file:
        for _ in range(100):
            file.write(piece)
            digest.update(piece)
    # curl sends what it reads from a pipe chunked.
    how = ["-T", "-"] if chunked else ["--data-binary", f"@{body}"]
    answer = json.loads(_curl(behind, "/upload", version, *how, body=body))
    assert answer["bytes"] == 100 * MIB
    assert answer["sha256"] == digest.hexdigest()
    if not chunked:
        assert answer["content_length"] == str(100 * MIB)


def test_the_service_sees_a_chunked_body_chunked(behind: Behind) -> None:
    with behind.gate.open(behind.client) as connection:
        head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n")
        answer = connection.response().json()
    assert answer["bytes"] == 5
    assert answer["sha256"] == hashlib.sha256(b"abcde").hexdigest()
    assert answer["content_length"] is None


def test_the_continuation_is_asked_for(behind: Behind) -> None:
    with behind.gate.open(behind.client) as connection:
        connection.send(
            b"POST /upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert connection.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        connection.send(b"abc")
        assert connection.response().json()["bytes"] == 3


def test_a_chunked_answer_comes_down_whole(behind: Behind) -> None:
    expected = "".join(f"line {number}\n" for number in range(100)).encode()
    assert behind.gate.get("/chunked", behind.client).body == expected
    assert _curl(behind, "/chunked", "--http2").encode() == expected


@pytest.mark.parametrize("status", [404, 500, 410, 503])
def test_the_service_s_own_errors_pass_unchanged(status: int, behind: Behind) -> None:
    port = int(behind.service.rsplit(":", 1)[1])
    with Connection.plain(port) as connection:
        direct = connection.request(f"/status/{status}", host="localhost")
    through = behind.gate.get(f"/status/{status}", behind.client)
    assert through.status == direct.status == status
    # Jetty's page has the address in it, and knows by which one the client came.
    address = re.compile(rb"https?://localhost(:[0-9]+)?/")
    assert address.sub(b"/", through.body) == address.sub(b"/", direct.body)
    assert through.header("content-type") == direct.header("content-type")


def test_events_arrive_as_they_are_sent(behind: Behind) -> None:
    """The service sends one a second: who buffers shows none for long."""
    with behind.gate.open(behind.client) as connection:
        connection.send(b"GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        head = connection.until(b"\r\n\r\n")
        assert b"text/event-stream" in head
        connection.until(b"data: event 0\n\n")
        connection.until(b"data: event 1\n\n")


def test_a_websocket_echoes(behind: Behind) -> None:
    tls = behind.gate.context(behind.client)
    with connect(f"wss://localhost:{behind.gate.port}/ws", ssl=tls) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        socket.send(b"\x00\xff" * 500_000)
        assert socket.recv() == b"\x00\xff" * 500_000
        socket.send("who")
        assert socket.recv() == "visitor"


def test_a_websocket_without_a_certificate_is_refused(behind: Behind) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"wss://localhost:{behind.gate.port}/ws", ssl=behind.gate.context())
    assert caught.value.response.status_code == 403


def test_a_websocket_is_cut_when_its_client_is_revoked(behind: Behind) -> None:
    identity = behind.gate.client("leaver")
    with connect(f"wss://localhost:{behind.gate.port}/ws", ssl=behind.gate.context(identity)) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        behind.gate.command("client", "revoke", "leaver")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


# Spellings of /admin/secret in which Tomcat, asked directly, serves its /admin to everybody.
CONFUSING = [
    "/public/..;/admin/secret",
    "/public/;x/../admin/secret",
    "/public/%2e%2e/admin/secret",
    "/public/%2e%2e;x/admin/secret",
    "/public/../admin/secret",
    "/admin;x/secret",
    "/%61dmin/secret",
    "//admin/secret",
    "/./admin/secret",
    "/public/..%2fadmin/secret",
    "/public\\..\\admin\\secret",
]


@pytest.mark.parametrize("path", CONFUSING)
@pytest.mark.parametrize("who", ["stranger", "visitor"])
def test_no_spelling_reaches_what_a_route_protects(path: str, who: str, behind: Behind) -> None:
    with behind.gate.open(behind.client if who == "visitor" else None) as connection:
        response = connection.request(path)
    assert response.status == 400
    assert b'"servlet":"admin"' not in response.body


def test_the_container_alone_would_have_served_some_of_them(behind: Behind) -> None:
    """The control: what the rule on paths is there for."""
    served = []
    for path in CONFUSING:
        with Connection.plain(int(behind.service.rsplit(":", 1)[1])) as connection:
            if b'"servlet":"admin"' in connection.request(path).body:
                served.append(path)
    assert "/admin;x/secret" in served


def test_a_slow_answer_holds_up_nobody_else(behind: Behind) -> None:
    with behind.gate.open(behind.client) as slow, behind.gate.open(behind.client) as quick:
        slow.send(b"GET /slow?ms=1500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        began = time.monotonic()
        assert quick.request("/hello").status == 200
        assert time.monotonic() - began < 1.4
        assert slow.response().status == 200


def _curl(behind: Behind, path: str, *arguments: str, body: Path | None = None) -> str:
    command = ["curl", "-sS", "--cacert", str(behind.gate.root), "--cert", str(behind.client.certificate)]
    command += ["--key", str(behind.client.key), *arguments, f"https://localhost:{behind.gate.port}{path}"]
    with (body or Path("/dev/null")).open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout
