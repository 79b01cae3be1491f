"""Names that people give: of clients, of roles, of authorities. A value of these types obeys its rule."""

import re
import shlex
import unicodedata
from collections.abc import Iterable

from mutualgate.errors import BadInput

NAME_LIMIT = 64
"""Characters; X.520's ub-common-name, because the name becomes the certificate's common name."""

_ROLE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")
_AUTHORITY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def name_key(text: str) -> str:
    """The same for a name, or a part of one, that looks alike to a person: 'Orders', 'orders', full-width letters."""
    if text.isascii():
        return text.lower()  # the same, and of many thousands each is asked several times
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class ClientName(str):
    """A client's name: 1 to 64 printable characters, in Unicode's NFC.

    It becomes a common name, a file name, a line of a list and an argument of a command, so it has no control or
    invisible character, no `/` or `\\`, no space at an end or twice, and begins with neither `.` nor `-`.

    Raises `BadInput` with the rule that the text breaks.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "ClientName":
        if isinstance(text, ClientName):
            return text
        name = unicodedata.normalize("NFC", text)
        problem = _broken_rule(name)
        if problem:
            raise BadInput(
                f"{shown(text)} cannot be a client's name: {problem}",
                expected=f"1 to {NAME_LIMIT} printable characters without '/' and '\\', such as 'partner-7'",
                code="bad_name",
            )
        return super().__new__(cls, name)

    @property
    def key(self) -> str:
        """What has to differ between two clients."""
        return name_key(self)

    @property
    def word(self) -> str:
        """As a word of a command that people copy into a shell: others choose names, a partner's administrator too."""
        return shlex.quote(self)


def _broken_rule(name: str) -> str | None:
    if not name:
        return "it is empty"
    if len(name) > NAME_LIMIT:
        return f"it has {len(name)} characters"
    for character in "/\\":
        if character in name:
            return f"it contains {character!r}"
    for character in "" if name.isascii() and name.isprintable() else name:
        # C*: control, format (bidirectional overrides too), surrogate, private, unassigned. Zl, Zp: line ends.
        if unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
            return f"it contains U+{ord(character):04X}, which cannot be seen"
        if unicodedata.category(character) == "Zs" and character != " ":
            return f"it contains U+{ord(character):04X}, a space that looks like another"
    if name != name.strip() or "  " in name:
        return "it has a space at an end or two in a row"
    if name[0] in ".-":
        return f"it begins with {name[0]!r}"
    return None


class Role(str):
    """A role: 1 to 64 ASCII letters, digits, `.`, `_`, `:` or `-`, with a letter or digit at both ends.

    Roles travel in a header as a list with commas, so nothing else can be part of one. Raises `BadInput`.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Role":
        if not _ROLE.fullmatch(text):
            raise BadInput(
                f"{shown(text)} cannot be a role",
                expected="1 to 64 ASCII letters, digits, '.', '_', ':' or '-', with a letter or digit at both ends",
                code="bad_role",
            )
        return super().__new__(cls, text)


class AuthorityName(str):
    """An authority's name: 1 to 63 lower-case letters, digits or `-`; it is part of its CRL's address.

    Raises `BadInput`.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "AuthorityName":
        if not _AUTHORITY.fullmatch(text):
            raise BadInput(
                f"{shown(text)} cannot be an authority's name",
                expected="1 to 63 lower-case ASCII letters, digits or '-', such as 'acme-2019'",
                code="bad_name",
            )
        return super().__new__(cls, text)


def roles(texts: Iterable[str]) -> tuple[Role, ...]:
    """The roles, sorted, each once."""
    return tuple(sorted({Role(text) for text in texts}))


def shown(text: str, limit: int = 80) -> str:
    """`text` quoted for an error message, with what a terminal would act on escaped."""
    return repr(text) if len(text) <= limit else repr(text[:limit]) + "…"


def trimmed(text: str) -> str:
    """Without the spaces around it, but for one that a backslash makes a part of it (RFC 4514 2.4)."""
    kept = text.strip()
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return f"{kept} " if backslashes % 2 and text.lstrip().startswith(f"{kept} ") else kept
