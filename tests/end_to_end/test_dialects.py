"""In which words a service is told who the client is: byte for byte those of the products that people know.

Expected values come from the products themselves where they are on this machine (nginx, Apache httpd, Envoy), shown the
same certificate, and else from their documentation. Certificates are made by openssl and by pyca/cryptography.
"""

import base64
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier
from end_to_end import forge, peers
from end_to_end.estate import mark
from end_to_end.forge import SERVER_AUTH, Authority, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.raw import Connection, Headers, context
from end_to_end.recorder import Recorded, Recorder

DIALECTS = ["rfc9440", "xfcc", "apache", "nginx", "traefik", "tomcat", "jetty"]


@dataclass(frozen=True)
class Scene:
    """A gate with a route for each dialect, the CA that it adopted, and clients under that CA."""

    gate: Gate
    recorder: Recorder
    folder: Path
    adopted: Authority
    server: Identity
    plain: Identity

    def told(self, dialect: str, identity: Identity | None, headers: Headers = ()) -> Recorded:
        """The request that the service behind `/DIALECT` gets."""
        word = mark()
        response = self.gate.get(f"/{dialect}/{word}", identity, headers)
        assert response.status == 200, response.body
        (request,) = self.recorder.marked(word)
        return request

    def told_by(self, port: int, identity: Identity) -> Recorded:
        """The request that the service behind another proxy gets."""
        word = mark()
        tls = context(self.adopted.certificate_file, identity)
        with Connection.open(port, tls) as connection:
            response = connection.request(f"/{word}")
        assert response.status == 200, response.body
        (request,) = self.recorder.marked(word)
        return request


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("dialects")
    adopted = forge.authority(folder / "adopted", "Example Issuing")
    routes = "".join(
        f'{{ path = "/{dialect}", upstream = "{upstream.url}", identity = ["{dialect}"] }},\n' for dialect in DIALECTS
    )
    several = [dialect for dialect in DIALECTS if dialect != "nginx"]
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
{routes}
{{ path = "/usual", upstream = "{upstream.url}" }},
{{ path = "/none", upstream = "{upstream.url}", identity = [] }},
{{ path = "/all", upstream = "{upstream.url}", identity = {several} }},
{{ path = "/passing", upstream = "{upstream.url}", pass_identity_names = true }},
{{ path = "/optional", upstream = "{upstream.url}", client_certificate = "optional", identity = {several} }},
{{ path = "/optional-nginx", upstream = "{upstream.url}", client_certificate = "optional", identity = ["nginx"] }},
]
"""
    server = forge.leaf(
        folder / "server", adopted, "localhost", usages=[SERVER_AUTH], alternative_names=[x509.DNSName("localhost")]
    )
    with running_gate(folder / "gate", sites) as gate:
        gate.command("ca", "adopt", "--cert", adopted.certificate_file, "--key", adopted.key_file)
        yield Scene(gate, upstream, folder, adopted, server, by_openssl(folder, adopted))


def by_openssl(folder: Path, issuer: Authority) -> Identity:
    """A certificate with every usual kind of name in it, by the openssl command line."""
    files = Identity(folder / "plain.pem", folder / "plain.key")
    subject = "/C=DE/ST=Some State/L=Town/O=Example Ltd/OU=Works/OU=Shop 2/CN=alice/emailAddress=alice@example.com"
    run = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    done = subprocess.run(
        [*run, "-keyout", files.key, "-subj", subject, "-out", folder / "plain.csr"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (folder / "plain.ext").write_text(
        "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n"
        "subjectAltName=DNS:alice.example.com,DNS:two.example.com,email:alice@example.com,IP:192.0.2.7,"
        "URI:spiffe://example.com/alice,URI:https://example.com/a?b=c;d\n"
    )
    out: list[str | Path] = ["-extfile", folder / "plain.ext", "-out", files.certificate]
    sign: list[str | Path] = ["openssl", "x509", "-req", "-in", folder / "plain.csr", "-CA", issuer.certificate_file]
    done = subprocess.run(
        [*sign, "-CAkey", issuer.key_file, "-set_serial", "0x0badcafe00", "-days", "30", *out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return files


def attribute(oid: ObjectIdentifier, value: str, kind: _ASN1Type | None = None) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value, kind, _validate=False)


CN, O, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME  # noqa: E741
NAMES = {
    "separators": x509.Name([attribute(O, 'Example, Inc.; "x" <y>=z'), attribute(CN, "a+b\\c#d")]),
    "edges": x509.Name([attribute(O, " both "), attribute(OU, "#first"), attribute(CN, "x")]),
    "backslash at the end": x509.Name([attribute(O, "Example"), attribute(CN, "x\\")]),
    "not ASCII": x509.Name([attribute(O, "Ångström"), attribute(CN, "Zoë 日本")]),
    "BMPString": x509.Name([attribute(O, "Example", _ASN1Type.T61String), attribute(CN, "Zoë", _ASN1Type.BMPString)]),
    "controls": x509.Name([attribute(CN, "x\r\nMutualgate-Roles: admin\x00\x7f\tend")]),
    "a type without a name": x509.Name(
        [attribute(ObjectIdentifier("1.3.6.1.4.1.99999.1"), "secret"), attribute(CN, "x")]
    ),
    "two in one element": x509.Name(
        [x509.RelativeDistinguishedName([attribute(CN, "guest"), attribute(NameOID.USER_ID, "operator")])]
    ),
    "two common names": x509.Name([attribute(CN, "first"), attribute(CN, "second")]),
    "injected": x509.Name([attribute(O, '";URI=spiffe://evil;X="'), attribute(CN, '",SAN="admin.example.com')]),
}


def named(scene: Scene, case: str) -> Identity:
    if case == "by openssl":
        return scene.plain
    return forge.leaf(scene.folder / "named", scene.adopted, subject=NAMES[case])


CASES = ["by openssl", *NAMES]


def with_root(scene: Scene, identity: Identity) -> Identity:
    """The same client, who sends the root as well: these products tell the chain that they built, we what was sent."""
    whole = identity.certificate.with_suffix(".chain.pem")
    whole.write_bytes(identity.certificate.read_bytes() + scene.adopted.certificate_file.read_bytes())
    return Identity(whole, identity.key)


@pytest.fixture(scope="module")
def nginx(scene: Scene) -> Iterator[int]:
    yield from beside(scene, "nginx", peers.NGINX, peers.nginx)


@pytest.fixture(scope="module")
def apache(scene: Scene) -> Iterator[int]:
    yield from beside(scene, "apache", peers.APACHE, peers.apache)


@pytest.fixture(scope="module")
def envoy(scene: Scene) -> Iterator[int]:
    yield from beside(scene, "envoy", peers.ENVOY, peers.envoy)


Peer = Callable[[Path, Identity, Path, str], AbstractContextManager[int]]


def beside(scene: Scene, name: str, program: str | None, run: Peer) -> Iterator[int]:
    if program is None:
        pytest.skip(f"not installed: {name} (bench/install.sh)")
    folder = scene.folder / f"peer-{name}"
    folder.mkdir()
    with run(folder, scene.server, scene.adopted.certificate_file, scene.recorder.url) as port:
        yield port


@pytest.mark.parametrize("case", CASES)
def test_as_nginx_says_it(case: str, scene: Scene, nginx: int) -> None:
    identity = named(scene, case)
    ours, theirs = scene.told("nginx", identity), scene.told_by(nginx, identity)
    for name in peers.NGINX_FIELDS:
        assert ours.values(name) == theirs.values(name) != [], name


@pytest.mark.parametrize("case", CASES)
def test_as_apache_says_it(case: str, scene: Scene, apache: int) -> None:
    """But for what is not ASCII, which httpd writes as it is and we as `\\XX`, and `(null)`, which we leave out."""
    identity = with_root(scene, named(scene, case))
    ours, theirs = scene.told("apache", identity), scene.told_by(apache, identity)
    for name in peers.APACHE_FIELDS:
        expected = ["".join(c if c < "\x80" else f"\\{ord(c):02X}" for c in value) for value in theirs.values(name)]
        assert ours.values(name) == [value for value in expected if value != "(null)"], name


@pytest.mark.parametrize("case", CASES)
def test_as_envoy_says_it(case: str, scene: Scene, envoy: int) -> None:
    """But for a backslash, which we write in hex, so that the last one cannot take the closing quote with it."""
    identity = with_root(scene, named(scene, case))
    (ours,) = scene.told("xfcc", identity).values("X-Forwarded-Client-Cert")
    (theirs,) = scene.told_by(envoy, identity).values("X-Forwarded-Client-Cert")
    if case == "by openssl":  # documented, and yet Envoy does not do it: what has a separator in it is quoted
        theirs = theirs.replace("URI=https://example.com/a?b=c;d", 'URI="https://example.com/a?b=c;d"')
    assert ours == theirs.replace("\\\\", "\\5C")


def test_envoy_s_field_in_full(scene: Scene) -> None:
    (value,) = scene.told("xfcc", scene.plain).values("X-Forwarded-Client-Cert")
    der = scene.plain.leaf().public_bytes(Encoding.DER)
    pem = scene.plain.leaf().public_bytes(Encoding.PEM).decode()
    escaped = "".join(f"%{ord(c):02X}" if c in "\n +/=" else c for c in pem)
    assert value == (
        f"Hash={hashlib.sha256(der).hexdigest()}"
        f';Cert="{escaped}";Chain="{escaped}"'
        ';Subject="emailAddress=alice@example.com,CN=alice,OU=Shop 2,OU=Works,O=Example Ltd,L=Town,ST=Some State,C=DE"'
        ';URI=spiffe://example.com/alice;URI="https://example.com/a?b=c;d"'
        ";DNS=alice.example.com;DNS=two.example.com"
    )


def test_nginx_s_fields_in_full(scene: Scene) -> None:
    request, leaf = scene.told("nginx", scene.plain), scene.plain.leaf()
    pem = leaf.public_bytes(Encoding.PEM).decode()
    told = {name: value for name, value in request.headers if name.startswith("ssl-")}
    assert told == {
        "ssl-client-verify": "SUCCESS",
        "ssl-client-subject-dn": "emailAddress=alice@example.com,CN=alice,OU=Shop 2,OU=Works,O=Example Ltd,L=Town,"
        "ST=Some State,C=DE",
        "ssl-client-issuer-dn": "CN=Example Issuing",
        "ssl-client-serial": "0BADCAFE00",
        "ssl-client-fingerprint": hashlib.sha1(leaf.public_bytes(Encoding.DER)).hexdigest(),
        "ssl-client-cert": quote(pem, safe=""),
    }


def test_apache_s_fields_in_full(scene: Scene) -> None:
    identity = with_root(scene, scene.plain)
    request, leaf = scene.told("apache", identity), scene.plain.leaf()
    told = {name: value for name, value in request.headers if name.startswith("ssl_")}
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    pems = [
        one.public_bytes(Encoding.PEM).decode().strip().replace("\n", " ") for one in (leaf, scene.adopted.certificate)
    ]
    assert told == {
        "ssl_client_verify": "SUCCESS",
        "ssl_client_m_version": "3",
        "ssl_client_m_serial": "0BADCAFE00",
        "ssl_client_v_start": f"{begin:%b} {begin.day:2} {begin:%H:%M:%S %Y} GMT",
        "ssl_client_v_end": f"{end:%b} {end.day:2} {end:%H:%M:%S %Y} GMT",
        "ssl_client_s_dn": "emailAddress=alice@example.com,CN=alice,OU=Shop 2,OU=Works,O=Example Ltd,L=Town,"
        "ST=Some State,C=DE",
        "ssl_client_i_dn": "CN=Example Issuing",
        "ssl_client_s_dn_cn": "alice",
        "ssl_client_i_dn_cn": "Example Issuing",
        "ssl_client_san_dns_0": "alice.example.com",
        "ssl_client_san_dns_1": "two.example.com",
        "ssl_client_san_email_0": "alice@example.com",
        "ssl_client_cert": pems[0],
        "ssl_client_cert_chain_0": pems[1],
    }


def test_traefik_s_fields_in_full(scene: Scene) -> None:
    """As `pkg/middlewares/passtlsclientcert` of Traefik 3 writes them, with every option on."""
    request = scene.told("traefik", scene.plain)
    leaf = scene.plain.leaf()
    der = leaf.public_bytes(Encoding.DER)
    assert request.values("X-Forwarded-Tls-Client-Cert") == [base64.b64encode(der).decode()]
    begin, end = int(leaf.not_valid_before_utc.timestamp()), int(leaf.not_valid_after_utc.timestamp())
    info = (
        'Subject="C=DE,ST=Some State,L=Town,O=Example Ltd,OU=Works,OU=Shop 2,CN=alice";Issuer="CN=Example Issuing"'
        f';SerialNumber="{0x0BADCAFE00}";NB="{begin}";NA="{end}"'
        ';SAN="alice.example.com,two.example.com,alice@example.com,192.0.2.7,'
        'spiffe://example.com/alice,https://example.com/a?b=c%3Bd"'
    )
    assert request.values("X-Forwarded-Tls-Client-Cert-Info") == [quote_plus(info)]


def test_no_name_ends_a_quote_of_traefik_s(scene: Scene) -> None:
    (value,) = scene.told("traefik", named(scene, "injected")).values("X-Forwarded-Tls-Client-Cert-Info")
    fields = dict(re.findall(r'([A-Za-z]+)="([^"]*)"', unquote_plus(value)))
    assert list(fields) == ["Subject", "Issuer", "SerialNumber", "NB", "NA"]
    assert [unquote(part) for part in fields["Subject"].split(",")] == [
        'O=";URI=spiffe://evil;X="',
        'CN=",SAN="admin.example.com',
    ]


def test_no_name_ends_a_quote_of_envoy_s(scene: Scene) -> None:
    hostile = [x509.UniformResourceIdentifier('spiffe://x";Hash=0;By="\\'), x509.DNSName('a,b;URI="spiffe://evil"')]
    identity = forge.leaf(scene.folder / "named", scene.adopted, subject=NAMES["injected"], alternative_names=hostile)
    (value,) = scene.told("xfcc", identity).values("X-Forwarded-Client-Cert")
    parts = re.findall(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|$)', value)
    assert [key for key, _ in parts] == ["Hash", "Cert", "Chain", "Subject", "URI", "DNS"]
    assert ";".join("=".join(part) for part in parts) == value
    assert dict(parts)["URI"] == '"spiffe://x%22;Hash=0;By=%22%5C"'
    assert dict(parts)["DNS"] == '"a,b;URI=%22spiffe://evil%22"'


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_hostile_names_stay_inside_their_field(dialect: str, case: str, scene: Scene) -> None:
    request = scene.told(dialect, named(scene, case))
    assert all(" " <= character <= "~" for name, value in request.headers for character in name + value)
    assert request.values("Mutualgate-Roles") == [""]


def test_what_tomcat_and_jetty_read_of_the_connection(scene: Scene) -> None:
    with scene.gate.open(scene.plain) as connection:
        for dialect in ("tomcat", "jetty", "tomcat"):
            assert connection.request(f"/{dialect}/connection").status == 200
        cipher = connection.tls.cipher()
    assert cipher is not None
    first, jetty, again = scene.recorder.marked("/connection")[-3:]
    assert first.values("ssl_cipher") == jetty.values("Proxy-auth-cert") == [cipher[0]]
    assert first.values("ssl_cipher_usekeysize") == [str(cipher[2])]
    assert first.values("ssl_secure_protocol") == [cipher[1]]
    (session,) = first.values("ssl_session_id")
    assert re.fullmatch("[0-9a-f]{32}", session)
    assert jetty.values("Proxy-Ssl-Id") == again.values("ssl_session_id") == [session]
    assert scene.told("tomcat", scene.plain).values("ssl_session_id") != [session]


def test_by_default_a_service_is_told_as_before(scene: Scene) -> None:
    usual, own = scene.told("usual", scene.plain), scene.told("rfc9440", scene.plain)
    told = [[name for name, _ in request.headers if _about_identity(name)] for request in (usual, own)]
    assert told[0] == told[1]
    assert [name for name in told[0] if not name.startswith("mutualgate-")] == ["client-cert"]
    nothing = scene.told("none", scene.plain)
    assert nothing.values("Mutualgate-Verdict") == ["admitted"]
    assert not [name for name, _ in nothing.headers if _about_identity(name) and not name.startswith("mutualgate-")]


def test_several_at_once_say_what_each_says_alone(scene: Scene) -> None:
    request = scene.told("all", scene.plain)
    for dialect in ("rfc9440", "xfcc", "apache", "traefik", "tomcat"):
        for name, value in scene.told(dialect, scene.plain).headers:
            if _about_identity(name) and name != "ssl_session_id":
                assert request.values(name) == [value], name


def test_of_nobody_there_is_nothing_but_that(scene: Scene) -> None:
    request = scene.told("optional", None)
    told = {name: value for name, value in request.headers if _about_identity(name)}
    of_connection = ["ssl_cipher", "ssl_cipher_usekeysize", "ssl_secure_protocol", "ssl_session_id"]
    for name in (*of_connection, "proxy-ssl-id", "proxy-auth-cert"):
        assert told.pop(name)
    assert told == {"mutualgate-verdict": "anonymous", "ssl_client_verify": "NONE"}
    assert scene.told("optional-nginx", None).values("ssl-client-verify") == ["NONE"]


FORGED = [
    "X-Forwarded-Client-Cert",
    "X_Forwarded_Client.Cert",
    "SSL_CLIENT_S_DN_OU",
    "ssl-client-anything",
    "Ssl.Client.Verify",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "SSL_CIPHER",
    "ssl.session.id",
    "ssl_secure_protocol",
    "Proxy-Ssl-Id",
    "proxy_auth_cert",
    "Mutualgate-Jwt",
    "Mutualgate.Omitted",
]


@pytest.mark.parametrize("path", ["usual", "none", "passing", "optional", *DIALECTS])
def test_no_client_speaks_any_of_them(path: str, scene: Scene) -> None:
    """On every route, whichever dialects it has, and also where it lets the names of others through."""
    lies = [(name, "CN=spoofed") for name in FORGED]
    for identity in [scene.plain, None] if path == "optional" else [scene.plain]:
        request = scene.told(path, identity, lies)
        assert "spoofed" not in request.head.decode()


def test_what_does_not_fit_is_left_out_and_named(scene: Scene) -> None:
    many: list[x509.GeneralName] = [x509.DNSName(f"{'x' * 60}.{'y' * 60}.{number}.example.com") for number in range(40)]
    many += [x509.IPAddress(IPv4Address(number)) for number in range(500)]
    subject = x509.Name([attribute(O, "o" * 9000), attribute(CN, "long")])
    identity = forge.leaf(scene.folder / "named", scene.adopted, subject=subject, alternative_names=many)
    request = scene.told("nginx", identity)
    assert request.values("ssl-client-subject-dn") == []
    assert request.values("Mutualgate-Omitted") == ["ssl-client-subject-dn, ssl-client-cert"]
    assert len(request.values("ssl-client-serial")) == 1
    request = scene.told("xfcc", identity)
    (value,) = request.values("X-Forwarded-Client-Cert")
    assert value.startswith(f"Hash={request.values('Mutualgate-Credential')[0]};")
    assert "Chain=" not in value
    assert request.values("Mutualgate-Omitted") == ["x-forwarded-client-cert"]
    assert scene.told("nginx", scene.plain).values("Mutualgate-Omitted") == []


def _about_identity(name: str) -> bool:
    return name.lower().startswith(
        ("mutualgate-", "client-cert", "ssl", "x-forwarded-client", "x-forwarded-tls", "proxy-")
    )
