"""Files that changed."""

import os
from pathlib import Path

from mutualgate.app.watched import Watched


def changed(watched: Watched) -> bool:
    """Whether it is seen by somebody who looks twice."""
    return any([watched.changed(), watched.changed()])


def test_a_file_that_is_written_replaced_removed_or_made_has_changed(tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("one")
    watched = Watched()
    assert not changed(watched)
    watched.note([there, missing])
    assert not changed(watched)
    there.write_text("other")
    assert changed(watched)
    watched.note([there, missing])
    new = tmp_path / "new"
    new.write_text("other")
    os.utime(new, ns=(there.stat().st_atime_ns, there.stat().st_mtime_ns))
    new.replace(there)
    assert changed(watched)
    watched.note([there])
    watched.add([missing])
    assert not changed(watched)
    missing.write_text("")
    assert changed(watched)
    watched.note([there])
    there.unlink()
    assert changed(watched)


def test_what_was_noted_first_counts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    watched = Watched()
    watched.note([file])
    file.write_text("written while it was read")
    watched.add([file])
    assert changed(watched)


def test_what_is_written_in_parts_has_changed_when_all_of_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    watched = Watched()
    watched.note([file])
    assert not watched.changed()
    for part in ("", "two", "two and three"):
        file.write_text(part)
        assert not watched.changed(), "it was another at the last look"
    assert watched.changed()


def test_doubt_lasts_until_the_files_are_noted_anew(tmp_path: Path) -> None:
    watched = Watched()
    watched.note([tmp_path / "file"])
    watched.doubt()
    assert watched.changed()
    watched.note([tmp_path / "file"])
    assert not watched.changed()
