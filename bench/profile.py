#!/usr/bin/env python3
"""Where the time goes: samples mutualgate under each load and writes what it was doing to profiles/.

    work/venv/bin/python profile.py                     # A, A2, B, C with perf, H with py-spy; needs symbols for perf:
    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none ...   (README.md has the command)
    work/venv/bin/python profile.py --scenarios A --keep work/A.data

`mutualgate` is the one on PATH. Samples are of the CPU clock, 1,999 a second, of all threads of the gate, so the
control plane is among them. Each text has the parts (crates, libraries, the kernel), then the costliest functions, and
what a unit cost in that run. D has no profile: its text says what /proc says of a connection's memory. H is about the
control plane: what a reload costs by thread, as the kernel counts it, and by function of Python, as py-spy samples it.
"""

import argparse
import collections
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import process
import run
from scenarios import HERE, LOAD_CORE, SCENARIOS, SERVER_CORE, Options, Rig, Scenario, load_command, probe, started

PROFILES = HERE / "profiles"
LOADS = {
    "A": ("handshake", "/1k", 16),
    "A2": ("resume", "/1k", 16),
    "B": ("keepalive", "/1k", 32),
    "C": ("keepalive", "/10m", 4),
}
TOP = 30
RELOADS = 100
RELOAD_SECONDS = 0.1
RELOAD = "InForce.reload (mutualgate/app/in_force.py)"

# What a function belongs to, by its name: the first that fits.
PARTS = (
    ("P-256", r"nistz256|ecp_|_ec_|ECDSA|ecdsa|beeu_|montinv_p256|fiat_p256"),
    ("X25519", r"25519"),
    ("ML-KEM", r"mlkem|MLKEM|mlk_"),
    ("hashes", r"sha256|sha512|SHA256|SHA512|HMAC|hkdf|HKDF"),
    ("AES-GCM", r"aes|gcm|AES|GCM"),
    ("aws-lc, else", r"aws_lc|EVP_|CBB_|CBS_|BN_|OPENSSL_"),
    ("allocator", r"malloc|calloc|realloc|cfree|_int_free|unlink_chunk|mi_|je_"),
    ("copying", r"memmove|memcpy|memset"),
)
CRATES = r"\b(rustls|tokio_rustls|tokio|hyper|h2|httparse|http|gate|judge|mio|bytes|webpki|x509_parser)::"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=lambda text: text.split(","), default=[*LOADS, "D", "H"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--keep", type=Path, help="where to leave what perf recorded (of the last scenario)")
    arguments = parser.parse_args()
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    os.sched_setaffinity(0, {LOAD_CORE})
    process.raise_file_limit()
    material, files = run.prepare_pki(arguments.scenarios), run.prepare_files()
    PROFILES.mkdir(exist_ok=True)
    with run.upstream(files) as upstream_port:
        for name in arguments.scenarios:
            text = profile(name, arguments, material, files, upstream_port)
            (PROFILES / f"{name}.txt").write_text(text)
            print(text)
    return 0


def profile(name: str, arguments: argparse.Namespace, material: Path, files: Path, upstream_port: int) -> str:
    subject = run.load_module(HERE / "subjects" / "mutualgate.py")
    folder, port = run.fresh_folder(f"profile-{name}"), process.free_port()
    options = Options(ca=material / "ca.pem", files=files)
    with process.pinned(SERVER_CORE):
        server = subject.start(folder, material, port, upstream_port, options)
    try:
        if not process.wait_listening(server, port, run.START_SECONDS):
            sys.exit("\n".join(process.log_tail(folder)))
        rig = Rig(subject, server, folder, material, port, options, arguments.seconds)
        probe(rig)
        time.sleep(1)
        if name in LOADS:
            return samples(name, rig, arguments)
        return memory(rig) if name == "D" else reloads(rig)
    finally:
        process.stop(server)


def samples(name: str, rig: Rig, arguments: argparse.Namespace) -> str:
    mode, path, connections = LOADS[name]
    data = arguments.keep or rig.folder / "perf.data"
    command = load_command(rig, mode, path, connections, extra=("-t", rig.seconds, "-w", 0.5))
    with started(command) as load:
        before = rig.cpu()
        recorder = subprocess.Popen(
            ["perf", "record", "-q", "-F", "1999", "-o", data, "-p", str(rig.process.pid)], stderr=subprocess.DEVNULL
        )
        time.sleep(0.3)
        load.go()
        result = load.result()
        spent = rig.cpu() - before
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    cost = spent / result["units"] * 1e6
    report = [
        "perf",
        "report",
        "-i",
        data,
        "--no-children",
        "-g",
        "none",
        "--sort",
        "dso,sym",
        "-F",
        "overhead,dso,sym",
    ]
    lines = subprocess.run(report, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [
        match.groups() for line in lines if (match := re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(.+?)\s*$", line))
    ]
    parts: dict[str, float] = collections.defaultdict(float)
    functions: dict[str, float] = collections.defaultdict(float)
    for share, library, ring, function in found:
        parts[part_of(library, ring, function)] += float(share)
        functions[f"{function[:90]}"] += float(share)
    return "\n".join(
        [
            *head(name, SCENARIOS[name]),
            f"{result['units']:,} units, {cost:.0f} µs of CPU each while it was sampled.",
            "",
            "share   µs a unit   part",
            *(f"{share:5.1f} %  {share * cost / 100:8.1f}   {part}" for part, share in most(parts, 16)),
            "",
            "share   µs a unit   function",
            *(f"{share:5.1f} %  {share * cost / 100:8.1f}   {name}" for name, share in most(functions, TOP)),
            "",
        ]
    )


def most(shares: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    """The largest so many."""
    return sorted(shares.items(), key=lambda one: one[1], reverse=True)[:count]


def head(name: str, scenario: Scenario) -> list[str]:
    version = subprocess.run(["mutualgate", "--version"], capture_output=True, text=True).stdout.strip()
    kernel = platform.release().partition("-")[0]
    return [f"{name}: {scenario.title}", f"{version}, {run.cpu_model()}, Linux {kernel}; made by bench/profile.py", ""]


def part_of(library: str, ring: str, function: str) -> str:
    if ring == "k":
        return "kernel"
    if "python" in library or "sqlite" in library:
        return "control plane (Python)"
    for part, pattern in PARTS:
        if re.search(pattern, function):
            return part
    crate = re.search(CRATES, function)
    return crate[1] if crate else "else"


def memory(rig: Rig, connections: int = 5_000) -> str:
    """What a connection that idles takes, by kind of memory."""

    def kinds() -> dict[str, int]:
        text = Path(f"/proc/{rig.process.pid}/smaps_rollup").read_text()
        return {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}

    warm = load_command(rig, "keepalive", connections=64, extra=("-t", 0.5))
    subprocess.run(warm, capture_output=True, check=True)
    time.sleep(1)
    before = kinds()
    with started(load_command(rig, "idle", connections=connections)) as load:
        time.sleep(1)
        after = kinds()
        load.stdin.close()
    wanted = ("Pss", "Pss_Anon", "Pss_File", "Private_Dirty")
    return "\n".join(
        [
            *head("D", SCENARIOS["D"]),
            "KiB a connection",
            *(f"{(after[kind] - before[kind]) / connections:8.2f}   {kind}" for kind in wanted),
            "",
        ]
    )


def reloads(rig: Rig) -> str:
    """What a reload costs while the gate serves half of what it can."""
    fastest = load_command(rig, "keepalive", connections=32, extra=("-t", 1))
    result = json.loads(subprocess.run(fastest, stdout=subprocess.PIPE, check=True).stdout)
    rate = round(result["units"] / result["seconds"] / 2)
    extra = ("-t", 4 * RELOADS * RELOAD_SECONDS, "-r", rate)
    pid, recorded, stacks = str(rig.process.pid), rig.folder / "perf.data", rig.folder / "stacks"
    with subprocess.Popen(load_command(rig, "keepalive", connections=32, extra=extra), stdout=subprocess.PIPE) as load:
        still = spent_in(pid, lambda: time.sleep(RELOADS * RELOAD_SECONDS))
        control = ",".join(task for task, kind in kinds(pid).items() if kind != "workers")
        record: list[str | Path] = ["perf", "record", "-q", "-F", "1999", "-o", recorded, "-t", control]
        loaded = spent_in(pid, lambda: reload_beside(rig, record))
        spy = [Path(sys.executable).with_name("py-spy"), "record", "--gil", "--nonblocking", "-r", "1000", "-d", "3600"]
        reload_beside(rig, [*spy, "-f", "raw", "-o", stacks, "-p", pid])
        load.kill()
    report: list[str | Path] = [
        "perf",
        "report",
        "-i",
        recorded,
        "--no-children",
        "-g",
        "none",
        "--sort",
        "dso",
        "-F",
        "overhead,dso",
    ]
    lines = subprocess.run(report, capture_output=True, text=True, check=True).stdout.splitlines()
    libraries = {match[2]: float(match[1]) for line in lines if (match := re.match(r"\s*([\d.]+)%\s+(\S+)", line))}
    functions: collections.Counter[str] = collections.Counter()
    total = 0
    for line in stacks.read_text().splitlines():
        stack, _, times = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        if RELOAD in frames:
            total += int(times)
            functions.update(dict.fromkeys(frames[frames.index(RELOAD) :], int(times)))
    if not total:
        sys.exit(f"py-spy did not see {RELOAD}")
    return "\n".join(
        [
            *head("H", SCENARIOS["H"]),
            f"ms of CPU in {RELOADS * RELOAD_SECONDS:.0f} s at {rate:,} requests a second; and with {RELOADS} reloads:",
            "",
            "still   reloading   a reload   thread",
            *(
                f"{still[name]:5.0f}   {loaded[name]:9.0f}   {(loaded[name] - still[name]) / RELOADS:8.2f}   {name}"
                for name in loaded
            ),
            "",
            "The threads of Python, by library:",
            "",
            " share   library",
            *(f"{share:5.1f}%   {name}" for name, share in most(libraries, 8)),
            "",
            "A reload, by function with what it calls, as far as it holds the interpreter's lock:",
            "",
            " share   function",
            *(f"{times / total:6.1%}   {name}" for name, times in functions.most_common(TOP)),
            "",
        ]
    )


def spent_in(pid: str, do: Callable[[], None]) -> dict[str, float]:
    """Milliseconds of CPU that the workers, Python's main thread and its others spend while `do` runs."""
    before = threads(pid)
    do()
    return {name: spent - before[name] for name, spent in threads(pid).items()}


def reload_beside(rig: Rig, command: Sequence[object]) -> None:
    """Reloads again and again while `command` records it."""
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as other:
        for _ in range(RELOADS):
            rig.subject.reload(rig.process, rig.folder, rig.pki, rig.options)
            time.sleep(RELOAD_SECONDS)
        other.send_signal(signal.SIGINT)


def threads(pid: str) -> dict[str, float]:
    """Milliseconds of CPU of each kind of thread so far."""
    spent: dict[str, float] = collections.defaultdict(float)
    for task, kind in kinds(pid).items():
        spent[kind] += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) / 1e6
    return spent


def kinds(pid: str) -> dict[str, str]:
    """What each thread is, by its number."""
    names = {task.name: (task / "comm").read_text() for task in Path(f"/proc/{pid}/task").iterdir()}
    return {
        task: "workers" if name.startswith("mutualgate-") else "Python, main" if task == pid else "Python, others"
        for task, name in names.items()
    }


if __name__ == "__main__":
    sys.exit(main())
