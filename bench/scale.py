"""What many partners, pins and revocations cost: loading them, memory, a handshake, and one more of them.

    .venv/bin/python bench/scale.py                    # 10,000 partners and 1,000,000 pins; 1,000,000 revocations
    .venv/bin/python bench/scale.py --partners 100 --pins 1000 --revocations 1000

Every partner has a CA with a key of its own and a name rule; the pins are digests: the judge knows no more of them. The
same is measured with one partner and one pin, which shows what size itself costs, and with those and the revocations,
which are of the gate's own authority, as after a million certificates that were revoked one by one. A judgement is one
by the judge alone, which keeps no verdicts.

A handshake is a full one, TLS 1.3 and one request, by a client in another process. The figure is the CPU time of the
gate's whole process, with the service behind it and all that it does meanwhile, and that of the data plane's threads
alone; it keeps the verdict on a certificate it has seen. All gates run at once and are asked in turn, from the moment
that the last and largest one is open. What a gate does by itself in the seconds after its start is a figure of its own.
"""

import argparse
import hashlib
import http.client
import json
import os
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from process import free_port

from mutualgate.app import Folder, Services, control
from mutualgate.app.setup import set_up

PROGRAM = [sys.executable, "-c", "import sys; from mutualgate.cli import main; sys.exit(main())"]
PART = 20_000
OWNERS = 10_000
"""Clients that share the pins: who has a pin is a number to the judge."""
DAY = timedelta(days=1)
ONES_MORE = 20
FIRST_SECONDS = 10
IN_A_TURN = 20
"""Handshakes with one gate, before the next has its turn."""
WORKERS = {f"mutualgate-{number}\n" for number in range(64)}
"""How the data plane's threads are named."""
JUDGEMENTS = 2_000

CONFIG = """[gate]
listen = ["127.0.0.1:{port}"]
plain_listen = []
ops_listen = []
access_log = ""
workers = 1

[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "required"
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, folder: Path, name: str) -> Path:
        """Both in one file, for TLS."""
        file = folder / f"{name}.pem"
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(self.pem + key)
        return file


@dataclass(frozen=True)
class Installation:
    """A folder, and three who come: by a pin, by a partner's CA, and a stranger."""

    folder: Folder
    port: int
    pinned: Pair
    under_partner: Pair
    stranger: Pair
    partners: int
    pins: int
    revocations: int

    @property
    def size(self) -> str:
        """For the head of a column."""
        return f"{self.revocations:,} revoked" if self.revocations else f"{self.partners:,} and {self.pins:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--partners", type=int, default=10_000)
    parser.add_argument("--pins", type=int, default=1_000_000)
    parser.add_argument("--revocations", type=int, default=1_000_000)
    parser.add_argument("--handshakes", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutualgate-bench-") as folder:
        sizes = ((1, 1, 0), (1, 1, options.revocations), (options.partners, options.pins, 0))
        everything = []
        for number, (partners, pins, revocations) in enumerate(dict.fromkeys(sizes)):
            print(f"\n{partners:,} partners, {pins:,} pins, {revocations:,} revocations", flush=True)
            made = installation(Path(folder) / str(number), partners, pins, revocations)
            measure(made)
            everything.append(made)
        handshakes(everything, options.handshakes)


def measure(made: Installation) -> None:
    """Prints all figures of one installation but those of handshakes."""
    work = made.folder.path.parent
    size = sum(path.stat().st_size for path in made.folder.path.glob("store.sqlite3*")) / 1e6
    print(f"  store on disk                 {size:10,.0f} MB")
    with running(made) as (gate, ready):
        begun, memory = cpu_seconds(gate.pid), resident(gate.pid)
        time.sleep(FIRST_SECONDS)
        first, then = cpu_seconds(gate.pid) - begun, resident(gate.pid)
        people = {"pin": made.pinned, "partner": made.under_partner, "stranger": made.stranger}
        for name, pair in people.items():
            (work / f"{name}.der").write_bytes(pair.der)
        command = [sys.executable, __file__, "--load", str(made.folder.path), *(str(work / f"{n}.der") for n in people)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout
        loaded = json.loads(said)
        print(f"  snapshot: read and built      {loaded['seconds']:10.2f} s, {loaded['megabytes']:,.0f} MB more")
        print(f"  gate: from command to open    {ready:10.2f} s, {memory:,.0f} MB in all")
        print(f"  gate: its next {FIRST_SECONDS} seconds       {first:10.2f} s of CPU, without any request")
        print(f"  gate: after that              {then:10,.0f} MB in all")
        print(
            f"  one revocation more, applied  {loaded['revocation']:10.3f} ms (at most {loaded['revocation_most']:.3f})"
        )
        print(f"  revocation list, made anew    {loaded['list']:10.2f} s of CPU, {loaded['list_bytes'] / 1e6:,.1f} MB")
        for name, micros in zip(people, loaded["judgements"], strict=True):
            print(f"  judgement, {name:8}           {micros:10.1f} us of CPU")
        for name, times in one_more(made).items():
            worst = max(times)
            print(f"  one {name} more, in force in   {statistics.median(times):10.1f} ms (at most {worst:.1f})")


# --- measured ---


@contextmanager
def running(made: Installation) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """The gate, and how many seconds it took to open."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [*PROGRAM, "up", "--dir", str(made.folder.path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(),
    ) as gate:
        try:
            assert gate.stdout is not None
            assert gate.stdout.readline(), "the gate did not open"
            yield gate, time.perf_counter() - begun
        finally:
            gate.terminate()


def load(folder: Path, files: list[Path]) -> None:
    """Reads the store and builds the snapshot, in a process of its own; prints seconds, growth of memory, what it
    costs to judge the certificates in `files`, how long one revocation more takes, and what a list that tells of it."""
    from mutualgate import snapshot
    from mutualgate.gate import Judge
    from mutualgate.model.revocation import RevocationReason
    from mutualgate.snapshot import records

    services = Services(Folder(folder))
    sites = snapshot.site_records(services.config)
    services.store.epoch()
    before, begun = resident(os.getpid()), time.perf_counter()
    judge = Judge(snapshot.build(services.store, sites))
    took = time.perf_counter() - begun
    grown = resident(os.getpid()) - before
    costs, at = [], int(services.clock().timestamp())
    for chain in ([file.read_bytes()] for file in files):
        begun = time.process_time()
        for _ in range(JUDGEMENTS):
            judge.decide(chain, at)
        costs.append((time.process_time() - begun) / JUDGEMENTS * 1e6)
    applied, first = [], judge.epoch + 1
    for number in range(ONES_MORE):
        one = records.RevocationRecord(authority=1, serial=digest("one more", number)[:16], at=at, reason=1)
        delta = records.encode(records.Batch(epoch=first + number, revocations=[one]))
        begun = time.perf_counter()
        judge = judge.after(delta)
        applied.append((time.perf_counter() - begun) * 1e3)
    said = {"seconds": took, "megabytes": grown, "judgements": costs}
    said |= {"revocation": statistics.median(applied), "revocation_most": max(applied)}
    services.authorities.crl("issuing")  # the gate has made it, or need not any more
    with services.store.transaction() as tx:
        issuing = services.authorities.get("issuing").id
        tx.revocations.add_many(issuing, [(digest("one more", 0)[:16], services.clock(), RevocationReason.superseded)])
    begun = time.thread_time()
    made = services.authorities.crl("issuing")
    print(json.dumps(said | {"list": time.thread_time() - begun, "list_bytes": len(made.der)}))


def handshakes(everything: Sequence[Installation], count: int) -> None:
    """Prints what a full handshake and one request cost each gate: all run at once, and each has its turn."""
    print("\nus of CPU for a handshake and a request, of the whole process and of the data plane's threads")
    print(" " * 10 + "".join(f"{one.size:>26}" for one in everything))
    with ExitStack() as stack:
        gates = [stack.enter_context(running(one))[0].pid for one in everything]
        for name in ("pin", "partner", "stranger"):
            contexts = [context(one, name) for one in everything]
            turns(everything, contexts, 1)  # warms up
            begun = [(cpu_seconds(pid), data_plane_seconds(pid)) for pid in gates]
            turns(everything, contexts, count // IN_A_TURN)
            ended = [(cpu_seconds(pid), data_plane_seconds(pid)) for pid in gates]
            spent = [b - a for one in zip(begun, ended, strict=True) for a, b in zip(*one, strict=True)]
            each = (seconds / (count // IN_A_TURN * IN_A_TURN) * 1e6 for seconds in spent)
            print(f"  {name:8}" + "".join(f"{micros:13.0f}" for micros in each), flush=True)


def turns(everything: Sequence[Installation], contexts: Sequence[ssl.SSLContext], number: int) -> None:
    """Each gate in turn, so that a busy moment of the machine meets all."""
    for _ in range(number):
        for made, tls in zip(everything, contexts, strict=True):
            for _ in range(IN_A_TURN):
                shake_hands(made, tls)


def context(made: Installation, name: str) -> ssl.SSLContext:
    """That of one of the three who come."""
    pair = {"pin": made.pinned, "partner": made.under_partner, "stranger": made.stranger}[name]
    tls = ssl.create_default_context(cafile=str(made.folder.root))
    tls.load_cert_chain(pair.write(made.folder.path.parent, name))
    tls.options |= ssl.OP_NO_TICKET
    return tls


def shake_hands(made: Installation, tls: ssl.SSLContext) -> None:
    connection = http.client.HTTPSConnection("localhost", made.port, context=tls, timeout=30)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    connection.close()


def one_more(made: Installation) -> dict[str, list[float]]:
    """Milliseconds from the moment that a change is in the store to the gate's word that it judges by it."""
    services = Services(made.folder, environment=environment())
    times: dict[str, list[float]] = {"pin": [], "partner": []}
    try:
        for number in range(ONES_MORE):
            services.clients.add(f"one-more-{number}")
            services.pins.add(f"one-more-{number}", leaf(None, f"one more {number}").pem)
            times["pin"].append(in_force(made))
            name = f"one-more-{number}"
            ca = authority(f"one more {number}")
            services.partners.add(name, names=[f"dns:*.{name}.example"])
            claim = services.partners.anchors.claim(name, ca.pem).anchor
            services.partners.anchors.approve(name, claim.id, without_proof=True)
            times["partner"].append(in_force(made))
    finally:
        services.close()
    return times


def in_force(made: Installation) -> float:
    begun = time.perf_counter()
    assert control.ask(made.folder, "sync") is not None
    return (time.perf_counter() - begun) * 1e3


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process, those that ended among them: its CPU clock (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def data_plane_seconds(pid: int) -> float:
    """Of the threads that carry traffic."""
    threads = [path.parent for path in Path(f"/proc/{pid}/task").glob("*/comm") if path.read_text() in WORKERS]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def resident(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1e3


def environment() -> dict[str, str]:
    """Nothing that the caller has set for a gate of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MUTUALGATE_")}


# --- made ---


def installation(path: Path, partners: int, pins: int, revocations: int) -> Installation:
    """A folder with so many of each; a partner and a pin are real."""
    folder, port = Folder(path), free_port()
    folder.create()
    folder.config.write_text(CONFIG.format(port=port, upstream="demo"))
    services = Services(folder, environment=environment())
    set_up(services)
    pinned, ca = leaf(None, "pinned"), authority("CA of the last")
    services.clients.add("pinned")
    services.pins.add("pinned", pinned.pem)
    # Who comes later in the tables is as far away as can be.
    now = int(services.clock().timestamp() * 1e6)
    with sqlite3.connect(folder.store) as database:
        fill(database, partners - 1, pins - 1, now)
        revoke(database, revocations, now)
    database.close()
    services.partners.add("last", names=["dns:*.last.example"])
    claim = services.partners.anchors.claim("last", ca.pem).anchor
    services.partners.anchors.approve("last", claim.id, without_proof=True)
    from mutualgate.model.partner import PartnerAdmits

    services.partners.set_admits("last", PartnerAdmits.RULE)
    services.close()
    return Installation(
        folder, port, pinned, leaf(ca, "api.last.example"), leaf(None, "stranger"), partners, pins, revocations
    )


def fill(database: sqlite3.Connection, partners: int, pins: int, now: int) -> None:
    """Rows as the program writes them, below it: a million take a minute here."""
    database.execute("PRAGMA foreign_keys=OFF")
    year = 365 * 86_400_000_000
    (first,) = database.execute("SELECT max(id) + 1 FROM client").fetchone()
    owners = max(partners, min(pins, OWNERS))
    rows: list[tuple[object, ...]] = [
        (first + n, f"client {n}", f"client {n}", "", "active", now) for n in range(owners)
    ]
    database.executemany("INSERT INTO client (id, name, name_key, contact, state, created) VALUES (?,?,?,?,?,?)", rows)
    columns = "client, kind, digest, spki, subject, environment, state, not_before, not_after, created"
    for begin in range(0, pins, PART):
        numbers = range(begin, min(begin + PART, pins))
        database.executemany(
            f"INSERT INTO pin ({columns}) VALUES (?, 'certificate', ?, ?, 'CN=x', '', 'active', ?, ?, ?)",
            [(first + n % owners, digest("pin", n), digest("key", n), now, now + year, now) for n in numbers],
        )
    (base,) = database.execute("SELECT coalesce(max(id), 0) + 1 FROM partner").fetchone()
    for n in range(partners):
        ca = authority(f"CA {n}")
        public = ca.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = hashlib.sha256(ca.certificate.subject.public_bytes()).digest()
        name = f"partner-{n}"
        database.execute(
            "INSERT INTO partner (id, name, name_key, contact, security_contact, state, admits, roles, client, created,"
            " profile, appoints)"
            " VALUES (?, ?, ?, '', '', 'active', 'rule', '', ?, ?, 'names', 0)",
            (base + n, name, name, first + n, now),
        )
        database.execute(
            "INSERT INTO anchor (partner, certificate, spki, subject_hash, subject, state, shared, depth, sub_cas,"
            " environment, not_before, not_after, expired_grace_seconds, created, revocation, grace_seconds,"
            " leaf_limit_seconds, policy, hold, approval)"
            " VALUES (?, ?, ?, ?, ?, 'active', 0, 0, '', '', ?, ?, 0, ?, 'ignore', 0, 7776000, '', 0, 0)",
            (base + n, ca.der, hashlib.sha256(public).digest(), subject, f"CN=CA {n}", now, now + 5 * year, now),
        )
        database.execute(
            "INSERT INTO name_rule (partner, kind, pattern, created) VALUES (?, 'dns', ?, ?)",
            (base + n, f"*.{name}.example", now),
        )
    database.commit()


def revoke(database: sqlite3.Connection, count: int, now: int) -> None:
    """So many serials of the issuing authority, as long as it makes them: the judge is told of no others."""
    (authority,) = database.execute("SELECT id FROM authority WHERE kind = 'issuing'").fetchone()
    rows = ((authority, b"\x40" + digest("serial", n)[:15], now, 1) for n in range(count))
    database.executemany("INSERT INTO revocation (authority, serial, at, reason) VALUES (?, ?, ?, ?)", rows)
    database.commit()


def digest(kind: str, number: int) -> bytes:
    return hashlib.sha256(f"{kind} {number}".encode()).digest()


def authority(name: str, ca: Pair | None = None) -> Pair:
    """A CA, self-signed without one above it."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, _issuer(name, ca), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Pair(builder.sign(key if ca is None else ca.key, hashes.SHA256()), key)


def leaf(ca: Pair | None, name: str) -> Pair:
    """A client's certificate, self-signed without a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, _issuer(name, ca), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Pair(builder.sign(key if ca is None else ca.key, hashes.SHA256()), key)


def _issuer(name: str, ca: Pair | None) -> str:
    return name if ca is None else ca.certificate.subject.rfc4514_string().removeprefix("CN=")


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - DAY).not_valid_after(now + 60 * DAY)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        load(Path(sys.argv[2]), [Path(file) for file in sys.argv[3:]])
    else:
        main()
