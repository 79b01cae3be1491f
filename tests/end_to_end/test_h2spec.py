"""h2spec, the conformance suite of HTTP/2, against the gate; skipped where it is not installed.

It shows no client certificate, so it talks to a site without; HTTP/2 is the same on all of them.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from end_to_end.gate import running_gate
from end_to_end.recorder import Recorder

PROGRAM = shutil.which("h2spec") or shutil.which("h2spec", path=str(Path.home() / "go" / "bin"))


@pytest.mark.skipif(PROGRAM is None, reason="go install github.com/summerwind/h2spec/cmd/h2spec@latest")
@pytest.mark.timeout(300)
def test_h2spec_finds_nothing(tmp_path: Path, upstream: Recorder) -> None:
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "off"
[[sites.routes]]
path = "/"
upstream = "{upstream.url}"
"""
    with running_gate(tmp_path / "gate", sites) as gate:
        arguments = ["--strict", "-t", "-k", "-h", "localhost", "-p", str(gate.port), "-P", "/x", "-o", "5"]
        done = subprocess.run([str(PROGRAM), *arguments], capture_output=True, text=True, timeout=280)
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert found, done.stdout + done.stderr
    assert int(found[1]) > 140
    assert found[4] == "0", done.stdout
