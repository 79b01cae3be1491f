"""Certificates that the judge admits and our library does not read, or not whole, read for people all the same.

The judge forgives certificates what nobody can exploit (`rust/judge/src/der.rs`); what it admits, an operator must be
able to see, list and revoke. So a twin is made, in which only what cannot be read is written otherwise.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from mutualgate.model.signature import verify

UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    TypeError,
    OverflowError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What pyca/cryptography raises for bytes that it cannot take."""

_MOST_EXTENSIONS = 64
"""As many as the judge reads."""


@contextmanager
def odd_serials_allowed() -> Iterator[None]:
    """Silences the warning about serial numbers that are not positive: there are many, and we report them ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


class NotLegible(ValueError):
    """A certificate of which too much cannot be read; the text is the rest of a sentence about it."""


@dataclass(frozen=True)
class Oddity:
    """What breaks a rule of the encoding, in a sentence. `extension` is one that cannot be read, and is left out."""

    sentence: str
    extension: str = ""
    critical: bool = False
    twice: bool = False


@dataclass(frozen=True)
class Legible:
    """A certificate: its bytes, and what they say.

    Where there are oddities, `says` is a twin with other bytes, names and fingerprint: never hash, send or verify it.
    """

    der: bytes
    says: x509.Certificate
    oddities: tuple[Oddity, ...] = ()

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Legible":
        """One that our library has read, and that its caller knows to be whole."""
        return cls(certificate.public_bytes(Encoding.DER), certificate)

    @property
    def unread(self) -> frozenset[str]:
        """The extensions of which nothing is known but that they are there."""
        return frozenset(one.extension for one in self.oddities if one.extension)

    @cached_property
    def _fields(self) -> "list[_Element]":
        return _fields(self.der)

    @property
    def issuer(self) -> bytes:
        """The Name of its issuer, DER."""
        return self._fields[2].whole if self.oddities else self.says.issuer.public_bytes()

    @property
    def subject(self) -> bytes:
        """Its own Name, DER."""
        return self._fields[4].whole if self.oddities else self.says.subject.public_bytes()

    def signed_by(self, issuer: "Legible") -> bool:
        """Whether `issuer` says and proves that it signed this: names and signature, X.509 v1 too.

        Not by MD5 or SHA-1: pyca/cryptography takes no such signature (R15).
        """
        try:
            if not self.oddities and not issuer.oddities:
                self.says.verify_directly_issued_by(issuer.says)
            elif self.issuer != issuer.subject:
                return False
            else:  # over the bytes as they are, which the twin's are not
                verify(self.says, _element(self.der).inside[0].whole, issuer.says.public_key())
        except (*UNREADABLE, InvalidSignature):
            return False
        return True


def legible(der: bytes) -> Legible:
    """What `der` says. Raises `NotLegible`, and others of `UNREADABLE`, for what is none or cannot be told."""
    with odd_serials_allowed():
        return _legible(der)


def _legible(der: bytes) -> Legible:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        _check_times(der)
        return _twin(der, error)
    check_dates(certificate)
    try:
        # They are read only when they are asked for.
        _ = certificate.subject, certificate.issuer, certificate.extensions
    except UNREADABLE as error:
        return _twin(der, error)
    return Legible(der, certificate)


def check_dates(certificate: x509.Certificate) -> None:
    """Raises `NotLegible` for moments that no calendar of ours has, which are read only when they are asked for."""
    for name in ("not_valid_before_utc", "not_valid_after_utc"):
        try:
            getattr(certificate, name)
        except UNREADABLE as error:
            edge = "begins" if name == "not_valid_before_utc" else "ends"
            raise NotLegible(f"{edge} at a moment that cannot be read ({error})") from error


def _check_times(der: bytes) -> None:
    """Raises `NotLegible` for a certificate with a time that is none, such as 30 February: with it nothing is read."""
    try:
        times = _fields(der)[3].inside
    except (*UNREADABLE, IndexError):
        return
    for edge, time in zip(("begins", "ends"), times, strict=False):
        if time.kind == 0 and time.tag in _TIMES and not _is_time(time):
            said = ascii(time.content[:_MOST_OF_A_TIME].decode("latin-1"))
            raise NotLegible(f"{edge} at a moment that cannot be read ({said}, RFC 5280 4.1.2.5)")


def _is_time(time: "_Element") -> bool:
    length, form = _TIMES[time.tag]
    try:
        datetime.strptime(time.content.decode("ascii"), form)  # noqa: DTZ007  # only whether there is such a day
    except ValueError:
        return False
    return len(time.content) == length


# What is written otherwise


@dataclass(frozen=True)
class _Element:
    """One of DER (X.690 8.1): class, whether it is made of others, tag, contents."""

    kind: int
    made_of: int
    tag: int
    content: bytes

    @property
    def whole(self) -> bytes:
        from asn1crypto import parser

        return bytes(parser.emit(self.kind, self.made_of, self.tag, self.content))

    @cached_property
    def inside(self) -> "list[_Element]":
        return list(_elements(self.content))

    def of(self, parts: "list[_Element]") -> "_Element":
        """The same of other parts."""
        return _Element(self.kind, self.made_of, self.tag, b"".join(one.whole for one in parts))

    def is_context(self, tag: int) -> bool:
        return (self.kind, self.tag) == (2, tag)

    def is_universal(self, tag: int) -> bool:
        return (self.kind, self.tag) == (0, tag)


def _elements(data: bytes) -> Iterator[_Element]:
    from asn1crypto import parser

    while data:
        kind, made_of, tag, header, content, trailer = parser.parse(data, strict=False)
        found = _Element(kind, made_of, tag, content)
        size = len(header) + len(content) + len(trailer)
        if found.whole != data[:size]:
            raise NotLegible("is not in DER (X.690 10.1)")
        yield found
        data = data[size:]


def _element(data: bytes) -> _Element:
    found = list(_elements(data))
    if len(found) != 1:
        raise ValueError("more than one element")
    return found[0]


def _fields(der: bytes) -> "list[_Element]":
    """Those of the TBSCertificate, the version aside (RFC 5280 4.1)."""
    return [one for one in _element(_element(der).inside[0].whole).inside if not one.is_context(0)]


_TIMES = {23: (13, "%y%m%d%H%M%SZ"), 24: (15, "%Y%m%d%H%M%SZ")}
"""UTCTime and GeneralizedTime, as certificates have them (RFC 5280 4.1.2.5): how long, and how they are written."""
_MOST_OF_A_TIME = 20
_BIT_STRING, _UTF8 = 3, 12
_EXTENSIONS = 3
_TEXTS: dict[int, tuple[str, str, str]] = {
    12: ("UTF8String", "utf-8", "utf-8"),
    18: ("NumericString", "ascii", "utf-8"),
    19: ("PrintableString", "ascii", "utf-8"),
    20: ("T61String", "ascii", "latin-1"),
    22: ("IA5String", "ascii", "utf-8"),
    26: ("VisibleString", "ascii", "utf-8"),
    28: ("UniversalString", "utf-32-be", "utf-32-be"),
    30: ("BMPString", "utf-16-be", "utf-16-be"),
}
"""Types of text in names (RFC 5280 4.1.2.4), how our library reads each, and how the judge does (`name.rs`)."""
_PRINTABLE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
"""X.680 41.4."""
_SPELT_FALSE = bytes.fromhex("010100")
_SPELT_V1 = bytes.fromhex("a003020100")
_UNIQUE_IDENTIFIER = bytes.fromhex("55042d")
"""x500UniqueIdentifier, 2.5.4.45: the one attribute that is no text."""
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")


def _twin(der: bytes, error: Exception) -> Legible:
    """Raises `error` where nothing is found that is to blame for it."""
    odd: list[Oddity] = []
    try:
        outer = _element(der)
        tbs, *rest = outer.inside
        fields = list(tbs.inside)
        if fields[0].whole == _SPELT_V1:
            odd.append(Oddity("It spells out that it is X.509 v1, which DER leaves out (X.690 11.5)."))
            del fields[0]
        version = int(fields[0].is_context(0))
        for index, whose in ((version + 2, "issuer"), (version + 4, "subject")):
            fields[index] = _name(fields[index], whose, odd)

        def made(extensions: list[_Element]) -> x509.Certificate:
            listed = [last.of([last.inside[0].of(extensions)])] if extensions else []
            return x509.load_der_x509_certificate(outer.of([tbs.of([*fields, *listed]), *rest]).whole)

        last = fields[-1]
        extensions = []
        if last.is_context(_EXTENSIONS):
            fields.pop()
            extensions = _readable(last.inside[0].inside, made, odd)
        certificate = made(extensions)
        _ = certificate.subject, certificate.issuer
    except (*UNREADABLE, IndexError) as other:
        raise error from other
    check_dates(certificate)
    if not odd:
        raise error
    return Legible(der, certificate, tuple(dict.fromkeys(odd)))


def _readable(
    listed: list[_Element], made: Callable[[list[_Element]], x509.Certificate], odd: list[Oddity]
) -> list[_Element]:
    """Those of the extensions that can be read, as our library wants them."""
    if len(listed) > _MOST_EXTENSIONS:
        raise ValueError("too many extensions")
    kept: dict[bytes, _Element] = {}
    for one in listed:
        plain = _plain_extension(one, odd)
        oid = one.inside[0].content
        if oid in kept:
            odd.append(Oddity(f"It has the extension {_dotted(oid)} twice.", _dotted(oid), twice=True))
            continue
        try:
            _ = made([plain]).extensions
            kept[oid] = plain
        except UNREADABLE:
            critical = len(plain.inside) > 2
            odd.append(Oddity(f"Its extension {_dotted(oid)} cannot be read.", _dotted(oid), critical))
    return list(kept.values())


def _plain_extension(extension: _Element, odd: list[Oddity]) -> _Element:
    oid, *flag, value = extension.inside
    if flag and flag[0].whole == _SPELT_FALSE:
        odd.append(Oddity("It spells out that an extension is not critical, which DER leaves out (X.690 11.5)."))
        flag = []
    if oid.content == _BASIC_CONSTRAINTS:
        try:
            constraints = _element(value.content)
            if constraints.inside and constraints.inside[0].whole == _SPELT_FALSE:
                odd.append(Oddity("It spells out that it is no CA's, which DER leaves out (X.690 11.5)."))
                value = _Element(value.kind, value.made_of, value.tag, constraints.of(constraints.inside[1:]).whole)
        except UNREADABLE:
            pass  # it is left out
    return extension.of([oid, *flag, value])


def _name(name: _Element, whose: str, odd: list[Oddity]) -> _Element:
    parts = []
    for names in name.inside:
        attributes = [one.of([one.inside[0], _text(*one.inside, whose=whose, odd=odd)]) for one in names.inside]
        in_order = sorted(attributes, key=lambda one: one.whole)
        as_sent = [one.whole for one in names.inside]
        if as_sent != sorted(as_sent):
            odd.append(Oddity(f"The parts of its {whose} are not in the order of DER (X.690 11.6)."))
        parts.append(names.of(in_order))
    return name.of(parts)


def _text(kind: _Element, value: _Element, *, whose: str, odd: list[Oddity]) -> _Element:
    """In UTF-8, where it is no text of its type: as the judge says it to a service behind."""
    hexadecimal = f"#{value.whole.hex()}"  # RFC 4514 2.4
    if value.kind != 0 or value.tag not in _TEXTS:
        if value.is_universal(_BIT_STRING) and kind.content == _UNIQUE_IDENTIFIER:
            return value
        odd.append(Oddity(f"Its {whose} has a part that is no text."))
        return _Element(0, 0, _UTF8, hexadecimal.encode())
    called, strictly, leniently = _TEXTS[value.tag]
    if _is(value.content, strictly) and (called != "PrintableString" or _PRINTABLE.issuperset(value.content)):
        return value
    odd.append(Oddity(f"Its {whose} has a character that programs read in different ways ({called})."))
    encoding = "utf-8" if _is(value.content, "utf-8") and strictly == "ascii" else leniently
    text = value.content.decode(encoding) if _is(value.content, encoding) else hexadecimal
    return _Element(0, 0, _UTF8, text.encode())


def _is(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _dotted(oid: bytes) -> str:
    from asn1crypto.core import ObjectIdentifier

    try:
        return str(ObjectIdentifier(contents=oid).dotted)[:100]
    except (ValueError, IndexError):
        return "(unreadable)"
