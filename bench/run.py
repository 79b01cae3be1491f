#!/usr/bin/env python3
"""Measures mutual-TLS gateways side by side and prints a Markdown table.

README.md has the scenarios and the contract of a subject.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import certificates
import process
from scenarios import HERE, LOAD_CORE, SCENARIOS, SERVER_CORE, Invalid, Options, Reading, Rig, probe

WORK = HERE / "work"
PEERS = ("nginx", "haproxy", "apache", "envoy", "caddy")
SUBJECTS = ("mutualgate", *PEERS)
START_SECONDS = 120  # a CRL of a million entries takes a while to parse

Cells = dict[tuple[str, str], list[Reading | str]]
"""By scenario and subject: what was read, or why a repeat is invalid."""


class StartFailed(Exception):
    """A subject did not come up; the text has the last lines of its log."""


def main() -> int:
    arguments = parse_arguments()
    subjects = load_subjects(arguments)
    os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where Debian keeps servers, outside a user's PATH
    os.sched_setaffinity(0, {LOAD_CORE})
    process.raise_file_limit()
    material = prepare_pki(arguments.scenarios)
    files = prepare_files()
    floor = measure_floor(material) if "A" in arguments.scenarios else None
    with upstream(files) as upstream_port:
        cells, failures = measure_all(subjects, arguments, material, files, upstream_port)
    print(table(subjects, arguments, cells, floor))
    if arguments.json:
        write_json(arguments, subjects, cells, floor)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--subjects",
        type=lambda text: [name for name in text.split(",") if name],
        default=list(SUBJECTS),
        help="comma-separated modules of subjects/ (default: all)",
    )
    parser.add_argument(
        "--subject", action="append", default=[], type=Path, metavar="PATH.py", help="one more subject; may be repeated"
    )
    parser.add_argument(
        "--scenarios",
        type=lambda text: text.split(","),
        default=list(SCENARIOS),
        help=f"comma-separated, of {','.join(SCENARIOS)} (default: all)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds per repeat")
    parser.add_argument("--json", type=Path, help="write every reading there")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    for name in arguments.subjects:
        if not (HERE / "subjects" / f"{name}.py").exists():
            parser.error(f"no such subject: {name}")
    return arguments


# --- preparation ---


def load_subjects(arguments: argparse.Namespace) -> list[ModuleType]:
    """The requested subject modules, in order; those given by --subject come last."""
    paths = [HERE / "subjects" / f"{name}.py" for name in arguments.subjects] + arguments.subject
    return [load_module(path) for path in paths]


def load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"subject_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare_pki(scenarios: Sequence[str]) -> Path:
    """The PKI folder with what the scenarios need; what is missing is made, and everything anew after a day."""
    folder = WORK / "pki"
    root_file = folder / "root.pem"
    age = time.time() - root_file.stat().st_mtime if root_file.exists() else 0  # noqa: TID251 - outside the package
    if age > 86400:
        shutil.rmtree(folder)
    if not root_file.exists():
        certificates.make(folder)
    root_key, root = certificates.load_root(folder)
    for options in (SCENARIOS[scenario].options for scenario in scenarios):
        for name in (options.get("ca"), options.get("crl")):
            if name and not (folder / name).exists():
                kind, count = name.removesuffix(".pem").split("-")
                print(f"making {name} ...", file=sys.stderr)
                if kind == "crl":
                    certificates.write_crl(
                        folder / name, root_key, root, int(count), also=[certificates.serial(folder, "revoked")]
                    )
                else:
                    certificates.write_bundle(folder / name, root, int(count))
    return folder


def prepare_files() -> Path:
    """The folder with the served files 1k and 10m, readable for servers that drop root."""
    folder = WORK / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("1k", 1024), ("10m", 10 * 1024 * 1024)):
        (folder / name).write_bytes(bytes(range(256)) * (size // 256))
    return folder


def measure_floor(material: Path) -> dict[str, Any]:
    """What a full mutual handshake costs a server at least.

    In memory (load/floor.c), and its public-key operations alone.
    """
    command: list[str | Path] = [
        HERE / "load" / "floor",
        "1",
        material / "server.pem",
        material / "server.key",
        material / "client.pem",
        material / "client.key",
        material / "root.pem",
    ]
    runs: list[dict[str, Any]] = [
        json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout) for _ in range(3)
    ]
    return sorted(runs, key=lambda run: float(run["server_us"]))[1] | {"primitives_us": measure_primitives()}


def measure_primitives() -> float:
    """Microseconds of one P-256 signature, two P-256 verifications and two X25519 operations, by `openssl speed`."""
    command = ["openssl", "speed", "-seconds", "1", "-mr", "ecdsap256", "ecdhx25519"]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    rates = {line.split(":")[0]: line.split(":")[3:] for line in lines if line.startswith(("+F4", "+F5"))}
    sign, verify, derive = float(rates["+F4"][0]), float(rates["+F4"][1]), float(rates["+F5"][0])
    return sum(count * (cost if cost < 1 else 1 / cost) * 1e6 for count, cost in ((1, sign), (2, verify), (2, derive)))


@contextlib.contextmanager
def upstream(files: Path) -> Iterator[int]:
    """The static server behind every subject, on the load's core."""
    folder, port = fresh_folder("upstream"), process.free_port()
    server = load_module(HERE / "subjects" / "nginx.py").start_upstream(folder, port, files)
    try:
        if not process.wait_listening(server, port, 10):
            raise SystemExit("\n".join(["the upstream (nginx) did not start:", *process.log_tail(folder)]))
        yield port
    finally:
        process.stop(server)


def fresh_folder(name: str) -> Path:
    folder = WORK / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# --- measuring ---


def measure_all(
    subjects: Sequence[ModuleType], arguments: argparse.Namespace, material: Path, files: Path, upstream_port: int
) -> tuple[Cells, list[str]]:
    """All cells, {(scenario, subject): [Reading or reason, ...]}, and the texts of failed starts."""
    cells: Cells = {}
    failures = []
    for scenario in arguments.scenarios:
        for repeat in range(arguments.repeats):
            for subject in subjects:
                if scenario not in subject.CAPABILITIES:
                    continue
                cell = cells.setdefault((scenario, subject.NAME), [])
                if cell and value_of(cell) is None:
                    continue  # one invalid repeat spoils the cell: no more are needed
                try:
                    cell.append(measure_once(subject, scenario, arguments.seconds, material, files, upstream_port))
                except Invalid as reason:
                    cell.append(str(reason))
                except StartFailed as failure:
                    cell.append("did not start")
                    failures.append(str(failure))
                print(
                    f"{scenario} {repeat + 1}/{arguments.repeats} {subject.NAME}: {say(cell[-1])}",
                    file=sys.stderr,
                    flush=True,
                )
    return cells, failures


def say(reading: Reading | str) -> str:
    return f"{reading.value:.1f} ({reading.units} units)" if isinstance(reading, Reading) else f"INVALID: {reading}"


def measure_once(
    subject: ModuleType, scenario: str, seconds: float, material: Path, files: Path, upstream_port: int
) -> Reading:
    """Start the subject afresh, see that it does its job, and measure it once."""
    wanted = SCENARIOS[scenario].options
    options = Options(
        ca=material / wanted.get("ca", "ca.pem"),
        crl=material / wanted["crl"] if "crl" in wanted else None,
        hints=wanted.get("hints", True),
        direct=wanted.get("direct", False),
        files=files,
        connections=wanted.get("connections", Options.connections),
    )

    @contextlib.contextmanager
    def running(*cores: int) -> Iterator[Rig]:
        port = process.free_port()
        folder = fresh_folder("-".join([subject.NAME, scenario, *map(str, cores)]))
        now = dataclasses.replace(options, workers=len(cores))
        try:
            with process.pinned(*cores):
                server = subject.start(folder, material, port, upstream_port, now)
        except (OSError, subprocess.SubprocessError) as error:
            raise StartFailed(did_not_start(subject, scenario, str(error), folder)) from error
        try:
            if not process.wait_listening(server, port, START_SECONDS):
                reason = f"status {server.returncode}" if server.poll() is not None else f"silent for {START_SECONDS} s"
                raise StartFailed(did_not_start(subject, scenario, reason, folder))
            rig = Rig(subject, server, folder, material, port, now, seconds)
            probe(rig)
            yield rig
        finally:
            process.stop(server)

    if SCENARIOS[scenario].unit == "times one":
        return SCENARIOS[scenario].measure(running)
    with running(SERVER_CORE) as rig:
        return SCENARIOS[scenario].measure(rig)


def did_not_start(subject: ModuleType, scenario: str, reason: str, folder: Path) -> str:
    return "\n".join([f"{subject.NAME} did not start for {scenario} ({reason}):", *process.log_tail(folder)])


# --- reporting ---


def value_of(readings: Sequence[Reading | str] | None) -> float | None:
    """The median of a cell, or None if any of its repeats is invalid."""
    values = [reading.value for reading in readings or () if isinstance(reading, Reading)]
    return statistics.median(values) if readings and len(values) == len(readings) else None


def medians(scenario: str, names: Sequence[str], cells: Cells) -> dict[str, float]:
    """Those that there are, by subject."""
    values = {name: value_of(cells.get((scenario, name))) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def best_peer(scenario: str, cells: Cells) -> float | None:
    """The lowest median among the built-in peers."""
    return min(medians(scenario, PEERS, cells).values(), default=None)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def cell_text(scenario: str, cell: Sequence[Reading | str] | None, best: float | None) -> str:
    """`median (min-max) ratio to the best peer`, or why there is none."""
    if not cell:
        return "n/a"
    value = value_of(cell)
    if value is None:
        return "INVALID: " + next(reading for reading in cell if isinstance(reading, str))
    readings = [reading for reading in cell if isinstance(reading, Reading)]
    if SCENARIOS[scenario].unit == "failed":
        still, with_reloads = (
            statistics.median(r.detail[name] for r in readings) for name in ("still_p99_us", "p99_us")
        )
        failed = f"{sum(r.value for r in readings):.0f} of {sum(r.units for r in readings):,}"
        return f"{failed}; p99 {number(with_reloads)} µs ({number(still)} without)"
    if SCENARIOS[scenario].unit == "times one":
        low, high = min(r.value for r in readings), max(r.value for r in readings)
        # What two servers that share nothing reach here.
        machine = statistics.median(2 * r.detail["one_us"] / r.detail["apart_us"] for r in readings)
        return f"{value:.2f} ({low:.2f}-{high:.2f}); {machine:.2f} apart"
    low, high = min(r.value for r in readings), max(r.value for r in readings)
    ratio = f" {value / best:.2f}x" if best else ""
    return f"{number(value)} ({number(low)}-{number(high)}){ratio}"


def table(
    subjects: Sequence[ModuleType], arguments: argparse.Namespace, cells: Cells, floor: Mapping[str, Any] | None
) -> str:
    """The Markdown table; a ratio is to the best peer of its row."""
    names = [subject.NAME for subject in subjects]
    rows = [
        ["scenario", "unit", *(f"{subject.NAME} {version_of(subject)}".strip() for subject in subjects)],
        ["---"] * (2 + len(names)),
    ]
    for scenario in arguments.scenarios:
        best = best_peer(scenario, cells)
        rows.append(
            [
                f"{scenario}: {SCENARIOS[scenario].title}",
                SCENARIOS[scenario].unit,
                *(cell_text(scenario, cells.get((scenario, s.NAME)), best) + mark(s, scenario) for s in subjects),
            ]
        )
        if scenario == "A":
            rows += derived_rows(names, cells, floor)
        if scenario.startswith(("E", "F")):
            rows += compared_with_a4(scenario, names, cells)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if floor:
        lines += [
            "",
            f"Floor: {floor['server_us']:.0f} µs of server CPU per full mutual handshake in memory "
            f"({floor['library']}); its five public-key operations alone take "
            f"{floor['primitives_us']:.0f} µs (openssl speed).",
        ]
    notes = [
        f"- \\* {subject.NAME} {scenario}: {note}"
        for subject in subjects
        for scenario, note in getattr(subject, "NOTES", {}).items()
        if scenario in arguments.scenarios
    ]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def mark(subject: ModuleType, scenario: str) -> str:
    """A star for a cell that has a note below the table."""
    return " \\*" if scenario in getattr(subject, "NOTES", {}) else ""


def derived_rows(names: Sequence[str], cells: Cells, floor: Mapping[str, Any] | None) -> list[list[str]]:
    """A without the request, and A as a multiple of the floor."""
    full, request = medians("A", names, cells), medians("B", names, cells)
    rows = []
    if request:
        rows.append(
            [
                "A - B: the handshake and connection alone",
                "µs",
                *(number(full[n] - request[n]) if n in full and n in request else "n/a" for n in names),
            ]
        )
    if floor:
        rows.append(["A / floor", "x", *(f"{full[n] / floor['server_us']:.2f}" if n in full else "n/a" for n in names)])
    return rows


def compared_with_a4(scenario: str, names: Sequence[str], cells: Cells) -> list[list[str]]:
    """What the revocations or CAs of a scenario cost: its figure as a multiple of A4, if that was measured."""
    plain, much = medians("A4", names, cells), medians(scenario, names, cells)
    if not plain:
        return []
    return [
        [
            f"{scenario} / A4",
            "x",
            *(f"{much[name] / plain[name]:.2f}" if name in much and name in plain else "n/a" for name in names),
        ]
    ]


def version_of(subject: ModuleType) -> str:
    return str(subject.version()) if hasattr(subject, "version") else ""


def write_json(
    arguments: argparse.Namespace, subjects: Sequence[ModuleType], cells: Cells, floor: Mapping[str, Any] | None
) -> None:
    """Every reading, for later comparison."""

    def plain(reading: Reading | str) -> dict[str, Any]:
        if isinstance(reading, Reading):
            return {"value": reading.value, "units": reading.units, "detail": reading.detail}
        return {"invalid": reading}

    report = {
        "repeats": arguments.repeats,
        "seconds": arguments.seconds,
        "floor": floor,
        "machine": {"cpu": cpu_model(), "kernel": platform.release(), "cores": os.cpu_count()},
        "versions": {subject.NAME: version_of(subject) for subject in subjects},
        "cells": [
            {
                "scenario": scenario,
                "unit": SCENARIOS[scenario].unit,
                "subject": name,
                "median": value_of(readings),
                "readings": [plain(reading) for reading in readings],
            }
            for (scenario, name), readings in cells.items()
        ],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def cpu_model() -> str:
    with open("/proc/cpuinfo") as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    sys.exit(main())
