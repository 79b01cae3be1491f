"""An existing httpd configuration -> the mutualgate.toml that does the same, and what could not be carried over.

Where the gate cannot say what httpd said, the result is stricter, never more open: a path whose rule is not understood
needs a role that nobody has yet. The text that comes out has passed the configuration's own checker.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from mutualgate.apache.pools import Pool, duration
from mutualgate.apache.report import Left, shortened
from mutualgate.apache.routes import Route, Routes
from mutualgate.apache.syntax import Directive, Files, Source, parse, read_text
from mutualgate.apache.toml import array, string
from mutualgate.apache.vhost import MODES, Found, VirtualHost, Waits, understand
from mutualgate.config import parse as parse_config
from mutualgate.config.kinds import Unfit
from mutualgate.config.network import Host, Listener
from mutualgate.errors import BadInput

HERE: Final = Path("/")
MOST_CAS: Final = 3  # between an authority and a client: the gate reads 4 certificates


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
        do = "Import on the machine where it is, or copy it here."
        found.report.leave(directive, why, do)
    for directive in notes.skipped:
        found.report.leave(
            directive,
            "it was taken not to hold (no -D, every module there, httpd 2.4), so what is inside was left out",
            "If it holds on your server, take the two lines of the section away and import again.",
        )
    for directive in notes.kept:
        found.report.leave(
            directive,
            "it was taken to hold (no -D), so what is inside counts",
            "If it does not on your server, take all of it away and import again.",
        )
    for directive in notes.assumed.values():
        found.report.leave(
            directive,
            "the module was taken to be there, so what is inside of this section and of all like it counts",
            "If `httpd -M` does not list it on your server, take them away and import again.",
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
class _Site:
    host: VirtualHost
    name: str
    hosts: list[str]
    mode: str
    routes: list[Route]


class _Writer:
    def __init__(self, found: Found) -> None:
        self.found = found
        self.carried: list[str] = []
        self.commands: list[str] = []
        self.sites: list[_Site] = []
        self.taken_hosts: dict[str, str] = {}
        self.taken_names: set[str] = set()
        self.pools: dict[Pool, str] = {}
        self.waits = [host.waits for host in found.hosts if host.tls]
        """Those that the gate has once for all."""

    def leave(self, at: Directive | VirtualHost, why: str, do: str) -> None:
        text = at.text if isinstance(at, Directive) else f"<VirtualHost {' '.join(at.addresses)}>"
        self.found.report.leave_at(at.place, text, why, do)

    def write(self, name: str) -> Imported:
        secured = [host for host in self.found.hosts if host.tls]
        for host in self.found.hosts:
            if host.tls:
                self.site(host)
            elif host.redirects_to_tls:
                self.carried.append(f"{host.place}: plain HTTP is redirected to HTTPS, by gate.plain_listen.")
                self.redirected(host)
            else:
                self.leave(
                    host,
                    "it speaks plain HTTP (no SSLEngine on), and the gate serves sites over TLS only",
                    "Give it a certificate, or leave it to httpd.",
                )
        self.separate_trust()
        self.authorities()
        toml = self.toml(name, secured)
        try:  # each value was read as the configuration reads it, so nothing is known that fails here
            parse_config(toml)
        except BadInput as error:
            raise BadInput(
                f"what it comes to is no configuration of the gate: {error.problem}", where=name, fix=error.fix
            ) from error
        left = sorted(
            self.found.report.left, key=lambda item: (item.file != name, item.file, item.line, item.directive, item.why)
        )
        return Imported(toml, tuple(self.carried), tuple(left), tuple(dict.fromkeys(self.commands)))

    def redirected(self, host: VirtualHost) -> None:
        """Says which requests without TLS httpd sends elsewhere than to the same address with it."""
        names = {name.lower() for directive in host.names for name in directive.args}
        for directive in host.redirects_to_tls:
            url = next((arg for arg in directive.args if arg.lower().startswith("https://")), "")
            bare = re.sub(r"(?:\$[0-9]|%\{REQUEST_URI\})$", "", url)
            same = re.fullmatch(r"https://([^/:]+)(?::443)?/?", bare, re.IGNORECASE)
            if same is None or not (same[1].startswith("%{") or same[1].lower() in names):
                self.leave(
                    directive,
                    "the gate sends every request without TLS to the same host and path, with https://",
                    "Nothing, if the site leads there in turn; else add a [[sites.routes]] with redirect.",
                )

    # --- one virtual host ---

    def site(self, host: VirtualHost) -> None:
        names = self.names(host)
        if not names:
            self.leave(host, "it has no name that the gate can serve", "Add a ServerName, and import again.")
            return
        mode = self.mode(host)
        name = self.site_name(names[0])
        site = _Site(host, name, names, mode, Routes(host, mode, self.longest(_response), self.found.report).all())
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
            self.carried.append(f"{route.path} of {name} {route.leads}{f', for {who}' if who else ''}.")

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
        depths = {path: self.depth(path) for site in self.sites for _, path in site.host.authorities}
        for site in self.sites:
            # A list that is still to be found is named so that the command fails without it: nobody revoked comes in.
            given = ["FILE"] if self.unlisted(site.host) else [shlex.quote(path) for _, path in site.host.lists]
            lists = "".join(f" --crl {path}" for path in given)
            for directive, path in site.host.authorities:
                depth = depths[path]
                below = "" if depth > MOST_CAS else f" --depth {depth}" if depth >= 0 else " --admits listed"
                self.commands.append(f"mutualgate ca adopt --cert {shlex.quote(path)}{below}{lists}")
                self.carried.append(f"{directive.place}: what {path} signed is let in, once it is adopted.")
                if site.host.depth and _depth(site.host) > depth:
                    self.leave(
                        site.host.depth,
                        f"how many CAs may stand below {path} is one number for all sites, and another one has less",
                        f"Adopt it again with --depth {min(_depth(site.host), MOST_CAS)}, if that may be everywhere.",
                    )
                if site.host.depth and depth < 0:
                    self.leave(
                        site.host.depth,
                        "it lets in the very certificates in the file alone, and an authority is none of its clients",
                        "Pin each of them: `mutualgate pin add`.",
                    )
            folder = site.host.list_folder
            for directive in [*(one for one, _ in site.host.lists), *([folder] if folder else [])]:
                if not site.host.lists_checked:
                    self.leave(
                        directive,
                        "httpd did not look at it, as SSLCARevocationCheck is off; the gate does",
                        "Nothing, unless somebody revoked is to be let in.",
                    )
        if any(r.mode != "off" for s in self.sites for r in s.routes) and not self.commands:
            self.commands.append("mutualgate client add NAME")

    def unlisted(self, host: VirtualHost) -> bool:
        """Whether httpd learns in another way than from a file of lists who is revoked."""
        if host.list_folder and host.lists_checked:
            self.leave(
                host.list_folder,
                "the gate adopts an authority with the lists of one file",
                "Put those of this folder that are still in use into one, in PEM, and name it in --crl.",
            )
        if host.ocsp:
            self.leave(
                host.ocsp,
                "the gate asks no OCSP responder about an authority that it adopts",
                "Name its revocation list in --crl; or make its owner a partner, about whose CA the gate does ask: "
                "docs/howto/partner-revocation.md.",
            )
        return bool(host.ocsp or (host.list_folder and host.lists_checked))

    def depth(self, path: str) -> int:
        """CAs that may stand between the authorities of `path` and a client: where it differs, the least."""
        return min(_depth(s.host) for s in self.sites if any(path == other for _, other in s.host.authorities))

    # --- the file ---

    def toml(self, name: str, secured: list[VirtualHost]) -> str:
        lines = [
            f"# Made from {shortened(name)} by `mutualgate import apache`. Read it before you use it.",
            "",
            "[gate]",
        ]
        listen = self.listeners(secured)
        if listen:
            lines.append(f"listen = {array(listen)}")
        plain = self.listeners([host for host in self.found.hosts if host.redirects_to_tls and not host.tls])
        if plain and not set(plain) & set(listen):
            lines.append(f"plain_listen = {array(plain)}")
        lines += self.waits_toml()
        sites = [line for site in self.sites for line in self.site_toml(site)]
        for pool, pool_name in self.pools.items():
            lines += pool.toml(pool_name)
        lines += sites
        if not self.sites:
            lines += ["", "# No virtual host could be carried over: this is a gate before its demo service."]
        return "\n".join(lines) + "\n"

    def longest(self, wait: Callable[[Waits], timedelta | None]) -> timedelta | None:
        """The gate has one time for all sites: the longest of those that were given."""
        return max((given for waits in self.waits if (given := wait(waits))), default=None)

    def waits_toml(self) -> list[str]:
        times: dict[str, Callable[[Waits], timedelta | None]] = {
            "handshake": lambda waits: waits.handshake,
            "header": lambda waits: waits.header,
            "idle": lambda waits: waits.idle,
            "response": _response,
        }
        rows = [f"{key} = {duration(wait)}" for key, of in times.items() if (wait := self.longest(of))]
        lines = ["", "[gate.timeouts]", *rows] if rows else []
        rates = [waits.body_rate for waits in self.waits if waits.body_rate is not None]
        if rates:
            lines += ["", "[gate.limits]", f'min_body_rate = "{min([*rates, 1 << 20])} B"']
            grace = self.longest(lambda waits: waits.body)
            lines += [f"slow_grace = {duration(grace)}"] if grace else []
        return lines

    def upstream_name(self, route: Route) -> str | None:
        """What a route calls its pool: its address, or its name among `[[upstreams]]`."""
        pool = route.pool
        if pool is None:
            return None
        if pool.address is not None:
            return pool.address
        if pool not in self.pools:
            where = route.target.url.partition("://")[2].partition("/")[0]
            stem = re.sub(r"[^a-z0-9]+", "-", where.lower()).strip("-")[:40].strip("-") or "service"
            taken = {*self.pools.values(), "demo", "portal"}
            self.pools[pool] = next(n for i in count(1) if (n := f"{stem}-{i}" if i > 1 else stem) not in taken)
        return self.pools[pool]

    def site_toml(self, site: _Site) -> list[str]:
        host = site.host
        lines = ["", f"# {host.place}", "[[sites]]", f"name = {string(site.name)}", f"hosts = {array(site.hosts)}"]
        lines.append(f"client_certificate = {string(site.mode)}")
        if host.certificate and host.key:
            lines += [f"certificate = {string(host.certificate)}", f"key = {string(host.key)}"]
        elif host.certificate:
            # httpd reads the key out of the certificate's file then.
            lines += [f"certificate = {string(host.certificate)}", f"key = {string(host.certificate)}"]
        for route in site.routes:
            lines += ["", *route.toml(self.upstream_name(route), site.mode)]
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


def _response(waits: Waits) -> timedelta | None:
    return waits.response


def _depth(host: VirtualHost) -> int:
    """What SSLVerifyDepth comes to, which counts the authority, too; httpd's default is 1."""
    given = host.depth.arg(0) if host.depth else "1"
    return (int(given) if re.fullmatch(r"[0-9]{1,9}", given) else 1) - 1
