"""Is this public key good enough, and can a TLS handshake prove that its private key is held?

Knows published attacks on keys. Does not know whose key it is: that another client uses it is for the store to find.
"""

from dataclasses import dataclass
from hashlib import sha256
from math import gcd, isqrt, prod

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.errors import BadInput

MIN_RSA_BITS = 2048
"""NIST SP 800-131A: 112 bits of strength; also the least that the gate's TLS verifies."""
MAX_RSA_BITS = 8192
"""The most that the gate's TLS verifies: a larger one buys an attacker our time."""
MIN_RSA_EXPONENT = 2**16 + 1
"""FIPS 186-5 A.1.1 demands 2^16 < e < 2^256, CA/B Baseline Requirements 6.1.6 recommend it (and demand e >= 3)."""
MAX_RSA_EXPONENT = 2**33 - 1
"""The largest that the gate's signature check takes: larger ones only make it slow."""
FERMAT_ROUNDS = 100
"""CA/B Baseline Requirements 6.1.1.3: primes that 100 rounds of Fermat's method find are too close."""

CURVES = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True)
class Weakness:
    """Why a key is refused: a stable code, a sentence, and whether a handshake can prove possession (`provable`)."""

    code: str
    sentence: str
    provable: bool


def key_fingerprint(key: CertificatePublicKeyTypes) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: what a key is known by."""
    return sha256(_spki(key)).digest()


def key_words(key: CertificatePublicKeyTypes) -> str:
    """What kind of key it is: `RSA 2048`, `P-256`, `Ed25519`."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name, key.curve.name)
    return _kind(key)


def weakness(key: CertificatePublicKeyTypes) -> Weakness | None:
    """What is wrong with `key`, or None. The first thing that is found, cheapest first."""
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_weakness(key)
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in CURVES:
            return None
        return Weakness(
            "unsupported_curve", f"The key is on the curve {key.curve.name}, not P-256, P-384 or P-521.", False
        )
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    return Weakness("unsupported_algorithm", f"The key is for {_kind(key)}, not RSA, ECDSA or Ed25519.", False)


def examine(
    holder: x509.Certificate | x509.CertificateSigningRequest,
) -> tuple[CertificatePublicKeyTypes | None, Weakness | None]:
    """The public key in a certificate or CSR and what is wrong with it; no key when it cannot even be read."""
    try:
        key = holder.public_key()
        spki = _spki(key)
    except UnsupportedAlgorithm:
        return None, Weakness(
            "unsupported_algorithm", "The key is of a kind or on a curve that nobody should use today.", False
        )
    except (ValueError, TypeError) as error:
        text = str(error)
        if text.startswith("e must"):  # an RSA exponent of 1 or 2, or an even one
            return None, Weakness("rsa_exponent", "The RSA exponent is even or smaller than 3.", False)
        return None, Weakness("malformed_key", "The public key cannot be read.", False)
    body = holder.tbs_certificate_bytes if isinstance(holder, x509.Certificate) else holder.tbs_certrequest_bytes
    found = weakness(key)
    if found is None and spki not in body:
        # RSASSA-PSS keys, curves given by their parameters, compressed points: TLS stacks differ about all of them.
        found = Weakness(
            "unusual_key_form", "The key is not written in the usual form (RFC 5480 named curve, rsaEncryption).", False
        )
    return key, found


def require_strong(key: CertificatePublicKeyTypes, where: str | None = None) -> None:
    """Raises BadInput (`weak_key`) unless `key` is good enough to be certified."""
    refuse(weakness(key), where)


def refuse(found: Weakness | None, where: str | None = None) -> None:
    """Raises BadInput (`weak_key`) for a weakness that was found."""
    if found is not None:
        raise BadInput(
            found.sentence.rstrip("."),
            where=where,
            expected="an RSA key of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519",
            fix="Make a new key: openssl ecparam -name prime256v1 -genkey -noout -out client.key",
            code="weak_key",
            facts={"weakness": found.code},
        )


def _rsa_weakness(key: rsa.RSAPublicKey) -> Weakness | None:
    numbers = key.public_numbers()
    n, e = numbers.n, numbers.e
    bits = n.bit_length()
    if bits < MIN_RSA_BITS:
        return Weakness("rsa_too_short", f"The RSA key has {bits} bits, fewer than {MIN_RSA_BITS}.", False)
    if bits > MAX_RSA_BITS:
        return Weakness("rsa_too_long", f"The RSA key has {bits} bits, more than {MAX_RSA_BITS}.", False)
    if e % 2 == 0 or not MIN_RSA_EXPONENT <= e <= MAX_RSA_EXPONENT:
        value = str(e) if e < 10**12 else f"a number of {e.bit_length()} bits"
        sentence = f"The RSA exponent is {value}, not an odd number from 65537 to 2^33 - 1."
        return Weakness("rsa_exponent", sentence, e % 2 == 1 and 3 <= e <= MAX_RSA_EXPONENT)
    if gcd(n, _SMALL_PRIMES_PRODUCT) != 1:
        return Weakness("rsa_small_factor", "The RSA modulus has a factor smaller than 752.", True)
    if _looks_like_roca(n):
        return Weakness(
            "rsa_roca", "The RSA key was made by a chip or library with the ROCA flaw (CVE-2017-15361).", True
        )
    if _fermat_finds(n):
        return Weakness(
            "rsa_close_primes", "The RSA key's primes are so close that anybody can find them (CVE-2022-26320).", True
        )
    return None


def _looks_like_roca(n: int) -> bool:
    """Nemec et al., 2017: those primes are k*M + 65537^a mod M, so n is a power of 65537 modulo every prime of M.

    An honest modulus passes for one by chance about once in 2^27.
    """
    return all(residues >> (n % prime) & 1 for prime, residues in _ROCA_RESIDUES)


def _fermat_finds(n: int) -> bool:
    """Whether n = a^2 - b^2 for one of the first `FERMAT_ROUNDS` values of a; a square has b = 0."""
    a = isqrt(n - 1) + 1
    rest = a * a - n
    for _ in range(FERMAT_ROUNDS):
        # Most numbers are seen to be no square by their last 6 bits and modulo 3465: 50 times as quick.
        if _SQUARES_64 >> (rest & 63) & 1 and _SQUARES_3465 >> (rest % 3465) & 1 and isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * a + 1
        a += 1
    return False


def _primes_below(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % divisor for divisor in range(2, isqrt(n) + 1))]


def _powers_of_65537(prime: int) -> int:
    """The residues modulo `prime` that are powers of 65537, as bits."""
    bits, value = 0, 1
    while not bits >> value & 1:
        bits |= 1 << value
        value = value * 65537 % prime
    return bits


_SQUARES_64 = sum({1 << (n * n % 64) for n in range(64)})
_SQUARES_3465 = sum({1 << (n * n % 3465) for n in range(3465)})
_SMALL_PRIMES_PRODUCT = prod(_primes_below(752))
"""CA/B Baseline Requirements 6.1.6 and NIST SP 800-89 5.3.3: no factor smaller than 752."""
_ROCA_RESIDUES = [(prime, _powers_of_65537(prime)) for prime in _primes_below(168)[1:]]
"""The published test uses the odd primes up to 167: all are in M for every key length that those chips made."""


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _kind(key: CertificatePublicKeyTypes) -> str:
    kinds: list[tuple[type, str]] = [
        (ed25519.Ed25519PublicKey, "Ed25519"),
        (ed448.Ed448PublicKey, "Ed448"),
        (dsa.DSAPublicKey, "DSA"),
        (x25519.X25519PublicKey, "X25519 (key agreement)"),
        (x448.X448PublicKey, "X448 (key agreement)"),
    ]
    return next((word for kind, word in kinds if isinstance(key, kind)), "an algorithm that we do not know")
