"""Certificates, a real httpd and a service that says what it received, for the tests of this folder."""

import json
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - httpd asks the machine's clock, so these must
DAY = timedelta(days=1)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Leaf:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    def file(self, folder: Path) -> Path:
        path = folder / f"{self.certificate.serial_number}.pem"
        path.write_bytes(self.pem + self.key_pem)
        return path


@dataclass
class Ca:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    revoked: list[int] = field(default_factory=list)
    number: int = 1

    @classmethod
    def root(cls, common_name: str = "Test root") -> "Ca":
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(_authority(name(common_name), key, name(common_name), key, None), key)

    def intermediate(self, common_name: str = "Test issuing") -> "Ca":
        key = ec.generate_private_key(ec.SECP256R1())
        return Ca(_authority(name(common_name), key, self.certificate.subject, self.key, 0), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def leaf(
        self,
        subject: str | x509.Name = "alice",
        *,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        hosts: tuple[str, ...] = (),
        starts: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
        key: Key | None = None,
    ) -> Leaf:
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject) if isinstance(subject, str) else subject)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + starts)
            .not_valid_after(NOW + ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False
            )
        return Leaf(builder.sign(self.key, SHA256()), key)

    def server(self, *hosts: str) -> Leaf:
        return self.leaf(hosts[0], usage=ExtendedKeyUsageOID.SERVER_AUTH, hosts=hosts)

    def crl(self, *, starts: timedelta = -DAY, ends: timedelta = 7 * DAY) -> x509.CertificateRevocationList:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW + starts)
            .next_update(NOW + ends)
            .add_extension(x509.CRLNumber(self.number), critical=False)
        )
        for serial in self.revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
            )
        return builder.sign(self.key, SHA256())

    def crl_pem(self) -> bytes:
        return self.crl().public_bytes(Encoding.PEM)

    def revoke(self, leaf: Leaf) -> None:
        self.revoked.append(leaf.certificate.serial_number)
        self.number += 1


def _authority(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    length: int | None,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(issuer_key, SHA256())
    )  # fmt: skip


class Service:
    """Answers each request with what arrived, as JSON."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = json.dumps({"line": self.requestline, "fields": list(self.headers.items())}).encode()
                # Its body is not read: nothing after it is a request.
                self.close_connection = self.command == "POST"
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the name is the base class's

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Answer:
    status: int
    body: bytes
    alert: str = ""
    """What TLS said instead of an answer."""

    @property
    def line(self) -> str:
        return str(json.loads(self.body)["line"])

    def field(self, name: str) -> str | None:
        """The value of a field that the service received; None when it did not, an error when twice."""
        values = [v for n, v in json.loads(self.body)["fields"] if n.lower() == name.lower()]
        assert len(values) < 2, f"{name} arrived twice"
        return values[0] if values else None

    def names(self) -> set[str]:
        return {n.lower() for n, _ in json.loads(self.body)["fields"]}


def ask(
    port: int,
    ca: Ca,
    leaf: Path | None,
    path: str = "/hello",
    *,
    host: str = "gate.test",
    sni: str | None = "gate.test",
    fields: tuple[tuple[str, str], ...] = (),
    method: str = "GET",
    version: ssl.TLSVersion | None = None,
) -> Answer:
    """One request, byte for byte as given; status 0 when TLS refused."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    context.check_hostname = False
    if version:
        context.minimum_version = context.maximum_version = version
    if leaf:
        context.load_cert_chain(leaf)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if not any(n.lower() == "connection" for n, _ in fields):
        lines.append("Connection: close")
    lines += [f"{n}: {v}" for n, v in fields]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=sni) as connection,
        ):
            connection.sendall(request)
            received = _answer(connection)
    except (ssl.SSLError, ConnectionError) as error:
        return Answer(0, b"", str(error))
    if not received:
        return Answer(0, b"", "closed")
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), body)


def _answer(connection: ssl.SSLSocket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
        head, found, body = received.partition(b"\r\n\r\n")
        if not found:
            continue
        for line in head.split(b"\r\n")[1:]:
            if line.lower().startswith(b"content-length:") and len(body) >= int(line.split(b":")[1]):
                return received
    return received


class Httpd:
    """A real httpd in the foreground, with a configuration of its own."""

    def __init__(self, conf: Path, port: int) -> None:
        self.conf = conf
        self.port = port
        self.process = subprocess.Popen(
            ["apache2", "-D", "FOREGROUND", "-f", str(conf)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(200):
            if self.process.poll() is not None:
                assert self.process.stdout
                raise AssertionError(self.process.stdout.read().decode())
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("httpd does not answer")

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["apache2", "-t", "-f", str(self.conf)], capture_output=True, text=True)

    def log(self) -> str:
        return (self.conf.parent / "logs" / "error.log").read_text()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        if self.process.stdout:
            self.process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
