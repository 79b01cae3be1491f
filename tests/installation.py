"""An installation to test with: set up once, copied for each test, with a first client whose key is at hand."""

import http.client
import json
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from mutualgate.app import Folder, Services
from mutualgate.app.setup import first_client, set_up

PASSPHRASE = {"MUTUALGATE_PASSPHRASE": "a passphrase for tests"}

CONFIG = """[gate]
listen = ["127.0.0.1:0"]
plain_listen = []
ops_listen = []
access_log = ""

[[sites]]
name = "main"
hosts = ["localhost", "127.0.0.1"]
routes = [{ path = "/", upstream = "demo" }]
"""


@dataclass(frozen=True)
class Installation:
    """A folder in which everything was set up."""

    folder: Folder
    p12: Path
    password: str

    @property
    def config(self) -> Path:
        return self.folder.config

    def services(self) -> Services:
        return Services(self.folder, environment={})

    def pem(self) -> Path:
        """The first client's certificate and key in one file, for TLS."""
        key, certificate, _ = pkcs12.load_key_and_certificates(self.p12.read_bytes(), self.password.encode())
        assert key is not None
        assert certificate is not None
        path = self.folder.path.parent / "first.pem"
        path.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return path

    def get(self, port: int, path: str = "/hello", *, certificate: Path | None = None) -> tuple[int, Any]:
        """Status and JSON body of one request, over a connection of its own."""
        context = ssl.create_default_context(cafile=str(self.folder.root))
        if certificate is not None:
            context.load_cert_chain(certificate)
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        kind = response.headers.get("Content-Type", "")
        return response.status, json.loads(body) if "json" in kind else body


def make(path: Path) -> Installation:
    """A new installation in the folder `path`."""
    folder = Folder(path)
    folder.create()
    folder.config.write_text(CONFIG)
    services = Services(folder, environment={})
    try:
        set_up(services)
        first = first_client(services)
    finally:
        services.close()
    assert first is not None
    return Installation(folder, first.p12, first.password)


def copy(of: Installation, to: Path) -> Installation:
    """The same at another place."""
    shutil.copytree(of.folder.path, to)
    folder = Folder(to)
    return Installation(folder, folder.clients / of.p12.name, of.password)
