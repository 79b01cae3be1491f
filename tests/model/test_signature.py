"""A signature is verified by its own algorithm, with the key that is given, and by no hash that others can match."""

from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mutualgate.model.signature import verify

CONTENT = b"what is signed"


@dataclass
class Made:
    """A signature, as certificates and CSRs have it."""

    signature: bytes
    signature_hash_algorithm: hashes.HashAlgorithm | None
    signature_algorithm_parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None


RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def by_rsa(digest: hashes.HashAlgorithm, *, pss: bool = False) -> Made:
    how = padding.PSS(padding.MGF1(digest), 32) if pss else padding.PKCS1v15()
    return Made(RSA.sign(CONTENT, how, digest), digest, how)


def by_ec(digest: hashes.HashAlgorithm) -> Made:
    return Made(EC.sign(CONTENT, ec.ECDSA(digest)), digest, ec.ECDSA(digest))


GOOD: dict[str, tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, Made]] = {
    "RSA": (RSA, by_rsa(hashes.SHA256())),
    "RSASSA-PSS": (RSA, by_rsa(hashes.SHA384(), pss=True)),
    "ECDSA": (EC, by_ec(hashes.SHA256())),
    "Ed25519": (ED, Made(ED.sign(CONTENT), None, None)),
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_key_that_made_it_and_the_octets_that_it_is_over(kind: str) -> None:
    key, made = GOOD[kind]
    verify(made, CONTENT, key.public_key())
    with pytest.raises(InvalidSignature):
        verify(made, CONTENT + b".", key.public_key())


@pytest.mark.parametrize("kind", GOOD)
def test_another_key_made_none(kind: str) -> None:
    key, made = GOOD[kind]
    fresh: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ]
    for other in *fresh, *(one for one, _ in GOOD.values() if one is not key):
        with pytest.raises(InvalidSignature):
            verify(made, CONTENT, other.public_key())


@pytest.mark.parametrize("made", [by_rsa(hashes.SHA1()), by_rsa(hashes.MD5()), by_ec(hashes.SHA1())])
def test_an_old_hash_counts_for_nothing(made: Made) -> None:
    key = EC if isinstance(made.signature_algorithm_parameters, ec.ECDSA) else RSA
    with pytest.raises(InvalidSignature):
        verify(made, CONTENT, key.public_key())
