"""What is no HTTP, behind the same judge: bytes of who may pass go to the service and back, nobody else's."""

import contextlib
import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from end_to_end import forge
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.process import free_port
from end_to_end.servers import Server

SECONDS = 20
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
STARTUP = struct.pack("!II", 8, 196608)


class Echo(Server):
    """Says back what it hears, and at its end how much that was."""

    def __init__(self) -> None:
        super().__init__()
        self.met = 0
        self.ended: list[int] = []

    def meet(self, peer: socket.socket) -> None:
        self.met += 1
        heard, mute = 0, False
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                heard += len(data)
                if data.endswith(b"cut\n"):
                    return  # as if nothing more were to be said
                if data.endswith(b"end\n") and isinstance(peer, ssl.SSLSocket):
                    peer.unwrap()
                    return
                if data.endswith(b"bye\n"):
                    peer.shutdown(socket.SHUT_WR)
                    mute = True
                elif not mute:
                    peer.sendall(data)
            self.ended.append(heard)
            peer.sendall(b"all %d" % heard)


class SecuredEcho(Echo):
    """The same within TLS, which it ends only where it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.authority = forge.authority(folder)
        own = forge.leaf(folder, self.authority, "echo", usages=None, alternative_names=[x509.DNSName("echo.test")])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own.certificate, own.key)
        self._context.set_alpn_protocols(["http/1.1", "h2", "postgresql"])
        self.protocols: list[str | None] = []

    def meet(self, peer: socket.socket) -> None:
        with self._context.wrap_socket(peer, server_side=True, suppress_ragged_eofs=False) as tls:
            self.protocols.append(tls.selected_alpn_protocol())
            super().meet(tls)

    def pool(self) -> str:
        """It as an upstream."""
        return f"""
[[upstreams]]
name = "secured"
servers = ["tls://{self.address}"]
[upstreams.tls]
ca_file = "{self.authority.certificate_file}"
server_name = "echo.test"

[[sites]]
name = "secured"
hosts = ["secured.test"]
on_refusal = "alert"
routes = [{{ path = "/", upstream = "secured", roles = ["ops"] }}]
"""


def sites(echo: str) -> str:
    return f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "demo" }}]

[[sites]]
name = "raw"
hosts = ["raw.test"]
on_refusal = "alert"
routes = [{{ path = "/", upstream = "tcp://{echo}", roles = ["ops"] }}]

[[sites]]
name = "closing"
hosts = ["closing.test"]
on_refusal = "close"
routes = [{{ path = "/", upstream = "tcp://{echo}", roles = ["ops"] }}]

[[sites]]
name = "gone"
hosts = ["gone.test"]
on_refusal = "close"
routes = [{{ path = "/", upstream = "tcp://127.0.0.1:{free_port()}" }}]
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with Echo() as made:
        yield made


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredEcho]:
    with SecuredEcho(tmp_path_factory.mktemp("secured")) as made:
        yield made


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, echo: Echo, secured: SecuredEcho) -> Iterator[Gate]:
    text = sites(echo.address) + secured.pool()
    with running_gate(tmp_path_factory.mktemp("streams") / "gate", text) as gate:
        yield gate


@pytest.fixture(scope="module")
def anna(gate: Gate) -> Identity:
    return gate.client("anna", "ops")


@pytest.fixture(scope="module")
def bert(gate: Gate) -> Identity:
    """A client, but not of the role."""
    return gate.client("bert")


def dial(
    gate: Gate, identity: Identity | None, name: str = "raw.test", version: ssl.TLSVersion | None = None
) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", gate.port), SECONDS)
    try:
        return gate.context(identity, version=version).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def hello(gate: Gate, identity: Identity | None, version: ssl.TLSVersion) -> bytes:
    with dial(gate, identity, version=version) as tls:
        tls.sendall(b"hello")
        return read(tls, 5)


def read_all(tls: ssl.SSLSocket) -> bytes:
    said = b""
    while data := tls.recv(65536):
        said += data
    return said


def read(tls: ssl.SSLSocket, length: int) -> bytes:
    said = b""
    while len(said) < length and (data := tls.recv(length - len(said))):
        said += data
    return said


def echoed(tls: ssl.SSLSocket, much: bytes) -> bytes:
    """Says more than all buffers on the way hold, and reads meanwhile what comes back, as much as was said.

    In one thread: an SSLSocket that one thread reads while another writes may end early.
    """
    said, heard, deadline = 0, bytearray(), time.monotonic() + SECONDS
    tls.setblocking(False)
    while len(heard) < len(much) and time.monotonic() < deadline:
        select.select([tls], [tls] if said < len(much) else [], [], 1)
        if said < len(much):
            with contextlib.suppress(ssl.SSLWantWriteError):
                said += tls.send(much[said : said + 65536])
        with contextlib.suppress(ssl.SSLWantReadError):
            while len(heard) < len(much):
                if not (data := tls.recv(len(much) - len(heard))):
                    return bytes(heard)
                heard += data
    tls.settimeout(SECONDS)
    return bytes(heard)


def is_over(tls: ssl.SSLSocket) -> bool:
    """Waits until the other side has ended it, in whatever way."""
    try:
        return tls.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def lines(gate: Gate, site: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in gate.program.text().splitlines() if line.startswith('{"at"')]
    return [line for line in found if line.get("site") == site]


def until_line(gate: Gate, site: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    gate.program.wait_for(lambda: any(fits(line) for line in lines(gate, site)))
    return next(line for line in lines(gate, site) if fits(line))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_clients_bytes_go_through_and_back_and_are_counted(
    gate: Gate, echo: Echo, anna: Identity, version: ssl.TLSVersion
) -> None:
    much = bytes(range(256)) * (4096 + version)
    with dial(gate, anna, version=version) as tls:
        assert tls.selected_alpn_protocol() is None
        assert echoed(tls, much) == much
    line = until_line(gate, "raw", lambda line: line["bytes_in"] == len(much))
    assert line["client"] == "anna"
    assert line["verdict"] == "admitted"
    assert (line["method"], line["path"], line["protocol"], line["status"]) == ("CONNECT", "/", "TCP", 200)
    assert line["bytes_out"] >= len(much)
    assert line["upstream"] == f"tcp://{echo.address}"
    assert line["ms"] > 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_who_may_not_pass_gets_an_alert(
    gate: Gate, echo: Echo, anna: Identity, bert: Identity, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    met = echo.met
    eve = forge.self_signed(tmp_path, "eve")
    for who, alert in ((None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"), (eve, "UNKNOWN_CA"), (bert, "ACCESS_DENIED")):
        with pytest.raises(ssl.SSLError, match=alert):
            hello(gate, who, version)
    assert hello(gate, anna, version) == b"hello"
    assert echo.met == met + 1


def test_or_nothing_at_all_and_the_log_says_why(
    gate: Gate, echo: Echo, anna: Identity, bert: Identity, tmp_path: Path
) -> None:
    met = echo.met
    for who in (None, forge.self_signed(tmp_path, "eve"), bert):
        with dial(gate, who, "closing.test") as tls:
            assert is_over(tls)
    assert echo.met == met
    line = until_line(gate, "closing", lambda line: line["verdict"] == "refused")
    assert (line["reason"], line["status"]) == ("not_granted", 403)
    assert "refusal" in line
    with dial(gate, anna, "closing.test") as tls:
        tls.sendall(b"hello")
        assert read(tls, 5) == b"hello"


def test_a_session_is_not_resumed_since_only_a_handshake_can_refuse(gate: Gate, anna: Identity) -> None:
    context = gate.context(anna, version=ssl.TLSVersion.TLSv1_3)
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", gate.port), SECONDS), server_hostname="raw.test"
    ) as tls:
        tls.sendall(b"hello")
        assert read(tls, 5) == b"hello"
        assert tls.session is None or not tls.session.has_ticket


def test_an_open_connection_is_cut_when_its_client_may_no_longer_pass(gate: Gate, anna: Identity) -> None:
    carl, dora = gate.client("carl", "ops"), gate.client("dora", "ops")
    with dial(gate, carl) as his, dial(gate, dora) as hers, dial(gate, anna) as other:
        for tls in (his, hers, other):
            tls.sendall(b"one")
            assert read(tls, 3) == b"one"
        gate.command("client", "revoke", "carl", "--reason", "keyCompromise")
        assert is_over(his)
        gate.command("client", "roles", "dora", "--remove", "ops")
        assert is_over(hers)
        other.sendall(b"two")
        assert read(other, 3) == b"two"


@pytest.mark.parametrize("site", ["raw.test", "secured.test"])
def test_the_end_of_what_a_client_says_is_passed_on(gate: Gate, anna: Identity, site: str) -> None:
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = gate.context(anna, alpn=()).wrap_bio(come, go, server_hostname=site)
    with socket.create_connection(("127.0.0.1", gate.port), SECONDS) as plain:

        def do(step: Callable[[], bytes | None]) -> bytes:
            while True:
                try:
                    return step() or b""
                except ssl.SSLWantReadError:
                    plain.sendall(go.read())
                    come.write(plain.recv(65536))

        do(tls.do_handshake)
        tls.write(b"x" * 1000)
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()  # says close_notify; the gate has not
        plain.sendall(go.read())
        said = b""
        while not said.endswith(b"all 1000"):
            said += do(lambda: tls.read(65536))
    assert said == b"x" * 1000 + b"all 1000"


def test_the_end_of_what_the_service_says_is_passed_on(gate: Gate, echo: Echo, anna: Identity) -> None:
    with dial(gate, anna) as tls:
        tls.sendall(b"bye\n")
        assert read_all(tls) == b""
        tls.sendall(b"y" * 5000)
        tls.sendall(b"z")
    gate.program.wait_for(lambda: 5005 in echo.ended)


def test_a_service_behind_tls_is_offered_no_protocol(gate: Gate, secured: SecuredEcho, anna: Identity) -> None:
    """One that reads the offer would end the handshake: what the client speaks is not known (RFC 7301 3.2)."""
    with dial(gate, anna, "secured.test") as tls:
        tls.sendall(b"x" * 1_000_000)
        assert read(tls, 1_000_000) == b"x" * 1_000_000
    assert set(secured.protocols) == {None}


@pytest.mark.parametrize("last", [b"end\n", b"cut\n"])
def test_what_is_cut_short_on_the_way_from_the_service_does_not_end_well_for_the_client(
    gate: Gate, secured: SecuredEcho, anna: Identity, last: bytes
) -> None:
    """RFC 8446 6.1: an end without close_notify may be somebody else's."""
    with socket.create_connection(("127.0.0.1", gate.port), SECONDS) as plain:
        context = gate.context(anna, alpn=())
        with context.wrap_socket(plain, server_hostname="secured.test", suppress_ragged_eofs=False) as tls:
            tls.sendall(b"one")
            assert read(tls, 3) == b"one"
            tls.sendall(last)
            if last == b"end\n":
                assert tls.recv(1) == b""
            else:
                with pytest.raises((ssl.SSLEOFError, ConnectionError)):
                    tls.recv(1)


def test_a_service_that_cannot_be_reached_is_a_close_that_is_counted(gate: Gate, anna: Identity) -> None:
    with dial(gate, anna, "gone.test") as tls:
        assert is_over(tls)
    line = until_line(gate, "gone", lambda _: True)
    assert (line["client"], line["verdict"], line["status"]) == ("anna", "admitted", 503)


def test_no_request_of_another_site_reaches_it(gate: Gate, echo: Echo, anna: Identity) -> None:
    met = echo.met
    with gate.open(anna) as connection:
        assert connection.request("/", host="raw.test").status == 421
    assert echo.met == met


def test_a_connection_without_a_byte_is_closed(tmp_path: Path, echo: Echo) -> None:
    with running_gate(tmp_path / "gate", sites(echo.address), '[gate.timeouts]\nstream_idle = "300ms"\n') as gate:
        with dial(gate, gate.client("anna", "ops")) as tls:
            tls.sendall(b"hello")
            assert read(tls, 5) == b"hello"
            assert is_over(tls)


def test_when_the_gate_stops_what_is_open_goes_on_for_the_drain_and_then_is_cut(tmp_path: Path, echo: Echo) -> None:
    with running_gate(tmp_path / "gate", sites(echo.address), '[gate.timeouts]\ndrain = "2s"\n') as gate:
        with dial(gate, gate.client("anna", "ops")) as tls:
            tls.sendall(b"one")
            assert read(tls, 3) == b"one"
            gate.program.process.terminate()
            gate.program.wait_for(lambda: not accepts(gate.port))
            tls.sendall(b"two")
            assert read(tls, 3) == b"two"
            assert is_over(tls)
        assert gate.program.process.wait(SECONDS) == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# How clients of PostgreSQL begin.


@pytest.fixture(scope="module")
def pg_gate(tmp_path_factory: pytest.TempPathFactory, echo: Echo) -> Iterator[Gate]:
    """As if there were a database: what follows TLS is passed on unread."""
    text = sites(echo.address).replace('"tcp:', '"postgresql:')
    timeouts = '[gate.timeouts]\nhandshake = "2s"\n'
    with running_gate(tmp_path_factory.mktemp("begin") / "gate", text, timeouts) as gate:
        yield gate


@pytest.fixture(scope="module")
def emil(pg_gate: Gate) -> Identity:
    return pg_gate.client("emil", "ops")


def begin(gate: Gate) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gate.port), SECONDS)


def said(plain: socket.socket) -> bytes:
    """All until the end."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while data := plain.recv(4096):
            answer += data
    return answer


@pytest.mark.parametrize("asked", [(), (SSL_REQUEST,), (GSSENC_REQUEST, SSL_REQUEST)], ids=["tls", "ssl", "gss-ssl"])
def test_tls_begins_as_postgresql_asks_for_it_or_at_once(
    pg_gate: Gate, emil: Identity, asked: tuple[bytes, ...]
) -> None:
    plain = begin(pg_gate)
    for message in asked:
        plain.sendall(message)
        assert plain.recv(1) == (b"S" if message == SSL_REQUEST else b"N")
    context = pg_gate.context(emil, alpn=("postgresql",))
    with context.wrap_socket(plain, server_hostname="raw.test") as tls:
        assert tls.selected_alpn_protocol() == "postgresql"
        tls.sendall(b"hello")
        assert read(tls, 5) == b"hello"


def test_beside_it_http_is_as_ever(pg_gate: Gate, emil: Identity) -> None:
    assert pg_gate.get("/hello", emil).status == 200


@pytest.mark.parametrize(
    "message", [STARTUP, GSSENC_REQUEST * 2, struct.pack("!II", 9, 80877103), bytes(8)], ids=range(4)
)
def test_who_wants_no_tls_is_told_so(pg_gate: Gate, echo: Echo, message: bytes) -> None:
    met = echo.met
    with begin(pg_gate) as plain:
        plain.sendall(message)
        answer = said(plain).removeprefix(b"N")
    assert answer[:1] == b"E"
    assert struct.unpack("!I", answer[1:5])[0] == len(answer) - 1
    assert b"TLS" in answer
    assert echo.met == met


def test_bytes_in_the_clear_are_never_taken_for_what_came_through_tls(pg_gate: Gate, emil: Identity) -> None:
    """CVE-2021-23214: what is said right after the request for TLS."""
    with begin(pg_gate) as plain:
        plain.sendall(SSL_REQUEST + b"hello")
        assert plain.recv(1) == b"S"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            pg_gate.context(emil).wrap_socket(plain, server_hostname="raw.test")


@pytest.mark.parametrize("part", [b"\0", SSL_REQUEST[:7], SSL_REQUEST], ids=["one", "seven", "asked"])
def test_who_begins_and_says_no_more_has_the_time_of_a_handshake(pg_gate: Gate, part: bytes) -> None:
    with begin(pg_gate) as plain:
        plain.sendall(part)
        assert said(plain) == (b"S" if part == SSL_REQUEST else b"")


def test_without_such_a_site_these_bytes_are_no_tls(gate: Gate) -> None:
    with begin(gate) as plain:
        plain.sendall(SSL_REQUEST)
        assert b"S" not in said(plain)
