"""Where things are sent: mailboxes, mail servers, webhooks, collectors. Parses; never resolves or connects."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from .kinds import Unfit, found, text_of
from .network import host_name

MAX_MAILBOX = 254  # octets; RFC 5321 4.5.3.1.3, without the angle brackets
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 3.2.3
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX = re.compile(rf"(?P<local>{_ATOM}(\.{_ATOM})*)@(?P<domain>{_LABEL}(\.{_LABEL})*)")


def is_mailbox(text: str) -> bool:
    """Whether `text` is an e-mail address that we send to: `local@domain` in ASCII, nothing quoted, no comment.

    Nothing of it can end a header field or an SMTP command, or name a second recipient.
    """
    match = _MAILBOX.fullmatch(text)
    # RFC 5321 4.5.3.1.1: 64 octets before the @.
    return match is not None and len(text) <= MAX_MAILBOX and len(match["local"]) <= 64


@dataclass(frozen=True)
class Server:
    """A server by name or address, and its port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine whatever a name server says."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Mailbox:
    """Kind of an e-mail address."""

    name: str = "e-mail address"
    expected: str = 'an e-mail address such as "gate@example.com", without a name around it'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        if not is_mailbox(text):
            fix = "Write the domain with its xn-- labels" if not text.isascii() and "@" in text else None
            raise Unfit(found(value), fix)
        return text


@dataclass(frozen=True)
class MailServer:
    """Kind of a `Server`."""

    name: str = "server"
    expected: str = 'a name or address and a port, such as "mail.example.com:587"'

    def read(self, value: object, folder: Path) -> Server:
        text = text_of(value)
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:@/]+)):([0-9]{1,5})", text)
        if not match or not 0 < int(match[3]) <= 65535:
            raise Unfit(found(value) if "@" not in text else "found something else")
        return Server(host_name(match[1] or match[2], value), int(match[3]))


@dataclass(frozen=True)
class HookUrl:
    """Kind of a webhook's address: https, or http to this machine."""

    name: str = "URL"
    expected: str = 'an address such as "https://hooks.example.com/mutualgate"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        parts, name = _url(value, text, "Calls are signed: see `secret_file`")
        if parts.scheme == "http" and not _is_loopback(name):
            raise Unfit(f"{found(value)}, which everybody on the way could read",
                        "Use https://; http:// is for this machine alone")  # fmt: skip
        return text


TRACES_PATH = "/v1/traces"


@dataclass(frozen=True)
class CollectorUrl:
    """Kind of the address of an OpenTelemetry collector, without the path that OTLP adds, nor a slash at its end."""

    name: str = "URL"
    expected: str = 'an address such as "http://127.0.0.1:4318"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        parts, _ = _url(value, text, "Put what proves who the gate is into `headers_file`")
        if parts.query:
            raise Unfit("found a query in the address", "Put what proves who the gate is into `headers_file`")
        if parts.path.rstrip("/").endswith(TRACES_PATH):
            raise Unfit(found(value), f"Leave {TRACES_PATH} out: it is added")
        return text.rstrip("/")


def in_the_clear(url: str) -> bool:
    """Whether others than this machine could read what is sent to `url`, which one of these kinds has read."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _url(value: object, text: str, who: str) -> tuple[SplitResult, str]:
    """The parts of an address with http or https, and its host. `who` is what helps where it names a user."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unfit("found an address that cannot be read") from None
    if "@" in parts.netloc:
        raise Unfit("found a user name in the address", who)
    if parts.scheme not in ("https", "http") or parts.fragment or port == 0 or not re.fullmatch(r"[!-~]+", text):
        raise Unfit(found(value))
    return parts, host_name(host, value)


def _is_loopback(host: str) -> bool:
    if host == "localhost":  # RFC 6761 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
