"""The portal over real TLS, in this process: a stand-in for the gate that asks for a certificate and says who it is.

It judges nothing: whoever shows a certificate that the store knows is admitted. What the gate does with others, the
end-to-end tests show.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from portal.asking import ANONYMOUS, Answer, _ask, admitted, refused

from mutualgate.app import Folder, Services
from mutualgate.portal.application import application


@dataclass
class Served:
    """A portal that answers, and what it was asked."""

    services: Services
    port: int
    requests: list[str] = field(default_factory=list)
    lose_answers: int = 0
    """So many answers to a POST do not arrive."""
    answer_first: list[Answer] = field(default_factory=list)
    """What the next POSTs are answered instead."""
    only: set[bytes] | None = None
    """Fingerprints of the certificates that are let in; None: all that are known."""

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}/join"

    @property
    def root_sha256(self) -> str:
        from cryptography import x509

        root = x509.load_pem_x509_certificate(self.root_pem)
        from cryptography.hazmat.primitives import hashes

        return root.fingerprint(hashes.SHA256()).hex()

    @property
    def root_pem(self) -> bytes:
        hierarchy = self.services.authorities.hierarchy()
        assert hierarchy is not None
        return hierarchy.root_pem

    def who(self, der: bytes | None) -> dict[str, str]:
        """What the gate would say of a certificate."""
        if der is None:
            return ANONYMOUS
        fingerprint = sha256(der).digest()
        with self.services.store.reading() as tx:
            credential = tx.credentials.with_fingerprint(fingerprint)
            client = None if credential is None else tx.clients.get(credential.client)
        if client is None or (self.only is not None and fingerprint not in self.only):
            return refused([der], "revoked", "It is not let in.", known=True)
        return admitted(str(client.name), [der], client_id=client.id, roles=tuple(map(str, client.roles)))


CONFIG = """[[sites]]
name = "main"
hosts = ["localhost", "127.0.0.1"]
routes = [{ path = "/", upstream = "demo" }]
"""


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Sets an installation up and serves its portal until the block ends."""
    place = Folder(folder)
    place.create()
    place.config.write_text(CONFIG)
    services = Services(place, environment={"MUTUALGATE_PASSPHRASE": "a passphrase for tests"})
    services.authorities.create()
    portal = application(services, mounts=lambda: ["/join"])
    made = services.authorities.server_certificate("main", ("localhost", "127.0.0.1"))
    pem = folder / "server.pem"
    pem.write_bytes(made.chain_pem + made.key_pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    tls.verify_mode = ssl.CERT_OPTIONAL

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            running.requests.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = self.connection
            assert isinstance(connection, ssl.SSLSocket)
            who = running.who(connection.getpeercert(binary_form=True))
            headers = {**{name: value for name, value in self.headers.items()}, "X-Forwarded-Proto": "https", **who}
            if running.answer_first and self.command == "POST":
                answer = running.answer_first.pop(0)
            else:
                answer = asyncio.run(_ask(portal, self.command, self.path, headers, [body]))
            if running.lose_answers and self.command == "POST":
                running.lose_answers -= 1
                connection.close()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = _any  # noqa: N815 - as http.server wants them

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # clients go away in these tests

        def get_request(self) -> tuple[ssl.SSLSocket, Any]:
            plain, peer = super().get_request()
            return tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer

    root = folder / "trusted.pem"
    running = Served(services, 0)
    root.write_bytes(running.root_pem)
    tls.load_verify_locations(root)
    server = Server(("127.0.0.1", 0), Handler)
    running.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        services.close()
