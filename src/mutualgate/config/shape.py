"""What a configuration is once it has been read: frozen, every value there and right, nothing left to check."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from .kinds import Rate
from .messages import FieldRules
from .network import Address, Upstream
from .posting import Server


class Mode(StrEnum):
    """Whether a client certificate is needed."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"
    SHOWN = "shown"
    """Whatever was shown, everybody passes, and the service is told of it: the portal's mode, which no file can set."""


SETTABLE_MODES = (Mode.OFF, Mode.OPTIONAL, Mode.REQUIRED)


class OnRefusal(StrEnum):
    """What a refused client gets."""

    PAGE = "page"
    ALERT = "alert"
    CLOSE = "close"


class Dialect(StrEnum):
    """Header fields by which a service is told who the client is, as some product writes or reads them."""

    RFC9440 = "rfc9440"
    XFCC = "xfcc"
    APACHE = "apache"
    NGINX = "nginx"
    TRAEFIK = "traefik"
    TOMCAT = "tomcat"
    JETTY = "jetty"
    JWT = "jwt"


USUAL_DIALECTS = (Dialect.RFC9440,)


class TlsProfile(StrEnum):
    """Which clients can shake hands at all."""

    MODERN = "modern"
    COMPATIBLE = "compatible"


class CaHints(StrEnum):
    """Whether authorities are named with the request for a certificate."""

    OFF = "off"
    AUTO = "auto"


class AccessFormat(StrEnum):
    """How an access line is written."""

    TEXT = "text"
    JSON = "json"


class Security(StrEnum):
    """How a mail server is spoken to."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True)
class Timeouts:
    """How long the gate waits for others."""

    handshake: timedelta
    header: timedelta
    idle: timedelta
    connect: timedelta
    response: timedelta
    stream_idle: timedelta
    drain: timedelta


@dataclass(frozen=True)
class GateLimits:
    """What one address, and one client, may use of the gate; None for no limit."""

    address_connections: int | None
    address_handshakes: Rate | None
    address_requests: Rate | None
    client_connections: int | None
    client_handshakes: Rate | None
    client_requests: Rate | None
    min_body_rate: int
    """Bytes per second; 0 for any."""
    min_read_rate: int
    slow_grace: timedelta


@dataclass(frozen=True)
class SiteLimits:
    """What all together, and one client, may use of a site."""

    connections: int | None
    handshakes: Rate | None
    requests: Rate | None
    client_connections: int | None
    client_handshakes: Rate | None
    client_requests: Rate | None


@dataclass(frozen=True)
class RouteLimits:
    """What all together, and one client, may use of a route."""

    requests: Rate | None
    client_requests: Rate | None


@dataclass(frozen=True)
class JwtConfig:
    """What stands in the tokens that tell services who a client is."""

    issuer: str
    lifetime: timedelta


@dataclass(frozen=True)
class GateConfig:
    """The data plane. `workers` is 0 for one on each core; `max_body_bytes` is None for any size."""

    listen: tuple[Address, ...]
    plain_listen: tuple[Address, ...]
    ops_listen: tuple[Address, ...]
    workers: int
    proxy_protocol_from: tuple[str, ...]
    """Addresses and networks whose connections begin with a PROXY header."""
    http2: bool
    tls_profile: TlsProfile
    resumption: timedelta
    """How long a session can be resumed; 0: not at all."""
    key_log: Path | None
    access_log: Path | str
    """A file, `-` for stdout, or an empty string for none."""
    access_format: AccessFormat
    max_header_bytes: int
    max_body_bytes: int | None
    max_connections: int
    memory_limit: int | None
    timeouts: Timeouts
    limits: GateLimits
    jwt: JwtConfig


@dataclass(frozen=True)
class AuthorityConfig:
    """What our authority writes into what it signs. `crl_url` is None where nobody said how the lists are reached."""

    organisation: str
    crl_url: str | None
    crl_life: timedelta
    client_validity: timedelta
    renewal_overlap: timedelta
    renewal_grace: timedelta
    server_validity: timedelta


@dataclass(frozen=True)
class MailConfig:
    """How e-mail goes out; `server` is None where none does, else `sender` is there."""

    server: Server | None
    security: Security
    username: str | None
    password_file: Path | None
    ca_file: Path | None
    sender: str | None
    timeout: timedelta


@dataclass(frozen=True)
class NoticesConfig:
    """Whom the gate tells of what needs somebody. `webhook` and `secret_file` are both None, or neither."""

    to: tuple[str, ...]
    contacts: bool
    webhook: str | None
    secret_file: Path | None
    ca_file: Path | None
    timeout: timedelta


@dataclass(frozen=True)
class RegisterConfig:
    """Who is asked whether payment service providers have their licences; `command` is None where nobody is."""

    command: Path | None
    every: timedelta
    timeout: timedelta


@dataclass(frozen=True)
class TracingConfig:
    """Where traces go; `endpoint` is None where nothing is traced."""

    endpoint: str | None
    sample: float
    """Of the traces that begin here, 0 to 1."""
    accept: bool
    service: str
    headers_file: Path | None
    ca_file: Path | None
    timeout: timedelta


class Balance(StrEnum):
    """How a server of an upstream is chosen for a request."""

    ROUND_ROBIN = "round_robin"
    LEAST_REQUESTS = "least_requests"
    CLIENT_HASH = "client_hash"


class Protocol(StrEnum):
    """What the servers of an upstream speak."""

    HTTP_1 = "http/1.1"
    HTTP_2 = "h2"


class SendProxy(StrEnum):
    """Whether connections to the servers of an upstream begin with a PROXY header, and of which version."""

    OFF = "off"
    V1 = "v1"
    V2 = "v2"


SYSTEM = "system"
"""In place of a file with CAs: those that this machine trusts."""


@dataclass(frozen=True)
class UpstreamTls:
    """Whom to trust behind `https://`, and what to show. `certificate` and `key` are both None, or neither.

    `ca_file` is None where no server has such an address; `server_name` is None for the name in the address.
    """

    ca_file: Path | str | None
    server_name: str | None
    certificate: Path | None
    key: Path | None


@dataclass(frozen=True)
class UpstreamTimeouts:
    """How long the gate waits for an upstream; None for what the gate says, and for no limit in all."""

    connect: timedelta | None
    response: timedelta | None
    total: timedelta | None


class Check(StrEnum):
    """How servers are asked how they are."""

    OFF = "off"
    TCP = "tcp"
    HTTP = "http"


@dataclass(frozen=True)
class UpstreamHealth:
    """How servers are asked how they are, and what they have to answer."""

    check: Check
    path: str
    status: tuple[int, ...]
    interval: timedelta
    timeout: timedelta
    rise: int
    fall: int


@dataclass(frozen=True)
class UpstreamRetries:
    """How often a request may be sent to another server: `most` times, for `percent` of all and `per_second` more."""

    most: int
    percent: int
    per_second: int


@dataclass(frozen=True)
class UpstreamEjection:
    """When a server that fails is left out; `failures` is 0 for never."""

    failures: int
    time: timedelta
    most_percent: int
    status: tuple[int, ...]


@dataclass(frozen=True)
class UpstreamConfig:
    """Servers that can stand in for each other, under a name that routes use. `drain` is a part of `servers`."""

    name: str
    servers: tuple[Upstream, ...]
    balance: Balance
    protocol: Protocol
    send_proxy: SendProxy
    drain: tuple[Upstream, ...]
    slow_start: timedelta
    resolve: timedelta
    tls: UpstreamTls
    timeouts: UpstreamTimeouts
    retries: UpstreamRetries
    ejection: UpstreamEjection
    health: UpstreamHealth

    @property
    def stream(self) -> str | None:
        """What its servers speak where the gate does not read it: `tcp` or `postgresql`."""
        return next((server.stream for server in self.servers), None)


@dataclass(frozen=True)
class RouteConfig:
    """A path under a site. What the file left to the site or the gate is filled in.

    `upstream` is None where `redirect` is not.
    """

    path: str
    upstream: Upstream | None
    client_certificate: Mode
    roles: tuple[str, ...]
    clients: tuple[str, ...]
    identity: tuple[Dialect, ...]
    jwt_audience: str | None
    """None for the name of the site."""
    pass_identity_names: bool
    tls_facts: bool
    max_body_bytes: int | None
    request_headers: FieldRules
    response_headers: FieldRules
    strip_prefix: str | None
    replace_prefix: str | None
    redirect: str | None
    redirect_status: int
    redirect_keep_path: bool
    limits: RouteLimits


@dataclass(frozen=True)
class SiteConfig:
    """Hosts that are served alike. `certificate` and `key` are both None where our authority issues the certificate."""

    name: str
    hosts: tuple[str, ...]
    client_certificate: Mode
    on_refusal: OnRefusal
    certificate: Path | None
    key: Path | None
    tls_profile: TlsProfile
    ca_hints: CaHints
    environment: str
    """Pins and partners' CAs that are marked for an environment are admitted where it is this one."""
    limits: SiteLimits
    routes: tuple[RouteConfig, ...]


@dataclass(frozen=True)
class PortalConfig:
    """The pages on which clients come in. `url` is None where it follows from the sites and listeners.

    `letter` is the file with the template of the letter that brings an invitation, None for ours.
    """

    url: str | None
    operators: tuple[str, ...]
    letter: Path | None


@dataclass(frozen=True)
class Config:
    """Everything that mutualgate.toml says, or the defaults where there is none."""

    gate: GateConfig
    authority: AuthorityConfig
    portal: PortalConfig
    mail: MailConfig
    notices: NoticesConfig
    register: RegisterConfig
    tracing: TracingConfig
    upstreams: tuple[UpstreamConfig, ...]
    sites: tuple[SiteConfig, ...]
    file: Path = field(compare=False)
    """Where it was read from, whether or not it is there."""

    @property
    def signs_tokens(self) -> bool:
        """Whether the service of some route is told by a token who a client is."""
        return any(Dialect.JWT in route.identity for site in self.sites for route in site.routes)

    def stream_of(self, site: SiteConfig) -> str | None:
        """What the clients of `site` speak where that is no HTTP: `tcp` or `postgresql`. Then it has one route."""
        service = next((route.upstream for route in site.routes if route.upstream), None)
        if service is None:
            return None
        if not service.is_name:
            return service.stream
        return next((upstream.stream for upstream in self.upstreams if upstream.name == service.address), None)

    @cached_property
    def destinations(self) -> tuple[Upstream, ...]:
        """Where routes lead, each once, in their order: the one numbering of upstreams that everybody uses."""
        return tuple(dict.fromkeys(route.upstream for site in self.sites for route in site.routes if route.upstream))
