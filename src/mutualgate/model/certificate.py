"""What the store wants to know of a certificate, read from its DER. Judges nothing."""

import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.errors import BadInput
from mutualgate.model import serial


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """A certificate's identity: what it is found by, and how long it says it lasts."""

    der: bytes
    serial: bytes
    fingerprint: bytes
    spki: bytes
    not_before: datetime
    not_after: datetime


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """The facts of `certificate`. Raises `BadInput` for a serial number or a key that cannot be kept."""
    der = certificate.public_bytes(Encoding.DER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about numbers that are not positive: older authorities made many
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


def parse(data: bytes, where: str | None = None) -> x509.Certificate:
    """The first certificate in `data`, PEM or DER. Raises `BadInput` that names `where`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if b"-----BEGIN" in data:
                return x509.load_pem_x509_certificate(data)
            return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise BadInput(
            "there is no certificate that can be read", where=where, expected="a certificate, PEM or DER"
        ) from error


def signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether `issuer` says and proves that it signed `certificate`: names and signature, X.509 v1 too.

    Not by MD5 or SHA-1: pyca/cryptography takes no such signature (R15).
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True
