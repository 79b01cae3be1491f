"""The way for Linux and servers: the page, and the script, which is run as people run it."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from portal.asking import ANONYMOUS, HTML, JSON, TEXT, ask
from portal.served import Served, served

from mutualgate.app import Services
from mutualgate.enrolment.invitations import Invited
from mutualgate.model.invitation import Way
from mutualgate.portal.linux import make_script

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOSTILE = "x'; touch owned; echo \"$(id)` @ROOT@ @LINK@ <script> %s"

needs_tools = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None, reason="curl or openssl is not installed"
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("gate") / "gate") as running:
        yield running


names = (f"server-{number}" for number in range(1000))


def script_of(gate: Served, folder: Path, **more: Any) -> tuple[Invited, Path]:
    """An invitation and its script, as it is fetched."""
    invited = gate.services.invitations.invite(next(names), **more)
    path = folder / "linux.sh"
    done = subprocess.run(
        ["curl", "-s", "--cacert", gate.services.folder.path / "trusted.pem", f"{invited.link(gate.base)}/linux.sh"],
        capture_output=True,
    )
    path.write_bytes(done.stdout)
    return invited, path


def run(script: Path, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", script, folder], input=stdin, capture_output=True, text=True)


@needs_tools
def test_the_script_enrols(gate: Served, tmp_path: Path) -> None:
    invited, script = script_of(gate, tmp_path)
    folder = tmp_path / "a folder"
    done = run(script, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    [leaf, _] = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
    assert leaf.subject.rfc4514_string() == f"CN={invited.client.name}"
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    secret = (folder / "password").read_text().strip()
    assert len(secret) == 20
    loaded = pkcs12.load_pkcs12((folder / "client.p12").read_bytes(), secret.encode())
    assert loaded.cert is not None
    assert loaded.cert.certificate == leaf
    for name in ("key.pem", "client.p12", "password"):
        assert (folder / name).stat().st_mode & 0o077 == 0
    assert secret not in done.stdout
    # Once more, it finds everything done.
    again = run(script, folder)
    assert again.returncode == 0
    assert load_pem_private_key((folder / "key.pem").read_bytes(), None).public_key() == leaf.public_key()


@needs_tools
def test_a_lost_answer_is_fetched_with_the_same_key(gate: Served, tmp_path: Path) -> None:
    invited, script = script_of(gate, tmp_path)
    gate.lose_answers = 1
    assert run(script, tmp_path / "f").returncode == 1
    key = (tmp_path / "f" / "key.pem").read_bytes()
    assert run(script, tmp_path / "f").returncode == 0
    assert (tmp_path / "f" / "key.pem").read_bytes() == key
    assert len(gate.services.clients.show(str(invited.client.name)).credentials) == 1


@needs_tools
def test_another_ones_certificate_is_not_kept(gate: Served, tmp_path: Path) -> None:
    _, script = script_of(gate, tmp_path)
    assert run(script, tmp_path / "first").returncode == 0
    done = run(script, tmp_path / "second")
    assert done.returncode == 1
    assert "for another key" in done.stderr
    assert not (tmp_path / "second" / "chain.pem").exists()


@needs_tools
def test_a_folder_is_for_one_invitation(gate: Served, tmp_path: Path) -> None:
    """All have the same folder unless they name one: who is told that it enrolled has used its invitation."""
    _, script = script_of(gate, tmp_path)
    assert run(script, tmp_path / "f").returncode == 0
    chain = (tmp_path / "f" / "chain.pem").read_bytes()
    other, script = script_of(gate, tmp_path)
    done = run(script, tmp_path / "f")
    assert (done.returncode, done.stdout) == (1, "")
    assert "another invitation" in done.stderr
    assert (tmp_path / "f" / "chain.pem").read_bytes() == chain
    assert gate.services.invitations.get(other.invitation.id).invitation.state == "open"
    assert run(script, tmp_path / "g").returncode == 0


@needs_tools
def test_it_waits_for_an_approval_and_goes_on(gate: Served, tmp_path: Path) -> None:
    invited, script = script_of(gate, tmp_path, approval=True)
    for _ in range(2):
        done = run(script, tmp_path / "f")
        assert done.returncode == 1
        assert "Run this again" in done.stderr
    gate.services.invitations.approve(invited.invitation.id)
    assert run(script, tmp_path / "f").returncode == 0


@needs_tools
def test_the_second_code_is_asked_for(gate: Served, tmp_path: Path) -> None:
    invited, script = script_of(gate, tmp_path, second_factor=True)
    wrong = run(script, tmp_path / "f", "00000000\n")
    assert wrong.returncode == 1
    assert "second code is wrong" in wrong.stderr
    gate.lose_answers = 1
    for done in (1, 0):
        assert run(script, tmp_path / "f", f"{invited.factor}\n").returncode == done
        left = [path.name for path in (tmp_path / "f").iterdir() if str(invited.factor).encode() in path.read_bytes()]
        assert left == []


@needs_tools
def test_a_gate_with_another_root_gets_nothing(gate: Served, tmp_path: Path) -> None:
    import pki

    _, script = script_of(gate, tmp_path)
    text = script.read_text().replace(gate.root_pem.decode().strip(), pki.ca("evil").pem.decode().strip())
    script.write_text(text)
    gate.requests.clear()
    done = run(script, tmp_path / "f")
    assert done.returncode == 1
    assert "cannot prove who it is" in done.stderr
    assert gate.requests == []


@pytest.mark.parametrize("own_root", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_shellcheck_has_nothing_to_say(tmp_path: Path, own_root: bool, second: bool) -> None:
    import pki

    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    roots = [pki.ca("root").certificate] if own_root else []
    path = tmp_path / "linux.sh"
    path.write_text(
        make_script(
            "https://g.example/join/t", "https://g.example/join", "https://g.example", roots=roots, second_factor=second
        )
    )
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--enable=all", "-e", "SC2250", path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_nothing_that_anybody_chose_gets_into_the_script(services: Services, portal: "ASGIApp") -> None:
    plain = services.invitations.invite("plain")
    hostile = services.invitations.invite(HOSTILE, roles=["x"])
    scripts = []
    for invited in (plain, hostile):
        answer = ask(portal, f"/join/{invited.token}/linux.sh", accept=TEXT)
        assert answer.status == 200
        scripts.append(answer.text.replace(invited.token, "TOKEN"))
    assert scripts[0] == scripts[1]
    for address in (f"/join/{hostile.token}/linux", f"/join/{hostile.token}"):
        assert "<script>" not in ask(portal, address, accept=HTML).text.partition("</head>")[2]


def test_values_are_quoted_for_the_shell(tmp_path: Path) -> None:
    evil = "https://g'; touch owned; '/join"
    text = make_script(f"{evil}/t", evil, evil, roots=[], second_factor=False)
    head = text[: text.index("for program")]
    done = subprocess.run(
        ["sh", "-c", head + '\nprintf "%s" "$base"'], cwd=tmp_path, capture_output=True, text=True, env={"HOME": "/x"}
    )
    assert done.stdout == evil
    assert not (tmp_path / "owned").exists()


def test_its_example_asks_the_site_that_it_came_from(tmp_path: Path) -> None:
    for base in ("https://join.example", "https://g.example/join", "https://g.example/a/b"):
        site = "/".join(base.split("/")[:3])
        last = make_script(f"{base}/t", base, site, roots=[], second_factor=False).splitlines()[-1]
        values = {"PATH": os.environ["PATH"], "folder": "f", "trust": "", "base": base, "site": site}
        done = subprocess.run(["sh", "-euc", last], capture_output=True, text=True, env=values)
        assert done.stdout.endswith(f"--key f/key.pem {site}/\n")


def test_the_page_shows_the_command_with_the_hash_of_the_root(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna")
    hierarchy = services.authorities.hierarchy()
    assert hierarchy is not None
    root = x509.load_pem_x509_certificate(hierarchy.root_pem)
    digest = hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()
    for accept in (HTML, TEXT):
        answer = ask(portal, f"/join/{invited.token}/linux", accept=accept)
        assert answer.status == 200
        assert f"mutualgate enrol https://gate.test/join/{invited.token} --root-sha256 {digest}" in answer.text
    whole = ask(portal, f"/join/{invited.token}", accept=TEXT).text
    assert f"mutualgate enrol https://gate.test/join/{invited.token} --root-sha256 {digest}\n" in whole
    assert ask(portal, "/join/root.pem", accept=TEXT).body == hierarchy.root_pem
    assert hashlib.sha256(ask(portal, "/join/root.crt", accept=TEXT).body).hexdigest() == digest


def test_a_site_with_a_certificate_of_its_own_has_no_root_to_hand_out(services: Services, portal: "ASGIApp") -> None:
    from dataclasses import replace

    site = replace(services.config.sites[0], certificate=Path("x"), key=Path("y"))
    services.take(replace(services.config, sites=(site,)))
    invited = services.invitations.invite("anna")
    assert ask(portal, "/join/root.pem", accept=TEXT).status == 404
    script = ask(portal, f"/join/{invited.token}/linux.sh", accept=TEXT).text
    assert "BEGIN CERTIFICATE" not in script
    assert "own_root=no" in script
    assert "--root-sha256" not in ask(portal, f"/join/{invited.token}/linux", accept=TEXT).text
    for way in ("own", "csr"):
        assert "root.pem" not in ask(portal, f"/join/{invited.token}/{way}").text


def test_only_a_program_with_a_request_hands_one_in(services: Services, portal: "ASGIApp") -> None:
    import pki

    invited = services.invitations.invite("anna")
    request = pki.csr(pki.fresh_key(), "whoever")
    at = f"/join/{invited.token}/command"
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        assert ask(portal, at, ANONYMOUS, method="POST", body=request, content_type=wrong, accept=JSON).status in (
            400,
            403,
        )
    answer = ask(portal, at, method="POST", body=request, content_type="application/pkcs10", accept=JSON)
    assert answer.status == 200
    assert answer.json["client"] == "anna"
    assert len(answer.json["chain"]) == 2
    assert services.invitations.get(invited.invitation.id).invitation.way is Way.COMMAND


def test_an_invitation_for_other_ways_has_no_script(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna", ways=(Way.OWN,))
    for page in ("linux", "linux.sh"):
        answer = ask(portal, f"/join/{invited.token}/{page}", accept=JSON)
        assert (answer.status, answer.json["code"]) == (400, "way_not_allowed")
