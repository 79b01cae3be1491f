"""A CRL of a partner's CA (RFC 5280 sections 5 and 6.3.3): whether it may be believed, and what it covers.

Verified once, here; the judge looks numbers up. Knows no store: what a list changes, `revocation` finds out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mutualgate.clock import CLOCK_SKEW
from mutualgate.errors import BadInput
from mutualgate.model.foreign import CA_SCOPE
from mutualgate.model.serial import LIMIT
from mutualgate.reading.crl import (
    Revocation,
    check_crl_signature,
    crl_entries,
    crl_extensions,
    crl_of,
    unknown_extension,
)
from mutualgate.reading.files import UNREADABLE, name_text, odd_serials_allowed

MAX_ENTRIES = 2_000_000
"""As many fit into the largest list that is fetched; what is made of them stays below 300 MB."""
MAX_SCOPE = 1_000


@dataclass(frozen=True)
class VerifiedList:
    """A list that is the CA's word. `scope`: see `ForeignList`; `number` is 0 where it has none.

    `base` is the number of the complete list that a delta CRL goes with (RFC 5280 5.2.4), None for a complete one.
    `fresher`: where its delta CRLs are said to be (RFC 5280 5.2.6). It may be past its nextUpdate.
    """

    scope: str
    number: int
    base: int | None
    this_update: datetime
    next_update: datetime
    count: int
    digest: bytes
    fresher: tuple[str, ...]
    _crl: x509.CertificateRevocationList = field(repr=False)

    def entries(self) -> Iterator[Revocation]:
        """Its entries, read as they are taken. Raises `BadInput` at the first that cannot be read."""
        return crl_entries(self._crl)


def verify_list(
    data: bytes, ca: x509.Certificate, helpers: Sequence[x509.Certificate], now: datetime, where: str, url: str = ""
) -> VerifiedList:
    """Reads a CRL that `ca` issued. Raises `BadInput` with what is wrong.

    `helpers` are certificates under the CA's key; one with its name that may sign lists is an issuer of its lists, too.
    `url` is where it came from: of several names of a distribution point, that one is taken.
    """
    crl, this_update, next_update = crl_of(data, ca.subject, where)
    try:
        count = len(crl)
    except UNREADABLE as error:
        raise BadInput("has entries that cannot be read", where=where, expected="RFC 5280 5.1.2.6") from error
    _check_signature(crl, ca, helpers, now, where)
    if next_update is None:
        raise BadInput("does not say when the next one comes", where=where, expected="nextUpdate (RFC 5280 5.1.2.5)")
    if this_update > now + CLOCK_SKEW:
        raise BadInput(
            f"begins in the future ({this_update:%Y-%m-%d %H:%M} UTC)",
            where=where,
            fix="Is this machine's clock right?",
        )
    if next_update <= this_update:
        raise BadInput("ends before it begins", where=where, expected="nextUpdate after thisUpdate")
    if count > MAX_ENTRIES:
        raise BadInput(f"has {count} entries", where=where, expected=f"at most {MAX_ENTRIES}", code="too_large")
    scope, number, base, fresher = _extensions(crl, where, url)
    digest = crl.fingerprint(hashes.SHA256())
    return VerifiedList(scope, number, base, this_update, next_update, count, digest, fresher, crl)


def _check_signature(
    crl: x509.CertificateRevocationList,
    ca: x509.Certificate,
    helpers: Sequence[x509.Certificate],
    now: datetime,
    where: str,
) -> None:
    """RFC 5280 6.3.3 (f) and (g): by a key of the CA that may sign lists."""
    signers = [ca, *(helper for helper in helpers if _is_list_issuer(helper, ca, now))]
    if not _may_sign_lists(ca) and len(signers) == 1:
        raise BadInput(
            f"{name_text(ca.subject)} may not sign revocation lists",
            where=where,
            expected="cRLSign in its keyUsage (RFC 5280 4.2.1.3)",
        )
    failure: BadInput | None = None
    for signer in signers:
        if signer is ca and not _may_sign_lists(ca):
            continue
        try:
            check_crl_signature(crl, signer.public_key(), ca.subject, where)
        except BadInput as error:
            failure = failure or error
        except UNREADABLE:
            continue
        else:
            return
    raise failure or BadInput("has a signature that cannot be checked", where=where, expected="RSA or ECDSA")


def _is_list_issuer(helper: x509.Certificate, ca: x509.Certificate, now: datetime) -> bool:
    """Whether it is a second key of the CA, for its lists: its name, its signature, and explicitly cRLSign."""
    with odd_serials_allowed():
        try:
            usage = helper.extensions.get_extension_for_class(x509.KeyUsage).value
            if not usage.crl_sign or helper.subject != ca.subject:
                return False
            helper.verify_directly_issued_by(ca)
        except x509.ExtensionNotFound:
            return False
        except Exception:  # InvalidSignature and whatever an odd certificate raises: it is none, then
            return False
    return helper.not_valid_before_utc <= now <= helper.not_valid_after_utc


def _may_sign_lists(ca: x509.Certificate) -> bool:
    """RFC 5280 4.2.1.3: without the extension, anything."""
    try:
        return ca.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True
    except UNREADABLE:
        return False


def _extensions(
    crl: x509.CertificateRevocationList, where: str, url: str
) -> tuple[str, int, int | None, tuple[str, ...]]:
    """Scope, number, base, and where delta CRLs are (RFC 5280 5.2)."""
    scope, number, base = "", 0, None
    fresher: tuple[str, ...] = ()
    for extension in crl_extensions(crl, where):
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            number = _number(value.crl_number, where)
        elif isinstance(value, x509.DeltaCRLIndicator):
            base = _number(value.crl_number, where)
        elif isinstance(value, x509.IssuingDistributionPoint):
            scope = _scope(value, where, url)
        elif isinstance(value, x509.FreshestCRL):
            fresher = addresses(value)
        elif extension.critical:
            raise unknown_extension(extension, where)
    if base is not None and number == 0:
        raise BadInput("is a delta CRL without a number", where=where, expected="cRLNumber (RFC 5280 5.2.3)")
    return scope, number, base, fresher


def _number(number: int, where: str) -> int:
    # RFC 5280 5.2.3: up to 20 octets.
    if number < 0 or number.bit_length() > LIMIT * 8 - 1:
        raise BadInput("has a number that is none", where=where, expected="0 to 20 octets (RFC 5280 5.2.3)")
    return number


def _scope(point: x509.IssuingDistributionPoint, where: str, url: str) -> str:
    """RFC 5280 5.2.5: which certificates it is about. What it leaves out must not count as not revoked."""
    if point.indirect_crl:
        raise BadInput(
            "is an indirect CRL: it lists other authorities' certificates", where=where, expected="the CA's own"
        )
    if point.only_some_reasons:
        raise BadInput("lists some reasons for revocation only", where=where, expected="a list for all reasons")
    if point.only_contains_attribute_certs:
        raise BadInput("lists attribute certificates", where=where, expected="a list of certificates of clients")
    if point.relative_name is not None:
        raise BadInput("names its distribution point relative to the CA", where=where, expected="its whole address")
    if point.only_contains_ca_certs:
        return CA_SCOPE
    if not point.full_name:
        return ""
    names = [name.value for name in point.full_name if isinstance(name, x509.UniformResourceIdentifier)]
    usable = [name for name in names if len(name) <= MAX_SCOPE and name.isascii() and name.isprintable()]
    if not usable:
        raise BadInput("names a distribution point without an address", where=where, expected="an http address")
    if url in usable:
        return url
    return next((name for name in usable if name.lower().startswith(("http://", "https://"))), usable[0])


def addresses(points: x509.CRLDistributionPoints | x509.FreshestCRL) -> tuple[str, ...]:
    """The addresses in distribution points that are for all reasons and of the CA itself (RFC 5280 4.2.1.13)."""
    found = []
    for point in points:
        if point.crl_issuer or point.reasons:
            continue
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                found.append(name.value)
    return tuple(dict.fromkeys(found))
