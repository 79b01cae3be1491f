"""Where everything lies."""

import os
import socket
import stat
from pathlib import Path

import pytest
from installation import Installation

from mutualgate.app import Folder
from mutualgate.errors import BadInput


def test_what_is_made_is_closed_to_others(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "deep" / "gate")
    folder.create()
    for path in (folder.path, folder.keys, folder.clients, folder.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file/gate: cannot be created: Not a directory; expected a folder"):
        Folder(tmp_path / "file" / "gate").create()


def test_an_installation_is_known_by_its_store(installed: Installation, tmp_path: Path) -> None:
    installed.folder.require()
    with pytest.raises(BadInput, match="there is no mutualgate installation"):
        Folder(tmp_path / "empty").require()
    with pytest.raises(BadInput, match="File name too long"):
        Folder(tmp_path / ("x" * 300)).require()


def test_sockets_can_be_opened_however_long_the_path_is(tmp_path: Path) -> None:
    folder = Folder(tmp_path / ("x" * 100) / ("y" * 100))
    folder.create()
    with folder.control_address() as address, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
    assert folder.control.is_socket()
    with folder.sockets() as path, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / "portal.sock"))
        assert path.is_absolute()
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not path.exists()


def test_a_short_path_needs_no_other_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Folder(Path("gate")).sockets() as path:
        # A service behind the gate is named by an absolute path.
        assert path == tmp_path / "gate" / "run" / str(os.getpid())
