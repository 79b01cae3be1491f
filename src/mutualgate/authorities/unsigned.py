"""Certificates and CRLs that lack only their signature: looked at, or completed, before the issuer's key is asked.

The builders of pyca/cryptography write and sign in one step. Here their step ends without a signature, so that what is
signed is what was seen, to the octet, and the key works once.
"""

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes as PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, CertificateRevocationListBuilder

from mutualgate.authorities.keys import PrivateKey

# X.690 8.1.2
SEQUENCE = 0x30
_BIT_STRING = 0x03


@dataclass(frozen=True)
class Unsigned:
    """What is to be signed, in DER, and how, as the algorithm identifier and as `sign` of a key takes it after the
    octets."""

    to_sign: bytes
    algorithm: bytes
    how: tuple[Any, ...]

    def der(self, signature: bytes = b"") -> bytes:
        """The whole (RFC 5280 4.1 and 5.1) with `signature`."""
        return element(SEQUENCE, self.to_sign, self.algorithm, element(_BIT_STRING, b"\0", signature))

    def signed(self, key: PrivateKey) -> bytes:
        """The whole, signed by `key`. Raises InvalidSignature for a signature that does not verify.

        A computing error while signing gives away an RSA key (Boneh, DeMillo, Lipton 1997): never hand out a wrong one.
        """
        signature = key.sign(self.to_sign, *self.how)
        key.public_key().verify(signature, self.to_sign, *self.how)
        return self.der(signature)


def unsigned(builder: CertificateBuilder | CertificateRevocationListBuilder, key: PublicKey) -> Unsigned:
    """What `builder` writes for an issuer whose key is `key`. Raises TypeError for a key that signs nothing here."""
    asked = _asked(key)
    whole = builder.sign(asked, signature_hash(key)).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # registered as one
    rest = content(whole).removeprefix(asked.to_sign)
    return Unsigned(asked.to_sign, rest.removesuffix(element(_BIT_STRING, b"\0")), asked.how)


def signature_hash(key: PublicKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash that goes with `key`: as strong as its curve (RFC 5480 4); None for Ed25519, which has its own."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def header(tag: int, length: int) -> bytes:
    """Of a DER element (X.690 8.1.3): lengths from 128 on take octets of their own."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def element(tag: int, *parts: bytes | bytearray) -> bytes:
    """A DER element of these parts."""
    return b"".join((header(tag, sum(map(len, parts))), *parts))


def content(element: bytes) -> bytes:
    """What is in a DER element."""
    return element[2 + (element[1] & 0x7F if element[1] & 0x80 else 0) :]


class _Key:
    """For the builders an issuer's private key, which keeps what it is asked for and makes an empty signature."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self.to_sign = b""
        self.how: tuple[Any, ...] = ()

    def public_key(self) -> PublicKey:
        return self._public

    def sign(self, data: bytes, *how: Any) -> bytes:
        self.to_sign, self.how = bytes(data), how
        return b""


@ec.EllipticCurvePrivateKey.register
class _EllipticCurveKey(_Key):
    pass


@rsa.RSAPrivateKey.register
class _RsaKey(_Key):
    pass


@ed25519.Ed25519PrivateKey.register
class _Ed25519Key(_Key):
    pass


def _asked(key: PublicKey) -> _Key:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _EllipticCurveKey(key)
    if isinstance(key, rsa.RSAPublicKey):
        return _RsaKey(key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _Ed25519Key(key)
    raise TypeError("no key that an authority has")
