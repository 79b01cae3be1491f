"""A process whose parent is another one until it is let go, and then nobody's here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mutualgate.app.orphan import Orphan


def started(program: str, *descriptors: int) -> Orphan:
    return Orphan([sys.executable, "-c", program], dict(os.environ), descriptors)


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("", 0),
        ("import sys; sys.exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.abort()", -6),
    ],
)
def test_it_is_known_how_it_ended(program: str, how: int) -> None:
    orphan = started(program)
    assert orphan.wait(20) == how
    orphan.release()


def test_a_signal_reaches_it_and_nobody_after_its_end() -> None:
    orphan = started("import time; time.sleep(600)")
    with pytest.raises(subprocess.TimeoutExpired):
        orphan.wait(0.1)
    orphan.signal(signal.SIGTERM)
    assert orphan.wait(20) == -signal.SIGTERM
    orphan.signal(signal.SIGTERM)
    orphan.release()


def test_it_goes_on_without_us_when_it_is_let_go(tmp_path: Path) -> None:
    """And as the child of whoever takes those that have no parent."""
    read, write = os.pipe()
    orphan = started(
        f"import os; os.read({read}, 1); open({str(tmp_path / 'parent')!r}, 'w').write(str(os.getppid()))", read
    )
    (between,) = (int(one) for one in status(orphan.pid, "PPid").split())
    assert status(between, "PPid") == str(os.getpid())
    orphan.release()
    assert not Path(f"/proc/{between}").exists()
    os.write(write, b".")
    while not (tmp_path / "parent").exists() or not (parent := (tmp_path / "parent").read_text()):
        time.sleep(0.02)
    assert parent not in (str(os.getpid()), str(between))
    os.close(read)
    os.close(write)


def test_it_has_the_descriptors_that_it_is_given_and_no_other() -> None:
    read, write = os.pipe()
    is_open = "os.path.exists(f'/proc/self/fd/{one}')"
    program = (
        f"import os; there = [one for one in range(3, 256) if {is_open}]; os.fdopen({write}, 'w').write(str(there))"
    )
    orphan = started(program, write)
    os.close(write)
    with os.fdopen(read) as said:
        assert said.read() == f"[{write}]"
    orphan.release()


def test_what_cannot_be_started() -> None:
    with pytest.raises(OSError, match="no process came of it"):
        Orphan(["/nowhere/program"], {}, [])


def status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))
