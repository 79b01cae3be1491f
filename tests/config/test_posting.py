"""Mailboxes, mail servers and webhooks: what is taken, and what could be read in two ways is not."""

from pathlib import Path

import pytest

from mutualgate.config import Server, is_mailbox
from mutualgate.config.kinds import Unfit
from mutualgate.config.posting import CollectorUrl, HookUrl, Mailbox, MailServer, in_the_clear

HERE = Path("/folder")


@pytest.mark.parametrize(
    "text",
    ["a@b", "ops@example.com", "first.last+tag@mail.example.com", "o'brien@example.ie", "x@xn--bcher-kva.example"],
)
def test_mailboxes(text: str) -> None:
    assert Mailbox().read(text, HERE) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ops",
        "@example.com",
        "ops@",
        "ops@-a.example",
        "ops@a..b",
        ".ops@example.com",
        "a@b, c@d",
        "a@b\nBcc: c@d",
        "a@b\r\nRCPT TO:<c@d>",
        "a@b>",
        "Ops <ops@example.com>",
        '"a b"@example.com',
        "a b@example.com",
        "a@[127.0.0.1]",
        "a@b\0",
        "ü@example.com",
        "a@büro.example",
        "a" * 65 + "@example.com",
        "a@" + "b" * 63 + ".example" * 30,
    ],
)
def test_what_is_no_mailbox(text: str) -> None:
    assert not is_mailbox(text)
    with pytest.raises(Unfit):
        Mailbox().read(text, HERE)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("mail.example.com:587", Server("mail.example.com", 587)),
        ("127.0.0.1:25", Server("127.0.0.1", 25)),
        ("[::1]:25", Server("::1", 25)),
    ],
)
def test_mail_servers(text: str, server: Server) -> None:
    assert MailServer().read(text, HERE) == server
    assert str(server) == text


@pytest.mark.parametrize(
    "text",
    ["mail.example.com", "mail.example.com:0", "mail.example.com:65536", "user:pass@mail:25", "smtp://mail:25", ":25"],
)
def test_what_is_no_mail_server(text: str) -> None:
    with pytest.raises(Unfit) as unfit:
        MailServer().read(text, HERE)
    assert "pass" not in unfit.value.problem


def test_only_the_loopback_is_this_machine() -> None:
    assert Server("localhost", 25).is_loopback
    assert Server("127.8.8.8", 25).is_loopback
    assert not Server("localhost.example", 25).is_loopback
    assert not Server("10.0.0.1", 25).is_loopback


@pytest.mark.parametrize(
    "text",
    [
        "https://hooks.example.com/x?y=1",
        "https://[2001:db8::1]:8443/",
        "http://127.0.0.1:9000/hook",
        "http://localhost/",
    ],
)
def test_webhooks(text: str) -> None:
    assert HookUrl().read(text, HERE) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://hooks.example.com/", "everybody on the way could read"),
        ("http://127.1/", "found"),
        ("http://2130706433/", "found"),
        ("file:///etc/passwd", "found"),
        ("ftp://127.0.0.1/", "found"),
        ("https://user:secret@hooks.example.com/", "found a user name"),
        ("https://hooks.example.com/\r\nX: y", "found"),
        ("https://hooks.example.com/#x", "found"),
        ("https://", "found"),
        ("https://hooks.example.com:0/", "found"),
    ],
)
def test_what_is_no_webhook(text: str, problem: str) -> None:
    with pytest.raises(Unfit) as unfit:
        HookUrl().read(text, HERE)
    assert problem in unfit.value.problem
    assert "secret" not in unfit.value.problem


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("http://otel-collector:4318/", "http://otel-collector:4318"),
        ("https://traces.example.com/otlp", "https://traces.example.com/otlp"),
    ],
)
def test_collectors(text: str, url: str) -> None:
    assert CollectorUrl().read(text, HERE) == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("127.0.0.1:4318", "found"),
        ("grpc://127.0.0.1:4317", "found"),
        ("http://127.0.0.1:4318/v1/traces", "found"),
        ("http://127.0.0.1:4318/v1/traces/", "found"),
        ("https://traces.example.com/?key=secret", "found a query"),
        ("https://user:secret@traces.example.com/", "found a user name"),
        ("https://traces.example.com/#x", "found"),
        ("https://traces.example.com/\nX: y", "found"),
    ],
)
def test_what_is_no_collector(text: str, problem: str) -> None:
    with pytest.raises(Unfit) as unfit:
        CollectorUrl().read(text, HERE)
    assert problem in unfit.value.problem
    assert "secret" not in unfit.value.problem


def test_who_else_could_read_it() -> None:
    assert in_the_clear("http://otel-collector:4318")
    assert not in_the_clear("http://[::1]:4318")
    assert not in_the_clear("https://otel-collector:4318")
