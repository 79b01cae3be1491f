"""Certificate revocation lists (RFC 5280 section 5): ours are written, others' are read and verified.

Knows no store and no clock. Serial numbers are bytes here as in the snapshot: big-endian, no leading zero octets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.profiles import BACKDATING, authority_key_identifier, signature_hash
from mutualgate.errors import BadInput
from mutualgate.reading.crl import REASONS, Revocation, check_crl_signature, crl_entries, crl_of
from mutualgate.reading.files import UNREADABLE

CRL_LIFETIME = timedelta(days=7)
MAX_CRL_BYTES = 256 * 1024 * 1024
"""Some five million entries."""


@dataclass(frozen=True)
class ForeignCrl:
    """Somebody's CRL whose signature was verified. `stale`: its nextUpdate has passed, newer ones are missing."""

    this_update: datetime
    next_update: datetime | None
    number: int | None
    stale: bool
    count: int
    _crl: x509.CertificateRevocationList

    def entries(self) -> Iterator[Revocation]:
        """Its entries, one after the other, without holding them all: a million takes a few seconds and little memory.

        BadInput at the first one that cannot be read: skipping it would admit a certificate that was revoked.
        """
        return crl_entries(self._crl)


def make_crl(
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    revocations: Iterable[Revocation],
    number: int,
    now: datetime,
    lifetime: timedelta = CRL_LIFETIME,
) -> bytes:
    """The complete CRL of `issuer` in DER. `number` grows with each one (RFC 5280 5.2.3); it lives `lifetime` from now.

    thisUpdate is backdated: httpd and others refuse *every* client while a CRL is not yet valid by their own clock.
    """
    if issuer_key.public_key() != issuer.public_key():
        raise ValueError("this is not the issuer's key")
    now = now.replace(microsecond=0)
    # The list goes in at once: add_revoked_certificate copies it each time.
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuer.subject,
        last_update=(now - BACKDATING).replace(tzinfo=None),
        next_update=(now + lifetime).replace(tzinfo=None),
        revoked_certificates=[_entry(revocation) for revocation in revocations],
    )
    crl = (
        builder.add_extension(authority_key_identifier(issuer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .sign(issuer_key, signature_hash(issuer_key))
    )
    return crl.public_bytes(Encoding.DER)


def crl_pem(der: bytes) -> bytes:
    """A CRL in PEM, for programs that want it so."""
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def read_crl(data: bytes, issuer: x509.Certificate, now: datetime, where: str) -> ForeignCrl:
    """Reads a CRL (PEM or DER) that `issuer` signed. BadInput: another issuer's, a wrong signature, a partial list."""
    if len(data) > MAX_CRL_BYTES:
        raise BadInput("is too large", where=where, expected=f"at most {MAX_CRL_BYTES} bytes")
    crl, this_update, next_update = crl_of(data, issuer.subject, where)
    check_crl_signature(crl, issuer.public_key(), issuer.subject, where)
    number = _check_extensions(crl, where)
    if this_update > now + BACKDATING:
        raise BadInput(
            f"begins in the future ({this_update:%Y-%m-%d %H:%M} UTC)",
            where=where,
            fix="Is this machine's clock right?",
        )
    stale = next_update is not None and next_update <= now
    return ForeignCrl(this_update, next_update, number, stale, len(crl), crl)


def _check_extensions(crl: x509.CertificateRevocationList, where: str) -> int | None:
    """RFC 5280 5.2: the CRL's number. A list that leaves certificates out must not pass for the whole."""
    number = None
    try:
        extensions = list(crl.extensions)
    except UNREADABLE as error:
        raise BadInput("has extensions that cannot be read", where=where, expected="RFC 5280 5.2") from error
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            number = value.crl_number
        elif isinstance(value, x509.DeltaCRLIndicator):
            raise BadInput("is a delta CRL: it lists changes only", where=where, expected="the complete CRL")
        elif isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl:
                raise BadInput(
                    "is an indirect CRL: it lists other authorities' certificates", where=where, expected="its own"
                )
            if value.full_name or value.relative_name:
                # RFC 5280 5.2.5: it lists only certificates that name this point as theirs.
                raise BadInput(
                    "is the CRL of one distribution point", where=where, expected="the complete CRL of the authority"
                )
            if value.only_some_reasons or value.only_contains_attribute_certs or value.only_contains_ca_certs:
                raise BadInput("is a partial CRL", where=where, expected="the complete CRL of client certificates")
        elif extension.critical:
            raise BadInput(
                f"has a critical extension that we do not know ({extension.oid.dotted_string})",
                where=where,
                expected="none",
            )
    return number


# RFC 5280 5.3.1: left out rather than "unspecified". Each is made once: there may be a million entries.
_EXTENSIONS: dict[int, list[x509.Extension[x509.ExtensionType]]] = {
    number: [] if number == 0 else [x509.Extension(x509.CRLReason.oid, False, x509.CRLReason(flag))]
    for number, flag in REASONS.items()
}


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    if revocation.reason not in _EXTENSIONS:
        raise ValueError("no reason of RFC 5280 5.3.1 for a complete CRL")
    builder = x509.RevokedCertificateBuilder(
        serial_number=int.from_bytes(revocation.serial, "big"),
        revocation_date=revocation.at.replace(tzinfo=None, microsecond=0),
        extensions=_EXTENSIONS[revocation.reason],
    )
    if revocation.invalidity_date is not None:  # RFC 5280 5.3.2
        builder = builder.add_extension(
            x509.InvalidityDate(revocation.invalidity_date.replace(microsecond=0)), critical=False
        )
    return builder.build()
