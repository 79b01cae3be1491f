"""The demo as a person, a program and a terminal see it, over the socket that the gate would use."""

import asyncio
import base64
import http.client
import json
import socket
from pathlib import Path

import pytest
from apache.kit import Ca
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.clock import system_clock
from mutualgate.demo.handshake import seen
from mutualgate.demo.page import render
from mutualgate.demo.service import application
from mutualgate.serving import serving, unix_socket

CA = Ca.root("Issuing")
ALICE = CA.leaf("alice")


def client_cert(certificate: x509.Certificate) -> str:
    return f":{base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"


FIELDS = {
    "Mutualgate-Verdict": "admitted",
    "Mutualgate-Client-Id": "7",
    "Mutualgate-Client": "alice%20b",
    "Mutualgate-Roles": "admin,o%2Cps",
    "Mutualgate-Authority": "issuing 1",
    "Mutualgate-Credential": "ab" * 32,
    "Mutualgate-Subject": "CN=alice",
    "Mutualgate-Tls": "version=TLSv1.3; cipher=TLS_AES_128_GCM_SHA256; group=X25519; resumed=no; "
    "sni=gate.test; alpn=h2",
    "Client-Cert": client_cert(ALICE.certificate),
    "X-Forwarded-For": "192.0.2.7",
}

STEPS = (
    "The client says hello",
    "The gate answers with its certificate",
    "The client checks the gate",
    "The gate asks: and who are you?",
    "The client shows its certificate and proves that it is its own",
    "The gate decides, and the channel is encrypted",
)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gate.test", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def ask(tmp_path: Path, path: str = "/hello", **fields: str) -> tuple[http.client.HTTPResponse, str]:
    async def run() -> tuple[http.client.HTTPResponse, str]:
        async with serving(application(), unix_socket(tmp_path / "demo.sock")):
            return await asyncio.to_thread(request)

    def request() -> tuple[http.client.HTTPResponse, str]:
        connection = UnixConnection(tmp_path / "demo.sock")
        connection.request("GET", path, headers={n.replace("_", "-"): v for n, v in fields.items()})
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response, body

    return asyncio.run(run())


def ask_as_alice(tmp_path: Path, accept: str) -> tuple[http.client.HTTPResponse, str]:
    return ask(tmp_path, **FIELDS, Accept=accept)


def test_a_terminal_gets_text_with_the_six_steps(tmp_path: Path) -> None:
    response, body = ask_as_alice(tmp_path, "*/*")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert body.startswith("Hello, alice b.\n")
    places = [body.index(f"{number}. {title}") for number, title in enumerate(STEPS, 1)]
    assert places == sorted(places)
    for fact in (
        "TLS 1.3", "TLS_AES_128_GCM_SHA256", "X25519", "gate.test", "HTTP/2", "192.0.2.7", "CN=alice", "CN=Issuing",
        "ECDSA on P-256", f"{ALICE.certificate.serial_number:x}", "29 days left", "admin, o,ps", "issuing 1", "(no. 7)",
    ):  # fmt: skip
        assert fact in body


def test_a_browser_gets_a_page_without_script(tmp_path: Path) -> None:
    response, body = ask_as_alice(tmp_path, "text/html,application/xhtml+xml,*/*;q=0.8")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script" not in body
    assert "<h1>Hello, alice b.</h1>" in body
    for title in STEPS:
        assert title in body
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Accept"


def test_a_program_gets_values(tmp_path: Path) -> None:
    response, body = ask_as_alice(tmp_path, "application/json")
    assert response.headers["Content-Type"] == "application/json"
    said = json.loads(body)
    assert said["client"] == {
        "verdict": "admitted",
        "id": "7",
        "name": "alice b",
        "roles": ["admin", "o,ps"],
        "authority": "issuing 1",
        "credential": "ab" * 32,
    }
    assert said["certificate"]["serial"] == f"{ALICE.certificate.serial_number:x}"
    assert said["tls"]["group"] == "X25519"
    assert [step["number"] for step in said["steps"]] == [1, 2, 3, 4, 5, 6]


def test_a_resumed_session_is_told_as_what_it_is(tmp_path: Path) -> None:
    resumed = {**FIELDS, "Mutualgate-Tls": FIELDS["Mutualgate-Tls"].replace("resumed=no", "resumed=yes")}
    said = json.loads(ask(tmp_path, **resumed, Accept="application/json")[1])
    assert [step["number"] for step in said["steps"] if step["skipped"]] == [3, 4, 5]


def test_who_is_not_known_is_not_greeted_by_name(tmp_path: Path) -> None:
    body = ask(tmp_path, Mutualgate_Verdict="anonymous")[1]
    assert body.startswith("Hello, whoever you are.")
    assert "anonymous" in body


def test_without_a_gate_it_says_so(tmp_path: Path) -> None:
    body = ask(tmp_path)[1]
    assert body.startswith("Nobody guards this door.")
    assert "did not come through the gate" in body
    assert "it went on" not in body


def test_the_root_leads_to_the_page(tmp_path: Path) -> None:
    response, _ = ask(tmp_path, "/")
    assert (response.status, response.headers["Location"]) == (302, "/hello")


def test_it_says_that_it_lives(tmp_path: Path) -> None:
    assert ask(tmp_path, "/healthz")[1] == "ok\n"
    assert ask(tmp_path, "/nothing")[0].status == 404


def test_a_stream_comes_line_by_line(tmp_path: Path) -> None:
    async def run() -> str:
        async with serving(application(), unix_socket(tmp_path / "demo.sock")):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "demo.sock"))
            writer.write(b"GET /ticks HTTP/1.1\r\nHost: gate.test\r\n\r\n")
            received = await asyncio.wait_for(reader.readuntil(b"data: 2 "), 20)
            writer.close()
            return received.decode()

    received = asyncio.run(run())
    assert "text/event-stream" in received
    assert "data: 1 " in received


@pytest.mark.parametrize("kind", ["html", "text", "json"])
def test_a_hostile_certificate_stays_text(kind: str) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "<script>alert(1)</script>\x1b[2J\r\nMutualgate: x"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "{{ 7 * 7777777 }}"),
        ]
    )
    leaf = CA.leaf(subject, key=rsa.generate_private_key(65537, 2048))
    fields = {n.lower(): v for n, v in FIELDS.items()} | {
        "client-cert": client_cert(leaf.certificate),
        "mutualgate-client": "%3Cimg%20src=x%20onerror=alert(1)%3E%1B[2J",
    }
    body = render(seen(fields, system_clock()), kind)[0].decode()
    assert "RSA, 2048 bits" in body
    assert "54444439" not in body
    if kind == "html":
        assert "<script>alert" not in body
        assert "<img src=x" not in body
    else:
        assert "\x1b" not in body


@given(
    st.dictionaries(st.sampled_from([n.lower() for n in FIELDS]), st.text(max_size=80)),
    st.sampled_from(["html", "text", "json"]),
)
def test_whatever_the_fields_say_there_is_a_page(fields: dict[str, str], kind: str) -> None:
    assert render(seen(fields, system_clock()), kind)[0]
