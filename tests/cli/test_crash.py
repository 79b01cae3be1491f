"""Invitations, CSRs and renewals in one run, with kill -9 in the middle of each: none lost, none twice.

MUTUALGATE_PROOF is how many in all (10,000 take some minutes); the count is split over the three kinds.
"""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import mirror
import pki
import pytest
from commands import Run
from cryptography import x509
from installation import Installation

from mutualgate import audit
from mutualgate.model.credential import CredentialState
from mutualgate.snapshot import build

COUNT = int(os.environ.get("MUTUALGATE_PROOF", "400"))
INVITED, SIGNED, RENEWED = COUNT * 4 // 10, COUNT * 3 // 10, COUNT * 3 // 10

# Renews what the folder of `client sign` holds, each with a CSR that is on the disk first, as `mutualgate enrol` does;
# uses up the invitations in the file of links. Prints a line for each answer that came: what a user has in hand.
_WORKER = """
import csv, sys
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mutualgate.app import Folder, Services
from mutualgate.errors import Conflict
from mutualgate.model.invitation import Way
import pki

folder, requests, links = map(Path, sys.argv[1:4])
renewed, used = map(int, sys.argv[4:])
services = Services(Folder(folder))

def kept(path):
    if not path.exists():
        beside = path.with_suffix(".tmp")
        beside.write_bytes(pki.csr(pki.fresh_key()))
        beside.replace(path)
    return path.read_bytes()

print("ready", flush=True)
for number in range(renewed):
    current = x509.load_pem_x509_certificates((requests / f"client-{number}.crt").read_bytes())[0]
    csr = kept(requests / f"next-{number}.pending")
    signed = services.renewals.renew(current.public_bytes(Encoding.DER), csr, peer="192.0.2.7")
    print("renewed", signed.client.name, f"{signed.certificate.serial_number:x}", flush=True)
with links.open(newline="") as file:
    for number, row in zip(range(used), csv.DictReader(file)):
        token = row["link"].rpartition("/")[2]
        try:
            outcome = services.invitation_use.sign(
                token, kept(requests / f"claim-{number}.pending"), way=Way.COMMAND, peer="192.0.2.7"
            )
        except Conflict:
            outcome = services.invitation_use.collect(token, peer="192.0.2.7")
        print("claimed", outcome.client.name, f"{outcome.signed.certificate.serial_number:x}", flush=True)
print("done", flush=True)
"""


def started(arguments: Sequence[str], said: Path) -> subprocess.Popen[bytes]:
    """Starts a program that speaks into a file: a pipe that nobody reads would stop it."""
    with said.open("wb") as out:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(arguments, stdout=out, env=environment)


def killed(arguments: Sequence[str], said: Path, done: Callable[[], int], enough: int) -> list[str]:
    """Starts a program and kills it once it has done `enough`; what it had said by then, whole lines only."""
    with started(arguments, said) as process:
        while process.poll() is None and done() <= enough:
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
    return [line for line in said.read_text().splitlines(keepends=True) if line.endswith("\n")]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.timeout(120 + COUNT)
def test_none_is_lost_and_none_is_there_twice(cli: Run, installed: Installation, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "mutualgate"]
    at = ["--dir", str(installed.folder.path)]
    table, links, requests = tmp_path / "people.csv", tmp_path / "people.invitations.csv", tmp_path / "csrs"
    table.write_text("name\n" + "".join(f"invited-{number}\n" for number in range(INVITED)))
    requests.mkdir()
    for number in range(SIGNED):
        (requests / f"client-{number}.csr").write_bytes(pki.csr(pki.fresh_key()))

    # Killed twice at each step, and started once more to the end.
    said = tmp_path / "said"
    for third in (1, 2):
        words = [*program, "client", "import", str(table), "--invite", *at]
        killed(words, said, lambda: lines(links), INVITED * third // 3)
    rest = cli("client", "import", table, "--invite", "--json").json
    assert rest["invited"] + rest["before"] == INVITED

    for third in (1, 2):
        words = [*program, "client", "sign", "--csrs", str(requests), "--add", *at]
        killed(words, said, lambda: len(list(requests.glob("*.crt"))), SIGNED * third // 3)
    rest = cli("client", "sign", "--csrs", requests, "--add", "--json").json
    assert rest["signed"] + rest["again"] == SIGNED

    confirmed: list[list[str]] = []
    where = (str(installed.folder.path), str(requests), str(links))
    worker = [sys.executable, "-c", _WORKER, *where, str(RENEWED), str(INVITED)]
    for share in (30, 70):
        enough = (RENEWED + INVITED) * share // 100
        confirmed += [line.split() for line in killed(worker, said, lambda: lines(said), enough) if line != "ready\n"]
    with started(worker, said) as process:
        assert process.wait(timeout=3_600) == 0
    done = said.read_text().splitlines()
    assert done[-1] == "done"
    final = [line.split() for line in done[1:-1]]
    assert len(final) == RENEWED + INVITED
    assert {tuple(one) for one in confirmed} <= {
        tuple(one) for one in final
    }  # the answer that came is the one that holds

    services = installed.services()
    with services.store.reading() as tx:
        everything = [row for part in tx.credentials.walk(1_000) for row in part]
        credentials = list(tx.credentials.get_many(row[1] for row in everything).values())
        # The first client's, one for each CSR, one for each renewal, one for each invitation.
        assert len(credentials) == 1 + SIGNED + RENEWED + INVITED
        assert len({(one.authority, one.serial) for one in credentials}) == len(credentials)
        assert len({one.fingerprint for one in credentials}) == len(credentials)
        owners = tx.clients.get_many({one.client for one in credentials})
        names = [str(owners[one.client].name) for one in credentials]
        assert names.count("client-0") == 2
        assert names.count(f"invited-{INVITED - 1}") == 1
        assert {one.state for one in owners.values()} == {"active"}
        assert all(one.state is CredentialState.VALID for one in credentials)
        serials = {one.serial.hex().lstrip("0") for one in credentials}
        assert {serial for _, _, serial in final} <= serials
        assert tx.invitations.count(now=services.clock()) == INVITED
        replaced = [one.replaces for one in credentials if one.replaces is not None]
        assert len(replaced) == len(set(replaced)) == RENEWED
        actions = [entry.action for entry in tx.audit.walk()]
    for number in range(SIGNED):
        leaf = x509.load_pem_x509_certificates((requests / f"client-{number}.crt").read_bytes())[0]
        assert f"{leaf.serial_number:x}" in serials
    with links.open(newline="") as file:
        opened = {row["name"] for row in csv.DictReader(file)}
    assert opened == {f"invited-{number}" for number in range(INVITED)}
    assert actions.count("invitation.create") == INVITED
    assert actions.count("credential.renew") == RENEWED
    assert actions.count("credential.sign") == SIGNED + INVITED
    assert isinstance(audit.verify(services.store), audit.Verified)
    told = mirror.of(build(services.store, []))
    assert len(told.clients) == 1 + SIGNED + INVITED
    services.close()
