"""Directives -> what each virtual host does: names, certificates, whom it asks, where requests go.

Knows what httpd's directives mean. Does not know mutualgate.toml: `import_` writes that. What it does not understand it
puts on the list of what is left, with the reason.
"""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mutualgate.apache import fields
from mutualgate.apache.access import always_of, asked_by, grant_of, inside
from mutualgate.apache.fields import Edit, Said
from mutualgate.apache.grants import OPEN, Grant, all_of
from mutualgate.apache.known import QUIET, REASONS, SAME
from mutualgate.apache.pools import Balancer, Trust, seconds
from mutualgate.apache.report import Report
from mutualgate.apache.rewriting import (
    PATTERN,
    Rule,
    Target,
    barred,
    barrier,
    literal_paths,
    matched,
    redirect,
    rewrite,
    rules_in,
)
from mutualgate.apache.syntax import Directive, Place

MODES: Final = {"none": "off", "optional": "optional", "require": "required", "optional_no_ca": "optional"}


@dataclass(frozen=True)
class Area:
    """What `<Location>` says about a path."""

    directive: Directive
    path: str
    mode: str | None
    grant: Grant | None
    """What its `Require` says; it replaces what the areas before say."""
    always: Grant
    """What its `SSLRequire` says; it comes on top of what the areas before say."""
    max_body_bytes: int | None
    edits: tuple[Edit, ...] = ()
    said: tuple[Said, ...] = ()


@dataclass
class Waits:
    """How long a virtual host waits, as far as it says so."""

    service: timedelta | None = None
    """`ProxyTimeout`."""
    anybody: timedelta | None = None
    """`Timeout`, which holds for services where there is no ProxyTimeout."""
    idle: timedelta | None = None
    header: timedelta | None = None
    handshake: timedelta | None = None
    body: timedelta | None = None
    body_rate: int | None = None
    """Bytes of a body in a second that clients have to send, once they are `body` behind."""

    @property
    def response(self) -> timedelta | None:
        return self.service or self.anybody


@dataclass
class VirtualHost:
    """A virtual host, or what stands outside of all of them."""

    place: Place
    addresses: list[str] = field(default_factory=list)
    names: list[Directive] = field(default_factory=list)
    tls: bool = False
    certificate: str | None = None
    key: str | None = None
    mode: Directive | None = None
    depth: Directive | None = None
    authorities: list[tuple[Directive, str]] = field(default_factory=list)
    lists: list[tuple[Directive, str]] = field(default_factory=list)
    lists_checked: bool = False
    list_folder: Directive | None = None
    """SSLCARevocationPath."""
    ocsp: Directive | None = None
    """SSLOCSPEnable, where it is on."""
    rewrites: list[Rule] = field(default_factory=list)
    rewriting: bool = True
    """Whether RewriteEngine is on. Where nothing says so, it may be on in a file that we were not given."""
    inherits: bool = False
    """Whether a virtual host has the RewriteRules outside of it as well."""
    inherits_targets: bool = True
    """Whether it has the ProxyPass outside of it as well."""
    overrides: list[Target] = field(default_factory=list)
    """Where mod_rewrite, and a Redirect within `<Location>`, send requests: httpd asks them first."""
    targets: list[Target] = field(default_factory=list)
    redirects: list[Target] = field(default_factory=list)
    """`Redirect` outside of `<Location>`, and JkMount: httpd asks them last."""
    reverses: list[tuple[Directive, str]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    trust: Trust = field(default_factory=Trust)
    waits: Waits = field(default_factory=Waits)
    areas: list[Area] = field(default_factory=list)
    shut: list[Grant] = field(default_factory=list)
    """Rules for requests that no route can name; until an operator decides, they hold for the whole site."""
    balancers: dict[str, Balancer] = field(default_factory=dict)
    redirects_to_tls: list[Directive] = field(default_factory=list)
    """What sends requests that came without TLS to an address with it."""
    max_body_bytes: int | None = None

    @property
    def is_outside(self) -> bool:
        """Whether it is what stands outside of all virtual hosts."""
        return not self.place.line

    @property
    def destinations(self) -> list[Target]:
        """Where requests go, in the order in which httpd asks."""
        return [*self.overrides, *self.targets, *self.redirects]


@dataclass
class Found:
    """A whole configuration, understood as far as it goes."""

    listens: list[Directive]
    hosts: list[VirtualHost]
    report: Report
    root: Path


def understand(directives: Iterable[Directive], folder: Path) -> Found:
    """What `directives` say; `folder` is where relative file names begin when there is no ServerRoot."""
    top = list(directives)
    root = next((Path(d.arg(0)) for d in top if d.is_("serverroot") and d.arg(0).startswith("/")), folder)
    reader = _Reader(root)
    base = VirtualHost(Place("", 0))
    reader.read((d for d in top if not d.is_("virtualhost")), base)
    reader.rewrite(base)
    hosts = []
    for directive in top:
        if directive.is_("virtualhost"):
            host = copy.deepcopy(base)
            host.place, host.addresses, host.names = directive.place, list(directive.args), []
            # httpd looks at those of the virtual host first, and takes no RewriteRule over unless it is told to.
            host.targets, host.redirects, host.rewrites = [], [], []
            host.overrides = [target for target in base.overrides if not target.directive.is_("rewriterule")]
            reader.read(directive.children, host)
            if host.inherits:
                host.rewrites += base.rewrites
            reader.rewrite(host)
            host.targets += base.targets if host.inherits_targets else []
            host.redirects += base.redirects
            if not host.names:
                host.names = base.names
            hosts.append(host)
    # A file with no <VirtualHost> at all is one server, or the inside of one.
    if not hosts and (base.tls or base.targets):
        base.place = top[0].place
        hosts = [base]
    return Found([d for d in top if d.is_("listen")], hosts, reader.report, root)


class _Reader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.report = Report()
        self.leave = self.report.leave
        self.with_certificate: set[int] = set()

    def read(self, directives: Iterable[Directive], host: VirtualHost) -> None:
        inner = list(directives)
        for directive in inner:  # before the others, wherever it stands: it decides what a redirect to https:// means
            if directive.is_("sslengine"):
                host.tls = directive.arg(0).lower() == "on"
        rules, alone = rules_in(inner)
        host.rewrites += rules
        for directive in inner:
            if directive.section:
                self.section(directive, host)
            elif not directive.is_("rewritecond", "rewriterule"):
                self.directive(directive, host)
        for condition in alone:
            self.other(condition)

    def rewrite(self, host: VirtualHost) -> None:
        """What the RewriteRules come to, once it is known whether they are on."""
        rewritten: list[Target] = []
        for rule, conditions in host.rewrites:
            if not host.rewriting:
                self.leave(rule, "it has no effect in httpd either: RewriteEngine is off here", "Drop it.")
            elif not host.tls and rule.arg(1).lower().startswith("https://"):
                host.redirects_to_tls.append(rule)
            else:
                found = rewrite(rule, conditions, self.report)
                if found is None:
                    self.bar(rule, barrier(rule, conditions), host)
                rewritten += found or []
        host.overrides = rewritten + host.overrides

    def bar(self, rule: Directive, asked: Grant, host: VirtualHost) -> None:
        """A RewriteRule lets only those pass who are `asked` for."""
        paths = barred(rule)
        if paths is None:
            host.shut.append(asked)
        host.areas += [Area(rule, path, None, None, asked, None) for path in paths or ()]

    def path(self, name: str) -> str:
        return str(self.root / name)

    def directive(self, d: Directive, host: VirtualHost) -> None:
        match d.lower:
            case "servername" | "serveralias":
                host.names.append(d)
            case "sslcertificatefile":
                if id(host) in self.with_certificate:
                    self.leave(d, "a site of the gate has one certificate", "Choose one; every client can do P-256.")
                self.with_certificate.add(id(host))
                host.certificate, host.key = self.path(d.arg(0)), None
            case "sslcertificatekeyfile":
                host.key = self.path(d.arg(0))
            case "sslverifyclient":
                host.mode = d
            case "sslcacertificatefile":
                host.authorities = [(d, self.path(d.arg(0)))]
            case "sslverifydepth":
                host.depth = d
            case "sslcarevocationfile":
                host.lists = [(d, self.path(d.arg(0)))]
            case "sslcarevocationpath":
                host.list_folder = d
            case "sslocspenable":
                host.ocsp = d if d.arg(0).lower() != "off" else None
            case "sslcarevocationcheck":
                host.lists_checked = d.arg(0).lower() != "none"
            case "proxypass":
                self.proxy(d, None, host)
            case "proxypassmatch" if len(d.args) > 1:
                self.proxy_match(d, None, host)
            case "jkmount" if d.arg(0).startswith("/"):  # Tomcat by AJP, as ProxyPass has it
                path = d.arg(0).removesuffix("/*").removesuffix("|").rstrip("/") or "/"
                host.redirects.append(Target(d, path, f"ajp://{d.arg(1)}"))
            case "proxypassreverse":
                host.reverses.append((d, d.arg(0)))
            case "balancermember":
                self.balancer(d.arg(0), host).members.append((d, d.arg(1), d.args[2:]))
            case "proxyset" if d.arg(0).lower().startswith("balancer://"):
                self.balancer(d.arg(0), host).settings.append((d, d.args[1:]))
            case "sslproxycacertificatefile":
                host.trust = replace(host.trust, authorities=self.path(d.arg(0)))
            case "sslproxyverify":
                host.trust = replace(host.trust, verified=d.arg(0).lower() == "require")
            case "sslproxymachinecertificatefile":
                host.trust = replace(host.trust, certificate=self.path(d.arg(0)))
            case "limitrequestbody":
                host.max_body_bytes = _number(d.arg(0))
            case "proxytimeout":
                host.waits.service = seconds(d.arg(0))
            case "timeout":
                host.waits.anybody = seconds(d.arg(0))
            case "keepalivetimeout":
                host.waits.idle = seconds(d.arg(0))
            case "requestreadtimeout":
                self.read_timeout(d, host.waits)
            case "redirect" | "redirectmatch" | "redirectpermanent" | "redirecttemp":
                to_tls = any(arg.lower().startswith("https://") for arg in d.args) and not host.tls
                host.redirects_to_tls += [d] if to_tls else []
                if not to_tls or host.is_outside:  # there it holds for the hosts that speak TLS as well
                    host.redirects += redirect(d, None, self.report)
            case "rewriteoptions" if any(arg.lower().startswith("inherit") for arg in d.args):
                host.inherits = True
            case "proxypassinherit":
                host.inherits_targets = d.arg(0).lower() != "off"
            case "rewriteengine":
                host.rewriting = d.arg(0).lower() == "on"
            case "requestheader" | "header":
                self.field(d, host.edits, host.said)
            case _:
                self.other(d)

    def other(self, d: Directive) -> None:
        name = d.lower
        if name in SAME or name in QUIET:
            return
        for names, why, do in REASONS:
            if name in names:
                self.leave(d, why, do)
                return
        self.leave(d, "the gate has nothing like it", "Drop it if nobody misses it, or let the service do it.")

    def section(self, d: Directive, host: VirtualHost) -> None:
        match d.lower:
            case "location" if d.arg(0) != "~":
                self.location(d, None, host)
            case "location" | "locationmatch":
                self.location(d, d.args[-1] if d.args else "", host)
            case "proxy":
                balancer = self.balancer(d.arg(0), host)
                balancer.members += [(c, c.arg(0), c.args[1:]) for c in d.children if c.is_("balancermember")]
                balancer.settings += [(c, c.args) for c in d.children if c.is_("proxyset")]
                self.shut(host, self.asked(d, [c for c in d.children if not c.is_("balancermember", "proxyset")]))
            case "proxymatch" | "if" | "elseif" | "else" | "limit" | "limitexcept" | "ifdefine":
                self.shut(host, self.asked(d, d.children))
                if d.is_("ifdefine"):
                    host.edits[:0] = fields.of_skipped(d)  # before what is written whether it holds or not
            case "directory" | "directorymatch" | "files" | "filesmatch":
                self.leave(
                    d,
                    "it is about files of this machine, and the gate serves none",
                    "Serve them by a service behind the gate, and repeat the rules as [[sites.routes]].",
                )
            case "virtualhost":
                self.leave(d, "a virtual host inside another one", "Move it out.")
            case _:
                self.leave(d, "the gate has nothing like this section", "See what is inside, and whether it is needed.")

    def shut(self, host: VirtualHost, asked: Grant) -> None:
        """Rules for requests that no route can name."""
        if asked != OPEN:
            host.shut.append(asked)

    def asked(self, d: Directive, children: Iterable[Directive]) -> Grant:
        """What a section asks of those whose requests it is about; where it asks nothing, it is left."""
        asked = asked_by(d)
        if (
            asked == OPEN
            and d.lower not in QUIET
            and any(c.lower not in SAME | QUIET and not c.is_("satisfy") for c in children)
        ):
            self.leave(d, "the gate has nothing like this section", "See what is inside, and whether it is needed.")
        return asked

    def location(self, d: Directive, pattern: str | None, host: VirtualHost) -> None:
        children = inside(d)
        verify = next((c for c in reversed(children) if c.is_("sslverifyclient")), None)
        mode = MODES.get(verify.arg(0).lower()) if verify else None
        paths = [d.arg(0)] if pattern is None else literal_paths(pattern)
        if paths is None:
            asked = asked_by(d)
            self.shut(host, asked)
            if asked == OPEN:
                self.leave(d, *PATTERN)
            return
        sections = [c for c in children if c.section and not c.lower.startswith("require")]
        always = all_of([always_of(children), *(self.asked(one, one.children) for one in sections)])
        edits = [edit for one in sections if one.is_("ifdefine") for edit in fields.of_skipped(one)]
        said: list[Said] = []
        for child in children:
            if child.is_("requestheader", "header"):
                self.field(child, edits, said)
        size = next((_number(c.arg(0)) for c in children if c.is_("limitrequestbody")), None)
        for path in paths:
            clean = path.rstrip("/") or "/"
            host.areas.append(Area(d, clean, mode, grant_of(children), always, size, tuple(edits), tuple(said)))
            for child in children:
                if child.is_("proxypass") and pattern is None:
                    self.proxy(child, clean, host)
                elif child.is_("proxypassreverse"):
                    host.reverses.append((child, clean))
                elif child.lower.startswith("redirect"):
                    host.overrides[:0] = redirect(child, clean, self.report)
        for child in children:
            if child.is_("proxypass") and pattern is not None:
                self.leave(
                    child, "it has no effect in httpd either, which reads no pattern there", "Use ProxyPassMatch."
                )
            elif child.is_("proxypassmatch"):
                self.proxy_match(child, pattern or f"^{d.arg(0).rstrip('/')}(/|$)", host)
            elif not child.section and child.lower not in _IN_AREAS:
                self.other(child)
        for rule, conditions in rules_in(children)[0]:
            if barrier(rule, conditions) == OPEN:
                self.other(rule)

    def proxy(self, d: Directive, inside: str | None, host: VirtualHost) -> None:
        path, url, *options = (d.arg(0), d.arg(1), *d.args[2:]) if inside is None else (inside, d.arg(0), *d.args[1:])
        if not path.startswith("/") or not url:
            self.leave(d, "the path or the address is missing", "Correct it, and import again.")
            return
        there = _path_of(url)
        if path.endswith("/") and path != "/" and there.startswith("/") and not there.endswith("/"):
            self.leave(
                d,
                f"one of the two ends with a slash: httpd sends {path}x to {there}x",
                f"Nothing, if {path}x is meant to be {there}/x there, as the gate sends it.",
            )
        target = Target(d, path.rstrip("/") or "/", url, tuple(options))
        # Those of sections come first, the last one of them before the others.
        host.targets.insert(0 if inside is not None else len(host.targets), target)

    def proxy_match(self, d: Directive, inside: str | None, host: VirtualHost) -> None:
        pattern, url, *options = d.args if inside is None else (inside, *d.args)
        found = matched(pattern, url)
        if found is None or found[3]:
            self.leave(d, *PATTERN)
            return
        paths, bare, keeps_rest, _ = found
        for path in paths:
            # Without a group to insert, httpd appends the whole path.
            whole = bare if keeps_rest or bare == "!" else bare.rstrip("/") + path
            target = Target(d, path, whole, tuple(options))
            host.targets.insert(0 if inside is not None else len(host.targets), target)

    def balancer(self, name: str, host: VirtualHost) -> Balancer:
        return host.balancers.setdefault(name.lower().rstrip("/"), Balancer())

    def field(self, d: Directive, edits: list[Edit], said: list[Said]) -> None:
        match fields.read(d, self.report):
            case Edit() as edit:
                edits.append(edit)
            case Said() as one:
                said.append(one)

    def read_timeout(self, d: Directive, waits: Waits) -> None:
        """`RequestReadTimeout header=20-40,MinRate=500 body=20,MinRate=500`."""
        for arg in d.args:
            match = re.fullmatch(
                r"(handshake|header|body)=([0-9]+)(?:-([0-9]+))?(?:,minrate=([0-9]+))?", arg, re.IGNORECASE
            )
            what = match[1].lower() if match else ""
            if match is None or (what != "body" and match[4] and not match[3]) or (what == "body" and match[3]):
                why = "the gate waits for a head a fixed time, and for a body as long as it comes fast enough"
                self.leave(d, why, "Set header of [gate.timeouts], min_body_rate and slow_grace of [gate.limits].")
            elif what == "body":
                waits.body, waits.body_rate = seconds(match[2]), int(match[4] or 0)
            else:
                setattr(waits, what, seconds(match[3] or match[2]))


def _path_of(url: str) -> str:
    """The path in the address of a service; empty where it cannot be read."""
    try:
        return urlsplit(url.partition("|")[2] or url).path
    except ValueError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


_IN_AREAS: Final = frozenset(
    """
    allow authmerging deny header limitrequestbody order proxypass proxypassreverse redirect redirectmatch
    redirectpermanent redirecttemp requestheader require rewritecond rewriteengine rewriterule satisfy sslrequire
    sslverifyclient
    """.split()
)
