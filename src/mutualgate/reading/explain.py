"""Says what a certificate is, in words: what will work with it and what not, why, and which ways it opens.

For uploads of any form and for chains as a handshake brought them. Judges nothing and admits nobody: whether it lets
somebody in, the judge decides. Names no client and no partner, so that it can be shown to whoever sent the certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualgate.errors import BadInput
from mutualgate.reading.containers import MAX_CERTIFICATES, MAX_UPLOAD_BYTES, Contents, open_upload
from mutualgate.reading.files import OLD_HASHES, UNREADABLE, name_text, odd_serials_allowed, shown, subject_text
from mutualgate.reading.weak_keys import Weakness, examine, key_fingerprint, key_words

MAX_NAMES_SHOWN = 20

Extension = TypeVar("Extension", bound=x509.ExtensionType)

_SHA256 = hashes.SHA256()


class Way(StrEnum):
    """A way in."""

    PIN = "pin"
    PARTNER = "partner"
    OURS = "ours"


class Effect(StrEnum):
    """What a finding means for whoever it affects."""

    FINE = "fine"
    NOTE = "note"
    FAILS = "fails"


@dataclass(frozen=True)
class Finding:
    """One thing that matters. `code` is stable; `whom` names who is affected, in words ("browsers", ".NET clients")."""

    code: str
    effect: Effect
    whom: str
    sentence: str


@dataclass(frozen=True)
class Opening:
    """Whether a way is open to this certificate, and why or why not."""

    way: Way
    open: bool
    sentence: str


@dataclass(frozen=True)
class Described:
    """A certificate's facts, every text fit to be shown. `fingerprint` and `spki` are SHA-256, hexadecimal."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    serial: str
    not_before: datetime
    not_after: datetime
    key: str
    fingerprint: str
    spki: str
    headline: str


@dataclass(frozen=True)
class Explanation:
    """All of it. `headline` is the first sentence; `works` the second; `certificate` is None for a CSR.

    `chain` is what came with it, nearest issuer first; `extra` counts certificates that have nothing to do with it.
    `der` and `chain_der` are for whoever records a pin.
    """

    form: str
    headline: str
    works: str
    certificate: Described | None
    chain: tuple[Described, ...]
    extra: int
    findings: tuple[Finding, ...]
    ways: tuple[Opening, ...]
    der: bytes
    chain_der: tuple[bytes, ...]

    def way(self, way: Way) -> Opening:
        """What is said about one way."""
        return next(one for one in self.ways if one.way is way)


@dataclass(frozen=True)
class _Cutoff:
    """When a public CA stopped, or stops, to put clientAuth into what it issues."""

    organisations: tuple[str, ...]
    called: str
    last: date


# From the CAs' own announcements. The root programs of the browsers want it of all: their roots are for servers alone.
_CUTOFFS = (
    _Cutoff(("Let's Encrypt",), "Let's Encrypt", date(2026, 5, 13)),
    _Cutoff(("Google Trust Services", "Google Trust Services LLC"), "Google Trust Services", date(2026, 4, 13)),
    _Cutoff(("DigiCert Inc", "DigiCert, Inc.", "DigiCert Inc."), "DigiCert", date(2027, 3, 1)),
)


def explain(data: bytes | bytearray, where: str, *, now: datetime) -> Explanation:
    """Explains an upload: PEM, DER, PKCS#7, or a .p12 without key and password. `where` names it in errors.

    BadInput when there is no certificate or CSR in it. Code `private_key_given` when a private key is: a bytearray is
    overwritten then, so whoever takes uploads hands in one (see `containers.open_upload`).
    """
    contents = open_upload(data, where)
    if contents.request is not None:
        return _explain_request(contents)
    leaf, chain, extra = _sorted(contents.certificates)
    return _explain(contents.form, leaf, chain, extra, now)


def explain_chain(ders: Sequence[bytes], *, now: datetime) -> Explanation:
    """Explains a chain as a handshake brought it: DER, leaf first. BadInput when it is not one."""
    where = "the certificate of this connection"
    if not ders or len(ders) > MAX_CERTIFICATES or sum(map(len, ders)) > MAX_UPLOAD_BYTES:
        raise BadInput("is no chain of certificates", where=where, expected=f"1 to {MAX_CERTIFICATES} certificates")
    with odd_serials_allowed():
        try:
            leaf, *others = [x509.load_der_x509_certificate(der) for der in ders]
        except UNREADABLE as error:
            raise BadInput("is no X.509 certificate", where=where, expected="a certificate") from error
    chain = _chain_of(leaf, others)
    return _explain("handshake", leaf, chain, len(others) - len(chain), now)


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


# Which of several is meant


def _sorted(found: Sequence[x509.Certificate]) -> tuple[x509.Certificate, list[x509.Certificate], int]:
    """The certificate that is meant, its chain, and how many are neither: files hold them in any order.

    It is the first that issued none of the others; a file with nothing but CAs means the lowest of them.
    """
    unique = list({one.fingerprint(_SHA256): one for one in found}.values())
    issuers = {_issuer_bytes(one) for one in unique if not _self_issued(one)}  # by name: signatures cost
    leaf = next((one for one in unique if _subject_bytes(one) not in issuers), unique[0])
    chain = _chain_of(leaf, [one for one in unique if one is not leaf])
    return leaf, chain, len(unique) - 1 - len(chain)


def _chain_of(leaf: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    chain: list[x509.Certificate] = []
    link, rest = leaf, list(others)
    while not _self_issued(link) and (above := next((one for one in rest if _issued(one, link)), None)) is not None:
        rest.remove(above)
        chain.append(above)
        link = above
    return chain


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """By name and signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _subject_bytes(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.subject.public_bytes()
    except UNREADABLE:
        return b""


def _issuer_bytes(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.issuer.public_bytes()
    except UNREADABLE:
        return b""


def _self_issued(certificate: x509.Certificate) -> bool:
    try:
        return certificate.subject == certificate.issuer
    except UNREADABLE:
        return False


# What a certificate is


class _Facts:
    """What of a certificate the findings are made from; a part that cannot be read is as if it were not there."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate
        self.key, self.weakness = examine(certificate)
        with odd_serials_allowed():
            self.v1 = certificate.version is x509.Version.v1
            try:
                self.extensions: x509.Extensions | None = certificate.extensions
            except UNREADABLE:
                self.extensions = None
        self.self_issued = _self_issued(certificate)
        self.self_signed = self.self_issued and _issued(certificate, certificate)
        constraints = self._value(x509.BasicConstraints)
        self.is_ca = constraints is not None and constraints.ca
        self.usage = self._value(x509.KeyUsage)
        purposes = self._value(x509.ExtendedKeyUsage)
        self.purposes: tuple[x509.ObjectIdentifier, ...] | None = None if purposes is None else tuple(purposes)
        self.sans = self._value(x509.SubjectAlternativeName)
        self.key_identifier = self._value(x509.AuthorityKeyIdentifier)

    def _value(self, kind: type[Extension]) -> Extension | None:
        if self.extensions is None:
            return None
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
            parts.append(f"signed by {_short(self.certificate)}")
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
        if self.extensions is None:
            return "extensions that cannot be read"
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


def _short(certificate: x509.Certificate) -> str:
    """The issuer in as few words as people use: its organisation or common name."""
    try:
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
            found = certificate.issuer.get_attributes_for_oid(oid)
            if found and found[0].value:
                return shown(str(found[0].value), 60)
    except UNREADABLE:
        pass
    return _issuer_text(certificate)


def _issuer_text(certificate: x509.Certificate) -> str:
    try:
        return name_text(certificate.issuer)
    except UNREADABLE:
        return "(unreadable)"


def _described(facts: _Facts) -> Described:
    certificate = facts.certificate
    with odd_serials_allowed():
        number = certificate.serial_number
    return Described(
        subject=subject_text(certificate),
        issuer=_issuer_text(certificate),
        names=facts.names,
        serial=f"{'-' * (number < 0)}{abs(number):x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key="unreadable" if facts.key is None else key_words(facts.key),
        fingerprint=certificate.fingerprint(_SHA256).hex(),
        spki="" if facts.key is None else key_fingerprint(facts.key).hex(),
        headline=facts.headline,
    )


def _explain(
    form: str, leaf: x509.Certificate, chain: list[x509.Certificate], extra: int, now: datetime
) -> Explanation:
    facts = _Facts(leaf)
    above = [_Facts(one) for one in chain]
    findings = tuple(_findings(facts, above, extra, now))
    return Explanation(
        form=form,
        headline=facts.headline[0].upper() + facts.headline[1:] + ".",
        works=_works(findings),
        certificate=_described(facts),
        chain=tuple(_described(one) for one in above),
        extra=extra,
        findings=findings,
        ways=(_pin(facts, now), _partner(facts, now), _ours()),
        der=leaf.public_bytes(Encoding.DER),
        chain_der=tuple(one.public_bytes(Encoding.DER) for one in chain),
    )


def _explain_request(contents: Contents) -> Explanation:
    request = contents.request
    assert request is not None  # noqa: S101 - the caller looked
    key, weakness = examine(request)
    kind = "an unreadable key" if key is None else key_words(key)
    findings = () if weakness is None else (_weak(weakness),)
    return Explanation(
        form=contents.form,
        headline=f"A request for a certificate (CSR), {kind}, for {subject_text(request)}.",
        works="It is no certificate yet: have it signed." if weakness is None else _works(findings),
        certificate=None,
        chain=(),
        extra=0,
        findings=findings,
        ways=(
            Opening(Way.PIN, False, "There is no certificate yet that could be pinned."),
            Opening(Way.PARTNER, False, "There is no certificate yet."),
            Opening(Way.OURS, weakness is None, "Our authority signs it." if weakness is None else weakness.sentence),
        ),
        der=b"",
        chain_der=(),
    )


# What works


def _findings(facts: _Facts, above: list[_Facts], extra: int, now: datetime) -> list[Finding]:
    found: list[Finding] = []
    certificate = facts.certificate
    if facts.weakness is not None:
        found.append(_weak(facts.weakness))
    found += _dates(certificate, now)
    found += _purpose(facts)
    if facts.is_ca:
        found += _ca(facts)
    if facts.v1:
        found.append(
            Finding(
                "v1",
                Effect.FAILS,
                "partner CAs",
                "It is X.509 v1, which has no extensions: it cannot be accepted under a CA, only pinned.",
            )
        )
    if facts.extensions is None:
        found.append(Finding("extensions", Effect.FAILS, "many programs", "Its extensions cannot be read."))
    if facts.old_hash is not None and not facts.self_signed:
        sentence = f"It is signed with {facts.old_hash}, which proves nothing any more: under a CA it is refused."
        found.append(Finding("old_hash", Effect.FAILS, "partner CAs", sentence))
    if facts.key is not None and key_words(facts.key) in ("Ed25519", "P-521"):
        sentence = f"Browsers cannot use a key of the kind {key_words(facts.key)}. Programs such as curl can."
        found.append(Finding("browser_key", Effect.FAILS, "browsers", sentence))
    found += _cutoff(facts, now)
    found += _payment(facts)
    found += _chain_findings(facts, above, extra, now)
    return found


def _weak(weakness: Weakness) -> Finding:
    return Finding("weak_key", Effect.FAILS, "everybody", f"{weakness.sentence} It is let in nowhere.")


def _dates(certificate: x509.Certificate, now: datetime) -> list[Finding]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < begin:
        return [Finding("dates", Effect.FAILS, "everybody", "It ends before it begins.")]
    if end < now:
        sentence = (
            f"It expired on {_day(end)}. Browsers hide an expired certificate and send none; the gate refuses it."
        )
        return [Finding("expired", Effect.FAILS, "everybody", sentence)]
    if begin > now:
        sentence = f"It is not valid before {begin:%d %B %Y, %H:%M} UTC: wait, or set the clock that made it."
        return [Finding("not_yet_valid", Effect.FAILS, "everybody", sentence)]
    if end - now < timedelta(days=30):
        return [Finding("expires_soon", Effect.NOTE, "everybody", f"It expires on {_day(end)}.")]
    return []


def _purpose(facts: _Facts) -> list[Finding]:
    found = []
    if not facts.for_clients:
        sentence = (
            "Its extended key usage does not name clientAuth. Browsers and .NET clients then send no certificate at "
            "all; curl, Java and OpenSSL send it."
        )
        found.append(Finding("no_client_auth", Effect.FAILS, "browsers and .NET clients", sentence))
        found.append(
            Finding(
                "no_client_auth_ca",
                Effect.FAILS,
                "partner CAs",
                "A certificate that is not for clients is refused under a CA (RFC 5280 4.2.1.12); a pin ignores it.",
            )
        )
    elif facts.purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in facts.purposes:
        sentence = (
            'Its extended key usage says "any". .NET clients look for clientAuth by name and send no certificate.'
        )
        found.append(Finding("any_purpose", Effect.FAILS, ".NET clients", sentence))
    elif facts.purposes is None and not facts.v1:
        sentence = (
            "It has no extended key usage, so it may be used for anything. Current .NET sends it; programs that were "
            "written to look for clientAuth pass it over."
        )
        found.append(Finding("no_purpose", Effect.NOTE, ".NET clients", sentence))
    if facts.usage is not None and not facts.usage.digital_signature:
        sentence = (
            "Its key usage does not include digitalSignature, with which a client proves itself (RFC 5280 4.2.1.3): "
            ".NET clients send no certificate, other programs may refuse it."
        )
        found.append(Finding("no_digital_signature", Effect.FAILS, ".NET clients", sentence))
    return found


def _ca(facts: _Facts) -> list[Finding]:
    if facts.self_signed:
        sentence = (
            "It says that it is a CA (CA:TRUE), as `openssl req -x509` makes them unasked. Browsers hide it "
            "and send none. As a pin it lets in itself only, and can vouch for nobody."
        )
    else:
        sentence = "It is the certificate of a CA. Browsers hide it and send none."
    return [
        Finding("ca_true", Effect.FAILS, "browsers", sentence),
        Finding("ca_leaf", Effect.FAILS, "partner CAs", "A CA's certificate is refused as a client's under a CA."),
    ]


def _cutoff(facts: _Facts, now: datetime) -> list[Finding]:
    """A name proves nothing, but whoever has a certificate of a public CA is told what comes."""
    if facts.purposes is None or facts.self_issued:
        return []
    try:
        organisations = {
            str(one.value) for one in facts.certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        }
    except UNREADABLE:
        return []
    for cutoff in _CUTOFFS:
        if organisations & set(cutoff.organisations):
            past = cutoff.last <= now.date()
            verb = (
                "has put clientAuth into no new certificate since"
                if past
                else "stops putting clientAuth into certificates on"
            )
            sentence = (
                f"{cutoff.called} {verb} {_day(cutoff.last)}: the one that replaces this will not work for browsers "
                "and .NET clients."
            )
            return [Finding("public_ca", Effect.NOTE, "renewals", sentence)]
    return []


def _payment(facts: _Facts) -> list[Finding]:
    """What an eIDAS certificate says of a payment service provider; no page decides by it."""
    from mutualgate.reading import psd2

    provider = psd2.read(facts.certificate)
    if provider is None:
        return []
    whom = "payment service providers"
    odd = [Finding("psd2_odd", Effect.NOTE, whom, f"{one[0].upper()}{one[1:]}.") for one in provider.odd]
    return [Finding("psd2", Effect.NOTE, whom, f"It is {_lower_first(provider.sentence)}"), *odd]


def _lower_first(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _chain_findings(facts: _Facts, above: list[_Facts], extra: int, now: datetime) -> list[Finding]:
    found = []
    if not facts.self_issued and not above:
        sentence = (
            f"The certificate of its issuer, {_short(facts.certificate)}, did not come along. A pin needs none; "
            "under a partner's CA the gate needs it when there is a CA between the two."
        )
        found.append(Finding("chain_missing", Effect.NOTE, "partner CAs", sentence))
    for link in above:
        name = subject_text(link.certificate)
        if link.certificate.not_valid_after_utc < now:
            found.append(
                Finding(
                    "chain_expired",
                    Effect.FAILS,
                    "partner CAs",
                    f"{name} above it expired on {_day(link.certificate.not_valid_after_utc)}.",
                )
            )
        if link.v1 or not link.is_ca:
            found.append(
                Finding("chain_not_ca", Effect.FAILS, "partner CAs", f"{name} above it is no CA's certificate.")
            )
        if link.weakness is not None:
            found.append(
                Finding("chain_weak", Effect.FAILS, "partner CAs", f"{name} above it: {link.weakness.sentence}")
            )
        if not link.for_clients:
            sentence = (
                f"{name} above it is not for issuing clients' certificates: its extended key usage lacks clientAuth."
            )
            found.append(Finding("chain_purpose", Effect.FAILS, "partner CAs", sentence))
    if extra:
        sentence = (
            f"{extra} more {'certificate is' if extra == 1 else 'certificates are'} in it that have nothing to do "
            "with it, and are left out."
        )
        found.append(Finding("extra", Effect.NOTE, "nobody", sentence))
    return found


def _works(findings: tuple[Finding, ...]) -> str:
    """The whole in one sentence; partner CAs have a line of their own among the ways."""
    failing = [one for one in findings if one.effect is Effect.FAILS and one.whom != "partner CAs"]
    all_of_them = next((one for one in failing if one.whom == "everybody"), None)
    if all_of_them is not None:
        return f"It works nowhere: {_lower(all_of_them.sentence)}"
    if not failing:
        return "It works everywhere."
    whom = list(dict.fromkeys(one.whom for one in failing))
    if "browsers and .NET clients" in whom:
        whom = [one for one in whom if one not in ("browsers", ".NET clients")]
    because = _lower(failing[0].sentence.partition(". ")[0].rstrip("."))
    return f"It works everywhere except for {' and '.join(whom)}: {because}."


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:] if sentence.startswith(("It ", "Its ", "The ", "Browsers ")) else sentence


# Which ways are open


def _usable(facts: _Facts, now: datetime) -> str | None:
    """What keeps it out everywhere, or None."""
    if facts.weakness is not None:
        return facts.weakness.sentence
    dates = [one for one in _dates(facts.certificate, now) if one.effect is Effect.FAILS]
    return dates[0].sentence if dates else None


def _pin(facts: _Facts, now: datetime) -> Opening:
    wrong = _usable(facts, now)
    if wrong is not None:
        return Opening(Way.PIN, False, wrong)
    if facts.is_ca and not facts.self_signed:
        return Opening(Way.PIN, True, "It can be pinned, but it is a CA's: pin the certificate that you connect with.")
    return Opening(Way.PIN, True, "It can be pinned: this certificate itself lets you in, until it expires.")


def _partner(facts: _Facts, now: datetime) -> Opening:
    wrong = _usable(facts, now)
    if wrong is not None:
        return Opening(Way.PARTNER, False, wrong)
    if facts.v1:
        return Opening(Way.PARTNER, False, "X.509 v1 is not accepted under a CA.")
    if facts.is_ca:
        return Opening(
            Way.PARTNER,
            True,
            "As a partner's CA it can be registered, with the names that it may speak for, if that is what it is.",
        )
    if facts.self_issued:
        return Opening(Way.PARTNER, False, "It is self-signed: there is no CA behind it.")
    if not facts.for_clients:
        return Opening(Way.PARTNER, False, "Its extended key usage does not name clientAuth.")
    if facts.old_hash is not None:
        return Opening(Way.PARTNER, False, f"It is signed with {facts.old_hash}.")
    return Opening(
        Way.PARTNER,
        True,
        f"If {_short(facts.certificate)} is your company's own CA, the company can register it as a partner.",
    )


def _ours() -> Opening:
    return Opening(Way.OURS, True, "Our authority can issue one: make a key in the page, or send a CSR.")


def _day(moment: date) -> str:
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC).date()
    return f"{moment.day} {moment:%B %Y}"
