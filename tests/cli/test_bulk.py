"""`mutualgate client import` and `mutualgate client sign --csrs`."""

import csv
import errno
import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from commands import Run
from cryptography import x509
from installation import Installation
from sqlalchemy.exc import OperationalError

from mutualgate import audit
from mutualgate.authorities.private_files import Draft


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("name,roles,contact\nanna,staff admin,anna@example.com\nbert,,\n=1+1,,\n")
    return path


class Disk:
    """Has room for so many parts more."""

    left = 9


def full_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Each part's audit entries are the last that is written of it."""
    disk, record_many = Disk(), audit.record_many

    def record(*given: Any) -> None:
        if not disk.left:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise OperationalError("INSERT", None, full)
        disk.left -= 1
        record_many(*given)

    monkeypatch.setattr(audit, "record_many", record)
    return disk


def links(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_people_are_invited_and_their_links_open(cli: Run, people: Path, installed: Installation) -> None:
    said = cli("client", "import", people, "--invite", "--way", "page", "--valid-for", "30", "--json")
    assert said.code == 0, said.err
    assert (said.json["invited"], said.json["refused"]) == (3, [])
    out = people.with_name("people.invitations.csv")
    assert said.json["file"] == str(out)
    assert out.stat().st_mode & 0o777 == 0o600
    rows = links(out)
    assert [one["name"] for one in rows] == ["anna", "bert", "'=1+1"]  # a spreadsheet computes nothing
    services = installed.services()
    try:
        opened = services.invitation_use.open(rows[0]["link"].rpartition("/")[2], peer="192.0.2.7")
        assert (opened.client.name, opened.client.roles) == ("anna", ("admin", "staff"))
        assert (opened.invitation.ways, opened.invitation.validity) == (("page",), timedelta(days=30))
        assert services.invitation_use.open(rows[2]["code"], peer="192.0.2.7").client.name == "=1+1"
    finally:
        services.close()


def test_links_that_an_editor_has_saved_are_read(cli: Run, people: Path) -> None:
    assert cli("client", "import", people, "--invite").code == 0
    out = people.with_name("people.invitations.csv")
    out.write_bytes(b"\xef\xbb\xbf" + out.read_bytes())
    said = cli("client", "import", people, "--invite", "--json")
    assert (said.code, said.json["before"]) == (0, 3)


def test_a_second_run_invites_nobody_twice_and_says_what_is_new(cli: Run, people: Path) -> None:
    cli("client", "import", people, "--invite")
    out = people.with_name("people.invitations.csv")
    before = out.read_bytes()
    again = cli("client", "import", people, "--invite", "--json")
    assert (again.json["invited"], again.json["before"], again.json["there"]) == (0, 3, 0)
    assert out.read_bytes() == before
    people.write_text(people.read_text() + "carl,,\n")
    more = cli("client", "import", people, "--invite", "--json")
    assert (more.json["invited"], more.json["before"]) == (1, 3)
    out.write_bytes(out.read_bytes()[:-9])  # a line that a crash cut off
    assert cli("client", "import", people, "--invite", "--json").json["there"] == 1
    assert cli("invitation", "list", "--json").json["total"] == 4


def test_where_it_stops_it_says_what_is_done(
    cli: Run, people: Path, requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that gets full, for one, after parts that stay."""
    table = people.read_text()
    disk = full_disk(monkeypatch)
    monkeypatch.setattr("mutualgate.enrolment.bulk_invitations.PART", 2)
    monkeypatch.setattr("mutualgate.enrolment.bulk.PART", 2)
    links = people.with_name("people.invitations.csv")
    for words, keep in (
        (("import", people, "--invite"), f"; keep {links}"),
        (("import", people), ""),
        (("sign", "--csrs", requests, "--add"), ""),
    ):
        people.write_text(table)
        disk.left = 1
        said = cli("client", *words)
        assert (said.code, said.out) == (1, ""), words
        assert "the disk is full. 2 of 3 are done, and the same command goes on after them" + keep in said.err
        assert "othing was changed" not in said.err
        table = table.replace("anna,", "gerd,").replace("bert,", "hugo,").replace("=1+1,", "ida,")
        disk.left = 0
        assert "the disk is full. Nothing was changed" in cli("client", *words).err
        disk.left = 9
        assert cli("client", *words).code == 0


def test_where_no_letter_can_be_sent_no_link_is_written_down(cli: Run, people: Path) -> None:
    people.write_text("name,mail\nanna,anna@example.com\n")
    said = cli("client", "import", people, "--invite", "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "no_mail_server")
    assert links(people.with_name("people.invitations.csv")) == []


def test_what_is_refused_is_named_by_row_and_column(cli: Run, people: Path) -> None:
    people.write_text('name,roles\nanna,staff\nbert,"a,b"\nanna,\n../x,\n\x1b[31m,\ncarl\n')
    said = cli("client", "import", people, "--json")
    assert said.code == 1
    assert [(one["row"], one["column"], one["code"]) for one in said.json["refused"]] == [
        (3, "roles", "bad_role"),
        (4, "name", "given_twice"),
        (5, "name", "bad_name"),
        (6, "name", "bad_cell"),
        (7, "", "bad_row"),
    ]
    assert said.json["added"] == 1
    text = cli("client", "import", people)
    assert "row 3, roles: 'a,b' cannot be a role" in text.out
    assert "\x1b" not in text.out
    assert "row 2: anna" in text.out  # there already


def test_the_links_go_to_no_file_of_somebody_elses(cli: Run, people: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,salary\nanna,1\n")
    for out in (other, people, tmp_path, tmp_path / "nowhere" / "x.csv"):
        said = cli("client", "import", people, "--invite", "--out", out)
        assert said.code == 2, out
    assert other.read_text() == "name,salary\nanna,1\n"
    assert cli("invitation", "list", "--json").json["total"] == 0
    assert cli("client", "import", "-", "--invite", stdin=people.read_bytes()).code == 2
    assert cli("client", "import", "-", stdin=people.read_bytes()).code == 0


def test_the_links_go_into_a_file(cli: Run, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(people.parent)
    os.mkfifo("pipe")
    for out, problem in (("-", "stands for standard input"), ("pipe", "is a pipe"), (people.parent, "is a folder")):
        said = cli("client", "import", people, "--invite", "--out", out)
        assert (said.code, said.out) == (2, ""), out
        assert problem in said.err
    assert not Path("-").exists()


def test_links_are_written_where_nobody_else_reads_them(cli: Run, people: Path) -> None:
    """Somebody who may write into that folder has put a file there, with the right first line and open to all."""
    out = people.with_name("people.invitations.csv")
    out.write_text("name,link,code,second_code,until\n")
    out.chmod(0o644)
    said = cli("client", "import", people, "--invite")
    assert said.code == 2
    assert "others may read it" in said.err
    out.chmod(0o600)
    assert cli("client", "import", people, "--invite", "--json").json["invited"] == 3


@pytest.mark.parametrize("table", [b"", b"x\n1\n", b'name\n"a\n', b"name\n\xff\n"])
def test_what_is_no_table_is_one_sentence(cli: Run, people: Path, table: bytes) -> None:
    people.write_bytes(table)
    said = cli("client", "import", people, "--invite")
    assert said.code == 2
    assert "people.csv" in said.err
    assert not people.with_name("people.invitations.csv").exists()


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    folder = tmp_path / "csrs"
    folder.mkdir()
    for name in ("anna", "bert", "carl"):
        (folder / f"{name}.csr").write_bytes(pki.csr(pki.fresh_key(), name))
    return folder


def test_a_folder_is_signed(cli: Run, requests: Path, tmp_path: Path) -> None:
    (requests / "notes.txt").write_text("not a CSR")
    (requests / ".hidden.csr").write_text("neither")
    out = tmp_path / "out"  # which it makes
    said = cli("client", "sign", "--csrs", requests, "--out", out, "--add", "--role", "orders", "--json")
    assert said.code == 0, said.err
    assert (said.json["signed"], said.json["refused"]) == (3, [])
    assert sorted(path.name for path in out.iterdir()) == ["anna.crt", "bert.crt", "carl.crt"]
    leaf, _ = x509.load_pem_x509_certificates((out / "anna.crt").read_bytes())
    assert leaf.subject.rfc4514_string() == "CN=anna"
    assert cli("client", "show", "anna", "--json").json["roles"] == ["orders"]


def test_a_second_run_signs_nothing_twice_and_writes_what_is_missing(cli: Run, requests: Path) -> None:
    cli("client", "sign", "--csrs", requests, "--add")
    before = {path.name: path.read_bytes() for path in requests.glob("*.crt")}
    (requests / "anna.crt").unlink()
    (requests / "bert.crt").write_bytes(before["bert.crt"][:100])  # what a power cut leaves
    again = cli("client", "sign", "--csrs", requests, "--json")
    assert (again.json["signed"], again.json["again"], again.json["written_again"]) == (0, 3, 2)
    assert {path.name: path.read_bytes() for path in requests.glob("*.crt")} == before
    assert len(cli("client", "show", "anna", "--json").json["credentials"]) == 1


def test_counts_agree_with_their_nouns(cli: Run, requests: Path) -> None:
    sign = ("client", "sign", "--csrs", requests, "--add")
    (requests / "anna.csr").rename(requests / "anna.later")
    assert "2 certificates signed, 0 were signed before" in cli(*sign).out
    (requests / "anna.later").rename(requests / "anna.csr")
    assert "1 certificate signed, 2 were signed before" in cli(*sign).out


def test_what_is_refused_is_named_by_its_file(cli: Run, requests: Path) -> None:
    (requests / "dora.csr").write_bytes(b"hello")
    (requests / "emil.csr").write_bytes(b"0" * (10 << 20))
    (requests / "anna.pem").write_bytes((requests / "anna.csr").read_bytes())
    (requests / "bert.crt").write_text("somebody else's")
    (requests / "elsewhere.txt").write_text("not to be written over")
    os.symlink(requests / "elsewhere.txt", requests / "carl.crt")
    said = cli("client", "sign", "--csrs", requests, "--add", "--json")
    assert said.code == 1
    found = {Path(one["file"]).name: one["code"] for one in said.json["refused"]}
    assert found == {
        "anna.pem": "given_twice",
        "bert.csr": "file_exists",
        "carl.csr": "file_exists",
        "dora.csr": "not_a_csr",
        "emil.csr": "bad_input",
    }
    assert (requests / "bert.crt").read_text() == "somebody else's"
    assert (requests / "carl.crt").is_symlink()
    text = cli("client", "sign", "--csrs", requests, "--force").out
    assert f"\n  {requests / 'dora.csr'}: is no CSR" in text
    assert (requests / "bert.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_what_is_signed_and_not_written_is_said_to_be_signed(cli: Run, requests: Path) -> None:
    (requests / "anna.crt").write_text("somebody else's")
    os.mkfifo(requests / "bert.crt")
    (requests / "carl.crt").mkdir()
    said = cli("client", "sign", "--csrs", requests, "--add")
    assert said.code == 1
    assert "3 certificates signed, 0 were signed before.\n3 refused:\n" in said.out
    for name, problem in (("anna", "there is another file of that name"), ("bert", "is a pipe"), ("carl", "is a fold")):
        assert f"{name}.crt: its certificate is signed, but {problem}" in said.out
        assert cli("client", "show", name, "--json").json["state"] == "active"
    again = cli("client", "sign", "--csrs", requests, "--force", "--json").json
    assert (again["signed"], again["again"], again["written_again"], len(again["refused"])) == (0, 3, 1, 2)
    assert (requests / "bert.crt").is_fifo()


def test_what_the_disk_has_no_room_for_is_said_to_be_signed(
    cli: Run, requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Draft, "put", full)
    said = cli("client", "sign", "--csrs", requests, "--add")
    assert said.code == 1
    assert "3 certificates signed, 0 were signed before.\n3 refused:\n" in said.out
    assert "anna.crt: its certificate is signed, but cannot be written: No space left" in said.out


def test_nothing_is_signed_for_a_folder_that_cannot_be_written(
    cli: Run, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    opened = os.open

    def read_only(path: str, flags: int, *mode: int) -> int:
        if str(path).startswith(str(out)) and flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    said = cli("client", "sign", "--csrs", requests, "--out", out, "--add")
    assert (said.code, said.out) == (2, "")
    assert f"{out}: cannot be written: Permission denied" in said.err
    assert cli("client", "list", "--search", "anna", "--json").json["total"] == 0
    monkeypatch.chdir(tmp_path)
    assert cli("client", "sign", "--csrs", requests, "--out", "-", "--add").code == 2
    assert not (tmp_path / "-").exists()


def test_a_key_or_certificate_beside_a_csr_is_no_csr(cli: Run, requests: Path) -> None:
    (requests / "anna.csr").rename(requests / "anna.req")
    (requests / "anna.pem").write_bytes(pki.key_pem(pki.fresh_key()))
    (requests / "bert.der").write_bytes(b"hello")
    (requests / "carl.pem").write_bytes(pki.key_pem(pki.fresh_key()))
    said = cli("client", "sign", "--csrs", requests, "--add", "--json")
    found = {Path(one["file"]).name: one["code"] for one in said.json["refused"]}
    assert found == {"anna.pem": "private_key_given", "bert.der": "not_a_csr", "carl.pem": "private_key_given"}
    assert sorted(one.name for one in requests.glob("*.crt")) == ["anna.crt", "bert.crt", "carl.crt"]


def test_certificates_are_not_written_through_links_of_others(
    cli: Run, requests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Partners put their CSRs into this folder, and may put other things there."""
    monkeypatch.setattr(os, "getpid", lambda: 4711)  # which others see, or guess
    elsewhere = requests / "elsewhere.txt"
    elsewhere.write_text("not to be written over")
    (requests / ".anna.crt.4711").symlink_to(elsewhere)
    assert cli("client", "sign", "--csrs", requests, "--add", "--json").json["signed"] == 3
    assert elsewhere.read_text() == "not to be written over"
    assert (requests / "anna.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert not (requests / "anna.crt").is_symlink()


def test_without_add_nobody_is_added(cli: Run, requests: Path) -> None:
    said = cli("client", "sign", "--csrs", requests, "--json")
    assert said.code == 1
    assert {one["code"] for one in said.json["refused"]} == {"no_such_client"}
    assert list(requests.glob("*.crt")) == []


def test_wrong_use_of_a_folder(cli: Run, requests: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in (
        ("--csrs", empty),
        ("--csrs", tmp_path / "nowhere"),
        ("--csrs", requests, "--out", tmp_path / "nowhere" / "below"),
        ("--csrs", requests, "--out", requests / "anna.csr"),
        ("--csrs", requests, "anna"),
        ("--csrs", requests, "--role", "x"),
        ("anna", "--csr", requests / "anna.csr"),
        ("anna", "--csr", requests / "anna.csr", "--out", tmp_path / "o.pem", "--add"),
        (),
    ):
        said = cli("client", "sign", *words)
        assert said.code == 2, words
        assert said.err.count("\n") <= 2


def test_a_folder_of_csrs_in_place_of_an_installation_is_signed(
    bare: Run, requests: Path, installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTUALGATE_DIR", str(installed.folder.path))
    said = bare("client", "sign", "--dir", f"{requests}/", "--add", "--json")
    assert (said.code, said.json["signed"]) == (0, 3)
    assert bare("client", "sign", "--dir", requests, "--json").json["again"] == 3
    monkeypatch.delenv("MUTUALGATE_DIR")
    monkeypatch.chdir(installed.folder.path.parent)
    installed.folder.path.rename("mutualgate")
    assert bare("client", "sign", "--dir", requests, "--json").json["again"] == 3


def test_an_installation_is_never_taken_for_a_folder_of_csrs(
    bare: Run, requests: Path, installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTUALGATE_DIR", str(installed.folder.path))
    (installed.folder.path / "anna.csr").write_bytes((requests / "anna.csr").read_bytes())
    for words, problem in (
        (("--dir", installed.folder.path), "give the client's name"),
        (("--dir", requests, "--csrs", requests), "there is no mutualgate installation"),
        (("--dir", requests, "anna", "--csr", requests / "anna.csr", "--out", requests / "x"), "no mutualgate install"),
        (("--dir", requests.parent), "holds no CSR"),
        (("--dir", requests / "nowhere"), "give the client's name"),
    ):
        said = bare("client", "sign", *words)
        assert said.code == 2
        assert problem in " ".join(said.err.split()), words
    monkeypatch.setenv("MUTUALGATE_DIR", str(requests))
    assert "there is no mutualgate installation" in bare("client", "sign", "--add").err
    assert not list(requests.glob("*.crt"))
