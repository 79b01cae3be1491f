"""Commands, run in this process as the program runs them, on an installation of each test's own."""

import io
import sys
from pathlib import Path

import installation
import pytest
from commands import Run, Said
from installation import Installation

from mutualgate.cli import run


@pytest.fixture
def bare(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the words as they are; `stdin` is what standard input gives."""

    def said(*words: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = run([str(word) for word in words])
        out, err = capsysbinary.readouterr()
        assert b"Traceback" not in out + err
        return Said(code, out.decode(), err.decode())

    return said


@pytest.fixture
def cli(bare: Run, installed: Installation) -> Run:
    """Runs the words on `installed`."""
    return lambda *words, stdin=b"": bare(*words, "--dir", installed.folder.path, stdin=stdin)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation.make(tmp_path_factory.mktemp("template") / "gate")


@pytest.fixture
def installed(template: Installation, tmp_path: Path) -> Installation:
    return installation.copy(template, tmp_path / "gate")
