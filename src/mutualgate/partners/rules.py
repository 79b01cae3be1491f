"""What a partner may vouch for: name rules, read strictly, because a wide one lets its CA speak for others.

The judge compares; here is only what may be written. `dns:*.acme.example`, `email:*@acme.example`,
`uri:spiffe://acme.example/*`, `ip:192.0.2.0/24`, `dn:CN=*,O=Acme Ltd,C=GB`, `organization:PSDBE-NBB-0123456789`.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mutualgate.errors import BadInput
from mutualgate.model.names import shown, trimmed
from mutualgate.model.partner import PartnerProfile, RuleKind

LONGEST = 1_024
"""Characters of a rule; no name that fits into a certificate's usual size is longer."""

EXAMPLES = {
    RuleKind.DNS: "dns:api.acme.example or dns:*.acme.example",
    RuleKind.EMAIL: "email:orders@acme.example or email:*@acme.example",
    RuleKind.URI: "uri:https://acme.example/orders or uri:spiffe://acme.example/*",
    RuleKind.IP: "ip:192.0.2.7 or ip:192.0.2.0/24",
    RuleKind.DN: "dn:CN=*,O=Acme Ltd,C=GB",
    RuleKind.ORGANIZATION: "organization:PSDBE-NBB-0123456789",
}

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'/=?^_`{|}~+-]+(?:\.[A-Za-z0-9!#$%&'/=?^_`{|}~+-]+)*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_OID = re.compile(r"(?:0|1|2)(?:\.(?:0|[1-9][0-9]*))+")
# As the judge writes them (RFC 4514 3, and those that certificates are full of besides).
_ATTRIBUTES = {
    name.lower(): name
    for name in (
        *("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID"),
        *("emailAddress", "serialNumber", "organizationIdentifier"),
    )
}
# ETSI TS 119 495 5.2.1: the number may have any characters.
_PSD = re.compile(r"PSD[A-Z]{2}-[A-Z]{2,8}-.{1,200}")
_ESCAPED = frozenset('"+,;<>\\')
_REGISTRIES = frozenset("ac co com edu go gob gov gouv gv ltd mil ne net nom or org plc sch".split())
"""Under the domain of a country, these are registries: co.uk, com.au. More are on the machine's list, if it has one."""
_PLACES = frozenset(("C", "L", "ST", "STREET"))
_LEAST_PREFIX = {4: 8, 6: 16}
"""Bits of a network: a wider one is no partner's."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is kept: in its canonical spelling."""

    kind: RuleKind
    pattern: str
    wide: bool
    """Covers more than any one organisation's names."""

    @property
    def exact(self) -> bool:
        """Whether it is one name: all that a CA that several partners share may vouch for."""
        if self.kind is RuleKind.ORGANIZATION:
            return True
        if self.kind is RuleKind.DN:
            return all(value != "*" for _, _, value in _attributes(self.pattern))
        return "*" not in self.pattern and not (self.kind is RuleKind.IP and "/" in self.pattern)

    @property
    def text(self) -> str:
        """As people write it."""
        return f"{self.kind}:{self.pattern}"


def parse(text: str, *, wide: bool = False) -> Rule:
    """The rule that `text` says. Raises `BadInput` for what is none, and for one that is too wide unless `wide`."""
    if len(text) > LONGEST or not text.isprintable():
        raise _bad(text, f"it has more than {LONGEST} characters, or one that cannot be printed", None)
    word, colon, rest = text.partition(":")
    try:
        kind = RuleKind(word.strip().lower())
    except ValueError:
        kind = None
    if not colon or kind is None:
        raise _bad(text, "it does not begin with the kind of name", None)
    pattern = trimmed(rest)
    if not pattern:
        raise _bad(text, "there is no name in it", kind)
    found = _READERS[kind](text, pattern)
    if found.wide and not wide:
        raise BadInput(
            f"the rule {shown(found.text)} is too wide: it covers names of others",
            expected="names of one organisation, " + EXAMPLES[kind],
            fix="Narrow it; an operator who means it says --wide",
            code="rule_too_wide",
        )
    return found


def parse_name(text: str) -> str:
    """A name inside a partner, in its canonical spelling: `dns:api.acme.example`. Raises `BadInput` for a pattern."""
    rule = parse(text, wide=True)
    if not rule.exact:
        raise BadInput(
            f"{shown(text)} is a pattern, not a name",
            expected="one name, such as dns:api.acme.example",
            code="bad_name",
        )
    return rule.text


def check_profile(profile: PartnerProfile, found: Iterable[Rule]) -> None:
    """Raises `BadInput` for a rule that a partner of this profile cannot have: it would permit nobody."""
    for rule in found:
        if (rule.kind is RuleKind.ORGANIZATION) != (profile is PartnerProfile.PSD2):
            raise BadInput(
                f"{shown(rule.text)} is no rule for a partner of the profile {profile}",
                expected=EXAMPLES[RuleKind.ORGANIZATION if profile is PartnerProfile.PSD2 else RuleKind.DNS],
                fix="By what a partner's clients are known is said when it is added: --profile",
                code="rule_of_other_profile",
            )


def parse_all(texts: Iterable[str], *, wide: bool = False) -> list[Rule]:
    """The rules, each once, in the order given."""
    return list(dict.fromkeys(parse(text, wide=wide) for text in texts))


def _dns(text: str, pattern: str) -> Rule:
    host = pattern.lower()
    name = host.removeprefix("*.")
    _host(text, name, RuleKind.DNS)
    return Rule(RuleKind.DNS, host, wide=host.startswith("*.") and _is_registry(name))


def _email(text: str, pattern: str) -> Rule:
    local, at, host = pattern.rpartition("@")
    if not at or not (local == "*" or (_LOCAL.fullmatch(local) and len(local) <= 64)):
        raise _bad(text, "what is before the @ is neither a mailbox nor *", RuleKind.EMAIL)
    host = host.lower()
    _host(text, host, RuleKind.EMAIL)
    return Rule(RuleKind.EMAIL, f"{local}@{host}", wide=local == "*" and _is_registry(host))


def _uri(text: str, pattern: str) -> Rule:
    body = pattern.removesuffix("/*")
    prefix = body != pattern
    if "*" in body or any(character in body for character in ' "<>\\^`{|}') or not body.isascii():
        raise _bad(
            text, "a * can only stand at the end, after a /, and other characters are not for a URI", RuleKind.URI
        )
    try:
        parts = urlsplit(body)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad(text, "it is no URI", RuleKind.URI) from None
    scheme, colon, after = body.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme.lower()) or not after:
        raise _bad(text, "it has no scheme, such as https:", RuleKind.URI)
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in body or "#" in body:
        raise _bad(text, "it has a user, a query or a fragment", RuleKind.URI)
    if (
        any(segment in (".", "..") for segment in parts.path.split("/"))
        or "//" in f"{parts.path}{'/' if prefix else ''}"
    ):
        raise _bad(text, "its path has empty or dot segments", RuleKind.URI)
    if prefix and "%" in parts.path:
        why = "nobody comes in below a path with a %, which may stand for what leads out of it; write names in full"
        raise _bad(text, why, RuleKind.URI)
    if host is None:
        if prefix or after.startswith("//"):
            raise _bad(text, "it needs a host" if not prefix else "a pattern needs a host", RuleKind.URI)
        return Rule(RuleKind.URI, f"{scheme.lower()}:{after}", wide=False)
    _host(text, host, RuleKind.URI)
    place = host if port is None else f"{host}:{port}"
    return Rule(
        RuleKind.URI,
        f"{scheme.lower()}://{place}{parts.path}" + ("/*" if prefix else ""),
        wide=prefix and _is_registry(host),
    )


def _ip(text: str, pattern: str) -> Rule:
    try:
        if "/" in pattern:
            network = ipaddress.ip_network(pattern)
            return Rule(RuleKind.IP, str(network), wide=network.prefixlen < _LEAST_PREFIX[network.version])
        address = ipaddress.ip_address(pattern)
    except ValueError as error:
        raise _bad(text, str(error), RuleKind.IP) from None
    if getattr(address, "scope_id", None):
        raise _bad(text, "an address with a zone is no name", RuleKind.IP)
    return Rule(RuleKind.IP, address_text(address), wide=False)


def _dn(text: str, pattern: str) -> Rule:
    parts = []
    for number, part in enumerate(_split(text, pattern), 1):
        word, equals, raw = part.partition("=")
        word = word.strip()
        name = _ATTRIBUTES.get(word.lower()) or (word if _OID.fullmatch(word) else None)
        if not equals or name is None:
            raise _bad(text, f"part {number} ({shown(part, 40)}) is no ATTRIBUTE=VALUE that is known", RuleKind.DN)
        value = trimmed(raw)
        if not value:
            raise _bad(text, f"{name} has no value", RuleKind.DN)
        parts.append((name, value if value == "*" else escape(_unescape(text, value))))
    return Rule(
        RuleKind.DN,
        ",".join(f"{name}={value}" for name, value in parts),
        wide=all(value == "*" or name in _PLACES for name, value in parts),
    )


def _organization(text: str, pattern: str) -> Rule:
    if not _PSD.fullmatch(pattern):
        raise _bad(text, "it is no identifier of a payment service provider (ETSI TS 119 495)", RuleKind.ORGANIZATION)
    if "*" in pattern:
        raise _bad(text, "an identifier is one organisation's, and is written in full", RuleKind.ORGANIZATION)
    return Rule(RuleKind.ORGANIZATION, pattern, wide=False)


_READERS = {
    RuleKind.DNS: _dns,
    RuleKind.EMAIL: _email,
    RuleKind.URI: _uri,
    RuleKind.IP: _ip,
    RuleKind.DN: _dn,
    RuleKind.ORGANIZATION: _organization,
}


def _host(text: str, host: str, kind: RuleKind) -> None:
    """RFC 5280 4.2.1.6 takes the preferred name syntax of RFC 1034 3.5; underscores are in use besides."""
    if not host.isascii():
        raise _bad(text, "a name with other letters is written as certificates have it, in A-labels (xn--…)", kind)
    if "*" in host:
        raise _bad(text, "a * can only stand for the first labels, as in *.acme.example", kind)
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise _bad(text, f"{shown(host, 60)} is no host name", kind)


def _is_registry(host: str) -> bool:
    """Whether names below it are of many organisations."""
    labels = host.split(".")
    if len(labels) == 1 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _REGISTRIES):
        return True
    from mutualgate.partners.public_suffixes import is_shared

    return is_shared(host)


def _attributes(pattern: str) -> list[tuple[str, str, str]]:
    """Of a rule as it is kept."""
    return [part.partition("=") for part in _split(pattern, pattern)]


def _split(text: str, pattern: str) -> list[str]:
    """The RDNs: at commas that no backslash stands before."""
    parts, now, escaped = [], "", False
    for character in pattern:
        if character == "," and not escaped:
            parts.append(now)
            now = ""
            continue
        if character in "+;" and not escaped:
            raise _bad(text, f"{character!r} has to be written as \\{character}; an RDN has one attribute", RuleKind.DN)
        now += character
        escaped = character == "\\" and not escaped
    return [*parts, now]


def _unescape(text: str, value: str) -> str:
    """RFC 4514 3: a backslash before a special character, or before two hexadecimal digits of UTF-8."""
    out, position = bytearray(), 0
    while position < len(value):
        character = value[position]
        if character != "\\":
            out += character.encode()
            position += 1
        elif re.fullmatch(r"[0-9A-Fa-f]{2}", value[position + 1 : position + 3]):
            out.append(int(value[position + 1 : position + 3], 16))
            position += 3
        elif position + 1 < len(value):
            out += value[position + 1].encode()
            position += 2
        else:
            raise _bad(text, "it ends with a backslash", RuleKind.DN)
    try:
        plain = out.decode()
    except UnicodeDecodeError:
        raise _bad(text, "its escapes are no UTF-8", RuleKind.DN) from None
    if not plain.isprintable():
        raise _bad(text, "it has a character that cannot be printed", RuleKind.DN)
    return plain


def address_text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the judge writes addresses: an IPv4 one inside IPv6 with dots (RFC 5952 5)."""
    inside = None if address.version == 4 else address.ipv4_mapped
    return str(address) if inside is None else f"::ffff:{inside}"


def escape(value: str) -> str:
    """As the judge writes values."""
    last = len(value) - 1
    return "".join(
        f"\\{character}"
        if character in _ESCAPED
        or (character == " " and position in (0, last))
        or (character == "#" and position == 0)
        or (character == "*" and last == 0)
        else character
        for position, character in enumerate(value)
    )


def _bad(text: str, why: str, kind: RuleKind | None) -> BadInput:
    expected = EXAMPLES[kind] if kind is not None else f"one of {', '.join(f'{one}:' for one in RuleKind)} and a name"
    return BadInput(f"{shown(text)} is no name rule: {why}", expected=expected, code="bad_rule")
