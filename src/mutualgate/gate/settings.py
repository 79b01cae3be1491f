"""What the data plane is told to do, as MessagePack; `rust/gate/src/settings.rs` is the other side and checks it.

Times are in seconds, sizes in bytes. Who may pass is not here: that is the snapshot's.
"""

import msgspec


class SiteSettings(msgspec.Struct, frozen=True):
    """What TLS needs for a site, in the order of the snapshot's sites."""

    name: str
    certificate_pem: bytes
    key_pem: bytes
    tls_profile: str = "compatible"
    ca_hints: bool = False
    speaks: str = "http"
    """Or `tcp` or `postgresql`: what clients say is passed on unread."""

    def __repr__(self) -> str:
        return f"SiteSettings({self.name!r})"  # a key must not reach a log


class JwtSettings(msgspec.Struct, frozen=True):
    """What signs tokens about clients: a P-256 key (PKCS #8, PEM). `lifetime` is in whole seconds."""

    issuer: str
    lifetime: int
    key_id: str
    key_pem: bytes

    def __repr__(self) -> str:
        return f"JwtSettings({self.key_id!r})"  # a key must not reach a log


class ServerSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`http://host:port` or `unix:/path`, or `tcp://host:port` or `tls://host:port` where the protocol is `stream`.

    `drain`: it gets no new requests.
    """

    address: str
    drain: bool = False


class Waits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long an upstream is waited for, where it differs; `total` is for all of a request and its response."""

    connect: float | None = None
    response: float | None = None
    total: float | None = None


class TlsSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """TLS to servers: whom to trust, the name to find there, what to show; all but the name is PEM."""

    ca_pem: bytes
    server_name: str | None = None
    certificate_pem: bytes | None = None
    key_pem: bytes | None = None

    def __repr__(self) -> str:
        return f"TlsSettings({self.server_name!r})"  # a key must not reach a log


class Retries(msgspec.Struct, frozen=True):
    most: int = 1
    percent: int = 20
    per_second: int = 3


class Ejection(msgspec.Struct, frozen=True):
    failures: int = 5
    time: float = 30.0
    most_percent: int = 50
    status: list[int] = []


class Health(msgspec.Struct, frozen=True):
    """How servers are asked how they are; without a `path` a connection is enough."""

    path: str | None
    status: list[int]
    interval: float
    timeout: float
    rise: int
    fall: int


class UpstreamSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Servers that can stand in for each other; its `name` is in access lines and metrics."""

    name: str
    servers: list[ServerSettings]
    balance: str = "round_robin"
    protocol: str = "http/1.1"
    tls: TlsSettings | None = None
    waits: Waits = Waits()
    retries: Retries = Retries()
    ejection: Ejection = Ejection()
    slow_start: float = 0.0
    resolve: float = 10.0
    health: Health | None = None
    send_proxy: str = "off"

    @classmethod
    def streaming(cls, name: str, address: str, tls: TlsSettings | None = None) -> "UpstreamSettings":
        """One server that speaks something which the gate does not read."""
        return cls(name, [ServerSettings(address)], protocol="stream", tls=tls)

    @classmethod
    def at(cls, address: str, tls: TlsSettings | None = None) -> "UpstreamSettings":
        """One server, as most upstreams are."""
        return cls(address, [ServerSettings(address)], tls=tls)


class FieldRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """Header fields that are added, set and removed, in the order of the file."""

    add: list[tuple[str, str]] = []
    set: list[tuple[str, str]] = []
    remove: list[str] = []


class Redirect(msgspec.Struct, frozen=True):
    """Where requests are sent in place of an upstream."""

    to: str
    status: int
    keep_path: bool


class Bounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one that is counted. Rates are per second, with how many may come at once."""

    connections: int | None = None
    handshakes: tuple[float, int] | None = None
    requests: tuple[float, int] | None = None


class ScopeLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a site or a route: for all together, and for each client."""

    total: Bounds = Bounds()
    client: Bounds = Bounds()


class RouteSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How requests of one route are forwarded."""

    path: str
    pass_identity_names: bool = False
    tls_facts: bool = False
    max_body_bytes: int | None = None
    request_headers: FieldRules = FieldRules()
    response_headers: FieldRules = FieldRules()
    strip_prefix: str | None = None
    replace_prefix: str | None = None
    redirect: Redirect | None = None
    limits: ScopeLimits = ScopeLimits()
    identity: list[str] | None = None
    """Dialects; None for the usual ones."""
    jwt_audience: str | None = None
    """For whom tokens are; None for the site, by its name."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    max_header_bytes: int = 32 * 1024
    max_body_bytes: int | None = None
    max_connections: int = 50_000
    max_idle_upstream: int = 256
    min_body_rate: int = 240
    min_read_rate: int = 240
    memory: int | None = None
    address: Bounds = Bounds()
    client: Bounds = Bounds()


class Timeouts(msgspec.Struct, frozen=True):
    """`stall`: without a byte from a client that owes a body, or taken by a client that is owed one. `slow`: how far a
    client may fall behind the rates of `Limits`. `stream_idle`: without a byte of what is passed on unread."""

    handshake: float = 10.0
    header: float = 15.0
    idle: float = 90.0
    connect: float = 5.0
    response: float = 120.0
    stall: float = 60.0
    slow: float = 60.0
    stream_idle: float = 3600.0


class TracingSettings(msgspec.Struct, frozen=True):
    """How requests are traced: the share of traces beginning here, and whether admitted clients' go on."""

    sample: float
    accept: bool


class GateSettings(msgspec.Struct, frozen=True):
    """All of it. `routes` has one list per site, `site_limits` one entry, or none at all."""

    listen: list[str]
    plain_listen: list[str]
    workers: int
    sites: list[SiteSettings]
    upstreams: list[UpstreamSettings]
    routes: list[list[RouteSettings]]
    proxy_protocol_from: list[str] = []
    """Networks whose connections begin with a PROXY header."""
    access_log: str = "-"
    access_format: str = "json"
    limits: Limits = Limits()
    site_limits: list[ScopeLimits] = []
    timeouts: Timeouts = Timeouts()
    public_port: int | None = None
    http2: bool = True
    resumption: float = 43_200.0
    key_log: str = ""
    jwt: JwtSettings | None = None
    """There if a route wants tokens."""
    tracing: TracingSettings | None = None
    """There if requests are traced."""

    def encode(self) -> bytes:
        """As the data plane reads it."""
        return msgspec.msgpack.encode(self)
