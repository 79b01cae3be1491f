"""Private files: whole or not at all, and for nobody else."""

import os
from pathlib import Path

import pytest

from mutualgate.authorities.private_files import (
    create_private_file,
    ensure_private_folder,
    forget_drafts,
    replace_file,
    write_whole,
)
from mutualgate.errors import BadInput, Conflict


def test_nothing_is_overwritten_and_no_draft_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_private_file(path, b"first")
    with pytest.raises(Conflict, match="exists already"):
        create_private_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_link_that_waits_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        create_private_file(tmp_path / "key", b"secret")
    assert not (tmp_path / "elsewhere").exists()


def test_a_crash_while_writing_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    if (child := os.fork()) == 0:
        setattr(os, "fsync", lambda _descriptor: os._exit(9))  # noqa: B010 - the power goes while bytes are on their way
        create_private_file(tmp_path / "key", b"secret")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not (tmp_path / "key").exists()
    create_private_file(tmp_path / "key", b"secret")


def killed_while_writing(path: Path, *, hours_ago: float) -> None:
    """Leaves a draft of `path`."""
    before = set(path.parent.iterdir())
    if (child := os.fork()) == 0:
        setattr(os, "fsync", lambda _descriptor: os._exit(9))  # noqa: B010
        replace_file(path, b"secret", 0o600)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (draft,) = set(path.parent.iterdir()) - before
    then = draft.stat().st_mtime - hours_ago * 3600
    os.utime(draft, (then, then))


def test_the_next_writer_takes_away_what_a_killed_one_left(tmp_path: Path) -> None:
    for _ in range(2):
        killed_while_writing(tmp_path / "key", hours_ago=1)
    replace_file(tmp_path / "key", b"new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_what_another_is_writing_or_another_file_is_left(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "other", hours_ago=1)
    killed_while_writing(tmp_path / "key", hours_ago=0)  # as young as one that is not locked yet
    mine = tmp_path / ".key.of-mine"
    mine.write_bytes(b"")
    left = set(tmp_path.iterdir())

    def placed(draft: str, path: Path) -> None:
        os.utime(draft, (0, 0))  # it takes a long time
        replace_file(tmp_path / "key", b"of another", 0o600)
        os.replace(draft, path)

    write_whole(tmp_path / "key", b"mine", 0o600, placed)
    assert (tmp_path / "key").read_bytes() == b"mine"
    assert set(tmp_path.iterdir()) == {*left, tmp_path / "key"}
    now = mine.stat().st_mtime
    forget_drafts(tmp_path, now)
    assert {one.name.split(".")[1] for one in tmp_path.iterdir() if one.name.startswith(".")} == {"key"}


def test_of_many_files_only_its_own_drafts_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand keys in a folder are no matter to who writes one more."""
    killed_while_writing(tmp_path / "key", hours_ago=1)
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, lambda _folder: pytest.fail("it looks through the folder"))
    replace_file(tmp_path / "key", b"new", 0o600)
    monkeypatch.undo()
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_a_file_is_written_though_others_took_all_names_of_drafts(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f".key.{number:016x}").symlink_to(tmp_path / "elsewhere")
    replace_file(tmp_path / "key", b"new", 0o600)
    assert (tmp_path / "key").read_bytes() == b"new"
    assert not (tmp_path / "elsewhere").exists()
    assert len(list(tmp_path.iterdir())) == 21


def test_whoever_is_done_leaves_the_draft_of_the_next_one(tmp_path: Path) -> None:
    """Names of drafts come again: one that was put in its place is not its writer's any more."""
    children = []
    for _ in range(6):
        if (child := os.fork()) == 0:
            status = 1
            try:
                for _ in range(30):
                    replace_file(tmp_path / "key", b"x", 0o600)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is no folder"):
        ensure_private_folder(tmp_path / "file")
    with pytest.raises(BadInput, match="cannot be made"):
        ensure_private_folder(tmp_path / "no" / "where")
    with pytest.raises(BadInput, match="cannot be written"):
        create_private_file(tmp_path / "no" / "where", b"")
