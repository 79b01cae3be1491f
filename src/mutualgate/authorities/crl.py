"""Certificate revocation lists (RFC 5280 section 5): ours are written, others' are read and verified.

Knows no store and no clock. Serial numbers are bytes here as in the snapshot: big-endian, no leading zero octets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.profiles import BACKDATING, authority_key_identifier
from mutualgate.authorities.unsigned import SEQUENCE, content, element, header, unsigned
from mutualgate.errors import BadInput
from mutualgate.model import serial
from mutualgate.reading.crl import (
    REASONS,
    Revocation,
    check_crl_signature,
    crl_entries,
    crl_extensions,
    crl_of,
    unknown_extension,
)

CRL_LIFETIME = timedelta(days=7)
MAX_CRL_BYTES = 256 * 1024 * 1024
"""Some five million entries."""

Entry = tuple[bytes, int, int]
"""Serial number, Unix seconds since when it is revoked, reason (RFC 5280 5.3.1): plain, there may be a million."""


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
    entries: Iterable[Entry],
    number: int,
    now: datetime,
    lifetime: timedelta = CRL_LIFETIME,
) -> bytes:
    """The complete CRL of `issuer` in DER. `number` grows with each one (RFC 5280 5.2.3); it lives `lifetime` from now.

    thisUpdate is backdated: httpd and others refuse *every* client while a CRL is not yet valid by their own clock.
    """
    if issuer_key.public_key() != issuer.public_key():
        raise ValueError("this is not the issuer's key")
    written = bytearray()
    for entry in entries:
        written += _entry(*entry)
    now = now.replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder(
            issuer_name=issuer.subject,
            last_update=(now - BACKDATING).replace(tzinfo=None),
            next_update=(now + lifetime).replace(tzinfo=None),
        )
        .add_extension(authority_key_identifier(issuer), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    if not written:
        return unsigned(builder, issuer.public_key()).signed(issuer_key)
    # Each entry would become an object of the builder's, ten seconds and 400 MB for a million. It gets one, and all
    # that we wrote take its place.
    mark = x509.RevokedCertificateBuilder(serial_number=1, revocation_date=datetime.fromtimestamp(0, UTC)).build()
    marked = unsigned(builder.add_revoked_certificate(mark), issuer.public_key())
    before, after = content(marked.to_sign).split(element(SEQUENCE, _entry(b"\x01", 0, 0)))
    to_sign = element(SEQUENCE, before, header(SEQUENCE, len(written)), written, after)
    del written  # of a million entries, 46 MB
    return replace(marked, to_sign=to_sign).signed(issuer_key)


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
    for extension in crl_extensions(crl, where):
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
            raise unknown_extension(extension, where)
    return number


# X.690 8.1.2
_INTEGER, _OCTET_STRING, _ENUMERATED, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x04, 0x0A, 0x17, 0x18


def _reason(number: int) -> bytes:
    """crlEntryExtensions. RFC 5280 5.3.1: left out rather than "unspecified"."""
    if number == 0:
        return b""
    code = element(_OCTET_STRING, element(_ENUMERATED, bytes((number,))))
    return element(SEQUENCE, element(SEQUENCE, bytes.fromhex("0603551d15"), code))  # id-ce-cRLReasons


_WRITTEN_REASONS = {number: _reason(number) for number in REASONS}
_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(4096)
def _begun(day: int) -> bytes:
    """Any moment of that day since 1970, as far as the day. RFC 5280 4.1.2.5: years that two digits can say, in two."""
    of = date.fromordinal(_EPOCH + day)
    if 1950 <= of.year < 2050:
        return b"%b%02d%02d%02d" % (header(_UTC_TIME, 13), of.year % 100, of.month, of.day)
    return b"%b%04d%02d%02d" % (header(_GENERALIZED_TIME, 15), of.year, of.month, of.day)


def _entry(number: bytes, at: int, reason: int) -> bytes:
    """One of revokedCertificates (RFC 5280 5.1.2.6), of less than 128 octets."""
    if reason not in _WRITTEN_REASONS:
        raise ValueError("no reason of RFC 5280 5.3.1 for a complete CRL")
    if number[:1] >= b"\x80":
        number = b"\0" + number  # X.690 8.3.3: it would be negative
    number = number or b"\0"
    if len(number) > serial.LIMIT + 1:
        raise ValueError("no serial number that a certificate here may have")
    minutes, second = divmod(at, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    rest = b"%b%02d%02d%02dZ%b" % (_begun(day), hour, minute, second, _WRITTEN_REASONS[reason])
    return b"%c%c%c%c%b%b" % (SEQUENCE, 2 + len(number) + len(rest), _INTEGER, len(number), number, rest)
