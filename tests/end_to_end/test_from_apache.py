"""A real Apache beside a gate whose configuration `import apache` made of Apache's: they do the same with requests."""

import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from end_to_end import forge
from end_to_end.forge import SERVER_AUTH, Identity
from end_to_end.gate import MUTUALGATE, Gate, command, listeners, up
from end_to_end.process import answers, free_port, running
from end_to_end.raw import Connection, Response, context
from end_to_end.servers import Server

APACHE = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
MODULES = (
    "mpm_event", "alias", "authz_core", "headers", "lbmethod_byrequests", "proxy", "proxy_balancer", "proxy_http",
    "reqtimeout", "rewrite", "slotmem_shm", "socache_shmcb", "ssl",
)  # fmt: skip

HTTPD = """
ServerRoot {folder}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
{modules}
RequestReadTimeout header=20-40,MinRate=500 body=20,MinRate=500
Timeout 30
<VirtualHost *:{port}>
    ServerName localhost
    SSLEngine on
    SSLCertificateFile {server.certificate}
    SSLCertificateKeyFile {server.key}
    SSLCACertificateFile {ca}
    SSLCARevocationFile {crl}
    SSLCARevocationCheck leaf
    SSLVerifyClient optional

    RewriteEngine on
    RewriteCond %{{HTTPS}} off
    RewriteRule ^ https://%{{HTTP_HOST}}%{{REQUEST_URI}} [R=301,L]
    RewriteRule ^/moved/(.*)$ https://new.example/there/$1 [R=301,L]
    RewriteRule ^/here(/.*)?$ https://%{{HTTP_HOST}}/old$1 [R,L]
    RewriteRule ^/rewritten/(.*)$ {one}/elsewhere/$1 [P,L]
    RewriteRule ^/shut(/|$) - [F]
    Redirect permanent /old https://new.example/path
    RedirectMatch 307 ^/away(/.*)?$ https://away.example$1

    Header always set X-Frame-Options DENY
    Header set X-One "a b"
    Header set X-Late first
    Header unset X-Gone
    RequestHeader set X-Tenant north
    RequestHeader set X-Who "%{{SSL_CLIENT_S_DN_CN}}s"
    RequestHeader unset X-Debug
    RequestHeader set SSL_CLIENT_S_DN "%{{SSL_CLIENT_S_DN}}s"
    RequestHeader set SSL_CLIENT_VERIFY "%{{SSL_CLIENT_VERIFY}}s"

    <Location /kept>
        SSLVerifyClient require
        RequestHeader set X-Area kept
        Header set X-Late second
    </Location>
    <Location /section>
        ProxyPass {two}/of-a-section
    </Location>
    <Location /section/redirected>
        Redirect 303 https://section.example/x
    </Location>
    <Location /sent>
        RewriteEngine on
        RewriteCond %{{SSL:SSL_CLIENT_VERIFY}} !^SUCCESS$
        RewriteRule ^ https://login.example/ [R,L]
    </Location>
    <LocationMatch ^/matched/>
        ProxyPassMatch {two}
    </LocationMatch>
    <Location /kept/more>
        SSLRequire %{{SSL_CLIENT_S_DN_CN}} in {{"alice", "bob"}}
    </Location>

    {rules}
    ProxyPass /old !
    ProxyPass /away !
    ProxyPass /kept {one}/inside timeout=20
    ProxyPassReverse /kept {one}/inside
    ProxyPass /cut/ {two}/
    ProxyPass /hung/ {two}/deep/er/
    ProxyPass /many balancer://many/pool
    <Proxy balancer://many>
        BalancerMember {one} route=1
        BalancerMember {two} route=2
        ProxySet lbmethod=byrequests
    </Proxy>
    ProxyPass / {one}/
    <Location /late>
        ProxyPass {two}/of-a-late-section
    </Location>
    ProxyPassReverse / {one}/
</VirtualHost>
"""


# Rules about names in certificates, and the role that stands for whom they mean, where one does.
RULES = (
    ('SSLRequire %{SSL_CLIENT_S_DN_O} eq "Acme"', "acme"),
    ('SSLRequire %{SSL_CLIENT_S_DN_O} eq "Acme" and %{SSL_CLIENT_S_DN_OU} in {"Ops", "Dev"}', "acme-ops"),
    ('SSLRequire %{SSL_CLIENT_S_DN} eq "CN=carol,OU=Ops,O=Acme"', "carol"),
    ("Require expr \"%{SSL_CLIENT_S_DN_CN} in {'carol', 'alice'} && %{SSL_CLIENT_S_DN_O} == 'Acme'\"", "carol-acme"),
    ("Require expr %{SSL_CLIENT_I_DN_CN} == 'Estate root'", "estate-root"),
    ("SSLRequire %{SSL_CLIENT_S_DN_CN} =~ m/^(alice|bob)$/", None),
    ("Require expr %{SSL_CLIENT_S_DN_CN} == 'alice' || %{SSL_CLIENT_S_DN_CN} == 'bob'", None),
    ('SSLRequire %{SSL_CLIENT_VERIFY} eq "SUCCESS" and %{SSL_CIPHER_USEKEYSIZE} >= 128', None),
    ("Require all denied", None),
)


@dataclass(frozen=True)
class Asked:
    """A request as a service got it."""

    service: str
    target: str
    fields: dict[str, str]


class Service(Server):
    """Keeps what it is asked, and answers with fields of its own."""

    def __init__(self, name: str, asked: list[Asked]) -> None:
        super().__init__()
        self.name = name
        self.asked = asked

    def meet(self, peer: socket.socket) -> None:
        with peer.makefile("rb") as stream:
            while line := stream.readline():
                rows = iter(stream.readline, b"\r\n")
                pairs = (row.decode().split(":", 1) for row in rows if row)
                fields = {key.lower(): value.strip() for key, value in pairs}
                self.asked.append(Asked(self.name, line.decode().split(" ")[1], fields))
                peer.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Late: the service's\r\nX-Gone: secret\r\n\r\nok"
                )


@dataclass(frozen=True)
class Both:
    gate: Gate
    port: int
    """httpd's."""
    ca: Path
    """Of clients and of the server's certificate, which the gate took over from httpd."""
    asked: list[Asked]
    """By all services, of httpd and of the gate."""
    people: dict[str, Identity | None]
    left: tuple[str, ...]
    """What the import said that it did not carry over: the directives."""

    def ask(self, port: int, target: str, who: str) -> tuple[Response | None, list[Asked]]:
        """What the client got, None when TLS refused it, and what the services got."""
        before = len(self.asked)
        try:
            # httpd shakes hands once more where a path requires what the host does not.
            tls = context(self.ca, self.people[who], version=ssl.TLSVersion.TLSv1_2)
            with Connection.open(port, tls) as connection:
                response = connection.request(target, [("X-Debug", "1"), ("X-Tenant", "south"), ("X-Who", "mallory")])
        except (ssl.SSLError, ConnectionError):
            return None, []
        return response, self.asked[before:]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    if APACHE is None:
        pytest.skip("not installed: apache2 (scripts/install-test-packages.sh)")
    folder = tmp_path_factory.mktemp("from-apache")
    ca = forge.authority(folder / "ca")
    server = forge.leaf(folder / "server", ca, "localhost", usages=[SERVER_AUTH],
                         alternative_names=[x509.DNSName("localhost")])  # fmt: skip
    alice, mallory, revoked = (
        forge.leaf(folder / ("issued" if name == "alice" else "unlisted"), ca, name)
        for name in ("alice", "mallory", "revoked")
    )
    subject = x509.Name.from_rfc4514_string("CN=carol,OU=Ops,O=Acme")
    carol = forge.leaf(folder / "issued", ca, subject=subject)
    crl = folder / "ca.crl"
    der = forge.revocation_list(ca, [revoked.leaf().serial_number])
    crl.write_bytes(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM))
    stranger = forge.leaf(folder / "strangers", forge.authority(folder / "other"), "alice")
    # By a CA below the one that both know, with that CA's certificate: httpd goes no further than SSLVerifyDepth.
    middle = forge.leaf(folder / "below", ca, "middle", ca=True, usages=None)
    key = serialization.load_pem_private_key(middle.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    below = forge.leaf(folder / "below", forge.Authority(middle.leaf(), key, middle.certificate, middle.key), "alice")
    below.certificate.write_bytes(below.certificate.read_bytes() + middle.certificate.read_bytes())
    people = {
        "nobody": None,
        "alice": alice,
        "carol": carol,
        "mallory": mallory,
        "revoked": revoked,
        "stranger": stranger,
        "below": below,
    }
    asked: list[Asked] = []
    with Service("one", asked) as one, Service("two", asked) as two:
        port = free_port()
        config = folder / "httpd.conf"
        modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in MODULES)
        config.write_text(
            HTTPD.format(
                folder=folder, port=port, modules=modules, rules="\n".join(
                    f"<Location /rules/{number}>\n{rule}\n</Location>" for number, (rule, _) in enumerate(RULES)
                ), server=server, ca=ca.certificate_file, crl=crl,
                one=f"http://127.0.0.1:{one.port}", two=f"http://127.0.0.1:{two.port}",
            )
        )  # fmt: skip
        toml = folder / "gate" / "mutualgate.toml"
        toml.parent.mkdir(mode=0o700)
        said = subprocess.run(
            [*MUTUALGATE, "import", "apache", str(config), "--out", str(toml), "--json"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert said.returncode in (0, 1), said.stderr
        imported = json.loads(said.stdout)
        # The gate takes ports of its own, beside httpd.
        ports = free_port(), free_port(), free_port()
        text = toml.read_text().replace(f'listen = ["0.0.0.0:{port}"]', listeners(*ports).partition("\n")[2])
        toml.write_text(text)
        for line in imported["commands"]:
            program, *arguments = shlex.split(line)
            assert program == "mutualgate"
            if arguments[:2] == ["ca", "adopt"]:
                arguments += ["--issued", str(folder / "issued"), "--role", "estate-root"]
            command(toml.parent, *arguments)
        command(toml.parent, "client", "add", "bob")
        with running("apache2", [APACHE, "-D", "FOREGROUND", "-f", config], folder / "log") as httpd:
            httpd.wait_for(lambda: answers(port))
            with up(toml.parent, *ports) as gate:
                left = tuple(one["directive"] for one in imported["left"])
                yield Both(gate, port, ca.certificate_file, asked, people, left)


TARGETS = (
    "/", "/x?y=1", "/missing", "/old", "/old/x?y=1", "/older", "/away", "/away/x?y", "/moved/", "/moved/a/b?c=d",
    "/here", "/here/x?y", "/rewritten/x?y", "/shut", "/shut/x", "/shutter", "/kept", "/kept/x?y=%20", "/kept/more",
    "/kept/more/x", "/cut/x", "/cut/?y", "/hung/x?y", "/many/x",
    "/matched/x?y", "/section/x", "/section/redirected", "/section/redirected/x", "/late", "/late/x",
)  # fmt: skip
REQUEST_FIELDS = ("x-tenant", "x-debug", "x-area", "ssl_client_s_dn", "ssl_client_verify")
RESPONSE_FIELDS = ("x-frame-options", "x-one", "x-late", "x-gone")


def outcome(response: Response | None, asked: list[Asked]) -> object:
    """What counts of an answer; for every refusal the same."""
    if response is None or response.status >= 400:
        assert not asked, "refused, and asked the service all the same"
        return "refused"
    if response.status >= 300:
        assert not asked
        where = urlsplit(response.header("location") or "")
        # RFC 3986 6.2.3: https://a and https://a/ are one. httpd names its own host where the gate names none.
        return response.status, where._replace(netloc=where.netloc.replace("localhost", ""), path=where.path or "/")[1:]
    (one,) = asked
    service = "any" if one.target.startswith("/pool/") else one.service
    # httpd says (null) where the gate says nothing.
    told = {name: one.fields[name] for name in REQUEST_FIELDS if one.fields.get(name, "(null)") != "(null)"}
    return response.status, service, one.target, told, {name: response.header(name) for name in RESPONSE_FIELDS}


@pytest.mark.parametrize("target", TARGETS)
def test_they_do_the_same(target: str, both: Both) -> None:
    for who in ("nobody", "alice", "mallory"):
        assert outcome(*both.ask(both.gate.port, target, who)) == outcome(*both.ask(both.port, target, who)), who


@pytest.mark.parametrize(("number", "role"), [(number, role) for number, (_, role) in enumerate(RULES)])
def test_rules_let_nobody_pass_whom_httpd_refuses_and_all_others_once_they_have_the_role(
    number: int, role: str | None, both: Both
) -> None:
    people = ("nobody", "alice", "carol", "mallory")
    target = f"/rules/{number}/x"
    wanted = {who: outcome(*both.ask(both.port, target, who)) for who in people}
    if role is not None:
        both.gate.command("client", "roles", "carol", "--remove", role)
        both.gate.command("client", "roles", "alice", "--remove", role)
        for who in ("nobody", "alice", "carol"):
            assert outcome(*both.ask(both.gate.port, target, who)) == "refused"
        for who in ("alice", "carol"):
            if wanted[who] != "refused":
                both.gate.command("client", "roles", who, "--add", role)
    assert {who: outcome(*both.ask(both.gate.port, target, who)) for who in people} == wanted


@pytest.mark.parametrize("target", ["/x", "/kept/x", "/kept/more", "/shut", "/old/x"])
def test_a_certificate_that_httpd_takes_for_none_or_refuses_opens_nothing(target: str, both: Both) -> None:
    """httpd ends the handshake; the gate answers as it answers nobody."""
    for who in ("revoked", "stranger", "below"):
        assert outcome(*both.ask(both.port, target, who)) == "refused"
        assert outcome(*both.ask(both.gate.port, target, who)) == outcome(*both.ask(both.gate.port, target, "nobody"))


def test_nobody_says_what_httpd_said_of_them(both: Both) -> None:
    for port, who in ((both.port, "alice"), (both.gate.port, None)):
        _, (one,) = both.ask(port, "/x", "alice")
        assert one.fields.get("x-who") == who


def test_who_is_sent_elsewhere_for_want_of_a_certificate_is_refused(both: Both) -> None:
    response, asked = both.ask(both.port, "/sent/x", "nobody")
    assert (response and response.status, asked) == (302, [])
    assert outcome(*both.ask(both.gate.port, "/sent/x", "nobody")) == "refused"
    assert outcome(*both.ask(both.gate.port, "/sent/x", "alice")) == outcome(*both.ask(both.port, "/sent/x", "alice"))


def test_another_depth_lets_those_pass_who_are_further_below(both: Both) -> None:
    assert outcome(*both.ask(both.gate.port, "/kept/x", "below")) == "refused"
    try:
        both.gate.command("ca", "adopt", "--cert", both.ca, "--depth", "1")
        response, _ = both.ask(both.gate.port, "/kept/x", "below")
        assert response is not None
        assert response.status == 200
    finally:
        both.gate.command("ca", "adopt", "--cert", both.ca, "--depth", "0")


def test_only_what_needs_a_hand_is_left(both: Both) -> None:
    about = [line.split(" http")[0] for line in both.left]
    assert [line for line in about if not any(line == rule for rule, _ in RULES)] == [
        "RewriteRule ^/shut(/|$) - [F]",
        'RequestHeader set X-Who "%{SSL_CLIENT_S_DN_CN}s"',
        "Redirect 303",
        'SSLRequire %{SSL_CLIENT_S_DN_CN} in {"alice", "bob"}',
        "ProxyPassReverse /kept",
    ]
