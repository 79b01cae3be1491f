"""Machines come in by themselves, through the gate as it runs: `mutualgate enrol`, the script, a device over SCEP."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from end_to_end import axe, browsers
from end_to_end.forge import Identity
from end_to_end.gate import MUTUALGATE, Gate, running_gate
from portal.device import Device

pytestmark = pytest.mark.end_to_end

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("machines") / "gate", SITES) as gate:
        yield gate


def invite(gate: Gate, name: str, *more: str) -> tuple[str, str]:
    """The link, and the hash of the root that it is opened with."""
    said = gate.command("invite", name, *more).json
    root = x509.load_pem_x509_certificate(gate.root.read_bytes())
    assert said["root_sha256"] == root.fingerprint(hashes.SHA256()).hex()
    return said["link"], said["root_sha256"]


def enrol(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command as a machine runs it, which has no installation."""
    return subprocess.run([*MUTUALGATE, "enrol", *map(str, words)], capture_output=True, text=True, timeout=60)


def greeting(gate: Gate, folder: Path) -> str:
    """What the service behind says to whoever has these files."""
    identity = Identity(folder / "chain.pem", folder / "key.pem")
    response = gate.get("/hello", identity, [("Accept", "text/plain")])
    assert response.status == 200, response.body
    return response.body.decode()


def test_a_machine_enrols_is_let_in_and_renews(gate: Gate, tmp_path: Path) -> None:
    link, root = invite(gate, "backup")
    folder = tmp_path / "client"
    done = enrol(link, "--out", folder, "--root-sha256", root)
    assert done.returncode == 0, done.stderr
    assert "backup" in greeting(gate, folder / "current")
    assert "nothing to do" in enrol("--renew", folder).stdout
    renewed = enrol("--renew", folder, "--now")
    assert renewed.returncode == 0, renewed.stderr
    assert os.readlink(folder / "current") == "2"
    assert "backup" in greeting(gate, folder / "current")
    assert "backup" in greeting(gate, folder / "1"), "the old one goes on for a while"


def test_a_machine_that_was_revoked_does_not_renew(gate: Gate, tmp_path: Path) -> None:
    link, root = invite(gate, "stolen")
    folder = tmp_path / "client"
    assert enrol(link, "--out", folder, "--root-sha256", root).returncode == 0
    gate.command("client", "revoke", "stolen", "--reason", "keyCompromise")
    refused = enrol("--renew", folder, "--now")
    assert refused.returncode != 0
    assert "revoked" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert os.readlink(folder / "current") == "1"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_script_brings_a_server_in(gate: Gate, tmp_path: Path) -> None:
    link, _ = invite(gate, "web-1", "--way", "command")
    script = tmp_path / "linux.sh"
    subprocess.run(["curl", "-sf", "--cacert", gate.root, "-o", script, f"{link}/linux.sh"], check=True)
    done = subprocess.run(["sh", script, tmp_path / "client"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web-1" in greeting(gate, tmp_path / "client")


def test_a_device_brings_its_own_key(gate: Gate, tmp_path: Path) -> None:
    link, _ = invite(gate, "phone", "--way", "apple")
    base, _, token = link.rpartition("/")
    tls = ssl.create_default_context(cafile=str(gate.root))
    with urlopen(f"{base}/scep?operation=GetCACert", context=tls) as response:
        known = x509.load_pem_x509_certificates(
            pki.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=response.read())
        )
    [recipient] = [one for one in known if one.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment]
    device = Device(tmp_path / "device", token)
    message = device.message(device.envelope(recipient))
    request = Request(
        f"{base}/scep?operation=PKIOperation", message, {"Content-Type": "application/x-pki-message"}, method="POST"
    )
    trust = tmp_path / "trust.pem"
    trust.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in known if one != recipient))
    with urlopen(request, context=tls) as response:
        reply = device.read(response.read(), trust)
    assert reply.certificate is not None
    # A device sends its leaf alone: the gate knows what is above it.
    (tmp_path / "chain.pem").write_bytes(reply.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(pki.key_pem(device.key))
    assert "phone" in greeting(gate, tmp_path)


def test_what_a_gate_tells_of_its_root(gate: Gate, tmp_path: Path) -> None:
    link, root = invite(gate, "other", "--way", "command")
    tls = ssl.create_default_context(cafile=str(gate.root))
    with urlopen(Request(f"{link}/linux", headers={"Accept": "text/plain"}), context=tls) as response:
        assert f"mutualgate enrol {link} --root-sha256 {root}" in response.read().decode()
    said = subprocess.run(
        [*MUTUALGATE, "invite", "third", "--dir", gate.folder], capture_output=True, text=True, check=True
    )
    assert f"mutualgate enrol LINK --root-sha256 {root}" in said.stdout


def test_a_machine_goes_along_when_the_root_changes(tmp_path: Path) -> None:
    with running_gate(tmp_path / "gate", SITES) as gate:  # of its own: the others go on with the root they know
        _root_changes(gate, tmp_path)


def _root_changes(gate: Gate, tmp_path: Path) -> None:
    link, root = invite(gate, "long-lived", "--way", "command")
    folder = tmp_path / "client"
    assert enrol(link, "--out", folder, "--root-sha256", root).returncode == 0
    assert (folder / "root.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 1
    new = gate.command("ca", "rotate", "root").json["name"]
    learned = enrol("--renew", folder, "--now")
    assert learned.returncode == 0, learned.stderr
    assert (folder / "root.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    # The gate's own certificate hangs on the new root from now on.
    gate.command("ca", "rotate", "issuing", "--under", new)
    done = enrol("--renew", folder, "--now")
    assert done.returncode == 0, done.stderr
    assert os.readlink(folder / "current") == "3"
    words: list[str | Path] = [
        "curl",
        "-s",
        "-o",
        os.devnull,
        "-w",
        "%{http_code} %{ssl_verify_result}",
        "--cacert",
        folder / "root.pem",
    ]
    if shutil.which("curl"):
        said = subprocess.run([*words, link.rpartition("/join/")[0]], capture_output=True, text=True).stdout
        assert said.endswith(" 0"), said


@pytest.mark.timeout(400)  # browsers are slow on a busy machine
def test_no_page_of_these_ways_hinders_anybody(gate: Gate, tmp_path: Path, screenshots: Path) -> None:
    if reason := axe.missing() or browsers.chromium_missing():
        pytest.skip(reason)
    link = gate.command("invite", "axel", "--second-factor", "--approve").json["link"]
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    found: dict[str, list[str]] = {}
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    looks: list[dict[str, Any]] = [{"color_scheme": "light"}, {"color_scheme": "dark", **phone}]
    for look in looks:
        with browsers.chromium_session(tmp_path / "home", **look) as page:
            for way in ("linux", "windows", "apple"):
                page.goto(f"{link}/{way}")
                name = f"{way}-{look['color_scheme']}"
                page.screenshot(path=screenshots / f"portal-{name}.png", full_page=True)
                found[name] = axe.problems(page)
    assert {name: problems for name, problems in found.items() if problems} == {}
