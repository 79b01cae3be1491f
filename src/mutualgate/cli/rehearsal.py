"""Runs commands on an installation that is thrown away, so that what they make once in a process is made.

SQL for each statement, flags of each command, what libraries set up when they are first used: half of the time of a
command that has nothing left to import.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mutualgate.cli import run
from mutualgate.clock import system_clock

_CONFIG = """[gate]
listen = ["127.0.0.1:0"]
plain_listen = []
ops_listen = []

[portal]
url = "https://localhost/join"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rehearsal")])
_COMMANDS = """
client add anna --role staff --contact anna@example.com
client list
client list --search a --role staff
client list --state active --after 1
client show anna
client roles anna --add admin
client p12 anna --out {folder}/anna.p12
client sign anna --csr {folder}/anna.csr --out {folder}/anna.pem
client suspend anna
client resume anna
client import {folder}/people.csv --invite --out {folder}/links.csv
invite bert
invitation list
invitation list --state waiting
invitation list --expired
invitation show 1
invitation resend 1
invitation revoke 1
pin add anna {folder}/own.pem
pin list
pin list anna
partner add acme --names dns:*.acme.example
partner ca add acme {folder}/acme.pem
partner list
partner show acme
partner member add acme dns:anna.acme.example
partner member add acme dns:ben.acme.example
partner member list acme
partner suspend acme
trust undo
partner remove acme
trust undo
partner name add acme dns:*.more.example
partner name remove acme dns:*.more.example
trust undo
trust list
trust try partner suspend acme
trust try partner name add acme dns:*.other.example
trust try partner ca add acme {folder}/next-ca.pem
trust try partner remove acme
trust try pin add carla {folder}/next.pem
trust try pin retire 1
trust try partner member suspend acme dns:anna.acme.example
trust try client suspend anna
trust try client revoke anna
trust try client remove anna
ca list
expiring
notices list
audit list
explain {folder}/root.pem
decide --cert {folder}/root.pem
check
status
upstream list
client revoke anna
client remove anna
"""
_ONCE_MORE = ("client show carla", "client list", "trust try partner suspend acme")


def rehearse(place: Path) -> None:
    """Makes the installation in the folder `place`, and runs commands on it. What fails of it is not missed."""
    from mutualgate.app import Folder, Services
    from mutualgate.app.setup import set_up
    from mutualgate.app.trial import FEW

    folder = Folder(place)
    with suppress(Exception), _unseen():
        folder.create()
        folder.config.write_text(_CONFIG)
        (place / "people.csv").write_text("name,roles\ncarla,staff\n")
        (place / "anna.csr").write_bytes(_csr())
        own, acme = _Certificate(None), _Certificate(None, is_ca=True)
        (place / "own.pem").write_bytes(own.pem)
        (place / "acme.pem").write_bytes(acme.pem)
        (place / "next.pem").write_bytes(_Certificate(None).pem)
        (place / "next-ca.pem").write_bytes(_Certificate(None, is_ca=True).pem)
        services = Services(folder)
        try:
            set_up(services)
            at = int(services.clock().timestamp() * 1000)
            # What concerns the partner is tried as of many, and what concerns its client anna as of few.
            shown = [own, _Certificate(acme), *(_Certificate(acme, "ben") for _ in range(FEW))]
            services.sightings.keep({"kind": "seen", "chain": [one.der], "at": at} for one in shown)
        finally:
            services.close()
        for line in _COMMANDS.strip().splitlines():
            run([*line.format(folder=place).split(" "), "--dir", str(place)])


def rehearse_once_more(place: Path) -> Iterator[None]:
    """Runs commands there, in a copy of the process, with each step one: they write to most of the memory that any
    command writes to, of which the copy has its own from then on. The first is the shortest that does."""
    for line in _ONCE_MORE:
        with suppress(Exception), _unseen():
            run([*line.split(" "), "--dir", str(place)])
        yield


@contextmanager
def _unseen() -> Iterator[None]:
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        sys.stdin = stdin


def _csr() -> bytes:
    asked = x509.CertificateSigningRequestBuilder().subject_name(_NAME)
    return asked.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)


class _Certificate:
    """Good for a year; `issuer` is None for one that signs itself."""

    def __init__(self, issuer: "_Certificate | None", name: str = "anna", *, is_ca: bool = False) -> None:
        self._key, now = ec.generate_private_key(ec.SECP256R1()), system_clock()
        made = (
            x509.CertificateBuilder(_NAME, _NAME, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.acme.example")]), critical=False)
        )
        signed = made.sign((issuer or self)._key, hashes.SHA256())
        self.pem, self.der = signed.public_bytes(Encoding.PEM), signed.public_bytes(Encoding.DER)
