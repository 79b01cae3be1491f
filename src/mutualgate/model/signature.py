"""Whether a key made a signature: for what is verified by the thousand, and for other octets than a library re-made.

`is_signature_valid` and `verify_directly_issued_by` of pyca/cryptography decode the key anew each time.
"""

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

OLD_HASHES = (hashes.MD5, hashes.SHA1)
"""What makes a signature worthless: others can make something else with the same hash."""


class Signed(Protocol):
    """A certificate or a CSR, with the algorithm that its signature says that it is of."""

    @property
    def signature(self) -> bytes: ...
    @property
    def signature_hash_algorithm(self) -> hashes.HashAlgorithm | None: ...
    @property
    def signature_algorithm_parameters(self) -> padding.PSS | padding.PKCS1v15 | ec.ECDSA | None: ...


def verify(what: Signed, content: bytes, key: object) -> None:
    """Raises `InvalidSignature` unless `key` made the signature of `what` over `content`, with a hash that counts.

    Raises others of `UNREADABLE`, too, where the algorithm is unknown.
    """
    how, digest = what.signature_algorithm_parameters, what.signature_hash_algorithm
    if isinstance(digest, OLD_HASHES):
        raise InvalidSignature
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
        key.verify(what.signature, content, how)
    elif isinstance(key, rsa.RSAPublicKey) and isinstance(how, padding.PSS | padding.PKCS1v15) and digest is not None:
        key.verify(what.signature, content, how, digest)
    elif isinstance(key, ed25519.Ed25519PublicKey) and how is None:
        key.verify(what.signature, content)
    else:
        raise InvalidSignature
