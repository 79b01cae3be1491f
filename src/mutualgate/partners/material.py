"""A certificate or a public key that somebody wants to use as it is: read, and what is odd about it.

Refuses what holds a private key: who sent one has to replace it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from mutualgate.counts import counted
from mutualgate.model.legible import Legible
from mutualgate.reading.about import Facts, self_issued
from mutualgate.reading.containers import refuse_by_look
from mutualgate.reading.files import (
    UNREADABLE,
    odd_serials_allowed,
    subject_text,
)
from mutualgate.reading.meant import read_meant
from mutualgate.reading.weak_keys import examine, key_words, refuse, weakness
from mutualgate.reading.works import PARTNER_CAS, findings_of

MAX_CHAIN = 4
"""Certificates: more than these the gate does not read either."""


@dataclass(frozen=True)
class Material:
    """A leaf, or a bare key. `spki` is SHA-256 of the SubjectPublicKeyInfo, `fingerprint` of the certificate's DER."""

    certificate: Legible | None
    key: CertificatePublicKeyTypes
    spki: bytes
    subject: str

    @property
    def der(self) -> bytes | None:
        """The certificate."""
        return None if self.certificate is None else self.certificate.der

    @property
    def fingerprint(self) -> bytes | None:
        """What a pin of the certificate compares."""
        der = self.der
        return None if der is None else hashlib.sha256(der).digest()


def read(data: bytes, where: str) -> Material:
    """The certificate that is meant in `data`, an upload of any form, or the public key that it is, PEM or DER.

    Raises BadInput, `private_key_given` for a file with one in it and `weak_key` for a key that is not good enough.
    """
    refuse_by_look(data, where)
    bare = _public_key(data)
    if bare is not None:
        refuse(weakness(bare), where)
        spki = bare.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Material(None, bare, hashlib.sha256(spki).digest(), "")
    return of_certificate(read_meant(data, where), where)


def of_certificate(certificate: Legible, where: str) -> Material:
    """A leaf. Raises BadInput (`weak_key`) for a key that is not good enough."""
    key, weak = examine(certificate.says)
    refuse(weak, where)
    assert key is not None  # noqa: S101 - `examine` names a weakness where it finds no key
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Material(certificate, key, hashlib.sha256(spki).digest(), subject_text(certificate.says))


def words(one: Legible) -> str:
    """What it is, in a line: `self-signed, RSA 2048, 1095 days, until 2029-05-03`."""
    certificate = one.says
    with odd_serials_allowed():
        key, _ = examine(certificate)
        days = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days
        parts = [
            "self-signed" if self_issued(one) else "signed by another",
            "a key that cannot be read" if key is None else key_words(key),
            counted(days, "day"),
            f"until {certificate.not_valid_after_utc:%Y-%m-%d}",
        ]
    return ", ".join(parts)


def remarks(certificate: Legible, now: datetime) -> list[str]:
    """What is odd about a leaf that is to be pinned, and where it will not work. Nothing of it forbids a pin."""
    found = findings_of(Facts(certificate), [], 0, now)
    return [one.sentence.replace("`", "'") for one in found if one.whom != PARTNER_CAS]


def _public_key(data: bytes) -> CertificatePublicKeyTypes | None:
    load = load_pem_public_key if b"-----BEGIN PUBLIC KEY-----" in data else load_der_public_key
    if b"-----BEGIN " in data and load is load_der_public_key:
        return None
    try:
        return load(data)  # type: ignore[return-value]  # a DH key is refused as weak
    except UNREADABLE:
        return None
