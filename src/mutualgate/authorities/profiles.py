"""What our certificates say: a root, an issuing intermediate, a client, a server (RFC 5280 4.1 and 4.2).

Two steps: `prepare` decides everything and checks it, `sign` signs those very octets, once. Between them the store can
record the serial number, so that nothing is ever signed that nobody knows of. Only the key comes from a CSR.
"""

import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.lint import lint
from mutualgate.authorities.unsigned import Unsigned, unsigned
from mutualgate.errors import BadInput
from mutualgate.reading.files import name_text, shown
from mutualgate.reading.weak_keys import require_strong

BACKDATING = timedelta(minutes=5)
"""For verifiers whose clock is behind: ours begin a little before they are made."""
ROOT_LIFETIME = timedelta(days=3653)
INTERMEDIATE_LIFETIME = timedelta(days=1827)
CLIENT_LIFETIME = timedelta(days=398)
SERVER_LIFETIME = timedelta(days=398)
"""The most that browsers took from any public authority until 2026; from a private one they take more."""
MIN_LIFETIME = timedelta(hours=1)
MAX_LIFETIME = timedelta(days=36525)

MAX_COMMON_NAME = 64
"""ub-common-name (RFC 5280 appendix A.1), in characters."""
MAX_HOSTS = 100

_MAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True)
class RootProfile:
    """A root: signs itself, and intermediates."""

    name: str
    lifetime: timedelta = ROOT_LIFETIME


@dataclass(frozen=True)
class IntermediateProfile:
    """An issuing intermediate: signs leaves only (path length 0) and its CRL."""

    name: str
    lifetime: timedelta = INTERMEDIATE_LIFETIME


@dataclass(frozen=True)
class ClientProfile:
    """A client's credential, from the client's record. `contact` appears when it is an e-mail address."""

    client_id: int
    name: str
    contact: str | None = None
    lifetime: timedelta = CLIENT_LIFETIME


@dataclass(frozen=True)
class ServerProfile:
    """The gate's own certificate for `hosts`: DNS names (with `*.` in front, too) and IP addresses."""

    hosts: tuple[str, ...]
    lifetime: timedelta = SERVER_LIFETIME


@dataclass(frozen=True)
class RecipientProfile:
    """What devices encrypt for (RFC 8894 2.1.2). For servers, so that nobody takes it for a client's."""

    name: str = "SCEP"
    lifetime: timedelta = SERVER_LIFETIME


Profile = RootProfile | IntermediateProfile | ClientProfile | ServerProfile | RecipientProfile


@dataclass(frozen=True)
class Prepared:
    """A certificate that is decided and checked but not signed. Only `prepare` makes one; `sign` takes it once."""

    profile: Profile
    serial: int
    subject: x509.Name
    sans: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    public_key: CertificatePublicKeyTypes
    issuer: x509.Certificate | None  # None: it signs itself
    _content: Unsigned = field(repr=False)
    _fresh: list[bool] = field(default_factory=lambda: [True], repr=False, compare=False)


def prepare(
    profile: Profile,
    public_key: CertificatePublicKeyTypes,
    issuer: x509.Certificate | None,
    now: datetime,
    crl_url: str | None = None,
) -> Prepared:
    """Decides a certificate for `public_key`: subject, names and usage from `profile`, never outliving `issuer`.

    `issuer` is None for a root and only for a root. `crl_url` is the plain-HTTP address of the issuer's CRL (RFC 5280
    4.2.1.13: a verifier must not need a certificate to fetch it). BadInput says what cannot be certified, and why.
    """
    if (issuer is None) != isinstance(profile, RootProfile):
        raise ValueError("a root has no issuer, everything else has one")
    require_strong(public_key)
    not_before, not_after = _validity(profile.lifetime, issuer, now)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(profile))])
    # RFC 5280 4.1.2.2: positive and at most 20 octets, of which the first bit is the sign: 159 bits.
    serial = secrets.randbelow(2**159 - 1) + 1
    names = _names(profile)
    own: list[x509.ExtensionType] = [
        x509.SubjectKeyIdentifier.from_public_key(public_key),
        _authority_key_identifier(issuer, public_key),
    ]
    if names:
        own.append(x509.SubjectAlternativeName(names))
    if crl_url and issuer is not None:
        own.append(_distribution_points(crl_url))
    # All at once: each of the builder's steps makes another builder, and bulk signing feels it.
    builder = x509.CertificateBuilder(
        issuer_name=issuer.subject if issuer else subject,
        subject_name=subject,
        public_key=public_key,
        serial_number=serial,
        not_valid_before=not_before.replace(tzinfo=None),
        not_valid_after=not_after.replace(tzinfo=None),
        extensions=[*_PURPOSES[type(profile)], *(x509.Extension(value.oid, False, value) for value in own)],
    )
    content = unsigned(builder, issuer.public_key() if issuer else public_key)
    lint(content.der(), issuer)
    return Prepared(
        profile=profile,
        serial=serial,
        subject=subject,
        sans=tuple(san_texts(names)),
        not_before=not_before,
        not_after=not_after,
        public_key=public_key,
        issuer=issuer,
        _content=content,
    )


def sign(prepared: Prepared, issuer_key: PrivateKey) -> x509.Certificate:
    """Signs what was prepared and verifies the signature. Raises RuntimeError when it was signed before."""
    issuer_public = prepared.issuer.public_key() if prepared.issuer else prepared.public_key
    if issuer_key.public_key() != issuer_public:
        raise ValueError("this is not the issuer's key")
    try:
        prepared._fresh.pop()  # one step, so that of two threads one gets it
    except IndexError:
        raise RuntimeError("this certificate was signed already; prepare another one") from None
    return x509.load_der_x509_certificate(prepared._content.signed(issuer_key))


def san_texts(names: Iterable[x509.GeneralName]) -> list[str]:
    """Names as people write them: `DNS:localhost`, `IP:127.0.0.1`, `email:a@b.c`, `URI:urn:x`; safe to show."""
    words = {x509.DNSName: "DNS", x509.RFC822Name: "email", x509.UniformResourceIdentifier: "URI", x509.IPAddress: "IP"}
    texts = []
    for name in names:
        if isinstance(name, x509.DirectoryName):
            texts.append(f"DN:{name_text(name.value)}")
        elif isinstance(name, x509.RegisteredID):
            texts.append(f"ID:{name.value.dotted_string}")
        elif isinstance(name, x509.OtherName):
            texts.append(f"other:{name.type_id.dotted_string}")
        else:
            texts.append(f"{words.get(type(name), 'other')}:{shown(str(name.value))}")
    return texts


def is_mail_address(text: str) -> bool:
    """Whether `text` can stand as rfc822Name (RFC 5280 4.2.1.6): ASCII, a local part and a domain."""
    return _MAIL.fullmatch(text) is not None and ".." not in text


def _validity(lifetime: timedelta, issuer: x509.Certificate | None, now: datetime) -> tuple[datetime, datetime]:
    if not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        from mutualgate.config.kinds import duration_text

        raise BadInput(
            f"a lifetime of {duration_text(lifetime)} is out of range", expected=f"one hour to {MAX_LIFETIME.days} days"
        )
    not_before = now.replace(microsecond=0) - BACKDATING
    # RFC 5280 4.1.2.5: the last second belongs to the validity. Verifiers count from notBefore, so we do.
    not_after = not_before + lifetime - timedelta(seconds=1)
    if issuer is None:
        return not_before, not_after
    if now >= issuer.not_valid_after_utc:
        raise BadInput(
            f"the authority {name_text(issuer.subject)} expired on {issuer.not_valid_after_utc:%Y-%m-%d}",
            expected="an authority that is valid",
            code="issuer_expired",
        )
    if now < issuer.not_valid_before_utc:
        raise BadInput(
            f"the authority {name_text(issuer.subject)} begins at {issuer.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            expected="an authority that is valid",
            fix="Is this machine's clock right?",
            code="issuer_not_yet_valid",
        )
    return max(not_before, issuer.not_valid_before_utc), min(not_after, issuer.not_valid_after_utc)


def _common_name(profile: Profile) -> str:
    if isinstance(profile, ServerProfile):
        # Nobody looks for host names here any more (RFC 9525), people do; the names that count are in the SANs.
        return next((host for host in profile.hosts if len(host) <= MAX_COMMON_NAME), "server")
    name = profile.name
    if not name.strip() or shown(name, MAX_COMMON_NAME + 1) != name or len(name) > MAX_COMMON_NAME:
        raise BadInput(
            f"the name {shown(name)!r} cannot stand in a certificate",
            expected=f"1 to {MAX_COMMON_NAME} characters, none of them a control character",
            code="bad_name",
        )
    return name


def _names(profile: Profile) -> list[x509.GeneralName]:
    if isinstance(profile, ClientProfile):
        # The id is ours and never given twice, names change hands. The identity is the record; this is for people.
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:mutualgate:client:{profile.client_id}")]
        if profile.contact and is_mail_address(profile.contact):
            names.append(x509.RFC822Name(profile.contact))
        return names
    if isinstance(profile, ServerProfile):
        if not 1 <= len(profile.hosts) <= MAX_HOSTS:
            raise BadInput(f"{len(profile.hosts)} host names are given", expected=f"1 to {MAX_HOSTS}")
        return [_host_name(host) for host in dict.fromkeys(profile.hosts)]
    if isinstance(profile, RecipientProfile):
        return [x509.UniformResourceIdentifier("urn:mutualgate:scep")]
    return []


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        labels = host.lower().removeprefix("*.").split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise BadInput(
                f"{shown(host)!r} is neither a host name nor an IP address",
                expected="a name such as gate.example.com or *.example.com (internationalised ones as xn--...)",
                code="bad_host",
            ) from None
        return x509.DNSName(host.lower())


def _purpose(kind: type[Profile]) -> tuple[x509.Extension[x509.ExtensionType], ...]:
    """What the key of a certificate of this kind may do."""
    authority = kind in (RootProfile, IntermediateProfile)
    # RFC 5280 4.2.1.9
    constraints = x509.BasicConstraints(ca=authority, path_length=0 if kind is IntermediateProfile else None)
    # RFC 5280 4.2.1.3. TLS with (EC)DHE needs digitalSignature of a leaf and nothing else (RFC 8446 4.4.2.2).
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=kind is RecipientProfile,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    critical = (x509.Extension(constraints.oid, True, constraints), x509.Extension(usage.oid, True, usage))
    if authority:
        return critical
    client = kind is ClientProfile
    side = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH])
    return (*critical, x509.Extension(side.oid, False, side))


_KINDS: tuple[type[Profile], ...] = (RootProfile, IntermediateProfile, ClientProfile, ServerProfile, RecipientProfile)
_PURPOSES: dict[type[object], tuple[x509.Extension[x509.ExtensionType], ...]] = {
    kind: _purpose(kind) for kind in _KINDS
}
"""Made once: the same for all of a kind."""


def _authority_key_identifier(
    issuer: x509.Certificate | None, own: CertificatePublicKeyTypes
) -> x509.AuthorityKeyIdentifier:
    """RFC 5280 4.2.1.1: the issuer's own identifier, however it was made; computed when an adopted issuer has none."""
    if issuer is None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            x509.SubjectKeyIdentifier.from_public_key(own)
        )
    return authority_key_identifier(issuer)


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """How certificates and CRLs that `issuer` signs name its key (RFC 5280 4.2.1.1 and 5.2.1)."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _distribution_points(crl_url: str) -> x509.CRLDistributionPoints:
    """RFC 5280 4.2.1.13."""
    if not crl_url.startswith("http://") or not crl_url.isascii() or not crl_url.isprintable() or " " in crl_url:
        raise BadInput(
            f"{shown(crl_url)!r} is no address of a CRL", expected="a plain http:// address", code="bad_crl_url"
        )
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
    return x509.CRLDistributionPoints([point])
