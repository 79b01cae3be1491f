"""Exported files in their folder: who may read them, what is not overwritten, and on which machine."""

import os
import resource
import stat
from pathlib import Path, PurePosixPath

import pytest

from mutualgate.apache import write as module
from mutualgate.apache.write import installed, write
from mutualgate.errors import BadInput


def test_who_may_read_a_file_does_not_depend_on_the_shell(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write({PurePosixPath(name): b"x" for name in ("a.conf", "refresh-crls", "tls/a.key")}, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {
        name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("a.conf", "refresh-crls", "tls/a.key")
    }
    assert modes == {"a.conf": 0o644, "refresh-crls": 0o755, "tls/a.key": 0o600}


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot be written: Not a directory") as caught:
        write({}, tmp_path / "file" / "out")
    assert caught.value.where
    assert caught.value.where.startswith(f"{tmp_path}/file/out")


def test_a_disk_without_room_is_said_in_a_sentence(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(BadInput, match="cannot be written: File too large") as caught:
            write({PurePosixPath("a"): b"x" * 11}, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.where == str(tmp_path)


def test_the_program_and_its_modules_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "MODULE_FOLDERS", (str(tmp_path / "none"), str(tmp_path)))
    assert installed() == ("apache2", str(tmp_path))
    (tmp_path / "httpd").touch(mode=0o755)
    assert installed() == ("httpd", str(tmp_path))
    monkeypatch.setattr(module, "MODULE_FOLDERS", (str(tmp_path / "none"),))
    assert installed()[1] == str(tmp_path / "none")
