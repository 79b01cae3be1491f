"""One exchange with somebody else's server: bounded, to where it was meant to go, and one sentence when it fails."""

import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pki
import pytest
from publisher import Page, Publisher, publisher

from mutualgate.errors import Unavailable
from mutualgate.partners import fetching
from mutualgate.partners.addresses import read_location
from mutualgate.partners.fetching import fetch


@pytest.fixture
def server() -> Iterator[Publisher]:
    with publisher() as running:
        yield running


def names(*addresses: str) -> fetching.Resolve:
    """A resolver that knows every name, and counts."""
    return lambda host, port: list(addresses)


def refused(url: str, **more: Any) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        fetch(read_location(url), **more)
    assert str(error.value).isprintable()
    return error.value


def test_what_is_there_comes(server: Publisher) -> None:
    url = server.put("/ca.crl?x=1", b"list" * 1_000)
    fetched = fetch(read_location(url), private=True)
    assert fetched.data == b"list" * 1_000
    (asked,) = server.asked
    assert asked.headers["Host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert "list" not in repr(fetched)


def test_what_is_not_newer_is_not_sent_again(server: Publisher) -> None:
    url = server.put("/ca.crl", b"list", headers={"Last-Modified": "Mon, 01 Jun 2026 12:00:00 GMT"})
    first = fetch(read_location(url), private=True)
    again = fetch(read_location(url), private=True, etag=first.etag, modified=first.modified)
    assert again.data is None
    assert server.asked[1].headers["If-None-Match"] == first.etag
    assert server.asked[1].headers["If-Modified-Since"] == "Mon, 01 Jun 2026 12:00:00 GMT"
    server.put("/ca.crl", b"newer")
    assert fetch(read_location(url), private=True, etag=first.etag).data == b"newer"


def test_a_304_that_nobody_asked_for_is_an_error(server: Publisher) -> None:
    url = server.put("/ca.crl", b"", status=304)
    assert "redirect" in refused(url, private=True).problem or "304" in refused(url, private=True).problem


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"], ["fe80::1"]]
)
def test_a_name_that_leads_inside_is_not_followed(server: Publisher, addresses: list[str]) -> None:
    """R11. Nothing is even connected to."""
    url = f"http://crl.acme.example:{server.port}/ca.crl"
    server.put("/ca.crl", b"list")
    error = refused(url, resolve=names(*addresses))
    assert error.code == "private_address"
    assert "leads into a private network or to this machine" in error.problem
    assert server.asked == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost", "0x7f000001", "127.0.0.1.nip"]
)
def test_by_any_spelling(server: Publisher, host: str) -> None:
    """Whatever the system's resolver makes of it."""
    resolve = names("127.0.0.1") if host.endswith("nip") else fetching.resolve
    refused(f"http://{host}:{server.port}/ca.crl", resolve=resolve)
    assert server.asked == []


def test_a_name_is_resolved_once(server: Publisher) -> None:
    """DNS rebinding: the second answer of a hostile name server would be another."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    calls = []

    def resolve(host: str, port: int) -> list[str]:
        calls.append(host)
        return answers[len(calls) - 1]

    server.put("/ca.crl", b"list")
    fetched = fetch(read_location(f"http://crl.acme.example:{server.port}/ca.crl"), private=True, resolve=resolve)
    assert fetched.data == b"list"
    assert calls == ["crl.acme.example"]
    assert server.asked[0].headers["Host"] == f"crl.acme.example:{server.port}"


def test_of_several_addresses_only_those_that_are_allowed(server: Publisher) -> None:
    # 203.0.113.1 is for documentation: not public. So none of these is left.
    assert (
        refused(f"http://crl.acme.example:{server.port}/", resolve=names("127.0.0.1", "203.0.113.1", "224.0.0.1")).code
        == "private_address"
    )
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: Publisher, status: int) -> None:
    secret = server.put("/secret", b"inside")
    url = server.put("/ca.crl", b"", status=status, headers={"Location": secret})
    error = refused(url, private=True)
    assert f"leads on to {secret}" in error.problem
    assert server.count("/secret") == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip"])
def test_nothing_is_unpacked(server: Publisher, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    url = server.put("/ca.crl", bomb, headers={"Content-Encoding": encoding})
    assert "is packed" in refused(url, private=True).problem


@pytest.mark.parametrize("length", [None, -1, 10**15], ids=["said", "chunked", "huge"])
def test_no_more_is_read_than_is_allowed(server: Publisher, length: int | None) -> None:
    url = server.put("/ca.crl", b"x" * 200_000, length=length)
    assert "bytes that are read" in refused(url, private=True, max_bytes=100_000).problem


def test_exactly_as_much_as_is_allowed(server: Publisher) -> None:
    for length in (None, -1):
        url = server.put("/ca.crl", b"x" * 100_000, length=length)
        assert len(fetch(read_location(url), private=True, max_bytes=100_000).data or b"") == 100_000


def test_half_a_list_is_none(server: Publisher) -> None:
    url = server.put("/ca.crl", b"x" * 1_000, length=2_000)
    assert "broke off after 1000 of 2000 bytes" in refused(url, private=True).problem


def test_a_server_that_drips_is_left(server: Publisher) -> None:
    url = server.put("/ca.crl", b"x" * 1_000, drip_seconds=0.2)
    begun = time.monotonic()
    assert "no answer within 1 seconds" in refused(url, private=True, total_seconds=1.0).problem
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"\0" * 100],
    ids=["nothing", "ssh", "long header", "zeros"],
)
def test_what_speaks_no_http_is_one_sentence(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        problem = refused(f"http://127.0.0.1:{listener.getsockname()[1]}/", private=True, total_seconds=5.0).problem
        thread.join()
    assert "did not answer as it should" in problem


@pytest.mark.parametrize("status", [404, 500, 206, 401])
def test_another_status_is_an_error(server: Publisher, status: int) -> None:
    url = server.put("/ca.crl", b"x", status=status)
    assert f"answers {status}" in refused(url, private=True).problem


def test_nobody_there_and_no_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "cannot be reached (Connection refused)" in refused(f"http://127.0.0.1:{port}/", private=True).problem

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert "no such name" in refused("http://crl.acme.example/", resolve=unknown).problem
    assert "has no address" in refused("http://crl.acme.example/", resolve=names()).problem


def test_a_question_is_posted(server: Publisher) -> None:
    server.answer = lambda body: b"answer to " + body
    fetched = fetch(read_location(server.url("/ocsp")), private=True, body=b"question", content_type="application/x")
    assert fetched.data == b"answer to question"
    (asked,) = server.asked
    assert (asked.method, asked.headers["Content-Type"]) == ("POST", "application/x")


def test_https_wants_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    """Of the host that was named, although the connection goes to an address."""
    root = pki.ca("web root", now=pki.real_now())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.server(root, "crl.acme.example", now=pki.real_now()).write(tmp_path, "web"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import contextlib
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://crl.acme.example:{listener.getsockname()[1]}/"
        problem = refused(url, private=True, resolve=names("127.0.0.1")).problem
        thread.join()
    assert "a certificate that is not trusted" in problem
    assert Page().status == 200


def test_what_says_that_it_is_too_much_is_not_begun(server: Publisher) -> None:
    url = server.put("/ca.crl", b"x", length=10**15)
    assert (
        f"sends {10**15} bytes, more than the 100000 bytes that are read"
        in refused(url, private=True, max_bytes=100_000).problem
    )
