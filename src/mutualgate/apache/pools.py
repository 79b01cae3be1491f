"""Where httpd's proxy sends requests -> an address, or an upstream with its servers.

Knows the addresses and parameters of ProxyPass, BalancerMember and ProxySet. Does not know paths of sites.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mutualgate.apache.report import Report
from mutualgate.apache.syntax import Directive
from mutualgate.apache.toml import array, string
from mutualgate.config.kinds import Unfit
from mutualgate.config.network import ServerAddress, UrlPath

HERE: Final = Path("/")
DAY_SECONDS: Final = 86_400
HOUR: Final = timedelta(hours=1)


@dataclass
class Balancer:
    """`<Proxy balancer://…>` with its members and what is set for it."""

    members: list[tuple[Directive, str, tuple[str, ...]]] = field(default_factory=list)
    settings: list[tuple[Directive, tuple[str, ...]]] = field(default_factory=list)


@dataclass(frozen=True)
class Trust:
    """What `SSLProxy…` says about services that are reached by TLS."""

    authorities: str | None = None
    verified: bool = False
    certificate: str | None = None
    """A file with a certificate and its key, shown to services that ask for one."""


@dataclass(frozen=True)
class Pool:
    """An upstream. Equal ones are one."""

    servers: tuple[str, ...]
    drained: tuple[str, ...] = ()
    balance: str = "round_robin"
    is_h2: bool = False
    authorities: str | None = None
    certificate: str | None = None
    connect: timedelta | None = None
    response: timedelta | None = None
    failures: tuple[int, ...] = ()
    """Statuses with which a server is left out."""
    left_out: timedelta | None = None
    health: tuple[tuple[str, str], ...] = ()
    """Settings of its table, as TOML has them."""

    @property
    def address(self) -> str | None:
        """What a route can name in place of an upstream."""
        return self.servers[0] if self == Pool(self.servers) and len(self.servers) == 1 else None

    def toml(self, name: str) -> list[str]:
        lines = ["", "[[upstreams]]", f"name = {string(name)}", f"servers = {array(self.servers)}"]
        if self.balance != "round_robin":
            lines.append(f"balance = {string(self.balance)}")
        if self.is_h2:
            lines.append('protocol = "h2"')
        if self.drained:
            lines.append(f"drain = {array(self.drained)}")
        if self.authorities:
            lines += ["", "[upstreams.tls]", f"ca_file = {string(self.authorities)}"]
            if self.certificate:
                lines += [f"certificate = {string(self.certificate)}", f"key = {string(self.certificate)}"]
        waits = [(key, wait) for key, wait in (("connect", self.connect), ("response", self.response)) if wait]
        if waits:
            lines += ["", "[upstreams.timeouts]", *(f"{key} = {duration(wait)}" for key, wait in waits)]
        if self.failures:
            lines += ["", "[upstreams.ejection]", "failures = 1", f"status = {list(self.failures)}"]
            if self.left_out:
                lines.append(f"time = {duration(self.left_out)}")
        if self.health:
            lines += ["", "[upstreams.health]", *(f"{key} = {value}" for key, value in self.health)]
        return lines


def duration(wait: timedelta) -> str:
    whole = wait.total_seconds()
    return f'"{int(whole)}s"' if whole == int(whole) else f'"{int(whole * 1000)}ms"'


def seconds(text: str) -> timedelta | None:
    """A time of httpd, in seconds where it has no unit, as far as the gate waits; None for none, and for 0."""
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|mi|min|h)?", text.lower())
    if not match or not int(match[1]):
        return None
    unit = {"ms": 0.001, "mi": 60, "min": 60, "h": 3600}.get(match[2] or "s", 1)
    return timedelta(seconds=min(max(int(match[1]) * unit, 0.01), DAY_SECONDS))


def pool_of(
    d: Directive,
    url: str,
    given: Sequence[str],
    balancers: dict[str, Balancer],
    trust: Trust,
    report: Report,
) -> tuple[Pool, str] | None:
    """The upstream that `url` names, and the path there; None, and said why, where the gate has none like it."""
    if not url.lower().startswith("balancer://"):
        one = _server(d, url, report)
        if one is None:
            return None
        address, path, is_h2 = one
        return _finished(d, [(d, address, tuple(given))], [(d, tuple(given))], is_h2, trust, report), path
    where = urlsplit(url)
    balancer = balancers.get(f"balancer://{where.netloc}".lower(), Balancer())
    members: list[tuple[Directive, str, tuple[str, ...]]] = []
    first: tuple[str, bool] | None = None
    for member, address_there, options in balancer.members:
        found = _server(member, address_there, report)
        if found is None:
            continue
        if first is None:
            first = found[1:]
        if found[1:] != first:
            report.leave(
                member,
                "the servers of an upstream have one protocol, and get one path",
                f"{members[0][1]} and those like it are carried over: make a route of its own for this one.",
            )
            continue
        members.append((member, found[0], options))
    if first is None:
        report.leave(d, "the balancer has no members here", "Name the service's address, and import again.")
        return None
    settings = [*balancer.settings, (d, tuple(given))]
    return _finished(d, members, settings, first[1], trust, report), first[0].rstrip("/") + where.path


def _server(d: Directive, url: str, report: Report) -> tuple[str, str, bool] | None:
    """The address of a server as the gate has it, the path there, and whether it speaks HTTP/2."""
    socket, bar, rest = url.partition("|") if url.startswith("unix:") else ("", "", url)
    try:
        address = urlsplit(rest)
    except ValueError:
        report.leave(d, "the address cannot be read", "Correct it, and import again.")
        return None
    scheme = address.scheme.lower()
    if scheme in REFUSED:
        report.leave(d, *REFUSED[scheme])
        return None
    scheme, is_h2 = _SCHEMES.get(scheme, (scheme, False))
    try:
        server = ServerAddress().read(socket if bar else f"{scheme}://{address.netloc}", HERE)
    except Unfit as unfit:
        report.leave(d, f"as an upstream: {unfit.problem}", unfit.fix or "Use http://HOST:PORT or unix:/PATH.")
        return None
    return str(server), address.path, is_h2


def _finished(
    d: Directive,
    members: Sequence[tuple[Directive, str, tuple[str, ...]]],
    settings: Sequence[tuple[Directive, tuple[str, ...]]],
    is_h2: bool,
    trust: Trust,
    report: Report,
) -> Pool:
    servers = tuple(dict.fromkeys(address for _, address, _ in members))
    of_pool = _options(settings)
    of_members = _options((member, options) for member, _, options in members)
    drained = tuple(dict.fromkeys(address for member, address, options in members if _is_out(member, options, report)))
    if len({dict(_pairs(options)).get("loadfactor", "1") for _, _, options in members}) > 1:
        for member, _, options in members:
            if any(key == "loadfactor" for key, _ in _pairs(options)):
                report.leave(
                    member,
                    "the servers of an upstream have equal weights",
                    'Use balance = "least_requests": slow servers get less.',
                )
    authorities = None
    if any(server.startswith("https:") for server in servers):
        authorities = trust.authorities or "system"
        if not (trust.authorities and trust.verified):
            report.leave(
                d,
                "httpd takes any certificate from the service there, and the gate takes none unseen",
                f"Set ca_file of the upstream to the authority of the service's certificate; it is {authorities} now."
                " Until it fits, clients get 502.",
            )
    known = {**of_members, **of_pool}
    for key, (at, value) in known.items():
        if key not in _QUIET and not (key in _HANDLED and _HANDLED[key](value)):
            report.leave(at, f"{key}={value} has nothing like it in an upstream", "Drop it if nobody misses it.")

    def text(key: str) -> str:
        return known[key][1] if key in known else ""

    sticky = known.get("stickysession")
    if sticky and len(servers) > 1:
        report.leave(
            sticky[0],
            f"the gate keeps a client at one server by who it is, not by {sticky[1]}",
            'Nothing; balance = "client_hash" does it. What one client does goes to one server then.',
        )
    return Pool(
        servers,
        drained,
        "client_hash" if sticky and len(servers) > 1 else _BALANCE.get(text("lbmethod"), "round_robin"),
        is_h2,
        authorities,
        trust.certificate if authorities else None,
        seconds(text("connectiontimeout")),
        seconds(text("timeout")),
        _statuses(text("failonstatus")),
        min(seconds(text("retry")) or timedelta(seconds=60), HOUR) if text("failonstatus") else None,
        _health({key: value for key, (_, value) in known.items()}),
    )


def _pairs(options: Iterable[str]) -> list[tuple[str, str]]:
    return [(key.lower(), value) for key, _, value in (option.partition("=") for option in options)]


def _options(given: Iterable[tuple[Directive, tuple[str, ...]]]) -> dict[str, tuple[Directive, str]]:
    """Each key with the last value given, and where."""
    return {key: (at, value) for at, options in given for key, value in _pairs(options)}


def _is_out(member: Directive, options: Iterable[str], report: Report) -> bool:
    """Whether a member gets no requests: disabled, stopped or draining, or a spare one."""
    known = dict(_pairs(options))
    flags = set(re.sub(r"-[A-Z]", "", known.get("status", "").upper())) & set("DSNHR")
    if known.get("lbset", "0") != "0":
        flags.add("H")
    if flags & {"H", "R"}:
        report.leave(
            member,
            "an upstream has no spare servers that wait until the others are gone",
            "It is in `drain` and gets nothing: take it out there to use it beside the others.",
        )
    return bool(flags)


def _statuses(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(one) for one in text.split(",") if re.fullmatch(r"5[0-9][0-9]", one.strip())}))


def _health(known: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """mod_proxy_hcheck: what its worker asks, as often as it does."""
    method = known.get("hcmethod", "none").lower()
    if method == "none":
        return ()
    rows = [("check", '"tcp"' if method == "tcp" else '"http"')]
    with_path = known.get("hcuri", "").partition("?")[0]
    if method != "tcp" and _fits(with_path):
        rows.append(("path", string(with_path)))
    interval = seconds(known.get("hcinterval", "")) or timedelta(seconds=30)
    rows.append(("interval", duration(min(max(interval, timedelta(milliseconds=100)), HOUR))))
    for key, of in (("rise", "hcpasses"), ("fall", "hcfails")):
        times = known.get(of, "1")
        rows.append((key, str(min(max(int(times), 1), 100)) if re.fullmatch(r"[0-9]{1,9}", times) else "1"))
    return tuple(rows)


def _fits(path: str) -> bool:
    try:
        UrlPath().read(path, HERE)
    except Unfit:
        return False
    return True


_SCHEMES: Final = {
    "ws": ("http", False),
    "wss": ("https", False),
    "h2c": ("http", True),
    "h2": ("https", True),
}
_BALANCE: Final = {"bybusyness": "least_requests"}

# What is carried over, if the value has a meaning in the gate.
_HANDLED: Final[dict[str, Callable[[str], bool]]] = {
    "lbmethod": lambda value: value in ("byrequests", "bybusyness"),
    "failonstatus": lambda value: len(_statuses(value)) == len(set(value.split(","))),
    "connectiontimeout": lambda value: seconds(value) is not None,
    "timeout": lambda value: seconds(value) is not None,
    "hcmethod": lambda value: value.lower() in ("none", "tcp", "get"),
    "hcuri": _fits,
}
# What needs no word: how httpd keeps its connections, and what goes with what is carried over.
_QUIET: Final = frozenset(
    """
    acquire addressttl disablereuse enablereuse flushpackets flushwait hcfails hcinterval hcpasses iobuffersize
    keepalive lbset loadfactor max maxattempts min nocanon ping receivebuffersize responsefieldsize retry route
    scolonpathdelim smax status stickysession stickysessionsep ttl upgrade
    """.split()
)

REFUSED: Final = {
    "ajp": (
        "the gate speaks no AJP",
        "Give Tomcat or Jetty an HTTP connector on 127.0.0.1, write its address here instead, and import again.",
    ),
    **{
        scheme: ("the gate speaks no such protocol", "Put an HTTP server in between, and add the route.")
        for scheme in ("fcgi", "scgi", "uwsgi", "ftp")
    },
}
