"""From HTTP/2 to HTTP/1.1: what has another meaning there, or none, is refused before it is written (RFC 9113 8.2).

Each request is said by hand, since no library says it. Whatever its answer, the service must never see a second
request, a field or a host that the gate did not judge.
"""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from end_to_end import h2
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.h2 import H2, Answered
from end_to_end.raw import Connection

Fields = Sequence[tuple[str, str]]
SECOND = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def pseudo(*, method: str = "GET", path: str = "/x", authority: str = "localhost", scheme: str = "https") -> Fields:
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]


def said(estate: Estate, identity: Identity, fields: Fields, body: bytes = b"", trailers: Fields = ()) -> Answered:
    with Connection.open(estate.gate.port, estate.gate.context(identity, alpn=("h2",))) as connection:
        try:
            return H2(connection).fields(fields, body, trailers)
        except OSError:
            return Answered()


def check(estate: Estate, identity: Identity, word: str) -> None:
    """Nothing was smuggled, and the connections to the service are in order."""
    assert estate.gate.get("/after", identity).status == 200
    for request in list(estate.recorder.requests):
        assert "smuggled" not in request.target
        assert not request.values("x-injected")
        assert request.target.startswith("/")
    for request in estate.recorder.marked(word):
        assert request.values("host") == ["localhost"]
        assert not (request.values("content-length") and request.values("transfer-encoding"))


# Each makes a malformed request (RFC 9113 8.1.1), or one for another host or of another length.
REFUSED_FIELDS = [
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("connection", "close"),
    ("connection", "x-mark"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("te", "trailers, chunked"),
    ("X-Upper", "1"),
    ("Transfer-Encoding", "chunked"),
    ("x injected", "1"),
    ('x"injected', "1"),
    ("x-injected:", "1"),
    ("x\r\nx-injected", "1"),
    ("x\0", "1"),
    ("", "1"),
    (":unknown", "1"),
    (":status", "200"),
    (":path", "/admin"),
    (":method", "POST"),
    (":authority", "b.test"),
    (":scheme", "http"),
    ("x-a", "1\r\nx-injected: 2"),
    ("x-a", "1\nx-injected: 2"),
    ("x-a", "1\rx-injected: 2"),
    ("x-a", f"1\r\n\r\n{SECOND}"),
    ("x-a", "1\0"),
    ("cookie", "a=b\r\nx-injected: 2"),
    ("host", "b.test"),
    ("host", "localhost:1"),
    ("host", "localhost, b.test"),
    ("host", "localhost\r\nx-injected: 2"),
    ("content-length", "+1"),
    ("content-length", "1,1"),
    ("content-length", "0x1"),
    ("content-length", "-1"),
    ("content-length", "1 1"),
    ("content-length", "18446744073709551617"),
    ("content-length", "9223372036854775808"),
    ("content-length", "5"),
]


@pytest.mark.parametrize("field", REFUSED_FIELDS, ids=repr)
def test_a_field_that_http_1_reads_otherwise(field: tuple[str, str], estate: Estate, alice: Identity) -> None:
    word = mark()
    answered = said(estate, alice, [*pseudo(), ("x-mark", word), field])
    assert answered.status is None or answered.status >= 400, answered
    assert estate.recorder.marked(word) == []
    check(estate, alice, word)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(pseudo()[1:], id="no :method"),
        pytest.param([pseudo()[0], *pseudo()[2:]], id="no :scheme"),
        pytest.param([*pseudo()[:2], pseudo()[3]], id="no :path"),
        pytest.param(pseudo()[:3], id="no :authority and no host"),
        pytest.param([("x-a", "1"), *pseudo()], id="a field before"),
        pytest.param([*pseudo()[:3], ("x-a", "1"), pseudo()[3]], id="a field between"),
        pytest.param([*pseudo(), *pseudo()], id="all of it twice"),
        pytest.param(pseudo(path=""), id="an empty path"),
        pytest.param(pseudo(path="x"), id="a path without a slash"),
        pytest.param(pseudo(path="?x"), id="a query for a path"),
        pytest.param(pseudo(path="*"), id="a star"),
        pytest.param(pseudo(path="https://b.test/x"), id="a whole address for a path"),
        pytest.param(pseudo(path="//b.test/x"), id="a host for a path"),
        pytest.param(pseudo(path="/x y"), id="a space in the path"),
        pytest.param(pseudo(path="/x HTTP/1.1\r\nx-injected: 1\r\nx-a: "), id="a line in the path"),
        pytest.param(pseudo(path="/x\0"), id="NUL in the path"),
        pytest.param(pseudo(path="/x\ty"), id="a tab in the path"),
        pytest.param(pseudo(path="/x/../admin"), id="dots in the path"),
        pytest.param(pseudo(method="GET /smuggled HTTP/1.1\r\nx-a:"), id="a line in the method"),
        pytest.param(pseudo(method="G T"), id="a space in the method"),
        pytest.param(pseudo(method=""), id="an empty method"),
        pytest.param(pseudo(scheme="http"), id="another scheme"),
        pytest.param(pseudo(scheme="https://b.test/x?"), id="an address for a scheme"),
        pytest.param(pseudo(scheme=""), id="an empty scheme"),
        pytest.param(pseudo(authority="localhost\r\nx-injected: 1"), id="a line in the authority"),
        pytest.param(pseudo(authority="user@localhost"), id="a user in the authority"),
        pytest.param(pseudo(authority="localhost/x"), id="a path in the authority"),
        pytest.param(pseudo(authority="localhost, b.test"), id="two hosts"),
        pytest.param(pseudo(authority="localhost:1:2"), id="two ports"),
        pytest.param(pseudo(authority=""), id="an empty authority"),
        pytest.param(pseudo(authority="b.test"), id="another site"),
        pytest.param([*pseudo()[:3], ("host", "localhost"), ("host", "b.test")], id="two Host fields"),
    ],
)
def test_pseudo_fields_that_make_no_request_line(fields: Fields, estate: Estate, alice: Identity) -> None:
    word = mark()
    answered = said(estate, alice, [*fields, ("x-mark", word)])
    assert answered.status is None or answered.status >= 400, answered
    assert estate.recorder.marked(word) == []
    check(estate, alice, word)


@pytest.mark.parametrize(
    ("length", "body"),
    [("100", b"short"), ("1", b"longer than it says"), ("0", b"not nothing"), ("5", b"")],
)
def test_a_length_that_is_not_that_of_the_body(length: str, body: bytes, estate: Estate, alice: Identity) -> None:
    word = mark()
    fields = [*pseudo(method="POST"), ("x-mark", word), ("content-length", length)]
    assert said(estate, alice, fields, body).status is None
    assert all(request.body == b"" for request in estate.recorder.marked(word))
    check(estate, alice, word)


def test_two_lengths(estate: Estate, alice: Identity) -> None:
    for lengths in (("5", "6"), ("6", "5")):
        word = mark()
        fields = [*pseudo(method="POST"), ("x-mark", word), *(("content-length", one) for one in lengths)]
        answered = said(estate, alice, fields, b"hello")
        assert answered.status is None or answered.status >= 400
        check(estate, alice, word)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_stays_a_body(announced: bool, estate: Estate, alice: Identity) -> None:
    """What looks like the end of a chunked body, or like a request, is data all the same; with GET, too."""
    body = f"0\r\n\r\n{SECOND}".encode()
    for method in ("POST", "GET", "DELETE"):
        word = mark()
        length = [("content-length", str(len(body)))] if announced else []
        assert said(estate, alice, [*pseudo(method=method), ("x-mark", word), *length], body).status == 200
        (request,) = estate.recorder.marked(word)
        assert request.body == body
        check(estate, alice, word)


@pytest.mark.parametrize(
    ("trailer", "passes"),
    [
        (("x-sum", "1"), True),
        (("client-cert", "forged"), False),
        (("mutualgate_client", "forged"), False),
        (("content-length", "5"), False),
        (("host", "b.test"), False),
        (("authorization", "Basic eA=="), False),
        (("cookie", "a=b"), False),
        (('x"sum', "1"), False),
    ],
)
def test_trailers_hold_no_field_of_the_head(
    trailer: tuple[str, str], passes: bool, estate: Estate, alice: Identity
) -> None:
    word = mark()
    said(estate, alice, [*pseudo(method="POST"), ("x-mark", word)], b"x", [trailer])
    assert [request.trailers for request in estate.recorder.marked(word) if request.trailers] == [[trailer]] * passes
    check(estate, alice, word)


@pytest.mark.parametrize("trailer", [("transfer-encoding", "chunked"), ("x-a", "1\r\nx-injected: 2"), ("X-A", "1")])
def test_trailers_that_are_malformed(trailer: tuple[str, str], estate: Estate, alice: Identity) -> None:
    word = mark()
    assert said(estate, alice, [*pseudo(method="POST"), ("x-mark", word)], b"x", [trailer]).status is None
    assert all(request.body != b"x" or not request.trailers for request in estate.recorder.marked(word))
    check(estate, alice, word)


def test_a_pseudo_field_in_trailers_is_dropped(estate: Estate, alice: Identity) -> None:
    """RFC 9113 8.1 calls such a request malformed; here it goes on without. See docs/reference/conformance.md."""
    word = mark()
    said(estate, alice, [*pseudo(method="POST"), ("x-mark", word)], b"x", [(":path", "/admin"), ("x-sum", "1")])
    assert [request.trailers for request in estate.recorder.marked(word)] == [[("x-sum", "1")]]
    check(estate, alice, word)


def test_an_empty_length_is_none(estate: Estate, alice: Identity) -> None:
    word = mark()
    fields = [*pseudo(method="POST"), ("x-mark", word), ("content-length", "")]
    said(estate, alice, fields)
    assert said(estate, alice, fields, b"x").status is None
    assert {*(request.values("content-length")[0] for request in estate.recorder.marked(word))} <= {"0"}
    check(estate, alice, word)


def test_cookies_become_one_field_and_te_says_trailers(estate: Estate, alice: Identity) -> None:
    word = mark()
    fields = [("x-mark", word), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")]
    assert said(estate, alice, [*pseudo(), *fields]).status == 200
    (request,) = estate.recorder.marked(word)
    assert request.values("cookie") == ["a=1; b=2"]
    assert (request.values("te"), request.values("connection")) == (["trailers"], ["te"])


def test_one_stream_does_not_end_anothers_request(estate: Estate, alice: Identity) -> None:
    """A stream that breaks off in its body takes its connection to the service with it, and no other stream."""
    broken, whole = mark(), mark()
    with Connection.open(estate.gate.port, estate.gate.context(alice, alpn=("h2",))) as connection:
        client = H2(connection)
        first = client.start([*pseudo(method="POST"), ("x-mark", broken), ("content-length", "100")])
        client.data(first, b"half of it")
        second = client.start([*pseudo(), ("x-mark", whole)], end=True)
        client.send(h2.frame(h2.RST_STREAM, 0, first, (8).to_bytes(4)))
        with suppress(OSError):
            assert client.answer(second).status == 200
    (request,) = estate.recorder.marked(whole)
    assert request.body == b""
    assert all(request.body in (b"", b"half of it") for request in estate.recorder.marked(broken))
    check(estate, alice, broken)
