"""`Redirect`, `RewriteRule` and patterns -> paths, and where their requests go.

Knows what mod_alias and mod_rewrite do with a path. Only what is a plain path and all below it, or one path alone, has
a meaning here; anything else is left.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mutualgate.apache.grants import OPEN, Grant
from mutualgate.apache.report import Report
from mutualgate.apache.syntax import Directive


@dataclass(frozen=True)
class Target:
    """Requests for `path` and below go to `url`: to a service, or with a `status` to another address (3xx) or to nobody
    (4xx)."""

    directive: Directive
    path: str
    url: str
    """`!` where httpd answers by itself."""
    options: tuple[str, ...] = ()
    """`key=value` of ProxyPass."""
    status: int | None = None
    keeps_rest: bool = True
    """Whether what comes after `path` in the request is added to `url`."""
    alone: bool = False
    """Whether httpd does it for `path` alone, and not for what is below."""
    upgrades: bool = False
    """Whether it is for connections that become WebSockets alone."""


_STATUS: Final = {"permanent": 301, "temp": 302, "temporary": 302, "seeother": 303, "gone": 410}
PATTERN: Final = ("a route is a plain path, not a pattern", "Add the paths that it means as [[sites.routes]] by hand.")


def redirect(d: Directive, inside: str | None, report: Report) -> list[Target]:
    """`Redirect` and its kin, in the `<Location>` of a path or outside of any."""
    args = list(d.args)
    word = {"redirectpermanent": "permanent", "redirecttemp": "temp"}.get(d.lower) or "temp"
    if args and re.fullmatch(r"[A-Za-z]+|[0-9]+", args[0]):
        word = args.pop(0).lower()
    status = _STATUS.get(word) or (int(word) if re.fullmatch(r"[345][0-9][0-9]", word) else 0)
    refuses = status >= 400
    # Within <Location>, its path is left out, and the address is the whole answer.
    path, url = (args[0] if args else "", "".join(args[1:2]))
    alone = False
    if inside is not None and len(args) == (0 if refuses else 1):
        path, url = inside, "".join(args)
    if not status or not path or bool(url) is refuses:
        report.leave(d, "the path or the address is missing", "Correct it, and import again.")
        return []
    keeps_rest = inside is None
    paths: list[str] | None = [path]
    if d.is_("redirectmatch"):
        found = matched(path, url)
        if found is None:
            paths = None
        else:
            paths, url, keeps_rest, alone = found
    if paths is None or not all(path.startswith("/") for path in paths):
        report.leave(d, *PATTERN)
        return []
    return [Target(d, path.rstrip("/") or "/", url, (), status, keeps_rest, alone) for path in paths]


def rewrite(d: Directive, conditions: Sequence[Directive], report: Report) -> list[Target] | None:
    """`RewriteRule` with the conditions before it; None for one that keeps somebody out: see `barrier`."""
    real = _real(conditions)
    if real is None:
        return []
    pattern, url = d.arg(0), d.arg(1)
    given = _flags(d)
    status = _answer(given, url)
    if status is not None and status >= 400:
        if real and all(_about_methods(condition) for condition in real):
            why = "it is about methods, not about who may pass"
            report.leave(d, why, "See that the service refuses TRACE; Tomcat and Jetty do.")
            return []
        paths = literal_paths(pattern)
        if real or paths is None or set(given) - _PLAIN_FLAGS:
            return None
        return [Target(d, path, "", (), status) for path in paths]
    if barrier(d, conditions) != OPEN:
        return None
    proxied = "P" in given or "PROXY" in given
    if status is None and not proxied:
        report.leave(
            d,
            "rewriting is not carried over: a route can replace the beginning of a path alone",
            "Set strip_prefix or replace_prefix of a route by hand; let the service do the rest.",
        )
        return []
    upgrades = bool(real) and proxied and all(_about_websockets(condition) for condition in real)
    if real and not upgrades:
        report.leave(
            d,
            "it holds under conditions, and a route knows none but the path",
            "A condition on the host: make a site of it. Others: let the service decide.",
        )
        return []
    found = matched(pattern, url)
    if found is None or set(given) - _PLAIN_FLAGS:
        report.leave(d, *PATTERN)
        return []
    paths, url, keeps_rest, alone = found
    if proxied and not keeps_rest:
        report.leave(d, "a route passes on a path with all below it, and this is about one path", PATTERN[1])
        return []
    return [Target(d, path, url, (), status, keeps_rest, alone, upgrades) for path in paths]


def barrier(d: Directive, conditions: Sequence[Directive]) -> Grant:
    """Whom a `RewriteRule` lets through to where the others go; OPEN where it does not ask who somebody is.

    To send people to another page by their certificate or address is to keep them out, as a refusal is.
    """
    real = _real(conditions)
    given = _flags(d)
    refuses = (_answer(given, d.arg(1)) or 0) >= 400
    if real is None or (d.arg(1) == "-" and set(given) <= _NOTES):
        return OPEN
    if not refuses and all(same_for_everybody(" ".join(condition.args[:2])) for condition in real):
        return OPEN
    if real and all(_about_methods(condition) for condition in real):
        return OPEN
    asks = len(real) == 1 and _without_certificate(real[0])
    return Grant(certificate=asks, unknown=not asks, because=(d,))


def barred(d: Directive) -> list[str] | None:
    """The paths to which such a rule applies, and perhaps what is below; None where no route can name them."""
    found = None if set(_flags(d)) - _PLAIN_FLAGS else matched(d.arg(0), "")
    return found and found[0]


Rule = tuple[Directive, tuple[Directive, ...]]
"""A RewriteRule with the RewriteCond before it."""


def rules_in(section: Iterable[Directive]) -> tuple[list[Rule], list[Directive]]:
    """Those directly in a section, and the RewriteCond that belong to none."""
    found: list[Rule] = []
    conditions: list[Directive] = []
    for directive in section:
        if directive.is_("rewritecond"):
            conditions.append(directive)
        elif directive.is_("rewriterule"):
            found.append((directive, tuple(conditions)))
            conditions = []
    return found, conditions


def refuses(d: Directive) -> bool:
    """Whether a `Redirect` answers with a status of 400 and more."""
    return d.lower.startswith("redirect") and re.fullmatch(r"gone|[45][0-9][0-9]", d.arg(0).lower()) is not None


def same_for_everybody(text: str) -> bool:
    """Whether a condition is about the request alone, so that whoever asks fulfils it as well as anybody else."""
    variables = re.findall(r"%\{([^}]*)\}", text)
    # Functions, such as reqenv('…'), and -R, the client's address, have no variable that says so.
    asked = re.search(r"\w\(\s*['\"]|(?<!\w)-R\b", text)
    return asked is None and all(_OF_REQUESTS.fullmatch(variable) for variable in variables)


# What anybody can say or ask for, whoever it is.
_OF_REQUESTS: Final = re.compile(
    r"""(?:LA-[UF]:)?(?:
      (?:ENV:)?HTTPS | THE_REQUEST | QUERY_STRING | PATH_INFO | DOCUMENT_ROOT | SCRIPT_\w+
    | REQUEST_(?:URI|FILENAME|METHOD|SCHEME) | SERVER_(?:NAME|PORT|PROTOCOL)
    | HTTP_(?:HOST|USER_AGENT|ACCEPT|REFERER)
    | HTTP:(?:Host|User-Agent|Accept[\w-]*|Referer|Upgrade|Connection|CF-Visitor|X-Forwarded-(?:Host|Port|Proto|SSL))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# Flags by which a rule without an address takes notes alone, and leaves it to others where requests go.
_NOTES: Final = frozenset("E ENV CO COOKIE NE NOESCAPE NC NOCASE".split())


def _real(conditions: Sequence[Directive]) -> list[Directive] | None:
    """Those that not every request over TLS fulfils anyway; None where none can fulfil them all."""
    either = any(re.search(r"\bOR(?:NEXT)?\b", condition.arg(2), re.IGNORECASE) for condition in conditions)
    if either:
        return list(conditions)
    return None if any(map(_never, conditions)) else [one for one in conditions if not _always(one)]


def _without_certificate(condition: Directive) -> bool:
    """Whether those fulfil it who have shown no certificate that is good, and nobody else."""
    return (
        re.fullmatch(r"%\{(?:SSL:)?SSL_CLIENT_VERIFY\}", condition.arg(0)) is not None
        and re.fullmatch(r"!=?\^?SUCCESS\$?|=NONE|\^NONE\$", condition.arg(1)) is not None
    )


def _flags(rule: Directive) -> dict[str, str]:
    flags = [flag.strip().upper() for flag in " ".join(rule.args[2:]).strip("[]").split(",") if flag.strip()]
    return {flag.partition("=")[0]: flag.partition("=")[2] for flag in flags}


# Those that change nothing for a rule that is a plain path with all below it.
_PLAIN_FLAGS: Final = frozenset(
    "R REDIRECT L LAST END NE NOESCAPE QSA QSAPPEND P PROXY F FORBIDDEN G GONE PT PASSTHROUGH".split()
)


def _answer(flags: dict[str, str], url: str) -> int | None:
    """The status with which a rule answers, if it answers."""
    if "F" in flags or "FORBIDDEN" in flags:
        return 403
    if "G" in flags or "GONE" in flags:
        return 410
    for name in ("R", "REDIRECT"):
        if name in flags:
            text = flags[name].lower()
            return _STATUS.get(text) or (int(text) if re.fullmatch(r"[345][0-9][0-9]", text) else 302)
    if re.match(r"https?://", url, re.IGNORECASE) and not {"P", "PROXY"} & set(flags):
        return 302
    return None


def matched(pattern: str, url: str) -> tuple[list[str], str, bool, bool] | None:
    """The paths that `pattern` is about; the address without the part that is put in; whether what comes after a path
    is added to it; and whether it is about the paths alone, not about what is below."""
    url = re.sub(r"^https://%\{(?:HTTP_HOST|SERVER_NAME)\}", "", url, flags=re.IGNORECASE) or url
    rest = re.fullmatch(r"(.*?)/?\$([0-9])", url) or re.fullmatch(r"(.*?)/?%\{REQUEST_URI\}()", url)
    bare = rest[1] if rest else url
    paths = literal_paths(pattern)
    alone = False
    if paths is None:
        exact = re.fullmatch(r"\^((?:/[A-Za-z0-9_~-]+)*)(/|/\?)?\$", pattern)
        if exact is None or rest is not None:
            return None
        paths, alone = [exact[1] or "/"], True
    if re.search(r"[$%](?![0-9A-Fa-f]{2})", bare):
        return None
    # What is put in has to be the last group, the one at the end of the pattern; REQUEST_URI is the whole path.
    groups = len(re.findall(r"\((?!\?)", pattern))
    if rest and rest[2] and not (int(rest[2]) == groups and re.search(r"[*+]\)\??\$?$", pattern)):
        return None
    if rest and not rest[2] and paths != ["/"]:
        return None
    if url == bare:
        return paths, bare, False, alone
    return paths, bare or "/", True, alone


_EVERYTHING: Final = frozenset(
    """
    ^ / ^/ . ^. .? .* ^.* ^.*$ (.*) ^(.*) ^(.*)$ .+ ^.+ ^.+$ (.+) ^(.+) ^(.+)$ ^/? ^/?(.*) ^/?(.*)$ ^(/.*)$ /(.*) /.*
    """.split()
)


# What a pattern ends in that means all below a path.
_BELOW: Final = frozenset("(/|$) ($|/) (?:/|$) (?:$|/) (/.*)?$ (?:/.*)?$ / /(.*) /(.*)$ /.* /.*$".split())


def literal_paths(pattern: str) -> list[str] | None:
    """The paths whose subtrees are just what a pattern matches, or None: `^/(a|b)(/|$)` is `/a` and `/b`."""
    if pattern in _EVERYTHING:
        return ["/"]
    match = re.fullmatch(r"\^((?:/[A-Za-z0-9_~-]+|/\((?:\?:)?[A-Za-z0-9_~|-]+\))*)(.*)", pattern)
    if match is None or match[2] not in _BELOW:
        return None
    paths = [""]
    for segment in match[1].split("/")[1:]:
        names = segment.strip("()").removeprefix("?:").split("|")
        if "" in names:
            return None
        paths = [f"{path}/{name}" for path in paths for name in names]
    return [path or "/" for path in paths] if len(paths) <= 50 else None


def _about_methods(condition: Directive) -> bool:
    """Whether a RewriteCond asks for methods that no rule on people needs."""
    words = r"\^?=?\(?(?:TRACE|TRACK|CONNECT)(?:\|(?:TRACE|TRACK|CONNECT))*\)?\$?"
    return condition.arg(0) == "%{REQUEST_METHOD}" and re.fullmatch(words, condition.arg(1)) is not None


def _about_websockets(condition: Directive) -> bool:
    """Whether it asks for a connection that becomes a WebSocket: routes pass those on as well."""
    header = re.fullmatch(r"%\{HTTP:(Upgrade|Connection)\}", condition.arg(0), re.IGNORECASE)
    return header is not None and re.search(r"websocket|upgrade", condition.arg(1), re.IGNORECASE) is not None


def _never(condition: Directive) -> bool:
    """Whether no request that came over TLS fulfils it."""
    return condition.arg(0).upper() == "%{HTTPS}" and condition.arg(1).lower() in (
        "off",
        "=off",
        "!on",
        "!=on",
        "^off$",
    )


def _always(condition: Directive) -> bool:
    """Whether every request that came over TLS fulfils it."""
    return condition.arg(0).upper() == "%{HTTPS}" and condition.arg(1).lower() in ("on", "=on", "!off", "!=off", "^on$")
