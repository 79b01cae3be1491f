"""What a partner's CA revokes is refused at our gate: lists by openssl over HTTP, answers by openssl's responder."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.process import free_port
from publisher import Publisher, publisher

pytestmark = pytest.mark.timeout(400)  # many commands, each a program of its own

SITES = """[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }]
"""
CONFIG = """[ca]
default_ca = here
[here]
database = index.txt
crlnumber = number
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_crl_days = 7
unique_subject = no
"""


class Acme:
    """A partner with a CA that openssl runs."""

    def __init__(self, folder: Path, url: str, responder: str = "") -> None:
        self.folder = folder
        folder.mkdir()
        self.url, self.responder = url, responder
        self.ca = pki.ca("acme issuing", path_length=0, now=pki.real_now())
        self.ca.write(folder, "ca")
        (folder / "index.txt").write_text("")
        (folder / "number").write_text("01\n")
        (folder / "openssl.cnf").write_text(CONFIG)

    def client(self, name: str) -> Identity:
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([x509.DNSName(f"{name}.acme.example")]), False),
            (x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
        ]
        if self.url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(self.url)], None, None, None)
            extensions.append((x509.CRLDistributionPoints([point]), False))
        if self.responder:
            where = x509.UniformResourceIdentifier(self.responder)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, where)
            extensions.append((x509.AuthorityInformationAccess([access]), False))
        issued = pki.issue(self.ca, name, now=pki.real_now(), days=30, extensions=extensions)
        certificate, key = issued.write(self.folder, name)
        return Identity(certificate, key)

    def openssl(self, *arguments: str) -> None:
        pki.openssl(*arguments, cwd=self.folder)

    def revoke(self, name: str, reason: str = "keyCompromise") -> None:
        self.openssl("ca", "-config", "openssl.cnf", "-revoke", f"{name}.crt", "-crl_reason", reason)

    def list(self, *more: str) -> bytes:
        self.openssl("ca", "-config", "openssl.cnf", "-gencrl", "-out", "acme.crl", *more)
        return (self.folder / "acme.crl").read_bytes()


def register(gate: Gate, acme: Acme, *terms: str) -> int:
    """As an operator does: partner, CA, proof."""
    gate.command("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    claim = gate.command("partner", "ca", "add", "acme", acme.folder / "ca.crt", *terms).json
    proof = acme.folder / "proof.pem"
    proof.write_bytes(pki.leaf(acme.ca, claim["challenge"], now=pki.real_now()).pem)
    gate.command("partner", "ca", "prove", "acme", proof)
    return int(claim["id"])


def reason(gate: Gate, identity: Identity) -> str | None:
    response = gate.get("/hello", identity, [("Accept", "application/json")])
    return None if response.status == 200 else str(response.json()["reason"])


def until(what: Callable[[], bool]) -> None:
    """Waits for what the gate does by itself; the test's timeout is the limit."""
    while not what():
        time.sleep(0.2)


def metrics(gate: Gate) -> str:
    url = f"http://127.0.0.1:{gate.ops_port}/metrics"
    return subprocess.run(["curl", "-sf", url], capture_output=True, text=True, check=True).stdout


def sources(gate: Gate) -> dict[str, dict[str, Any]]:
    (ca,) = gate.command("partner", "crl", "list", "acme").json["cas"]
    return {source["url"]: source for source in ca["sources"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Gate, Acme, Publisher]]:
    with publisher() as server, running_gate(tmp_path / "gate", SITES) as gate:
        yield gate, Acme(tmp_path / "acme", server.url("/acme.crl").replace("127.0.0.1", "localhost")), server


def test_revoked_at_the_partner_s_ca_is_refused_here(world: tuple[Gate, Acme, Publisher]) -> None:
    gate, acme, server = world
    register(gate, acme, "--revocation", "fail")
    anna, ben = acme.client("anna"), acme.client("ben")
    server.put("/acme.crl", acme.list())
    assert reason(gate, anna) == "crl_missing"
    # The gate learns the address from the certificate that was shown, and does nothing with it.
    until(lambda: acme.url in sources(gate))
    assert sources(gate)[acme.url]["state"] == "learned"
    assert server.asked == []
    # Approved in good faith, but the name leads to this machine: nothing is asked, and the operator sees why.
    gate.command("partner", "crl", "approve", "acme", acme.url)
    until(lambda: sources(gate)[acme.url]["failures"] > 0)
    assert "leads into a private network or to this machine" in sources(gate)[acme.url]["error"]
    assert server.asked == []
    assert reason(gate, anna) == "crl_missing"
    gate.command("partner", "crl", "approve", "acme", acme.url, "--private")
    until(lambda: reason(gate, anna) is None)
    # Revoked there, published, fetched, refused here.
    acme.revoke("anna")
    server.put("/acme.crl", acme.list())
    fetched = gate.command("partner", "crl", "fetch", "acme").json
    assert (fetched["fetched"][0]["entries"], fetched["in_force"]) == (1, True)
    response = gate.get("/hello", anna, [("Accept", "application/json")])
    assert (response.status, response.json()["reason"]) == (403, "revoked")
    assert f"{pki.real_now():%Y}" in str(response.json())
    assert reason(gate, ben) is None
    until(
        lambda: (
            [(one["entries"], one["problem"]) for one in gate.command("status").json["partner_lists"]] == [(1, None)]
        )
    )
    until(lambda: 'mutualgate_partner_list_entries{partner="acme",ca="1"} 1' in metrics(gate))


def test_a_list_that_is_late_by_policy(world: tuple[Gate, Acme, Publisher]) -> None:
    gate, acme, _ = world
    ca = register(gate, acme, "--revocation", "fail")
    anna, ben = acme.client("anna"), acme.client("ben")
    acme.revoke("anna")
    acme.list("-crlsec", "1")
    gate.command("partner", "crl", "load", "acme", acme.folder / "acme.crl")
    until(lambda: reason(gate, ben) == "crl_expired")
    assert reason(gate, anna) == "revoked", "what it says of who was revoked is still true"
    gate.command("partner", "ca", "set", "acme", str(ca), "--revocation", "grace", "--grace", "24h")
    assert reason(gate, ben) is None
    gate.command("partner", "ca", "set", "acme", str(ca), "--revocation", "ignore", "--leaf-limit", "90d")
    assert reason(gate, ben) is None
    assert reason(gate, anna) == "revoked"
    gate.command("partner", "ca", "set", "acme", str(ca), "--leaf-limit", "7d")
    assert reason(gate, ben) == "path_invalid", "what nobody can revoke may not live for thirty days"


@contextmanager
def responder(acme: Acme, port: int) -> Iterator[None]:
    """openssl's, until the block ends; it reads its table at the start."""
    with subprocess.Popen(
        [
            *("openssl", "ocsp", "-index", "index.txt", "-CA", "ca.crt", "-rsigner", "ca.crt", "-rkey", "ca.key"),
            *("-port", str(port), "-ndays", "1", "-ignore_err"),
        ],
        cwd=acme.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.kill()


def test_a_responder_is_asked(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    acme = Acme(tmp_path / "acme", "", url)
    with running_gate(tmp_path / "gate", SITES) as gate:
        register(gate, acme, "--revocation", "fail")
        anna, ben = acme.client("anna"), acme.client("ben")
        for name in ("anna", "ben"):
            acme.openssl("ca", "-config", "openssl.cnf", "-valid", f"{name}.crt")
        with responder(acme, port):
            assert reason(gate, anna) == "crl_missing"
            until(lambda: url in sources(gate))
            gate.command("partner", "crl", "approve", "acme", url, "--private")
            until(lambda: reason(gate, anna) is None)
            # A client that is new is asked about at its first sight.
            assert reason(gate, ben) == "crl_missing"
            until(lambda: reason(gate, ben) is None)
        acme.revoke("anna")
        with responder(acme, port):
            until(lambda: gate.command("partner", "crl", "fetch", "acme", check=False).code == 0)
            assert reason(gate, anna) == "revoked"
            assert reason(gate, ben) is None
