"""x509-limbo, asked through the command line: no disagreement without a clause that justifies it.

The data of the suite is not part of the repository. It is looked for in `MUTUALGATE_CONFORMANCE`, then in
`shared/conformance`
beside the repository.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SUITE = Path(os.environ.get("MUTUALGATE_CONFORMANCE", HERE.parents[2] / "shared" / "conformance"))


@pytest.mark.skipif(
    not (SUITE / "limbo.json.xz").exists(),
    reason=f"{SUITE} has no x509-limbo; name its folder in MUTUALGATE_CONFORMANCE",
)
@pytest.mark.timeout(300)
def test_every_disagreement_with_limbo_is_explained() -> None:
    command = f"{sys.executable} -m mutualgate decide --batch"
    asked = subprocess.run(
        [
            sys.executable,
            str(SUITE / "run.py"),
            *("--command", command, "--kinds", "client,server,twin"),
            *("--explained", str(HERE / "explained.toml")),
        ],
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stdout[-4000:] + asked.stderr[-2000:]
    assert "314 cases asked" in asked.stdout
