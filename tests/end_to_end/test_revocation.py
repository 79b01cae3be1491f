"""A change of trust is in force when the command says so: for the next request, a resumed session, an open stream."""

import base64
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from end_to_end import forge
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate
from end_to_end.h2 import H2
from end_to_end.raw import Connection
from end_to_end.refusal import assert_refused

# Version and whether tickets are used: the three kinds of resumption there are.
RESUMPTIONS = {
    "TLS 1.2 session id": (ssl.TLSVersion.TLSv1_2, False),
    "TLS 1.2 ticket": (ssl.TLSVersion.TLSv1_2, True),
    "TLS 1.3": (ssl.TLSVersion.TLSv1_3, True),
}
CHANGES: dict[str, tuple[Callable[[Gate, str], object], str]] = {
    "revoke": (lambda gate, name: gate.command("client", "revoke", name), "revoked"),
    "suspend": (lambda gate, name: gate.command("client", "suspend", name), "client_suspended"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_between_two_requests_of_one_connection(change: str, estate: Estate) -> None:
    act, reason = CHANGES[change]
    name = f"between-{change}"
    identity = estate.gate.client(name)
    word = mark()
    with estate.gate.open(identity) as connection:
        assert connection.request("/before").status == 200
        act(estate.gate, name)
        # No sleep: the command came back when the change was in force.
        assert_refused(connection.request(f"/{word}"), reason)
    assert estate.recorder.marked(word) == []


def test_between_two_requests_of_one_http2_connection(estate: Estate) -> None:
    identity = estate.gate.client("between-h2")
    word = mark()
    with Connection.open(estate.gate.port, estate.gate.context(identity, alpn=["h2"])) as connection:
        h2 = H2(connection)
        assert h2.request("/before").status == 200
        estate.gate.command("client", "revoke", "between-h2")
        assert h2.request(f"/{word}").status in (403, None)
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", RESUMPTIONS)
def test_a_session_that_is_resumed_is_judged_by_today_s_trust(kind: str, change: str, estate: Estate) -> None:
    act, reason = CHANGES[change]
    name = f"resumed-{change}-{kind.replace(' ', '-').lower()}"
    identity = estate.gate.client(name)
    version, tickets = RESUMPTIONS[kind]
    tls = estate.gate.context(identity, version=version, tickets=tickets)
    session = first_session(estate, tls)
    act(estate.gate, name)
    word = mark()
    with Connection.open(estate.gate.port, tls, session=session) as connection:
        assert_refused(connection.request(f"/{word}"), reason)
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("kind", RESUMPTIONS)
def test_a_resumed_session_has_the_same_verdict_and_headers_as_a_full_handshake(
    kind: str, estate: Estate, alice: Identity
) -> None:
    """The opposite failure (lesson 3): who is good stays good."""
    version, tickets = RESUMPTIONS[kind]
    tls = estate.gate.context(alice, version=version, tickets=tickets)
    words = mark(), mark()
    with Connection.open(estate.gate.port, tls) as connection:
        assert connection.request(f"/{words[0]}").status == 200
        session = connection.tls.session
    with Connection.open(estate.gate.port, tls, session=session) as connection:
        # The gate keeps no sessions, it hands out tickets: a client that takes none shakes hands anew.
        assert connection.tls.session_reused is tickets
        assert connection.request(f"/{words[1]}").status == 200
    full, resumed = (estate.recorder.marked(word)[0].headers for word in words)
    told = [
        [(name.lower(), value) for name, value in headers if name.lower().startswith(("mutualgate-", "client-cert"))]
        for headers in (full, resumed)
    ]
    assert told[0] == told[1]
    assert ("mutualgate-client", "alice") in told[0]


@pytest.mark.parametrize("kind", RESUMPTIONS)
def test_a_session_made_at_one_site_is_worth_nothing_at_another(kind: str, estate: Estate, alice: Identity) -> None:
    """Lesson 1: the verdict is the other site's, for the certificate that was shown."""
    version, tickets = RESUMPTIONS[kind]
    tls = estate.gate.context(alice, version=version, tickets=tickets)
    session = first_session(estate, tls, "a.test")
    word = mark()
    with Connection.open(estate.gate.port, tls, "b.test", session) as connection:
        assert_refused(connection.request(f"/{word}", host="b.test"), "not_granted")
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("kind", RESUMPTIONS)
@pytest.mark.parametrize("first", ["open.test", "localhost"])
def test_a_session_made_without_a_certificate_stays_without_one(first: str, kind: str, estate: Estate) -> None:
    version, tickets = RESUMPTIONS[kind]
    tls = estate.gate.context(None, version=version, tickets=tickets)
    target = {"open.test": "/", "localhost": "/optional"}[first]
    session = first_session(estate, tls, first, target)
    word = mark()
    with Connection.open(estate.gate.port, tls, "a.test", session) as connection:
        assert_refused(connection.request(f"/{word}", host="a.test"), "no_certificate")
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("kind", RESUMPTIONS)
@pytest.mark.parametrize("site", ["alert.test", "close.test"])
def test_a_site_that_gives_no_reason_is_closed_to_resumed_sessions_too(site: str, kind: str, estate: Estate) -> None:
    name = f"resumed-{site}-{kind.replace(' ', '-').lower()}"
    identity = estate.gate.client(name)
    version, tickets = RESUMPTIONS[kind]
    tls = estate.gate.context(identity, version=version, tickets=tickets)
    session = first_session(estate, tls, site)
    estate.gate.command("client", "revoke", name)
    word = mark()
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        Connection.open(estate.gate.port, tls, site, session) as connection,
    ):
        connection.request(f"/{word}", host=site)
    assert estate.recorder.marked(word) == []


def test_a_certificate_that_expires_while_its_session_lives_is_refused(estate: Estate, tmp_path: Path) -> None:
    identity = forge.leaf(tmp_path, estate.adopted, not_after=forge.DAY / 86400 * 4)
    tls = estate.gate.context(identity)
    with Connection.open(estate.gate.port, tls) as connection:
        assert connection.request("/").status == 200
        session = connection.tls.session
        # RFC 5280 4.1.2.5: the second that is named belongs to the validity.
        over = identity.leaf().not_valid_after_utc + forge.DAY / 86400
        while forge.now() <= over:
            time.sleep(0.1)
        assert_refused(connection.request("/"), "expired")
    with Connection.open(estate.gate.port, tls, session=session) as connection:
        assert_refused(connection.request("/"), "expired")


def test_a_ticket_of_one_version_is_worth_nothing_in_the_other(estate: Estate, alice: Identity, tmp_path: Path) -> None:
    """Lesson 4: a TLS 1.3 session offered in a TLS 1.2 handshake, and the other way round."""
    for first, second in (("-tls1_3", "-tls1_2"), ("-tls1_2", "-tls1_3")):
        saved = tmp_path / f"session{first}"
        base = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{estate.gate.port}",
            "-servername",
            "localhost",
            "-ign_eof",
        ]
        request = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        files = ["-cert", str(alice.certificate), "-key", str(alice.key)]
        subprocess.run([*base, *files, first, "-sess_out", str(saved)], input=request, text=True, capture_output=True)
        assert saved.exists()
        done = subprocess.run([*base, second, "-sess_in", str(saved)], input=request, text=True, capture_output=True)
        assert "Reused, TLS" not in done.stdout
        assert "HTTP/1.1 200" not in done.stdout


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stream", ["ws", "sse"])
def test_an_open_stream_is_cut(stream: str, change: str, estate: Estate) -> None:
    act, _ = CHANGES[change]
    name = f"cut-{stream}-{change}"
    identity = estate.gate.client(name)
    with estate.gate.open(identity) as connection:
        if stream == "ws":
            key = base64.b64encode(b"0123456789abcdef").decode()
            upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key)]
            assert connection.request("/ws", [*upgrade, ("Sec-WebSocket-Version", "13")]).status == 101
            connection.send(b"hello")
            assert connection.exactly(5) == b"hello"
        else:
            connection.send(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in connection.until(b"\r\n\r\n")
            assert connection.chunk()
        act(estate.gate, name)
        # The stream would go on for a minute.
        began = time.monotonic()
        connection.rest()
        assert time.monotonic() - began < 10
    deadline = time.monotonic() + 10
    while estate.recorder.streams_open and time.monotonic() < deadline:
        time.sleep(0.02)
    assert estate.recorder.streams_open == 0, "the upstream's half is still open"


def test_the_stream_of_another_client_goes_on(estate: Estate, alice: Identity) -> None:
    estate.gate.client("somebody-else")
    with estate.gate.open(alice) as connection:
        connection.send(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.until(b"\r\n\r\n")
        connection.chunk()
        estate.gate.command("client", "revoke", "somebody-else")
        for _ in range(10):
            assert connection.chunk().startswith(b"data: ")


def test_the_command_says_that_the_gate_has_it_in_force(estate: Estate) -> None:
    estate.gate.client("acknowledged")
    answer = estate.gate.command("client", "revoke", "acknowledged").json
    status = estate.gate.command("status").json
    assert answer["in_force"] is True
    assert answer["epoch"] <= status["epoch"]


def test_the_revocation_list_has_it_too(estate: Estate, tmp_path: Path) -> None:
    from cryptography import x509

    identity = estate.gate.client("on-the-list")
    estate.gate.command("client", "revoke", "on-the-list", "--reason", "superseded")
    points = identity.leaf().extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    names = points[0].full_name
    assert names is not None
    path = "/crl/" + str(names[0].value).rsplit("/crl/", 1)[1]

    def found() -> x509.RevokedCertificate | None:
        with Connection.plain(estate.gate.plain_port) as connection:
            response = connection.request(path)
        assert response.status == 200
        crl = x509.load_der_x509_crl(response.body)
        return crl.get_revoked_certificate_by_serial_number(identity.leaf().serial_number)

    # The gate does not need the list, so the command does not wait for it.
    estate.gate.program.wait_for(lambda: found() is not None)
    entry = found()
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded


def first_session(
    estate: Estate, tls: ssl.SSLContext, sni: str = "localhost", target: str = "/"
) -> ssl.SSLSession | None:
    """A session of a full handshake; its request is served."""
    with Connection.open(estate.gate.port, tls, sni) as connection:
        # In TLS 1.3 the tickets come with the first answer.
        assert connection.request(target, host=sni).status == 200
        return connection.tls.session
