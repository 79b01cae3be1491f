"""What a full store costs: each command on an empty installation and on one with many clients, and the start of a gate.

    .venv/bin/python bench/store.py                          # 100,000 clients
    .venv/bin/python bench/store.py --clients 1000000 --only start
    .venv/bin/python bench/store.py --keep work/full         # keeps the installation, and takes it again the next time

A command's figure is the least CPU time of its process on the full store less that on the empty one: what is left is
what the store costs, without the time to import. `sign` measures certificates by the second and core. The store holds
invented certificates: nothing that is measured parses them.
"""

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mutualgate.app import Folder, Services
from mutualgate.app.setup import set_up

CONFIG = """[gate]
listen = ["127.0.0.1:0"]
plain_listen = []
ops_listen = []
access_log = ""

[portal]
url = "https://gate.example/join"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""
PART = 5_000
LIMIT = 0.100
"""Seconds of CPU that a full store may cost a command."""

# `{n}` is a new number each time; commands that change something are asked about another client each time.
COMMANDS = [
    ["client", "list"],
    ["client", "list", "--search", "client-77777"],
    ["client", "list", "--role", "admin"],
    ["client", "list", "--state", "suspended"],
    ["client", "list", "--state", "active", "--after", "90000"],
    ["client", "show", "client-{n}"],
    ["client", "add", "new-{n}", "--role", "staff"],
    ["client", "roles", "client-{n}", "--add", "admin"],
    ["client", "suspend", "client-{n}"],
    ["client", "revoke", "client-{n}"],
    ["client", "remove", "client-{n}"],
    ["client", "p12", "client-{n}", "--out", "{file}"],
    ["client", "sign", "client-{n}", "--csr", "{csr}", "--out", "{file}"],
    ["client", "import", "{csv}", "--invite", "--out", "{file}"],
    ["invite", "guest-{n}"],
    ["invitation", "list"],
    ["invitation", "list", "--state", "waiting"],
    ["invitation", "list", "--expired"],
    ["invitation", "show", "{n}"],
    ["invitation", "revoke", "{n}"],
    ["invitation", "resend", "{n}"],
    ["pin", "list"],
    ["partner", "list"],
    ["ca", "list"],
    ["audit", "list"],
    ["status"],
    ["check"],
    ["decide", "--cert", "{pem}"],
]
SLOW = {"decide"}
"""Builds all that the judge reads, as a gate does at its start: for who asks about one certificate without a gate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["commands", "start", "sign"])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutualgate-bench-") as folder:
        work = Path(folder)
        empty = made(work / "empty", 100)
        if options.only == "sign":
            sign(empty, work)
            return
        kept = options.keep if options.keep is not None and options.keep.exists() else None
        full = work / "full"
        if kept is not None:
            shutil.copytree(kept, full)
        else:
            made(full, options.clients)
            if options.keep is not None:
                shutil.copytree(full, options.keep)
        size = sum(path.stat().st_size for path in full.glob("store.sqlite3*")) / 1e6
        print(f"{options.clients:,} clients, a credential and an invitation each: {size:,.0f} MB")
        if options.only in (None, "start"):
            start(full)
        if options.only in (None, "commands"):
            commands(empty, full, work, options.repeats)
        if options.only is None:
            sign(empty, work)


def made(path: Path, clients: int) -> Path:
    """An installation with so many clients, each with a credential and an invitation."""
    folder = Folder(path)
    folder.create()
    folder.config.write_text(CONFIG)
    services = Services(folder)
    set_up(services)
    now = services.clock()
    issuing = services.authorities.hierarchy().issuing.id
    services.close()
    moment = int(now.timestamp() * 1e6)
    with sqlite3.connect(folder.store) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        for begin in range(2, clients + 2, PART):
            _fill(database, range(begin, min(begin + PART, clients + 2)), issuing, moment)
    database.close()
    return path


def _fill(database: sqlite3.Connection, ids: range, issuing: int, now: int) -> None:
    """Rows as the program writes them, but for the audit log. Below it, since a million take a minute here."""
    day = 86_400_000_000
    rows = {
        "client": [
            (
                id,
                f"client-{id}",
                f"client-{id}",
                f"client-{id}@example.com",
                "suspended" if id % 33 == 0 else "active",
                now,
            )
            for id in ids
        ],
        "client_role": [(id, role) for id in ids for role in ("staff", f"team-{id % 50}")],
        "credential": [],
        "certificate": [],
        "serial": [],
        "key_owner": [],
        "invitation": [],
    }
    for id in ids:
        der, serial, spki = os.urandom(600), os.urandom(20), os.urandom(32)
        end = now + (1 + id % 365) * day
        digest = hashlib.sha256(der).digest()
        rows["credential"].append((id, id, issuing, serial, digest, spki, "issued", now - day, end, now, None, None))
        rows["certificate"].append((id, der))
        rows["serial"].append((issuing, serial, "client", now))
        rows["key_owner"].append((spki, id))
        rows["invitation"].append((id, id, os.urandom(32), os.urandom(32), "page,csr", now, now + 7 * day))
    columns = {
        "client": "id, name, name_key, contact, state, created",
        "client_role": "client, role",
        "credential": "id, client, authority, serial, fingerprint, spki, origin, not_before, not_after, created,"
        " replaces, superseded",
        "certificate": "credential, der",
        "serial": "authority, serial, purpose, at",
        "key_owner": "spki, client",
        "invitation": "id, client, token_hash, code_hash, ways, created, expires",
    }
    for table, values in rows.items():
        marks = ", ".join("?" for _ in values[0])
        more = ", approval, state, by, sent_to, wrong_factors, peer" if table == "invitation" else ""
        rest = ", 0, 'open', 'bench', '', 0, ''" if more else ""
        database.executemany(
            f"INSERT INTO {table} ({columns[table]}{more}) VALUES ({marks}{rest})",
            values,
        )
    database.commit()


def start(folder: Path) -> None:
    """Seconds to read the store and build what the judge reads, and until the gate is open; memory of both."""
    loading = [sys.executable, str(Path(__file__).with_name("scale.py")), "--load", str(folder)]
    loaded = json.loads(subprocess.run(loading, capture_output=True, text=True, check=True).stdout)
    print(f"snapshot: read and built in {loaded['seconds']:.1f} s, {loaded['megabytes']:,.0f} MB more")
    begun = time.perf_counter()
    with subprocess.Popen(
        [*PROGRAM, "up", "--dir", str(folder), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as gate:
        gate.stdout.readline()
        ready = time.perf_counter() - begun
        status = Path(f"/proc/{gate.pid}/status").read_text()
        memory = int(status.partition("VmRSS:")[2].split()[0]) / 1e3
        gate.terminate()
    print(f"start of the gate: {ready:.1f} s, {memory:,.0f} MB")


def commands(empty: Path, full: Path, work: Path, repeats: int) -> None:
    """Each command on both."""
    number = iter(range(10, 10**9))
    (work / "a.csr").write_bytes(_csr())
    shutil.copy(full / "root.pem", work / "a.pem")
    print(f"\n{'command':56} {'empty':>8} {'full':>8} {'costs':>8}   (ms of CPU; at most {LIMIT * 1000:.0f})")
    late = []
    for words in COMMANDS:
        took = {folder: [] for folder in (empty, full)}
        for _ in range(repeats):
            for folder in took:  # in turn, so that a busy moment meets both
                took[folder].append(_run(words, folder, work, next(number)))
        before, after = (min(values) for values in took.values())
        costs = (after - before) * 1000
        print(f"{' '.join(words):56} {before * 1000:8.0f} {after * 1000:8.0f} {costs:8.0f}", flush=True)
        if after - before > LIMIT and words[0] not in SLOW:
            late.append(" ".join(words))
    if late:
        print(f"\nover {LIMIT * 1000:.0f} ms: {', '.join(late)}")


def _run(words: list[str], folder: Path, work: Path, number: int) -> float:
    (work / "people.csv").write_text(f"name\nperson-{number}\n")
    if "{csr}" in words:
        (work / "a.csr").write_bytes(_csr())
    places = {"n": number % 80 + 10, "csr": work / "a.csr", "pem": work / "a.pem", "csv": work / "people.csv"}
    if words[1:2] in (["add"], ["import"]) or words[0] == "invite":
        places["n"] = number
    filled = [word.format(file=work / f"out-{number}", **places) for word in words]
    before = os.times()
    done = subprocess.run([*PROGRAM, *filled, "--dir", str(folder)], capture_output=True, check=False)
    after = os.times()
    took = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode not in (0, 1) and b"already" not in done.stderr and b"is " not in done.stderr:
        sys.exit(f"{' '.join(filled)}: {done.stderr.decode()}")
    return took


def sign(folder: Path, work: Path, count: int = 5_000) -> None:
    """CPU seconds of `client sign --csrs` by certificate, without the start of the process."""
    requests = work / "requests"
    requests.mkdir()
    for number in range(count):
        (requests / f"signed-{number}.csr").write_bytes(_csr())
    few = work / "few"
    few.mkdir()
    (few / "one.csr").write_bytes(_csr())
    base, _ = _cpu([*PROGRAM, "client", "sign", "--csrs", str(few), "--add", "--dir", str(folder)])
    cpu, wall = _cpu([*PROGRAM, "client", "sign", "--csrs", str(requests), "--add", "--dir", str(folder)])
    each = (cpu - base) / count
    print(f"\nclient sign --csrs, {count:,} P-256 CSRs of new clients: {each * 1e6:.0f} us of CPU each,")
    print(f"{1 / each:,.0f} certificates a second and core, durable, files written; {wall:.1f} s in all")


def _cpu(command: list[str]) -> tuple[float, float]:
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - begun


def _csr() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    return (
        x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    )


PROGRAM = [sys.executable, "-m", "mutualgate"]

if __name__ == "__main__":
    main()
