"""Letters arrive at a real mail server as they were meant; a hostile name or address adds no header and no letter."""

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pki
import post
import pytest

from mutualgate.model.letter import Letter, LetterKind
from mutualgate.notices.failure import Failure
from mutualgate.notices.mail import MailRoom, message

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def letter(
    recipient: str = "anna@example.com", subject: str = "Hello", body: str = "A text.\n", number: int = 1
) -> Letter:
    return Letter(number, LetterKind.MAIL, recipient, subject, body, None, AT, AT, 0, None, "")


@pytest.fixture
def server_certificate(tmp_path: Path) -> pki.Issued:
    root = pki.ca("mail root", now=pki.real_now())
    (tmp_path / "mail-ca.pem").write_bytes(root.pem)
    return pki.leaf(root, "mail", sans=["127.0.0.1"], eku=[pki.SERVER_AUTH], now=pki.real_now())


def password_file(folder: Path, password: str = "correct horse") -> Path:
    path = folder / "password"
    path.write_text(password + "\n")
    path.chmod(0o600)
    return path


def test_a_letter_arrives_as_it_was_meant() -> None:
    body = "Grüße aus der Straße.\n" + "x" * 2_000 + "\n.\nFrom the dot on.\n"
    with post.mail_server() as server:
        room = MailRoom(post.mail_config(server.port))
        room.send(letter(subject="Your certificate — 30 days", body=body), AT)
        room.close()
    (got,) = server.letters
    assert got.sender == "gate@example.com"
    assert got.recipients == ["anna@example.com"]
    assert got.text.replace("\r\n", "\n") == body
    assert got.message["Subject"] == "Your certificate — 30 days"
    assert got.message["To"] == "anna@example.com"
    assert got.message["From"] == "gate@example.com"
    assert got.message["Date"] == "Mon, 01 Jun 2026 12:00:00 +0000"
    assert got.message["Auto-Submitted"] == "auto-generated"
    assert max(len(line) for line in got.raw.split(b"\r\n")) <= 998  # RFC 5322 2.1.1
    assert got.raw.isascii()


def test_one_connection_for_several_letters() -> None:
    with post.mail_server() as server:
        room = MailRoom(post.mail_config(server.port))
        for number in range(3):
            room.send(letter(f"a{number}@example.com", number=number), AT)
        room.close()
    assert [one.recipients for one in server.letters] == [[f"a{n}@example.com"] for n in range(3)]
    assert len({one.message["Message-ID"] for one in server.letters}) == 3


def test_the_message_id_is_the_same_for_each_try() -> None:
    later = AT.replace(hour=14)
    first, second = message(letter(), "gate@example.com", AT), message(letter(), "gate@example.com", later)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Message-ID"] != message(letter(number=2), "gate@example.com", AT)["Message-ID"]


@pytest.mark.parametrize(
    "subject",
    ["Hello\r\nBcc: other@example.com", "Hello\nX-Injected: yes", "Hello\r\n\r\n<script>", "Hello\rBcc: x@example.com"],
)
def test_a_subject_adds_no_header_field(subject: str) -> None:
    """The policy of the message refuses it, should it ever come this far."""
    with post.mail_server() as server:
        with pytest.raises(Failure, match="the subject cannot be used") as failure:
            MailRoom(post.mail_config(server.port)).send(letter(subject=subject), AT)
        assert failure.value.final
    assert server.letters == []


@pytest.mark.parametrize(
    "recipient",
    [
        "anna@example.com\r\nRCPT TO:<other@example.com>",
        "anna@example.com\r\nDATA",
        "anna@example.com>, <other@example.com",
        "anna@example.com, other@example.com",
        "anna@example.com\nBcc: other@example.com",
        "Anna <anna@example.com>",
    ],
)
def test_an_address_adds_no_recipient(recipient: str) -> None:
    with post.mail_server() as server:
        with pytest.raises(Failure, match="the address cannot be used") as failure:
            MailRoom(post.mail_config(server.port)).send(letter(recipient), AT)
        assert failure.value.final
    assert server.letters == []


def test_a_body_ends_no_message() -> None:
    body = (
        "one\r\n.\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<other@example.com>\r\nDATA\r\nSubject: two\r\n\r\nhello\r\n"
    )
    with post.mail_server() as server:
        room = MailRoom(post.mail_config(server.port))
        room.send(letter(body=body), AT)
        room.close()
    (got,) = server.letters
    assert got.recipients == ["anna@example.com"]
    assert "MAIL FROM:<x@example.com>" in got.text


def test_starttls_with_a_password(tmp_path: Path, server_certificate: pki.Issued) -> None:
    more = f'username = "gate"\npassword_file = "{password_file(tmp_path)}"\nca_file = "{tmp_path}/mail-ca.pem"'
    with post.mail_server(tls=server_certificate, folder=tmp_path, password="correct horse") as server:
        room = MailRoom(post.mail_config(server.port, more))
        room.send(letter(), AT)
        room.close()
    (got,) = server.letters
    assert got.tls
    assert got.user == "gate"


def test_tls_from_the_start(tmp_path: Path, server_certificate: pki.Issued) -> None:
    more = f'security = "tls"\nca_file = "{tmp_path}/mail-ca.pem"'
    with post.mail_server(tls=server_certificate, folder=tmp_path, at_once=True) as server:
        room = MailRoom(post.mail_config(server.port, more))
        room.send(letter(), AT)
        room.close()
    assert server.letters[0].tls


def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    """An attacker on the way can take the offer out of the server's answer."""
    with post.mail_server() as server:
        with pytest.raises(Failure, match="does not offer what is asked") as failure:
            MailRoom(post.mail_config(server.port, 'security = "starttls"')).send(letter(), AT)
        assert failure.value.everybody
    assert server.letters == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_stranger_with_a_certificate_of_his_own_gets_nothing(
    tmp_path: Path, server_certificate: pki.Issued, security: str
) -> None:
    (tmp_path / "other.pem").write_bytes(pki.ca("mail root", now=pki.real_now()).pem)
    more = f'security = "{security}"\nca_file = "{tmp_path}/other.pem"\nusername = "gate"\n'
    more += f'password_file = "{password_file(tmp_path)}"'
    with post.mail_server(tls=server_certificate, folder=tmp_path, at_once=security == "tls") as server:
        with pytest.raises(Failure, match="a certificate that is not trusted"):
            MailRoom(post.mail_config(server.port, more)).send(letter(), AT)
    assert server.letters == []


def test_a_certificate_for_another_name_is_not_taken(tmp_path: Path) -> None:
    root = pki.ca("mail root", now=pki.real_now())
    (tmp_path / "mail-ca.pem").write_bytes(root.pem)
    other = pki.leaf(root, "mail", sans=["mail.example"], eku=[pki.SERVER_AUTH], now=pki.real_now())
    with post.mail_server(tls=other, folder=tmp_path) as server:
        with pytest.raises(Failure, match="a certificate that is not trusted"):
            MailRoom(post.mail_config(server.port, f'ca_file = "{tmp_path}/mail-ca.pem"')).send(letter(), AT)
    assert server.letters == []


def test_a_wrong_password_is_said_without_it(tmp_path: Path, server_certificate: pki.Issued) -> None:
    secret = password_file(tmp_path, "wrong horse")
    more = f'username = "gate"\npassword_file = "{secret}"\nca_file = "{tmp_path}/mail-ca.pem"'
    with post.mail_server(tls=server_certificate, folder=tmp_path, password="correct horse") as server:
        with pytest.raises(Failure, match="refuses the user name or the password") as failure:
            MailRoom(post.mail_config(server.port, more)).send(letter(), AT)
    assert failure.value.everybody
    assert not failure.value.final
    assert "horse" not in str(failure.value)


@pytest.mark.parametrize(
    ("answer", "final"), [("550 no such user", True), ("451 try later", False), ("552 full \x1b[31m", True)]
)
def test_what_the_server_says_of_a_recipient(answer: str, final: bool) -> None:
    with post.mail_server() as server:
        server.answers["bad@example.com"] = answer
        room = MailRoom(post.mail_config(server.port))
        with pytest.raises(Failure, match=answer[:3]) as failure:
            room.send(letter("bad@example.com"), AT)
        assert failure.value.final is final
        assert not failure.value.everybody
        room.send(letter("good@example.com"), AT)
        room.close()
    assert [one.recipients for one in server.letters] == [["good@example.com"]]


def test_what_the_server_says_of_a_letter_or_a_sender() -> None:
    with post.mail_server() as server:
        room = MailRoom(post.mail_config(server.port))
        server.data_answer = "554 spam"
        with pytest.raises(Failure, match="refuses the letter \\(554 spam\\)") as failure:
            room.send(letter(), AT)
        assert failure.value.final
        server.data_answer, server.sender_answer = None, "550 not you"
        with pytest.raises(Failure, match=r"takes no letter from gate@example\.com") as failure:
            room.send(letter(), AT)
        assert failure.value.everybody
        assert not failure.value.final
        server.sender_answer = None
        room.send(letter(), AT)
        room.close()
    assert len(server.letters) == 1


@contextmanager
def answering(*lines: bytes) -> Iterator[int]:
    """Something on a port that says `lines` to whoever comes, and then nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            for line in lines:
                connection.sendall(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"220 " + b"x" * 100_000 + b"\r\n"],
        [b"\x00\xff\x1b[31m\r\n"],
        [],
    ],
    ids=["http", "long", "binary", "silent"],
)
def test_what_is_no_mail_server_is_one_sentence(lines: list[bytes]) -> None:
    with answering(*lines) as port:
        with pytest.raises(Failure) as failure:
            MailRoom(post.mail_config(port, 'security = "none"\ntimeout = "1s"')).send(letter(), AT)
    assert failure.value.everybody
    assert str(failure.value).isprintable()
    assert len(str(failure.value)) < 300


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Failure, match=f"127.0.0.1:{port} cannot be reached \\(Connection refused\\)") as failure:
        MailRoom(post.mail_config(port)).send(letter(), AT)
    assert failure.value.everybody


def test_a_letter_shows_nothing_of_what_it_says() -> None:
    assert "secret link" not in repr(letter(body="the secret link"))
    assert smtplib.SMTP.debuglevel == 0
