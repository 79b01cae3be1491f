"""What a route changes in the messages that pass it: header fields and redirects.

Knows how they are written. Which names no rule may touch is the data plane's to say (`app.checks`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from .kinds import Unfit, found, text_of
from .network import MAX_HOST, host_name

MAX_RULES = 100  # of one kind on one route
MAX_VALUE = 4096  # characters

REDIRECTS = (301, 302, 303, 307, 308)  # RFC 9110 15.4
PERMANENT_REDIRECT = 308

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")  # RFC 9110 5.1
VALUE = re.compile(r"[!-~]([ -~]*[!-~])?|")  # RFC 9110 5.5, without tabs and obs-text


@dataclass(frozen=True)
class FieldRules:
    """Header fields that are added, set in place of all of the name, and removed; names as the file spells them."""

    add: tuple[tuple[str, str], ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.set or self.remove)


@dataclass(frozen=True)
class Fields:
    """Kind of `FieldRules`."""

    name: str = "table"
    expected: str = 'a table such as {set = {"X-Name" = "value"}, add = {}, remove = ["X-Other"]}'

    def read(self, value: object, folder: Path) -> FieldRules:
        if not isinstance(value, dict):
            raise Unfit(found(value))
        for key in value:
            if key not in ("add", "set", "remove"):
                raise Unfit(f'there is no key "{str(key)[:60]}" in it')
        rules = FieldRules(
            add=_pairs("add", value.get("add", {})),
            set=_pairs("set", value.get("set", {})),
            remove=_names(value.get("remove", [])),
        )
        named = [name.lower() for name in (*(name for name, _ in rules.add), *(name for name, _ in rules.set))]
        for name in (*(name for name, _ in rules.set), *rules.remove):
            if [*named, *(one.lower() for one in rules.remove)].count(name.lower()) > 1:
                raise Unfit(f'"{name}" is there twice', "One rule for a name: what is set replaces all that came")
        return rules


def _pairs(key: str, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > MAX_RULES:
        raise Unfit(f"{key}: {found(value)}", f'Write {key} = {{"Name" = "value"}}')
    for name, text in value.items():
        if not TOKEN.fullmatch(name):
            raise Unfit(f"{key}: {found(name).removeprefix('found ')} is no name of a header field")
        # The value may be a secret: it is not repeated.
        if not isinstance(text, str) or not VALUE.fullmatch(text) or len(text) > MAX_VALUE:
            raise Unfit(
                f'{key}: the value of "{name}" is none',
                f"A value is a string of at most {MAX_VALUE} printable ASCII characters, without spaces at its ends",
            )
    return tuple(value.items())


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_RULES:
        raise Unfit(f"remove: {found(value)}", 'Write remove = ["Name"]')
    for name in value:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise Unfit(f"remove: {found(name).removeprefix('found ')} is no name of a header field")
    return tuple(value)


@dataclass(frozen=True)
class Status:
    """Kind of the status of a redirect."""

    name: str = "integer"
    expected: str = "301, 302, 303, 307 or 308"

    def read(self, value: object, folder: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value not in REDIRECTS:
            raise Unfit(found(value))
        return value


@dataclass(frozen=True)
class Elsewhere:
    """Kind of where a redirect leads: an address with https://, or a path of the same site."""

    name: str = "URL"
    expected: str = 'an address such as "https://www.example.com" or a path such as "/app/"'

    def read(self, value: object, folder: Path) -> str:
        text = text_of(value)
        match = re.fullmatch(
            r"(?:https://(?P<host>[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{1,5}))?)?"
            r"(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,=:@%-]*)*)(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
            r"(?:#[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
            text,
        )
        if not match or (match["host"] is None and (not match["path"] or text.startswith("//"))):
            fix = "Redirects lead to https:// or stay on the site" if text.lower().startswith("http:") else None
            raise Unfit(found(value) if "@" not in text else "found something else", fix)
        if match["port"] and not 0 < int(match["port"]) <= 65535:
            raise Unfit(f"{found(value)}, and ports go from 1 to 65535")
        if match["host"] and not match["host"].startswith("["):
            host_name(match["host"], value)
        if len(text) > 1024 + MAX_HOST:
            raise Unfit("is too long")
        return text
