"""Files that something was made of, and whether they are others by now. Knows no content, only what `stat` says."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_Mark = tuple[int, int, int] | None
"""What differs once a file was written or replaced; None where there is none."""


class Watched:
    """Note the files before they are read: what changes in between is then seen as a change."""

    def __init__(self) -> None:
        self._marks: dict[Path, _Mark] = {}
        self._looked: dict[Path, _Mark] = {}
        self._doubted = False

    def note(self, files: Iterable[Path]) -> None:
        """From now on these files count, as they are now."""
        self._marks = {path: _mark(path) for path in files}
        self._doubted = False

    def add(self, files: Iterable[Path]) -> None:
        """These files count, too."""
        for path in files:
            self._marks.setdefault(path, _mark(path))

    def doubt(self) -> None:
        """What was read of them could not be used for a reason that is not theirs: they count as changed."""
        self._doubted = True

    def changed(self) -> bool:
        """Whether one of them was written, replaced, removed or put there since, and all are as at the last look: who
        writes one may have written half of it."""
        before, self._looked = self._looked, {path: _mark(path) for path in self._marks}
        return self._doubted or self._marks != self._looked == before


def _mark(path: Path) -> _Mark:
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
