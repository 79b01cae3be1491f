"""Who may pass, as httpd says it (`Require`, `SSLRequire`, `Order`) -> what a route of the gate can say, if it can.

A rule that is not understood is never taken for an open door: it becomes `Unknown`, and the route stays shut.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mutualgate.apache.syntax import Directive


@dataclass(frozen=True)
class Grant:
    """Who may pass. Without `clients` and `roles`: everybody, or with `certificate` everybody who has one."""

    certificate: bool = False
    clients: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    nobody: bool = False
    unknown: bool = False
    because: tuple[Directive, ...] = field(default=(), compare=False)
    """The directives that say so."""

    @property
    def named(self) -> bool:
        return bool(self.clients or self.roles)


OPEN: Final = Grant()

# Names that the gate can hold as they are; another one has to be chosen by the operator.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,198}[A-Za-z0-9._-])?")


def any_of(grants: Iterable[Grant]) -> Grant:
    """One of them suffices, as for several `Require` beside each other."""
    parts = list(grants)
    because = tuple(d for part in parts for d in part.because)
    # An open door beside a rule that is not understood is open in httpd as well.
    if not parts or any(part == OPEN for part in parts):
        return OPEN
    rest = [part for part in parts if not part.nobody]
    if not rest:
        return Grant(nobody=True, because=because)
    if any(part.unknown for part in rest):
        return Grant(unknown=True, because=because)
    if any(not part.named for part in rest):
        return Grant(certificate=True, because=because)
    return Grant(
        certificate=True,
        clients=frozenset().union(*(part.clients for part in rest)),
        roles=frozenset().union(*(part.roles for part in rest)),
        because=because,
    )


def all_of(grants: Iterable[Grant]) -> Grant:
    """Each of them has to hold."""
    parts = [part for part in grants if part != OPEN]
    because = tuple(d for part in parts for d in part.because)
    if any(part.nobody for part in parts):
        return Grant(nobody=True, because=because)
    named = {(part.clients, part.roles) for part in parts if part.named}
    # A route of the gate lets pass who is in `clients` or has one of `roles`: it cannot say "and".
    if any(part.unknown for part in parts) or len(named) > 1:
        return Grant(unknown=True, because=because)
    if not parts:
        return OPEN
    clients, roles = next(iter(named), (frozenset[str](), frozenset[str]()))
    return Grant(certificate=True, clients=clients, roles=roles, because=because)


def grant_of(section: Sequence[Directive]) -> Grant | None:
    """What `Require`, and `Order` with `Allow` and `Deny`, directly in a section say; None when they say nothing."""
    requires: list[Grant] = []
    compat: list[Grant] = []
    merged = satisfy_any = False
    for directive in section:
        everybody = [arg.lower() for arg in directive.args] == ["from", "all"]
        match directive.lower:
            case "require" | "requireall" | "requireany" | "requirenone":
                requires.append(_require(directive))
            case "deny":
                compat.append(Grant(nobody=everybody, unknown=not everybody, because=(directive,)))
            case "allow":
                compat.append(OPEN if everybody else Grant(unknown=True, because=(directive,)))
            case "satisfy":
                satisfy_any = directive.arg(0).lower() == "any"
            case "authmerging":
                merged = directive.arg(0).lower() != "off"
    if not requires and not compat:
        return None
    both = [*([any_of(requires)] if requires else []), *compat]
    because = tuple(d for part in both for d in part.because)
    if satisfy_any and any(part != OPEN for part in both):
        return Grant(unknown=True, because=because)
    if merged:  # together with what the sections above say: not to be told here
        return Grant(unknown=True, because=because or tuple(d for d in section if d.is_("authmerging")))
    return all_of(both)


def always_of(section: Sequence[Directive]) -> Grant:
    """What `SSLRequire` directly in a section says: it holds whatever else does."""
    return all_of(_expression(d, d.text.partition(" ")[2]) for d in section if d.is_("sslrequire"))


def _require(directive: Directive) -> Grant:
    if directive.section:
        inner = [_require(child) for child in directive.children if child.lower.startswith("require")]
        if directive.is_("requireall"):
            return all_of(inner)
        if directive.is_("requireany"):
            return any_of(inner)
        return Grant(unknown=True, because=(directive,))
    match [directive.arg(0).lower(), *(arg.lower() for arg in directive.args[1:])]:
        case ["all", "granted"] | ["ssl"]:
            return OPEN
        case ["all", "denied"]:
            return Grant(nobody=True, because=(directive,))
        case ["ssl-verify-client"]:
            return Grant(certificate=True, because=(directive,))
        case ["expr", *_]:
            return _expression(directive, " ".join(directive.args[1:]))
    return Grant(unknown=True, because=(directive,))


_STRING: Final = r"(?:\"[^\"]*\"|'[^']*')"
_EQUAL: Final = rf"%\{{(\w+)\}}\s*(?:eq|==|-eq|=)\s*({_STRING}|\w+)"
_AMONG: Final = rf"%\{{(\w+)\}}\s*-?in\s*\{{\s*({_STRING}(?:\s*,\s*{_STRING})*)\s*\}}"
# What every connection to the gate fulfils.
_ALWAYS: Final = (
    r"%\{SSL_CIPHER\}\s*!~\s*m?[/#|].*",
    r"%\{SSL_CIPHER_USEKEYSIZE\}\s*(?:>=|ge|-ge|>|gt|-gt)\s*\"?'?(?:40|56|112|128)\"?'?",
    r"%\{HTTPS\}\s*(?:eq|==|-eq)\s*['\"]on['\"]",
)


def _expression(directive: Directive, text: str) -> Grant:
    unknown = Grant(unknown=True, because=(directive,))
    text = text.strip()
    if text[:1] in ('"', "'") and text[-1:] == text[:1] and text.count(text[0]) == 2:
        text = text[1:-1]
    while text.startswith("(") and text.endswith(")") and "(" not in text[1:-1] and ")" not in text[1:-1]:
        text = text[1:-1].strip()
    if re.search(r"\|\||\bor\b|[()]", re.sub(rf"{_STRING}|!~\s*m?/[^/]*/", "", text)):
        return unknown
    return all_of(_term(term.strip(), directive, unknown) for term in _conjunction(text))


def _conjunction(text: str) -> list[str]:
    """The parts between `and` or `&&`, outside of quotes."""
    parts, rest = [""], text
    while rest:
        if match := re.match(rf"{_STRING}", rest):
            parts[-1] += match[0]
        elif match := re.match(r"(?:&&|\band\b)", rest):
            parts.append("")
        else:
            word = re.match(r"\w*", rest)
            length = len(word[0]) if word and word[0] else 1
            parts[-1] += rest[:length]
            rest = rest[length:]
            continue
        rest = rest[match.end() :]
    return parts


def _term(term: str, directive: Directive, unknown: Grant) -> Grant:
    while term.startswith("(") and term.endswith(")"):
        term = term[1:-1].strip()
    if any(re.fullmatch(pattern, term, re.IGNORECASE) for pattern in _ALWAYS):
        return OPEN
    if match := re.fullmatch(_EQUAL, term):
        values = [match[2]]
    elif match := re.fullmatch(_AMONG, term):
        values = re.findall(_STRING, match[2])
    else:
        return unknown
    values = [value[1:-1] if value[:1] in "\"'" else value for value in values]
    if match[1] == "SSL_CLIENT_VERIFY" and values == ["SUCCESS"]:
        return Grant(certificate=True, because=(directive,))
    if match[1] == "SSL_CLIENT_S_DN_CN" and all(_NAME.fullmatch(value) for value in values):
        return Grant(certificate=True, clients=frozenset(values), because=(directive,))
    if match[1] in ("SSL_CLIENT_S_DN_O", "SSL_CLIENT_S_DN_OU"):
        roles = [role_of(value) for value in values]
        if all(roles) and len(set(roles)) == len(values):
            return Grant(certificate=True, roles=frozenset(roles), because=(directive,))
    return unknown


def role_of(text: str) -> str:
    """`text` as the name of a role; empty when nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64].strip("-._").lower()
