"""`mutualgate client`, each verb, for people and for programs."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pki
import pytest
from commands import Run
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from installation import Installation

from mutualgate.authorities.private_files import Draft


def test_a_client_is_added_shown_and_listed(cli: Run, installed: Installation) -> None:
    added = cli("client", "add", "alice", "--role", "orders", "--role", "reports", "--contact", "a@b.example", "--json")
    assert added.code == 0
    assert added.json["name"] == "alice"
    assert added.json["roles"] == ["orders", "reports"]
    assert added.json["in_force"] is False
    text = cli("client", "add", "bob").out
    assert "bob is client 3" in text
    shown = cli("client", "show", "alice")
    assert shown.out.splitlines()[:3] == [
        "alice, client 2, new", "roles: orders, reports", "contact: a@b.example"
    ]  # fmt: skip
    listed = cli("client", "list")
    assert [line.split()[1] for line in listed.out.splitlines()] == ["name", "first-client", "alice", "bob"]
    assert [one["name"] for one in cli("client", "list", "--role", "orders", "--json").json["clients"]] == ["alice"]
    assert cli("client", "list", "--search", "nobody-like-this").out == "No client fits.\n"


def test_many_clients_are_listed_in_pages(cli: Run, installed: Installation) -> None:
    services = installed.services()
    for number in range(30):
        services.clients.add(f"client-{number:02d}")
    services.close()
    first = cli("client", "list", "--limit", "20")
    assert len(first.out.splitlines()) == 22
    assert first.out.splitlines()[-1] == "31 in all; the next ones: --after 20"
    rest = cli("client", "list", "--limit", "20", "--after", "20", "--json").json
    assert (len(rest["clients"]), rest["after"], rest["total"]) == (11, None, 31)
    wrong = cli("client", "list", "--limit", "0")
    assert wrong.code == 2


def test_a_csr_is_signed_and_differences_are_said(cli: Run, tmp_path: Path) -> None:
    cli("client", "add", "alice")
    request = tmp_path / "alice.csr"
    request.write_bytes(pki.csr(pki.fresh_key(), "somebody else"))
    out = tmp_path / "alice.pem"
    said = cli("client", "sign", "alice", "--csr", request, "--out", out, "--days", "10")
    assert said.code == 0, said.err
    assert "somebody else" in said.out
    assert x509.load_pem_x509_certificates(out.read_bytes())[0].subject.rfc4514_string() == "CN=alice"
    again = cli("client", "sign", "alice", "--csr", request, "--out", out)
    assert again.code == 2
    assert "there is a file of that name" in again.err
    assert "--force" in again.err


def test_nothing_is_signed_for_a_file_that_cannot_be_written(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("client", "add", "alice")
    request = tmp_path / "alice.csr"
    request.write_bytes(pki.csr(pki.fresh_key(), "alice"))
    os.mkfifo(tmp_path / "pipe")
    # Beside the last one, no file can be made.
    names = (tmp_path / "nowhere" / "a.pem", request / "a.pem", tmp_path / ("x" * 300), tmp_path / ("x" * 250))
    for out in (tmp_path, Path("-"), tmp_path / "pipe", *names):
        for words in (("sign", "alice", "--csr", request), ("p12", "alice")):
            said = cli("client", *words, "--out", out, "--force")
            assert said.code == 2, out
            assert str(out.name)[:20] in said.err or str(out.parent) in said.err
    assert (tmp_path / "pipe").is_fifo()
    assert cli("client", "show", "alice", "--json").json["credentials"] == []


def test_what_is_made_is_said_where_the_disk_gets_full_meanwhile(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = tmp_path / "x.csr"
    request.write_bytes(pki.csr(pki.fresh_key(), "x"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Draft, "put", full)
    signed = cli("client", "sign", "first-client", "--csr", request, "--out", tmp_path / "x.pem")
    assert (signed.code, signed.out) == (2, "")
    assert "x.pem: its certificate is signed, but cannot be written: No space left" in signed.err
    made = cli("client", "p12", "first-client", "--out", tmp_path / "x.p12")
    assert (made.code, made.out) == (2, "")
    newest = cli("client", "show", "first-client", "--json").json["credentials"][-1]
    assert f"x.p12: its certificate {newest['serial']} is made, but cannot be written: No space left" in made.err
    assert f"mutualgate client revoke first-client --credential {newest['serial']}" in made.err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gate", "x.csr"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 100, b"-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_a_csr_that_is_none_is_named(cli: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.csr").write_bytes(content)
    said = cli("client", "sign", "first-client", "--csr", tmp_path / "bad.csr", "--out", tmp_path / "o.pem", "--json")
    assert said.code == 2
    assert "bad.csr" in str(said.json["error"])
    assert not (tmp_path / "o.pem").exists()


def test_a_csr_may_come_from_standard_input(cli: Run, tmp_path: Path) -> None:
    request = pki.csr(pki.fresh_key(), "x")
    said = cli("client", "sign", "first-client", "--csr", "-", "--out", tmp_path / "o.pem", stdin=request)
    assert said.code == 0, said.err


def test_a_p12_opens_with_the_password_that_is_shown_once(cli: Run, installed: Installation, tmp_path: Path) -> None:
    out = tmp_path / "first.p12"
    said = cli("client", "p12", "first-client", "--out", out, "--for", "windows-11", "--json")
    assert said.code == 0
    password = said.json["password"]
    assert pkcs12.load_key_and_certificates(out.read_bytes(), password.encode())[0] is not None
    assert out.stat().st_mode & 0o077 == 0
    for path in installed.folder.path.rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes()
    text = cli("client", "p12", "first-client", "--out", tmp_path / "second.p12", "--profile", "compat").out
    assert "Password, shown once: " in text


@pytest.mark.parametrize(("flag", "value"), [("--profile", "rc2"), ("--key", "dsa"), ("--days", "0")])
def test_a_word_that_is_not_possible_is_told_what_is(cli: Run, tmp_path: Path, flag: str, value: str) -> None:
    said = cli("client", "p12", "first-client", "--out", tmp_path / "o.p12", flag, value)
    assert said.code == 2
    assert flag in said.err or value in said.err
    assert not (tmp_path / "o.p12").exists()


def test_suspend_resume_roles_remove(cli: Run) -> None:
    assert cli("client", "suspend", "first-client").out.startswith("first-client is suspended; no gate is running here")
    assert cli("client", "show", "first-client", "--json").json["state"] == "suspended"
    assert cli("client", "resume", "first-client", "--json").json["state"] == "active"
    assert "has a, b" in cli("client", "roles", "first-client", "--add", "b", "--add", "a").out
    assert cli("client", "roles", "first-client", "--remove", "a", "--json").json["roles"] == ["b"]
    assert cli("client", "remove", "first-client").out.startswith("first-client is gone")
    gone = cli("client", "show", "first-client", "--json")
    assert (gone.code, gone.json["error"]["code"]) == (2, "no_such_client")


def test_a_certificate_is_held_released_and_revoked(cli: Run) -> None:
    held = cli("client", "revoke", "first-client", "--reason", "certificateHold", "--json")
    assert len(held.json["revoked"]) == 1
    assert cli("client", "revoke", "first-client", "--release", "--json").json["released"] == held.json["revoked"]
    text = cli("client", "revoke", "first-client", "--reason", "keyCompromise").out
    assert text.startswith("1 certificate revoked (")
    again = cli("client", "revoke", "first-client", "--release")
    assert again.code == 2


def test_the_serial_number_zero_is_said(cli: Run, tmp_path: Path) -> None:
    root = pki.ca("old", now=pki.real_now())
    (tmp_path / "old.pem").write_bytes(root.pem)
    (tmp_path / "issued").mkdir()
    zero = tmp_path / "issued" / "zero.der"
    zero.write_bytes(pki.numbered(pki.leaf(root, "zero", now=pki.real_now()), b"\0"))
    assert cli("ca", "adopt", "--cert", tmp_path / "old.pem", "--issued", tmp_path / "issued").code == 0
    assert [one["serial"] for one in cli("client", "show", "zero", "--json").json["credentials"]] == ["0"]
    assert cli("client", "revoke", "--certificate", zero).out.startswith("1 certificate revoked (0)")


@pytest.mark.parametrize(
    "words",
    [
        ("revoke",),
        ("revoke", "first-client", "--certificate", "x.pem"),
        ("revoke", "first-client", "--release", "--reason", "keyCompromise"),
        ("revoke", "first-client", "--reason", "nonsense"),
        ("revoke", "--certificate", "/nowhere/x.pem"),
        ("suspend", "nobody"),
        ("show", "\x1b[31mred"),
    ],
)
def test_wrong_use_is_one_sentence(cli: Run, words: tuple[str, ...]) -> None:
    said = cli("client", *words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("mutualgate: ")
    assert "\x1b" not in said.err
    as_json = cli("client", *words, "--json")
    assert as_json.code == 2
    assert as_json.json["error"]["problem"]
    assert as_json.err == ""


def test_a_certificate_is_renewed_by_hand_and_its_lineage_revoked(cli: Run, tmp_path: Path) -> None:
    cli("client", "add", "alice")
    request = tmp_path / "alice.csr"

    def sign(*more: str) -> Any:
        request.write_bytes(pki.csr(pki.fresh_key()))
        return cli("client", "sign", "alice", "--csr", request, "--out", tmp_path / "o.pem", "--force", "--json", *more)

    first = sign().json["id"]
    other = sign().json["id"]
    second = sign("--replaces", str(first)).json
    assert second["replaces"] == first
    assert sign("--replaces", str(first)).code == 2
    assert sign("--replaces", "1" * 5000).code == 2
    assert "superseded on" in cli("client", "show", "alice").out
    said = cli("client", "revoke", "alice", "--credential", first, "--lineage", "--json")
    assert len(said.json["revoked"]) == 2
    states = {one["id"]: one["state"] for one in cli("client", "show", "alice", "--json").json["credentials"]}
    assert states == {first: "revoked", other: "valid", second["id"]: "revoked"}
    assert cli("client", "revoke", "alice", "--lineage").code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has none")
def test_a_password_that_could_not_be_shown_is_said_to_be_lost(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.p12"
    with monkeypatch.context() as full, open("/dev/full", "w") as unread:
        full.setattr(sys, "stdout", unread)
        said = cli("client", "p12", "first-client", "--out", out)
        sys.stdout.close()
    assert said.code == 1
    assert f"{out} is written, and nobody has seen its password" in said.err
    assert cli("client", *said.err.partition("mutualgate client ")[2].split()).code == 0


def test_no_key_is_made_where_nobody_can_read_its_password(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with monkeypatch.context() as unread, open(write, "w") as out:
        unread.setattr(sys, "stdout", out)
        assert cli("client", "p12", "first-client", "--out", tmp_path / "a.p12").code == 2
    assert list(tmp_path.glob("*.p12")) == []
