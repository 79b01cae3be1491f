"""Types many commands quickly: one process that has imported what commands need, and runs each as its own.

A table of a hundred rows would wait for a hundred interpreters otherwise. Knows lines of JSON; what is typed and what
is answered is as on a terminal.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from end_to_end.gate import Answer

LOOP = """
import contextlib, io, json, sys
from mutualgate.cli import run
answers = sys.stdout
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(json.loads(line))
        except SystemExit as end:
            code = end.code
    answers.write(json.dumps([code or 0, out.getvalue(), err.getvalue()]) + "\\n")
    answers.flush()
"""


@dataclass
class Typist:
    """Types commands for one folder."""

    folder: Path
    process: subprocess.Popen[str]

    def command(self, *arguments: str | Path, check: bool = True) -> Answer:
        """One command with `--json`; unless `check` is off, it has to be done (exit 0)."""
        words = [*(str(one) for one in arguments), "--dir", str(self.folder), "--json"]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the commands ended with {self.process.wait(10)}"
        answer = Answer(*json.loads(line))
        assert "Traceback" not in answer.err, answer.err
        if check:
            assert answer.code == 0, (
                f"`mutualgate {' '.join(words)}` ended with {answer.code}: {answer.out}{answer.err}"
            )
        return answer


@contextmanager
def typist(folder: Path) -> Iterator[Typist]:
    """Somebody who types commands until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MUTUALGATE_DEBUG": "1"},
    ) as process:
        try:
            yield Typist(folder, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
