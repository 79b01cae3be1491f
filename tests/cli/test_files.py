"""Files that users name."""

import os
import stat
from pathlib import Path

import pytest

from mutualgate.cli.files import read_file, refuse_existing, write_file
from mutualgate.errors import BadInput, Conflict


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path, "Is a directory"),
        (tmp_path / "nowhere", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("/dev/zero"), "is too large; expected at most 1,000 bytes"),
    ):
        with pytest.raises(BadInput, match=problem) as caught:
            read_file(path, most_bytes=1000)
        assert caught.value.where == str(path)


def test_a_file_is_written_whole_and_not_over_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"first", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="there is a file of that name"):
        write_file(path, b"second")
    write_file(path, b"second", force=True)
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_is_a_file_too_and_is_not_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("mine")
    link.symlink_to(victim)
    with pytest.raises(Conflict):
        write_file(link, b"other")
    write_file(link, b"other", force=True)
    assert victim.read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Conflict):
        write_file(link, b"other")


@pytest.mark.parametrize("force", [False, True])
def test_where_nothing_can_be_written_is_named(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere" / "x", tmp_path / "file" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(BadInput):
            refuse_existing(path, force)
        with pytest.raises(BadInput):
            write_file(path, b"", force=force)
    with pytest.raises((BadInput, Conflict)):
        write_file(tmp_path, b"", force=force)
