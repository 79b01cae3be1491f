#!/usr/bin/env python3
"""Ten minutes under load while everything goes wrong around the gate: is anything lost that was not the fault's?

    make .venv/.release && bench/install.sh
    PATH=$PWD/.venv/bin:$PATH bench/work/venv/bin/python bench/soak.py
    PATH=$PWD/.venv/bin:$PATH bench/work/venv/bin/python bench/soak.py --minutes 1 --faults 'rapid reset'

Honest clients send at a fixed rate, which is a share of what the gate was measured to do just before: kept-alive
requests and full handshakes, three to one by the gate's CPU time. Their latency counts from when each request was due.
Meanwhile one fault after the other is injected (faults.py), in random order. The gate has core 0, all others core 1.

Exit status 1 if a request was lost, if memory grew, if the honest clients' p99 is
above the bound in more than one second of a hundred, or if a fault did not end as it has to.
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
from dataclasses import dataclass, field

import faults
import process
from run import HERE, LOAD_CORE, SERVER_CORE, WORK, load_module, prepare_files, prepare_pki, raise_file_limit
from scenarios import Options, Rig, load_command

MIB = 1 << 20
MIX = {"keepalive": 0.75, "handshake": 0.25}
"""Shares of the gate's CPU time."""
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


class Upstream:
    """One of the two static servers; may be killed and started again at the same port."""

    def __init__(self, name, files):
        self.folder, self.port, self.files = faults.fresh(WORK / "run" / "soak" / name), process.free_port(), files
        self.start()

    def start(self):
        server = load_module(HERE / "subjects" / "nginx.py")
        self.process = server.start_upstream(self.folder, self.port, self.files)
        if not process.wait_listening(self.process, self.port, 10):
            raise SystemExit("\n".join(["an upstream (nginx) did not start:", *process.log_tail(self.folder)]))

    def kill(self):
        for pid in process.tree(self.process.pid):
            os.kill(pid, 9)
        self.process.wait()


@dataclass
class Load:
    """One load generator, and its seconds as they come."""

    name: str
    running: subprocess.Popen
    begun: float
    p99_us: list[float] = field(default_factory=list)
    result: dict = field(default_factory=dict)

    def read(self):
        for line in self.running.stderr:
            if match := re.match(r"second \d+ units (\d+) errors \d+ p99_us (\d+)", line):
                self.p99_us.append(float(match[2]) if int(match[1]) else 0.0)
        self.result = json.loads(self.running.stdout.read())


def main():
    options = arguments()
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    os.sched_setaffinity(0, {LOAD_CORE})
    raise_file_limit()
    random.seed(options.seed)
    pki, files = prepare_pki(["A"]), prepare_files()
    site = opened(pki, files, options)
    try:
        rates = {
            mode: options.share * part * capacity(site, mode)
            for mode, part in (("keepalive", 0.75), ("handshake", 0.25))
        }
        print(", ".join(f"{mode}: {rate:,.0f}/s" for mode, rate in rates.items()), file=sys.stderr)
        return report(site, *soak(site, rates, options), options)
    finally:
        with contextlib.suppress(OSError):
            os.kill(site.pid, signal.SIGTERM)
        for upstream in site.upstreams:
            process.stop(upstream.process)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.8, help="of what the gate can do")
    parser.add_argument("--pause", type=float, default=4, help="mean seconds between two faults")
    parser.add_argument("--p99", type=float, default=100, metavar="MS", help="the bound of honest clients' p99")
    parser.add_argument("--faults", help="comma-separated names; by default all")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def opened(pki, files, options):
    """The gate with two servers behind it and clients to revoke."""
    folder = faults.fresh(WORK / "run" / "soak" / "gate")
    upstreams = [Upstream(name, files) for name in ("first", "second")]
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


def capacity(site, mode):
    """Units by the second that the gate does when it has nothing else to do."""
    seconds = 3
    command = load_command(_rig(site), mode, connections=32, extra=("-t", seconds))
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return result["units"] / seconds


def _rig(site):
    options = Options(ca=site.pki / "ca.pem")
    return Rig(None, None, site.folder, site.pki, site.port, options, 0)


def soak(site, rates, options):
    """The loads, what was done to the gate ((begin, fault, outcome) each), and its memory ((moment, bytes) each)."""
    seconds = options.minutes * 60
    loads = []
    for mode, rate in rates.items():
        command = load_command(_rig(site), mode, connections=256, extra=("-t", seconds, "-r", f"{rate:.0f}", "-v"))
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        loads.append(Load(mode, running, time.monotonic()))
    readers = [threading.Thread(target=load.read, daemon=True) for load in loads]
    for reader in readers:
        reader.start()
    memory, end = [], time.monotonic() + seconds
    watcher = threading.Thread(target=_watch, args=(site, memory, end), daemon=True)
    watcher.start()
    done, names = [], {name.strip() for name in options.faults.split(",")} if options.faults else None
    chosen = [fault for fault in faults.FAULTS if names is None or fault.name in names]
    deck = []
    while time.monotonic() + options.pause + 12 < end:
        time.sleep(random.uniform(0.5, 1.5) * options.pause)
        deck = deck or random.sample(chosen, len(chosen))
        fault, begun = deck.pop(), time.monotonic()
        try:
            outcome = fault.do(site)
            failed = False
        except (RuntimeError, OSError) as error:
            outcome, failed = f"{type(error).__name__}: {error}", True
        done.append((begun, fault, outcome, failed))
        print(f"{begun - loads[0].begun:6.1f} s  {fault.name}: {outcome}", file=sys.stderr, flush=True)
    for reader in readers:
        reader.join(seconds + 60)
    watcher.join()
    return loads, done, memory


def _watch(site, memory, end):
    while (now := time.monotonic()) < end:
        memory.append((now, process.pss_kib(site.pid) * 1024))
        time.sleep(2)


def report(site, loads, done, memory, options):
    wrong = [f"{fault.name}: {outcome}" for _, fault, outcome, failed in done if failed]
    columns = ["honest clients", "by the second", "sent", "lost", "sent again", "p50", "p99", "worst p99"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for load in loads:
        result = load.result
        if result["errors"]:
            wrong.append(f"{result['errors']} of {load.name} were lost; the last: {result['error']}")
        late = [value for value in load.p99_us if value > options.p99 * 1000]
        if len(late) > len(load.p99_us) / 100:
            wrong.append(f"{load.name}: p99 above {options.p99:.0f} ms in {len(late)} of {len(load.p99_us)} seconds")
        lines.append(
            f"| {load.name} | {result['units'] / result['seconds']:,.0f} | {result['units'] + result['errors']:,} | "
            f"{result['errors']} | {result['again']} | {result['p50_us'] / 1000:.1f} ms | "
            f"{result['p99_us'] / 1000:.1f} ms | {max(load.p99_us, default=0) / 1000:.0f} ms |"
        )
    lines += ["", *_memory(memory, wrong), "", *_cuts(site), ""]
    for fault in dict.fromkeys(fault for _, fault, *_ in done):
        outcomes = [outcome for _, one, outcome, _ in done if one is fault]
        lines.append(f"- {fault.name}: {len(outcomes)} times; {outcomes[-1]}")
    print("\n".join(lines))
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _memory(memory, wrong):
    """Flat means: no more at the end than after the first fifth, give or take 5 % and what an allocator keeps."""
    fifth = max(1, len(memory) // 5)
    early = statistics.median(size for _, size in memory[fifth : 2 * fifth] or memory)
    late = statistics.median(size for _, size in memory[-fifth:])
    if late > early * 1.05 + 4 * MIB:
        wrong.append(f"memory grew from {early / MIB:.0f} to {late / MIB:.0f} MiB")
    most = max(size for _, size in memory)
    sizes = [f"{size / MIB:.0f} MiB" for size in (early, late, most)]
    yield f"Memory: {sizes[0]} in the second fifth of the time, {sizes[1]} in the last, {sizes[2]} at most."


def _cuts(site):
    if site.cuts_ms:
        middle, most = statistics.median(site.cuts_ms), max(site.cuts_ms)
        yield (
            f"Revoked with an answer under way: {len(site.cuts_ms)} connections, cut {middle:.0f} ms (at most "
            f"{most:.0f} ms) after the command's word."
        )


if __name__ == "__main__":
    sys.exit(main())
