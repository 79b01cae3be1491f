"""kill -9 at any moment: what was confirmed is there, nothing is there by half, no number was given twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mirror
import pytest
from cryptography import x509

from mutualgate import audit
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clock import system_clock
from mutualgate.model.names import ClientName
from mutualgate.snapshot import build
from mutualgate.store import Store

# Adds, signs and revokes for ever; prints a line after each call that returned: what a user takes as confirmed.
_WORKER = """
import sys, itertools
from pathlib import Path
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import Passphrase
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.clock import system_clock
from mutualgate.enrolment.service import Enrolment
from mutualgate.store import Store
import pki

store = Store.open(Path(sys.argv[1]), system_clock)
keys = KeyRing(lambda: Passphrase(b"a passphrase for tests", "the tests"))
clients, enrolment, authorities = Clients(store), Enrolment(store, keys), Authorities(store, keys)

def say(*words):
    print(*words, flush=True)

say("ready")
for number in itertools.count():
    name = f"{sys.argv[2]}-{number}"
    clients.add(name, roles=["a"])
    say("added", name)
    signed = enrolment.sign(name, pki.csr(pki.fresh_key()))
    say("signed", name, f"{signed.certificate.serial_number:x}")
    if number % 2 == 0:
        clients.revoke(name)
        say("revoked", name, f"{signed.certificate.serial_number:x}")
    if number % 5 == 0:
        clients.suspend(name)
        say("suspended", name)
    if number % 3 == 0:
        say("crl", authorities.crl("issuing").number)
"""


def _killed(path: Path, worker: str, after: float) -> Iterator[list[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(path), worker],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    # A line that was cut off was not confirmed.
    yield from (line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n"))


@pytest.mark.parametrize("seed", range(4))
def test_what_was_confirmed_survives(tmp_path: Path, keys: KeyRing, seed: int) -> None:
    path = tmp_path / "store.sqlite3"
    store = Store.open(path, system_clock)
    Authorities(store, keys).create()
    store.close()
    moments = random.Random(seed)
    confirmed = [line for round in range(3) for line in _killed(path, f"r{round}", moments.uniform(0.0, 0.35))]

    store = Store.open(path, system_clock)
    told = mirror.of(build(store, []))
    crl = Authorities(store, keys).crl("issuing")
    listed = {entry.serial_number for entry in x509.load_der_x509_crl(crl.der)}
    with store.reading() as tx:
        everything = [one for part in tx.credentials.walk(1_000) for one in part]
        credentials = tx.credentials.get_many(one[1] for one in everything).values()
        serials = [one.serial.hex().lstrip("0") for one in credentials]
        assert len(serials) == len(set(serials))
        revoked = {one.serial.hex().lstrip("0") for one in credentials if one.revocation is not None}
        for what, name, *more in confirmed:
            if what == "crl":
                assert crl.number >= int(name)
                continue
            client = tx.clients.find(ClientName(name))
            assert client is not None, f"{name} was confirmed and is lost"
            if what == "suspended":
                assert client.suspended
                assert told.clients[client.id].suspended
            if what in ("signed", "revoked"):
                assert more[0] in serials
            if what == "revoked":
                assert more[0] in revoked
                assert int(more[0], 16) in listed
        # Nothing by half: a credential has its certificate, its number, its key's owner and an active client.
        for one in credentials:
            assert tx.credentials.certificate(one.id) is not None
            assert tx.serials.taken(one.authority, one.serial)
            assert tx.credentials.key_owner(one.spki) == one.client
            owner = tx.clients.get(one.client)
            assert owner is not None
            assert owner.state != "new"
        changes = tx.changes.since(0)
        assert changes is not None
        assert [change.seq for change in changes] == list(range(1, told.epoch + 1))
        actions = [entry.action for entry in tx.audit.walk()]
        assert actions.count("credential.sign") == len(credentials)
        assert actions.count("credential.revoke") == len(revoked)
    assert isinstance(audit.verify(store), audit.Verified)
    store.close()
