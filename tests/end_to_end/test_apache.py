"""A real Apache with the configuration that we export, before the same Jetty: it lets in whom the gate lets in."""

import os
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end import forge, java
from end_to_end.forge import DAY, SERVER_AUTH, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.process import answers, free_port, running
from end_to_end.raw import Connection

APACHE = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")


@dataclass(frozen=True)
class Both:
    """The gate and an Apache before one service."""

    gate: Gate
    port: int
    adopted: forge.Authority
    revoked: Identity


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    if problem := java.missing():
        pytest.skip(problem)
    if APACHE is None:
        pytest.skip("not installed: apache2 (scripts/install-test-packages.sh)")
    folder = tmp_path_factory.mktemp("apache")
    adopted = forge.authority(folder / "adopted")
    with java.container("jetty", folder / "jetty.log") as url:
        sites = f'[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{{ path = "/", upstream = "{url}" }}]\n'
        with running_gate(folder / "gate", sites) as gate:
            gate.command("ca", "adopt", "--cert", adopted.certificate_file, "--key", adopted.key_file)
            revoked = gate.client("revoked-before")
            gate.command("client", "revoke", "revoked-before")
            port = free_port()
            out = folder / "out"
            gate.command("export", "apache", "--upstream", url, "--out", out, "--listen", f"127.0.0.1:{port}")
            with running("apache2", [APACHE, "-D", "FOREGROUND", "-f", out / "httpd.conf"], folder / "log") as httpd:
                httpd.wait_for(lambda: answers(port))
                yield Both(gate, port, adopted, revoked)


def admitted(port: int, gate: Gate, identity: Identity | None, version: ssl.TLSVersion) -> bool:
    """Whether the servlet answered."""
    tls = gate.context(identity, version=version)
    try:
        with Connection.open(port, tls) as connection:
            response = connection.request("/hello")
    except (ssl.SSLError, ConnectionError):
        return False
    return response.status == 200 and b'"servlet":"hello"' in response.body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_they_agree_about_everybody(version: ssl.TLSVersion, both: Both, tmp_path: Path) -> None:
    gate, adopted = both.gate, both.adopted
    name = f"issued-{version.name.lower()}"
    crowd: dict[str, tuple[Identity | None, bool]] = {
        "nobody": (None, False),
        "issued": (gate.client(name), True),
        "adopted": (forge.leaf(tmp_path, adopted), True),
        "without usages": (forge.leaf(tmp_path, adopted, usages=None), True),
        "other": (forge.leaf(tmp_path, forge.authority(tmp_path / "other")), False),
        "expired": (forge.leaf(tmp_path, adopted, not_before=-9 * DAY, not_after=-DAY), False),
        "not yet valid": (forge.leaf(tmp_path, adopted, not_before=DAY), False),
        "server": (forge.leaf(tmp_path, adopted, usages=[SERVER_AUTH]), False),
        "tampered": (forge.leaf(tmp_path, adopted, tampered=True), False),
        "self-signed": (forge.self_signed(tmp_path), False),
    }
    for who, (identity, expected) in crowd.items():
        assert admitted(gate.port, gate, identity, version) is expected, f"the gate and {who}"
        assert admitted(both.port, gate, identity, version) is expected, f"Apache and {who}"


def test_the_service_is_told_the_same(both: Both, tmp_path: Path) -> None:
    identity = forge.leaf(tmp_path, both.adopted, "told", serial=0x0A1B2C)  # OpenSSL writes it with the zero
    seen = []
    for port in (both.gate.port, both.port):
        with Connection.open(port, both.gate.context(identity)) as connection:
            headers = connection.request("/hello").json()["headers"]
        seen.append({name.lower(): values for name, values in headers.items()})
    for name in ("client-cert", "mutualgate-subject", "mutualgate-issuer", "mutualgate-serial", "mutualgate-verdict"):
        assert seen[0][name] == seen[1][name], name


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_what_was_revoked_before_the_export_is_refused_by_both(version: ssl.TLSVersion, both: Both) -> None:
    for port in (both.gate.port, both.port):
        assert not admitted(port, both.gate, both.revoked, version)
