"""What will work with a certificate and what not, for whom and why, and which ways in it opens. Judges nothing."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualgate.clock import CLOCK_SKEW
from mutualgate.reading.about import Facts, issuer_in_short
from mutualgate.reading.files import UNREADABLE, subject_text
from mutualgate.reading.weak_keys import Weakness, key_words


class Way(StrEnum):
    """A way in."""

    PIN = "pin"
    PARTNER = "partner"
    OURS = "ours"


# Whom a finding affects. Firefox and Chrome on Linux choose by NSS, which is stricter than Windows and macOS.
_BROWSERS = "browsers"
_DOTNET = ".NET clients"
_BROWSERS_AND_DOTNET = "browsers and .NET clients"
_NSS = "Firefox and Chrome on Linux"
_NSS_AND_DOTNET = "Firefox, Chrome on Linux and .NET clients"
_SOME_DOTNET = "some .NET clients"
_SOME_LIBRARIES = "some TLS libraries"
_SOME = (_SOME_DOTNET, _SOME_LIBRARIES)
PARTNER_CAS = "partner CAs"
_COVERS = {
    _BROWSERS_AND_DOTNET: (_BROWSERS, _DOTNET, _NSS, _NSS_AND_DOTNET),
    _NSS_AND_DOTNET: (_DOTNET, _NSS),
    _BROWSERS: (_NSS,),
}


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


def findings_of(facts: Facts, above: list[Facts], extra: int, now: datetime) -> list[Finding]:
    """All that matters about it, with what came along."""
    found: list[Finding] = []
    certificate = facts.certificate
    if facts.weakness is not None:
        found.append(weak(facts.weakness))
    found += _dates(certificate, now)
    found += _purpose(facts)
    if facts.is_ca:
        found += _ca(facts)
    if facts.v1:
        found.append(
            Finding(
                "v1",
                Effect.FAILS,
                PARTNER_CAS,
                "It is X.509 v1, which has no extensions: it cannot be accepted under a CA, only pinned.",
            )
        )
        sentence = "It is X.509 v1: Firefox and Java send it, some TLS libraries do not."
        found.append(Finding("v1_sent", Effect.NOTE, _SOME_LIBRARIES, sentence))
    for odd in facts.legible.oddities:
        if odd.extension:
            found.append(Finding("extensions", Effect.FAILS, "many programs", odd.sentence))
        else:
            sentence = f"{odd.sentence} Programs that are strict take it for no certificate."
            found.append(Finding("odd_encoding", Effect.FAILS, "many programs", sentence))
    if facts.old_hash is not None and not facts.self_signed:
        sentence = f"It is signed with {facts.old_hash}, which proves nothing any more: under a CA it is refused."
        found.append(Finding("old_hash", Effect.FAILS, PARTNER_CAS, sentence))
    if facts.old_hash is not None:
        sentence = (
            f"It is signed with {facts.old_hash}: no matter to a pin, which compares it whole, but TLS libraries may "
            "refuse to send it."
        )
        found.append(Finding("old_hash_sent", Effect.NOTE, _SOME_LIBRARIES, sentence))
    if facts.key is not None and key_words(facts.key) == "Ed25519":
        sentence = "Browsers cannot use a key of the kind Ed25519. Programs such as curl can."
        found.append(Finding("browser_key", Effect.FAILS, _BROWSERS, sentence))
    found += _cutoff(facts, now)
    found += _payment(facts)
    found += _chain_findings(facts, above, extra, now)
    return found


def weak(weakness: Weakness) -> Finding:
    """What is said of a key that is not good enough."""
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
    if begin > now + CLOCK_SKEW:
        sentence = f"It is not valid before {_day(begin)}, {begin:%H:%M} UTC: wait, or set the clock that made it."
        return [Finding("not_yet_valid", Effect.FAILS, "everybody", sentence)]
    if end - now < timedelta(days=30):
        return [Finding("expires_soon", Effect.NOTE, "everybody", f"It expires on {_day(end)}.")]
    return []


def _purpose(facts: Facts) -> list[Finding]:
    found = []
    if not facts.for_clients:
        sentence = (
            "Its extended key usage does not name clientAuth. Browsers and .NET clients then send no certificate at "
            "all; curl, Java and OpenSSL send it."
        )
        found.append(Finding("no_client_auth", Effect.FAILS, _BROWSERS_AND_DOTNET, sentence))
        found.append(
            Finding(
                "no_client_auth_ca",
                Effect.FAILS,
                PARTNER_CAS,
                "A certificate that is not for clients is refused under a CA (RFC 5280 4.2.1.12); a pin ignores it.",
            )
        )
    elif facts.purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in facts.purposes:
        sentence = (
            'Its extended key usage says "any". Firefox, Chrome on Linux and .NET clients look for clientAuth by name '
            "and send no certificate."
        )
        found.append(Finding("any_purpose", Effect.FAILS, _NSS_AND_DOTNET, sentence))
    elif facts.purposes is None and not facts.v1:
        sentence = (
            "It has no extended key usage, so it may be used for anything. Current .NET sends it; programs that were "
            "written to look for clientAuth pass it over."
        )
        found.append(Finding("no_purpose", Effect.NOTE, _SOME_DOTNET, sentence))
    if facts.usage is not None and not facts.usage.digital_signature:
        sentence = (
            "Its key usage does not include digitalSignature, with which a client proves itself (RFC 5280 4.2.1.3): "
            "browsers and .NET clients send no certificate, other programs may refuse it."
        )
        found.append(Finding("no_digital_signature", Effect.FAILS, _BROWSERS_AND_DOTNET, sentence))
    return found


def _ca(facts: Facts) -> list[Finding]:
    sentence = "It is the certificate of a CA."
    if facts.self_signed:
        sentence = (
            "It says that it is a CA (CA:TRUE), as `openssl req -x509` makes them unasked. As a pin it lets in itself "
            "only, and can vouch for nobody."
        )
    seen = Finding("ca_true", Effect.NOTE, "everybody", sentence)
    if facts.purposes is not None:
        sentence += " A CA's with an extended key usage is hidden by Firefox and Chrome on Linux, which send none."
        seen = Finding("ca_true", Effect.FAILS, _NSS, sentence)
    return [
        seen,
        Finding("ca_leaf", Effect.FAILS, PARTNER_CAS, "A CA's certificate is refused as a client's under a CA."),
    ]


def _cutoff(facts: Facts, now: datetime) -> list[Finding]:
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


def _payment(facts: Facts) -> list[Finding]:
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


def _chain_findings(facts: Facts, above: list[Facts], extra: int, now: datetime) -> list[Finding]:
    found = []
    if not facts.self_issued and not above:
        sentence = (
            f"The certificate of its issuer, {issuer_in_short(facts.certificate)}, did not come along. A pin needs"
            " none; under a partner's CA the gate needs it when there is a CA between the two."
        )
        found.append(Finding("chain_missing", Effect.NOTE, PARTNER_CAS, sentence))
    for link in above:
        name = subject_text(link.certificate)
        if link.certificate.not_valid_after_utc < now:
            found.append(
                Finding(
                    "chain_expired",
                    Effect.FAILS,
                    PARTNER_CAS,
                    f"{name} above it expired on {_day(link.certificate.not_valid_after_utc)}.",
                )
            )
        if link.v1 or not link.is_ca:
            found.append(Finding("chain_not_ca", Effect.FAILS, PARTNER_CAS, f"{name} above it is no CA's certificate."))
        if link.weakness is not None:
            found.append(Finding("chain_weak", Effect.FAILS, PARTNER_CAS, f"{name} above it: {link.weakness.sentence}"))
        if not link.for_clients:
            sentence = (
                f"{name} above it is not for issuing clients' certificates: its extended key usage lacks clientAuth."
            )
            found.append(Finding("chain_purpose", Effect.FAILS, PARTNER_CAS, sentence))
    if extra:
        sentence = (
            f"{extra} more {'certificate is' if extra == 1 else 'certificates are'} in it that have nothing to do "
            "with it, and are left out."
        )
        found.append(Finding("extra", Effect.NOTE, "nobody", sentence))
    return found


def summed_up(findings: tuple[Finding, ...]) -> str:
    """The whole in one sentence; partner CAs have a line of their own among the ways."""
    failing = [one for one in findings if one.effect is Effect.FAILS and one.whom != PARTNER_CAS]
    all_of_them = next((one for one in failing if one.whom == "everybody"), None)
    if all_of_them is not None:
        return f"It works nowhere: {_lower(all_of_them.sentence)}"
    if not failing:
        some = list(dict.fromkeys(one.whom for one in findings if one.whom in _SOME))
        return f"It works everywhere but in {' and '.join(some)}." if some else "It works everywhere."
    whom = list(dict.fromkeys(one.whom for one in failing))
    whom = [one for one in whom if not any(one in _COVERS.get(other, ()) for other in whom)]
    because = _lower(failing[0].sentence.partition(". ")[0].rstrip("."))
    return f"It works everywhere except for {' and '.join(whom)}: {because}."


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:] if sentence.startswith(("It ", "Its ", "The ", "Browsers ")) else sentence


def _usable(facts: Facts, now: datetime) -> str | None:
    """What keeps it out everywhere, or None."""
    if facts.weakness is not None:
        return facts.weakness.sentence
    dates = [one for one in _dates(facts.certificate, now) if one.effect is Effect.FAILS]
    return dates[0].sentence if dates else None


def ways_of(facts: Facts, now: datetime) -> tuple[Opening, ...]:
    """Each way in, and whether it is open to this certificate."""
    return _pin(facts, now), _partner(facts, now), _ours()


def _pin(facts: Facts, now: datetime) -> Opening:
    wrong = _usable(facts, now)
    if wrong is not None:
        return Opening(Way.PIN, False, wrong)
    if facts.is_ca and not facts.self_signed:
        return Opening(Way.PIN, True, "It can be pinned, but it is a CA's: pin the certificate that you connect with.")
    unless = "" if facts.self_issued else ", unless it was issued here"
    return Opening(
        Way.PIN,
        True,
        f"It can be pinned{unless}: this certificate itself lets you in, until the pin ends or it expires.",
    )


def _partner(facts: Facts, now: datetime) -> Opening:
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
        f"If {issuer_in_short(facts.certificate)} is your company's own CA, the company can register it as a partner.",
    )


def _ours() -> Opening:
    return Opening(Way.OURS, True, "Our authority can issue one: make a key in the page, or send a CSR.")


def _day(moment: date) -> str:
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC).date()
    return f"{moment.day} {moment:%B %Y}"
