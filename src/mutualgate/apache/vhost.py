"""Directives -> what each virtual host does: names, certificates, whom it asks, where requests go.

Knows what httpd's directives mean. Does not know mutualgate.toml: `import_` writes that. What it does not understand it
puts on the list of what is left, with the reason.
"""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mutualgate.apache.access import OPEN, Grant, always_of, grant_of
from mutualgate.apache.syntax import Directive, Place

MODES: Final = {"none": "off", "optional": "optional", "require": "required", "optional_no_ca": "optional"}


@dataclass(frozen=True)
class Left:
    """Something that was not carried over."""

    file: str
    line: int
    directive: str
    """As it stands in the file, shortened."""
    why: str
    do: str


@dataclass(frozen=True)
class Target:
    """`ProxyPass`: requests below `path` go to `url`."""

    directive: Directive
    path: str
    url: str


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
    authorities: list[tuple[Directive, str]] = field(default_factory=list)
    lists: list[tuple[Directive, str]] = field(default_factory=list)
    lists_checked: bool = False
    targets: list[Target] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    shut: list[Directive] = field(default_factory=list)
    """Rules for paths that no route can name; until an operator decides, they hold for the whole site."""
    balancers: dict[str, list[tuple[Directive, str]]] = field(default_factory=dict)
    redirects_to_tls: bool = False
    max_body_bytes: int | None = None
    timeout_seconds: int | None = None
    idle_seconds: int | None = None


@dataclass
class Found:
    """A whole configuration, understood as far as it goes."""

    listens: list[Directive]
    hosts: list[VirtualHost]
    left: list[Left]
    root: Path


def understand(directives: Iterable[Directive], folder: Path) -> Found:
    """What `directives` say; `folder` is where relative file names begin when there is no ServerRoot."""
    top = list(directives)
    root = next((Path(d.arg(0)) for d in top if d.is_("serverroot") and d.arg(0).startswith("/")), folder)
    reader = _Reader(root)
    base = VirtualHost(Place("", 0))
    reader.read((d for d in top if not d.is_("virtualhost")), base)
    hosts = []
    for directive in top:
        if directive.is_("virtualhost"):
            host = copy.copy(base)
            for name, value in vars(base).items():
                if isinstance(value, list | dict):
                    setattr(host, name, value.copy())
            host.place, host.addresses, host.names = directive.place, list(directive.args), []
            host.targets = []
            reader.read(directive.children, host)
            host.targets += base.targets  # httpd looks at those of the virtual host first
            if not host.names:
                host.names = base.names
            hosts.append(host)
    # A file with no <VirtualHost> at all is one server, or the inside of one.
    if not hosts and (base.tls or base.targets):
        base.place = top[0].place
        hosts = [base]
    return Found([d for d in top if d.is_("listen")], hosts, reader.left, root)


def shortened(text: str) -> str:
    """`text` on one line of a report."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= 100 else line[:97] + "..."


class _Reader:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.left: list[Left] = []
        self.with_certificate: set[int] = set()
        self.conditions: list[Directive] = []
        """RewriteCond lines since the last RewriteRule: they belong to the next one."""

    def leave(self, directive: Directive, why: str, do: str) -> None:
        self.left.append(Left(directive.place.file, directive.place.line, shortened(directive.text), why, do))

    def read(self, directives: Iterable[Directive], host: VirtualHost) -> None:
        for directive in directives:
            if directive.section:
                self.section(directive, host)
            else:
                self.directive(directive, host)
            if directive.is_("rewritecond"):
                self.conditions.append(directive)
            elif directive.is_("rewriterule"):
                self.conditions.clear()

    def path(self, name: str) -> str:
        return str(self.root / name)

    def directive(self, d: Directive, host: VirtualHost) -> None:
        match d.lower:
            case "servername" | "serveralias":
                host.names.append(d)
            case "sslengine":
                host.tls = d.arg(0).lower() == "on"
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
            case "sslcarevocationfile":
                host.lists = [(d, self.path(d.arg(0)))]
            case "sslcarevocationcheck":
                host.lists_checked = d.arg(0).lower() != "none"
            case "proxypass":
                self.proxy(d, None, host)
            case "proxypassmatch":
                self.proxy_match(d, host)
            case "limitrequestbody":
                host.max_body_bytes = _number(d.arg(0)) or None
            case "proxytimeout":
                host.timeout_seconds = _number(d.arg(0))
            case "keepalivetimeout":
                host.idle_seconds = _number(d.arg(0))
            case "redirect" | "redirectmatch" | "redirectpermanent" | "redirecttemp":
                if any(arg.lower().startswith("https://") for arg in d.args) and not host.tls:
                    host.redirects_to_tls = True
                elif re.match(r"4[0-9][0-9]$", d.arg(0)):
                    host.shut.append(d)
                else:
                    self.leave(d, "redirects are not carried over", "Add a [[sites.routes]] with redirect by hand.")
            case "rewriterule":
                if not host.tls and d.arg(1).lower().startswith("https://"):
                    host.redirects_to_tls = True
                elif _refuses(d) and self.conditions and all(_about_methods(c) for c in self.conditions):
                    self.leave(
                        d,
                        "it is about methods, not about who may pass",
                        "See that the service refuses TRACE; Tomcat and Jetty do.",
                    )
                elif _refuses(d):
                    host.shut.append(d)
                else:
                    self.leave(
                        d,
                        "rewriting is not carried over: a route can replace the beginning of a path alone",
                        "Set strip_prefix or replace_prefix of a route by hand; let the service do the rest.",
                    )
            case "requestheader":
                self.request_header(d)
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
            case "location" if d.arg(0) != "~" and len(d.args) == 1:
                self.location(d, [d.arg(0)], host)
            case "location" | "locationmatch":
                pattern = d.args[-1] if d.args else ""
                self.location(d, literal_paths(pattern), host)
            case "proxy" if d.arg(0).lower().startswith("balancer://"):
                members = [c for c in d.children if c.is_("balancermember")]
                host.balancers[d.arg(0).lower().rstrip("/")] = [(c, c.arg(0)) for c in members]
                self.rules_elsewhere(d, [c for c in d.children if not c.is_("balancermember")], host)
            case "proxy" | "proxymatch" | "if" | "elseif" | "else" | "limit" | "limitexcept":
                self.rules_elsewhere(d, d.children, host)
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

    def rules_elsewhere(self, d: Directive, children: Iterable[Directive], host: VirtualHost) -> None:
        """Rules in a section for requests that no route can name."""
        inner = list(children)
        strict = grant_of(inner) not in (None, OPEN) or always_of(inner) != OPEN
        if strict or any(c.is_("sslverifyclient") for c in inner):
            host.shut.append(d)
        elif any(not c.is_("require", "order", "allow", "proxyset", "satisfy") for c in inner):
            self.leave(d, "the gate has nothing like this section", "See what is inside, and whether it is needed.")

    def location(self, d: Directive, paths: list[str] | None, host: VirtualHost) -> None:
        verify = next((c for c in reversed(d.children) if c.is_("sslverifyclient")), None)
        mode = MODES.get(verify.arg(0).lower()) if verify else None
        grant, always = grant_of(d.children), always_of(d.children)
        strict = (verify is not None and mode != "off") or grant not in (None, OPEN) or always != OPEN
        if paths is None:
            if strict:
                host.shut.append(d)
            else:
                self.leave(d, "a route is a plain path, not a pattern", "Add the paths as [[sites.routes]] by hand.")
            return
        size = next((_number(c.arg(0)) for c in d.children if c.is_("limitrequestbody")), None)
        for path in paths:
            clean = path.rstrip("/") or "/"
            host.areas.append(Area(d, clean, mode, grant, always, size or None))
            for child in d.children:
                if child.is_("proxypass"):
                    self.proxy(child, clean, host)
        for child in d.children:
            if child.section and not child.lower.startswith("require"):
                self.rules_elsewhere(child, child.children, host)
            elif child.is_("requestheader"):
                self.request_header(child)
            elif not child.section and child.lower not in _IN_AREAS:
                self.other(child)

    def proxy(self, d: Directive, inside: str | None, host: VirtualHost) -> None:
        path, url = (inside, d.arg(0)) if inside is not None else (d.arg(0), d.arg(1))
        if url == "!":
            host.targets.append(Target(d, path.rstrip("/") or "/", "!"))
            return
        if not path.startswith("/") or not url:
            self.leave(d, "the path or the address is missing", "Correct it, and import again.")
            return
        # `/app http://h/app/` and `/app/ http://h/app` mean the same to a gate that leaves paths as they are.
        host.targets.append(Target(d, path.rstrip("/") or "/", url))

    def proxy_match(self, d: Directive, host: VirtualHost) -> None:
        paths = literal_paths(d.arg(0))
        url = re.sub(r"/?\$[0-9]$", "", d.arg(1))
        if paths is None or "$" in url:
            self.leave(
                d, "a route is a plain path, not a pattern", "Add the paths that it means as [[sites.routes]] by hand."
            )
            return
        for path in paths:
            # Without a group to insert, httpd appends the whole path.
            whole = url if url != d.arg(1) else url.rstrip("/") + path
            host.targets.append(Target(d, path.rstrip("/") or "/", whole))

    def request_header(self, d: Directive) -> None:
        if d.arg(0).lower() in ("unset", "remove") or (d.arg(0).lower() == "set" and d.arg(2) == ""):
            return  # what clients say about themselves is removed anyway
        variable = re.search(r"%\{(SSL_\w+)\}", d.text)
        if not variable:
            self.leave(d, "fields are not carried over", "Set request_headers of the route by hand.")
            return
        name = variable[1].upper()
        ours = FIELDS.get(name) or ("Client-Cert" if name.startswith("SSL_CLIENT_") else "Mutualgate-Tls")
        self.leave(
            d,
            f"the gate tells a service who the client is in fields of its own: {name} is in {ours}",
            f'Let the service read {ours} instead of {d.arg(1)}, or set identity = ["apache"] on the route.',
        )


def _refuses(rule: Directive) -> bool:
    """Whether a RewriteRule keeps somebody out: its flags say forbidden, gone, or a status of 400 and more."""
    return bool(
        re.search(r"[\[,\s](?:F|G|forbidden|gone|R(?:edirect)?=[45][0-9][0-9])\s*[\],]", rule.text, re.IGNORECASE)
    )


def _about_methods(condition: Directive) -> bool:
    """Whether a RewriteCond asks for methods that no rule on people needs."""
    words = r"\^?=?\(?(?:TRACE|TRACK|CONNECT)(?:\|(?:TRACE|TRACK|CONNECT))*\)?\$?"
    return condition.arg(0) == "%{REQUEST_METHOD}" and re.fullmatch(words, condition.arg(1)) is not None


def literal_paths(pattern: str) -> list[str] | None:
    """The paths whose subtrees are just what a pattern matches, or None: `^/(a|b)(/|$)` is `/a` and `/b`."""
    match = re.fullmatch(r"\^((?:/[A-Za-z0-9_~-]+|/\((?:\?:)?[A-Za-z0-9_~|-]+\))*)(/?)(.*)", pattern)
    if not match:
        return None
    head, slash, tail = match.groups()
    ends = ("(/|$)", "($|/)", "(?:/|$)", "(?:$|/)", "(/.*)?$", "(?:/.*)?$")
    whole = (slash == "/" and tail in ("", "(.*)", ".*", "(.*)$", ".*$")) or (not slash and tail in ends)
    if not whole and f"{slash}{tail}" not in (*ends, "/(.*)", "/(.*)$", "/.*", "/.*$"):
        return None
    paths = [""]
    for segment in head.split("/")[1:] if head else []:
        names = segment.strip("()").removeprefix("?:").split("|")
        if "" in names:
            return None
        paths = [f"{path}/{name}" for path in paths for name in names]
    return [path or "/" for path in paths] if len(paths) <= 50 else None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


FIELDS: Final = {
    "SSL_CLIENT_CERT": "Client-Cert (RFC 9440: base64 between colons)",
    "SSL_CLIENT_S_DN": "Mutualgate-Subject",
    "SSL_CLIENT_S_DN_CN": "Mutualgate-Client (the client's name at the gate) or Mutualgate-Subject",
    "SSL_CLIENT_I_DN": "Mutualgate-Issuer",
    "SSL_CLIENT_M_SERIAL": "Mutualgate-Serial",
    "SSL_CLIENT_VERIFY": "Mutualgate-Verdict",
    "SSL_PROTOCOL": "Mutualgate-Tls",
    "SSL_CIPHER": "Mutualgate-Tls",
}

_IN_AREAS: Final = frozenset(
    """
    sslverifyclient sslrequire require authmerging order allow deny satisfy proxypass proxypassreverse limitrequestbody
    """.split()
)

# What the gate does by itself, or better left alone.
SAME: Final = frozenset(
    """
    allow allowencodedslashes h2direct hostnamelookups httpprotocoloptions keepalive limitrequestfields
    limitrequestline listen maxkeepaliverequests mergeslashes mergetrailers order protocols proxyaddheaders
    proxyerroroverride proxyiobuffersize proxypassreverse proxypreservehost proxyrequests proxystatus proxyvia
    requestreadtimeout require rewriteengine serveradmin servername serverroot serversignature servertokens
    sslcompression sslhonorcipherorder sslinsecurerenegotiation sslprotocol sslproxyengine sslrandomseed
    sslrequiressl sslsessioncache sslsessioncachetimeout sslsessiontickets sslstrictsnivhostcheck sslvhostsnipolicy
    stricthostcheck traceenable usecanonicalname
    """.split()
)

# About the process and its modules.
QUIET: Final = frozenset(
    """
    accessfilename addcharset addlanguage addoutputfilter addtype browsermatch coredumpdirectory defaultruntimedir
    errorlog group listenbacklog loadmodule logformat loglevel maxclients maxconnectionsperchild maxrequestsperchild
    maxrequestworkers maxspareservers maxsparethreads mimemagicfile minspareservers minsparethreads mutex
    namevirtualhost pidfile serverlimit startservers threadlimit threadsperchild timeout typesconfig user
    """.split()
)

REASONS: Final = (
    (
        {"sslverifydepth"},
        "the gate has no number for it: an authority's own path length holds (RFC 5280 4.2.1.9), and at most 4 "
        "certificates are looked at",
        "Nothing, unless it kept out an intermediate: then adopt the authorities that may sign instead of their root.",
    ),
    (
        {"sslciphersuite", "sslopensslconfcmd", "sslproxyciphersuite", "sslproxyprotocol"},
        "the gate has a fixed choice: TLS 1.2 and 1.3 with forward secrecy",
        'Nothing, unless clients are older than TLS 1.2 (before 2014). tls_profile = "modern" is TLS 1.3 alone.',
    ),
    (
        {"sslcertificatechainfile"},
        "the gate reads the chain from the certificate's file",
        "Append this file to the one of SSLCertificateFile.",
    ),
    (
        {"sslcacertificatepath", "sslcarevocationpath"},
        "the gate adopts authorities one by one",
        "Run `mutualgate ca adopt --cert FILE` for each file there that is still in use, with --crl for its list.",
    ),
    (
        {"sslcadnrequestfile", "sslcadnrequestpath"},
        "the gate names no authorities to strangers unless it is told to",
        'Nothing: clients choose their certificate without it. If browsers shall offer less, set ca_hints = "auto".',
    ),
    (
        {"sslocspenable", "sslocspdefaultresponder", "sslocspoverrideresponder", "sslocspresponsemaxage"},
        "the gate asks no OCSP responder about an authority that it adopts",
        "Adopt the authority with --crl, and revoke with `mutualgate client revoke`.",
    ),
    (
        {"sslusestapling", "sslstaplingcache"},
        "the gate staples nothing",
        "Nothing: browsers do not insist on it.",
    ),
    (
        {"ssloptions", "sslusername"},
        "it is for programs inside httpd; the gate tells a service in header fields who the client is",
        "Let the service read Mutualgate-Client, Mutualgate-Subject or Client-Cert.",
    ),
    (
        {"sslpassphrasedialog"},
        "the gate asks for no passphrase of a site's key",
        "Decrypt the key: `openssl pkey -in OLD -out NEW`, readable for its owner only.",
    ),
    (
        {
            "documentroot",
            "alias",
            "aliasmatch",
            "scriptalias",
            "directoryindex",
            "options",
            "allowoverride",
            "errordocument",
        },
        "the gate serves no files",
        "Serve them by a service behind the gate, with a route of its own.",
    ),
    (
        {"authtype", "authname", "authuserfile", "authgroupfile", "authbasicprovider", "authldapurl", "authmerging"},
        "the gate knows clients by certificate, not by password",
        "Keep passwords in the service behind, or give these people certificates.",
    ),
    (
        {"header"},
        "fields are not carried over",
        "Set response_headers of the route by hand, or let the service set its own.",
    ),
    (
        {"customlog", "transferlog", "globallog"},
        "the gate has one access log, with the client and the verdict in each line",
        'Set gate.access_log, and gate.access_format = "json" for machines.',
    ),
    (
        {"proxypassreversecookiedomain", "proxypassreversecookiepath", "proxyhtmlenable", "proxyhtmlurlmap"},
        "the gate leaves links and cookies as they are, and the service sees the host that was asked for",
        "Tell the service its public address, if it does not take it from Host.",
    ),
    (
        {
            "rewritecond",
            "rewritemap",
            "rewriteoptions",
            "rewritebase",
            "setenvif",
            "setenvifnocase",
            "setenv",
            "passenv",
        },
        "the gate has no variables and no conditions",
        "Drop it with the rule that it belongs to.",
    ),
    (
        {"allowmethods"},
        "the gate lets every method pass",
        "Let the service refuse the methods that it does not have.",
    ),
    (
        {"serverpath", "use", "balancermember", "proxyset"},
        "the gate has nothing like it",
        "Write out what it stands for, and import again.",
    ),
)
