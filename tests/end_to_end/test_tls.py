"""What is agreed on in a handshake, and what becomes of whoever begins with something else."""

import functools
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from end_to_end import forge, raw
from end_to_end.estate import Estate
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.raw import SECONDS, Connection, Fragmented
from end_to_end.recorder import Recorder

GO_CLIENT = Path(__file__).parents[1] / "readers" / "tls"


@functools.cache
def no_go() -> str | None:
    """Why a client made of Go cannot be built here."""
    if shutil.which("go") is None:
        return "Go is not installed"
    version = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, cwd=GO_CLIENT.parent)
    name = version.stdout.strip()
    number = [int(part) for part in name.removeprefix("go").split(".")[:2]]
    return None if number >= [1, 25] else f"{name} does not tell the group"


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if problem := no_go():
        pytest.skip(problem)
    program = tmp_path_factory.mktemp("go") / "tls"
    subprocess.run(["go", "build", "-o", program, "."], cwd=GO_CLIENT, check=True)
    return program


def test_a_client_that_offers_the_hybrid_group_gets_it(estate: Estate, alice: Identity, go_client: Path) -> None:
    """Browsers, OpenSSL from 3.5 and Go do; here Go. `rust/gate/tests/tls.rs` has those that offer half of it."""
    address = f"127.0.0.1:{estate.gate.port}"
    files = [estate.gate.root, alice.certificate, alice.key]
    done = subprocess.run([go_client, address, "localhost", *files], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"group": "X25519MLKEM768", "version": "TLS 1.3"}


@pytest.fixture
def plain(estate: Estate) -> Iterator[Connection]:
    """A connection without TLS to the port where TLS is spoken."""
    with Connection.plain(estate.gate.port) as connection:
        yield connection


def test_who_forgets_the_s_of_https_is_told(estate: Estate, plain: Connection) -> None:
    response = plain.request("/sent-in-the-clear?token=x", [("Accept", "*/*")], host=f"localhost:{estate.gate.port}")
    assert (response.status, response.reason) == (400, "needs_tls")
    assert response.json()["detail"] == f"What is wanted here is https://localhost:{estate.gate.port}/."
    # To lead on by itself would hide that something was sent in the clear.
    assert response.header("location") is None
    assert "token" not in str(response)
    assert plain.closed()
    assert estate.recorder.marked("sent-in-the-clear") == []


def test_a_browser_gets_a_page(plain: Connection) -> None:
    response = plain.request("/", [("Accept", "text/html")])
    assert response.status == 400
    assert (response.header("content-type") or "").startswith("text/html")
    assert b"https://localhost:" in response.body


@pytest.mark.parametrize("host", ["evil.test", "localhost<script>", "localhost@evil.test", ""])
def test_no_address_is_named_that_is_not_ours(host: str, plain: Connection) -> None:
    response = plain.request("/", [("Accept", "text/html")], host=host)
    assert response.status == 400
    assert b"evil" not in response.body
    assert b"<script" not in response.body


def test_a_long_request_in_the_clear_gets_its_answer_and_no_reset(plain: Connection) -> None:
    assert plain.request("/upload", method="POST", body=b"x" * 30_000).status == 400


def test_a_request_in_the_clear_that_comes_in_pieces_is_understood(plain: Connection) -> None:
    plain.send(b"GET /")
    assert plain.until(b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


SSL2_HELLO = bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + bytes(16)
SSL3_HELLO = bytes.fromhex("16030000310100002d0300") + bytes(32) + bytes.fromhex("000006000a0005000401 00")
BEGINNINGS = {
    "SSL 2.0": SSL2_HELLO,
    "SSL 3.0": SSL3_HELLO,
    "a record beyond 16 KiB": bytes.fromhex("160301ffff") + bytes(100),
    "a hello of 16 MiB": bytes.fromhex("160301400001ffffff0303") + bytes(16_377) + bytes.fromhex("1603014000") * 20,
    "empty records": bytes.fromhex("1603010000") * 40,
    "an alert": bytes.fromhex("15030100020100"),
    "application data": bytes.fromhex("1703030005") + b"hello",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
}


@pytest.mark.parametrize("case", BEGINNINGS)
def test_what_is_no_tls_of_ours_is_ended(case: str, estate: Estate, alice: Identity) -> None:
    """With an alert or without a word, at once: nobody waits for a handshake that cannot come about."""
    with socket.create_connection(("127.0.0.1", estate.gate.port), SECONDS) as client:
        client.sendall(BEGINNINGS[case])
        client.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while more := client.recv(1 << 16):
                answer += more
        except ConnectionResetError:
            pass
    assert answer == b"" or answer[:1] in (b"\x15", b"H"), answer
    assert estate.gate.get("/", alice).status == 200


SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
ca_hints = "auto"
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "modern"
hosts = ["modern.test"]
tls_profile = "modern"
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[tuple[Gate, Identity]]:
    """A gate that names authorities, is modern in part, never resumes, and writes secrets for who looks for a fault."""
    folder = tmp_path_factory.mktemp("strict")
    settings, keys = 'resumption = "0s"\n', str(folder / "keys.log")
    with running_gate(folder / "gate", SITES.format(upstream=upstream.url), settings, "--key-log", keys) as gate:
        yield gate, gate.client("reader")


def s_client(gate: Gate, *arguments: str, name: str = "localhost") -> str:
    """What OpenSSL says of a handshake with `name`."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gate.port}", "-servername", name, *arguments]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_browser_is_told_whose_certificates_are_admitted(version: str, strict: tuple[Gate, Identity]) -> None:
    gate, identity = strict
    said = s_client(gate, version, "-cert", str(identity.certificate), "-key", str(identity.key))
    names = said.partition("Acceptable client certificate CA names\n")[2].partition("\nRequested")[0]
    assert "Issuing" in names, said
    assert "No client certificate CA names sent" in s_client(gate, "-tls1_3", name="modern.test")


def test_a_client_that_wants_to_renegotiate_is_told_at_once(estate: Estate) -> None:
    """RFC 5246 7.2.2: no_renegotiation. Found by testssl.sh, which waited for it in vain."""
    address = f"127.0.0.1:{estate.gate.port}"
    command = ["openssl", "s_client", "-connect", address, "-servername", "localhost", "-tls1_2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as client:
        assert client.stdin
        assert client.stdout
        client.stdin.write("R\n")
        client.stdin.flush()  # and stays open: at its end the client would go
        assert client.wait(SECONDS) == 1
        assert "no renegotiation" in client.stdout.read()


def test_a_modern_site_has_no_older_tls(strict: tuple[Gate, Identity]) -> None:
    gate, identity = strict
    assert "protocol version" in s_client(gate, "-tls1_2", name="modern.test")
    assert "Protocol  : TLSv1.2" in s_client(gate, "-tls1_2")
    assert gate.get("/", identity, host="modern.test").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_nothing_is_resumed_where_that_is_off(version: ssl.TLSVersion, strict: tuple[Gate, Identity]) -> None:
    gate, identity = strict
    tls = gate.context(identity, version=version)
    with Connection.open(gate.port, tls) as connection:
        assert connection.request("/").status == 200
        session = connection.tls.session
        assert session is None or not session.has_ticket
    with Connection.open(gate.port, tls, session=session) as connection:
        assert not connection.tls.session_reused
        assert connection.request("/").status == 200


def test_secrets_are_written_where_a_flag_says_and_status_warns(strict: tuple[Gate, Identity]) -> None:
    gate, identity = strict
    assert gate.get("/", identity).status == 200
    file = Path(gate.command("status").json["key_log"])
    try:
        assert file.stat().st_mode & 0o777 == 0o600
        assert "CLIENT_TRAFFIC_SECRET_0" in file.read_text()
    finally:
        file.unlink()


def test_no_variable_of_the_environment_makes_it_write_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Recorder
) -> None:
    """SSLKEYLOGFILE may be set for somebody's browser: the gate does not read it."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with running_gate(tmp_path / "gate", SITES.format(upstream=upstream.url)) as gate:
        assert gate.get("/", gate.client("reader")).status == 200
        assert gate.command("status").json["key_log"] is None
    assert not (tmp_path / "keys").exists()


# Lesson 7: what comes in pieces is read as what comes at once.


@pytest.mark.parametrize("way", ["on the wire", "in records"])
def test_a_client_hello_cut_anywhere_is_the_same(way: str, estate: Estate, operator: Identity) -> None:
    """Site `b` wants a role, so whoever took it for another site would say so."""
    tls = estate.gate.context(operator)
    lengths: list[int] = []

    def cut_at(position: int) -> Callable[[bytes], Iterable[bytes]]:
        def cut(hello: bytes) -> Iterable[bytes]:
            lengths.append(len(hello))
            return [hello[:position], hello[position:]] if way == "on the wire" else raw.records(hello, [position])

        return cut

    position = 1
    while not lengths or position < lengths[0] - 5:
        with Connection(Fragmented(estate.gate.port, tls, "b.test", cut_at(position))) as connection:
            assert connection.request("/", host="b.test").status == 200, position
        position += 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_the_longest_chain_that_is_read_and_the_shortest_that_is_not(
    version: ssl.TLSVersion, estate: Estate, tmp_path: Path
) -> None:
    """32 KiB in all, in as many records as TLS makes of them; beyond it a refusal, not a failure."""
    for size, reason in ((30_000, None), (33_000, "malformed"), (60_000, "malformed")):
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), bytes(size))
        identity = forge.leaf(tmp_path, estate.adopted, f"large {size}", extensions=[(extension, False)])
        with Connection.open(estate.gate.port, estate.gate.context(identity, version=version)) as connection:
            assert connection.request("/").reason == reason, size


def test_a_client_that_shakes_hands_slowly_is_served_in_time(estate: Estate, alice: Identity) -> None:
    def cut(hello: bytes) -> Iterator[bytes]:
        for start in range(0, len(hello), 50):
            time.sleep(0.05)
            yield hello[start : start + 50]

    with Connection(Fragmented(estate.gate.port, estate.gate.context(alice), "localhost", cut)) as connection:
        assert connection.request("/").status == 200


NAMES = {
    b"LOCALHOST": "served",
    b"localhost.": "served",
    b"127.0.0.1": "served or refused",
    b"": "refused",
    b"local\x00host": "refused",
    b"localhost\xff": "refused",
    b"*.test": "refused",
    b"a" * 300: "refused",
    b"localhost:8443": "refused",
}


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_in_an_odd_form_is_the_same_site_or_none(name: bytes, estate: Estate) -> None:
    """RFC 6066 3: a DNS name, without a dot at its end; OpenSSL sends whatever it is told."""
    hello = _hello_with(estate, name)
    with socket.create_connection(("127.0.0.1", estate.gate.port), SECONDS) as client:
        client.sendall(hello)
        answer = client.recv(5)
    kind = {b"\x16": "served", b"\x15": "refused", b"": "refused"}[answer[:1]]
    assert kind in NAMES[name].split(" or ")
    assert estate.gate.get("/", estate.alice).status == 200


def _hello_with(estate: Estate, name: bytes) -> bytes:
    """A ClientHello of OpenSSL's, in whose server_name stands `name`."""
    placeholder = "placeholder.test"
    outgoing = ssl.MemoryBIO()
    half = estate.gate.context(None).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=placeholder)
    with suppress(ssl.SSLWantReadError):
        half.do_handshake()
    hello = outgoing.read()
    old = placeholder.encode()
    at = hello.index(old)
    grown = len(name) - len(old)

    def longer(data: bytes, position: int, octets: int) -> bytes:
        value = int.from_bytes(data[position : position + octets]) + grown
        return data[:position] + value.to_bytes(octets) + data[position + octets :]

    # Of the name, its list, the extension; of the record and the message; of all extensions, wherever they begin.
    for position, octets in ((at - 2, 2), (at - 5, 2), (at - 7, 2), (3, 2), (6, 3), (_extensions_of(hello), 2)):
        hello = longer(hello, position, octets)
    return hello.replace(old, name)


def _extensions_of(hello: bytes) -> int:
    """Where the length of the extensions stands: behind version, random, session id, suites and compression."""
    position = 5 + 4 + 2 + 32
    position += 1 + hello[position]
    position += 2 + int.from_bytes(hello[position : position + 2])
    return position + 1 + hello[position]
