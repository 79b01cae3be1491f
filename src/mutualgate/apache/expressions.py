"""The expressions of `SSLRequire` and `Require expr` -> who may pass, as far as it is about names in certificates.

Knows the grammar of mod_ssl's and of ap_expr's, as far as they are alike: comparisons, `in`, patterns that are a list
of names, `and`, `or`, parentheses. Anything else is not understood.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from mutualgate.apache.grants import OPEN, Grant, all_of, any_of, role_of
from mutualgate.apache.syntax import Directive

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<variable>%\{[\w:]+\})
    | (?P<string>"[^"]*"|'[^']*')
    | (?P<sign>&&|\|\||=~|!~|==|!=|<=|>=|[=<>!(){},])
    | (?P<word>-?[\w.]+)
    )""",
    re.VERBOSE,
)
_PATTERN: Final = re.compile(r"\s*(?P<pattern>m?(?P<mark>[/#|,]).*?(?P=mark)\w*)")
_SIGNS: Final = {"&&": "and", "||": "or", "eq": "==", "-eq": "==", "=": "==", "ne": "!=", "-ne": "!=", "-in": "in",
                 "ge": ">=", "-ge": ">=", "gt": ">", "-gt": ">", "not": "!"}  # fmt: skip

# Names that the gate can hold as they are; another one has to be chosen by the operator.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,198}[A-Za-z0-9._-])?")

# Whose values name one client; and those that many share, which roles stand for.
_OF_ONE: Final = re.compile(r"SSL_CLIENT_(?:S_DN_(?:CN|UID|EMAIL)|SAN_(?:EMAIL|DNS)_0)(?:_0)?")
_OF_MANY: Final = re.compile(r"SSL_CLIENT_(?:S_DN_(?:OU?|[CLT]|ST)|I_DN_(?:CN|OU?))(?:_0)?")


class _NotUnderstoodError(Exception):
    pass


def grant_of_expression(directive: Directive, text: str) -> Grant:
    """What the expression `text` of `directive` says."""
    text = text.strip()
    quote = text[:1]
    if quote in ('"', "'") and re.fullmatch(rf"{quote}(?:\\.|[^{quote}\\])*{quote}", text):
        text = re.sub(r"\\(.)", lambda match: match[1] if match[1] in "\"'" else match[0], text[1:-1])
    try:
        return _Reader(directive, text).whole()
    except _NotUnderstoodError:
        return Grant(unknown=True, because=(directive,))


class _Reader:
    """Recursive descent; each step reads one level of the grammar."""

    def __init__(self, directive: Directive, text: str) -> None:
        self.directive = directive
        self.tokens: list[tuple[str, str]] = []
        self.depth = 0
        at = 0
        while text[at:].strip():
            after_match = self.tokens[-1:] in ([("sign", "=~")], [("sign", "!~")])
            match = (_PATTERN if after_match else _TOKEN).match(text, at)
            if match is None:
                raise _NotUnderstoodError
            kind = match.lastgroup or ""
            value = match[kind]
            if value.lower() in (*_SIGNS, "and", "or", "in"):
                kind, value = "sign", _SIGNS.get(value.lower(), value.lower())
            self.tokens.append((kind, value))
            at = match.end()

    def whole(self) -> Grant:
        grant = self.alternatives()
        if self.tokens:
            raise _NotUnderstoodError
        return grant

    def alternatives(self) -> Grant:
        grants = self.joined("or", self.conjunction)
        return grants[0] if len(grants) == 1 else any_of(grants)

    def conjunction(self) -> Grant:
        return all_of(self.joined("and", self.single))

    def joined(self, word: str, part: Callable[[], Grant]) -> list[Grant]:
        grants = [part()]
        while self.tokens[:1] == [("sign", word)]:
            self.take("sign")
            grants.append(part())
        return grants

    def single(self) -> Grant:
        if not self.tokens or self.depth > 100:
            raise _NotUnderstoodError
        if self.tokens[0] == ("sign", "("):
            self.take("sign")
            self.depth += 1
            grant = self.alternatives()
            self.expect(")")
            self.depth -= 1
            return grant
        if self.tokens[0][1].lower() == "true" and self.tokens[0][0] == "word":
            self.take("word")
            return OPEN
        variable = self.take("variable")[2:-1].upper().removeprefix("SSL:")
        return self.compared(variable, self.take("sign"))

    def compared(self, variable: str, sign: str) -> Grant:
        if sign == "in":
            self.expect("{")
            values = [self.value()]
            while self.tokens[:1] == [("sign", ",")]:
                self.take("sign")
                values.append(self.value())
            self.expect("}")
            return self.one_of(variable, values)
        if sign in ("=~", "!~"):
            pattern = self.take("pattern")
            if sign == "!~":
                return self.certainly(variable == "SSL_CIPHER")
            names = re.fullmatch(r"m?(.)\^(?:\(([^()]*)\)|([^()|]*))\$\1", pattern)
            if names is None:
                raise _NotUnderstoodError
            return self.one_of(variable, re.sub(r"\\([.@-])", r"\1", names[2] or names[3] or "").split("|"))
        value = self.value()
        if sign == "==":
            return self.one_of(variable, [value])
        if sign == "!=":
            if variable == "SSL_CLIENT_VERIFY" and value.upper() == "NONE":
                return self.asks()
            if variable in ("SSL_CLIENT_S_DN", "SSL_CLIENT_S_DN_CN") and value == "":
                return self.asks()
            return self.certainly(variable == "SSL_PROTOCOL" and value in ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1"))
        # The ciphers of the gate have 128 bits and more.
        strength = re.fullmatch("[0-9]{1,3}", value)
        return self.certainly(
            variable == "SSL_CIPHER_USEKEYSIZE"
            and strength is not None
            and ((sign == ">=" and int(value) <= 128) or (sign == ">" and int(value) < 128))
        )

    def one_of(self, variable: str, values: Sequence[str]) -> Grant:
        if variable == "SSL_CLIENT_VERIFY" and list(values) == ["SUCCESS"]:
            return self.asks()
        if variable == "HTTPS":
            return self.certainly([value.lower() for value in values] == ["on"])
        if variable == "SSL_PROTOCOL":
            return self.certainly({"TLSv1.2", "TLSv1.3"} <= set(values))
        if _OF_ONE.fullmatch(variable) and all(_NAME.fullmatch(value) for value in values):
            return Grant(certificate=True, clients=frozenset(values), because=(self.directive,))
        if variable == "SSL_CLIENT_S_DN":
            return self.roles([_common_name(value) for value in values])
        if _OF_MANY.fullmatch(variable):
            return self.roles(values)
        raise _NotUnderstoodError

    def roles(self, values: Sequence[str]) -> Grant:
        roles = {role_of(value) for value in values}
        if "" in roles or len(roles) != len(set(values)):
            raise _NotUnderstoodError
        return Grant(certificate=True, roles=frozenset(roles), because=(self.directive,))

    def asks(self) -> Grant:
        return Grant(certificate=True, because=(self.directive,))

    def certainly(self, holds: bool) -> Grant:
        """What every connection to the gate fulfils; nothing else of its kind is understood."""
        if not holds:
            raise _NotUnderstoodError
        return OPEN

    def value(self) -> str:
        kind, value = self.tokens.pop(0) if self.tokens else ("", "")
        if kind == "string":
            return value[1:-1]
        if kind != "word":
            raise _NotUnderstoodError
        return value

    def take(self, kind: str) -> str:
        if not self.tokens or self.tokens[0][0] != kind:
            raise _NotUnderstoodError
        return self.tokens.pop(0)[1]

    def expect(self, sign: str) -> None:
        if self.take("sign") != sign:
            raise _NotUnderstoodError


def _common_name(subject: str) -> str:
    """The CN in a subject as httpd writes it, in either form; empty without one, or with several."""
    parts = re.split(r"(?<!\\)[,/]\s*", subject)
    names = [part[3:] for part in parts if part.upper().startswith("CN=")]
    return names[0] if len(names) == 1 else ""
