"""What the system says of processes (proc(5)), whichever of them end while it is asked."""

import os
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> set[int]:
    """All that are a process' own, ended ones that nobody has waited for among them.

    Found by the parent that each names: the lists that a process' threads have of theirs go with a thread that ends.
    """
    found = (int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit())
    return {one for one in found if _stat(one)[1] == pid}


def parent(pid: int) -> int:
    """The process that it is a child of; 0 where it is gone."""
    return _stat(pid)[1]


def alive(pid: int) -> bool:
    """Whether it is there and has not ended, waited for or not."""
    return state(pid) != "Z"


def state(pid: int) -> str:
    """The letter of its state; that of a zombie where it is gone."""
    return _stat(pid)[0]


def open_files(pid: int) -> dict[int, str]:
    """What each of its descriptors leads to; none where it is gone."""
    found: dict[int, str] = {}
    with suppress(OSError):
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found[int(one.name)] = os.readlink(one)
    return found


def _stat(pid: int) -> tuple[str, int]:
    """Its state and its parent: of one that is gone those of a zombie that is nobody's."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0
    return state, int(parent)
