"""kill -9 at any moment: what was confirmed is there, the store opens, no serial was given out twice."""

import itertools
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from end_to_end import forge
from end_to_end.gate import MUTUALGATE, Gate, command, running_gate, up
from end_to_end.raw import Connection
from end_to_end.refusal import assert_refused

SITES = '[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{ path = "/", upstream = "demo" }]\n'
KILLS = 8


def killed(folder: Path, after_seconds: float, *arguments: str) -> bool:
    """Runs a command and kills it, unless it was faster; whether it had confirmed."""
    process = subprocess.Popen(
        [*MUTUALGATE, *arguments, "--dir", str(folder), "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
    # What was printed was confirmed, even if the process had no time to end.
    assert process.returncode in (0, -signal.SIGKILL), out
    return b"}" in out


def full_time(folder: Path, *arguments: str) -> float:
    """How long the command takes when nobody kills it."""
    began = time.monotonic()
    command(folder, *arguments)
    return time.monotonic() - began


@pytest.fixture
def gate_folder(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def test_clients_that_were_confirmed_are_there(gate_folder: Path) -> None:
    with running_gate(gate_folder, SITES) as gate:
        took = full_time(gate.folder, "client", "add", "first")
        confirmed = ["first"]
        for number in range(KILLS):
            if killed(gate.folder, random.uniform(0.3, 1.1) * took, "client", "add", f"client-{number}"):
                confirmed.append(f"client-{number}")
        known = {client["name"] for client in gate.command("client", "list", "--limit", "1000").json["clients"]}
        assert set(confirmed) <= known
        gate.command("client", "add", "afterwards")


def test_certificates_that_were_confirmed_are_admitted_and_no_serial_is_there_twice(gate_folder: Path) -> None:
    with running_gate(gate_folder, SITES) as gate:
        gate.command("client", "add", "holder")
        csr, key = forge.request(gate_folder.parent, "holder")
        took = full_time(gate.folder, "client", "sign", "holder", "--csr", str(csr), "--out", f"{csr}.pem")
        outs = [Path(f"{csr}.pem")]
        for number in range(KILLS):
            out = gate_folder.parent / f"out-{number}.pem"
            said = ["client", "sign", "holder", "--csr", str(csr), "--out", str(out)]
            if killed(gate.folder, random.uniform(0.3, 1.1) * took, *said):
                outs.append(out)
        written = sorted(gate_folder.parent.glob("*.pem"))
        assert set(outs) <= set(written)
        # A file appears whole or not at all, and what is in it was recorded first.
        serials = [x509.load_pem_x509_certificate(file.read_bytes()).serial_number for file in written]
        assert len(serials) == len(set(serials))
        for file in written:
            assert gate.get("/hello", forge.Identity(file, key)).status == 200
        recorded = [entry["serial"] for entry in gate.command("client", "show", "holder").json["credentials"]]
        assert len(recorded) == len(set(recorded))
        assert {int(serial, 16) for serial in recorded} >= set(serials)


def test_revocations_that_were_confirmed_hold_and_are_on_the_list(gate_folder: Path) -> None:
    with running_gate(gate_folder, SITES) as gate:
        names = [f"leaver-{number}" for number in range(KILLS)]
        identities = {name: gate.client(name) for name in names}
        stays = gate.client("stays")
        first = gate.client("first")
        took = full_time(gate.folder, "client", "revoke", "first")
        confirmed = []
        for name in names:
            if killed(gate.folder, random.uniform(0.3, 1.1) * took, "client", "revoke", name):
                confirmed.append(name)
        for name in confirmed:
            assert_refused(gate.get("/hello", identities[name]), "revoked")
        expected = {identity.leaf().serial_number for identity in (first, *map(identities.__getitem__, confirmed))}
        # The gate refuses from the command's word on; the list follows, where a command was killed before it said so.
        deadline = time.monotonic() + 30
        while not expected <= (revoked := revoked_serials(gate, stays)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert expected <= revoked
        assert gate.get("/hello", stays).status == 200


def test_a_gate_that_was_killed_comes_back_with_all_of_it(gate_folder: Path) -> None:
    with running_gate(gate_folder, SITES) as gate:
        kept, gone = gate.client("kept"), gate.client("gone")
        gate.command("client", "revoke", "gone")
        gate.program.kill()
        # The store works without a gate, too.
        gate.command("client", "suspend", "kept")
    ports = gate.port, gate.plain_port, gate.ops_port
    with up(gate_folder, *ports) as again:
        assert_refused(again.get("/hello", gone), "revoked")
        assert_refused(again.get("/hello", kept), "client_suspended")
        again.command("client", "resume", "kept")
        assert again.get("/hello", kept).status == 200
        assert gone.leaf().serial_number in revoked_serials(again, kept)
        log = again.program.text()
    assert "password" not in log.lower()


def test_a_gate_that_is_killed_while_it_starts_starts_again(gate_folder: Path) -> None:
    gate_folder.mkdir()
    for delay in (0.3, 0.6, 0.9, 1.2):
        process = subprocess.Popen(
            [*MUTUALGATE, "up", "--dir", str(gate_folder), "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(delay)
        process.kill()
        process.wait()
    for file in itertools.chain(gate_folder.glob("*.toml"), gate_folder.glob("*.part")):
        file.unlink()
    with running_gate(gate_folder, SITES) as gate:
        assert gate.get("/hello", gate.client("after-all")).status == 200


def revoked_serials(gate: Gate, any_client: forge.Identity) -> set[int]:
    """What the list says that the certificates point to."""
    points = any_client.leaf().extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    names = points[0].full_name
    assert names is not None
    with Connection.plain(gate.plain_port) as connection:
        crl = x509.load_der_x509_crl(connection.request("/crl/" + str(names[0].value).rsplit("/crl/", 1)[1]).body)
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > forge.now()
    return {entry.serial_number for entry in crl}
