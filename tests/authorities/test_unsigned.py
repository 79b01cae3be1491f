"""What lacks only its signature, beside what the builders of pyca/cryptography write and sign in one step."""

from datetime import timedelta
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.unsigned import SEQUENCE, content, element, signature_hash, unsigned

KEYS: list[PrivateKey] = [
    pki.fresh_key(),
    pki.ec_key("P-384"),
    pki.rsa_key(),
    pki.ed25519_key(),
]
FILLING = x509.ObjectIdentifier("1.2.3")
KINDS = ["P-256", "P-384", "RSA", "Ed25519"]


def builder(size: int = 10) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one")])
    return x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=KEYS[0].public_key(),
        serial_number=7,
        not_valid_before=pki.NOW.replace(tzinfo=None),
        not_valid_after=(pki.NOW + timedelta(days=1)).replace(tzinfo=None),
        extensions=[x509.Extension(FILLING, False, x509.UnrecognizedExtension(FILLING, bytes(size)))],
    )


@pytest.mark.parametrize("size", [0, 100, 300, 70_000])
@pytest.mark.parametrize("key", KEYS, ids=KINDS)
def test_it_is_octet_for_octet_what_the_builder_would_have_made(key: PrivateKey, size: int) -> None:
    expected = builder(size).sign(key, signature_hash(key.public_key()))
    made = unsigned(builder(size), key.public_key())
    assert made.to_sign == expected.tbs_certificate_bytes
    assert made.der(expected.signature) == expected.public_bytes(Encoding.DER)
    signed = x509.load_der_x509_certificate(made.signed(key))
    assert signed.tbs_certificate_bytes == expected.tbs_certificate_bytes
    assert signed.signature_algorithm_parameters.__class__ == expected.signature_algorithm_parameters.__class__
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key.public_key().verify(signed.signature, signed.tbs_certificate_bytes, *made.how)
    else:  # these sign the same the same way
        assert signed == expected


def test_without_a_signature_it_can_be_read() -> None:
    made = unsigned(builder(), KEYS[0].public_key())
    assert x509.load_der_x509_certificate(made.der()).serial_number == 7
    assert x509.load_der_x509_certificate(made.der()).signature == b""


class Faulty(ec.EllipticCurvePrivateKey):
    """A key in a device that signs something else than it was asked to."""

    curve, key_size = ec.SECP256R1(), 256

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return KEYS[0].public_key()  # type: ignore[return-value]  # it is of P-256

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        return KEYS[0].sign(bytes(data) + b".", signature_algorithm)  # type: ignore[call-arg]  # as above

    exchange = private_numbers = private_bytes = __copy__ = __deepcopy__ = None  # type: ignore[assignment]  # never asked


def test_a_signature_that_does_not_verify_is_never_handed_out() -> None:
    with pytest.raises(InvalidSignature):
        unsigned(builder(), KEYS[0].public_key()).signed(Faulty())


def test_a_key_that_no_authority_has_is_refused() -> None:
    with pytest.raises(TypeError, match="no key that an authority has"):
        unsigned(builder(), ed448.Ed448PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("size", "begins"),
    [(0, "3000"), (127, "307f"), (128, "308180"), (256, "30820100"), (65_535, "3082ffff"), (65_536, "3083010000")],
)
def test_elements_say_their_length_in_as_few_octets_as_can_be(size: int, begins: str) -> None:
    made = element(SEQUENCE, bytes(size))
    assert made == bytes.fromhex(begins) + bytes(size)
    assert content(made) == bytes(size)
