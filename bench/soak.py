#!/usr/bin/env python3
"""Ten minutes under load while everything goes wrong around the gate: is anything lost that was not the fault's?

    make .venv/.release && bench/install.sh
    PATH=$PWD/.venv/bin:$PATH bench/work/venv/bin/python bench/soak.py
    PATH=$PWD/.venv/bin:$PATH bench/work/venv/bin/python bench/soak.py --minutes 1 --faults 'rapid reset'

The gate has half of core 0: a neighbour that wants all of it, at the same priority, has the other half. The load, the
two servers behind the gate and the faults share core 1: a load for a whole core would need more than that, and its own
queue would be measured. What the gate can serve there is measured first, with the same mix as later: kept-alive
requests and full handshakes, three to one by the gate's CPU time. Honest clients then send 80 % of that, for a while
undisturbed, and then while one fault after the other is injected (faults.py), in random order. Their latency counts
from when each request was due. A virtual machine is not always equally fast: the neighbour says four times a second
how fast it goes, and the load is 80 % of what can be served at that speed. Faults have the lower priority on core 1:
what is measured is the gate, not how a core is shared by its clients and their enemies.

Exit status 1 if a request was lost, if memory grew, if the honest clients' p99 is above the bound as a whole or in more
than two seconds of a hundred, or if a fault did not end as it has to.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faults
import process
from run import WORK, prepare_pki
from scenarios import HERE, LOAD_CORE, SERVER_CORE, load_command

MIB = 1 << 20
MIX = {"keepalive": 0.75, "handshake": 0.25}
"""Shares of the gate's CPU time."""
CONNECTIONS = 128
"""Kept open, and as many for handshakes at a time."""
CALM_SECONDS = 20
"""Under the same load, before the first fault."""
BACKGROUND = 10
"""The nice value of faults."""
SETTINGS = """
[gate]
listen = ["127.0.0.1:{port}"]
plain_listen = []
ops_listen = []
workers = 1
access_log = ""
timeouts.header = "5s"

[[upstreams]]
name = "two"
servers = ["http://127.0.0.1:{first}", "http://127.0.0.1:{second}"]
health = {{ check = "http", path = "/1k", interval = "1s" }}

[[sites]]
name = "soak"
hosts = ["localhost"]
certificate = {certificate}
key = {key}
[[sites.routes]]
path = "/"
upstream = "two"
"""


class Neighbour:
    """A program beside the gate that wants all of its core, at the same priority, and says how fast it goes.

    CPU time runs on while a virtual machine is made to wait, and only its host knows; then all that runs here takes
    more of it, and the gate can serve less.
    """

    program = """
import time
while True:
    end, spent, turns = time.monotonic() + 0.25, time.thread_time(), 0
    while time.monotonic() < end:
        turns += 1
    print(time.monotonic(), turns / (time.thread_time() - spent), flush=True)
"""

    def __init__(self, pace: Path) -> None:
        self.looks: list[tuple[float, float]] = []
        """(moment, turns in a second of CPU time), four times a second."""
        self.pace = pace
        """The file that says how fast the machine is now, as a part of `usual`."""
        self.usual: float | None = None
        pace.write_text("1")
        with process.pinned(SERVER_CORE):
            self.running = subprocess.Popen([sys.executable, "-c", self.program], stdout=subprocess.PIPE, text=True)
        assert self.running.stdout is not None
        self.said = self.running.stdout
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.said:
            moment, turns = map(float, line.split())
            self.looks.append((moment, turns))
            if self.usual:
                # In one piece, so that nobody reads half a number.
                beside = self.pace.with_suffix(".new")
                beside.write_text(f"{turns / self.usual:.3f}")
                beside.replace(self.pace)

    def settle(self, begin: float) -> None:
        """What it has been since `begin` is usual, and the pace of the machine is told from now on."""
        self.usual = statistics.median(self._turns(begin, time.monotonic()))

    def speeds(self, begin: float, end: float) -> list[float]:
        """Each look from `begin` to `end`, as a part of what is usual."""
        assert self.usual is not None
        return [turns / self.usual for turns in self._turns(begin, end)]

    def _turns(self, begin: float, end: float) -> list[float]:
        return [turns for moment, turns in self.looks if begin <= moment <= end]

    def __enter__(self) -> "Neighbour":
        return self

    def __exit__(self, *_: object) -> None:
        self.running.kill()
        self.running.wait()
        self.reader.join()
        self.said.close()


class Upstream:
    """One of the two static servers; may be killed and started again at the same port."""

    def __init__(self) -> None:
        self.port = process.free_port()
        # A thread that has the priority of whoever makes this: a fault that starts the server again has less.
        self.starter = ThreadPoolExecutor(1)
        self.start()

    def start(self) -> None:
        self.starter.submit(self._start).result()

    def _start(self) -> None:
        self.process = subprocess.Popen([HERE / "load" / "upstream", str(self.port)])
        if not process.wait_listening(self.process, self.port, 10):
            raise SystemExit("a server behind the gate did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Load:
    """One load generator, and its seconds as they come."""

    name: str
    running: subprocess.Popen[str]
    p99_us: list[float] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        assert self.running.stdout is not None
        assert self.running.stderr is not None
        for line in self.running.stderr:
            if match := re.match(r"second \d+ units (\d+) errors \d+ p99_us (\d+)", line):
                self.p99_us.append(float(match[2]) if int(match[1]) else 0.0)
        self.result = json.loads(self.running.stdout.read())


Begun = list[tuple[Load, threading.Thread]]
"""With who reads what each says."""


@dataclass(frozen=True)
class Met:
    """A fault that was injected, from when to when by the soak's seconds, and what came of it."""

    begin: float
    end: float
    fault: faults.Fault
    outcome: str
    failed: bool


@dataclass
class Capacity:
    """What the gate can serve, by the second, and the share of its core that it had in use."""

    rates: dict[str, float]
    share: float


@dataclass
class Watch:
    """The gate as the kernel sees it: (moment, bytes, CPU seconds) every two seconds."""

    seen: list[tuple[float, int, float]] = field(default_factory=list)

    def run(self, site: faults.Site, end: float) -> None:
        last_pid, last, spent = site.pid, process.cpu_seconds(site.pid), 0.0
        while (now := time.monotonic()) < end:
            with contextlib.suppress(OSError):
                pid = site.pid
                cpu = process.cpu_seconds(pid)
                # What a process did before it was the gate counts, what the one before did after this look is lost.
                spent += cpu - (last if pid == last_pid else 0.0)
                last_pid, last = pid, cpu
                self.seen.append((now, process.pss_kib(pid) * 1024, spent))
            time.sleep(2)

    def share(self) -> float:
        """Of one core."""
        (begun, _, before), *_, (ended, _, after) = self.seen
        return (after - before) / (ended - begun)


def main() -> int:
    options = arguments()
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    os.sched_setaffinity(0, {LOAD_CORE})
    process.raise_file_limit()
    random.seed(options.seed)
    site = opened(prepare_pki(["A"]), options)
    try:
        with Neighbour(site.folder / "pace") as neighbour:
            start = time.monotonic()
            capacity = measured(site, options.capacity)
            neighbour.settle(start)
            rates = {mode: options.share * rate for mode, rate in capacity.rates.items()}
            print(f"capacity: {_rates(capacity.rates)}", file=sys.stderr, flush=True)
            calm = ended(begun(site, rates, CALM_SECONDS))
            return report(site, neighbour, capacity, calm, *soak(site, rates, options), options)
    finally:
        with contextlib.suppress(OSError):
            os.kill(site.pid, signal.SIGTERM)
        for upstream in site.upstreams:
            process.stop(upstream.process)
            upstream.starter.shutdown()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.8, help="of what the gate can do")
    parser.add_argument("--pause", type=float, default=4, help="mean seconds between two faults")
    parser.add_argument("--p99", type=float, default=500, metavar="MS", help="the bound of honest clients' p99")
    parser.add_argument("--capacity", type=float, default=10, metavar="SECONDS", help="for how long to measure that")
    parser.add_argument("--faults", help="comma-separated names; by default all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write every second there: latencies, the machine, faults")
    return parser.parse_args()


def opened(pki: Path, options: argparse.Namespace) -> faults.Site:
    """The gate with two servers behind it and clients to revoke."""
    folder = faults.fresh(WORK / "run" / "soak" / "gate")
    upstreams = [Upstream(), Upstream()]
    port, program = process.free_port(), "mutualgate"
    (folder / "mutualgate.toml").write_text(
        SETTINGS.format(
            port=port,
            first=upstreams[0].port,
            second=upstreams[1].port,
            certificate=json.dumps(f"{pki}/server.pem"),
            key=json.dumps(f"{pki}/server.key"),
        )
    )
    with open(folder / "log", "ab") as log:
        subprocess.run(
            [program, "ca", "adopt", "--dir", folder, "--cert", pki / "ca.pem"], check=True, stdout=log, stderr=log
        )
        with process.pinned(SERVER_CORE):
            gate = subprocess.Popen(
                [program, "up", "--dir", folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
    if not process.wait_listening(gate, port, 60):
        raise SystemExit("\n".join(["the gate did not start:", *process.log_tail(folder)]))
    victims = faults.make_victims(folder, program, int(options.minutes * 60 / options.pause) + 5)
    return faults.Site(gate.pid, folder, program, pki, port, upstreams, victims)


def measured(site: faults.Site, seconds: float) -> Capacity:
    """What the gate can serve of the mix as it comes, with the neighbour and all else in place.

    When twice as much is asked of it as there is time for, it has all of its share of the core, but takes requests in
    bunches, which cost less each. What a request costs that is served when it comes shows below that.
    """
    costs = {mode: _cost(site, mode, seconds / 2) for mode in MIX}
    # What would keep a whole core busy for so long; it takes longer, since half of one is there.
    share, bunched = _served(site, {mode: part / costs[mode] for mode, part in MIX.items()}, seconds)
    needed, single = _served(site, {mode: 0.7 * rate for mode, rate in bunched.items()}, seconds)
    return Capacity({mode: rate * share / needed for mode, rate in single.items()}, share)


def _served(site: faults.Site, rates: Mapping[str, float], seconds: float) -> tuple[float, dict[str, float]]:
    """The share of a core that the gate needed when so much was asked of it, and how much it served a second."""
    before = process.cpu_seconds(site.pid)
    loads = ended(begun(site, rates, seconds))
    spent = process.cpu_seconds(site.pid) - before
    for load in loads:
        if load.result["errors"]:
            raise SystemExit(f"{load.result['errors']} errors before anything went wrong: {load.result['error']}")
    took = max(seconds, *(load.result["seconds"] for load in loads))
    return spent / took, {mode: rate * seconds / took for mode, rate in rates.items()}


def _cost(site: faults.Site, mode: str, seconds: float) -> float:
    """The gate's CPU seconds for a unit."""
    before = process.cpu_seconds(site.pid)
    command = load_command(site, mode, connections=32, extra=("-t", seconds))
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return (process.cpu_seconds(site.pid) - before) / int(result["units"])


def begun(site: faults.Site, rates: Mapping[str, float], seconds: float, connections: int = CONNECTIONS) -> Begun:
    """Honest clients, on their way."""
    loads: Begun = []
    for mode, rate in rates.items():
        extra = ("-t", seconds, "-r", f"{rate:.0f}", "-R", site.folder / "pace", "-v")
        command = load_command(site, mode, connections=connections, extra=extra)
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        load = Load(mode, running)
        loads.append((load, threading.Thread(target=load.read, daemon=True)))
        loads[-1][1].start()
    return loads


def ended(loads: Begun) -> list[Load]:
    """The same, when they have all their answers."""
    for _, reader in loads:
        reader.join()
    return [load for load, _ in loads]


def soak(
    site: faults.Site, rates: Mapping[str, float], options: argparse.Namespace
) -> tuple[list[Load], list[Met], Watch]:
    """The loads, what was done to the gate, and how it looked."""
    seconds, start = options.minutes * 60, time.monotonic()
    loads, watch = begun(site, rates, seconds), Watch()
    done: list[Met] = []
    watcher = threading.Thread(target=watch.run, args=(site, start + seconds), daemon=True)
    injector = threading.Thread(target=inject, args=(site, start, seconds, options, done), daemon=True)
    watcher.start()
    injector.start()
    answered = ended(loads)
    injector.join()
    watcher.join()
    return answered, done, watch


def inject(site: faults.Site, start: float, seconds: float, options: argparse.Namespace, done: list[Met]) -> None:
    """One fault after the other, until the time is nearly over."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)  # of this thread, and what it starts
    names = {name.strip() for name in options.faults.split(",")} if options.faults else None
    chosen = [fault for fault in faults.FAULTS if names is None or fault.name in names]
    deck: list[faults.Fault] = []
    while time.monotonic() - start + options.pause + 12 < seconds:
        time.sleep(random.uniform(0.5, 1.5) * options.pause)
        deck = deck or random.sample(chosen, len(chosen))
        fault, begin, failed = deck.pop(), time.monotonic() - start, False
        try:
            outcome = fault.do(site)
        except (RuntimeError, OSError) as error:
            outcome, failed = f"{type(error).__name__}: {error}", True
        done.append(Met(begin, time.monotonic() - start, fault, outcome, failed))
        print(f"{begin:6.1f} s  {fault.name}: {outcome}", file=sys.stderr, flush=True)


def report(
    site: faults.Site,
    neighbour: Neighbour,
    capacity: Capacity,
    calm: Sequence[Load],
    loads: Sequence[Load],
    done: Sequence[Met],
    watch: Watch,
    options: argparse.Namespace,
) -> int:
    wrong = [f"{met.fault.name}: {met.outcome}" for met in done if met.failed]
    print(
        f"Capacity of half a core: {_rates(capacity.rates)}; the gate had {capacity.share:.0%} of a core in use.\n"
        f"Sent: {options.share:.0%} of that for {options.minutes:g} minutes; the gate had {watch.share():.0%} of a "
        "core in use.\n"
    )
    columns = ["honest clients", "by the second", "sent", "lost", "sent again"]
    columns += ["p50", "p99 without faults", "p99 with faults", "bound", "worst second"]
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for load, before in zip(loads, calm, strict=True):
        result = load.result
        lost = result["errors"] + before.result["errors"]
        if lost:
            wrong.append(f"{lost} of {load.name} were lost; the last: {result['error'] or before.result['error']}")
        late = [value for value in load.p99_us if value > options.p99 * 1000]
        if result["p99_us"] > options.p99 * 1000 or len(late) > len(load.p99_us) / 50:
            wrong.append(
                f"{load.name}: p99 {result['p99_us'] / 1000:.0f} ms, and above {options.p99:.0f} ms in "
                f"{len(late)} of {len(load.p99_us)} seconds"
            )
        cells = [load.name, f"{result['units'] / result['seconds']:,.0f}", f"{result['units'] + result['errors']:,}"]
        cells += [str(lost), str(result["again"])]
        times = (result["p50_us"], before.result["p99_us"], result["p99_us"], options.p99 * 1000, max(load.p99_us))
        cells += [f"{micros / 1000:,.1f} ms" for micros in times]
        print(f"| {' | '.join(cells)} |")
    print("\n" + "\n".join([*_late(loads, watch, neighbour, options), *_memory(watch, wrong), *_cuts(site)]) + "\n")
    print("\n".join(_by_kind(loads, done)))
    if options.json:
        _write(options.json, neighbour, loads, done, watch)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _write(path: str, neighbour: Neighbour, loads: Sequence[Load], done: Sequence[Met], watch: Watch) -> None:
    start = watch.seen[0][0]
    assert neighbour.usual is not None
    everything = {
        "p99_us": {load.name: load.p99_us for load in loads},
        "speed": [(moment - start, turns / neighbour.usual) for moment, turns in neighbour.looks],
        "faults": [(met.begin, met.end, met.fault.name) for met in done],
        "gate": [(moment - start, size, spent) for moment, size, spent in watch.seen],
    }
    with open(path, "w", encoding="utf-8") as out:
        json.dump(everything, out)


def _rates(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{rate:,.0f} {mode}s" for mode, rate in rates.items()).replace(
        "keepalives", "kept-alive requests"
    )


def _late(loads: Sequence[Load], watch: Watch, neighbour: Neighbour, options: argparse.Namespace) -> Iterator[str]:
    """Which seconds were above the bound, and whether everything was slower then."""
    start = watch.seen[0][0]
    for load in loads:
        late = [second for second, value in enumerate(load.p99_us) if value > options.p99 * 1000]
        if late:
            speed = min(neighbour.speeds(start + late[0] - 10, start + late[-1] + 1))
            yield (
                f"{load.name}: above the bound in {len(late)} seconds, {late[0]} to {late[-1]}; from ten seconds "
                f"before the machine gave {speed:.0%} of its speed, at the least."
            )
    speeds = sorted(neighbour.speeds(start, watch.seen[-1][0]))
    tenth, middle = speeds[len(speeds) // 10], speeds[len(speeds) // 2]
    yield (
        f"Of the speed at which the capacity was measured the machine gave {middle:.0%} half of the time, less than "
        f"{tenth:.0%} a tenth of it, and {speeds[0]:.0%} at the least, as the neighbour saw it; the load followed."
    )


def _memory(watch: Watch, wrong: list[str]) -> Iterator[str]:
    """Flat means: no more at the end than after the first fifth, give or take 5 % and what an allocator keeps."""
    sizes = [size for _, size, _ in watch.seen]
    fifth = max(1, len(sizes) // 5)
    early, late = statistics.median(sizes[fifth : 2 * fifth] or sizes), statistics.median(sizes[-fifth:])
    if late > early * 1.05 + 4 * MIB:
        wrong.append(f"memory grew from {early / MIB:.0f} to {late / MIB:.0f} MiB")
    begun, settled, ended, most = (f"{size / MIB:.0f} MiB" for size in (sizes[0], early, late, max(sizes)))
    yield (
        f"Memory: {begun} at the beginning, {settled} in the second fifth of the time, {ended} in the last, {most} at "
        "most (two processes while one takes over from the other)."
    )


def _cuts(site: faults.Site) -> Iterator[str]:
    if site.cuts_ms:
        middle, most = statistics.median(site.cuts_ms), max(site.cuts_ms)
        yield (
            f"Revoked with an answer under way: {len(site.cuts_ms)} connections, cut {middle:.0f} ms (at most "
            f"{most:.0f} ms) after the command's word."
        )


def _by_kind(loads: Sequence[Load], done: Sequence[Met]) -> Iterator[str]:
    """Each kind of fault: how often, its last outcome, and the worst second of honest clients meanwhile."""
    for fault in dict.fromkeys(met.fault for met in done):
        mine = [met for met in done if met.fault is fault]
        seconds = {at for met in mine for at in range(int(met.begin), int(met.end) + 2)}
        worst = max((load.p99_us[at] for load in loads for at in seconds if at < len(load.p99_us)), default=0)
        yield f"- {fault.name}: {len(mine)} times; {mine[-1].outcome}; p99 of the worst second {worst / 1000:,.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
