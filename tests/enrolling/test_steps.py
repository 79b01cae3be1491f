"""`mutualgate enrol` against the portal, over real TLS: what is written, what is not believed, what survives a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from portal.asking import Answer
from portal.served import Served, served

from mutualgate.authorities.keys import KeyKind
from mutualgate.enrolling import Enrolled, Kept, Waiting, enrol, parse_link, renew
from mutualgate.errors import BadInput, Conflict, MutualgateError, Unavailable
from mutualgate.model.credential import Credential
from mutualgate.model.invitation import Way

MUTUALGATE = [sys.executable, "-c", "import sys; from mutualgate.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("gate") / "gate") as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(gate: Served) -> None:
    gate.requests.clear()
    gate.lose_answers = 0
    gate.answer_first.clear()
    gate.only = None


names = (f"machine-{number}" for number in range(1000))


def invited(gate: Served, **more: Any) -> tuple[str, str]:
    """A name and a link."""
    name = next(names)
    made = gate.services.invitations.invite(name, **more)
    return name, made.link(gate.base)


def run(gate: Served, link: str, folder: Path, **more: Any) -> Enrolled | Waiting:
    return enrol(parse_link(link), Kept(folder), root_sha256=gate.root_sha256, **more)


def test_a_machine_enrols_and_gets_what_programs_want(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    folder = tmp_path / "client"
    outcome = run(gate, link, folder, target="windows-11")
    assert isinstance(outcome, Enrolled)
    assert outcome.changed
    current = folder / "current"
    assert {path.name for path in current.iterdir()} == {
        *("key.pem", "request.pem", "chain.pem", "certificate.pem", "client.p12", "password"),
        *("keystore.p12", "truststore.p12"),
    }
    [leaf, issuing] = x509.load_pem_x509_certificates((current / "chain.pem").read_bytes())
    assert leaf.subject.rfc4514_string() == f"CN={name}"
    key = load_pem_private_key((current / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    secret = (current / "password").read_text().strip().encode()
    loaded = pkcs12.load_pkcs12((current / "client.p12").read_bytes(), secret)
    assert loaded.cert is not None
    assert loaded.cert.certificate == leaf
    assert [one.certificate for one in loaded.additional_certs] == [issuing]
    for path in (folder, folder / "1"):
        assert path.stat().st_mode & 0o777 == 0o700
    for secret_file in ("key.pem", "client.p12", "keystore.p12", "password", "request.pem"):
        assert (current / secret_file).stat().st_mode & 0o077 == 0, secret_file
    assert (folder / "state.json").stat().st_mode & 0o077 == 0
    token = link.rpartition("/")[2]
    assert token not in (folder / "state.json").read_text(), "the token is used up, and kept no longer"


@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool is not installed")
def test_java_reads_both_stores(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    run(gate, link, tmp_path / "client")
    current = tmp_path / "client" / "current"
    secret = (current / "password").read_text().strip()

    def listed(store: str) -> str:
        done = subprocess.run(
            ["keytool", "-list", "-keystore", current / store, "-storepass", secret], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert "PrivateKeyEntry" in listed("keystore.p12")
    assert "trustedCertEntry" in listed("truststore.p12")


def test_run_again_it_changes_nothing(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    run(gate, link, tmp_path / "client")
    before = (tmp_path / "client" / "current" / "key.pem").read_bytes()
    gate.requests.clear()
    again = run(gate, link, tmp_path / "client")
    assert isinstance(again, Enrolled)
    assert not again.changed
    assert gate.requests == []
    assert (tmp_path / "client" / "current" / "key.pem").read_bytes() == before


def test_a_lost_answer_is_fetched_by_the_next_run_with_the_same_key(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    gate.lose_answers = 1
    with pytest.raises(Unavailable):
        run(gate, link, tmp_path / "client")
    key = (tmp_path / "client" / "1" / "key.pem").read_bytes()
    assert isinstance(run(gate, link, tmp_path / "client"), Enrolled)
    assert (tmp_path / "client" / "current" / "key.pem").read_bytes() == key
    assert len(gate.services.clients.show(name).credentials) == 1


def test_an_invitation_that_somebody_else_used_is_not_taken_for_ours(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    run(gate, link, tmp_path / "thief")
    with pytest.raises(BadInput) as refused:
        run(gate, link, tmp_path / "client")
    assert refused.value.code == "invitation_used"
    assert not (tmp_path / "client" / "current").exists()


def test_with_approval_it_waits_and_goes_on(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate, approval=True)
    assert isinstance(run(gate, link, tmp_path / "client"), Waiting)
    assert isinstance(run(gate, link, tmp_path / "client"), Waiting)
    [waiting] = [one for one in gate.services.invitations.list().invitations if str(one.client.name) == name]
    gate.services.invitations.approve(waiting.invitation.id)
    assert isinstance(run(gate, link, tmp_path / "client"), Enrolled)


def test_the_second_code_is_sent_in_a_field_and_never_in_an_address(gate: Served, tmp_path: Path) -> None:
    made = gate.services.invitations.invite(next(names), second_factor=True)
    link = made.link(gate.base)
    with pytest.raises(BadInput) as refused:
        run(gate, link, tmp_path / "client")
    assert refused.value.code == "second_factor_needed"
    assert isinstance(run(gate, link, tmp_path / "client", factor=made.factor), Enrolled)
    assert not any(str(made.factor) in line for line in gate.requests)


def test_an_invitation_for_other_ways_is_not_for_machines(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate, ways=(Way.PAGE,))
    with pytest.raises(BadInput) as refused:
        run(gate, link, tmp_path / "client")
    assert refused.value.code == "way_not_allowed"


def test_a_gate_that_cannot_prove_who_it_is_gets_nothing(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    with pytest.raises(Unavailable) as refused:
        enrol(parse_link(link), Kept(tmp_path / "client"))  # the system's roots do not know it
    assert refused.value.code == "server_not_trusted"
    assert "--root-sha256" in str(refused.value)
    with pytest.raises(BadInput) as wrong:
        enrol(parse_link(link), Kept(tmp_path / "other"), root_sha256="ab" * 32)
    assert wrong.value.code == "wrong_root"
    assert not [line for line in gate.requests if line.startswith("POST")], "a request left before trust was there"
    # Asked again with the right hash, the same folder works.
    assert isinstance(run(gate, link, tmp_path / "other"), Enrolled)


def test_a_root_that_was_changed_on_the_disk_is_not_believed(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate, approval=True)
    run(gate, link, tmp_path / "client")
    (tmp_path / "client" / "root.pem").write_bytes(pki.ca("evil").pem)
    with pytest.raises(BadInput, match="not the root that was checked"):
        run(gate, link, tmp_path / "client")


def test_a_folder_is_for_one_invitation(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate, approval=True)
    run(gate, link, tmp_path / "client")
    _, other = invited(gate)
    with pytest.raises(Conflict) as refused:
        run(gate, other, tmp_path / "client")
    assert refused.value.code == "folder_in_use"


def test_a_folder_is_for_one_invitation_after_it_was_used_too(gate: Served, tmp_path: Path) -> None:
    """Else who is told that it is enrolled has not used the link, nor has what it lets in."""
    name, link = invited(gate)
    assert isinstance(run(gate, link, tmp_path / "client"), Enrolled)
    gate.services.clients.revoke(name)
    other = gate.services.invitations.invite(name, ways=list(Way))
    for wrong in (other.link(gate.base), f"{gate.base}/{'A' * 43}"):
        with pytest.raises(Conflict) as refused:
            run(gate, wrong, tmp_path / "client")
        assert refused.value.code == "folder_in_use"
    assert gate.services.invitations.get(other.invitation.id).invitation.state == "open"
    assert isinstance(run(gate, other.link(gate.base), tmp_path / "anew"), Enrolled)


def test_a_renewal_that_was_not_finished_is_left_to_the_next_one(gate: Served, tmp_path: Path) -> None:
    """Only that one asks whether the gate lets the new certificate in."""
    _, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    first = (folder / "current").readlink()
    renew(Kept(folder))
    (folder / "current").unlink()
    (folder / "current").symlink_to(first)
    again = run(gate, link, folder)
    assert isinstance(again, Enrolled)
    assert not again.changed
    assert (folder / "current").readlink() == first


def test_a_folder_that_others_may_read_is_not_used(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    (tmp_path / "client").mkdir(mode=0o755)
    with pytest.raises(BadInput) as refused:
        run(gate, link, tmp_path / "client")
    assert refused.value.code == "others_may_read"


def test_a_key_that_others_may_have_read_is_not_certified(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate, approval=True)
    run(gate, link, tmp_path / "client")
    (tmp_path / "client" / "1" / "key.pem").chmod(0o644)
    with pytest.raises(BadInput) as refused:
        run(gate, link, tmp_path / "client")
    assert refused.value.code == "others_may_read"


def test_an_rsa_key_is_made_when_asked_for(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    outcome = run(gate, link, tmp_path / "client", kind=KeyKind.RSA2048)
    assert isinstance(outcome, Enrolled)
    assert isinstance(outcome.certificate.public_key(), rsa.RSAPublicKey)


def test_an_unknown_target_is_refused_before_anything_is_made(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    with pytest.raises(BadInput):
        run(gate, link, tmp_path / "client", target="windoze")
    assert not (tmp_path / "client").exists()


@pytest.mark.parametrize(
    "link",
    [
        "http://gate.example/join/" + "a" * 43,
        "https://gate.example/join/short",
        "https://user@gate.example/join/" + "a" * 43,
        "https://gate.example/join/" + "a" * 43 + "?x",
        "https://gate.example:99999/join/" + "a" * 43,
        "https:///join/" + "a" * 43,
        "gate.example/join/" + "a" * 43,
        "https://gate.example/join/" + "a" * 42 + "\u202e",
        "https://gate.example/join/a b" + "a" * 43,
        "",
    ],
)
def test_what_is_no_link_is_refused(link: str) -> None:
    with pytest.raises(BadInput):
        parse_link(link)


def test_a_link_is_taken_apart() -> None:
    token = "Ab3_" * 10 + "xyz"
    link = parse_link(f" https://gate.example:8443/join/{token}/\n")
    assert (link.url, link.base) == (f"https://gate.example:8443/join/{token}", "https://gate.example:8443/join")
    assert parse_link("https://g.example/join/Ab3d-Ef4h-Jk5m").base == "https://g.example/join"


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        enrol(parse_link("https://127.0.0.1:1/join/" + "a" * 43), Kept(tmp_path / "client"))
    assert refused.value.code == "no_answer"


def test_killed_at_any_moment_it_ends_with_one_credential(gate: Served, tmp_path: Path) -> None:
    """kill -9, again and again, at moments that move through the whole run; then a run that is left alone."""
    name, link = invited(gate)
    folder = tmp_path / "client"
    words = [*MUTUALGATE, "enrol", link, "--out", str(folder), "--root-sha256", gate.root_sha256]
    for number in range(14):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 0.25 + number * 0.06
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    view = gate.services.clients.show(name)
    assert len(view.credentials) == 1
    leaf = x509.load_pem_x509_certificate((folder / "current" / "certificate.pem").read_bytes())
    key = load_pem_private_key((folder / "current" / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    assert [path.name for path in folder.iterdir() if path.name.isdecimal()] == ["1"]


def test_the_command_says_how_the_files_are_used(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    folder = tmp_path / "client"
    words = [*MUTUALGATE, "enrol", link, "--out", str(folder), "--root-sha256", gate.root_sha256]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in (
        "enrolled, until",
        f"curl --cert {folder}/current/chain.pem",
        "keyStore",
        "proxy_ssl_",
        "X509Certificate",
    ):
        assert part in done.stdout, part
    secret = (folder / "current" / "password").read_text().strip()
    assert secret not in done.stdout
    renewed = subprocess.run([*MUTUALGATE, "enrol", "--renew", str(folder)], capture_output=True, text=True)
    assert "nothing to do before" in renewed.stdout
    for wrong in ((), (link, "--renew", str(folder))):
        assert subprocess.run([*MUTUALGATE, "enrol", *wrong], capture_output=True).returncode == 2


def test_a_renewal_makes_a_new_key_and_puts_it_into_force_when_it_is_let_in(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder, kind=KeyKind.P384)
    first = (folder / "current" / "key.pem").read_bytes()
    renewed = renew(Kept(folder))
    assert renewed.changed
    assert os.readlink(folder / "current") == "2"
    assert (folder / "1" / "key.pem").read_bytes() == first
    second = load_pem_private_key((folder / "current" / "key.pem").read_bytes(), None)
    assert isinstance(second, ec.EllipticCurvePrivateKey)
    assert second.curve.name == "secp384r1"
    assert second.public_key() == renewed.certificate.public_key()
    assert renewed.certificate.subject.rfc4514_string() == f"CN={name}"
    assert (folder / "current" / "keystore.p12").exists()
    assert gate.requests[-3:] == ["POST /join/renew", "GET /join/root.pem", "GET /join/renew"]
    # And once more, with what is in force now.
    renew(Kept(folder))
    assert os.readlink(folder / "current") == "3"


def test_the_next_root_is_learned_over_a_trusted_connection_only(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    before = (folder / "root.pem").read_bytes()
    gate.services.authorities.rotate_root()
    # An enrolment believes a hash, and nothing else that is sent beside it.
    _, other = invited(gate)
    run(gate, other, tmp_path / "other")
    assert (tmp_path / "other" / "root.pem").read_bytes() == before
    renew(Kept(folder))
    assert (folder / "root.pem").read_bytes().startswith(before)
    assert len(x509.load_pem_x509_certificates((folder / "root.pem").read_bytes())) == 2
    renew(Kept(folder))  # and what was learned is known to be ours
    (folder / "root.pem").write_bytes(before + pki.ca("evil").pem)
    with pytest.raises(BadInput, match="not the root that was checked"):
        renew(Kept(folder))


def test_the_old_one_stays_in_force_until_the_new_one_is_let_in(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    known = {one.fingerprint for one in all_credentials(gate)}
    gate.only = known
    with pytest.raises(Unavailable) as refused:
        renew(Kept(folder))
    assert refused.value.code == "not_in_yet"
    assert os.readlink(folder / "current") == "1"
    gate.only = None
    gate.requests.clear()
    renew(Kept(folder))
    assert os.readlink(folder / "current") == "2"
    assert "POST /join/renew" not in gate.requests, "the certificate was there already"


def test_a_renewal_whose_answer_was_lost_ends_with_one_successor(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    gate.lose_answers = 1
    with pytest.raises(Unavailable):
        renew(Kept(folder))
    assert os.readlink(folder / "current") == "1"
    renew(Kept(folder))
    assert len(gate.services.clients.show(name).credentials) == 2


def test_a_refused_renewal_leaves_everything_as_it_is(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    gate.services.clients.suspend(name)
    with pytest.raises(MutualgateError) as refused:
        renew(Kept(folder))
    assert refused.value.code == "client_suspended"
    assert os.readlink(folder / "current") == "1"


def test_one_that_has_expired_is_renewed_for_the_key_that_it_had(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    problem = b'{"title": "It has expired.", "code": "renewal_needs_same_key"}'
    gate.answer_first = [Answer(409, {"Content-Type": "application/problem+json"}, problem)]
    renew(Kept(folder))
    assert os.readlink(folder / "current") == "2"
    assert (folder / "2" / "key.pem").read_bytes() == (folder / "1" / "key.pem").read_bytes()


def test_killed_at_any_moment_a_renewal_ends_with_one_successor(gate: Served, tmp_path: Path) -> None:
    name, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    words = [*MUTUALGATE, "enrol", "--renew", str(folder), "--now"]
    for number in range(12):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 0.25 + number * 0.06
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        current = folder / "current"
        leaf = x509.load_pem_x509_certificate((current / "chain.pem").read_bytes())
        key = load_pem_private_key((current / "key.pem").read_bytes(), None)
        assert key.public_key() == leaf.public_key(), "what is in force fits together at every moment"
        if os.readlink(current) != "1":
            break
    else:
        assert subprocess.run(words, capture_output=True).returncode == 0
    assert len(gate.services.clients.show(name).credentials) == 2
    assert len([path for path in folder.iterdir() if path.name.isdecimal()]) == 2


def all_credentials(gate: Served) -> list[Credential]:
    page = gate.services.clients.list(limit=1000)
    return [one for client in page.clients for one in gate.services.clients.show(str(client.name)).credentials]


def test_an_unfinished_enrolment_is_not_renewed(gate: Served, tmp_path: Path) -> None:
    _, link = invited(gate, approval=True)
    run(gate, link, tmp_path / "client")
    with pytest.raises(Conflict) as refused:
        renew(Kept(tmp_path / "client"))
    assert refused.value.code == "unfinished"


def test_link_and_code_can_be_told_where_nobody_else_reads(gate: Served, tmp_path: Path) -> None:
    made = gate.services.invitations.invite(next(names), second_factor=True)
    words = [*MUTUALGATE, "enrol", "-", "--code", "-", "--out", str(tmp_path / "c"), "--root-sha256", gate.root_sha256]
    done = subprocess.run(words, input=f"\ufeff{made.link(gate.base)}\n{made.factor}\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    missing = subprocess.run([*words[:-4], "--out", str(tmp_path / "d")], input="", capture_output=True, text=True)
    assert missing.returncode == 2
    assert "standard input" in missing.stderr


def test_what_was_never_enrolled_is_not_renewed(tmp_path: Path) -> None:
    done = subprocess.run([*MUTUALGATE, "enrol", "--renew", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "mutualgate enrol LINK" in done.stderr


def test_curl_uses_what_was_written(gate: Served, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    name, link = invited(gate)
    folder = tmp_path / "client"
    run(gate, link, folder)
    current = folder / "current"
    words: list[str | Path] = [
        "curl",
        "-s",
        "--cert",
        current / "chain.pem",
        "--key",
        current / "key.pem",
        "--cacert",
        folder / "root.pem",
    ]
    done = subprocess.run([*words, f"{gate.base}/renew"], capture_output=True, text=True)
    assert done.stdout == f"In, as {name}.\n"
