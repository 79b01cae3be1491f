"""The benchmark's own promises: every subject keeps the contract, and the table says what was measured, honestly."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

BENCH = Path(__file__).parents[1] / "bench"
SUBJECTS = sorted(path.stem for path in (BENCH / "subjects").glob("*.py"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmark, as its scripts import each other."""
    names = ("run", "scenarios", "process", "certificates")
    monkeypatch.syspath_prepend(str(BENCH))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name, None)


def subject(name: str, **more: Any) -> Any:
    return SimpleNamespace(NAME=name, CAPABILITIES={"A", "B", "F10k"}, **more)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_subject_keeps_the_contract(bench: Any, name: str) -> None:
    module: ModuleType = bench.run.load_module(BENCH / "subjects" / f"{name}.py")
    scenarios = set(bench.scenarios.SCENARIOS)
    assert name == module.NAME
    assert name in bench.run.SUBJECTS
    assert scenarios >= module.CAPABILITIES
    assert set(getattr(module, "NOTES", {})) <= scenarios
    assert callable(module.start)
    assert "H" not in module.CAPABILITIES or callable(module.reload)


def test_the_ratio_is_to_the_best_of_the_peers_and_never_to_ourselves(bench: Any) -> None:
    reading = bench.scenarios.Reading
    cells = {
        ("A", "mutualgate"): [reading(100.0, 10)],
        ("A", "nginx"): [reading(400.0, 10), reading(380.0, 10), reading(500.0, 10)],
        ("A", "envoy"): [reading(200.0, 10)],
        ("A", "caddy"): [reading(50.0, 10), "12 errors"],
    }
    subjects = [subject(name) for name in ("mutualgate", "nginx", "envoy", "caddy", "apache")]
    rows = bench.run.table(subjects, SimpleNamespace(scenarios=["A"]), cells, None).splitlines()
    assert rows[2].split(" | ")[2:] == [
        "100 (100-100) 0.50x",
        "400 (380-500) 2.00x",
        "200 (200-200) 1.00x",
        "INVALID: 12 errors",
        "n/a |",
    ]


def test_a_cell_with_a_note_has_a_star(bench: Any) -> None:
    subjects = [subject("mutualgate", NOTES={"F10k": "without hints", "H": "not in this run"}), subject("nginx")]
    cells = {("F10k", "mutualgate"): [bench.scenarios.Reading(100.0, 10)]}
    text = bench.run.table(subjects, SimpleNamespace(scenarios=["F10k"]), cells, None)
    assert r"| 100 (100-100) \* | n/a |" in text
    assert r"- \* mutualgate F10k: without hints" in text
    assert "not in this run" not in text


def test_our_cells_in_the_rows_with_hints_have_a_note(bench: Any) -> None:
    module = bench.run.load_module(BENCH / "subjects" / "mutualgate.py")
    with_hints = {
        name for name, it in bench.scenarios.SCENARIOS.items() if "ca" in it.options and it.options.get("hints", True)
    }
    assert with_hints == {"F1k", "F10k"}
    assert with_hints <= set(module.NOTES)


def test_a_subject_that_fails_to_prepare_is_said_so_with_its_log(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(folder: Path, *_: object) -> None:
        (folder / "log").write_text("no such file: ca.pem\n")
        raise subprocess.CalledProcessError(2, ["mutualgate"])

    monkeypatch.setattr(bench.run, "WORK", tmp_path)
    arguments = SimpleNamespace(scenarios=["A"], repeats=1, seconds=0.1)
    cells, failures = bench.run.measure_all([subject("mutualgate", start=start)], arguments, tmp_path, tmp_path, 1)
    assert cells == {("A", "mutualgate"): ["did not start"]}
    assert re.search(r"did not start for A .*status 2.*\nno such file: ca.pem", failures[0])


def test_the_certificates_are_what_the_scenarios_need(bench: Any, tmp_path: Path) -> None:
    key, root = bench.certificates.make(tmp_path)
    revoked = bench.certificates.serial(tmp_path, "revoked")
    bench.certificates.write_crl(tmp_path / "crl.pem", key, root, 1000, also=[revoked])
    crl = x509.load_pem_x509_crl((tmp_path / "crl.pem").read_bytes())
    assert crl.is_signature_valid(root.public_key())
    assert len(crl) == 1001
    assert crl.get_revoked_certificate_by_serial_number(revoked) is not None
    client = bench.certificates.serial(tmp_path, "client")
    assert crl.get_revoked_certificate_by_serial_number(client) is None
    bench.certificates.write_bundle(tmp_path / "bundle-2.pem", root, 2)
    bundle = x509.load_pem_x509_certificates((tmp_path / "bundle-2.pem").read_bytes())
    last = x509.load_pem_x509_certificate((tmp_path / "bundle-2-client.pem").read_bytes())
    assert len(bundle) == 3
    last.verify_directly_issued_by(bundle[-1])
    stranger = x509.load_pem_x509_certificate((tmp_path / "stranger.pem").read_bytes())
    assert stranger.issuer not in {authority.subject for authority in bundle}
