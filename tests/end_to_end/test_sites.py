"""Which site a request belongs to: the SNI and the Host have to agree, however either is spelled (RFC 9110 15.5.20)."""

import ssl

import pytest
from cryptography import x509
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.h2 import H2
from end_to_end.raw import Connection, Response

# SNI, Host, what a client without a role gets: site `a` admits it, site `b` wants a role, 421 belongs nowhere
MATRIX: list[tuple[str | None, str, int]] = [
    ("a.test", "a.test", 200),
    ("a.test", "A.Test", 200),
    ("A.TEST", "a.test", 200),
    ("a.test", "a.test:8443", 200),
    ("a.test", "a.test.", 200),
    ("b.test", "b.test", 403),
    ("b.test", "a.test", 421),
    ("B.test", "A.test", 421),
    ("a.test", "b.test", 421),
    ("a.test", "b.test.", 421),
    ("a.test", "B.TEST:443", 421),
    ("a.test", "localhost", 421),
    ("a.test", "unknown.test", 421),
    ("a.test", "127.0.0.1", 421),
    ("a.test", "open.test", 421),
    ("open.test", "a.test", 421),
    ("open.test", "localhost", 421),
    ("open.test", "open.test", 200),
    ("localhost", "a.test", 421),
    ("localhost", "localhost", 200),
    (None, "localhost", 200),
    (None, "127.0.0.1", 200),
    (None, "a.test", 421),
    (None, "open.test", 421),
]


@pytest.mark.parametrize(("sni", "host", "expected"), MATRIX)
def test_http_1(sni: str | None, host: str, expected: int, estate: Estate, alice: Identity) -> None:
    word = mark()
    with estate.gate.open(alice, sni) as connection:
        response = connection.request(f"/{word}", host=host)
    assert response.status == expected, response
    assert response.reason == {421: "wrong_site", 403: "not_granted", 200: None}[expected]
    assert bool(estate.recorder.marked(word)) == (expected == 200)


@pytest.mark.parametrize(("sni", "host", "expected"), MATRIX)
def test_http_2(sni: str | None, host: str, expected: int, estate: Estate, alice: Identity) -> None:
    word = mark()
    with Connection.open(estate.gate.port, estate.gate.context(alice, alpn=["h2"]), sni) as connection:
        answered = H2(connection).request(f"/{word}", authority=host)
    assert answered.status == expected
    assert bool(estate.recorder.marked(word)) == (expected == 200)


def test_the_absolute_form_names_the_host_whatever_the_header_says(estate: Estate, alice: Identity) -> None:
    """RFC 9112 3.2.2: the header is ignored; here both have to belong to the site."""
    for target, host in (("https://b.test/", "a.test"), ("https://a.test/", "b.test"), ("http://open.test/", "a.test")):
        word = mark()
        with estate.gate.open(alice, "a.test") as connection:
            response = connection.request(f"{target}{word}", host=host)
        assert response.status in (400, 421)
        assert estate.recorder.marked(word) == []


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Host: a.test", "Host: b.test"],
        ["Host: a.test", "Host: a.test"],
        ["Host: a.test b.test"],
        ["Host: user@a.test"],
    ],
    ids=["none", "two", "twice", "space", "userinfo"],
)
def test_a_request_names_one_host(lines: list[str], estate: Estate, alice: Identity) -> None:
    word = mark()
    with estate.gate.open(alice, "a.test") as connection:
        connection.send("\r\n".join([f"GET /{word} HTTP/1.1", *lines, "", ""]).encode())
        assert connection.response().status in (400, 421)
    assert estate.recorder.marked(word) == []


def test_http_1_0_without_a_host_gets_no_other_site(estate: Estate, alice: Identity) -> None:
    with estate.gate.open(alice, "b.test") as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.response().status in (400, 403, 421, 505)


@pytest.mark.parametrize("fields", ["no authority", "authority and another host", "two authorities", "host alone"])
def test_http_2_names_one_host(fields: str, estate: Estate, alice: Identity) -> None:
    word = mark()
    pseudo = [(":method", "GET"), (":scheme", "https"), (":path", f"/{word}")]
    said = {
        "no authority": [*pseudo],
        "authority and another host": [*pseudo, (":authority", "a.test"), ("host", "b.test")],
        "two authorities": [*pseudo, (":authority", "a.test"), (":authority", "b.test")],
        "host alone": [*pseudo, ("host", "b.test")],
    }[fields]
    with Connection.open(estate.gate.port, estate.gate.context(alice, alpn=["h2"]), "a.test") as connection:
        answered = H2(connection).fields(said)
    assert answered.status in (None, 400, 421)
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("sni", ["unknown.test", "a.test.evil", "sub.a.test", "xn--a.test"])
def test_an_unknown_name_gets_no_handshake(sni: str, estate: Estate, alice: Identity) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        estate.gate.open(alice, sni)


def test_each_site_has_a_certificate_for_its_own_names(estate: Estate, alice: Identity) -> None:
    for host, other in (("a.test", "b.test"), ("b.test", "a.test"), ("localhost", "a.test")):
        with estate.gate.open(alice, host) as connection:
            der = connection.tls.getpeercert(binary_form=True)
        assert der is not None
        extensions = x509.load_der_x509_certificate(der).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        assert host in names
        assert other not in names


def test_a_site_that_wants_no_certificate_does_not_ask_for_one(estate: Estate, alice: Identity) -> None:
    """Browsers would show a chooser."""
    word = mark()
    response: Response = estate.gate.get(f"/{word}", alice, host="open.test")
    assert response.status == 200
    (request,) = estate.recorder.marked(word)
    assert request.values("Client-Cert") == []
