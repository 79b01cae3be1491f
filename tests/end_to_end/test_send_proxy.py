"""Servers that are told the client's address by a PROXY header: what they get, and that nobody's is another's."""

import shutil
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from end_to_end import forge, h2, raw
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate, up
from end_to_end.peers import APACHE, NGINX
from end_to_end.process import answers, free_port, running
from end_to_end.servers import Server

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/bin")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PP2_AUTHORITY, PP2_SSL, PP2_CLIENT_NAME = 0x02, 0x20, 0xE0
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
LOCAL = {"v1": b"PROXY UNKNOWN\r\n", "v2": SIGNATURE + b"\x20\0\0\0"}
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SECONDS = 20


@dataclass(frozen=True)
class Header:
    """What a connection began with. `remarks` are the TLVs of version 2, and those in the one about TLS."""

    source: tuple[str, int] | None
    destination: tuple[str, int] | None
    remarks: dict[int, bytes] = field(default_factory=dict)
    tls: dict[int, bytes] = field(default_factory=dict)
    flags: int = 0
    verify: int = 0


def tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        found[kind] = data[3 : 3 + length]
        data = data[3 + length :]
    return found


def read_header(peer: socket.socket) -> Header:
    """Reads one header and not a byte more."""
    start = exactly(peer, 12)
    if start == SIGNATURE:
        command, family, length = struct.unpack("!BBH", exactly(peer, 4))
        rest = exactly(peer, length)
        if command == 0x20:
            return Header(None, None)
        assert command == 0x21
        kind, size = (socket.AF_INET, 4) if family == 0x11 else (socket.AF_INET6, 16)
        ports = struct.unpack("!HH", rest[2 * size : 2 * size + 4])
        remarks = tlvs(rest[2 * size + 4 :])
        about_tls = remarks.get(PP2_SSL, bytes(5))
        return Header(
            (socket.inet_ntop(kind, rest[:size]), ports[0]),
            (socket.inet_ntop(kind, rest[size : 2 * size]), ports[1]),
            remarks,
            tlvs(about_tls[5:]),
            *struct.unpack("!BI", about_tls[:5]),
        )
    line = start
    while not line.endswith(b"\r\n"):
        line += exactly(peer, 1)
    words = line.decode().split()
    if words[1] == "UNKNOWN":
        return Header(None, None)
    return Header((words[2], int(words[4])), (words[3], int(words[5])))


def exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Service(Server):
    """Speaks HTTP/1.1 after a PROXY header; tells in its answer which connection that was, and who the header names.

    A request for `/switch` makes the connection one that echoes; what begins with `echo` and is no HTTP is echoed.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.headers: list[Header] = []
        self.ended: list[int] = []
        self.locals = 0
        self.tls = tls

    def meet(self, peer: socket.socket) -> None:
        header = read_header(peer)
        if header.source is None:
            self.locals += 1
            number = -1
        else:
            self.headers.append(header)
            number = len(self.headers) - 1
        try:
            with self.tls.wrap_socket(peer, server_side=True) if self.tls else peer as stream:
                self.answer(stream, header, number)
        finally:
            self.ended.append(number)

    def answer(self, peer: socket.socket, header: Header, number: int) -> None:
        data = b""
        while more := peer.recv(65536):
            data += more
            if data.startswith(b"echo"):
                peer.sendall(data)
                data = b""
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                if b" /switch" in head:
                    peer.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                    )
                    while more := peer.recv(65536):
                        peer.sendall(more)
                    return
                body = f"{number} {header.source and header.source[1]}".encode()
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def sites(address: str, version: str, more: str = "") -> str:
    return f"""
[[upstreams]]
name = "app"
servers = ["http://{address}"]
send_proxy = "{version}"
{more}

[[upstreams]]
name = "raw"
servers = ["tcp://{address}"]
send_proxy = "{version}"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "app" }},
    {{ path = "/open", upstream = "app", client_certificate = "off" }},
    {{ path = "/direct", upstream = "http://{address}", client_certificate = "off" }},
]

[[sites]]
name = "raw"
hosts = ["raw.test"]
on_refusal = "close"
routes = [{{ path = "/", upstream = "raw" }}]
"""


@dataclass(frozen=True)
class World:
    gate: Gate
    service: Service
    anna: Identity
    bert: Identity
    version: str


@pytest.fixture(scope="module", params=["v1", "v2"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("send-proxy")
    with Service() as service, running_gate(folder / "gate", sites(service.address, request.param)) as gate:
        yield World(gate, service, gate.client("anna"), gate.client("bert"), request.param)


def here(connection: raw.Connection) -> tuple[str, int]:
    address, port = connection.tls.getsockname()
    return str(address), int(port)


def asked(connection: raw.Connection, path: str = "/") -> tuple[int, int]:
    """The number of the connection on which the request came, and the port of the client that its header names."""
    response = connection.request(path)
    assert response.status == 200
    number, port = response.body.split()
    return int(number), int(port)


def test_a_connection_begins_with_the_clients_address(world: World) -> None:
    with world.gate.open(world.anna) as connection:
        number, _ = asked(connection)
        source = here(connection)
        cipher = connection.tls.cipher()
    header = world.service.headers[number]
    assert header.source == source
    assert header.destination == ("127.0.0.1", world.gate.port)
    if world.version == "v2":
        assert header.remarks[PP2_AUTHORITY] == b"localhost"
        assert header.remarks[PP2_CLIENT_NAME] == b"anna"
        assert (header.flags, header.verify) == (0x07, 0)
        assert cipher
        assert header.tls == {SSL_VERSION: b"TLSv1.3", SSL_CN: b"anna", SSL_CIPHER: cipher[0].encode()}


def test_two_clients_are_never_mixed_up_on_a_connection(world: World) -> None:
    with world.gate.open(world.anna) as anna, world.gate.open(world.bert) as bert, world.gate.open() as nobody:
        numbers: dict[int, set[int]] = {}
        for _ in range(5):
            for connection in (anna, bert):
                number, port = asked(connection)
                assert port == here(connection)[1]
                numbers.setdefault(port, set()).add(number)
            assert asked(nobody, "/open")[1] == here(nobody)[1]
        # Each has one of its own, which it goes on with.
        assert [len(used) for used in numbers.values()] == [1, 1]


def test_the_same_client_again_is_another_connection(world: World) -> None:
    numbers = set()
    for _ in range(3):
        with world.gate.open(world.anna) as connection:
            number, port = asked(connection)
            assert port == here(connection)[1]
            numbers.add(number)
    assert len(numbers) == 3
    # And they end with those of the client.
    world.gate.program.wait_for(lambda: numbers <= {*world.service.ended}, 10)


def test_who_is_nobody_on_a_route_does_not_go_on_where_somebody_was(world: World) -> None:
    with world.gate.open(world.anna) as connection:
        as_anna, as_nobody = asked(connection)[0], asked(connection, "/open")[0]
        assert asked(connection)[0] == as_anna
    assert (as_anna == as_nobody) is (world.version == "v1")
    header = world.service.headers[as_nobody]
    if world.version == "v2":
        assert PP2_CLIENT_NAME not in header.remarks
        assert SSL_CN not in header.tls
        assert (header.flags, header.verify) == (0x01, 1)


def test_streams_of_http_2_keep_to_their_client(world: World) -> None:
    with (
        raw.Connection.open(world.gate.port, world.gate.context(world.anna, alpn=("h2",))) as one,
        raw.Connection.open(world.gate.port, world.gate.context(world.bert, alpn=("h2",))) as other,
    ):
        speakers = [(connection, h2.H2(connection)) for connection in (one, other)]
        for _ in range(4):
            for connection, speaker in speakers:
                answered = speaker.request()
                assert answered.status == 200
                assert int(answered.body.split()[1]) == here(connection)[1]


def test_a_websocket_begins_with_it_too(world: World) -> None:
    before = len(world.service.headers)
    with world.gate.open(world.anna) as connection:
        connection.send(
            b"GET /switch HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        said = b""
        while b"\r\n\r\n" not in said:
            said += connection.transport.recv(4096)
        connection.send(b"over it")
        assert connection.transport.recv(4096) == b"over it"
        assert world.service.headers[before].source == here(connection)


def test_what_is_no_http_begins_with_it(world: World) -> None:
    before = len(world.service.headers)
    plain = socket.create_connection(("127.0.0.1", world.gate.port), SECONDS)
    with world.gate.context(world.anna).wrap_socket(plain, server_hostname="raw.test") as tls:
        tls.sendall(b"echo this")
        assert tls.recv(4096) == b"echo this"
        header = world.service.headers[before]
        assert header.source == tls.getsockname()
    if world.version == "v2":
        assert header.remarks[PP2_AUTHORITY] == b"raw.test"
        assert header.remarks[PP2_CLIENT_NAME] == b"anna"
        assert (header.tls[SSL_CN], header.flags, header.verify) == (b"anna", 0x07, 0)


def test_a_certificate_that_a_client_made_itself_lends_no_name(world: World, tmp_path: Path) -> None:
    """Nobody has looked at its CN: it could be that of another client."""
    made = forge.self_signed(tmp_path, "anna")
    world.gate.command("client", "add", f"carl-{world.version}")
    world.gate.command("pin", "add", f"carl-{world.version}", made.certificate)
    with world.gate.open(made) as connection:
        number, _ = asked(connection)
    header = world.service.headers[number]
    if world.version == "v2":
        assert SSL_CN not in header.tls
        assert header.remarks[PP2_CLIENT_NAME] == b"carl-v2"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_health_checks_name_nobody(tmp_path: Path, version: str) -> None:
    health = 'health = { check = "http", path = "/", status = [200], interval = "100ms", rise = 1, fall = 1 }'
    with Service() as service, running_gate(tmp_path / "gate", sites(service.address, version, health)) as gate:
        gate.program.wait_for(lambda: service.locals >= 3)
        rows = gate.command("upstream", "list").json["servers"]
        [server] = [server for server in rows if server["upstream"] == "app"]
        assert server["state"] == "up"
        with gate.open() as connection:
            assert asked(connection, "/open")[1] == here(connection)[1]


def test_behind_a_balancer_it_is_the_client_that_the_balancer_names(tmp_path: Path) -> None:
    settings = 'proxy_protocol_from = ["127.0.0.1"]\n'
    with Service() as service, running_gate(tmp_path / "gate", sites(service.address, "v2"), settings) as gate:
        for line, source, destination in (
            (b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n", ("203.0.113.9", 56324), ("192.0.2.1", 443)),
            (b"PROXY TCP6 2001:db8::9 2001:db8::1 1 443\r\n", ("2001:db8::9", 1), ("2001:db8::1", 443)),
            (b"PROXY UNKNOWN\r\n", None, ("127.0.0.1", gate.port)),
        ):
            plain = socket.create_connection(("127.0.0.1", gate.port), SECONDS)
            plain.sendall(line)
            with raw.Connection(gate.context().wrap_socket(plain, server_hostname="localhost")) as connection:
                number, _ = asked(connection, "/open")
                assert service.headers[number].source == (source or here(connection))
                assert service.headers[number].destination == destination


def test_a_listener_on_all_addresses_says_which_one_it_was(tmp_path: Path) -> None:
    with Service() as service:
        folder, port = tmp_path / "gate", free_port()
        folder.mkdir()
        wanted = sites(service.address, "v1")
        with running_gate(folder, wanted) as gate:
            file = folder / "mutualgate.toml"
            text = file.read_text()
            assert f'listen = ["127.0.0.1:{gate.port}"]' in text
        file.write_text(text.replace(f'listen = ["127.0.0.1:{gate.port}"]', f'listen = ["0.0.0.0:{port}"]', 1))
        with up(folder, port, gate.plain_port, gate.ops_port) as gate:
            plain = socket.create_connection(("127.0.0.2", port), SECONDS)
            with raw.Connection(gate.context().wrap_socket(plain, server_hostname="localhost")) as connection:
                number, _ = asked(connection, "/open")
                assert service.headers[number].destination == ("127.0.0.2", port)


def told(gate: Gate, path: str = "/") -> tuple[list[str], tuple[str, int]]:
    """What a real server says of the client's address, twice on a connection; and what it was."""
    with gate.open() as connection:
        first, second = (connection.request(path).body.decode().split() for _ in range(2))
        assert first == second
        return first, here(connection)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_reads_it(tmp_path: Path, version: str) -> None:
    port = free_port()
    config = tmp_path / "nginx.conf"
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(f"""
daemon off;
pid {tmp_path}/pid;
error_log stderr warn;
events {{}}
http {{
access_log off;
{places}
server {{
listen 127.0.0.1:{port} proxy_protocol;
return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port";
}}
}}
""")
    command: list[str | Path] = [NGINX or "", "-p", tmp_path, "-c", config]
    with running("nginx", command, tmp_path / "nginx.log") as program:
        program.wait_for(lambda: answers(port))
        with running_gate(tmp_path / "gate", of_http(port, version)) as gate:
            said, (address, source) = told(gate)
            assert said == [address, str(source), "127.0.0.1", str(gate.port)]


@pytest.mark.skipif(APACHE is None, reason="Apache httpd is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_apache_reads_it(tmp_path: Path, version: str) -> None:
    port = free_port()
    config = tmp_path / "httpd.conf"
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "headers", "remoteip")
    )
    (tmp_path / "index.html").write_text("here")
    config.write_text(f"""
ServerRoot {tmp_path}
PidFile {tmp_path}/httpd.pid
ErrorLog {tmp_path}/error.log
ServerName localhost
DocumentRoot {tmp_path}
Listen 127.0.0.1:{port}
{modules}
RemoteIPProxyProtocol On
Header set X-Client "expr=%{{REMOTE_ADDR}} %{{REMOTE_PORT}}"
""")
    with running("apache2", [APACHE or "", "-D", "FOREGROUND", "-f", config], tmp_path / "log") as program:
        program.wait_for(lambda: answers(port))
        with (
            running_gate(tmp_path / "gate", of_http(port, version)) as gate,
            gate.open() as connection,
        ):
            for _ in range(2):
                response = connection.request("/index.html")
                assert response.status == 200
                assert (response.header("x-client") or "").split()[0] == here(connection)[0]


@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_reads_it_before_http_and_before_what_is_none(tmp_path: Path, version: str) -> None:
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"""
global
    log stderr format raw local0 warning
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port} accept-proxy
    http-request return content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]"
""")
    with running("haproxy", [HAPROXY or "", "-db", "-f", config], tmp_path / "haproxy.log") as program:
        program.wait_for(lambda: answers(port))
        with running_gate(tmp_path / "gate", of_http(port, version)) as gate:
            said, (address, source) = told(gate)
            assert said[:4] == [address, str(source), "127.0.0.1", str(gate.port)]
            assert said[4:] == (["localhost"] if version == "v2" else [])
            # The same, where the gate does not know that it is HTTP.
            anna = gate.client("anna")
            with raw.Connection.open(gate.port, gate.context(anna), "raw.test") as connection:
                line = connection.request("/").body.decode().split()
                assert line[:2] == [here(connection)[0], str(here(connection)[1])]


def of_http(port: int, version: str, more: str = "") -> str:
    return sites(f"127.0.0.1:{port}", version, more).replace(
        'path = "/", upstream = "app"', 'path = "/", upstream = "app", client_certificate = "off"'
    )


def test_it_comes_before_tls(tmp_path: Path) -> None:
    authority = forge.authority(tmp_path / "ca")
    names = [x509.DNSName("app.internal")]
    server = forge.leaf(
        tmp_path / "server", authority, usages=[ExtendedKeyUsageOID.SERVER_AUTH], alternative_names=names
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.certificate, server.key)
    with Service(tls) as service:
        more = f'tls = {{ ca_file = "{authority.certificate_file}", server_name = "app.internal" }}'
        settings = sites(service.address, "v2", more).replace(
            f"http://{service.address}", f"https://{service.address}", 1
        )
        with running_gate(tmp_path / "gate", settings) as gate, gate.open() as connection:
            for _ in range(2):
                assert asked(connection, "/open") == (0, here(connection)[1])
