"""What a person sees who starts it in an empty folder: everything is there, and what it prints works when pasted."""

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from end_to_end import forge
from end_to_end.gate import Gate, up
from end_to_end.process import free_port
from end_to_end.recorder import Recorder

# Ports of its own, so that tests can run beside each other.
QUIET = ["--plain-listen", "none", "--ops-listen", "none"]


@pytest.fixture
def started(tmp_path: Path, upstream: Recorder) -> Iterator[Gate]:
    port = free_port()
    folder = tmp_path / "mutualgate"
    with up(folder, port, 0, 0, "--listen", f"127.0.0.1:{port}", "--upstream", upstream.url, *QUIET) as gate:
        gate.program.wait_for(lambda: "curl" in gate.program.text())
        yield gate


def test_everything_is_there_and_closed_to_others(started: Gate) -> None:
    assert started.root.read_text().startswith("-----BEGIN CERTIFICATE-----")
    bundles = list((started.folder / "clients").glob("*.p12"))
    assert len(bundles) == 1
    for secret in [*bundles, *(started.folder / "keys").iterdir(), started.folder / "store.sqlite3"]:
        assert stat.S_IMODE(secret.stat().st_mode) & 0o077 == 0, secret


def test_the_curl_command_works_when_pasted(started: Gate, upstream: Recorder) -> None:
    (line,) = [line.strip() for line in started.program.text().splitlines() if line.strip().startswith("curl ")][:1]
    done = subprocess.run(["sh", "-c", line + " -sS"], cwd=started.folder.parent, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    assert '"target"' in done.stdout
    assert upstream.requests[-1].values("Mutualgate-Verdict") == ["admitted"]


def test_the_password_that_it_shows_opens_the_file(started: Gate) -> None:
    (bundle,) = (started.folder / "clients").glob("*.p12")
    words = set(re.findall(r"[A-Za-z0-9_-]{8,}", started.program.text()))
    opened = []
    for word in words:
        try:
            pkcs12.load_key_and_certificates(bundle.read_bytes(), word.encode())
        except ValueError:
            continue
        opened.append(word)
    assert len(opened) == 1
    identity = forge.from_bundle(started.folder.parent, bundle, opened[0])
    assert started.get("/", identity).status == 200
    assert started.get("/").status == 403
    # Nowhere but on the screen.
    secret = opened[0].encode()
    files = [file for file in started.folder.rglob("*") if file.is_file()]
    assert [file for file in files if secret in file.read_bytes()] == []


def test_the_second_start_finds_its_state_and_shows_no_secret(started: Gate) -> None:
    root = started.root.read_bytes()
    identity = started.client("kept")
    assert "password" in started.program.text().lower()
    started.program.stop()
    # The address and the upstream are remembered.
    with up(started.folder, started.port, 0, 0, *QUIET) as again:
        assert again.root.read_bytes() == root
        assert again.get("/", identity).status == 200
        assert "password" not in again.program.text().lower()


def test_a_second_gate_on_the_same_folder_is_told_so(started: Gate) -> None:
    answer = started.command("up", "--listen", "127.0.0.1:0", *QUIET, check=False)
    assert answer.code in (1, 2)
    assert "already" in answer.out + answer.err


def test_a_port_in_use_is_one_sentence(started: Gate, tmp_path: Path) -> None:
    other = Gate(tmp_path / "other", 0, 0, 0, started.program)
    answer = other.command("up", "--listen", f"127.0.0.1:{started.port}", *QUIET, check=False)
    assert answer.code in (1, 2)
    assert str(started.port) in answer.out + answer.err
