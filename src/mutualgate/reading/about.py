"""What a certificate is: the facts from which it is explained, and its headline."""

from datetime import timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from mutualgate.model.legible import Legible
from mutualgate.reading.files import OLD_HASHES, UNREADABLE, name_text, odd_serials_allowed, shown
from mutualgate.reading.weak_keys import examine, key_words

MAX_NAMES_SHOWN = 20

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class Facts:
    """What of a certificate the findings are made from; an extension that cannot be read is as if it were not there."""

    def __init__(self, legible: Legible) -> None:
        self.legible = legible
        self.certificate = certificate = legible.says
        self.key, self.weakness = examine(certificate)
        with odd_serials_allowed():
            self.v1 = certificate.version is x509.Version.v1
            self.extensions = certificate.extensions
        self.self_issued = self_issued(legible)
        self.self_signed = self.self_issued and legible.signed_by(legible)
        constraints = self._value(x509.BasicConstraints)
        self.is_ca = constraints is not None and constraints.ca
        self.usage = self._value(x509.KeyUsage)
        purposes = self._value(x509.ExtendedKeyUsage)
        # Purposes that nobody can read allow nothing; without any, all are allowed.
        unread = () if ExtensionOID.EXTENDED_KEY_USAGE.dotted_string in legible.unread else None
        self.purposes: tuple[x509.ObjectIdentifier, ...] | None = unread if purposes is None else tuple(purposes)
        self.sans = self._value(x509.SubjectAlternativeName)
        self.key_identifier = self._value(x509.AuthorityKeyIdentifier)

    def _value(self, kind: type[Extension]) -> Extension | None:
        try:
            return self.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    @property
    def for_clients(self) -> bool:
        """Whether its EKU lets it be used by a client (RFC 5280 4.2.1.12); without the extension, it does."""
        allowed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        return self.purposes is None or bool(allowed & set(self.purposes))

    @property
    def old_hash(self) -> str | None:
        """The name of the worthless hash it is signed with, or None."""
        try:
            algorithm = self.certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return "an algorithm that nobody should use today"
        return algorithm.name.upper().replace("SHA1", "SHA-1") if isinstance(algorithm, OLD_HASHES) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The subjectAltName entries, as text."""
        if self.sans is None:
            return ()
        texts = []
        for name in list(self.sans)[:MAX_NAMES_SHOWN]:
            value = name.value
            texts.append(shown(name_text(value) if isinstance(value, x509.Name) else str(value)))
        rest = len(list(self.sans)) - MAX_NAMES_SHOWN
        return (*texts, f"and {rest} more") if rest > 0 else tuple(texts)

    @property
    def headline(self) -> str:
        """`self-signed, RSA 2048, three years, no extended key usage`."""
        parts = []
        if self.self_signed:
            parts.append("self-signed")
        elif self.self_issued:
            parts.append("issued by itself, it says, but its signature does not verify")
        else:
            parts.append(f"signed by {issuer_in_short(self.certificate)}")
        parts.append("an unreadable key" if self.key is None else key_words(self.key))
        parts.append(lifetime_words(self.certificate.not_valid_after_utc - self.certificate.not_valid_before_utc))
        if self.v1:
            parts.append("X.509 v1")
        if self.is_ca:
            parts.append("a CA (CA:TRUE)")
        parts.append(self._purpose_words())
        if self.old_hash:
            parts.append(f"signed with {self.old_hash}")
        return ", ".join(parts)

    def _purpose_words(self) -> str:
        if self.purposes is None:
            return "no extended key usage"
        words = {
            ExtendedKeyUsageOID.CLIENT_AUTH: "clients",
            ExtendedKeyUsageOID.SERVER_AUTH: "servers",
            ExtendedKeyUsageOID.EMAIL_PROTECTION: "e-mail",
            ExtendedKeyUsageOID.CODE_SIGNING: "signing code",
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any use",
        }
        named = list(dict.fromkeys(words.get(purpose, "something else") for purpose in self.purposes[:10]))
        return "for " + (" and ".join(named) or "no use at all")


def lifetime_words(span: timedelta) -> str:
    """`three years`, `13 months`, `90 days`, `6 hours`: how long, as people say it."""
    days = round(span / timedelta(days=1))
    years = round(days / 365.25)
    if (
        years and abs(days - years * 365) <= 3 + years // 4
    ):  # the days of leap years, and a month more or less is not it
        return _counted(years, "year")
    if days > 120:
        return _counted(round(days / 30.44), "month")
    return _counted(days, "day") if days else _counted(max(round(span / timedelta(hours=1)), 1), "hour")


def _counted(number: int, unit: str) -> str:
    words = "zero one two three four five six seven eight nine ten eleven twelve".split()
    return f"{words[number] if number <= 12 else number} {unit}{'s' * (number != 1)}"


def self_issued(certificate: Legible) -> bool:
    """Whether it names itself as its issuer."""
    return certificate.subject == certificate.issuer


def issuer_in_short(certificate: x509.Certificate) -> str:
    """The issuer in as few words as people use: its organisation or common name."""
    try:
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
            found = certificate.issuer.get_attributes_for_oid(oid)
            if found and found[0].value:
                return shown(str(found[0].value), 60)
    except UNREADABLE:
        pass
    return issuer_text(certificate)


def issuer_text(certificate: x509.Certificate) -> str:
    """The issuer as it is, for people."""
    try:
        return name_text(certificate.issuer)
    except UNREADABLE:
        return "(unreadable)"
