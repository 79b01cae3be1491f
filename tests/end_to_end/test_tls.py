"""What is agreed on in a handshake, and what becomes of whoever begins with something else."""

import functools
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from end_to_end.estate import Estate
from end_to_end.forge import Identity
from end_to_end.raw import SECONDS, Connection

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
    response = plain.request("/secret?token=x", [("Accept", "*/*")], host=f"localhost:{estate.gate.port}")
    assert (response.status, response.reason) == (400, "needs_tls")
    assert response.json()["detail"] == f"What is wanted here is https://localhost:{estate.gate.port}/."
    # To lead on by itself would hide that something was sent in the clear.
    assert response.header("location") is None
    assert "token" not in str(response)
    assert plain.closed()
    assert estate.recorder.marked("secret") == []


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
