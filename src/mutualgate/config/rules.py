"""What settings must not say together: conflicts and overlaps, each an error, none settled by a silent default.

Works on drafts: the values of the file by key, of which those that were wrong are absent (or None in an array), so that
one wrong value does not hide the conflicts of the others.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .messages import PERMANENT_REDIRECT
from .network import DEMO, PORTAL, STREAM_TLS, STREAMS, Address, Service, Upstream
from .positions import Place
from .posting import in_the_clear
from .shape import USUAL_DIALECTS, CaHints, Check, Dialect, Mode, OnRefusal, Protocol, Security, SendProxy

Draft = Mapping[str, Any]

MAX_SERVERS = 64  # of one upstream; the data plane holds it too
OF_HTTP = ("request_headers", "response_headers", "strip_prefix", "replace_prefix", "pass_identity_names", "tls_facts")
LISTENERS = ("listen", "plain_listen", "ops_listen")


@dataclass(frozen=True)
class Finding:
    """Something wrong at a place of the configuration; what `Check`s return, too."""

    place: Place
    problem: str
    expected: str | None = None
    fix: str | None = None


def conflicts(draft: Draft) -> Iterator[Finding]:
    """Everything in `draft` that contradicts something else in it."""
    yield from _listeners(draft.get("gate", {}))
    yield from _site_names(draft)
    pools = {upstream.get("name"): _speaks(upstream) for _, upstream in _present(draft.get("upstreams"))}
    for index, site in enumerate(_sites(draft)):
        place: Place = ("sites", index)
        yield from _certificate(place, site)
        yield from _routes(place, site)
        yield from _refusal(place, site)
        yield from _stream(place, site, pools)
        yield from _hints(place, site)
    yield from _upstreams(draft)
    yield from _loops(draft)
    yield from _mail(draft.get("mail", {}))
    yield from _notices(draft.get("notices", {}), draft.get("mail", {}))
    yield from _tracing(draft.get("tracing", {}))


def _sites(draft: Draft) -> list[Draft]:
    return [site or {} for site in draft.get("sites", ())]


def _present(values: Any) -> Iterator[tuple[int, Any]]:
    """The values of an array that could be read, with their index."""
    return ((index, value) for index, value in enumerate(values or ()) if value is not None)


def _listeners(gate: Draft) -> Iterator[Finding]:
    seen: list[tuple[str, Address]] = []
    for key in LISTENERS:
        for index, address in _present(gate.get(key)):
            name = f"gate.{key}[{index}]"
            for other_name, other in seen:
                if address.overlaps(other):
                    yield Finding(("gate", key, index), f"{address} overlaps {other} of {other_name}",
                                  fix="Give each listener a port of its own")  # fmt: skip
                    break
            seen.append((name, address))


def _site_names(draft: Draft) -> Iterator[Finding]:
    names: dict[str, int] = {}
    hosts: dict[str, int] = {}
    for index, site in enumerate(_sites(draft)):
        place: Place = ("sites", index)
        if name := site.get("name"):
            if name in names:
                yield Finding((*place, "name"), f'"{name}" is already the name of sites[{names[name]}]')
            names.setdefault(name, index)
        for number, host in _present(site.get("hosts")):
            if hosts.setdefault(host, index) != index:
                yield Finding((*place, "hosts", number), f'"{host}" already belongs to sites[{hosts[host]}]',
                              fix="A host belongs to one site")  # fmt: skip
            elif index and _is_address(host):
                # RFC 6066 3: literal addresses are not permitted in SNI, so such a client always gets the first site.
                yield Finding((*place, "hosts", number), f"the address {host} cannot be told from the first site",
                              fix="Clients name no address in a handshake: list it at the first site")  # fmt: skip


def _certificate(place: Place, site: Draft, otherwise: str = "use a certificate of our authority") -> Iterator[Finding]:
    for given, missing in (("certificate", "key"), ("key", "certificate")):
        if site.get(given) is not None and missing in site and site[missing] is None:
            yield Finding((*place, given), f"is given without `{missing}`",
                          fix=f"Add `{missing}`, or leave both out to {otherwise}")  # fmt: skip


def _routes(place: Place, site: Draft) -> Iterator[Finding]:
    paths: dict[str, int] = {}
    for index, route in _present(site.get("routes")):
        here: Place = (*place, "routes", index)
        if path := route.get("path"):
            if path in paths:
                yield Finding((*here, "path"), f'"{path}" is already the path of routes[{paths[path]}] of this site')
            paths.setdefault(path, index)
        yield from _changes(here, route)
        yield from _dialects(here, route)
        mode = route.get("client_certificate")
        if route.get("upstream") == PORTAL:
            yield from _portal_route(here, route)
            continue
        if mode is None or mode is Mode.REQUIRED:
            continue
        for key in ("roles", "clients"):
            if route.get(key):
                yield Finding((*here, key), f'keeps nobody out where client_certificate is "{mode}"',
                              fix='Set client_certificate = "required" for this route')  # fmt: skip


def _changes(place: Place, route: Draft) -> Iterator[Finding]:
    """What is done with the requests of a route, besides who may pass."""
    redirect = route.get("redirect")
    if "upstream" in route and "redirect" in route:
        if route["upstream"] is None and redirect is None:
            yield Finding(place, "`upstream` is missing", expected=Service().expected)
        elif route["upstream"] is not None and redirect is not None:
            yield Finding((*place, "redirect"), "is there beside `upstream`", fix="Leave one of the two out")
    if redirect is not None:
        for key in ("request_headers", "pass_identity_names", "tls_facts"):
            if route.get(key):
                yield Finding((*place, key), "has no meaning for a redirect", fix="Leave it out")
        if route.get("redirect_keep_path") and ("?" in redirect or "#" in redirect):
            yield Finding((*place, "redirect"), "ends with a query or fragment, after which no path can come",
                          fix="Set redirect_keep_path = false, or leave it out")  # fmt: skip
    elif "redirect" in route:
        for key, default in (("redirect_status", PERMANENT_REDIRECT), ("redirect_keep_path", True)):
            if route.get(key, default) != default:
                yield Finding((*place, key), "has no meaning without `redirect`", fix="Leave it out")
    strip, path = route.get("strip_prefix"), route.get("path")
    if strip is not None and route.get("replace_prefix") is not None:
        yield Finding((*place, "strip_prefix"), "is there beside `replace_prefix`", fix="Leave one of the two out")
    elif strip is not None and path is not None and (strip == "/" or not f"{path}/".startswith(f"{strip}/")):
        yield Finding((*place, "strip_prefix"), f'"{strip}" is no beginning of "{path}" that could be cut off',
                      fix="Name the path of the route, or a path above it")  # fmt: skip


def _dialects(place: Place, route: Draft) -> Iterator[Finding]:
    """CGI, WSGI and PHP read `ssl-client-cert` and `SSL_CLIENT_CERT` as one, and would get one of the two by chance."""
    named = [dialect for _, dialect in _present(route.get("identity"))]
    others = [dialect for dialect in named if dialect in (Dialect.APACHE, Dialect.TOMCAT)]
    if Dialect.NGINX in named and others:
        yield Finding((*place, "identity"),
                      f'"{Dialect.NGINX}" and "{others[0]}" write the same names, with "-" and with "_", in two forms',
                      fix="Choose the one that the service reads")  # fmt: skip
    if route.get("jwt_audience") is not None and "identity" in route and Dialect.JWT not in named:
        yield Finding((*place, "jwt_audience"), "has no meaning without a token", fix='Add "jwt" to `identity`')
    if route.get("redirect") is not None and tuple(route.get("identity", USUAL_DIALECTS)) != USUAL_DIALECTS:
        yield Finding((*place, "identity"), "has no meaning for a redirect", fix="Leave it out")


def _portal_route(place: Place, route: Draft) -> Iterator[Finding]:
    """The portal is for whoever has no certificate yet, or another one: what would keep them out has no place there."""
    fix = "Leave it out: the portal hears what everybody showed and decides for itself"
    if route.get("client_certificate") not in (None, Mode.SHOWN):
        yield Finding((*place, "client_certificate"), "has no meaning for the portal", fix=fix)
    for key in ("roles", "clients"):
        if route.get(key):
            yield Finding((*place, key), "keeps nobody out of the portal", fix=fix)
    for key in ("request_headers", "strip_prefix", "replace_prefix"):
        if route.get(key):
            yield Finding((*place, key), "has no meaning for the portal", fix="Leave it out")
    if tuple(route.get("identity", USUAL_DIALECTS)) != USUAL_DIALECTS:
        yield Finding((*place, "identity"), "has no meaning for the portal", fix="Leave it out")


def _refusal(place: Place, site: Draft) -> Iterator[Finding]:
    if site.get("on_refusal") is not OnRefusal.ALERT:
        return
    for _, route in _present(site.get("routes")):
        mode = route.get("client_certificate")
        if mode is Mode.SHOWN:
            yield Finding((*place, "on_refusal"),
                          f'an alert ends the handshake of those for whom the portal ("{route.get("path", "?")}") is',
                          fix='Use "page" or "close", or a site of its own for the portal')  # fmt: skip
        if mode in (Mode.OFF, Mode.OPTIONAL):
            yield Finding((*place, "on_refusal"),
                          f'an alert ends the handshake before the path is known, but "{route.get("path", "?")}" '
                          f'has client_certificate = "{mode}"',
                          fix='Use "page" or "close", or require a certificate for all routes')  # fmt: skip


def _speaks(upstream: Draft) -> str | None:
    """What the servers of an upstream speak where that is no HTTP."""
    return next((server.stream for _, server in _present(upstream.get("servers"))), None)


def _stream(place: Place, site: Draft, pools: Mapping[Any, str | None]) -> Iterator[Finding]:
    """What is no HTTP has no paths, no header fields and no pages."""
    routes = list(_present(site.get("routes")))
    for index, route in routes:
        upstream = route.get("upstream")
        if upstream is None or (upstream.stream or pools.get(upstream.address)) is None:
            continue
        here: Place = (*place, "routes", index)
        if len(site.get("routes") or ()) > 1:
            yield Finding((*here, "upstream"), f"{upstream} is no HTTP, and the site has other routes",
                          fix="Give it a site of its own, with a host of its own")  # fmt: skip
        if route.get("path") not in (None, "/"):
            yield Finding((*here, "path"), "has no meaning for what is no HTTP", fix='Use "/"')
        if site.get("on_refusal") is OnRefusal.PAGE:
            yield Finding((*place, "on_refusal"), f'"page" has no meaning for {upstream}, which is no HTTP',
                          fix='Set on_refusal = "alert", or "close"')  # fmt: skip
        if route.get("client_certificate") not in (None, Mode.REQUIRED):
            yield Finding((*here, "client_certificate"), f"has to be required for {upstream}, which is no HTTP",
                          fix='Set client_certificate = "required"')  # fmt: skip
        for key in OF_HTTP:
            if route.get(key):
                yield Finding((*here, key), "has no meaning for what is no HTTP", fix="Leave it out")
        if tuple(route.get("identity", USUAL_DIALECTS)) != USUAL_DIALECTS:
            yield Finding((*here, "identity"), "has no meaning for what is no HTTP", fix="Leave it out")


def _hints(place: Place, site: Draft) -> Iterator[Finding]:
    if site.get("ca_hints") is not CaHints.AUTO:
        return
    for _, route in _present(site.get("routes")):
        if route.get("upstream") == PORTAL:
            yield Finding((*place, "ca_hints"),
                          "keeps browsers from showing the portal a certificate that nobody has accepted yet",
                          fix='Use "off", or a site of its own for the portal')  # fmt: skip


def _upstreams(draft: Draft) -> Iterator[Finding]:
    names: dict[str, int] = {}
    for index, upstream in _present(draft.get("upstreams")):
        place: Place = ("upstreams", index)
        if name := upstream.get("name"):
            if name in names:
                yield Finding((*place, "name"), f'"{name}" is already the name of upstreams[{names[name]}]')
            elif Upstream(name) in (DEMO, PORTAL):
                yield Finding((*place, "name"), f'"{name}" is a service of the gate\'s own', fix="Choose another name")
            names.setdefault(name, index)
        servers = [server for _, server in _present(upstream.get("servers"))]
        if len(servers) > MAX_SERVERS:
            yield Finding((*place, "servers"), f"has {len(servers)} servers, and {MAX_SERVERS} are the most")
        yield from _one_protocol(place, upstream, servers)
        tls = upstream.get("tls", {})
        if any(server.is_tls for server in servers) and "ca_file" in tls and tls["ca_file"] is None:
            yield Finding((*place, "servers"), "has an address with TLS, and nothing says whom to trust there",
                          fix='Give `ca_file` under [upstreams.tls], a file or "system"')  # fmt: skip
        yield from _certificate((*place, "tls"), tls, "show none")
        for number, server in _present(upstream.get("drain")):
            if server not in servers:
                yield Finding((*place, "drain", number), f"{server} is none of `servers`",
                              fix="Write it as it stands there")  # fmt: skip
    for place, service in _services(draft):
        if service.is_name and service.address not in names:
            near = f"There are: {', '.join(names)}" if names else "Give it under [[upstreams]]"
            yield Finding(place, f'there is no upstream "{service}"', fix=f'{near}; or write "http://{service}:80"')


def _one_protocol(place: Place, upstream: Draft, servers: Sequence[Upstream]) -> Iterator[Finding]:
    """Servers that stand in for each other speak the same."""
    stream, is_h2 = _speaks(upstream), upstream.get("protocol") is Protocol.HTTP_2
    for number, server in _present(upstream.get("servers")):
        if server.stream != stream:
            yield Finding((*place, "servers", number), f"{server} does not speak what {servers[0]} does",
                          fix="Give it an upstream of its own")  # fmt: skip
    if stream is not None:
        if is_h2:
            yield Finding((*place, "protocol"), "has no meaning for what is no HTTP", fix="Leave it out")
        if upstream.get("health", {}).get("check") is Check.HTTP:
            yield Finding((*place, "health", "check"), '"http" asks what is no HTTP', fix='Use "tcp"')
    elif is_h2 and upstream.get("send_proxy", SendProxy.OFF) is not SendProxy.OFF:
        yield Finding((*place, "send_proxy"), 'names one client for a connection, and over "h2" others go on with it',
                      fix='Set protocol = "http/1.1", or leave send_proxy out')  # fmt: skip


def _services(draft: Draft) -> Iterator[tuple[Place, Upstream]]:
    """What routes name as their upstream."""
    for site_index, site in enumerate(_sites(draft)):
        for index, route in _present(site.get("routes")):
            if upstream := route.get("upstream"):
                yield ("sites", site_index, "routes", index, "upstream"), upstream


def _loops(draft: Draft) -> Iterator[Finding]:
    gate = draft.get("gate", {})
    own = {f"{scheme}://{address}": key for key in LISTENERS for _, address in _present(gate.get(key)) if address.port
           for scheme in ("http", STREAM_TLS, *STREAMS)}  # fmt: skip
    places = list(_services(draft))
    for index, upstream in _present(draft.get("upstreams")):
        places += ((("upstreams", index, "servers", number), server)
                   for number, server in _present(upstream.get("servers")))  # fmt: skip
    for place, service in places:
        if service.address in own:
            yield Finding(place, f"{service} is the gate's own {own[service.address]}",
                          fix="Name the service behind the gate")  # fmt: skip


def _mail(mail: Draft) -> Iterator[Finding]:
    if mail.get("server") is not None and "sender" in mail and mail["sender"] is None:
        yield Finding(("mail", "server"), "is given without `sender`", fix="Add the address that letters come from")
    for given, missing in (("username", "password_file"), ("password_file", "username")):
        if mail.get(given) is not None and missing in mail and mail[missing] is None:
            yield Finding(("mail", given), f"is given without `{missing}`", fix=f"Add `{missing}`, or leave both out")
    server = mail.get("server")
    if mail.get("username") is not None and mail.get("security") is Security.NONE and server and not server.is_loopback:
        yield Finding(("mail", "security"), f"the password would go to {server} in the clear",
                      fix='Use "starttls" or "tls"')  # fmt: skip


def _notices(notices: Draft, mail: Draft) -> Iterator[Finding]:
    if notices.get("to") and "server" in mail and mail["server"] is None:
        yield Finding(("notices", "to"), "cannot be reached without a mail server", fix="Give `server` under [mail]")
    for given, missing in (("webhook", "secret_file"), ("secret_file", "webhook")):
        if notices.get(given) is not None and missing in notices and notices[missing] is None:
            yield Finding(("notices", given), f"is given without `{missing}`",
                          fix=f"Add `{missing}`, or leave both out")  # fmt: skip


def _tracing(tracing: Draft) -> Iterator[Finding]:
    if tracing.get("headers_file") is None or "endpoint" not in tracing:
        return
    if tracing["endpoint"] is None:
        yield Finding(("tracing", "headers_file"), "is given without `endpoint`", fix="Add the collector's address")
    elif in_the_clear(tracing["endpoint"]):
        yield Finding(("tracing", "headers_file"), f"would go to {tracing['endpoint']} in the clear",
                      fix="Use https:// for the collector")  # fmt: skip


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
