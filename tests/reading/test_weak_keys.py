"""Each weakness with a real key that has it, and the nearest key that has not."""

import secrets
from math import gcd, isqrt, prod

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mutualgate.errors import BadInput
from mutualgate.reading.weak_keys import Weakness, examine, key_fingerprint, key_words, require_strong, weakness

SMALL_PRIMES = [n for n in range(3, 720) if all(n % d for d in range(2, int(n**0.5) + 1))]


def is_prime(n: int) -> bool:
    """Fermat's test: enough to make a key for a test."""
    return gcd(n, prod(SMALL_PRIMES)) == 1 and pow(2, n - 1, n) == 1


def rsa_public(n: int, e: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(e, n).public_key()


def found(key: CertificatePublicKeyTypes) -> Weakness:
    result = weakness(key)
    assert result is not None
    return result


def roca_prime() -> int:
    """A prime as the flawed library made it for 2048 bits: k * M + (65537^a mod M), M of the first 126 primes."""
    m = 2 * prod(SMALL_PRIMES[:125])
    lowest = (3 << 1022) // m  # so that the product of two has 2048 bits
    while True:
        k = lowest + secrets.randbelow((1 << 1022) // m - 1)
        candidate = k * m + pow(65537, secrets.randbelow(m), m)
        if is_prime(candidate):
            return candidate


@pytest.mark.parametrize(
    "key",
    [pki.ec_key("P-256"), pki.ec_key("P-384"), pki.ec_key("P-521"), pki.ed25519_key(), pki.rsa_key(2048)],
    ids=["P-256", "P-384", "P-521", "Ed25519", "RSA 2048"],
)
def test_good_keys_pass(key: ec.EllipticCurvePrivateKey) -> None:
    assert weakness(key.public_key()) is None
    require_strong(key.public_key())


@pytest.mark.parametrize(
    ("bits", "code"),
    [(1024, "rsa_too_short"), (2047, "rsa_too_short"), (8193, "rsa_too_long"), (16384, "rsa_too_long")],
)
def test_rsa_of_the_wrong_length_is_refused_and_cannot_be_proven(bits: int, code: str) -> None:
    result = found(rsa_public(1 << (bits - 1) | 1))
    assert (result.code, result.provable) == (code, False)
    assert str(bits) in result.sentence


def test_rsa_of_8192_bits_is_not_too_long() -> None:
    n = secrets.randbits(8191) | 1 << 8191 | 1
    while gcd(n, prod(SMALL_PRIMES)) != 1 or any(n % p == 0 for p in (719, 727, 733, 739, 743, 751)):
        n += 2
    assert weakness(rsa_public(n)) is None


@pytest.mark.parametrize("exponent", [3, 17, 65535, 2**33 + 1, 2**256 + 1])
def test_small_and_huge_exponents_are_refused(exponent: int) -> None:
    n = pki.rsa_key(2048).public_key().public_numbers().n
    assert found(rsa_public(n, exponent)).code == "rsa_exponent"
    assert found(rsa_public(n, exponent)).provable == (exponent < 2**33)
    assert weakness(rsa_public(n, 65537)) is None


def test_a_key_with_exponent_3_made_by_openssl_is_refused() -> None:
    assert found(pki.rsa_key(2048, exponent=3).public_key()).code == "rsa_exponent"


def test_a_small_factor_is_found() -> None:
    numbers = pki.rsa_key(2048).private_numbers()
    assert found(rsa_public(numbers.public_numbers.n // numbers.p * (1 << 1030 | 1) * 751)).code == "rsa_small_factor"
    assert found(rsa_public(1 << 2047)).code == "rsa_small_factor"


def test_a_roca_modulus_is_found() -> None:
    assert found(rsa_public(roca_prime() * roca_prime())).code == "rsa_roca"


def test_close_primes_are_found() -> None:
    p = secrets.randbits(1024) | 3 << 1022 | 1
    while not is_prime(p):
        p += 2
    q = p + 2
    while not is_prime(q):
        q += 2
    assert found(rsa_public(p * q)).code == "rsa_close_primes"
    assert found(rsa_public(p * p)).code == "rsa_close_primes"


@pytest.mark.parametrize(("rounds", "found_then"), [(1, True), (100, True), (101, False)])
def test_fermat_is_tried_for_exactly_100_rounds(rounds: int, found_then: bool) -> None:
    # n = a^2 - b^2 is found after a - ceil(sqrt(n)) + 1 rounds, and sqrt(n) is about a - b^2 / 2a.
    n = 0
    while n % 2 == 0 or gcd(n, prod(SMALL_PRIMES) * prod((727, 733, 739, 743, 751))) != 1:
        a = secrets.randbits(1022) | 3 << 1022
        n = a * a - isqrt(2 * a * (rounds - 1) + a) ** 2
    assert a - (isqrt(n - 1) + 1) + 1 == rounds
    result = weakness(rsa_public(n))
    assert (result is not None and result.code == "rsa_close_primes") == found_then


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "unsupported_curve"),
        (ec.generate_private_key(ec.SECP224R1()).public_key(), "unsupported_curve"),
        (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), "unsupported_curve"),
        (ed448.Ed448PrivateKey.generate().public_key(), "unsupported_algorithm"),
        (x25519.X25519PrivateKey.generate().public_key(), "unsupported_algorithm"),
        (x448.X448PrivateKey.generate().public_key(), "unsupported_algorithm"),
    ],
    ids=["secp256k1", "secp224r1", "brainpool", "Ed448", "X25519", "X448"],
)
def test_other_curves_and_algorithms_are_refused_by_name(key: CertificatePublicKeyTypes, code: str) -> None:
    result = found(key)
    assert (result.code, result.provable) == (code, False)
    assert key_words(key).split()[0] in result.sentence
    with pytest.raises(BadInput) as refused:
        require_strong(key, "client.csr")
    assert refused.value.code == "weak_key"
    assert str(refused.value).startswith("client.csr: The key is")


def test_dsa_is_refused() -> None:
    assert found(dsa.generate_private_key(2048).public_key()).code == "unsupported_algorithm"


@pytest.mark.parametrize(
    "options",
    [
        ["-newkey", "rsa-pss"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
    ],
    ids=["RSASSA-PSS", "explicit curve"],
)
def test_keys_in_unusual_forms_are_refused(options: list[str]) -> None:
    pem = pki.openssl("req", "-x509", *options, "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-days", "9")
    key, result = examine(x509.load_pem_x509_certificate(pem))
    assert key is not None
    assert result is not None
    assert (result.code, result.provable) == ("unusual_key_form", False)


def test_a_curve_that_cannot_be_read_at_all_is_refused() -> None:
    pem = pki.openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:sect283k1", "-nodes", "-subj", "/CN=x"),
        *("-keyout", "/dev/null"),
    )
    key, result = examine(x509.load_pem_x509_certificate(pem))
    assert key is None
    assert result is not None
    assert result.code == "unsupported_algorithm"


def test_an_even_exponent_in_a_certificate_is_refused() -> None:
    even = pki.changed(pki.leaf(None, key=pki.rsa_key()), b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x02")
    key, result = examine(even.certificate)
    assert key is None
    assert result is not None
    assert result.code == "rsa_exponent"


def test_the_fingerprint_is_that_of_the_public_key_as_openssl_sees_it() -> None:
    der = pki.openssl("pkey", "-pubout", "-outform", "DER", stdin=pki.key_pem(pki.ec_key()))
    digest = pki.openssl("dgst", "-sha256", "-binary", stdin=der)
    assert key_fingerprint(pki.ec_key().public_key()) == digest
