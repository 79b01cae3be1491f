"""The commands of the tutorial, in its order and as they stand there, in an empty folder; but for the port."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from end_to_end.gate import Gate, up
from end_to_end.process import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial" / "first-page.md").read_text(encoding="utf-8")
TYPED = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FOUND_ON_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SECONDS = 60


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """What the first command opens, with the flags that the page names for when an address is in use."""
    assert TYPED[1] == "mutualgate up\n"
    assert "`mutualgate up --listen 127.0.0.1:9443 --plain-listen none --ops-listen none`" in PAGE
    port = free_port()
    flags = ["--listen", f"127.0.0.1:{port}", "--plain-listen", "none", "--ops-listen", "none"]
    with up(tmp_path / "mutualgate", port, 0, 0, *flags) as opened:
        opened.program.wait_for(lambda: "curl" in opened.program.text())
        yield opened


@contextmanager
def begun(gate: Gate, commands: str) -> Iterator["subprocess.Popen[str]"]:
    here = gate.folder.parent
    with subprocess.Popen(
        ["sh", "-e", "-c", commands.replace("8443", str(gate.port))],
        cwd=here,
        env={**os.environ, "PATH": FOUND_ON_PATH, "HOME": str(here)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as shell:
        try:
            yield shell
        finally:
            shell.kill()


def typed(gate: Gate, commands: str) -> str:
    """What they print."""
    with begun(gate, commands) as shell:
        out, err = shell.communicate(timeout=SECONDS)
    assert shell.returncode == 0, f"{commands}: {err}"
    return out


def shown(reason: str) -> dict[str, str]:
    """The document on the page with that reason."""
    for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        found: dict[str, str] = json.loads(block)
        if found["reason"] == reason:
            return found
    raise AssertionError(f"the page shows no {reason}")


def test_the_tutorial_does_what_it_says(gate: Gate) -> None:
    without, explain, second, comes_in, stays, revoke, revoked, upstream = TYPED[2:]
    (paste,) = (line for line in gate.program.text().splitlines() if line.startswith("  curl "))
    assert typed(gate, paste).startswith("Hello, first-client.\n")

    refusal = json.loads(typed(gate, without))
    assert {**refusal, "refusal": ""} == {**shown("no_certificate"), "refusal": ""}
    told = typed(gate, explain.replace(shown("no_certificate")["refusal"], refusal["refusal"]))
    assert told.startswith(f"refusal      {refusal['refusal']}\n")
    assert told.splitlines()[-2:] == [line for line in PAGE.splitlines() if line.startswith(("mostly ", "you can "))]

    said = typed(gate, second)
    assert "partner-7 is client 2. " in said
    assert "  subject: asked for CN=anything, given CN=partner-7\n" in said
    assert "In force on the running gate" in said
    assert typed(gate, comes_in).startswith("Hello, partner-7.\n")

    with begun(gate, stays) as open_connection:
        assert open_connection.stdout is not None
        assert open_connection.stdout.readline() == "event: tick\n"
        assert typed(gate, revoke).startswith("1 certificate revoked (")
        open_connection.communicate(timeout=SECONDS)
        assert open_connection.returncode != 0
    after = json.loads(typed(gate, revoked))
    assert (after["reason"], after["fix"]) == ("revoked", shown("revoked")["fix"])
    assert after["detail"].endswith("because its key was exposed.")
    assert upstream == "mutualgate up --upstream http://127.0.0.1:8080\n"
