"""What the store wants to know of a certificate, read from its DER. Judges nothing."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.errors import BadInput
from mutualgate.model import serial
from mutualgate.model.legible import UNREADABLE, Legible, NotLegible, legible, odd_serials_allowed


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate's identity: what it is found by, and how long it says it lasts."""

    der: bytes
    serial: bytes
    fingerprint: bytes
    spki: bytes
    not_before: datetime
    not_after: datetime


def facts(of: x509.Certificate | Legible) -> CertificateFacts:
    """The facts of a certificate. Raises `BadInput` for a serial number or a key that cannot be kept."""
    found = of if isinstance(of, Legible) else Legible.of(of)
    der, certificate = found.der, found.says
    with odd_serials_allowed():
        number = certificate.serial_number
    if number < 0:
        # Its octets are those of a positive one: what is done to it by number would be done to another, too.
        raise BadInput("the serial number is negative", expected="a positive one (RFC 5280 4.1.2.2)")
    return CertificateFacts(
        der=der,
        serial=serial.from_int(number),
        fingerprint=hashlib.sha256(der).digest(),
        spki=spki_fingerprint(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def spki_fingerprint(holder: "x509.Certificate | x509.CertificateSigningRequest") -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo (RFC 5280 4.1.2.7), DER. Raises `BadInput` for a key of an unknown kind."""
    try:
        key = holder.public_key()
    except ValueError as error:
        raise BadInput("the public key cannot be read", expected="RSA, P-256, P-384, P-521, Ed25519") from error
    except Exception as error:  # UnsupportedAlgorithm has no base of its own
        raise BadInput("the public key is of an unknown kind", expected="RSA, P-256, P-384, Ed25519") from error
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def read(data: bytes, where: str | None = None) -> Legible:
    """The first certificate in `data`, PEM or DER. Raises `BadInput` that names `where`."""
    try:
        return legible(_first_der(data) if b"-----BEGIN" in data else data)
    except UNREADABLE as error:
        why = f": it {error}" if isinstance(error, NotLegible) else ""
        raise BadInput(
            f"there is no certificate that can be read{why}", where=where, expected="a certificate, PEM or DER"
        ) from error


def _first_der(pem: bytes) -> bytes:
    from asn1crypto.pem import unarmor

    return next(
        (der for label, _, der in unarmor(pem, multiple=True) if label in ("CERTIFICATE", "X509 CERTIFICATE")), b""
    )


def signed(issuer: x509.Certificate, certificate: x509.Certificate | Legible) -> bool:
    """Whether `issuer` says and proves that it signed `certificate`: see `Legible.signed_by`."""
    one = certificate if isinstance(certificate, Legible) else Legible.of(certificate)
    return one.signed_by(Legible.of(issuer))
