"""The six steps of the mutual handshake, as curl and OpenSSL tell them."""

import re
import ssl
import subprocess
from pathlib import Path

import pytest
from end_to_end import forge
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.raw import Connection

KINDS = ["rsa2048", "p256", "p384", "ed25519"]

# 1 hello · 2 the server's certificate · 3 the request for ours · 4 ours · 5 the proof that its key is ours · 6 finished
CURL_STEPS = {
    "1.2": [
        r"\(OUT\), TLS handshake, Client hello",
        r"\(IN\), TLS handshake, Certificate \(11\)",
        r"\(IN\), TLS handshake, Request CERT",
        r"\(OUT\), TLS handshake, Certificate \(11\)",
        r"\(OUT\), TLS handshake, CERT verify",
        r"\(IN\), TLS handshake, Finished",
    ],
    "1.3": [
        r"\(OUT\), TLS handshake, Client hello",
        r"\(IN\), TLS handshake, Request CERT",
        r"\(IN\), TLS handshake, Certificate \(11\)",
        r"\(OUT\), TLS handshake, Certificate \(11\)",
        r"\(OUT\), TLS handshake, CERT verify",
        r"\(OUT\), TLS handshake, Finished",
    ],
}
OPENSSL_STEPS = {
    "1.2": [
        ">>>.*ClientHello",
        "<<<.* Certificate$",
        "<<<.*CertificateRequest",
        ">>>.* Certificate$",
        ">>>.*CertificateVerify",
        "<<<.*Finished",
    ],
    "1.3": [
        ">>>.*ClientHello",
        "<<<.*CertificateRequest",
        "<<<.* Certificate$",
        ">>>.* Certificate$",
        ">>>.*CertificateVerify",
        ">>>.*Finished",
    ],
}


@pytest.fixture(scope="session")
def clients(estate: Estate) -> dict[str, Identity]:
    return {kind: estate.gate.client(f"handshake-{kind}", kind=kind) for kind in KINDS}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", KINDS)
def test_curl_shows_the_six_steps(kind: str, version: str, estate: Estate, clients: dict[str, Identity]) -> None:
    identity = clients[kind]
    command = ["curl", "-sv", f"--tlsv{version}", "--tls-max", version, "--cacert", str(estate.gate.root)]
    command += [*files(identity, "--cert", "--key"), f"https://localhost:{estate.gate.port}/hello"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    _in_order(CURL_STEPS[version], done.stderr)
    assert "SSL certificate verify ok" in done.stderr
    assert re.search(r"^< HTTP/\S+ 200", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_shows_the_six_steps(kind: str, version: str, estate: Estate, clients: dict[str, Identity]) -> None:
    identity = clients[kind]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{estate.gate.port}", "-servername", "localhost", "-msg"]
    command += ["-verify_return_error", "-CAfile", str(estate.gate.root), *files(identity, "-cert", "-key")]
    command += [f"-tls{version.replace('.', '_')}", "-ign_eof"]
    request = "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=30)
    _in_order(OPENSSL_STEPS[version], done.stdout)
    assert "Verification: OK" in done.stdout
    assert "HTTP/1.1 200" in done.stdout
    # Which authorities we trust is nobody's business (lesson of the table: hints break TLS beyond 64 KiB).
    assert "No client certificate CA names sent" in done.stdout


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_who_does_not_hold_the_key_does_not_get_through_the_handshake(
    version: ssl.TLSVersion, estate: Estate, clients: dict[str, Identity], tmp_path: Path
) -> None:
    """Proof first: the one thing for which a handshake fails."""
    thief = Identity(clients["p256"].certificate, forge.stolen(tmp_path, clients["p256"]))
    word = mark()
    tls = estate.gate.context(thief, version=version)
    # In TLS 1.3 the client has finished before the server looks at its proof, and hears of it when it reads.
    with pytest.raises((ssl.SSLError, ConnectionError)), Connection.open(estate.gate.port, tls) as connection:
        connection.request(f"/{word}")
    assert estate.recorder.marked(word) == []


def files(identity: Identity, certificate: str, key: str) -> list[str]:
    return [certificate, str(identity.certificate), key, str(identity.key)]


def _in_order(steps: list[str], text: str) -> None:
    position = 0
    for step in steps:
        found = re.compile(step, re.MULTILINE).search(text, position)
        assert found, f"no {step} after {text[:position][-200:]!r} in\n{text}"
        position = found.end()
