"""A mail server and a receiver of webhooks on the loopback, for tests: real protocols, and what came in is kept."""

import asyncio
import email
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pki
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from handling import Handler, handling

from mutualgate.config import MailConfig, NoticesConfig, parse


@dataclass
class Received:
    """One letter as the server took it."""

    sender: str
    recipients: list[str]
    raw: bytes
    tls: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        made = email.message_from_bytes(self.raw, policy=default)
        assert isinstance(made, EmailMessage)
        return made

    @property
    def text(self) -> str:
        return str(self.message.get_content())


@dataclass
class Mailboxes:
    """What a mail server does: keeps letters, or answers as it is told to."""

    letters: list[Received] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """What is said to RCPT for an address; taken away once it was said if it begins with `once `."""
    data_answer: str | None = None
    sender_answer: str | None = None
    port: int = 0

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_answer is not None:
            return self.sender_answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get(address)
        if answer is not None:
            if answer.startswith("once "):
                del self.answers[address]
            return answer.removeprefix("once ")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer is not None:
            return self.data_answer
        login: Any = session.auth_data
        assert isinstance(envelope.content, bytes)
        assert server.transport is not None
        self.letters.append(
            Received(
                str(envelope.mail_from),
                list(envelope.rcpt_tos),
                envelope.content,
                server.transport.get_extra_info("ssl_object") is not None,
                login.login.decode() if isinstance(login, LoginPassword) else None,
            )
        )
        return "250 OK"


class _Anywhere(Controller):
    """On a port that is free; aiosmtpd itself wants to know it before."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd does not say


@contextmanager
def mail_server(
    *, tls: pki.Issued | None = None, folder: Path | None = None, password: str | None = None, at_once: bool = False
) -> Iterator[Mailboxes]:
    """A mail server. With `tls`, it offers STARTTLS (or speaks TLS `at_once`) by that certificate, and demands it."""
    kept = Mailboxes()
    context = None
    if tls is not None:
        assert folder is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls.write(folder, "mail-server"))

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data.password.decode() == password
        return AuthResult(success=right, handled=False, auth_data=data)

    settings: dict[str, Any] = {"server_hostname": "mail.test"}
    if password is not None:
        settings |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": True}
    if context is not None and not at_once:
        settings |= {"tls_context": context, "require_starttls": True}
    server = _Anywhere(kept, hostname="127.0.0.1", port=0, ssl_context=context if at_once else None, **settings)
    server.start()
    kept.port = server.port
    try:
        yield kept
    finally:
        server.stop()


@dataclass
class Call:
    """One call of the webhook."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Hook:
    """What a receiver of webhooks got, and what it answers."""

    calls: list[Call] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Its next answers; 204 after them."""
    location: str | None = None
    port: int = 0


@contextmanager
def webhook(*, tls: pki.Issued | None = None, folder: Path | None = None) -> Iterator[Hook]:
    """A receiver of webhooks."""
    kept = Hook()

    class Receiver(Handler):
        def do_POST(self) -> None:  # noqa: N802 - as http.server wants it
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.calls.append(Call(self.path, dict(self.headers.items()), body))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            if kept.location is not None:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

    context = None
    if tls is not None:
        assert folder is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls.write(folder, "hook-server"))
    with handling(Receiver, context) as kept.port:
        yield kept


def mail_config(port: int, more: str = 'security = "none"', sender: str = "gate@example.com") -> MailConfig:
    """`[mail]` for a server on this port."""
    return parse(f'[mail]\nserver = "127.0.0.1:{port}"\nsender = "{sender}"\n{more}\n').mail


def notices_config(folder: Path, url: str | None = None, to: str = "", more: str = "") -> NoticesConfig:
    """`[notices]` with a webhook whose secret is `SECRET`, and operators."""
    text = '[mail]\nserver = "127.0.0.1:25"\nsender = "gate@example.com"\n[notices]\n'
    if url is not None:
        secret = folder / "webhook.secret"
        secret.write_bytes(SECRET + b"\n")
        secret.chmod(0o600)
        text += f'webhook = "{url}"\nsecret_file = "{secret}"\n'
    return parse(f"{text}to = [{to}]\n{more}\n").notices


SECRET = b"a secret for tests only"
