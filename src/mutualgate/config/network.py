"""Names and places on the network: addresses, hosts, upstreams, paths. Parses; never resolves or connects."""

import ipaddress
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .kinds import Unfit, found, text_of

MAX_HOST = 253  # octets; RFC 1035 2.3.4, without the root's dot
MAX_LABEL = 63
MAX_SOCKET_PATH = 107  # bytes; sun_path of Linux less the NUL
STREAMS = ("tcp", "postgresql")  # schemes of services whose bytes the gate does not read
STREAM_TLS = "tls"  # what speaks `tcp`, within TLS


@dataclass(frozen=True, order=True)
class Address:
    """Where to listen: an IP address (without brackets) and a port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def overlaps(self, other: "Address") -> bool:
        """Whether one machine cannot listen on both: the same port, and one address within the other."""
        return self.port == other.port != 0 and (self.host == other.host or self._everywhere() or other._everywhere())

    def _everywhere(self) -> bool:
        # "::" takes IPv4 connections as well, where the system has not been told otherwise.
        return ipaddress.ip_address(self.host).is_unspecified


@dataclass(frozen=True)
class Upstream:
    """The service behind a route: an address with `http://`, `https://` or `unix:`, the name of one of `[[upstreams]]`,
    or a built-in one, `demo` or `portal`. With `tcp://`, `tls://`, `postgresql://`, `tcp+unix:` or `postgresql+unix:`
    it is one whose bytes the gate does not read."""

    address: str

    @property
    def is_tls(self) -> bool:
        """Whether the gate speaks TLS to it."""
        return self.address.startswith(("https:", f"{STREAM_TLS}:"))

    @property
    def stream(self) -> str | None:
        """What a service speaks whose bytes the gate does not read, `tcp` or `postgresql`."""
        scheme = self.address.partition(":")[0].removesuffix("+unix")
        if scheme == STREAM_TLS:
            return "tcp"
        return scheme if ":" in self.address and scheme in STREAMS else None

    @property
    def server(self) -> str:
        """Where it listens: `unix:/path` or `scheme://host:port`, with `tcp` or `tls` where the gate does not read its
        bytes."""
        if self.stream is None or self.is_tls:
            return self.address
        return f"unix:{self.socket}" if self.socket else f"tcp{self.address.removeprefix(self.stream)}"

    @property
    def is_name(self) -> bool:
        """Whether it names one of `[[upstreams]]`."""
        return ":" not in self.address and self not in (DEMO, PORTAL)

    @property
    def socket(self) -> Path | None:
        """The unix socket, if it is one."""
        scheme, _, path = self.address.partition(":")
        return Path(path) if scheme in ("unix", *(f"{stream}+unix" for stream in STREAMS)) else None

    def __str__(self) -> str:
        return self.address


DEMO = Upstream("demo")
PORTAL = Upstream("portal")


@dataclass(frozen=True)
class Listener:
    """Kind of an `Address`."""

    name: str = "address"
    expected: str = 'an IP address and a port such as "127.0.0.1:8443" or "[::1]:8443"'

    def read(self, value: object, folder: Path) -> Address:
        text = text_of(value)
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]*)):([0-9]{1,5})", text)
        if not match:
            fix = (
                f'Write "127.0.0.1:{text}" for this machine alone, "0.0.0.0:{text}" for everybody'
                if _port(text)
                else None
            )
            raise Unfit(found(value), fix)
        if (port := _port(match[3])) is None:
            raise Unfit(f"{found(value)}, and ports end at 65535")
        host = match[1] or match[2]
        if host == "localhost":  # RFC 6761 6.3: always the loopback; any other name could come to mean another machine
            host = "127.0.0.1"
        try:
            return Address(str(ipaddress.ip_address(host)), port)
        except ValueError:
            fix = f'Write "0.0.0.0:{port}" for all addresses' if host in ("", "*") else None
            raise Unfit(found(value), fix) from None


@dataclass(frozen=True)
class Network:
    """Kind of an IP address, or a network of them, as text."""

    name: str = "network"
    expected: str = 'an IP address or a network such as "192.0.2.7" or "10.0.0.0/24"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            fix = None
            with suppress(ValueError):  # it has bits beyond its prefix
                fix = f'Write "{ipaddress.ip_network(text, strict=False)}"'
            raise Unfit(found(value), fix) from None
        return str(network.network_address) if network.num_addresses == 1 else str(network)


@dataclass(frozen=True)
class Host:
    """Kind of a host name that a site answers to: a DNS name, as A-labels in lower case, or an IP address."""

    name: str = "host"
    expected: str = 'a host name such as "www.example.com" or an IP address, without port'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        if "*" in text:
            raise Unfit(f"{found(value)}, and wildcards are not supported", "List each name")
        if text.endswith("."):
            raise Unfit(found(value), "Leave out the dot at the end")
        if text.startswith("[") or "://" in text:
            raise Unfit(found(value), "Write the name alone")
        return host_name(text, value)


UPSTREAM_NAME = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class ServerAddress:
    """Kind of the address of one server, as an `Upstream`."""

    name: str = "server"
    expected: str = '"http://host:port", "https://host:port" or "unix:/path/of/a/socket"'

    def read(self, value: object, folder: Path) -> Upstream:
        text = text_of(value)
        scheme, colon, rest = text.partition(":")
        stream = scheme.lower()
        if colon and (stream.removesuffix("+unix") in STREAMS or stream == STREAM_TLS):
            if stream.endswith("+unix"):
                return Upstream(f"{stream}:{_socket(rest, folder).socket}")
            return _stream(stream, rest, text)
        if text.startswith("unix:"):
            return _socket(text.removeprefix("unix:"), folder)
        if text.lower().startswith(("http://", "https://")):
            return _http(text)
        fix = f'Write "http://{text}"' if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]{1,5}", text) else None
        # What is no address may hold a password (user:password@host): it is not repeated.
        raise Unfit(found(value) if "@" not in text else "found something else", fix)


@dataclass(frozen=True)
class Service:
    """Kind of an `Upstream`."""

    name: str = "upstream"
    expected: str = (
        '"http://host:port", "https://host:port", "unix:/path/of/a/socket", the name of an upstream, "demo" or "portal"'
    )

    def read(self, value: object, folder: Path) -> Upstream:
        text = text_of(value)
        # Whether a name is one of `[[upstreams]]` is a question of the rules.
        return Upstream(text) if UPSTREAM_NAME.fullmatch(text) else ServerAddress().read(value, folder)


@dataclass(frozen=True)
class UrlPath:
    """Kind of the path of a route: whole segments, in the one spelling that no server can read otherwise."""

    name: str = "path"
    expected: str = 'a path such as "/" or "/admin"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        if not text.startswith("/"):
            raise Unfit(found(value), "Begin with /")
        if text != "/" and text.endswith("/"):
            raise Unfit(found(value), "Leave out the / at the end: a path covers itself and all below it")
        if "//" in text:
            raise Unfit(f"{found(value)}, with an empty segment")
        if any(segment in (".", "..") for segment in text.split("/")):
            raise Unfit(f'{found(value)}, with a "." or ".." segment')
        # RFC 3986 2.3: only unreserved characters have one spelling ("!" and "%21" are read alike by servers, and a
        # rule that knows one of them would not hold for the other).
        if odd := re.search(r"[^A-Za-z0-9._~/-]", text):
            shown = odd[0] if odd[0].isprintable() else f"U+{ord(odd[0]):04X}"
            raise Unfit(f"{found(value)}, in which {shown} can be spelled in several ways",
                        "Use letters, digits and - . _ ~ in the paths of routes, or the path above")  # fmt: skip
        if len(text) > 1024:
            raise Unfit("is longer than 1024 characters")
        return text


@dataclass(frozen=True)
class PlainUrl:
    """Kind of the start of a plain http:// address: revocation lists are fetched without TLS (RFC 5280 8)."""

    name: str = "URL"
    expected: str = 'an address such as "http://ca.example.com/crl"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        match = re.fullmatch(
            r"http://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?((?:/[A-Za-z0-9._~-]+)*)/?", text
        )
        if not match:
            fix = "Lists are fetched over plain http: they are signed, and https would need them first"
            if text.lower().startswith("https:"):
                raise Unfit("found an address with https://", fix)
            raise Unfit(found(value) if "@" not in text else "found something else")
        if match[2] and not _port(match[2][1:]):
            raise Unfit(f"{found(value)}, and ports go from 1 to 65535")
        host = match[1]
        host = f"[{_ip(host[1:-1], value)}]" if host.startswith("[") else host_name(host, value)
        return f"http://{host}{match[2] or ''}{match[3]}"


@dataclass(frozen=True)
class SecureUrl:
    """Kind of the address of pages behind the gate, with a path or without."""

    name: str = "URL"
    expected: str = 'an address such as "https://gate.example.com/join"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        match = re.fullmatch(
            r"https://([^/:@?#\[\]\s]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?((?:/[A-Za-z0-9._~-]+)*)/?", text
        )
        if not match:
            fix = "A link with a secret in it needs TLS" if text.lower().startswith("http:") else None
            raise Unfit(found(value) if "@" not in text else "found something else", fix)
        if match[2] and not _port(match[2][1:]):
            raise Unfit(f"{found(value)}, and ports go from 1 to 65535")
        host = match[1]
        host = f"[{_ip(host[1:-1], value)}]" if host.startswith("[") else host_name(host, value)
        return f"https://{host}{match[2] or ''}{match[3]}"


def host_name(text: str, value: object) -> str:
    """`text` as a DNS name (A-labels, lower case) or an IP address in its usual spelling. Raises `Unfit`."""
    if ":" in text:
        return _ip(text, value)
    labels = [_label(label, value) for label in text.split(".")]
    name = ".".join(labels)
    if len(name) > MAX_HOST:
        raise Unfit(f"{found(value)}, longer than {MAX_HOST} characters")
    if labels[-1].isdigit():  # an address or nothing: browsers read 127.1 and 0x7f.1 as addresses too
        return _ip(text, value)
    return name


def _ip(text: str, value: object) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        fix = "Write the name without the port" if re.fullmatch(r"[^:]*:[0-9]*", text) else None
        raise Unfit(found(value), fix) from None
    if "%" in str(address):
        raise Unfit(f"{found(value)}, with a zone, which only this machine knows")
    return str(address)


def _label(label: str, value: object) -> str:
    """One label as it goes over the wire: LDH (RFC 5890 2.3.1), at most 63 octets."""
    if not label.isascii():
        label = _a_label(label, value)
    label = label.lower()
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", label) or len(label) > MAX_LABEL:
        raise Unfit(found(value))
    if label.startswith("xn--"):
        try:
            label[4:].encode().decode("punycode")
        except ValueError:
            raise Unfit(f'{found(value)}, in which "{label}" is no A-label') from None
    return label


def _a_label(label: str, value: object) -> str:
    """A label with other letters as `xn--...` (RFC 5891 4.4); what could be read in two ways is refused."""
    label = unicodedata.normalize("NFC", label.lower())
    # RFC 5892 2.1 letters and digits; what changes under NFKC is a look-alike of something else.
    plain = all(c == "-" or unicodedata.category(c) in ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd") for c in label)
    # RFC 5891 4.2.3.1: "--" in the third place is kept for prefixes like xn--.
    if not plain or unicodedata.normalize("NFKC", label) != label or label[2:4] == "--":
        raise Unfit(found(value), "Write the name with its xn-- labels")
    return "xn--" + label.encode("punycode").decode()


def _port(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65535 else None


def _http(text: str) -> Upstream:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port beyond 65535, brackets that do not close
        raise Unfit("found an address that cannot be read" if "@" in text else found(text)) from None
    if "@" in parts.netloc:
        raise Unfit(
            "found a user name in the address", "Services behind the gate are told who the client is by headers"
        )
    if parts.path not in ("", "/") or "?" in text or "#" in text or port == 0 or not text.isprintable():
        fix = "Leave out the path: requests are passed on with the path they came with" if parts.path else None
        raise Unfit(found(text), fix)
    name = host_name(host, text)
    usual = 443 if parts.scheme == "https" else 80
    return Upstream(f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port or usual}")


def _stream(scheme: str, rest: str, text: str) -> Upstream:
    fix = "User, password and database are the client's to say: the gate wants host and port"
    if "@" in text:  # it may hold a password: it is not repeated
        raise Unfit("found a user name in the address", fix)
    match = re.fullmatch(r"//(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#]+):([0-9]{1,5})", rest)
    if not match:
        raise Unfit(found(text), f'Write it like "{scheme}://127.0.0.1:5432"')
    if not _port(match[2]):
        raise Unfit(f"{found(text)}, and ports go from 1 to 65535")
    host = host_name(match[1].strip("[]"), text)
    return Upstream(f"{scheme}://{f'[{host}]' if ':' in host else host}:{int(match[2])}")


def _socket(text: str, folder: Path) -> Upstream:
    if not text or "\0" in text or text.endswith("/"):
        raise Unfit(found(f"unix:{text}"))
    path = folder / text
    if len(str(path).encode("utf-8", "surrogatepass")) > MAX_SOCKET_PATH:
        raise Unfit(f"is longer than the {MAX_SOCKET_PATH} bytes that the path of a socket can have")
    return Upstream(f"unix:{path}")
