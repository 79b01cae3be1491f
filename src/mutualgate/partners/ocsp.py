"""OCSP (RFC 6960): what a partner's CA is asked about one certificate, and whether the answer may be believed.

Knows no store, no network and no clock.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mutualgate.clock import CLOCK_SKEW
from mutualgate.errors import BadInput
from mutualgate.model.foreign import OcspStatus
from mutualgate.reading.crl import REASONS, serial_octets, unknown_extension
from mutualgate.reading.files import OLD_HASHES, UNREADABLE, odd_serials_allowed

CONTENT_TYPE = "application/ocsp-request"
WITHOUT_NEXT_UPDATE = timedelta(hours=1)
"""How long an answer counts that does not say it: there may be a newer one at any time (RFC 6960 4.2.2.1)."""
OLDEST = timedelta(days=14)
"""An answer that began longer ago may be a replay, whatever its nextUpdate says."""
_NONCE_BYTES = 16  # RFC 8954: 1 to 32
_REASONS = {flag: number for number, flag in REASONS.items()}


@dataclass(frozen=True)
class Question:
    """A request about one certificate of one CA."""

    serial: bytes
    nonce: bytes = field(repr=False)
    der: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What the CA says. `revoked_at` and `reason` are there when it is revoked. `responder`: its serial, if delegated.

    A delegated responder without `checked` (id-pkix-ocsp-nocheck) may be revoked itself: whoever knows that, asks.
    """

    status: OcspStatus
    this_update: datetime
    next_update: datetime
    revoked_at: datetime | None
    reason: int
    responder: bytes | None
    nocheck: bool


def ask(ca: x509.Certificate, serial: bytes) -> Question:
    """The request. By SHA-1, which names here and protects nothing: other hashes many responders do not know."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    number = int.from_bytes(serial, "big")
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*_issuer_hashes(ca), number, hashes.SHA1())  # noqa: S303
    request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    return Question(serial, nonce, request.public_bytes(Encoding.DER))


def verify(data: bytes, question: Question, ca: x509.Certificate, now: datetime, where: str) -> Answer:
    """What `data` answers to `question`. Raises `BadInput` for everything that is not the CA's word of now."""
    try:
        with odd_serials_allowed():
            return _verify(data, question, ca, now, where)
    except UNREADABLE as error:
        raise BadInput("is no OCSP answer that can be read", where=where, expected="RFC 6960 4.2") from error


def _verify(data: bytes, question: Question, ca: x509.Certificate, now: datetime, where: str) -> Answer:
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise BadInput(f"is no answer but {response.response_status.name.lower()}", where=where, expected="successful")
    responder = _check_signature(response, ca, now, where)
    for extension in response.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            # Responders may leave it out (RFC 6960 4.4.1), which those with prepared answers do.
            if extension.value.nonce != question.nonce:
                raise BadInput("answers another question (its nonce is not ours)", where=where, expected="our nonce")
        elif extension.critical:
            raise unknown_extension(extension, where)
    single = _about(response, question, ca, where)
    if single.this_update_utc > now + CLOCK_SKEW:
        raise BadInput("begins in the future", where=where, fix="Is this machine's clock right?")
    next_update = single.next_update_utc or single.this_update_utc + WITHOUT_NEXT_UPDATE
    if next_update <= now or single.this_update_utc < now - OLDEST:
        raise BadInput(
            f"is old (of {single.this_update_utc:%Y-%m-%d %H:%M} UTC)", where=where, expected="one of now", code="old"
        )
    status = {
        ocsp.OCSPCertStatus.GOOD: OcspStatus.GOOD,
        ocsp.OCSPCertStatus.REVOKED: OcspStatus.REVOKED,
        ocsp.OCSPCertStatus.UNKNOWN: OcspStatus.UNKNOWN,
    }[single.certificate_status]
    reason = single.revocation_reason
    return Answer(
        status=status,
        this_update=single.this_update_utc,
        next_update=next_update,
        revoked_at=single.revocation_time_utc,
        reason=0 if reason is None else _REASONS.get(reason, 0),
        responder=None if responder is None else serial_octets(responder.serial_number),
        nocheck=responder is not None and _has_nocheck(responder),
    )


def _about(
    response: ocsp.OCSPResponse, question: Question, ca: x509.Certificate, where: str
) -> ocsp.OCSPSingleResponse:
    """The part about our certificate. RFC 6960 3.2 (1): the CertID has to be the one that was asked."""
    wanted = (*_issuer_hashes(ca), int.from_bytes(question.serial, "big"))
    for single in response.responses:
        if not isinstance(single.hash_algorithm, hashes.SHA1):
            continue
        if (single.issuer_name_hash, single.issuer_key_hash, single.serial_number) == wanted:
            return single
    raise BadInput("is about another certificate", where=where, expected="the one that was asked about")


def _check_signature(
    response: ocsp.OCSPResponse, ca: x509.Certificate, now: datetime, where: str
) -> x509.Certificate | None:
    """RFC 6960 4.2.2.2: the CA itself (None), or a responder that it named by a certificate for just that."""
    if isinstance(response.signature_hash_algorithm, OLD_HASHES):
        raise BadInput("is signed with SHA-1 or MD5", where=where, expected="a signature with SHA-256 or better")
    if _is_named(response, ca) and _signed(response, ca):
        return None
    for candidate in response.certificates[:4]:
        if _is_named(response, candidate) and _is_delegated(candidate, ca, now) and _signed(response, candidate):
            return candidate
    raise BadInput(
        "was not signed by the CA, nor by a responder that it named",
        where=where,
        expected="a signature by the CA, or under a certificate of it for OCSPSigning (RFC 6960 4.2.2.2)",
    )


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """RFC 6960 4.2.1: ResponderID, by name or by key."""
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == _key_hash(certificate)


def _is_delegated(certificate: x509.Certificate, ca: x509.Certificate, now: datetime) -> bool:
    """Directly under the CA's key, for OCSPSigning and said so, in its time, with a hash that can be relied on."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
            return False
        if isinstance(certificate.signature_hash_algorithm, OLD_HASHES):
            return False
        certificate.verify_directly_issued_by(ca)
    except (x509.ExtensionNotFound, InvalidSignature, *UNREADABLE):
        return False
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _has_nocheck(certificate: x509.Certificate) -> bool:
    return any(isinstance(extension.value, x509.OCSPNoCheck) for extension in certificate.extensions)


def _signed(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    key, algorithm = certificate.public_key(), response.signature_hash_algorithm
    signature, content = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, content, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, content, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, content)
        else:
            return False
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _issuer_hashes(ca: x509.Certificate) -> tuple[bytes, bytes]:
    """RFC 6960 4.1.1: of the CA's name and of its key's bits."""
    return hashlib.sha1(ca.subject.public_bytes(), usedforsecurity=False).digest(), _key_hash(ca)


def _key_hash(certificate: x509.Certificate) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest  # RFC 5280 4.2.1.2 (1): the same
