"""SCEP messages (RFC 8894 3): a device's request taken apart, and the answer put together.

Pure: bytes and keys in, values out. asn1crypto reads and writes CMS (RFC 5652), pyca/cryptography does all that needs a
key. Of the algorithms only those that are good today: RSA, AES-CBC, SHA-2 (but see `_HASHES`). Whatever goes wrong
while a message is opened is answered in one way, so that nobody learns by trying which part of it was wrong.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID

from mutualgate.errors import MutualgateError
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.reading.weak_keys import examine

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""A request has 3 to 5 KiB."""
MAX_TRANSACTION: Final = 128
MAX_NONCE: Final = 64

# RFC 8894 3.2.1
MESSAGE_TYPE: Final = "2.16.840.1.113733.1.9.2"
PKI_STATUS: Final = "2.16.840.1.113733.1.9.3"
FAIL_INFO: Final = "2.16.840.1.113733.1.9.4"
SENDER_NONCE: Final = "2.16.840.1.113733.1.9.5"
RECIPIENT_NONCE: Final = "2.16.840.1.113733.1.9.6"
TRANSACTION_ID: Final = "2.16.840.1.113733.1.9.7"

# Old devices and some current libraries sign these messages with SHA-1, whatever we offer. It may stand here alone: the
# request inside has a signature of its own, by the same key and a good hash, and only that counts as proof.
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_BROKEN: Final = (*UNREADABLE, KeyError, IndexError, AttributeError, RecursionError, InvalidSignature)


class Kind(StrEnum):
    """messageType (RFC 8894 3.2.1.2), as far as it is answered."""

    REQUEST = "19"
    """PKCSReq: a new certificate."""
    POLL = "20"
    """CertPoll: is it approved by now?"""


class Fail(StrEnum):
    """failInfo (RFC 8894 3.2.1.4)."""

    BAD_ALGORITHM = "0"
    BAD_MESSAGE = "1"
    BAD_REQUEST = "2"


class Unreadable(MutualgateError):
    """What came is no SCEP message, or nobody can be answered."""

    code = "no_scep_message"


class Refused(Exception):
    """The message is refused, in a way that its sender can be told."""

    def __init__(self, reply: "Reply", fail: Fail) -> None:
        super().__init__(fail.name)
        self.reply = reply
        self.fail = fail


@dataclass(frozen=True)
class Reply:
    """What an answer needs of the message: whom it is for, and what it answers."""

    transaction: str
    nonce: bytes
    signer: x509.Certificate
    key_bits: int = 128
    """Of the AES key that the answer is encrypted with: what the sender used."""


@dataclass(frozen=True)
class Message:
    """A message whose signature proves that its sender holds the key of `reply.signer`."""

    kind: Kind
    reply: Reply
    csr: bytes = b""
    """PKCS#10, DER, for the same key; empty for a poll."""
    challenge: str = field(default="", repr=False)


def read_message(data: bytes, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> Message:
    """Opens a message for the holder of `key`. Raises Unreadable, or Refused when its sender can be told."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise Unreadable("the message is too large", expected=f"at most {MAX_MESSAGE_BYTES} bytes")
    try:
        with odd_serials_allowed():
            content, attributes, reply = _proven(data)
    except _BROKEN as error:
        raise Unreadable("this is no SCEP message that proves its sender", expected="RFC 8894 3") from error
    kind = attributes.get(MESSAGE_TYPE)
    if kind == Kind.POLL:
        return Message(Kind.POLL, reply)
    if kind != Kind.REQUEST:  # renewal is over the gate, with the certificate itself
        raise Refused(reply, Fail.BAD_REQUEST)
    try:
        csr, bits = _opened(content, certificate, key)
    except _NotGood:
        raise Refused(reply, Fail.BAD_ALGORITHM) from None
    except _BROKEN:
        raise Refused(reply, Fail.BAD_MESSAGE) from None
    reply = Reply(reply.transaction, reply.nonce, reply.signer, bits)
    try:
        request = x509.load_der_x509_csr(csr)
        # RFC 8894 2.3: the device signs with the key that it asks for; else one could send another's request.
        if request.public_key() != reply.signer.public_key():
            raise Refused(reply, Fail.BAD_REQUEST)
        challenge = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("ascii")
    except x509.AttributeNotFound:
        challenge = ""
    except _BROKEN:
        # As what cannot be opened: a changed ciphertext has good padding now and then, and its sender is not told when.
        raise Refused(reply, Fail.BAD_MESSAGE) from None
    return Message(Kind.REQUEST, reply, csr, challenge)


def success(reply: Reply, issued: x509.Certificate, signer: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """CertRep with the certificate, encrypted for the device."""
    algorithm: type[Any] = algorithms_of(reply.key_bits)
    envelope = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(certificates_only([issued]))
        .add_recipient(reply.signer)
        .set_content_encryption_algorithm(algorithm)
        .encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    return _answer(reply, "0", envelope, {}, signer, key)


def failure(reply: Reply, fail: Fail, signer: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """CertRep that says no."""
    return _answer(reply, "2", None, {FAIL_INFO: core.PrintableString(str(fail))}, signer, key)


def pending(reply: Reply, signer: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """CertRep that says: not yet; ask again."""
    return _answer(reply, "3", None, {}, signer, key)


def certificates_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """A SignedData with certificates and nothing signed (RFC 8894 3.4), DER, in their order."""
    kept = [asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in certificates]
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [],
            "encap_content_info": {"content_type": "data"},
            "certificates": kept,
            "crls": [],
            "signer_infos": [],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())


def algorithms_of(bits: int) -> type[Any]:
    """The class by which pyca/cryptography knows AES with keys of so many bits."""
    from cryptography.hazmat.primitives.ciphers import algorithms

    return algorithms.AES256 if bits == 256 else algorithms.AES128


class _NotGood(Exception):
    """An algorithm that is not used any more."""


def _proven(data: bytes) -> tuple[bytes, dict[str, str | bytes], Reply]:
    """Content, SCEP's attributes and sender of a SignedData (RFC 5652 5), its signature verified."""
    info = cms.ContentInfo.load(data)
    if info["content_type"].native != "signed_data":
        raise ValueError("no signed data")
    signed = info["content"]
    [signer] = signed["signer_infos"]
    if len(signed["certificates"]) > 5:
        raise ValueError("too many certificates")
    certificate = _signer_of(signed, signer)
    key, weakness = examine(certificate)
    if not isinstance(key, rsa.RSAPublicKey) or weakness is not None:
        raise ValueError("no key that could be answered")
    algorithm = _HASHES[signer["digest_algorithm"]["algorithm"].native]
    content = signed["encap_content_info"]["content"].native or b""
    attributes = _attributes(signer["signed_attrs"])
    digest = hashes.Hash(algorithm)
    digest.update(content)
    said = attributes["message_digest"]
    if not isinstance(said, bytes) or not hmac.compare_digest(digest.finalize(), said):
        raise InvalidSignature
    # RFC 5652 5.4: signed is the SET OF that they are, not the [0] that they stand under.
    key.verify(signer["signature"].native, signer["signed_attrs"].untag().dump(), PKCS1v15(), algorithm)
    transaction, nonce = attributes[TRANSACTION_ID], attributes[SENDER_NONCE]
    if not isinstance(transaction, str) or not isinstance(nonce, bytes):
        raise ValueError("attributes of another type")
    if not 1 <= len(transaction) <= MAX_TRANSACTION or not 1 <= len(nonce) <= MAX_NONCE:
        raise ValueError("attributes that are too long")
    return content, attributes, Reply(transaction, nonce, certificate)


def _signer_of(signed: cms.SignedData, signer: cms.SignerInfo) -> x509.Certificate:
    wanted = signer["sid"].chosen
    for choice in signed["certificates"]:
        one = choice.chosen
        if one.issuer.dump() == wanted["issuer"].dump() and one.serial_number == wanted["serial_number"].native:
            return x509.load_der_x509_certificate(one.dump())
    raise ValueError("the signer's certificate is missing")


def _attributes(signed: cms.CMSAttributes) -> dict[str, str | bytes]:
    """The single values of those that count; one that comes twice is an error (RFC 5652 11)."""
    found: dict[str, str | bytes] = {}
    for attribute in signed:
        kind = attribute["type"].native
        if kind == "message_digest":
            name, values = "message_digest", list(attribute["values"])
        elif kind in (MESSAGE_TYPE, TRANSACTION_ID):
            name, values = kind, list(core.SetOf.load(attribute["values"].dump(), spec=core.PrintableString))
        elif kind == SENDER_NONCE:
            name, values = kind, list(core.SetOf.load(attribute["values"].dump(), spec=core.OctetString))
        else:
            continue
        [value] = values
        if name in found:
            raise ValueError("an attribute comes twice")
        found[name] = value.native
    return found


def _opened(content: bytes, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> tuple[bytes, int]:
    """What is in an EnvelopedData (RFC 5652 6) for us, and the bits of its AES key."""
    info = cms.ContentInfo.load(content)
    if info["content_type"].native != "enveloped_data":
        raise ValueError("no enveloped data")
    [recipient] = info["content"]["recipient_infos"]
    sent = recipient.chosen
    if recipient.name != "ktri" or sent["key_encryption_algorithm"]["algorithm"].native != "rsaes_pkcs1v15":
        raise _NotGood
    if sent["rid"].chosen["serial_number"].native != certificate.serial_number:
        raise ValueError("for somebody else")
    encrypted = info["content"]["encrypted_content_info"]
    algorithm = encrypted["content_encryption_algorithm"]
    if algorithm["algorithm"].native not in ("aes128_cbc", "aes256_cbc"):
        raise _NotGood
    length: int = algorithm.key_length
    # A wrong padding gives another key of the same length here, and not an error to learn from (Bleichenbacher, 1998).
    secret = key.decrypt(sent["encrypted_key"].native, PKCS1v15())
    if len(secret) != length:
        secret = secrets.token_bytes(length)
    decryptor = Cipher(AES(secret), CBC(algorithm.encryption_iv)).decryptor()
    padded = decryptor.update(encrypted["encrypted_content"].native) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize(), length * 8


def _answer(
    reply: Reply,
    status: str,
    content: bytes | None,
    more: dict[str, core.Asn1Value],
    signer: x509.Certificate,
    key: rsa.RSAPrivateKey,
) -> bytes:
    """A CertRep (RFC 8894 3.3.2), signed."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content or b"")
    values: dict[str, core.Asn1Value] = {
        "content_type": cms.ContentType("data"),
        "message_digest": core.OctetString(digest.finalize()),
        MESSAGE_TYPE: core.PrintableString("3"),
        PKI_STATUS: core.PrintableString(status),
        SENDER_NONCE: core.OctetString(secrets.token_bytes(16)),
        RECIPIENT_NONCE: core.OctetString(reply.nonce),
        TRANSACTION_ID: core.PrintableString(reply.transaction),
        **more,
    }
    attributes = cms.CMSAttributes([_attribute(name, value) for name, value in values.items()])
    own = asn1_x509.Certificate.load(signer.public_bytes(Encoding.DER))
    signature = key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256())
    info = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            name="issuer_and_serial_number",
            value=cms.IssuerAndSerialNumber({"issuer": own.issuer, "serial_number": own.serial_number}),
        ),
        "digest_algorithm": {"algorithm": "sha256"},
        "signed_attrs": attributes,
        "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
        "signature": signature,
    }
    inside: dict[str, Any] = (
        {"content_type": "data"} if content is None else {"content_type": "data", "content": content}
    )
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": inside,
            "certificates": [own],
            "signer_infos": [info],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())


def _attribute(name: str, value: core.Asn1Value) -> cms.CMSAttribute:
    if name in ("content_type", "message_digest"):
        return cms.CMSAttribute({"type": name, "values": [value]})
    values = cms.SetOfAny([core.Any(value)])
    return cms.CMSAttribute({"type": cms.CMSAttributeType(name), "values": values})
