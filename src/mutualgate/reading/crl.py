"""Certificate revocation lists of others (RFC 5280 section 5): read, and what every reader of one has to check.

Knows no store and no clock. Which lists are wanted, whoever reads them decides: a complete one of an authority that was
adopted, or also parts and changes of one that a partner's CA published.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mutualgate.errors import BadInput
from mutualgate.reading.files import OLD_HASHES, UNREADABLE, name_text, odd_serials_allowed, pem_blocks

REASONS: dict[int, x509.ReasonFlags] = {
    0: x509.ReasonFlags.unspecified,
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}
"""RFC 5280 5.3.1. 7 is unused; 8, removeFromCRL, is for delta CRLs only."""
REMOVE_FROM_CRL = 8
_NUMBERS = {flag: number for number, flag in REASONS.items()}
_ENTRIES_AT_ONCE = 4096


@dataclass(frozen=True)
class Revocation:
    """A revoked certificate: its serial number, since when, why (RFC 5280 5.3.1), and since when the key is suspect."""

    serial: bytes
    at: datetime
    reason: int
    invalidity_date: datetime | None = None


def serial_octets(serial: int) -> bytes:
    """A serial number as the snapshot has it; a negative one as its two's complement in DER has it."""
    if serial < 0:
        return serial.to_bytes((serial + 1).bit_length() // 8 + 1, "big", signed=True)
    return serial.to_bytes((serial.bit_length() + 7) // 8, "big")


def crl_of(
    data: bytes, issuer: x509.Name, where: str
) -> tuple[x509.CertificateRevocationList, datetime, datetime | None]:
    """The CRL in `data`, which has to be that of `issuer`, with its thisUpdate and nextUpdate. Its signature is not
    checked. Raises `BadInput`."""
    crl = load_crl(data, where)
    try:
        signer, this_update, next_update = crl.issuer, crl.last_update_utc, crl.next_update_utc
    except UNREADABLE as error:
        raise BadInput("has an issuer or dates that cannot be read", where=where, expected="RFC 5280 5.1.2") from error
    if signer != issuer:
        raise BadInput(
            f"is the CRL of {name_text(signer)}",
            where=where,
            expected=f"the CRL of {name_text(issuer)}",
            code="other_issuer",
        )
    return crl, this_update, next_update


def load_crl(data: bytes, where: str) -> x509.CertificateRevocationList:
    """The one CRL in `data`, PEM or DER. Nothing about it is checked. Raises `BadInput`."""
    der = data
    if b"-----BEGIN " in data[:65536]:
        lists = [der for label, der in pem_blocks(data, where) if label == "X509 CRL"]
        if len(lists) != 1:
            raise BadInput(f"holds {len(lists)} CRLs", where=where, expected="one (BEGIN X509 CRL)")
        der = lists[0]
    try:
        return x509.load_der_x509_crl(der)
    except UNREADABLE as error:
        raise BadInput("is no CRL", where=where, expected="a CRL in PEM or DER") from error


def crl_extensions(crl: x509.CertificateRevocationList, where: str) -> list[x509.Extension[x509.ExtensionType]]:
    """Those of the whole list (RFC 5280 5.2). Raises `BadInput`."""
    try:
        return list(crl.extensions)
    except UNREADABLE as error:
        raise BadInput("has extensions that cannot be read", where=where, expected="RFC 5280 5.2") from error


def unknown_extension(extension: x509.Extension[x509.ExtensionType], where: str) -> BadInput:
    """The error for a critical extension that its reader does not know (RFC 5280 5.2, RFC 6960 4.4)."""
    return BadInput(
        f"has a critical extension that we do not know ({extension.oid.dotted_string})", where=where, expected="none"
    )


def check_crl_signature(
    crl: x509.CertificateRevocationList, key: CertificatePublicKeyTypes, signer: x509.Name, where: str
) -> None:
    """Raises `BadInput` unless `key`, which is `signer`'s, signed it with a hash that can be relied on."""
    try:
        old_hash = isinstance(crl.signature_hash_algorithm, OLD_HASHES)
    except UNREADABLE:
        old_hash = False
    if old_hash:
        raise BadInput(
            "is signed with SHA-1 or MD5, which nothing should trust today",
            where=where,
            expected="a signature with SHA-256 or better",
            fix="Make it again: openssl ca -gencrl -md sha256",
        )
    try:
        valid = crl.is_signature_valid(key)  # type: ignore[arg-type]  # others raise TypeError
    except UNREADABLE:
        valid = False
    if not valid:
        raise BadInput(f"was not signed by {name_text(signer)}", where=where, expected="a signature that verifies")


def crl_entries(crl: x509.CertificateRevocationList) -> Iterator[Revocation]:
    """Its entries, one after the other, without holding them all: a million takes a few seconds and little memory.

    BadInput at the first one that cannot be read: skipping it would admit a certificate that was revoked.
    """
    numbered = enumerate(crl, 1)
    while True:
        with odd_serials_allowed():  # not around the yield: the caller's warnings are the caller's
            read = [_entry(entry, number) for number, entry in islice(numbered, _ENTRIES_AT_ONCE)]
        if not read:
            return
        yield from read


def _entry(entry: x509.RevokedCertificate, number: int) -> Revocation:
    reason, invalidity = 0, None
    try:
        for extension in entry.extensions:
            value = extension.value
            if isinstance(value, x509.CRLReason):
                reason = _NUMBERS.get(value.reason, REMOVE_FROM_CRL)
            elif isinstance(value, x509.InvalidityDate):
                invalidity = value.invalidity_date_utc
            elif extension.critical:  # certificateIssuer among them: RFC 5280 5.3.3
                raise BadInput(f"entry {number} has a critical extension that we do not know", where="CRL")
        return Revocation(serial_octets(entry.serial_number), entry.revocation_date_utc, reason, invalidity)
    except UNREADABLE as error:
        raise BadInput(f"entry {number} cannot be read", where="CRL", expected="RFC 5280 5.3") from error
