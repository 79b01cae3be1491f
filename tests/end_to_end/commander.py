"""Runs commands each in a process of its own, as copies of one that has all imports done.

Setting up a gate takes some ten commands, and each would pay for Python's start and its imports, most of a second.
Knows processes and lines of JSON; what a command prints, reads and ends with is as on a terminal.
"""

import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LOOP = """
import gc, json, os, pathlib, sys, tempfile
from mutualgate.cli import main
from mutualgate.cli.standby import load

with tempfile.TemporaryDirectory() as folder:
    load(pathlib.Path(folder))
gc.collect()
gc.freeze()  # what was imported stays: no copy looks through it
asked, answers = os.fdopen(os.dup(0), "rb", 0), os.dup(1)
for line in iter(asked.readline, b""):
    words, environment, streams = json.loads(line)
    process = os.fork()
    if process == 0:
        asked.close()
        os.close(answers)
        for number, (file, flags) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY))):
            opened = os.open(file, flags)
            os.dup2(opened, number)
            os.close(opened)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = words
        main()
    _, status = os.waitpid(process, 0)
    os.write(answers, b"%d\\n" % os.waitstatus_to_exitcode(status))
"""


class Commander:
    """The process of which the others are copies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], said: str | None, seconds: float
    ) -> "subprocess.CompletedProcess[str]":
        """As `subprocess.run` of `mutualgate` with these words and `said` on its standard input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            streams = [Path(os.devnull) if said is None else Path(folder, "in"), out, err]
            if said is not None:
                streams[0].write_text(said)
            out.touch()
            err.touch()
            line = json.dumps([list(words), dict(environment), [str(one) for one in streams]])
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                self.end()
                raise subprocess.TimeoutExpired(list(words), seconds)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(list(words), code, out.read_text(), err.read_text())

    def end(self) -> None:
        """Nobody is asked any more."""
        self._process.kill()
        self._process.wait()
        commander.cache_clear()


@functools.cache
def commander() -> Commander:
    """This worker's. It ends with its standard input, so with the worker."""
    return Commander()
