"""`mutualgate invite` and `mutualgate invitation`, for people and for programs."""

import errno
import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pki
import pytest
from commands import Run
from installation import Installation

from mutualgate.authorities.private_files import Draft
from mutualgate.model.invitation import Way


@pytest.fixture
def portal(installed: Installation) -> str:
    """The address of a portal, which the configuration names."""
    text = installed.config.read_text()
    text = text.replace('listen = ["127.0.0.1:0"]', 'listen = ["127.0.0.1:8443"]', 1)
    text = text.replace('upstream = "demo" }]', 'upstream = "demo" }, { path = "/join", upstream = "portal" }]')
    installed.config.write_text(text)
    return "https://localhost:8443/join"


def test_somebody_is_invited(cli: Run, portal: str) -> None:
    said = cli("invite", "anna", "--role", "staff", "--valid-for", "30", "--way", "page", "--way", "own", "--json")
    assert said.code == 0, said.err
    assert said.json["link"].startswith(f"{portal}/")
    assert len(said.json["link"]) == len(portal) + 44
    assert (said.json["client"]["name"], said.json["state"], said.json["ways"]) == ("anna", "open", ["page", "own"])
    assert said.json["valid_for_days"] == 30
    assert said.json["second_factor"] is None
    assert cli("client", "show", "anna", "--json").json["roles"] == ["staff"]


def test_what_is_shown_once_is_not_shown_again(cli: Run, portal: str) -> None:
    first = cli("invite", "anna", "--second-factor")
    link = next(line.split()[1] for line in first.out.splitlines() if line.startswith("  link:"))
    assert link.startswith(portal)
    assert "Tell it by another channel than the link" in first.out
    assert "shown only now" in first.out
    secret = link.rpartition("/")[2]
    for again in (cli("invitation", "show", "1"), cli("invitation", "list"), cli("audit", "list")):
        assert again.code == 0
        assert secret not in again.out


def test_without_a_portal_it_says_so_and_invites(cli: Run) -> None:
    said = cli("invite", "anna")
    assert said.code == 0
    assert "portal" in said.out
    assert "/join/" in said.out
    assert cli("invite", "bert", "--json").json["link"] is None


def test_a_client_is_said_to_be_invited_when_it_was(cli: Run, installed: Installation) -> None:
    cli("client", "add", "anna")
    cli("invite", "bert")
    listed = {line.split()[1]: " ".join(line.split()[2:4]) for line in cli("client", "list").out.splitlines()}
    assert (listed["anna"], listed["bert"]) == ("new", "new, invited")
    assert cli("client", "show", "anna").out.startswith("anna, client 2, new\n")
    assert cli("client", "show", "bert").out.startswith("bert, client 3, new, invited\n")
    found = {one["name"]: (one["state"], one["invited"]) for one in cli("client", "list", "--json").json["clients"]}
    assert (found["anna"], found["bert"]) == (("new", False), ("new", True))
    assert [one["name"] for one in cli("client", "list", "--state", "new", "--json").json["clients"]] == [
        "anna",
        "bert",
    ]
    cli("invitation", "revoke", "1")
    assert cli("client", "show", "bert").out.startswith("bert, client 3, new\n")
    assert "new, active, suspended, gone" in cli("client", "list", "--state", "invited").err


def test_nobody_is_invited_by_a_link_that_could_not_be_shown(
    cli: Run, installed: Installation, portal: str, tmp_path: Path
) -> None:
    assert cli("invite", "anna").code == 0
    people = tmp_path / "people.csv"
    people.write_text("name\nbert\n")
    right = installed.config.read_text()
    installed.config.write_text("no [ setting")
    for words in (("invite", "bert"), ("invitation", "resend", "1"), ("client", "import", people, "--invite")):
        said = cli(*words)
        assert (said.code, said.out) == (2, ""), words
        assert "mutualgate.toml" in said.err
    installed.config.write_text(right)
    assert [one["client"]["name"] for one in cli("invitation", "list", "--json").json["invitations"]] == ["anna"]
    assert "invitation.renew" not in cli("audit", "list").out


def test_a_phone_reads_it(cli: Run, portal: str, tmp_path: Path) -> None:
    out = tmp_path / "anna.svg"
    said = cli("invite", "anna", "--qr", "--qr-file", out)
    assert said.code == 0, said.err
    assert "▄" in said.out
    assert ElementTree.fromstring(out.read_bytes()).tag.endswith("svg")
    assert out.stat().st_mode & 0o077 == 0
    again = cli("invite", "anna", "--qr-file", out)
    assert again.code == 2
    assert "--force" in again.err
    assert cli("invitation", "list", "--json").json["total"] == 1


def test_nobody_is_invited_for_a_file_that_cannot_be_written(
    cli: Run, portal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("invite", "anna")
    os.mkfifo(tmp_path / "pipe")
    for out in (Path("-"), tmp_path / "pipe", tmp_path / "nowhere" / "x", tmp_path / ("x" * 250)):
        for words in (("invite", "bert"), ("invitation", "resend", "1")):
            said = cli(*words, "--qr-file", out, "--force")
            assert (said.code, said.out) == (2, ""), out
    assert (tmp_path / "pipe").is_fifo()
    assert cli("invitation", "list", "--json").json["total"] == 1
    assert "invitation.renew" not in cli("audit", "list").out


def test_the_link_is_shown_whatever_becomes_of_its_file(
    cli: Run, portal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Draft, "put", full)
    out = tmp_path / "x.svg"
    for words in (("invite", "anna"), ("invitation", "resend", "1")):
        text = cli(*words, "--qr-file", out)
        assert text.code == 2
        assert f"  link:  {portal}/" in text.out
        assert "as a QR code" not in text.out
        assert "x.svg: cannot be written: No space left" in text.err
    said = cli("invite", "bert", "--qr-file", out, "--json")
    assert (said.code, said.json["link"].startswith(portal)) == (2, True)
    assert not out.exists()


def test_what_cannot_be_is_one_sentence(cli: Run) -> None:
    for words in (
        ["--way", "pigeon"],
        ["--days", "0"],
        ["--valid-for", "0"],
        ["--mail", "a@b.example"],
        ["--role", ""],
    ):
        said = cli("invite", "anna", *words)
        assert said.code == 2, words
        assert len(said.err.strip().splitlines()) <= 2, said.err
    assert cli("client", "list", "--search", "anna", "--json").json["total"] == 0


def test_it_is_taken_back_and_made_anew(cli: Run, portal: str) -> None:
    cli("invite", "anna")
    resent = cli("invitation", "resend", "1", "--json")
    assert resent.json["link"].startswith(portal)
    assert cli("invitation", "revoke", "1", "--json").json["state"] == "revoked"
    assert cli("invitation", "resend", "1").code == 2
    assert cli("invitation", "show", "99").code == 2
    assert "revoked" in cli("invitation", "list").out


def test_what_waits_is_shown_and_approved(cli: Run, installed: Installation) -> None:
    services = installed.services()
    for name in ("anna", "bert"):
        invited = services.invitations.invite(name, approval=True)
        request = pki.csr(pki.fresh_key(), "somebody else")
        services.invitation_use.sign(invited.token, request, way=Way.CSR, peer="192.0.2.7")
    invited = services.invitations.invite("carl", approval=True)
    shown = pki.leaf(None, "own", now=pki.real_now())
    services.invitation_use.own(invited.token, [shown.der], peer="192.0.2.8")
    services.close()
    waiting = cli("invitation", "list", "--state", "waiting", "--json").json["invitations"]
    assert [one["client"]["name"] for one in waiting] == ["carl", "bert", "anna"]
    text = cli("invitation", "show", "1").out
    for part in ("waiting", "192.0.2.7", "a CSR with a key of P-256", "CN=somebody else", "invitation approve 1"):
        assert part in text
    assert "self-signed" in cli("invitation", "show", "3").out
    assert "has a certificate until" in cli("invitation", "approve", "1").out
    assert "the gate has not seen it yet" in cli("invitation", "show", "1").out
    assert cli("invitation", "decline", "2").code == 0
    assert "the gate" not in cli("invitation", "show", "2").out
    assert "own certificate" in cli("invitation", "approve", "3").out
    assert cli("invitation", "approve", "2").code == 2
    assert len(cli("client", "show", "anna", "--json").json["credentials"]) == 1
    assert cli("client", "show", "bert", "--json").json["credentials"] == []


def test_they_are_listed_in_pages(cli: Run, installed: Installation) -> None:
    services = installed.services()
    for number in range(5):
        services.invitations.invite(f"client-{number}")
    services.close()
    assert cli("invitation", "list", "--limit", "2").out.splitlines()[-1] == "5 in all; the next ones: --before 4"
    assert cli("invitation", "list", "--state", "used").out == "No invitation fits.\n"
    assert cli("invitation", "list", "--expired").out == "No invitation fits.\n"
    assert cli("invitation", "list", "--state", "lost").code == 2


def test_a_link_that_can_no_longer_be_sent_stays_as_it_is(cli: Run, portal: str, installed: Installation) -> None:
    before = installed.config.read_text()
    installed.config.write_text(f'{before}[mail]\nserver = "127.0.0.1:2525"\nsender = "gate@example.com"\n')
    assert cli("invite", "anna", "--mail", "anna@example.com").code == 0
    installed.config.write_text(before)
    shown, audited = cli("invitation", "show", "1", "--json").json, cli("audit", "list", "--json").out
    said = cli("invitation", "resend", "1")
    assert (said.code, said.out) == (2, "")
    assert "no mail server is set, so no letter can be sent. Give `server` and `sender` under [mail]" in said.err
    assert cli("invitation", "show", "1", "--json").json == shown
    assert cli("audit", "list", "--json").out == audited
    services = installed.services()
    assert len(services.outbox.list()) == 1  # the first one, which was not sent yet
    services.close()


def test_a_letter_of_ones_own_waits_to_be_sent(cli: Run, portal: str, installed: Installation) -> None:
    letter = installed.config.with_name("invitation.txt")
    letter.write_text("Welcome, {{ name }}\n\nOpen {{ link }} now.\n")
    mail = '[mail]\nserver = "127.0.0.1:2525"\nsender = "gate@example.com"\n'
    installed.config.write_text(f'{installed.config.read_text()}[portal]\nletter = "invitation.txt"\n{mail}')
    said = cli("invite", "anna", "--mail", "anna@example.com", "--json")
    assert said.code == 0, said.out
    assert said.json["sent_to"] == "anna@example.com"
    services = installed.services()
    (kept,) = services.outbox.list()
    services.close()
    assert (kept.recipient, kept.subject) == ("anna@example.com", "Welcome, anna")
    assert kept.body == f"Open {said.json['link']} now.\n"
    letter.write_text("No link\n\nin it")
    wrong = cli("invite", "bert", "--mail", "bert@example.com")
    assert wrong.code == 2
    assert "invitation.txt" in wrong.err
    assert cli("invitation", "list", "--json").json["total"] == 1


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["words", "JSON"])
def test_nobody_is_invited_where_nobody_can_read_the_link(
    cli: Run, portal: str, monkeypatch: pytest.MonkeyPatch, json: tuple[str, ...]
) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        said = cli("invite", "anna", *json)
        sys.stdout.close()
    assert (said.code, said.err) == (
        2,
        "mutualgate: standard output: is closed, and part of what this command says is shown only once; "
        "expected a terminal, a file or a pipe\n",
    )
    assert cli("client", "show", "anna").code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has none")
def test_a_link_that_could_not_be_shown_is_said_to_be_lost(
    cli: Run, portal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full, open("/dev/full", "w") as out:
        full.setattr(sys, "stdout", out)
        said = cli("invite", "anna")
        sys.stdout.close()
    assert (said.code, said.err) == (
        1,
        "mutualgate: the answer cannot be written: No space left on device. anna is invited (invitation 1). "
        "Nobody has seen the link; another: mutualgate invitation resend 1\n",
    )
    assert cli("invitation", "resend", "1").code == 0


@pytest.mark.parametrize("words", ["invite anna", "invitation resend 1"])
def test_there_is_no_qr_code_in_json(cli: Run, portal: str, words: str) -> None:
    said = cli(*words.split(), "--qr", "--json")
    assert (said.code, said.json["error"]["problem"]) == (2, "Invalid value: --qr goes with an answer in words")
    assert cli("client", "show", "anna").code == 2
