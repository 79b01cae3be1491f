"""Who the service is told the client is: the gate's words only, whatever the client sends and wherever it sends it."""

import base64
import hashlib
import itertools
import re
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from end_to_end import forge
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.h2 import H2
from end_to_end.raw import Connection
from end_to_end.recorder import Recorded

OURS = [
    "Client-Cert",
    "Client-Cert-Chain",
    "Mutualgate-Verdict",
    "Mutualgate-Client-Id",
    "Mutualgate-Client",
    "Mutualgate-Roles",
    "Mutualgate-Credential",
    "Mutualgate-Subject",
    "Mutualgate-Issuer",
    "Mutualgate-Serial",
    "Mutualgate-Authority",
    "Mutualgate-Tls",
    "Mutualgate-Anything",
]
# Names by which Envoy, Apache, nginx, HAProxy, Traefik, AWS, Azure, Google and Cloudflare pass identities on.
THEIRS = [
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "SSL_CLIENT_CERT",
    "SSL-Client-Cert",
    "SSL_CLIENT_S_DN",
    "SSL_CLIENT_VERIFY",
    "X-SSL-Client-Cert",
    "X-SSL-Client-Verify",
    "X-SSL-CERT",
    "X-Client-Cert",
    "X-Client-Cert-Present",
    "X-Client-Subject",
    "X-Client-Fingerprint",
    "X-Client-Verify",
    "X-ARR-ClientCert",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Subject",
    "Cf-Client-Cert-Sha256",
]
LIE = "CN=operator-spoofed"


def aliases(name: str) -> list[str]:
    """Spellings that some server behind reads as `name`."""
    changed = [name, name.upper(), name.lower(), name.replace("-", "_"), name.replace("-", "."), name.replace("_", "-")]
    parts = name.replace("_", "-").split("-")
    if len(parts) > 2:
        changed.append(f"{parts[0]}_{'-'.join(parts[1:])}")
        changed.append(f"{parts[0]}.{'_'.join(parts[1:])}")
    # All that RFC 9110 5.6.2 allows in a name and a lenient reader may fold to the same.
    changed.append("~".join(parts))
    changed.append("!".join(parts))
    return list(dict.fromkeys(changed))


ALL_SPELLINGS = list(itertools.chain.from_iterable(aliases(name) for name in [*OURS, *THEIRS]))


def arrived(estate: Estate, word: str) -> Recorded:
    (request,) = estate.recorder.marked(word)
    return request


def lies_in(request: Recorded) -> list[tuple[str, str]]:
    return [(name, value) for name, value in [*request.headers, *request.trailers] if "spoofed" in value]


def test_the_service_is_told_who_the_client_is(estate: Estate, operator: Identity) -> None:
    word = mark()
    estate.gate.get(f"/{word}", operator)
    request, leaf = arrived(estate, word), operator.leaf()
    der = leaf.public_bytes(Encoding.DER)
    client = estate.gate.command("client", "show", "operator").json
    # RFC 9440 2.2: a structured field of type Byte Sequence
    assert request.values("Client-Cert") == [f":{base64.b64encode(der).decode()}:"]
    assert request.values("Mutualgate-Verdict") == ["admitted"]
    assert request.values("Mutualgate-Client") == ["operator"]
    assert request.values("Mutualgate-Client-Id") == [str(client["id"])]
    assert request.values("Mutualgate-Roles") == ["admin"]
    assert request.values("Mutualgate-Credential") == [hashlib.sha256(der).hexdigest()]
    assert int(request.values("Mutualgate-Serial")[0], 16) == leaf.serial_number
    assert request.values("Mutualgate-Subject") == [leaf.subject.rfc4514_string()]
    assert request.values("Mutualgate-Issuer") == [leaf.issuer.rfc4514_string()]


def test_a_client_without_a_certificate_is_anonymous_and_has_no_identity(estate: Estate) -> None:
    word = mark()
    estate.gate.get(f"/optional/{word}")
    request = arrived(estate, word)
    assert request.values("Mutualgate-Verdict") == ["anonymous"]
    told = [name for name, _ in request.headers if name.lower().startswith(("mutualgate-", "client-cert"))]
    assert [name.lower() for name in told] == ["mutualgate-verdict"]


@pytest.mark.parametrize(
    ("target", "with_certificate"),
    [("/", True), ("/optional/", True), ("/optional/", False), ("/off/", True), ("/off/", False)],
)
def test_no_spelling_of_an_identity_name_reaches_the_service(
    target: str, with_certificate: bool, estate: Estate, alice: Identity
) -> None:
    # 8 KiB of header fields are a stranger's budget: several requests
    for spellings in _batches(ALL_SPELLINGS, 40):
        word = mark()
        lies = [(name, LIE) for name in spellings]
        response = estate.gate.get(f"{target}{word}", alice if with_certificate else None, lies)
        if response.status == 200:
            assert lies_in(arrived(estate, word)) == []
        else:
            assert response.status == 400
            assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("name", ["Mutualgate-Client", "Client-Cert", "mutualgate_client", "X-Forwarded-Client-Cert"])
def test_a_trailer_carries_no_identity(name: str, estate: Estate, alice: Identity) -> None:
    word = mark()
    body = f"5\r\nhello\r\n0\r\n{name}: {LIE}\r\nX-Checksum: 42\r\n\r\n".encode()
    head = (
        f"POST /{word} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: {name}, X-Checksum\r\n\r\n"
    )
    with estate.gate.open(alice) as connection:
        connection.send(head.encode() + body)
        assert connection.response().status == 200
    request = arrived(estate, word)
    assert request.body == b"hello"
    assert lies_in(request) == []
    assert ("x-checksum", "42") in [(key.lower(), value) for key, value in request.trailers]


@pytest.mark.parametrize("name", ["Mutualgate-Client", "Mutualgate-Verdict", "Client-Cert", "X-Forwarded-For", "Via"])
def test_the_connection_header_cannot_take_our_words_away(name: str, estate: Estate, alice: Identity) -> None:
    word = mark()
    estate.gate.get(f"/{word}", alice, [("Connection", f"close, {name}")])
    request = arrived(estate, word)
    assert len(request.values(name)) == 1
    assert request.values("Mutualgate-Client") == ["alice"]


def test_http2_and_its_trailers_carry_no_identity(estate: Estate, alice: Identity) -> None:
    word = mark()
    lies = [(name.lower(), LIE) for name in ALL_SPELLINGS[:100]]
    with Connection.open(estate.gate.port, estate.gate.context(alice, alpn=["h2"])) as connection:
        trailers = [("mutualgate-client", LIE), ("client-cert", LIE)]
        answered = H2(connection).request(f"/{word}", lies, method="POST", body=b"hello", trailers=trailers)
    assert answered.status == 200
    request = arrived(estate, word)
    assert lies_in(request) == []
    assert request.values("Mutualgate-Client") == ["alice"]


def test_an_upgrade_carries_no_identity_but_ours(estate: Estate, alice: Identity) -> None:
    word = mark()
    upgrade = [("Connection", "Upgrade, Mutualgate-Client"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    lies = [(name, LIE) for name in ("Mutualgate-Client", "mutualgate_client", "Client.Cert", "X-SSL-Client-Cert")]
    headers = [*upgrade, ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()), *lies]
    with estate.gate.open(alice) as connection:
        assert connection.request(f"/{word}/ws", headers).status == 101
    request = arrived(estate, word)
    assert lies_in(request) == []
    assert request.values("Mutualgate-Client") == ["alice"]


def test_a_route_can_let_the_names_of_others_pass_but_never_ours(estate: Estate, alice: Identity) -> None:
    word = mark()
    estate.gate.get(
        f"/legacy/{word}", alice, [("X-SSL-Client-Cert", LIE), ("Mutualgate-Client", LIE), ("Client_Cert", LIE)]
    )
    assert [name.lower() for name, _ in lies_in(arrived(estate, word))] == ["x-ssl-client-cert"]


def test_the_plain_listener_forwards_nothing(estate: Estate) -> None:
    for target in ("/", "/off/", "/optional/", "http://open.test/"):
        word = mark()
        with Connection.plain(estate.gate.plain_port) as connection:
            response = connection.request(f"{target}{word}", [("Mutualgate-Client", LIE)])
        assert response.status in (301, 308, 400, 404)
        assert estate.recorder.marked(word) == []


def test_the_operators_listener_forwards_nothing(estate: Estate) -> None:
    word = mark()
    with Connection.plain(estate.gate.ops_port) as connection:
        assert connection.request(f"/{word}", [("Mutualgate-Client", LIE)]).status == 404
    assert estate.recorder.marked(word) == []


def test_forwarding_fields_say_what_is_so_and_not_what_the_client_claims(estate: Estate, alice: Identity) -> None:
    word = mark()
    claims = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "evil.test")]
    claims += [("Forwarded", "for=1.2.3.4;proto=http;host=evil.test"), ("X-Real-IP", "1.2.3.4")]
    estate.gate.get(f"/{word}", alice, claims)
    request = arrived(estate, word)
    assert "1.2.3.4" not in request.head.decode()
    assert "evil.test" not in request.head.decode()
    assert request.values("X-Forwarded-Proto") == ["https"]
    assert request.values("X-Forwarded-For") == ["127.0.0.1"]
    assert "proto=https" in request.values("Forwarded")[0].lower()
    assert request.values("Via")


SUBJECTS = {
    "line breaks": "x\r\nMutualgate-Roles: admin",
    "NUL": "operator\x00.evil",
    "separators": 'a,CN=operator;b"c=d+e',
    "not ASCII": "Zoë 日本",
    "long": "x" * 4000,
}


@pytest.mark.parametrize("case", SUBJECTS)
def test_a_subject_is_text_and_nothing_more(
    case: str, estate: Estate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    identity = forge.leaf(tmp_path_factory.mktemp("subject"), estate.adopted, SUBJECTS[case])
    word = mark()
    assert estate.gate.get(f"/{word}", identity).status == 200
    request = arrived(estate, word)
    assert "admin" not in ",".join(request.values("Mutualgate-Roles"))
    assert len(request.values("Mutualgate-Subject")) == 1
    value = request.values("Mutualgate-Subject")[0]
    assert all(" " <= character <= "~" for character in value)
    # RFC 4514 2.4: what separates names is escaped inside of one.
    assert re.fullmatch(r"CN=(?:[^\\,;+\"<>]|\\.)*", value) or len(value) > 4000, value


def test_the_names_of_two_attributes_in_one_rdn_are_not_two_subjects(
    estate: Estate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    both = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "guest"), x509.NameAttribute(NameOID.USER_ID, "operator")]
    )
    identity = forge.leaf(tmp_path_factory.mktemp("rdn"), estate.adopted, subject=x509.Name([both]))
    word = mark()
    estate.gate.get(f"/{word}", identity)
    assert arrived(estate, word).values("Mutualgate-Client") != ["operator"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_a_route_can_be_told_about_the_connection(version: ssl.TLSVersion, estate: Estate, alice: Identity) -> None:
    word = mark()
    with Connection.open(estate.gate.port, estate.gate.context(alice, version=version)) as connection:
        connection.request(f"/tls/{word}")
        cipher = connection.tls.cipher()
    (facts,) = arrived(estate, word).values("Mutualgate-Tls")
    assert f"version={version.name.replace('_', '.')};" in facts
    assert "sni=localhost" in facts
    assert "resumed=no" in facts
    assert cipher is not None


def _batches(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
