#!/usr/bin/env python3
"""Where the time goes: samples mutualgate under each load and writes what it was doing to profiles/.

    work/venv/bin/python profile.py                     # A, A2, B, C with perf; needs a build with symbols:
    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none ...   (README.md has the command)
    work/venv/bin/python profile.py --scenarios A --keep work/A.data

`mutualgate` is the one on PATH. Samples are of the CPU clock, 1,999 a second, of all threads of the gate, so the
control plane is among them. Each text has the parts (crates, libraries, the kernel), then the costliest functions, and
what a unit cost in that run. D has no profile: its text says what /proc says of a connection's memory.
"""

import argparse
import collections
import re
import subprocess
import sys
import time
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=lambda text: text.split(","), default=[*LOADS, "D"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--keep", type=Path, help="where to leave what perf recorded (of the last scenario)")
    arguments = parser.parse_args()
    run.os.environ["PATH"] += run.os.pathsep + "/usr/sbin"
    run.os.sched_setaffinity(0, {LOAD_CORE})
    process.raise_file_limit()
    material, files = run.prepare_pki(arguments.scenarios), run.prepare_files()
    PROFILES.mkdir(exist_ok=True)
    with run.upstream(files) as upstream_port:
        for name in arguments.scenarios:
            text = profile(name, arguments, material, files, upstream_port)
            (PROFILES / f"{name}.txt").write_text(text)
            print(text)
    return 0


def profile(name, arguments, material, files, upstream_port):
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
        return memory(rig) if name == "D" else samples(name, rig, arguments)
    finally:
        process.stop(server)


def samples(name, rig, arguments):
    mode, path, connections = LOADS[name]
    data = arguments.keep or rig.folder / "perf.data"
    command = load_command(rig, mode, path, connections, extra=("-t", rig.seconds, "-w", 0.5))
    with started(command) as load:
        before = rig.cpu()
        recorder = subprocess.Popen(
            ["perf", "record", "-q", "-F", "1999", "-o", data, "-p", str(rig.process.pid)], stderr=subprocess.DEVNULL
        )
        time.sleep(0.3)
        load.stdin.write("g")
        load.stdin.flush()
        result = run.json.loads(load.stdout.readline())
        spent = rig.cpu() - before
        recorder.send_signal(run.process.signal.SIGINT)
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
    parts, functions = collections.Counter(), collections.Counter()
    for share, library, ring, function in found:
        parts[part_of(library, ring, function)] += float(share)
        functions[f"{function[:90]}"] += float(share)
    return "\n".join(
        [
            *head(name, SCENARIOS[name]),
            f"{result['units']:,} units, {cost:.0f} µs of CPU each while it was sampled.",
            "",
            "share   µs a unit   part",
            *(f"{share:5.1f} %  {share * cost / 100:8.1f}   {part}" for part, share in parts.most_common(16)),
            "",
            "share   µs a unit   function",
            *(f"{share:5.1f} %  {share * cost / 100:8.1f}   {name}" for name, share in functions.most_common(TOP)),
            "",
        ]
    )


def head(name, scenario: Scenario):
    version = subprocess.run(["mutualgate", "--version"], capture_output=True, text=True).stdout.strip()
    kernel = run.platform.release().partition("-")[0]
    return [f"{name}: {scenario.title}", f"{version}, {run.cpu_model()}, Linux {kernel}; made by bench/profile.py", ""]


def part_of(library, ring, function):
    if ring == "k":
        return "kernel"
    if "python" in library or "sqlite" in library:
        return "control plane (Python)"
    for part, pattern in PARTS:
        if re.search(pattern, function):
            return part
    crate = re.search(CRATES, function)
    return crate[1] if crate else "else"


def memory(rig, connections=5_000):
    """What a connection that idles takes, by kind of memory."""

    def kinds():
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


if __name__ == "__main__":
    sys.exit(main())
