"""What the data plane is told of the configuration."""

from pathlib import Path

from mutualgate.app.settings import gate_settings
from mutualgate.authorities.token_keys import TokenKey
from mutualgate.config import parse
from mutualgate.gate.settings import Bounds, JwtSettings, ScopeLimits, SiteSettings, TracingSettings, UpstreamSettings

FILE = """
[gate]
listen = ["127.0.0.1:1", "[::1]:2"]
access_format = "text"
max_header_bytes = "16 KiB"
memory_limit = "1 GiB"

[gate.limits]
address_connections = 100
min_body_rate = "1 KiB"
min_read_rate = "2 KiB"
slow_grace = "5s"
address_handshakes = "20/s burst 50"
client_requests = "600/m"

[gate.timeouts]
connect = "1500ms"

[[sites]]
name = "main"
hosts = ["localhost"]
limits = { requests = "7/s", client_connections = 5 }
routes = [
    { path = "/", upstream = "demo" },
    { path = "/up", upstream = "http://127.0.0.1:8080", max_body_bytes = "1 MiB", pass_identity_names = true },
    { path = "/tell", upstream = "http://127.0.0.1:8080", identity = ["nginx"] },
    { path = "/join", upstream = "portal", limits = { client_requests = "1/s" } },
]
"""

MAIN = SiteSettings("main", b"certificate", b"key")


def test_requests_are_traced_only_where_there_is_a_collector() -> None:
    def tracing(text: str) -> TracingSettings | None:
        return gate_settings(parse(FILE + text), [MAIN], Path("/run")).tracing

    assert tracing("[tracing]\nsample = 1\n") is None
    on = '[tracing]\nendpoint = "http://127.0.0.1:4318"\nsample = 0.5\naccept = true\nservice = "gate"\n'
    assert tracing(on) == TracingSettings(0.5, True)


def test_everything_is_passed_on_with_its_unit() -> None:
    config = parse(FILE)
    settings = gate_settings(config, [MAIN], Path("/run"))
    assert settings.listen == ["127.0.0.1:1", "[::1]:2"]
    assert settings.access_format == "text"
    assert settings.limits.max_header_bytes == 16 * 1024
    assert settings.timeouts.connect == 1.5
    assert (settings.limits.min_body_rate, settings.limits.min_read_rate, settings.timeouts.slow) == (1024, 2048, 5.0)
    assert settings.limits.memory == 1 << 30
    assert settings.limits.address == Bounds(100, (20.0, 50))
    assert settings.limits.client == Bounds(requests=(10.0, 10))
    assert settings.site_limits == [ScopeLimits(Bounds(requests=(7.0, 7)), Bounds(5))]
    assert [upstream.servers[0].address for upstream in settings.upstreams] == [
        "unix:/run/demo.sock",
        "http://127.0.0.1:8080",
        "unix:/run/portal.sock",
    ]
    # In metrics and lists, which go on from one process to the next: a socket lies elsewhere for each.
    assert [upstream.name for upstream in settings.upstreams] == ["demo", "http://127.0.0.1:8080", "portal"]
    ((demo, other, told, portal),) = settings.routes
    assert (demo.path, demo.tls_facts, demo.max_body_bytes) == ("/", True, None)
    assert (other.path, other.tls_facts, other.max_body_bytes) == ("/up", False, 1024 * 1024)
    assert other.pass_identity_names
    assert portal.limits == ScopeLimits(client=Bounds(requests=(1.0, 1)))
    assert demo.limits == ScopeLimits()
    assert (demo.identity, told.identity) == (["rfc9440"], ["nginx"])
    assert (portal.path, portal.tls_facts) == ("/join", True)


def test_a_site_has_the_tls_of_the_gate_unless_it_says_otherwise() -> None:
    text = """
[gate]
tls_profile = "modern"
resumption = "10m"
key_log = "keys"

[[sites]]
name = "one"
hosts = ["one.example"]
ca_hints = "auto"
routes = [{ path = "/", upstream = "demo" }]

[[sites]]
name = "other"
hosts = ["other.example"]
tls_profile = "compatible"
routes = [{ path = "/", upstream = "demo" }]
"""
    settings = gate_settings(parse(text), [MAIN, MAIN], Path("/run"))
    assert [(site.tls_profile, site.ca_hints) for site in settings.sites] == [("modern", True), ("compatible", False)]
    assert settings.resumption == 600
    assert settings.key_log.endswith("/keys")
    settings = gate_settings(parse(FILE), [MAIN], Path("/run"))
    assert [(site.tls_profile, site.ca_hints) for site in settings.sites] == [("compatible", False)]
    assert (settings.resumption, settings.key_log) == (12 * 3600, "")


POOL = """
[[upstreams]]
name = "app"
servers = ["http://127.0.0.1:1", "unix:app.sock"]
drain = ["unix:app.sock"]
balance = "client_hash"
timeouts = { response = "1500ms", total = "1m" }
ejection = { status = [502, 503] }

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "app" }, { path = "/x", upstream = "http://127.0.0.1:1" }]
"""


def test_an_upstream_is_passed_on_with_its_servers() -> None:
    upstream, alone = gate_settings(parse(POOL), [MAIN], Path("/run")).upstreams
    assert (upstream.name, upstream.balance) == ("app", "client_hash")
    assert [server.drain for server in upstream.servers] == [False, True]
    assert (upstream.waits.connect, upstream.waits.response, upstream.waits.total) == (None, 1.5, 60)
    assert (upstream.ejection.failures, upstream.ejection.status) == (5, [502, 503])
    assert alone == UpstreamSettings.at("http://127.0.0.1:1")


STREAMS = """
[[upstreams]]
name = "db"
servers = ["postgresql://127.0.0.1:1", "postgresql+unix:db.sock"]
drain = ["postgresql+unix:db.sock"]
send_proxy = "v2"

[[sites]]
name = "main"
hosts = ["localhost"]
on_refusal = "close"
routes = [{ path = "/", upstream = "db" }]
"""


def test_servers_of_what_is_no_http_make_the_site_one() -> None:
    settings = gate_settings(parse(STREAMS), [MAIN], Path("/run"))
    (upstream,) = settings.upstreams
    assert (upstream.protocol, upstream.send_proxy, settings.sites[0].speaks) == ("stream", "v2", "postgresql")
    assert [server.address for server in upstream.servers] == ["tcp://127.0.0.1:1", f"unix:{Path.cwd()}/db.sock"]
    assert [server.drain for server in upstream.servers] == [False, True]


def test_a_token_key_goes_along_and_is_never_shown() -> None:
    text = FILE.replace('identity = ["nginx"]', 'identity = ["jwt"], jwt_audience = "orders"')
    config = parse(text.replace("[gate]", '[gate]\njwt = { issuer = "https://gate.test", lifetime = "90s" }'))
    assert config.signs_tokens
    assert not parse(FILE).signs_tokens
    site = SiteSettings("main", b"certificate", b"key")
    settings = gate_settings(config, [site], Path("/run"), TokenKey("kid", b"the key"))
    assert settings.jwt == JwtSettings("https://gate.test", 90, "kid", b"the key")
    assert settings.routes[0][2].jwt_audience == "orders"
    assert "the key" not in repr(settings)
    assert "the key" not in repr(TokenKey("kid", b"the key"))


def test_our_own_services_are_reached_by_absolute_paths() -> None:
    settings = gate_settings(parse(FILE), [MAIN], Path("mutualgate/run"))
    assert settings.upstreams[0].servers[0].address == f"unix:{Path.cwd()}/mutualgate/run/demo.sock"
