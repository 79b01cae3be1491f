"""Who may pass, as httpd says it: `Require`, `SSLRequire`, `Order` and their kin -> a `Grant`."""

import re
from collections.abc import Sequence
from dataclasses import replace

from mutualgate.apache.expressions import grant_of_expression
from mutualgate.apache.grants import OPEN, Grant, all_of, any_of
from mutualgate.apache.rewriting import barrier, refuses, rules_in, same_for_everybody
from mutualgate.apache.syntax import Directive


def inside(section: Directive) -> list[Directive]:
    """What is directly in a section. What stands within `<RequireAll>` and its kin, and is no `Require`, is, too."""
    found: list[Directive] = []
    for child in section.children:
        found.append(child)
        if child.lower.startswith("require"):
            found += [one for one in inside(child) if not one.lower.startswith("require")]
    return found


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
    """What `SSLRequire` directly in a section says, and `RewriteRule` by whom it sends elsewhere: it holds whatever
    else does."""
    required = [grant_of_expression(d, d.text.partition(" ")[2]) for d in section if d.is_("sslrequire")]
    return all_of([*required, *(barrier(rule, conditions) for rule, conditions in rules_in(section)[0])])


def asked_by(section: Directive, by_name: bool = False) -> Grant:
    """What a section asks of those whose requests it is about, with the sections in it; OPEN when it keeps out nobody.

    `by_name` says that it is for some people alone, so that it keeps them out when it leads elsewhere.
    """
    by_name = by_name or section.is_("elseif", "else") or not same_for_everybody(section.text)
    children = inside(section)
    parts = [grant_of(children) or OPEN, always_of(children)]
    for child in children:
        if child.is_("sslverifyclient") and child.arg(0).lower() != "none":
            parts.append(Grant(certificate=True))
        elif refuses(child) or child.is_(*_REVOKING) or (by_name and child.is_(*_LEADING)):
            parts.append(Grant(unknown=True))
        elif child.section and not child.lower.startswith(("require", "virtualhost")):
            parts.append(asked_by(child, by_name))
    return replace(all_of(parts), because=(section,))


def _require(directive: Directive) -> Grant:
    if directive.section:
        inner = [_require(child) for child in directive.children if child.lower.startswith("require")]
        if not inner:  # httpd does not start so; what was in a condition that we took not to hold, may be all of it
            return Grant(unknown=True, because=(directive,))
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
            return grant_of_expression(directive, re.sub(r"^\S+\s+\S+\s*", "", directive.text))
    return Grant(unknown=True, because=(directive,))


_REVOKING = ("sslcarevocationfile", "sslcarevocationpath", "sslocspenable")
"""What keeps out who is revoked."""

_LEADING = (
    "proxypass",
    "proxypassmatch",
    "redirect",
    "redirectmatch",
    "redirectpermanent",
    "redirecttemp",
    "rewriterule",
    "sethandler",
)
"""What says where requests go."""
