"""What the data plane is told, made of the configuration and the sites' certificates."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from mutualgate import config as of_file
from mutualgate.app.upstream_tls import OF_SYSTEM, tls_settings
from mutualgate.authorities.token_keys import TokenKey
from mutualgate.config import (
    DEMO,
    PORTAL,
    CaHints,
    Config,
    GateLimits,
    Rate,
    RouteLimits,
    SiteLimits,
    Upstream,
    UpstreamHealth,
)
from mutualgate.config.shape import Check as UpstreamCheck
from mutualgate.gate.settings import (
    Bounds,
    Ejection,
    FieldRules,
    GateSettings,
    Health,
    JwtSettings,
    Limits,
    Redirect,
    Retries,
    RouteSettings,
    ScopeLimits,
    ServerSettings,
    SiteSettings,
    Timeouts,
    TracingSettings,
    UpstreamSettings,
    Waits,
)

BUILT_IN = {DEMO: "demo.sock", PORTAL: "portal.sock"}
"""The services of the gate's own, and the sockets on which they listen."""


def gate_settings(
    config: Config,
    sites: Sequence[SiteSettings],
    sockets: Path,
    token_key: TokenKey | None = None,
    listeners: tuple[Sequence[str], Sequence[str]] | None = None,
) -> GateSettings:
    """The settings of `config`; `sites` are in its order. The gate's own services listen in the folder `sockets`.

    `token_key` signs tokens; it has to be there if `config.signs_tokens`. `listeners` are what was made of `listen` and
    `plain_listen` where sockets were given.
    """
    gate = config.gate
    waits = gate.timeouts
    return GateSettings(
        listen=[str(address) for address in gate.listen] if listeners is None else list(listeners[0]),
        plain_listen=[str(address) for address in gate.plain_listen] if listeners is None else list(listeners[1]),
        workers=gate.workers,
        proxy_protocol_from=list(gate.proxy_protocol_from),
        sites=[
            msgspec.structs.replace(
                made,
                tls_profile=str(site.tls_profile),
                ca_hints=site.ca_hints is CaHints.AUTO,
                speaks=config.stream_of(site) or "http",
            )
            for site, made in zip(config.sites, sites, strict=True)
        ],
        upstreams=[_upstream(config, service, sockets) for service in config.destinations],
        routes=[
            [
                RouteSettings(
                    path=route.path,
                    pass_identity_names=route.pass_identity_names,
                    # Our own pages show the handshake, so they always hear of it.
                    tls_facts=route.tls_facts or route.upstream in BUILT_IN,
                    max_body_bytes=route.max_body_bytes,
                    request_headers=_fields(route.request_headers),
                    response_headers=_fields(route.response_headers),
                    strip_prefix=route.strip_prefix,
                    replace_prefix=route.replace_prefix,
                    redirect=None
                    if route.redirect is None
                    else Redirect(route.redirect, route.redirect_status, route.redirect_keep_path),
                    limits=_route_limits(route.limits),
                    identity=[str(dialect) for dialect in route.identity],
                    jwt_audience=route.jwt_audience,
                )
                for route in site.routes
            ]
            for site in config.sites
        ],
        access_log=str(gate.access_log),
        access_format=str(gate.access_format),
        http2=gate.http2,
        resumption=gate.resumption.total_seconds(),
        key_log="" if gate.key_log is None else str(gate.key_log),
        jwt=None
        if token_key is None
        else JwtSettings(gate.jwt.issuer, int(gate.jwt.lifetime.total_seconds()), token_key.key_id, token_key.key_pem),
        tracing=None
        if config.tracing.endpoint is None
        else TracingSettings(config.tracing.sample, config.tracing.accept),
        limits=Limits(
            max_header_bytes=gate.max_header_bytes,
            max_body_bytes=gate.max_body_bytes,
            max_connections=gate.max_connections,
            memory=gate.memory_limit,
            min_body_rate=gate.limits.min_body_rate,
            min_read_rate=gate.limits.min_read_rate,
            address=_address(gate.limits),
            client=_client(gate.limits),
        ),
        site_limits=[_site_limits(site.limits) for site in config.sites],
        timeouts=Timeouts(
            handshake=waits.handshake.total_seconds(),
            header=waits.header.total_seconds(),
            idle=waits.idle.total_seconds(),
            connect=waits.connect.total_seconds(),
            response=waits.response.total_seconds(),
            slow=gate.limits.slow_grace.total_seconds(),
            stream_idle=waits.stream_idle.total_seconds(),
        ),
    )


def _fields(rules: of_file.FieldRules) -> FieldRules:
    return FieldRules(list(rules.add), list(rules.set), list(rules.remove))


def _rate(rate: Rate | None) -> tuple[float, int] | None:
    return None if rate is None else (rate.per_second, rate.burst)


def _address(limits: GateLimits) -> Bounds:
    return Bounds(limits.address_connections, _rate(limits.address_handshakes), _rate(limits.address_requests))


def _client(limits: GateLimits | SiteLimits) -> Bounds:
    return Bounds(limits.client_connections, _rate(limits.client_handshakes), _rate(limits.client_requests))


def _site_limits(limits: SiteLimits) -> ScopeLimits:
    total = Bounds(limits.connections, _rate(limits.handshakes), _rate(limits.requests))
    return ScopeLimits(total, _client(limits))


def _route_limits(limits: RouteLimits) -> ScopeLimits:
    return ScopeLimits(Bounds(requests=_rate(limits.requests)), Bounds(requests=_rate(limits.client_requests)))


def _upstream(config: Config, service: Upstream, sockets: Path) -> UpstreamSettings:
    if service in BUILT_IN:
        return UpstreamSettings(str(service), [ServerSettings(f"unix:{sockets.absolute() / BUILT_IN[service]}")])
    of_system = tls_settings(OF_SYSTEM) if service.is_tls else None
    if service.stream:
        return UpstreamSettings.streaming(str(service), service.server, of_system)
    if not service.is_name:
        return UpstreamSettings.at(str(service), of_system)
    (upstream,) = (upstream for upstream in config.upstreams if upstream.name == service.address)
    waits = upstream.timeouts
    return UpstreamSettings(
        name=upstream.name,
        servers=[ServerSettings(server.server, server in upstream.drain) for server in upstream.servers],
        balance=str(upstream.balance),
        protocol="stream" if upstream.stream else str(upstream.protocol),
        tls=tls_settings(upstream.tls),
        waits=Waits(_seconds(waits.connect), _seconds(waits.response), _seconds(waits.total)),
        retries=Retries(upstream.retries.most, upstream.retries.percent, upstream.retries.per_second),
        ejection=Ejection(
            upstream.ejection.failures,
            upstream.ejection.time.total_seconds(),
            upstream.ejection.most_percent,
            list(upstream.ejection.status),
        ),
        slow_start=upstream.slow_start.total_seconds(),
        resolve=upstream.resolve.total_seconds(),
        health=_health(upstream.health),
        send_proxy=str(upstream.send_proxy),
    )


def _health(health: UpstreamHealth) -> Health | None:
    if health.check is UpstreamCheck.OFF:
        return None
    return Health(
        path=health.path if health.check is UpstreamCheck.HTTP else None,
        status=list(health.status),
        interval=health.interval.total_seconds(),
        timeout=health.timeout.total_seconds(),
        rise=health.rise,
        fall=health.fall,
    )


def _seconds(wait: timedelta | None) -> float | None:
    return None if wait is None else wait.total_seconds()
