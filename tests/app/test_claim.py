"""One process for one folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from mutualgate.app import Folder
from mutualgate.app.claim import claimed, is_claimed
from mutualgate.errors import BadInput, Unavailable

HOLD = """
import sys; from pathlib import Path
from mutualgate.app import Folder; from mutualgate.app.claim import claimed
with claimed(Folder(Path(sys.argv[1]))): print("held", flush=True); sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "gate")
    made.create()
    return made


def test_one_process_has_a_folder_at_a_time(folder: Folder) -> None:
    assert not is_claimed(folder)
    with claimed(folder):
        assert is_claimed(folder)
        with pytest.raises(Unavailable, match="another process already runs this gate"), claimed(folder):
            pass
    assert not is_claimed(folder)
    with claimed(folder):
        pass


def test_a_process_that_was_killed_holds_nothing(folder: Folder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_claimed(folder)
        process.kill()
        process.wait()
        with claimed(folder):
            pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run/lock: cannot be written"), claimed(Folder(tmp_path / "nowhere")):
        pass
