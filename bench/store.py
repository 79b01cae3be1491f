"""What a full store costs: commands and pages on an empty installation and on one with many clients; a gate's start.

    .venv/bin/python bench/store.py                          # 100,000 clients
    .venv/bin/python bench/store.py --only commands
    .venv/bin/python bench/store.py --only shell             # the commands in `mutualgate shell` only
    .venv/bin/python bench/store.py --only pages
    .venv/bin/python bench/store.py --clients 1000000 --only start
    .venv/bin/python bench/store.py --keep work/full         # keeps the installation, and takes it again the next time

Figures are CPU time, user and system, the least of the repeats. A command is measured as a process, from exec to end,
where another one stands by (as one does beside every gate; then also on the clock) and where none does; and in a
`mutualgate shell`, from its line to its answer, where the first time is said, too, and the time on the clock. A page
is asked as the gate asks it, without the gate.
`sign` measures certificates by the second and core, those of `openssl ca` beside it. The store holds invented
certificates, but for those of the clients of the partners `signed`, `thousand` and `hundred`: these were seen with a CA
between, and are judged by their signatures. All clients of `hosts` came in by its administrators' invitations.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from scale import Pair, authority, digest, fill, leaf

from mutualgate.app import Folder, Services
from mutualgate.app.setup import set_up
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.partners.names import name_hash
from mutualgate.partners.terms import Terms

if TYPE_CHECKING:
    from portal.asking import Answer

T = TypeVar("T")
Filled = Callable[[list[str]], list[str]]
"""Words with what they are asked about, and the folder."""

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
TOLD = 1_000
"""Events of a gate that are kept at once."""
FIRST = 10
"""The number of the first invented client."""
SUSPENDED = 33
"""One client in so many is suspended."""
SEEN, REFUSED = 80_000, 9_000
"""Certificates seen of clients, and refusals: as many as are kept, and nearly."""
SIGNED = {"signed": 10, "thousand": 100, "hundred": 1_000}
"""Of each of these partners, one client in so many is its client, too, and was seen with a real certificate."""
GUESTS = 4
"""One client in so many was invited by the partner `hosts`."""
LIMIT = 0.100
"""Seconds that a page, or a command in the shell, may take."""
WAITS = 'aria-busy="true"'
"""In a page that goes on to find something out."""

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
    ["pin", "list", "client 5"],
    ["partner", "list"],
    ["partner", "show", "partner-1"],
    ["partner", "member", "list", "partner-0"],
    ["ca", "list"],
    ["trust", "list"],
    ["trust", "try", "pin", "retire", "{n}"],
    ["trust", "try", "partner", "suspend", "partner-1"],
    ["trust", "try", "partner", "member", "suspend", "partner-0", "dns:m{n}.partner-0.example"],
    ["trust", "try", "partner", "name", "add", "partner-3", "dns:*.other.example"],
    ["trust", "try", "client", "revoke", "client-{n}"],
    ["trust", "try", "client", "remove", "client-{n}"],
    ["trust", "try", "partner", "suspend", "hundred"],
    ["trust", "try", "partner", "suspend", "thousand"],
    ["trust", "try", "partner", "suspend", "signed"],
    ["trust", "try", "partner", "suspend", "partner-0"],
    ["partner", "suspend", "hosts"],
    ["partner", "name", "add", "hosts", "dns:*.more.example"],
    ["partner", "name", "remove", "hosts", "dns:*.spare.example"],
    ["partner", "remove", "partner-0"],
    ["trust", "undo"],
    ["expiring"],
    ["notices", "list"],
    ["audit", "list"],
    ["systemd-unit"],
    ["upstream", "list"],
    ["status"],
    ["check"],
    ["decide", "--cert", "{pem}"],
]
BEFORE = {
    "trust undo": ["partner", "remove", "partner-0"],
    "partner name remove hosts dns:*.spare.example": ["partner", "name", "add", "hosts", "dns:*.spare.example"],
}
"""What is asked for before each time, for something to be there."""
AFTER = {
    "partner suspend hosts": ["trust", "undo"],
    "partner name add hosts dns:*.more.example": ["trust", "undo"],
    "partner remove partner-0": ["trust", "undo"],
}
"""What is asked for after each time, for the next to find it as it was."""
PAGES = [
    "/",
    "/me",
    "/operator",
    "/operator/clients",
    "/operator/clients?search=client-77777",
    "/operator/clients?search=nobody",
    "/operator/clients?after=90000&role=staff",
    "/operator/clients?state=suspended",
    "/operator/clients/client-50",
    "/operator/clients/client-50/suspend",
    "/operator/expiring",
    "/operator/expiring?days=366",
    "/operator/invite",
    "/operator/invitations",
    "/operator/invitations?state=waiting",
    "/operator/invitations/20",
    "/operator/refusals",
    "/operator/refusals?reason=unknown_issuer",
    "/operator/refusals/R000000000000010",
    "/operator/partners",
    "/operator/partners?search=partner-1",
    "/operator/partners/partner-0",
    "/operator/partners/partner-1",
    "/operator/partners/signed",
    "/operator/partners/partner-1/suspend",
    "/operator/partners/hundred/suspend",
    "/operator/partners/partner-0/suspend",
    "/operator/partners/partner-0/clients",
    "/operator/partners/partner-0/clients?search=m10",
    "/operator/changes",
    "/partner/partner-0",
    "/partner/partner-0/clients",
    "/partner/partner-0/cas",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["commands", "shell", "pages", "start", "sign"])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutualgate-bench-") as folder:
        work = Path(folder)
        empty = made(work / "empty", 1_000)
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
        print(f"{options.clients:,} clients, a credential and an invitation each: {size:,.0f} MB", flush=True)
        if options.only in (None, "start"):
            start(full)
        if options.only in (None, "commands", "shell"):
            commands(empty, full, work, options.repeats, processes=options.only != "shell")
        if options.only in (None, "pages"):
            pages(empty, full, options.repeats)
        if options.only is None:
            sign(empty, work)


def made(path: Path, clients: int) -> Path:
    """An installation with so many clients, each with a credential and an invitation; half as many pins, a partner for
    every fifty, one of which has half of the clients; and what the gate has seen of them."""
    folder = Folder(path)
    folder.create()
    folder.config.write_text(CONFIG)
    services = Services(folder)
    set_up(services)
    now = services.clock()
    hierarchy = services.authorities.hierarchy()
    assert hierarchy is not None
    issuing = hierarchy.issuing.id
    services.clients.add("olga", roles=["admin"])
    anna = services.clients.add("anna", roles=["partner-admin"]).id
    roots = {name: authority(f"root of {name}") for name in SIGNED}
    for name, root in roots.items():
        services.partners.add(name, names=[f"dns:*.{name}.example"])
        anchor = services.partners.anchors.claim(name, root.pem, terms=Terms(depth=1)).anchor
        services.partners.anchors.approve(name, anchor.id, without_proof=True)
    services.partners.add("hosts", names=["dns:*.hosts.example"])
    services.close()
    moment = int(now.timestamp() * 1e6)
    with sqlite3.connect(folder.store) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        for begin in range(FIRST, clients + FIRST, PART):
            _fill(database, range(begin, min(begin + PART, clients + FIRST)), issuing, moment)
        fill(database, max(2, clients // 50), clients // 2, moment)
        _seen(database, clients, anna, moment)
        _guests(database, clients, moment)
    database.close()
    first = FIRST + clients // 2
    for name, root in roots.items():
        ids = range(first, first + clients // SIGNED[name])
        _seen_signed(folder, name, root, ids)
        first = ids.stop
    return path


def _fill(database: sqlite3.Connection, ids: range, issuing: int, now: int) -> None:
    """Rows as the program writes them, but for the audit log. Below it, since a million take a minute here."""
    day = 86_400_000_000
    rows: dict[str, list[tuple[object, ...]]] = {
        "client": [
            (
                id,
                f"client-{id}",
                f"client-{id}",
                f"client-{id}@example.com",
                "active" if id % SUSPENDED else "suspended",
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
        der, spki = os.urandom(600), os.urandom(32)
        serial = b"\x40" + os.urandom(19)  # positive, and no zero first: as DER has it
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


def _seen(database: sqlite3.Connection, clients: int, anna: int, now: int) -> None:
    """Members of the first invented partner, and what came to the gate."""
    day, chain = 86_400_000_000, leaf(None, "x").der
    (partner,) = database.execute("SELECT id FROM partner WHERE name = 'partner-0'").fetchone()
    database.execute("UPDATE partner SET admits = 'listed' WHERE id = ?", (partner,))
    half = range(FIRST, FIRST + clients // 2)
    members = [(partner, f"dns:m{id}.partner-0.example", id, "active", now) for id in half]
    members.append((partner, "dns:anna.partner-0.example", anna, "active", now))
    database.executemany("INSERT INTO member (partner, name, client, state, created) VALUES (?, ?, ?, ?, ?)", members)
    came = range(FIRST, FIRST + min(clients, SEEN))
    columns = "fingerprint, spki, chain, site, path, first_at, last_at, count, admitted_at, reason, client, credential,"
    database.executemany(
        f"INSERT INTO seen ({columns} subject, not_after, peer) VALUES ({', '.join('?' * 15)})",
        [
            (
                *(digest("seen", id), digest("spki", id), chain, "main", "/", now - day, now - id, 3, now - day, ""),
                *(id, f"credential {id}", f"CN=client-{id}", now + (1 + id % 365) * day, "192.0.2.7"),
            )
            for id in came
        ],
    )
    cas = [ca for (ca,) in database.execute("SELECT subject_hash FROM anchor WHERE partner != ?", (partner,))]
    (big,) = database.execute("SELECT subject_hash FROM anchor WHERE partner = ?", (partner,)).fetchone()
    database.executemany(
        "INSERT INTO seen_name (name, fingerprint) VALUES (?, ?)",
        [(big if id in half else cas[id % len(cas)], digest("seen", id)) for id in came]
        + [(name_hash(f"dns:m{id}.partner-0.example"), digest("seen", id)) for id in came if id in half],
    )
    database.executemany(
        "INSERT INTO refusal (id, at, reason, detail, site, path, peer, subject, fingerprint)"
        " VALUES (?, ?, 'unknown_issuer', 'x', 'main', '/', '192.0.2.9', 'CN=x', ?)",
        [(f"R{id:015d}", now - id, digest("refused", id)) for id in range(FIRST, FIRST + min(clients, REFUSED))],
    )
    database.commit()


def _guests(database: sqlite3.Connection, clients: int, now: int) -> None:
    """Clients of the partner `hosts`, none of whom is the first invented partner's."""
    (partner,) = database.execute("SELECT id FROM partner WHERE name = 'hosts'").fetchone()
    ids = range(FIRST + clients - clients // GUESTS, FIRST + clients)
    database.executemany(
        "UPDATE invitation SET state = 'used', partner = ? WHERE id = ?", [(partner, id) for id in ids]
    )
    database.executemany(
        "INSERT INTO member VALUES (?, ?, ?, 'active', ?)",
        [(partner, f"dns:m{id}.hosts.example", id, now) for id in ids],
    )
    database.commit()


def _seen_signed(folder: Folder, name: str, root: Pair, ids: range) -> None:
    """Members of one of those partners: what came of theirs is real, and told as a gate tells it."""
    between = authority(f"between {name}", root)
    signer = spki_fingerprint(between.certificate)
    services = Services(folder)
    at = int(services.clock().timestamp() * 1e3)
    with sqlite3.connect(folder.store) as database:
        (partner,) = database.execute("SELECT id FROM partner WHERE name = ?", (name,)).fetchone()
        database.executemany(
            "INSERT INTO member VALUES (?, ?, ?, 'active', ?)",
            [(partner, f"dns:m{id}.{name}.example", id, at * 1_000) for id in ids],
        )
        for table in ("seen", "seen_name"):
            database.executemany(f"DELETE FROM {table} WHERE fingerprint = ?", [(digest("seen", id),) for id in ids])
    database.close()
    said = {"kind": "seen", "at": at, "count": 1, "site": "main", "path": "/", "peer": "192.0.2.7"}
    said |= {"evidence": "partner", "partner": name, "signer": signer}
    for begin in range(0, len(ids), TOLD):
        services.sightings.keep(
            said | {"client": id, "chain": [leaf(between, f"m{id}.{name}.example").der, between.der]}
            for id in ids[begin : begin + TOLD]
        )
    services.close()


def start(folder: Path) -> None:
    """Seconds to read the store and build what the judge reads, and until the gate is open; memory of both."""
    loading = [sys.executable, str(Path(__file__).with_name("scale.py")), "--load", str(folder)]
    loaded = json.loads(subprocess.run(loading, capture_output=True, text=True, check=True).stdout)
    print(f"snapshot: read and built in {loaded['seconds']:.1f} s, {loaded['megabytes']:,.0f} MB more")
    begun = time.perf_counter()
    with subprocess.Popen(
        [*PROGRAM, "up", "--dir", str(folder), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as gate:
        assert gate.stdout is not None
        gate.stdout.readline()
        ready = time.perf_counter() - begun
        status = Path(f"/proc/{gate.pid}/status").read_text()
        memory = int(status.partition("VmRSS:")[2].split()[0]) / 1e3
        gate.terminate()
    print(f"start of the gate: {ready:.1f} s, {memory:,.0f} MB")


def commands(empty: Path, full: Path, work: Path, repeats: int, *, processes: bool) -> None:
    """Each command on both in one shell; and on the full one, if `processes`, as a process: by itself, and where
    another stands by, as one does beside every gate: a gate runs then, and has each change in force before the end."""
    number = (one for one in range(FIRST, 1_000) if one % SUSPENDED)

    def filling(folder: Path) -> Filled:
        return lambda words: _filled(words, folder, work, next(number))

    (work / "a.csr").write_bytes(_csr())
    shutil.copy(full / "root.pem", work / "a.pem")
    print("\nms of CPU, but for the clock; of the full store where nothing is said")
    print(f"{'':46} {'one stands by':>17} {'alone':>6} | in the shell")
    print(f"{'command':46} {'both':>10} {'clock':>6} {'':6} | {'empty':>6} {'full':>6} {'first':>6} {'clock':>6}")
    late = []
    with Shell() as shell, ExitStack() as stack:
        standby = stack.enter_context(Standby(full)) if processes else None
        start = f"{shell.cpu() * 1000:6.0f} {shell.started * 1000:6.0f}"
        print(f"{'(start)':46} {'':10} {'':6} {'':6} | {'':6} {'':6} {start}")
        for words in COMMANDS:
            both, clocks, alone = 0.0, (0.0,), 0.0
            if standby is not None:
                asks, clocks = zip(*(_around(words, filling(full), standby.ask) for _ in range(repeats)), strict=True)
                both = sum(asks) / repeats
                alone = min(_around(words, filling(full), partial(_run, STANDBY="no")) for _ in range(2))
            asked: dict[Path, list[tuple[float, float]]] = {full: [], empty: []}
            for _ in range(repeats):
                for folder, answers in asked.items():  # in turn, so that a busy moment meets both
                    answers.append(_around(words, filling(folder), shell.ask))
            (first, _), *_ = asked[full]
            asked[full].append(_around(words, filling(full), shell.ask))
            cpu, clock = (min(one) for one in zip(*asked[full], strict=True))
            figures = (both, min(clocks), alone, min(one for one, _ in asked[empty]), cpu, first, clock)
            shown = [f"{s * 1000:{wide}.0f}" for s, wide in zip(figures, (10, 6, 6, 6, 6, 6, 6), strict=True)]
            if standby is None:
                shown[:3] = [" " * 10, " " * 6, " " * 6]
            print(f"{' '.join(words):46} {' '.join(shown[:3])} | {' '.join(shown[3:])}", flush=True)
            if (min(clocks) if processes else max(first, clock)) > LIMIT:
                late.append(" ".join(words))
    _say(late)


class Standby:
    """The process that stands by beside a gate, and what commands cost with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "Standby":
        words = [*PROGRAM, "up", "--dir", str(self._folder), "--json"]
        self._gate = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._gate.stdout is not None
        self._gate.stdout.readline()
        while not (self._folder / "run/standby.sock").is_socket():
            time.sleep(0.05)
        children = [one for task in Path(f"/proc/{self._gate.pid}/task").iterdir() for one in _children(task)]
        (self._pid,) = (one for one in children if b"standby" in Path(f"/proc/{one}/cmdline").read_bytes())
        time.sleep(3)  # until nothing of the gate's start is left to do
        return self

    def __exit__(self, *_: object) -> None:
        self._gate.terminate()
        self._gate.wait()

    def ask(self, filled: list[str]) -> tuple[float, float]:
        """CPU of a command, which Linux tells of copies by 10 ms only, so that the mean of several counts; and its time
        on the clock."""
        time.sleep(1)  # as somebody types: the next copy is made, and what waits to be done is
        before, begun = self._copies(), time.perf_counter()
        asks = _run(filled)
        clock = time.perf_counter() - begun
        time.sleep(0.1)  # until the end of the copy is noted
        return asks + self._copies() - before, clock

    def _copies(self) -> float:
        """Seconds of CPU of all copies that have ended: proc_pid_stat(5), cutime and cstime."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


class Shell:
    """A `mutualgate shell` that is given a line when the one before is answered."""

    def __enter__(self) -> "Shell":
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [*PROGRAM, "shell", "--keep-going"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        # The CPU clock of another process, as clock_getcpuclockid(3) names it on Linux.
        self._clock = (~self._process.pid << 3) | 2
        self._answer("--version")
        self.started = time.perf_counter() - begun
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._process.wait()
        self._out.close()

    def cpu(self) -> float:
        """Seconds so far."""
        return time.clock_gettime(self._clock)

    def ask(self, words: list[str]) -> tuple[float, float]:
        """Seconds of CPU, and on the clock, until the line is answered; and a `--version`, which says that it is."""
        cpu, begun = self.cpu(), time.perf_counter()
        said = self._answer(shlex.join(words), "--version")
        took = self.cpu() - cpu, time.perf_counter() - begun
        # 1 is an answer: no gate runs here, say.
        if re.search(r"exit status (?!1;?$)", said, re.MULTILINE) or "does not answer" in said:
            sys.exit(f"{' '.join(words)}: {said}")
        return took

    def _answer(self, *lines: str) -> str:
        self._in.write("".join(f"{line}\n" for line in lines))
        self._in.flush()
        said = ""
        while not (line := self._out.readline()).startswith("mutualgate 0."):
            said += line or sys.exit(said)
        return said


def _say(late: list[str]) -> None:
    limit = f"{LIMIT * 1000:.0f} ms"
    print(f"\nworks longer than {limit}: {', '.join(late)}" if late else f"\nnothing works longer than {limit}")


def _around(words: list[str], filled: Filled, ask: Callable[[list[str]], T]) -> T:
    """What `ask` says of the words, between what has to be asked before and after them."""
    line = " ".join(words)
    if line in BEFORE:
        ask(filled(BEFORE[line]))
    said = ask(filled(words))
    if line in AFTER:
        ask(filled(AFTER[line]))
    return said


def _filled(words: list[str], folder: Path, work: Path, number: int) -> list[str]:
    """The words with a client, or what else is asked about, of its own."""
    (work / f"people-{number}.csv").write_text(f"name\nperson-{number}\n")
    if "{csr}" in words:
        (work / f"{number}.csr").write_bytes(_csr())
    places = {"csr": work / f"{number}.csr", "pem": work / "a.pem", "csv": work / f"people-{number}.csv"}
    places["file"] = work / f"out-{number}"
    return [*(word.format(n=number, **places) for word in words), "--dir", str(folder)]


def _run(filled: list[str], **variables: str) -> float:
    """Seconds of CPU of the process."""
    environment = os.environ | {f"MUTUALGATE_{name}": value for name, value in variables.items()}
    before = os.times()
    done = subprocess.run([*PROGRAM, *filled], capture_output=True, check=False, env=environment)
    after = os.times()
    # 1 is an answer: no gate runs here, say.
    if done.returncode not in (0, 1) or b"does not answer" in done.stderr:
        sys.exit(f"{' '.join(filled)}: {done.stderr.decode()}")
    return after.children_user + after.children_system - before.children_user - before.children_system


def pages(empty: Path, full: Path, repeats: int) -> None:
    """Each page on both. A page that goes on to find something out has its time on the clock until it is there."""
    print("\nms of CPU")
    print(f"{'page':60} {'empty':>8} {'full':>8}")
    with asked(empty) as ask_empty, asked(full) as ask_full:
        late = []
        for page in PAGES:
            took: list[list[float]] = [[], []]
            for _ in range(repeats + 2):
                for times, ask_one in zip(took, (ask_empty, ask_full), strict=True):
                    cpu, clock = time.process_time(), time.perf_counter()
                    answer = ask_one(page)
                    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
                    if answer.status != 200:
                        sys.exit(f"{page}: {answer.status}")
                    times.append(clock if WAITS in answer.text else cpu)
                    while WAITS in answer.text:
                        time.sleep(0.1)
                        answer = ask_one(_trial(answer))
            before, after = (min(times) for times in took)
            print(f"{page:60} {before * 1000:8.0f} {after * 1000:8.0f}", flush=True)
            if after > LIMIT:
                late.append(page)
    _say(late)


@contextmanager
def asked(path: Path) -> Iterator[Callable[[str], "Answer"]]:
    """Asks the portal of an installation as an operator, and a partner's pages as its administrator."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from portal.asking import admitted, asking

    from mutualgate.portal.application import application

    services = Services(Folder(path))
    portal = application(services, services.clock, lambda: ["/join"])
    chain = [leaf(None, "x").der]
    operator, administrator = (services.clients.get(name).id for name in ("olga", "anna"))
    olga = admitted("olga", chain, client_id=operator, roles=("admin",))
    anna = admitted("anna", chain, client_id=administrator, roles=("partner-admin",), partner="partner-0")
    with asyncio.Runner() as loop:
        yield lambda page: loop.run(asking(portal, f"/join{page}", anna if page.startswith("/partner") else olga))
    services.close()


def _trial(answer: "Answer") -> str:
    """Where a page says that what a change would do will be."""
    return answer.text.partition('data-trial="/join')[2].partition('"')[0]


def sign(folder: Path, work: Path, count: int = 2_000, repeats: int = 6) -> None:
    """CPU seconds of `client sign --csrs` by certificate, without the start of the process; and of `openssl ca`.

    In turn, and the least of each: the machine's speed is not the same for long. `openssl ca` neither waits for the
    disk nor looks at what it signs, and has no client to find or to add and no log to write.
    """
    requests, few = work / "requests", work / "few"
    for path, number in (requests, count), (few, 1):
        path.mkdir()
        for one in range(number):
            (path / f"{path.name}-{one}.csr").write_bytes(_csr())
    table = work / "people.csv"
    table.write_text("\n".join(["name", *(one.stem for path in (requests, few) for one in path.iterdir())]))
    invited = shutil.copytree(folder, work / "invited")
    _cpu([*PROGRAM, "client", "import", str(table), "--dir", str(invited)])
    there, added, theirs = list[float](), list[float](), list[float]()
    for turn in range(repeats):
        for more, before, each in ([], invited, there), (["--add"], folder, added):
            installation = shutil.copytree(before, work / f"signing-{turn}{''.join(more)}")
            out = ["--out", str(installation / "signed")]
            command = [*PROGRAM, "client", "sign", *more, "--dir", str(installation), *out, "--csrs"]
            base, _ = _cpu([*command, str(few)])
            cpu, _ = _cpu([*command, str(requests)])
            each.append((cpu - base) / count)
        theirs.append(_openssl_ca(work / f"openssl-{turn}", sorted(requests.iterdir())))
    print(f"\n{count:,} P-256 CSRs, certificates written, us of CPU each, and by the second and core:")
    rows = {"client sign --csrs": there, "the same, --add": added, "openssl ca": theirs}
    for name, each in rows.items():
        by = f", {min(each) / min(theirs):.2f} of openssl's" if each is not theirs else ""
        print(f"{name:<20}{min(each) * 1e6:,.0f} to {max(each) * 1e6:,.0f}, {1 / min(each):,.0f} a second{by}")


def _openssl_ca(folder: Path, requests: list[Path]) -> float:
    """What `openssl ca` takes for each of `requests`, all in one call, with the same kind of key and extensions."""
    (folder / "new").mkdir(parents=True)
    (folder / "index").touch()
    (folder / "ca.cnf").write_text(OPENSSL_CA.replace("FOLDER", str(folder)))
    own = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=ca".split()
    _cpu([*own, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem"])
    cpu, _ = _cpu(["openssl", "ca", "-batch", "-config", f"{folder}/ca.cnf", "-infiles", *map(str, requests)])
    if len(list((folder / "new").iterdir())) != len(requests):
        raise RuntimeError("openssl ca did not sign all")
    return cpu / len(requests)


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


OPENSSL_CA = """[ca]
default_ca = bulk
[bulk]
database = FOLDER/index
new_certs_dir = FOLDER/new
certificate = FOLDER/ca.pem
private_key = FOLDER/ca.key
rand_serial = yes
default_md = sha256
default_days = 8
policy = names
unique_subject = no
x509_extensions = client
[names]
commonName = supplied
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = URI:urn:bench:client
"""

PROGRAM = [str(Path(sys.executable).with_name("mutualgate"))]

if __name__ == "__main__":
    main()
