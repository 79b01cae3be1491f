"""A real httpd runs what is exported: who gets in, what arrives behind, what is refused."""

import base64
import http.server
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from apache.kit import DAY, Answer, Ca, Httpd, Leaf, Service, ask, free_port
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from mutualgate.apache.export import Authority, Input, export
from mutualgate.apache.names import OF_OTHERS, OURS, common_spellings, spellings
from mutualgate.apache.write import installed, write
from mutualgate.errors import BadInput, Conflict

needs_httpd = pytest.mark.skipif(shutil.which("apache2") is None, reason="no apache2 on this machine")


@dataclass
class Site:
    folder: Path
    root: Ca
    issuing: Ca
    partner: Ca
    alice: Path
    revoked: Path
    service: Service
    httpd: Httpd
    lists: "Lists"
    what: Input

    def ask(self, leaf: Path | None = None, path: str = "/hello", **more: Any) -> Answer:
        return ask(self.httpd.port, self.root, leaf, path, **more)

    def as_alice(self, path: str = "/hello", **more: Any) -> Answer:
        return self.ask(self.alice, path, **more)


class Lists(http.server.ThreadingHTTPServer):
    """Stands for the gate's plain-HTTP listener."""

    def __init__(self) -> None:
        content = self.content = dict[str, bytes]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = content.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if shutil.which("apache2") is None:
        pytest.skip("no apache2 on this machine")
    folder = tmp_path_factory.mktemp("apache")
    root = Ca.root()
    issuing = root.intermediate()
    partner = Ca.root("Partner")
    alice, revoked = issuing.leaf("alice"), issuing.leaf("mallory")
    issuing.revoke(revoked)
    service, lists = Service(), Lists()
    port = free_port()
    program, modules = installed()
    what = Input(
        upstream=service.url,
        directory=PurePosixPath(folder / "out"),
        hosts=("gate.test", "other.test"),
        server_certificate_pem=(server := root.server("gate.test", "other.test")).pem,
        server_key_pem=server.key_pem,
        authorities=(
            Authority(
                "root", root.pem, issues_clients=False, crl_pem=root.crl_pem(), crl_url=f"{lists.url}/crl/root.crl"
            ),
            Authority("issuing", issuing.pem, crl_pem=issuing.crl_pem(), crl_url=f"{lists.url}/crl/issuing.crl"),
            Authority("partner", partner.pem, crl_pem=partner.crl_pem()),
        ),
        listen=f"127.0.0.1:{port}",
        program=program,
        modules_dir=modules,
    )
    write(export(what), folder / "out")
    httpd = Httpd(folder / "out" / "httpd.conf", port)
    try:
        yield Site(
            folder, root, issuing, partner, alice.file(folder), revoked.file(folder), service, httpd, lists, what
        )
    finally:
        httpd.close()
        service.close()
        lists.shutdown()
        lists.server_close()


def test_httpd_finds_no_fault_in_it(site: Site) -> None:
    checked = site.httpd.check()
    assert checked.returncode == 0
    assert "Syntax OK" in checked.stderr
    assert "AH0" not in checked.stderr, "httpd warns"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_of_ours_gets_in(site: Site, version: ssl.TLSVersion) -> None:
    answer = site.as_alice(version=version)
    assert answer.status == 200
    assert answer.line == "GET /hello HTTP/1.1"


def test_a_client_of_another_authority_that_we_trust_gets_in(site: Site) -> None:
    assert site.ask(site.partner.leaf("bob").file(site.folder)).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    "who", ["nobody", "stranger", "same name", "expired", "not yet", "server's", "revoked", "weak key"]
)
def test_others_do_not(site: Site, who: str, version: ssl.TLSVersion) -> None:
    leaves: dict[str, Callable[[], Leaf | Path | None]] = {
        "nobody": lambda: None,
        "stranger": lambda: Ca.root("Somebody").leaf(),
        "same name": lambda: Ca.root("Test issuing").leaf(),
        "expired": lambda: site.issuing.leaf(starts=-9 * DAY, ends=-DAY),
        "not yet": lambda: site.issuing.leaf(starts=DAY),
        "server's": lambda: site.issuing.leaf(usage=ExtendedKeyUsageOID.SERVER_AUTH),
        "revoked": lambda: site.revoked,
        "weak key": lambda: site.issuing.leaf(key=rsa.generate_private_key(65537, 1024)),
    }
    leaf = leaves[who]()
    file = leaf.file(site.folder) if isinstance(leaf, Leaf) else leaf
    if who == "weak key":
        # The client's own TLS would not send it at its default level.
        answer = _s_client(site, file, version)
    else:
        answer = site.ask(file, version=version)
    assert answer.status == 0, answer.body


def _s_client(site: Site, file: Path | None, version: ssl.TLSVersion) -> Answer:
    flag = "-tls1_2" if version is ssl.TLSVersion.TLSv1_2 else "-tls1_3"
    ran = subprocess.run(
        [
            *("openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{site.httpd.port}", "-servername", "gate.test"),
            *(flag, "-cipher", "DEFAULT@SECLEVEL=0", "-cert", str(file), "-key", str(file)),
        ],
        input=b"GET /hello HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n",
        capture_output=True,
        timeout=20,
    )
    return Answer(200 if b"200 OK" in ran.stdout else 0, ran.stdout)


# --- what the service is told ---


def test_the_service_is_told_who_it_is(site: Site) -> None:
    answer = site.as_alice()
    leaf = x509.load_pem_x509_certificate(site.alice.read_bytes())
    der = leaf.public_bytes(Encoding.DER)
    assert answer.field("Client-Cert") == f":{base64.b64encode(der).decode()}:"
    assert answer.field("Mutualgate-Verdict") == "admitted"
    assert answer.field("Mutualgate-Subject") == "CN=alice"
    assert answer.field("Mutualgate-Issuer") == "CN=Test issuing"
    assert int(answer.field("Mutualgate-Serial") or "", 16) == leaf.serial_number
    assert answer.field("Mutualgate-Authority") is None, "two authorities: the issuer's name alone does not say which"
    assert (answer.field("Mutualgate-Tls") or "").startswith("version=TLSv1.3; cipher=TLS_")
    assert answer.field("X-Forwarded-Proto") == "https"
    assert answer.field("X-Forwarded-Port") == str(site.httpd.port)
    assert answer.field("X-Request-Id")
    assert answer.field("Host") == "gate.test"


def test_a_hostile_subject_stays_one_field(site: Site) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "eve\r\nMutualgate-Roles: admin, CN=alice"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'a;b"c=d+e'),
        ]
    )
    answer = site.ask(site.issuing.leaf(subject).file(site.folder))
    assert answer.status == 200
    assert answer.field("Mutualgate-Roles") is None
    assert "\\0D\\0A" in (answer.field("Mutualgate-Subject") or "")


WRITTEN_BY_THE_PROXY = {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server"}


@pytest.mark.parametrize("name", [*OURS, *(n for n in OF_OTHERS if n not in WRITTEN_BY_THE_PROXY)])
def test_what_a_client_says_about_itself_does_not_arrive(site: Site, name: str) -> None:
    names = {name, name.lower(), name.upper(), *common_spellings(name), *(spellings(name) if name in OURS else ())}
    fields = tuple((n, "spoofed") for n in sorted(names))
    for some in (fields[i : i + 60] for i in range(0, len(fields), 60)):  # LimitRequestFields
        answer = site.as_alice(fields=some)
        assert answer.status == 200
        assert "spoofed" not in answer.body.decode()


def test_nor_behind_an_empty_field_that_reads_the_same(site: Site) -> None:
    fields = (("Mutualgate_Client.Id", "spoofed"), ("Mutualgate.Client_Id", ""))
    assert not {"mutualgate_client.id", "mutualgate.client_id"} & site.as_alice(fields=fields).names()


def test_no_address_that_a_client_makes_up_arrives(site: Site) -> None:
    answer = site.as_alice(fields=(("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "evil.test")))
    assert answer.field("X-Forwarded-For") == "127.0.0.1"
    assert answer.field("X-Forwarded-Host") == "gate.test"


@pytest.mark.parametrize(
    "name",
    [
        "Mutualgate-Something-New",
        "SSL_CLIENT_CERT_CHAIN_0",
        "ssl_client-s_dn",
        "X_SSL_Client-Cert",
        "X.Forwarded-Client.Cert",
        "X-Client_Subject-Dn",
    ],
)
def test_a_mixture_that_the_service_may_read_the_same_way_is_refused(site: Site, name: str) -> None:
    assert site.as_alice(fields=((name, "spoofed"),)).status == 400


@pytest.mark.parametrize("name", ["Accept", "X-Api_Version", "If-None-Match", "X-Clientele", "Sec-Fetch-Site"])
def test_other_fields_arrive(site: Site, name: str) -> None:
    assert site.as_alice(fields=((name, "kept"),)).field(name) == "kept"


@pytest.mark.parametrize(
    "name", ["Client-Cert", "mutualgate-verdict", "close, Mutualgate-Subject", "x-forwarded-proto"]
)
def test_a_client_cannot_have_a_field_of_ours_removed(site: Site, name: str) -> None:
    assert site.as_alice(fields=(("Connection", name),)).status == 400
    assert site.as_alice(fields=(("Connection", "close"), ("Connection", name))).status == 400


@pytest.mark.parametrize("value", ["close", "keep-alive", "Keep-Alive, TE", "close , te", ""])
def test_what_clients_need_in_connection_is_taken(site: Site, value: str) -> None:
    answer = site.as_alice(fields=(("Connection", value),))
    assert answer.status == 200
    assert answer.field("Client-Cert")


# --- what may be asked ---


@pytest.mark.parametrize(
    "path",
    [
        "/admin;x/y", "/;/hello", "/hello;", "/a%3bb", "/a%3Bb", "/a\\b", "/a%5cb", "/a%2fb", "/a%2Fb", "//hello",
        "/a//b", "/./hello", "/a/../hello", "/..", "/.", "/a/.", "/a/..", "/a/%2e%2e/b", "/a/.%2e/b", "/%2e/hello",
        "/a%00b", "/a%0ab", "/a%7fb", "/%68ello", "/%7Ehello", "/a%b", "/a%", "/a%zz", "/a%252fb", "/a#b", "/a\x7fb",
        "/caf\xe9", "https://gate.test/a;b", "https://gate.test//a",
    ],
)  # fmt: skip
def test_a_path_with_two_readings_is_refused(site: Site, path: str) -> None:
    assert site.as_alice(path).status in (400, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/hello", "/hello/", "/a/b/c", "/.well-known/x", "/a..b/c", "/...", "/a%20b", "/caf%C3%A9", "/a%5B1%5D",
        "/a:b@c,d", "/q?a=1;b=2&c=%2F..//", "/q?x=\\", "/x?http://y/../z", "/" + "a" * 4000,
    ],
)  # fmt: skip
def test_one_with_one_reading_arrives_as_it_was_sent(site: Site, path: str) -> None:
    assert site.as_alice(path).line == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "trace"])
def test_methods_that_serve_nobody_are_refused(site: Site, method: str) -> None:
    assert site.as_alice(method=method).status in (400, 405, 501)
    assert site.as_alice("gate.test:443", method=method).status in (400, 405, 501)


def test_a_forward_proxy_it_is_not(site: Site) -> None:
    assert site.as_alice("http://192.0.2.1/hello").status == 400
    assert site.as_alice("https://192.0.2.1/hello").status in (400, 421)
    assert site.as_alice("https://gate.test/hello").line == "GET /hello HTTP/1.1"


def test_header_fields_after_the_body_do_not_arrive(site: Site) -> None:
    fields = (("Transfer-Encoding", "chunked"), ("Trailer", "Mutualgate-Roles"), ("Connection", "close"))
    context = ssl.create_default_context(cadata=site.root.pem.decode())
    context.load_cert_chain(site.alice)
    with (
        socket.create_connection(("127.0.0.1", site.httpd.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="gate.test") as connection,
    ):
        head = "POST /hello HTTP/1.1\r\nHost: gate.test\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields)
        connection.sendall(head.encode() + b"\r\n1\r\na\r\n0\r\nMutualgate-Roles: spoofed\r\n\r\n")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert b" 200 " in received.split(b"\r\n")[0]
    assert b"spoofed" not in received


# --- which site ---


def test_the_other_name_of_the_site_is_served(site: Site) -> None:
    assert site.as_alice(host="other.test", sni="other.test").status == 200


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        ("gate.test", "elsewhere.test"),
        ("elsewhere.test", "gate.test"),
        ("elsewhere.test", "elsewhere.test"),
        (None, "gate.test"),
    ],
)
def test_a_name_that_does_not_belong_to_the_site_is_not(site: Site, sni: str | None, host: str) -> None:
    answer = site.as_alice(sni=sni, host=host)
    assert answer.status in (0, 400, 403, 421)


def test_http2_knows_the_same_rules(site: Site) -> None:
    def curl(*arguments: str) -> str:
        base = [
            "curl",
            "-s",
            "--http2",
            "--path-as-is",
            "--cacert",
            str(site.folder / "root.pem"),
            "--cert",
            str(site.alice),
        ]
        base += ["--resolve", f"gate.test:{site.httpd.port}:127.0.0.1", "-w", "\n%{http_version} %{http_code}"]
        (site.folder / "root.pem").write_bytes(site.root.pem)
        return subprocess.run([*base, *arguments], capture_output=True, text=True, timeout=20).stdout

    base = f"https://gate.test:{site.httpd.port}"
    fine = curl("-H", "Mutualgate-Roles: spoofed", f"{base}/hello")
    assert fine.endswith("2 200"), fine
    assert "spoofed" not in fine
    assert "Mutualgate-Verdict" in fine
    assert curl(f"{base}/admin;x/y").endswith("2 400")
    assert "spoofed" not in curl("-H", "mutualgate_roles: spoofed", f"{base}/hello")
    assert curl("-H", "ssl_client-dn: spoofed", f"{base}/hello").endswith("2 400")


def test_websockets_pass(tmp_path: Path) -> None:
    if shutil.which("apache2") is None:
        pytest.skip("no apache2 on this machine")

    def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(connection.request.headers["Mutualgate-Subject"])
        for message in connection:
            connection.send(message)

    ca, port = Ca.root(), free_port()
    server = ca.server("gate.test")
    with serve(echo, "127.0.0.1", 0) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        what = example(
            upstream=f"http://127.0.0.1:{service.socket.getsockname()[1]}",
            directory=PurePosixPath(tmp_path / "out"),
            listen=f"127.0.0.1:{port}",
            server_certificate_pem=server.pem,
            server_key_pem=server.key_pem,
            authorities=(Authority("ours", ca.pem),),
        )
        write(export(what), tmp_path / "out")
        httpd = Httpd(tmp_path / "out/httpd.conf", port)
        try:
            context = ssl.create_default_context(cadata=ca.pem.decode())
            context.load_cert_chain(ca.leaf("alice").file(tmp_path))
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            with connect("wss://gate.test/ws", sock=raw, ssl=context) as client:
                assert client.recv(timeout=10) == "CN=alice"
                client.send("hello")
                assert client.recv(timeout=10) == "hello"
        finally:
            httpd.close()
            service.shutdown()


def test_a_session_is_not_resumed(site: Site) -> None:
    context = ssl.create_default_context(cadata=site.root.pem.decode())
    context.load_cert_chain(site.alice)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session: ssl.SSLSession | None = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", site.httpd.port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="gate.test", session=session) as connection,
        ):
            connection.sendall(b"GET /hello HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n")
            assert b" 200 " in connection.recv(100)
            assert not connection.session_reused
            session = connection.session


def test_only_authorities_that_sign_clients_are_named_to_strangers(site: Site) -> None:
    ran = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{site.httpd.port}", "-servername", "gate.test", "-tls1_2"],
        input=b"",
        capture_output=True,
        timeout=20,
    )
    hints = ran.stdout.decode().partition("Acceptable client certificate CA names\n")[2].partition("\nClient")[0]
    assert hints.splitlines() == ["CN = Test issuing", "CN = Partner"]


# --- revocation ---


def refresh(site: Site, reload: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    if reload is not None:
        environment["MUTUALGATE_RELOAD"] = reload
    return subprocess.run(
        [str(site.folder / "out" / "refresh-crls")], env=environment, capture_output=True, text=True, timeout=60
    )


def publish(site: Site, **lists: x509.CertificateRevocationList | bytes) -> None:
    for name, crl in lists.items():
        site.lists.content[f"/crl/{name}.crl"] = crl if isinstance(crl, bytes) else crl.public_bytes(Encoding.DER)


def test_a_revocation_reaches_the_running_httpd(site: Site) -> None:
    leaf = site.issuing.leaf("carol")
    file = leaf.file(site.folder)
    assert site.ask(file).status == 200
    site.issuing.revoke(leaf)
    publish(site, root=site.root.crl(), issuing=site.issuing.crl())
    ran = refresh(site)
    assert ran.returncode == 0, ran.stderr
    for _ in range(100):  # graceful: the old generation may take the next connection or two
        if (answer := site.ask(file)).status == 0:
            break
        time.sleep(0.1)
    assert answer.status == 0
    assert site.as_alice().status == 200


def test_a_list_that_is_not_to_be_trusted_is_not_taken(site: Site) -> None:
    site.issuing.number += 1
    publish(site, root=site.root.crl(), issuing=site.issuing.crl())
    assert refresh(site, "").returncode == 0
    before = (site.folder / "out/trust/crls.pem").read_bytes()
    current = site.issuing.number
    for wrong, words in (
        (b"<html>no such page</html>", "no revocation list"),
        (Ca.root("Test issuing").crl(), "not signed by this authority"),
        (site.issuing.crl(starts=-9 * DAY, ends=-DAY), "ended at"),
        (replace(site.issuing, number=current - 1, revoked=[]).crl(), "older than the one in force"),
    ):
        publish(site, issuing=wrong)
        ran = refresh(site, "")
        assert ran.returncode == 1
        assert words in ran.stderr
        assert (site.folder / "out/trust/crls.pem").read_bytes() == before
    del site.lists.content["/crl/issuing.crl"]
    ran = refresh(site, "")
    assert ran.returncode == 1
    assert "does not answer" in ran.stderr
    assert (site.folder / "out/trust/crls.pem").read_bytes() == before
    assert not list((site.folder / "out/trust").glob(".*")), "it tidies up"


def test_nothing_new_needs_no_reload(site: Site) -> None:
    site.issuing.number += 1
    publish(site, root=site.root.crl(), issuing=site.issuing.crl())
    mark = site.folder / "reloaded"
    assert refresh(site, f"touch {mark}").returncode == 0
    assert mark.exists()
    mark.unlink()
    assert refresh(site, f"touch {mark}").returncode == 0
    assert not mark.exists()


# --- what is written ---


def example(**changes: Any) -> Input:
    ca = Ca.root()
    server = ca.server("gate.test")
    what = Input(
        upstream="http://127.0.0.1:8080",
        directory=PurePosixPath("/srv/gate"),
        hosts=("gate.test",),
        server_certificate_pem=server.pem,
        server_key_pem=server.key_pem,
        authorities=(Authority("ours", ca.pem),),
    )
    return replace(what, **changes)


def text(what: Input, file: str = "mutualgate.conf") -> str:
    return export(what)[PurePosixPath(file)].decode()


def test_the_same_input_gives_the_same_bytes() -> None:
    what = example()
    assert export(what) == export(what)


@pytest.mark.parametrize(
    ("directive", "times"),
    [
        ("SSLSessionCache none", 1),
        ("SSLSessionTickets Off", 2),
        ("SSLVHostSNIPolicy strict", 1),
        ("SSLStrictSNIVHostCheck On", 2),
        ("StrictHostCheck On", 1),
        ("SSLProtocol -all +TLSv1.2 +TLSv1.3", 2),
        ("SSLVerifyClient require", 2),
        ("HttpProtocolOptions Strict", 1),
        ("TraceEnable Off", 1),
        ("MergeTrailers Off", 1),
        ("AllowEncodedSlashes Off", 1),
        ("ProxyRequests Off", 2),
        ("LimitRequestBody 1073741824", 1),
    ],
)
def test_it_says_itself_what_only_defaults_or_a_second_line_would_hold(directive: str, times: int) -> None:
    lines = [line.strip() for line in text(example()).splitlines()]
    assert lines.count(directive) == times


def test_every_file_that_it_names_is_there() -> None:
    ca = Ca.root()
    authority = Authority("our own", ca.pem, crl_pem=ca.crl_pem(), crl_url="http://127.0.0.1:8480/crl/our%20own.crl")
    files = export(example(authorities=(authority,)))
    for named in ("tls/server.pem", "tls/server.key", "trust/authorities.pem", "trust/names.pem", "trust/crls.pem"):
        assert PurePosixPath(named) in files
        assert f'"${{mutualgate_dir}}/{named}"' in files[PurePosixPath("mutualgate.conf")].decode()
    assert PurePosixPath("trust/authority-our-own.pem") in files
    assert files[PurePosixPath("trust/crl-our-own.pem")] == authority.crl_pem
    assert files[PurePosixPath("refresh-crls")].decode().count("our-own") == 2
    assert all(PurePosixPath(f"mutualgate-crls.{kind}") in files for kind in ("service", "timer", "cron"))


def test_only_those_who_sign_clients_are_named_in_the_handshake() -> None:
    root, issuing = Ca.root(), Ca.root("issuing")
    listed = Authority("issuing", issuing.pem, crl_pem=issuing.crl_pem(), crl_url="http://127.0.0.1:8480/crl/i.crl")
    files = export(example(authorities=(Authority("root", root.pem, issues_clients=False), listed)))
    assert files[PurePosixPath("trust/names.pem")] == issuing.pem
    assert files[PurePosixPath("trust/authorities.pem")] == root.pem + issuing.pem
    assert "crl-root" not in files[PurePosixPath("refresh-crls")].decode(), "it has no list"


def test_where_it_listens_and_where_requests_go() -> None:
    assert "<VirtualHost *:443>" in text(example())
    assert "<VirtualHost 10.0.0.1:8443>" in text(example(listen="10.0.0.1:8443"))
    for upstream in ("http://127.0.0.1:8080/app", "http://127.0.0.1:8080/app/"):
        assert 'ProxyPass "/" "http://127.0.0.1:8080/app/" nocanon' in text(example(upstream=upstream))


def test_every_list_is_looked_at_where_there_are_all() -> None:
    ca = Ca.root()
    assert "    SSLCARevocationCheck chain\n" in text(
        example(authorities=(Authority("a", ca.pem, crl_pem=ca.crl_pem()),))
    )


def test_without_lists_it_says_that_nobody_looks() -> None:
    assert "SSLCARevocationCheck" not in text(example())
    assert "let in until it expires" in text(example())
    assert PurePosixPath("refresh-crls") not in export(example())


def test_a_root_without_a_list_does_not_lock_everybody_out() -> None:
    root, issuing = Ca.root(), Ca.root("issuing")
    what = example(
        authorities=(
            Authority("root", root.pem, issues_clients=False),
            Authority("issuing", issuing.pem, crl_pem=issuing.crl_pem()),
        )
    )
    assert "    SSLCARevocationCheck leaf\n" in text(what)
    adopted = Authority("adopted", Ca.root("adopted").pem)
    what = replace(what, authorities=(*what.authorities, adopted))
    assert "    SSLCARevocationCheck leaf no_crl_for_cert_ok\n" in text(what)
    assert "no_crl_for_cert_ok: adopted came without a list" in text(what)
    assert "no list came with them: adopted" in text(what, "README.txt").replace("\n    ", " ")


def test_one_authority_is_named_to_the_service() -> None:
    assert 'RequestHeader set Mutualgate-Authority "ours"' in text(example())


NAMED = Ca.root()
OTHERWISE = replace(NAMED, certificate=Ca.root("Another name").certificate)
"""The same key under another name."""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"upstream": "https://127.0.0.1:8443"}, "'https' in 'https://127.0.0.1:8443' is not supported"),
        ({"upstream": "127.0.0.1:8080"}, "'no scheme' in '127.0.0.1:8080' is not supported"),
        ({"upstream": "http://127.0.0.1:8080/\nEvil on"}, "no address"),
        ({"upstream": "http://user@127.0.0.1"}, "no address"),
        ({"upstream": "http://127.0.0.1:99999"}, "no address"),
        ({"upstream": "http://[::1"}, "no address"),
        ({"hosts": ()}, "no host name"),
        ({"hosts": ("a b",)}, "no host name"),
        ({"hosts": ("a\nInclude /etc/passwd",)}, "no host name"),
        ({"hosts": ("*.example.org",)}, "pattern"),
        ({"listen": "0"}, "listened"),
        ({"listen": "443\nUser root"}, "listened"),
        ({"directory": PurePosixPath("/srv/a b")}, "as it is"),
        ({"directory": PurePosixPath("here")}, "as it is"),
        ({"directory": PurePosixPath("/srv/${HOME}")}, "as it is"),
        ({"user": "www data"}, "no user"),
        ({"server_certificate_pem": b"nothing"}, "no PEM certificate"),
        ({"server_key_pem": b"nothing"}, "no PEM private key"),
        ({"server_key_pem": Ca.root().leaf().key_pem}, "does not belong"),
        (
            {
                "server_key_pem": Ca.root().key.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
                )
            },
            "encrypted",
        ),
        ({"authorities": ()}, "nobody vouches"),
        ({"authorities": (Authority("a", b"nothing"),)}, "no PEM certificate"),
        ({"authorities": (Authority('a"\nEvil', Ca.root().pem),)}, "cannot be a name"),
        ({"authorities": (Authority("a b", Ca.root().pem), Authority("a-b", Ca.root().pem))}, "share a file"),
        ({"authorities": (Authority("a", Ca.root().pem, crl_pem=b"nothing"),)}, "no PEM revocation list"),
        ({"authorities": (Authority("a", Ca.root().pem, crl_pem=Ca.root().crl_pem()),)}, "not signed"),
        ({"authorities": (Authority("a", NAMED.pem, crl_pem=OTHERWISE.crl_pem()),)}, "not signed"),
        ({"authorities": (Authority("a", Ca.root().pem, crl_url="http://x/$(id)"),)}, "no address"),
        (
            {"authorities": tuple(Authority(f"a{n}", Ca.root("x" * 60 + str(n)).pem) for n in range(220))},
            "each handshake",
        ),
    ],
)
def test_what_cannot_be_written_down_is_said_in_a_sentence(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        export(example(**changes))
    assert caught.value.where


@needs_httpd
def test_it_starts_from_nothing_but_its_folder(tmp_path: Path) -> None:
    what = example(directory=PurePosixPath(tmp_path / "out"), listen=f"127.0.0.1:{free_port()}")
    write(export(what), tmp_path / "out")
    ran = subprocess.run(["apache2", "-t", "-f", str(tmp_path / "out/httpd.conf")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    write(export(example()), tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/tls/server.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out/mutualgate.conf").stat().st_mode) == 0o644


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(Conflict, match="not empty"):
        write(export(example()), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    write(export(example()), tmp_path, force=True)
    assert (tmp_path / "mine").read_text() == "precious"
    assert (tmp_path / "httpd.conf").exists()


def test_a_folder_that_is_a_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BadInput, match="this is a file"):
        write(export(example()), tmp_path / "out")
