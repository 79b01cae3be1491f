"""An existing httpd configuration -> the mutualgate.toml that does the same, and what could not be carried over.

Where the gate cannot say what httpd said, the result is stricter, never more open: a path whose rule is not understood
needs a role that nobody has yet. The text that comes out has passed the configuration's own checker.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mutualgate.apache.access import OPEN, Grant, all_of, always_of, grant_of
from mutualgate.apache.syntax import Directive, Files, Source, parse, read_text
from mutualgate.apache.vhost import MODES, Area, Found, Left, Target, VirtualHost, shortened, understand
from mutualgate.config import parse as parse_config
from mutualgate.config.kinds import Unfit
from mutualgate.config.network import Host, Listener, Service, UrlPath
from mutualgate.errors import BadInput

HERE: Final = Path("/")


@dataclass(frozen=True)
class Imported:
    """What came out."""

    toml: str
    """A whole mutualgate.toml."""
    carried: tuple[str, ...]
    """What it does now, a sentence each."""
    left: tuple[Left, ...]
    """What it does not, in the order of the files."""
    commands: tuple[str, ...]
    """What else is to be run, in this order."""


def import_file(path: Path) -> Imported:
    """Reads the httpd configuration at `path`, and what it includes.

    Raises BadInput where httpd would not start, or when there is no virtual host in it.
    """
    text = read_text(path)
    folder = path.absolute().parent
    root = re.search(r"^[ \t]*ServerRoot[ \t]+\"?(/[^\s\"]*)", text, re.IGNORECASE | re.MULTILINE)
    return import_text(text, str(path), Files(Path(root[1]) if root else folder), folder)


def import_text(text: str, name: str, source: Source, folder: Path) -> Imported:
    """The same for a text; relative names of files begin at `folder`."""
    directives, notes = parse(text, name, source)
    found = understand(directives, folder)
    for directive, why in notes.unread:
        place = directive.place
        do = "Import on the machine where it is, or copy it here."
        found.left.append(Left(place.file, place.line, shortened(directive.text), why, do))
    for directive in notes.skipped:
        found.left.append(
            Left(
                directive.place.file,
                directive.place.line,
                shortened(directive.text),
                "it was taken not to hold (no -D, every module there, httpd 2.4), so what is inside was left out",
                "If it holds on your server, take the two lines of the section away and import again.",
            )
        )
    if not found.hosts:
        raise BadInput(
            "there is no virtual host in it",
            where=name,
            expected="<VirtualHost>, or directives such as SSLEngine and ProxyPass",
            fix="Name the file that has them, for example one of sites-enabled.",
        )
    return _Writer(found).write(name)


@dataclass
class _Route:
    path: str
    upstream: str
    mode: str
    roles: list[str]
    clients: list[str]
    max_body_bytes: int | None
    comment: str | None = None


@dataclass
class _Site:
    host: VirtualHost
    name: str
    hosts: list[str]
    mode: str
    routes: list[_Route]


class _Writer:
    def __init__(self, found: Found) -> None:
        self.found = found
        self.left = list(found.left)
        self.carried: list[str] = []
        self.commands: list[str] = []
        self.sites: list[_Site] = []
        self.taken_hosts: dict[str, str] = {}
        self.taken_names: set[str] = set()

    def leave(self, at: Directive | VirtualHost, why: str, do: str) -> None:
        text = at.text if isinstance(at, Directive) else f"<VirtualHost {' '.join(at.addresses)}>"
        left = Left(at.place.file, at.place.line, shortened(text), why, do)
        if left not in self.left:  # what stands outside of virtual hosts is met in each
            self.left.append(left)

    def write(self, name: str) -> Imported:
        secured = [host for host in self.found.hosts if host.tls]
        for host in self.found.hosts:
            if host.tls:
                self.site(host)
            elif host.redirects_to_tls:
                self.carried.append(f"{host.place}: plain HTTP is redirected to HTTPS, by gate.plain_listen.")
            else:
                self.leave(
                    host,
                    "it speaks plain HTTP (no SSLEngine on), and the gate serves sites over TLS only",
                    "Give it a certificate, or leave it to httpd.",
                )
        self.separate_trust()
        self.authorities()
        toml = self.toml(name, secured)
        try:
            parse_config(toml)
        except BadInput as error:
            raise BadInput(
                f"what it comes to is no configuration of the gate: {error.problem}", where=name, fix=error.fix
            ) from error
        left = sorted(
            set(self.left), key=lambda item: (item.file != name, item.file, item.line, item.directive, item.why)
        )
        return Imported(toml, tuple(self.carried), tuple(left), tuple(dict.fromkeys(self.commands)))

    # --- one virtual host ---

    def site(self, host: VirtualHost) -> None:
        names = self.names(host)
        if not names:
            self.leave(host, "it has no name that the gate can serve", "Add a ServerName, and import again.")
            return
        mode = self.mode(host)
        name = self.site_name(names[0])
        site = _Site(host, name, names, mode, [])
        routes = {route.path: route for route in self.routes(host, mode)}
        if host.shut:
            self.shut(site, routes)
        site.routes = [routes[path] for path in sorted(routes)]
        if not site.routes:
            self.leave(
                host,
                "none of its paths leads to a service that the gate can reach",
                "Add a [[sites.routes]] with the service's address, and the site.",
            )
            return
        self.taken_hosts.update(dict.fromkeys(names, name))
        self.sites.append(site)
        asks = {
            "off": "asks for no certificate",
            "optional": "takes a certificate",
            "required": "requires a certificate",
        }
        self.carried.append(f"{host.place}: site {name} for {', '.join(names)}, which {asks[mode]}.")
        for route in site.routes:
            who = " or ".join([*(f"role {role}" for role in route.roles), *(f"client {c}" for c in route.clients)])
            self.carried.append(f"{route.path} of {name} goes to {route.upstream}{f', for {who}' if who else ''}.")

    def names(self, host: VirtualHost) -> list[str]:
        names: list[str] = []
        for directive in host.names:
            for arg in directive.args:
                bare = re.sub(r"^https?://", "", arg, flags=re.IGNORECASE)
                bare = re.sub(r":[0-9]*$", "", bare) if bare.count(":") == 1 else bare
                try:
                    name = Host().read(bare.rstrip("."), HERE)
                except Unfit as unfit:
                    self.leave(directive, f"{shortened(unfit.problem)}", unfit.fix or "Write a plain host name.")
                    continue
                if name in self.taken_hosts:
                    self.leave(
                        directive,
                        f"{name} already belongs to site {self.taken_hosts[name]}, and a site has no port of its own",
                        "Keep one of them, or give the other one a name of its own.",
                    )
                elif re.fullmatch(r"[0-9.]+|.*:.*", name) and self.sites:
                    self.leave(
                        directive,
                        "clients name no address in a handshake, so only the first site can have one",
                        "Reach this site by a name.",
                    )
                elif name not in names:
                    names.append(name)
        return names

    def site_name(self, host: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", host.removeprefix("www.").partition(".")[0]).strip("-") or "site"
        name = next(n for i in count(1) if (n := f"{stem}-{i}" if i > 1 else stem) not in self.taken_names)
        self.taken_names.add(name)
        return name

    def mode(self, host: VirtualHost) -> str:
        if host.mode is None:
            return "off"
        word = host.mode.arg(0).lower()
        if word == "optional_no_ca":
            self.leave(
                host.mode,
                "the gate lets nobody pass with a certificate that it cannot verify",
                "Adopt the authorities, or pin the certificates; until then such clients are refused.",
            )
        elif word not in MODES:
            self.leave(host.mode, "httpd does not know this word", "Taken as `require`, the strictest.")
        return MODES.get(word, "required")

    # --- routes ---

    def routes(self, host: VirtualHost, mode: str) -> list[_Route]:
        targets = self.targets(host)
        paths = {target.path for target in targets} | {area.path for area in host.areas}
        routes = []
        for path in sorted(paths):
            target = _covering(targets, path)
            areas = [area for area in host.areas if _covers(area.path, path)]
            if target is None:
                self.unserved(path, host)
                continue
            upstream = None if target.url == "!" else self.upstream(target, host)
            if upstream is None:
                routes += self.elsewhere(target, targets, host) if path == target.path else []
                continue
            try:
                UrlPath().read(path, HERE)
            except Unfit as unfit:
                at = next((a.directive for a in areas if a.path == path), target.directive)
                if any(area.path == path and _strict(area) for area in areas):
                    host.shut.append(at)
                else:
                    self.leave(at, f"as a path of a route: {unfit.problem}", unfit.fix or "Choose another path.")
                continue
            routes.append(self.route(path, upstream, areas, host, mode))
        return [route for route in routes if not _superfluous(route, routes)]

    def route(self, path: str, upstream: str, areas: list[Area], host: VirtualHost, site_mode: str) -> _Route:
        """httpd merges the areas that cover a path in the order of the file: the last `Require` wins, each `SSLRequire`
        holds. What the handshake required for the whole host, no area can take back."""
        mode, grant, size = site_mode, OPEN, host.max_body_bytes
        for area in areas:
            mode = area.mode or mode
            grant = area.grant or grant
            size = area.max_body_bytes or size
        mode = "required" if site_mode == "required" else mode
        grant = all_of([grant, *(area.always for area in areas)])
        route = _Route(path, upstream, mode, [], [], size)
        if grant.unknown or grant.nobody:
            self.close(route, grant)
        elif grant.certificate:
            route.mode = "required"
            route.roles, route.clients = sorted(grant.roles), sorted(grant.clients)
            if grant.named:
                self.named(grant)
        return route

    def close(self, route: _Route, grant: Grant) -> None:
        directive = grant.because[0]
        role = f"import-{directive.place.line}"
        route.mode, route.roles = "required", [role]
        route.comment = f"{directive.place}: {shortened(directive.text)}"
        why = "nobody may pass there" if grant.nobody else "the gate has no such rule"
        do = f"{route.path} is shut: no client has the role {role}. Give it to those who may pass, or change the route."
        for cause in grant.because:
            self.leave(cause, why, do)

    def named(self, grant: Grant) -> None:
        for directive in grant.because:
            if grant.clients:
                self.leave(
                    directive,
                    "the gate knows clients by the names that you give them, not by the CN of a certificate",
                    f"Name the clients {', '.join(sorted(grant.clients))}, or change `clients` of the route.",
                )
            if grant.roles:
                self.leave(
                    directive,
                    "the gate reads no roles out of certificates: they are given to clients",
                    f"Give the role {' or '.join(sorted(grant.roles))} to the clients with this O or OU.",
                )

    def shut(self, site: _Site, routes: dict[str, _Route]) -> None:
        """Rules for paths that cannot be told: the whole site is as strict as they are."""
        shut = site.host.shut
        grant = all_of(Grant(unknown=not _only_asks(d), certificate=_only_asks(d), because=(d,)) for d in shut)
        role = f"import-{site.host.shut[0].place.line}"
        for route in routes.values():
            route.mode = "required"
            if grant.unknown:
                route.roles, route.clients = [role], []
                route.comment = f"{site.host.shut[0].place}: {shortened(site.host.shut[0].text)}"
        effect = f"nobody passes without the role {role}" if grant.unknown else "every path requires a certificate"
        for directive in site.host.shut:
            self.leave(
                directive,
                f"no route can name the requests that it is about; so that none of them is open, {effect}",
                "Write the paths that it means as [[sites.routes]] with their rule, and open the others.",
            )

    def targets(self, host: VirtualHost) -> list[Target]:
        """Those that have an effect: httpd takes the first one that covers a path."""
        kept: list[Target] = []
        for target in host.targets:
            if any(k.path == target.path and _scheme(target.url) in ("ws", "wss") for k in kept):
                continue  # the route passes WebSockets on as well
            hidden = next((k for k in kept if _covers(k.path, target.path)), None)
            if hidden is not None:
                self.leave(
                    target.directive,
                    f"it has no effect in httpd either: line {hidden.directive.place.line} covers it and comes first",
                    "Drop it, or add it as a route: in the gate the longest path wins.",
                )
            else:
                kept.append(target)
        return kept

    def elsewhere(self, target: Target, targets: list[Target], host: VirtualHost) -> list[_Route]:
        """A path that goes to nothing the gate can reach: a route shuts it, as the service above never saw its
        requests."""
        d = target.directive
        above = [t for t in targets if t is not target and t.url != "!" and _covers(t.path, target.path)]
        upstream = next((u for t in above if (u := self.upstream(t, host))), None)
        shut = ""
        routes = []
        if upstream is not None:
            role = f"import-{d.place.line}"
            shut = f" Until then {target.path} is shut: no client has the role {role}."
            comment = f"{d.place}: {shortened(d.text)}"
            routes = [_Route(target.path, upstream, "required", [role], [], None, comment)]
        if target.url == "!":
            self.leave(
                d,
                "httpd answers this path itself, and the gate serves no files",
                f"Serve it by a service, with a route of its own.{shut}",
            )
        elif shut:
            self.leave(d, "the service above never saw these requests", shut.strip())
        return routes

    def unserved(self, path: str, host: VirtualHost) -> None:
        for area in host.areas:
            if area.path == path:
                self.leave(
                    area.directive,
                    "no ProxyPass leads there: httpd answers it itself, and the gate serves no files",
                    "Serve it by a service, with a route of its own.",
                )

    def upstream(self, target: Target, host: VirtualHost) -> str | None:
        d, url = target.directive, target.url
        if url.lower().startswith("balancer://"):
            address = urlsplit(url)
            members = host.balancers.get(f"balancer://{address.netloc}".lower(), [])
            if not members:
                self.leave(d, "the balancer has no members here", "Name the service's address, and import again.")
                return None
            for member, _ in members[1:]:
                self.leave(
                    member,
                    "pools are not carried over",
                    f"{target.path} goes to {members[0][1]} alone: make [[upstreams]] of all of them by hand.",
                )
            url = members[0][1].rstrip("/") + address.path
        if url.startswith("unix:") and "|" in url:
            socket, _, rest = url.partition("|")
            address = urlsplit(rest)
            where, path = socket, address.path
        else:
            try:
                address = urlsplit(url)
            except ValueError:
                self.leave(d, "the address cannot be read", "Correct it, and import again.")
                return None
            scheme = {"ws": "http", "wss": "https"}.get(address.scheme.lower(), address.scheme.lower())
            where, path = f"{scheme}://{address.netloc}", address.path
            if scheme in REFUSED:
                self.leave(d, *REFUSED[scheme])
                return None
        if (path.rstrip("/") or "/") != target.path:
            self.leave(
                d,
                f"it sends {target.path} to {path or '/'} there, which is not carried over",
                "Add the route by hand, with strip_prefix or replace_prefix; or let the service answer under the public"
                " path (Tomcat, Jetty: its context path).",
            )
            return None
        try:
            return str(Service().read(where, HERE))
        except Unfit as unfit:
            self.leave(d, f"as an upstream: {unfit.problem}", unfit.fix or "Use http://HOST:PORT or unix:/PATH.")
            return None

    # --- trust ---

    def separate_trust(self) -> None:
        """What a virtual host trusts, httpd asks at that host only; the gate's authorities hold for all sites."""
        asking = [site for site in self.sites if any(route.mode != "off" for route in site.routes)]
        trusted = {tuple(path for _, path in site.host.authorities) for site in asking}
        if len(trusted) < 2:
            return
        for site in asking:
            role = f"import-{site.name}"
            for route in site.routes:
                if route.mode == "required" and not route.roles and not route.clients:
                    route.roles = [role]
            for directive, path in site.host.authorities:
                self.leave(
                    directive,
                    "an authority that the gate adopts holds for all sites, and here they differ",
                    f"Give the role {role} to the clients of {path}; the routes of {site.name} ask for it.",
                )

    def authorities(self) -> None:
        for site in self.sites:
            lists = " ".join(f"--crl {shlex.quote(path)}" for _, path in site.host.lists)
            for directive, path in site.host.authorities:
                self.commands.append(f"mutualgate ca adopt --cert {shlex.quote(path)}{f' {lists}' if lists else ''}")
                self.carried.append(f"{directive.place}: what {path} signed is let in, once it is adopted.")
            for directive, _ in site.host.lists:
                if not site.host.lists_checked:
                    self.leave(
                        directive,
                        "httpd did not look at it, as SSLCARevocationCheck is off; the gate does",
                        "Nothing, unless somebody revoked is to be let in.",
                    )
        if self.sites and any(r.mode != "off" for s in self.sites for r in s.routes) and not self.commands:
            self.commands.append("mutualgate client add NAME")

    # --- the file ---

    def toml(self, name: str, secured: list[VirtualHost]) -> str:
        lines = [
            f"# Made from {shortened(name)} by `mutualgate import apache`. Read it before you use it.",
            "",
            "[gate]",
        ]
        listen = self.listeners(secured)
        if listen:
            lines.append(f"listen = {_array(listen)}")
        plain = self.listeners([host for host in self.found.hosts if host.redirects_to_tls and not host.tls])
        if plain and not set(plain) & set(listen):
            lines.append(f"plain_listen = {_array(plain)}")
        timeouts = {
            "response": max((h.timeout_seconds for h in secured if h.timeout_seconds), default=None),
            "idle": max((h.idle_seconds for h in secured if h.idle_seconds), default=None),
        }
        given = {k: min(v, 86_400) for k, v in timeouts.items() if v}
        if given:
            lines += ["", "[gate.timeouts]", *(f'{key} = "{value}s"' for key, value in given.items())]
        for site in self.sites:
            lines += self.site_toml(site)
        if not self.sites:
            lines += ["", "# No virtual host could be carried over: this is a gate before its demo service."]
        return "\n".join(lines) + "\n"

    def site_toml(self, site: _Site) -> list[str]:
        host = site.host
        lines = ["", f"# {host.place}", "[[sites]]", f"name = {_string(site.name)}", f"hosts = {_array(site.hosts)}"]
        lines.append(f"client_certificate = {_string(site.mode)}")
        if host.certificate and host.key:
            lines += [f"certificate = {_string(host.certificate)}", f"key = {_string(host.key)}"]
        elif host.certificate:
            # httpd reads the key out of the certificate's file then.
            lines += [f"certificate = {_string(host.certificate)}", f"key = {_string(host.certificate)}"]
        for route in site.routes:
            lines.append("")
            if route.comment:
                lines.append(f"# {route.comment}")
            lines += ["[[sites.routes]]", f"path = {_string(route.path)}", f"upstream = {_string(route.upstream)}"]
            if route.mode != site.mode:
                lines.append(f"client_certificate = {_string(route.mode)}")
            if route.roles:
                lines.append(f"roles = {_array(route.roles)}")
            if route.clients:
                lines.append(f"clients = {_array(route.clients)}")
            if route.max_body_bytes:
                lines.append(f'max_body_bytes = "{min(route.max_body_bytes, 1 << 40)} B"')
        return lines

    def listeners(self, hosts: list[VirtualHost]) -> list[str]:
        """Where `hosts` listen; every address is written with its port."""
        found: list[str] = []
        for host in hosts:
            for address in host.addresses or [d.arg(0) for d in self.found.listens]:
                match = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::([0-9]+|\*))?", address)
                place, port = (match[1], match[2]) if match else (address, None)
                if place.isdigit() and port is None:  # `Listen 443`
                    place, port = "*", place
                if place in ("", "*", "_default_"):
                    place = "0.0.0.0"  # noqa: S104 - what `*` means
                if port in ("*", None):
                    ports = (d.arg(0).rpartition(":")[2] for d in self.found.listens)
                    port = next((p for p in ports if p != "80"), "443")
                try:
                    text = str(Listener().read(f"{place}:{port}", HERE))
                except Unfit as unfit:
                    self.leave(host, f"as a place to listen: {unfit.problem}", unfit.fix or "Set it by hand.")
                    continue
                if text not in found:
                    found.append(text)
        everywhere = {text.rpartition(":")[2] for text in found if text.startswith("0.0.0.0:")}
        return [t for t in found if t.startswith("0.0.0.0:") or t.rpartition(":")[2] not in everywhere]


REFUSED: Final = {
    "ajp": (
        "the gate speaks no AJP",
        "Give Tomcat or Jetty an HTTP connector on 127.0.0.1, and add the route with its address.",
    ),
    "https": (
        "which certificates httpd takes from the service is not carried over, and the gate takes none unseen",
        "Add the server to [[upstreams]] by hand, with ca_file under [upstreams.tls].",
    ),
    **{
        scheme: (
            "HTTP/2 to services is not carried over",
            'Add the server to [[upstreams]] by hand, with protocol = "h2".',
        )
        for scheme in ("h2", "h2c")
    },
    **{
        scheme: ("the gate speaks no such protocol", "Put an HTTP server in between, and add the route.")
        for scheme in ("fcgi", "scgi", "uwsgi", "ftp")
    },
}


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _strict(area: Area) -> bool:
    return area.mode in ("optional", "required") or area.grant not in (None, OPEN) or area.always != OPEN


def _only_asks(directive: Directive) -> bool:
    """Whether it is content with any certificate."""
    inner = directive.children
    return directive.section and grant_of(inner) in (None, OPEN) and always_of(inner) == OPEN


def _covers(path: str, other: str) -> bool:
    return path in ("/", other) or other.startswith(path + "/")


def _covering(targets: Iterable[Target], path: str) -> Target | None:
    return next((target for target in targets if _covers(target.path, path)), None)


def _superfluous(route: _Route, routes: list[_Route]) -> bool:
    """Whether the route above says the same."""
    above = [r for r in routes if r is not route and _covers(r.path, route.path)]
    if not above:
        return False
    nearest = max(above, key=lambda r: len(r.path))
    same = ("upstream", "mode", "roles", "clients", "max_body_bytes")
    return all(getattr(route, name) == getattr(nearest, name) for name in same)


def _string(text: str) -> str:
    """A basic string of TOML."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def _array(values: Iterable[str]) -> str:
    return "[" + ", ".join(_string(value) for value in values) + "]"
