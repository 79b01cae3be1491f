"""`Header` and `RequestHeader` -> the rules of a route for header fields, and the dialect in which it says who came.

Knows what the words of mod_headers do. Which names no rule may touch is the data plane's to say.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mutualgate.apache.report import Report
from mutualgate.apache.syntax import Directive
from mutualgate.config import FieldRules
from mutualgate.config.kinds import Unfit
from mutualgate.config.messages import Fields
from mutualgate.gate import field_refused

Direction = Literal["request", "response"]
Deed = Literal["add", "set", "remove"]

# What httpd does to a field, as a rule says it. RFC 9110 5.3: a second field of the name is what `append` makes of one.
_DEEDS: Final[dict[str, Deed]] = {"set": "set", "add": "add", "append": "add", "unset": "remove"}


@dataclass(frozen=True)
class Edit:
    """One `Header` or `RequestHeader` whose meaning a rule has."""

    directive: Directive
    direction: Direction
    deed: Deed
    name: str
    value: str
    appends: bool = False
    """Whether it goes into the field that is there, after a comma."""


@dataclass(frozen=True)
class Said:
    """A variable of mod_ssl that the service gets in the field in which these dialects tell it, each of them."""

    dialects: frozenset[str]


def read(d: Directive, report: Report) -> Edit | Said | None:
    """What `d` does, or None when nothing is to be done about it; what no rule can say is left."""
    direction: Direction = "request" if d.is_("requestheader") else "response"
    args = list(d.args)
    if args and args[0].lower() in ("always", "onsuccess"):
        del args[0]
    word, name, value = (*args[:3], "", "", "")[:3]
    word, name = word.lower(), name.removesuffix(":")
    deed = _DEEDS.get(word)

    def leave(why: str, do: str) -> Edit | None:
        """A service believes a field that httpd wrote: where the gate cannot, no client writes it either."""
        report.leave(d, why, do)
        writes = direction == "request" and (deed in ("set", "add") or word == "merge")
        return (
            Edit(d, direction, "remove", name, "") if writes and not field_refused(direction, "remove", name) else None
        )

    if deed is None:
        return leave(
            "a rule of a route adds, sets or removes a field, whatever there was",
            "Let the service do it, or write what comes out of it as a fixed text.",
        )
    removes = deed == "remove" or (deed == "set" and value == "")
    on = any(re.match(r"env=|expr=", arg, re.IGNORECASE) for arg in args[2 if deed == "remove" else 3 :])
    if direction == "request" and (found := re.search(r"%\{(SSL_\w+)\}[se]", value)):
        variable = found[1].upper()
        told = _dialects(name, variable)
        return Said(told) if told and not on else leave(*_elsewhere(name, variable))
    if on:
        report.leave(d, "a rule of a route knows no conditions", "Let the service do it, or take the condition away.")
        return None
    if direction == "request" and (name.lower(), value.lower()) in _SAME:
        return None
    text = value.replace("%%", "\0")
    if "%" in text or value.lower().startswith("expr="):
        return leave("a rule of a route sets fixed texts, and this one has variables", "Let the service do it.")
    if why := field_refused(direction, deed, name):
        if not removes:  # what clients say under a name of the gate's own is removed anyway
            leave(f"{name} {why}", "Let the service read what the gate writes: docs/reference/headers.md.")
        return None
    text = text.replace("\0", "%")
    try:
        Fields().read({deed: [name] if deed == "remove" else {name: text}}, Path("/"))
    except Unfit as unfit:
        return leave(f"as a rule of a route: {unfit.problem}", "Let the service do it.")
    return Edit(d, direction, deed, name, text, appends=word == "append")


def of_skipped(section: Directive) -> Iterator[Edit]:
    """A service may believe what httpd writes in requests, or takes out of them, where a skipped section holds: so
    no client writes it."""
    for child in section.children:
        if child.section:
            yield from of_skipped(child)
        elif child.is_("requestheader"):
            args = [arg for arg in child.args if arg.lower() not in ("always", "onsuccess")]
            name = args[1].removesuffix(":") if len(args) > 1 else ""
            if name and not field_refused("request", "remove", name):
                yield Edit(child, "request", "remove", name, "")


def _dialects(name: str, variable: str) -> frozenset[str]:
    """Those in which the variable is told in the field `name`."""
    return frozenset(
        [
            *(["apache"] if name.upper() == variable and _OF_APACHE.fullmatch(variable) else []),
            *(["tomcat"] if _OF_TOMCAT.get(name.lower()) == variable else []),
        ]
    )


def _elsewhere(name: str, variable: str) -> tuple[str, str]:
    """Where a service finds the variable that it had in the field `name`: why it is left, and what to do."""
    ours = FIELDS.get(variable) or (FIELDS["SSL_CLIENT_CERT"] if variable.startswith("SSL_CLIENT_") else None)
    if ours is None:
        why = f"the gate tells a service of the client and its connection, and {variable} is in no field of it"
        return why, f"Let the service do without {name}."
    also = f', or {variable} with identity = ["apache"] on the route' if _OF_APACHE.fullmatch(variable) else ""
    return (
        f"the gate tells a service who the client is in fields of its own: {variable} is in {ours}",
        f"Let the service read {ours} instead of {name}{also}.",
    )


def dialects(said: Iterable[Said]) -> tuple[str, ...]:
    """The dialects that tell all of it; none where nothing was said."""
    kept: set[str] = set()
    for one in sorted(said, key=lambda one: len(one.dialects)):
        if not one.dialects & kept:
            kept.add(min(one.dialects))
    return tuple(sorted(kept))


def rules(edits: Iterable[Edit], direction: Direction, report: Report) -> FieldRules:
    """All of them, in httpd's order, as one rule for each name."""
    named: dict[str, _Rule] = {}
    for edit in edits:
        if edit.direction != direction:
            continue
        rule = named.setdefault(edit.name.lower(), _Rule(edit.name))
        if not rule.take(edit):
            report.leave(
                edit.directive,
                f"a route has one rule for a name, and {edit.name} has one already",
                "Let the service send one of the two.",
            )
    return FieldRules(
        add=tuple((r.name, r.added) for r in named.values() if r.added is not None),
        set=tuple((r.name, r.value) for r in named.values() if r.value is not None),
        remove=tuple(r.name for r in named.values() if r.value is None and r.added is None),
    )


@dataclass
class _Rule:
    name: str
    value: str | None = None
    added: str | None = None
    removed: bool = False

    def take(self, edit: Edit) -> bool:
        if edit.deed == "remove":
            self.value, self.added, self.removed = None, None, True
        elif edit.deed == "set" or self.removed:
            self.value, self.added, self.removed = edit.value, None, False
        elif edit.appends and self.value is not None:
            self.value = f"{self.value}, {edit.value}"
        elif self.value is None and self.added is None:
            self.added = edit.value
        elif edit.appends:
            self.added = f"{self.added}, {edit.value}"
        else:
            return False
        return True


# How the gate tells where a request comes from, without being asked.
_SAME: Final = frozenset(
    {("x-forwarded-proto", "https"), ("x-forwarded-ssl", "on"), ("front-end-https", "on"), ("x-forwarded-port", "443")}
)

# What the dialects `apache` and `tomcat` write: docs/reference/headers.md.
_OF_APACHE: Final = re.compile(
    r"SSL_CLIENT_(?:VERIFY|M_VERSION|M_SERIAL|V_START|V_END|[SI]_DN(?:_CN)?|CERT|(?:SAN_DNS|SAN_EMAIL|CERT_CHAIN)_[0-9]+)"
)
_OF_TOMCAT: Final = {
    "ssl_client_cert": "SSL_CLIENT_CERT",
    "ssl_cipher": "SSL_CIPHER",
    "ssl_cipher_usekeysize": "SSL_CIPHER_USEKEYSIZE",
    "ssl_secure_protocol": "SSL_PROTOCOL",
    "ssl_session_id": "SSL_SESSION_ID",
}

_OF_TLS: Final = "Mutualgate-Tls (with tls_facts = true on the route)"
FIELDS: Final = {
    "SSL_CLIENT_CERT": "Client-Cert (RFC 9440: base64 between colons)",
    "SSL_CLIENT_S_DN": "Mutualgate-Subject",
    "SSL_CLIENT_S_DN_CN": "Mutualgate-Client (the client's name at the gate) or Mutualgate-Subject",
    "SSL_CLIENT_I_DN": "Mutualgate-Issuer",
    "SSL_CLIENT_M_SERIAL": "Mutualgate-Serial",
    "SSL_CLIENT_VERIFY": "Mutualgate-Verdict",
    "SSL_PROTOCOL": _OF_TLS,
    "SSL_CIPHER": _OF_TLS,
    "SSL_SESSION_RESUMED": _OF_TLS,
    "SSL_TLS_SNI": _OF_TLS,
}
