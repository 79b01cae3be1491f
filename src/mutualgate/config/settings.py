"""The table of settings: from it come the reader, its messages, the reference page and the file that `up` writes.

A row is a name, a kind, a default, a help text and an example; defaults and examples are TOML, read like a user's.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .kinds import SIZES, Authorities, Choice, Duration, File, Flag, Kind, Log, Many, Often, Share, Size, Whole, Word
from .messages import PERMANENT_REDIRECT, Elsewhere, Fields, Status
from .network import Host, Listener, Network, PlainUrl, SecureUrl, ServerAddress, Service, UrlPath
from .posting import CollectorUrl, HookUrl, Mailbox, MailServer
from .shape import (
    SETTABLE_MODES,
    AccessFormat,
    Balance,
    CaHints,
    Check,
    Dialect,
    Mode,
    OnRefusal,
    Protocol,
    Security,
    SendProxy,
    TlsProfile,
)

KIB, MIB, TIB = SIZES["KiB"], SIZES["MiB"], SIZES["TiB"]
MS, SECOND, MINUTE, HOUR, DAY = (timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=1),
                                 timedelta(hours=1), timedelta(days=1))  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One row. Without a `default`, `otherwise` says in words what holds; without both, the setting must be given."""

    key: str
    kind: Kind[Any]
    default: str | None
    help: str
    example: str
    otherwise: str | None = None


@dataclass(frozen=True)
class Table:
    """The settings under one heading. `path` is how the file names it; `repeated` if there may be several, and
    `optional` if there may be none."""

    path: str
    help: str
    settings: tuple[Setting, ...]
    tables: tuple["Table", ...] = ()
    repeated: bool = False
    optional: bool = False

    @property
    def key(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def heading(self) -> str:
        return f"[[{self.path}]]" if self.repeated else f"[{self.path}]"


WAIT = Duration(10 * MS, DAY)
VALIDITY = Duration(HOUR, 36500 * DAY)
SITE_NAME = Word("[a-z0-9]([a-z0-9-]*[a-z0-9])?", 'lower-case letters, digits and "-", such as "shop"', name="name")
# Roles go into one header field, separated by commas.
ROLE = Word(
    "[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?", 'letters and digits with . _ : - between, such as "admin"', name="role"
)
MODE = Choice(Mode, SETTABLE_MODES)
ENVIRONMENT = Word(
    "([a-z0-9]([a-z0-9-]*[a-z0-9])?)?", 'lower-case letters, digits and "-", or ""', most=32, name="name"
)
CLIENT = Word(r"[^\s/\\]([^\n\r\0/\\]*[^\s/\\])?", "the name of a client", name="client name")

TIMEOUTS = Table(
    "gate.timeouts",
    "How long the gate waits before it gives up.",
    (
        Setting("handshake", WAIT, '"10s"', "From a new connection to the end of its TLS handshake.", '"5s"'),
        Setting("header", WAIT, '"15s"', "From the first byte of a request to the end of its header.", '"5s"'),
        Setting("idle", WAIT, '"75s"', "An open connection to a client without a request.", '"5m"'),
        Setting("connect", WAIT, '"5s"', "A new connection to an upstream.", '"500ms"'),
        Setting(
            "response", WAIT, '"60s"', "From the end of a request to the header of the upstream's response.", '"10m"'
        ),
        Setting(
            "stream_idle",
            WAIT,
            '"1h"',
            "A connection to a service that is no HTTP (`tcp://`, `postgresql://`), without a byte in either "
            "direction.",
            '"8h"',
        ),
        Setting("drain", Duration(0 * SECOND, DAY), '"10s"', "What is under way when the gate stops.", '"30s"'),
    ),
)

COUNT = Whole(1, 1_000_000, unlimited=True)
RATE = Often()

GATE_LIMITS = Table(
    "gate.limits",
    "What one address, and one client, may use of the gate, over all its connections. An address is an IPv4 address or "
    "the first 64 bits of an IPv6 address; a client is who the certificate says it is, wherever it comes from. Beyond: "
    "a connection of an address is dropped before TLS, a client gets 429 with `Retry-After`.",
    (
        Setting("address_connections", COUNT, '"unlimited"', "Connections of one address at a time.", "100"),
        Setting("address_handshakes", RATE, '"unlimited"', "New connections of one address.", '"20/s burst 50"'),
        Setting("address_requests", RATE, '"unlimited"',
                "Requests of one address, whoever makes them, also those that are refused.", '"200/s burst 500"'),
        Setting("client_connections", COUNT, '"unlimited"', "Connections of one client at a time.", "50"),
        Setting("client_handshakes", RATE, '"unlimited"', "New connections of one client.", '"10/s burst 20"'),
        Setting("client_requests", RATE, '"unlimited"', "Requests of one client.", '"100/s burst 200"'),
        Setting("min_body_rate", Size(0, MIB), '"240 B"',
                "What has to come of a body in a second, while the service waits for it. Slower for longer than "
                "`slow_grace`: 408. Not asked of gRPC of clients, nor once the answer has begun. 0: no rate.",
                '"1 KiB"'),
        Setting("min_read_rate", Size(0, MIB), '"240 B"',
                "What a client has to take of an answer in a second, while there is some for it. Slower: the "
                "connection is cut. 0: no rate.", '"1 KiB"'),
        Setting("slow_grace", WAIT, '"60s"',
                "How far a client may fall behind these rates. Who is not admitted has 5 s at most.", '"30s"'),
    ),
)  # fmt: skip

TOKEN_NAME = Word("[!-~]+", "a name or an address without spaces", most=200, name="string")

JWT = Table(
    "gate.jwt",
    'The tokens (JWT, ES256) by which routes with `identity = ["jwt"]` tell their upstream who the client is. The keys '
    "that verify them are at `/.well-known/mutualgate/jwks.json` of `plain_listen` and `ops_listen`.",
    (
        Setting("issuer", TOKEN_NAME, '"mutualgate"', "The `iss` of tokens.", '"https://gate.example.com"'),
        Setting(
            "lifetime",
            Duration(10 * SECOND, HOUR),
            '"5m"',
            "How long a token is good, whatever happens to the client meanwhile. It is renewed in time, and ends with "
            "the certificate.",
            '"1m"',
        ),
    ),
)

GATE = Table(
    "gate",
    "The listeners, limits and logs of the gate. Listeners and workers change at the next start, the rest at once.",
    (
        Setting("listen", Many(Listener(), 1), '["127.0.0.1:8443"]',
                "Where clients connect by TLS. Port 0 takes a free one.", '["0.0.0.0:443", "[::1]:8443"]'),
        Setting("plain_listen", Many(Listener()), '["127.0.0.1:8480"]',
                "Where plain HTTP is redirected to HTTPS, and the root and the revocation lists are served. "
                "Empty: nowhere.",
                '["0.0.0.0:80"]'),
        Setting("ops_listen", Many(Listener()), '["127.0.0.1:9480"]',
                "Where metrics and health are served, without TLS: keep it local. Empty: nowhere.", "[]"),
        Setting("workers", Whole(0, 256), "0", "Threads that serve connections. 0: one for each core.", "4"),
        Setting("proxy_protocol_from", Many(Network()), "[]",
                "Load balancers in front: addresses and networks whose connections begin with a PROXY header (version "
                "1 or 2) and nothing else. The client that it names counts everywhere as the peer. From all others a "
                "header is an error.", '["10.0.0.0/24", "192.0.2.7"]'),
        Setting("http2", Flag(), "true", "Offer HTTP/2 to clients, besides HTTP/1.1.", "false"),
        Setting("tls_profile", Choice(TlsProfile), '"compatible"',
                "`compatible`: TLS 1.3, and TLS 1.2 with ephemeral keys and authenticated encryption; `modern`: TLS "
                "1.3 alone.", '"modern"'),
        Setting("resumption", Duration(0 * SECOND, 7 * DAY), '"12h"',
                "How long a client can resume its TLS session in place of a full handshake. Its certificate is judged "
                "again each time. `0s`: never.", '"0s"'),
        Setting("key_log", File(), None,
                "A file to which the secrets of all connections are written, for reading recorded traffic with "
                "Wireshark. Whoever has it reads everything: for looking for a fault, and then no longer. Nobody but "
                "its owner may be able to read it (mode 0600).", '"keys.log"', otherwise="none are written"),
        Setting("access_log", Log(), '"-"', "Where the access lines go: a file, `-` for stdout, empty for none.",
                '"access.log"'),
        Setting("access_format", Choice(AccessFormat), '"text"', "How an access line is written.", '"json"'),
        Setting("max_header_bytes", Size(8 * KIB, 256 * KIB), '"32 KiB"',
                "The largest header of a request. Beyond: 431.", '"64 KiB"'),
        Setting("max_body_bytes", Size(0, TIB, unlimited=True), '"unlimited"',
                "The largest body of a request. Beyond: 413. A route can say otherwise.", '"100 MiB"'),
        Setting("max_connections", Whole(1, 1_000_000), "10000",
                "Connections of clients at a time. From nine tenths on, idle ones are closed, the oldest first; "
                "beyond, new ones are turned away.", "50000"),
        Setting("memory_limit", Size(32 * MIB, TIB, unlimited=True), '"unlimited"',
                "Memory that the process may have. From 80 % on it gives up what can be spared, from 95 % on it "
                "answers 503, and it stays up. What it has without clients counts: see `mutualgate status`.",
                '"1 GiB"'),
    ),
    (TIMEOUTS, GATE_LIMITS, JWT),
)  # fmt: skip

AUTHORITY = Table(
    "authority",
    "What the authority of this folder writes into the certificates and lists that it signs from now on.",
    (
        Setting("organisation", Word(r"[^\s\x00-\x1f](.*\S)?", "a name of at most 64 characters", name="string"),
                '"mutualgate"', "The O of the authority's name; it is fixed when the folder is set up.",
                '"Example Ltd"'),
        Setting("crl_url", PlainUrl(), None,
                "Where revocation lists are fetched; `/NAME.crl` is added. It goes into every certificate: choose one "
                "that lasts.", '"http://ca.example.com/crl"',
                otherwise="`/crl` at the first address of `gate.plain_listen`"),
        Setting("crl_life", Duration(HOUR, 365 * DAY), '"7d"',
                "From a revocation list to its nextUpdate. A new one is made at half of it, and after each revocation, "
                "as often as a fiftieth of a core allows.",
                '"24h"'),
        Setting("client_validity", VALIDITY, '"365d"', "How long a client's certificate is valid.", '"90d"'),
        Setting("renewal_overlap", Duration(0 * SECOND, 365 * DAY), '"7d"',
                "How long a client's certificate goes on once another one renews it; then it is revoked as superseded.",
                '"24h"'),
        Setting("renewal_grace", Duration(0 * SECOND, 3650 * DAY), '"30d"',
                "How long after its end a client's certificate is still renewed, for the same key only.", '"0s"'),
        Setting("server_validity", VALIDITY, '"397d"',
                "How long a site's certificate is valid. Beyond 825 days Apple's systems refuse it.", '"90d"'),
    ),
)  # fmt: skip

PORTAL = Table(
    "portal",
    "The pages on which clients come in: served where a route names the upstream `portal`.",
    (
        Setting("url", SecureUrl(), None,
                "The address of the portal, as links to it begin.", '"https://gate.example.com/join"',
                otherwise="the first route to it, by the first host of its site and the port of `gate.listen`"),
        Setting("operators", Many(ROLE), '["admin"]',
                "Clients with one of these roles invite others and decide about them on the portal's own pages. Empty: "
                "nobody does.", '["admin", "helpdesk"]'),
        Setting("letter", File(), None,
                "A template for the letter that brings an invitation: the subject in its first line, an empty line, "
                "the text.", '"invitation.txt"', otherwise="a short letter in English"),
    ),
)  # fmt: skip

NETWORK_WAIT = Duration(SECOND, 10 * MINUTE)
MAIL = Table(
    "mail",
    "The mail server by which the gate sends invitations and notices. Letters wait in the store until it takes them.",
    (
        Setting(
            "server", MailServer(), None, "The mail server.", '"mail.example.com:587"', otherwise="no e-mail is sent"
        ),
        Setting(
            "security",
            Choice(Security),
            '"starttls"',
            "`starttls`: TLS after the greeting, and nothing without it; `tls`: TLS from the start (port 465); "
            "`none`: in the clear.",
            '"tls"',
        ),
        Setting(
            "username",
            Word(r"[!-~]+", "a user name of at most 64 characters without spaces", name="string"),
            None,
            "Who the gate is to the server. Given together with `password_file`; never without TLS, but on this "
            "machine.",
            '"gate@example.com"',
            otherwise="the gate does not say who it is",
        ),
        Setting(
            "password_file",
            File(),
            None,
            "A file with the password of `username`, one line, readable by its owner alone (mode 0600).",
            '"mail.password"',
            otherwise="the gate does not say who it is",
        ),
        Setting(
            "ca_file",
            File(),
            None,
            "The authority of the server's certificate, PEM.",
            '"mail-ca.pem"',
            otherwise="the authorities that this machine trusts",
        ),
        Setting(
            "sender",
            Mailbox(),
            None,
            "The address that letters come from. Must be given with `server`.",
            '"gate@example.com"',
            otherwise="no e-mail is sent",
        ),
        Setting("timeout", NETWORK_WAIT, '"30s"', "How long to wait for the server to answer.", '"10s"'),
    ),
)

NOTICES = Table(
    "notices",
    "Whom the gate tells of what needs somebody: what will expire, a revocation list that is late.",
    (
        Setting("to", Many(Mailbox()), "[]", "Operators, by e-mail. Needs `mail.server`.", '["ops@example.com"]'),
        Setting(
            "contacts",
            Flag(),
            "true",
            "Tell a client, too, that its certificate will expire, where its contact is an e-mail address.",
            "false",
        ),
        Setting(
            "webhook",
            HookUrl(),
            None,
            "Called by POST with each notice as JSON. Given together with `secret_file`.",
            '"https://hooks.example.com/mutualgate"',
            otherwise="nothing is called",
        ),
        Setting(
            "secret_file",
            File(),
            None,
            "A file with the secret that calls are signed with (HMAC-SHA-256), one line of at least 16 characters, "
            "readable by its owner alone (mode 0600).",
            '"webhook.secret"',
            otherwise="nothing is called",
        ),
        Setting(
            "ca_file",
            File(),
            None,
            "The authority of the webhook's certificate, PEM.",
            '"hooks-ca.pem"',
            otherwise="the authorities that this machine trusts",
        ),
        Setting("timeout", NETWORK_WAIT, '"30s"', "How long to wait for the webhook to answer.", '"10s"'),
    ),
)

REGISTER = Table(
    "register",
    "Who is asked whether payment service providers (partners of the profile psd2) still have their licences.",
    (
        Setting(
            "command",
            File(),
            None,
            "A program that is called with an identifier such as `PSDBE-NBB-0123456789` and writes `active` or "
            "`withdrawn`. Who lost the licence is suspended; anything else changes nothing and is told of.",
            '"check-register"',
            otherwise="nobody is asked",
        ),
        Setting("every", Duration(MINUTE, 30 * DAY), '"24h"', "How often it is asked about each.", '"6h"'),
        Setting("timeout", NETWORK_WAIT, '"30s"', "How long to wait for an answer.", '"10s"'),
    ),
)

TRACING = Table(
    "tracing",
    "Traces of requests, for an OpenTelemetry collector (OTLP over HTTP). Where they are on, every request to an "
    "upstream has a `traceparent` of the gate's.",
    (
        Setting(
            "endpoint",
            CollectorUrl(),
            None,
            "The collector; `/v1/traces` is added.",
            '"http://127.0.0.1:4318"',
            otherwise="nothing is traced, and the fields of traces pass as clients send them",
        ),
        Setting("sample", Share(), "0.01", "Of the traces that begin here, the share that is recorded.", "1.0"),
        Setting(
            "accept",
            Flag(),
            "false",
            "Let the traces of admitted clients go on here, recorded or not as they say. Else a trace of our own "
            "begins, and theirs is linked to it.",
            "true",
        ),
        Setting("service", TOKEN_NAME, '"mutualgate"', "What the gate is called in traces.", '"gate-eu"'),
        Setting(
            "headers_file",
            File(),
            None,
            "A file with header fields for the collector, one a line, such as `Authorization: Bearer ...`, readable by "
            "its owner alone (mode 0600).",
            '"collector.headers"',
            otherwise="none are sent",
        ),
        Setting(
            "ca_file",
            File(),
            None,
            "The authority of the collector's certificate, PEM.",
            '"collector-ca.pem"',
            otherwise="the authorities that this machine trusts",
        ),
        Setting("timeout", NETWORK_WAIT, '"10s"', "How long the collector may take for a batch.", '"30s"'),
    ),
)

UPSTREAM_TLS = Table(
    "upstreams.tls",
    "Whom to trust behind the addresses of `servers` that begin with `https://` or `tls://`, and what to show there. "
    "The files are read again when they change.",
    (
        Setting("ca_file", Authorities(), None,
                "The authorities of the servers' certificates, PEM, or `system` for those that this machine trusts. "
                "Must be given where a server has an address with `https://` or `tls://`.", '"app-ca.pem"',
                otherwise="no server is reached by TLS"),
        Setting("server_name", Host(), None, "The name to ask for (SNI), which the certificates must have.",
                '"app.internal"', otherwise="that in the address of the server"),
        Setting("certificate", File(), None,
                "The gate's certificate and chain, PEM, for servers that ask for one. Given together with `key`.",
                '"gate.pem"', otherwise="the gate shows none"),
        Setting("key", File(), None, "The private key of `certificate`, PEM, not encrypted.", '"gate.key"',
                otherwise="the gate shows none"),
    ),
)  # fmt: skip

UPSTREAM_TIMEOUTS = Table(
    "upstreams.timeouts",
    "How long the gate waits for this upstream.",
    (
        Setting("connect", WAIT, None, "A new connection to a server.", '"500ms"', otherwise="that of the gate"),
        Setting("response", WAIT, None, "From the end of a request to the header of the response.", '"10m"',
                otherwise="that of the gate"),
        Setting("total", WAIT, None, "From a request to the last byte of its response, other attempts among it.",
                '"30s"', otherwise="no limit"),
    ),
)  # fmt: skip

UPSTREAM_RETRIES = Table(
    "upstreams.retries",
    "When a request is sent to another server after one gave no answer: idempotent ones, and those that were not sent "
    "as a whole, as long as nothing of their body is gone. A server that cannot be connected to is passed over beside "
    "this.",
    (
        Setting("most", Whole(0, 3), "1", "How often one request is sent again.", "0"),
        Setting("percent", Whole(0, 100), "20", "Of all requests, that may be sent again.", "5"),
        Setting("per_second", Whole(0, 1000), "3", "Requests that may be sent again each second on top of that.", "10"),
    ),
)

UPSTREAM_EJECTION = Table(
    "upstreams.ejection",
    "When a server that gives no answers is left out for a while.",
    (
        Setting("failures", Whole(0, 1000), "5", "So many in a row. 0: never.", "3"),
        Setting("time", Duration(100 * MS, HOUR), '"30s"',
                "For how long; each time after that by as much longer, up to ten times.", '"10s"'),
        Setting("most_percent", Whole(0, 100), "50", "Of all servers, that may be left out at a time; never all.",
                "30"),
        Setting("status", Many(Whole(500, 599)), "[]",
                "Answers that count as none. They are passed on all the same.", "[502, 503, 504]"),
    ),
)  # fmt: skip

UPSTREAM_HEALTH = Table(
    "upstreams.health",
    "Servers are asked how they are, and not used while they are not well.",
    (
        Setting("check", Choice(Check), '"off"',
                "`tcp`: it takes a connection (and proves who it is, over TLS); `http`: it answers a GET.", '"http"'),
        Setting("path", UrlPath(), '"/"', "What is asked for.", '"/health"'),
        Setting("status", Many(Whole(100, 599), 1), "[200, 204]", "The answers of a server that is well.", "[200]"),
        Setting("interval", Duration(100 * MS, HOUR), '"10s"',
                "From one question to the next; up to a tenth more or less.", '"2s"'),
        Setting("timeout", WAIT, '"2s"', "How long an answer may take.", '"500ms"'),
        Setting("rise", Whole(1, 100), "2", "Good answers in a row until it is used again.", "1"),
        Setting("fall", Whole(1, 100), "3", "Bad ones in a row until it is not used any more.", "2"),
    ),
)  # fmt: skip

UPSTREAMS = Table(
    "upstreams",
    "Several servers that can stand in for each other, under a name that routes use as their `upstream`.",
    (
        Setting("name", SITE_NAME, None, "What routes, logs and metrics call it. Not `demo` or `portal`.", '"app"'),
        Setting("servers", Many(ServerAddress(), 1), None,
                "Where its servers listen; at most 64. For what is no HTTP all of them begin with `tcp` or `tls`, or "
                "all with `postgresql`, as the `upstream` of a route does.",
                '["http://10.0.0.1:8080", "http://10.0.0.2:8080", "unix:/run/app.sock"]'),
        Setting("balance", Choice(Balance), '"round_robin"',
                "Which server gets a request. `round_robin`: one after the other; `least_requests`: of two drawn by "
                "lot, the one with fewer requests under way; `client_hash`: the same one for the same client, by its "
                "address where it is nobody.", '"least_requests"'),
        Setting("protocol", Choice(Protocol), '"http/1.1"',
                "What the servers speak. `h2`: HTTP/2, over TLS by ALPN, in the clear with prior knowledge; a "
                "client's requests share connections, as gRPC wants it.", '"h2"'),
        Setting("send_proxy", Choice(SendProxy), '"off"',
                "Begin each connection to the servers with a PROXY header that names the client's address and the one "
                "it connected to: `v1`, a line; `v2`, bytes, which also say what was admitted. The servers have to "
                "expect it. A connection then belongs to one of a client and is not shared; not with `h2`.", '"v2"'),
        Setting("drain", Many(ServerAddress()), "[]",
                "Those of `servers` that get no new requests. What runs there ends.", '["http://10.0.0.2:8080"]'),
        Setting("slow_start", Duration(0 * SECOND, HOUR), '"10s"',
                "How long a server that comes back, or appears under a name, gets less than its share; not with "
                "`client_hash`.", '"1m"'),
        Setting("resolve", Duration(SECOND, DAY), '"10s"',
                "How often names of servers are looked up again; all their addresses are used.", '"1m"'),
    ),
    (UPSTREAM_TLS, UPSTREAM_TIMEOUTS, UPSTREAM_RETRIES, UPSTREAM_EJECTION, UPSTREAM_HEALTH),
    repeated=True,
    optional=True,
)  # fmt: skip

_CLIENT_OF_A_SITE = "Who comes without a certificate counts as its address."

SITE_LIMITS = Table(
    "sites.limits",
    "What all clients together, and each one, may use of the site before it. They hold beside those of the gate. "
    "Beyond: 429 with `Retry-After`; too many handshakes end before keys are used.",
    (
        Setting("connections", COUNT, '"unlimited"', "Connections to the site at a time.", "1000"),
        Setting("handshakes", RATE, '"unlimited"',
                "New connections to the site, also of strangers. Set `address_handshakes` of the gate below it, lest "
                "one address use it up.", '"200/s"'),
        Setting("requests", RATE, '"unlimited"', "Requests to the site.", '"2000/s"'),
        Setting("client_connections", COUNT, '"unlimited"',
                f"Connections of one client to the site at a time. {_CLIENT_OF_A_SITE}", "20"),
        Setting("client_handshakes", RATE, '"unlimited"',
                f"New connections of one client to the site. {_CLIENT_OF_A_SITE}", '"5/s burst 20"'),
        Setting("client_requests", RATE, '"unlimited"',
                f"Requests of one client to the site. {_CLIENT_OF_A_SITE}", '"50/s"'),
    ),
)  # fmt: skip

ROUTE_LIMITS = Table(
    "sites.routes.limits",
    "What all clients together, and each one, may use of the route before it, beside the limits of the site and the "
    "gate. Beyond: 429 with `Retry-After`.",
    (
        Setting("requests", RATE, '"unlimited"', "Requests to the route.", '"100/s"'),
        Setting("client_requests", RATE, '"unlimited"',
                f"Requests of one client to the route. {_CLIENT_OF_A_SITE}", '"10/m burst 5"'),
    ),
)  # fmt: skip

ROUTES = Table(
    "sites.routes",
    "A path under the site before it: what serves it, and who may pass. The longest path that covers a request "
    "decides; where none does, the answer is 404.",
    (
        Setting("path", UrlPath(), None,
                "The path and all below it, by whole segments: `/admin` covers `/admin/x`, not `/administer`.",
                '"/admin"'),
        Setting("upstream", Service(), None,
                "The service behind: `http://host:port`, `https://host:port` with a certificate of an authority that "
                "this machine trusts, `unix:/path`, the name of one of `[[upstreams]]`, or one of "
                "the gate's own: `demo`, to try it, "
                "and `portal`, the pages on which clients come in. The portal hears of everybody, also of whom is "
                "refused elsewhere, so its routes take no `client_certificate`, `roles` or `clients`. What is no HTTP "
                "is `tcp://host:port`, `tls://host:port` or `postgresql://host:port` (`tcp+unix:/path`, "
                "`postgresql+unix:/path`): the only route of its site, with the path `/`.",
                '"http://127.0.0.1:8080"', otherwise="must be given, unless there is `redirect`"),
        Setting("client_certificate", MODE, None, "As for the site, for this path.", '"optional"',
                otherwise="that of the site"),
        Setting("roles", Many(ROLE), "[]",
                "Who may pass: a client that has one of these roles. Without `roles` and `clients`: every client.",
                '["admin", "audit"]'),
        Setting("clients", Many(CLIENT), "[]", "Who may pass whatever their roles, by name.",
                '["partner-7", "backup-2"]'),
        Setting("identity", Many(Choice(Dialect)), '["rfc9440"]',
                "In which dialects the upstream is told who the client is, besides the `Mutualgate-` fields: `rfc9440` "
                "(`Client-Cert`), `xfcc` (Envoy), `apache` (`SSL_CLIENT_*`), `nginx` (`ssl-client-*`), `traefik`, "
                "`tomcat` (what SSLValve reads), `jetty` (what ForwardedRequestCustomizer reads), `jwt` (a signed "
                "token in `Mutualgate-Jwt`).",
                '["tomcat"]'),
        Setting("jwt_audience", TOKEN_NAME, None,
                "The `aud` of tokens: whom they are for, so that one upstream cannot show them to another.",
                '"orders"', otherwise="the name of the site"),
        Setting("pass_identity_names", Flag(), "false",
                "Let through what a client sends under names by which other proxies pass identities on "
                "(`X-SSL-Client-Cert`, `X-Client-Subject` and the like), but for those of `identity`. Only for an "
                "upstream that gives them no meaning.", "true"),
        Setting("tls_facts", Flag(), "false",
                "Tell the upstream about the TLS connection, in `Mutualgate-Tls`.", "true"),
        Setting("max_body_bytes", Size(0, TIB, unlimited=True), None,
                "The largest body of a request, for this path.", '"1 GiB"', otherwise="that of the gate"),
        Setting("request_headers", Fields(), "{}",
                "Header fields that are added to requests, set in place of what the client sent, or removed. Names by "
                "which identities, addresses or the framing of messages are passed on are refused: the gate writes "
                "those.", '{set = {"X-Tenant" = "north"}, remove = ["X-Debug"]}'),
        Setting("response_headers", Fields(), "{}", "The same for responses of the service.",
                '{set = {"Strict-Transport-Security" = "max-age=31536000"}, remove = ["Server"]}'),
        Setting("strip_prefix", UrlPath(), None,
                "Cut this off the path that the service gets: `path` itself, or a path above it. The service learns it "
                "in `X-Forwarded-Prefix`.", '"/api"', otherwise="the path goes on as it came"),
        Setting("replace_prefix", UrlPath(), None,
                "Put this in place of `path` in the path that the service gets.", '"/v2"',
                otherwise="the path goes on as it came"),
        Setting("redirect", Elsewhere(), None,
                "Send who may pass to another address; there is no `upstream` then.", '"https://www.example.com"',
                otherwise="requests go to `upstream`"),
        Setting("redirect_status", Status(), str(PERMANENT_REDIRECT),
                "The status of the redirect. 308 and 307 keep the method and the body; 308 and 301 are remembered by "
                "browsers.", "302"),
        Setting("redirect_keep_path", Flag(), "true",
                "Add the path and query of the request, after `strip_prefix` or `replace_prefix`, to `redirect`.",
                "false"),
    ),
    (ROUTE_LIMITS,),
    repeated=True,
)  # fmt: skip

SITES = Table(
    "sites",
    "Host names that are served alike. A handshake that names no host (SNI) gets the first site.",
    (
        Setting("name", SITE_NAME, None, "What logs and messages call it.", '"shop"'),
        Setting("hosts", Many(Host(), 1), None,
                "The names and addresses it answers to. Addresses only at the first site: clients name no address in a "
                "handshake.", '["shop.example.com", "192.0.2.7"]'),
        Setting("client_certificate", MODE, '"required"',
                "`required`: nobody passes without an admitted certificate; `optional`: who has none passes as "
                "anonymous; `off`: none is looked at.", '"optional"'),
        Setting("on_refusal", Choice(OnRefusal), '"page"',
                "What a refused client gets: a `page` that says why, a TLS `alert`, or a `close` without a word.",
                '"alert"'),
        Setting("certificate", File(), None, "The site's certificate and chain, PEM. Given together with `key`.",
                '"shop.pem"', otherwise="our authority issues one"),
        Setting("key", File(), None, "The private key of `certificate`, PEM, not encrypted.", '"shop.key"',
                otherwise="our authority issues one"),
        Setting("tls_profile", Choice(TlsProfile), None, "As for the gate, for this site.", '"modern"',
                otherwise="that of the gate"),
        Setting("ca_hints", Choice(CaHints), '"off"',
                "`auto`: the request for a certificate names the authorities whose clients are admitted, so that a "
                "browser offers no others; none where they take more than 8 KiB or a pin counts. Everybody can read "
                "the names, before any proof. `off`: none are named.", '"auto"'),
        Setting("environment", ENVIRONMENT, '""',
                "What the site is for. A pin or a partner's CA that is marked for an environment is admitted only at "
                "sites of that one.", '"test"'),
    ),
    (SITE_LIMITS, ROUTES),
    repeated=True,
)  # fmt: skip

ROOT = Table("", "", (), (GATE, AUTHORITY, PORTAL, MAIL, NOTICES, REGISTER, TRACING, UPSTREAMS, SITES))

PORTAL_PATH = "/join"
DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")
DEFAULT_SITE: dict[str, Any] = {
    "name": "main",
    "hosts": list(DEFAULT_HOSTS),
    "routes": [{"path": "/", "upstream": "demo"}, {"path": PORTAL_PATH, "upstream": "portal"}],
}
"""The site that holds where the file names none, as the file would say it."""


def tables(table: Table = ROOT) -> list[Table]:
    """Every table, in the order of the reference."""
    return [inner for outer in table.tables for inner in (outer, *tables(outer))]
