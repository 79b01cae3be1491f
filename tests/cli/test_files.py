"""Files that users name."""

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mutualgate.cli.files import placed, read_file, refuse_existing, write_file
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
    write_file(link, b"other", force=True)
    assert not link.is_symlink()
    assert os.listdir(tmp_path) == ["link"]


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


@pytest.fixture
def no_files(tmp_path: Path) -> list[tuple[Path, str]]:
    """What no file may take the place of, and what is said of it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    (tmp_path / "to-stdout").symlink_to(tmp_path / "stdout")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "round").symlink_to("round")
    found = [
        ("pipe", "is a pipe"),
        ("folder", "is a folder"),
        ("socket", "is a socket"),
        ("to-pipe", "leads to a pipe"),
    ]
    found += [("stdout", "leads to "), ("to-stdout", "leads to "), ("round", "cannot be looked at")]
    with suppress(PermissionError):
        os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        found.append(("null", "is a device"))
    return [(tmp_path / name, problem) for name, problem in found]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_file_stays(no_files: list[tuple[Path, str]], force: bool) -> None:
    for path, problem in no_files:
        before = path.lstat()
        with pytest.raises(BadInput, match=problem) as caught:
            write_file(path, b"other", force=force)
        assert str(path) in str(caught.value)
        assert "expected a file, or a name that is free" in str(caught.value)
        assert "--force" not in str(caught.value)
        assert path.lstat() == before


def test_standard_output_stays_where_it_goes_into_a_file(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from mutualgate.cli.files import write_file; "
        "write_file(Path('stdout'), b'other', force=True)"
    )
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    with (tmp_path / "said").open("wb") as said:
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, stdout=said, stderr=subprocess.PIPE)
    assert b"stdout: leads to what this command reads or writes" in done.stderr
    assert link.is_symlink()


@pytest.mark.parametrize("force", [False, True])
def test_no_file_is_named_as_standard_input_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="stands for standard input"):
        write_file(Path("-"), b"", force=force)
    assert os.listdir(tmp_path) == []


def test_a_disk_without_room_is_found_before_anything_is_made(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(BadInput, match="cannot be written: File too large"), placed(tmp_path / "file"):
            pytest.fail("something is made for it")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_of_a_file_for_which_nothing_was_made(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="no such luck"), placed(tmp_path / "file"):
        raise Conflict("no such luck")
    assert os.listdir(tmp_path) == []


def test_what_is_made_is_said_where_its_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with placed(path) as put:
        path.write_text("of another")
        with pytest.raises(Conflict, match="it is made, but there is a file of that name"):
            put(b"mine", "it is made")
    assert path.read_text() == "of another"
    assert os.listdir(tmp_path) == ["file"]
