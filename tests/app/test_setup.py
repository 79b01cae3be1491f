"""What a first start makes."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from installation import Installation

from mutualgate.app import Folder
from mutualgate.app.setup import FIRST_CLIENT, first_client, machine_hosts, set_up, write_config
from mutualgate.errors import BadInput


def test_the_password_opens_the_file_and_is_kept_nowhere(installed: Installation) -> None:
    key, certificate, chain = pkcs12.load_key_and_certificates(installed.p12.read_bytes(), installed.password.encode())
    assert key is not None
    assert certificate is not None
    assert chain
    assert stat.S_IMODE(installed.p12.stat().st_mode) == 0o600
    for path in installed.folder.path.rglob("*"):
        if path.is_file():
            assert installed.password.encode() not in path.read_bytes(), path


def test_done_again_it_finds_what_is_there(installed: Installation) -> None:
    root = installed.folder.root.read_bytes()
    services = installed.services()
    try:
        set_up(services)
        installed.folder.root.unlink()
        set_up(services)
        assert first_client(services) is None
        assert services.clients.list().total == 1
    finally:
        services.close()
    assert installed.folder.root.read_bytes() == root


def test_who_reads_the_root_reads_a_whole_one(installed: Installation) -> None:
    root = installed.folder.root
    whole = root.read_bytes()
    root.write_bytes(whole[:100])
    services = installed.services()
    try:
        with root.open("rb") as reader:
            set_up(services)
            assert reader.read() == whole[:100], "what was opened before is not written to"
        assert root.read_bytes() == whole
        root.unlink()
        root.mkdir()
        with pytest.raises(BadInput, match="cannot be written"):
            set_up(services)
    finally:
        services.close()


def test_the_first_client_is_no_more_made_when_it_was_removed(installed: Installation) -> None:
    services = installed.services()
    try:
        services.clients.remove(FIRST_CLIENT)
        assert first_client(services) is None
    finally:
        services.close()


def test_the_first_file_is_what_flags_said_and_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write_config(folder, hosts=["localhost"], upstream="http://127.0.0.1:8080", listen=["127.0.0.1:9443"])
    text = folder.config.read_text()
    assert "http://127.0.0.1:8080" in text
    assert "127.0.0.1:9443" in text
    write_config(folder, hosts=["localhost"], upstream=None, listen=None)
    assert folder.config.read_text() == text


def test_a_flag_that_cannot_stand_in_the_file_leaves_none(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with pytest.raises(BadInput):
        write_config(folder, hosts=["localhost"], upstream="ftp://nowhere", listen=None)
    assert not folder.config.exists()


@pytest.mark.parametrize(
    ("machine", "named"), [("Box.Example.ORG", "box.example.org"), ("a_b", None), ("-x", None), ("", None)]
)
def test_a_machine_is_named_where_a_certificate_can(
    machine: str, named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: machine)
    hosts = machine_hosts(["gate.example"])
    assert hosts == ["gate.example", "localhost", "127.0.0.1", "::1", *([named] if named else [])]
