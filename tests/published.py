"""JWK Sets as clients publish them, made by another library's base64 and our own eyes: no code of the program."""

import base64
import hashlib
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from publisher import Publisher, publisher

Jwk = dict[str, Any]


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number: int) -> str:
    return url64(number.to_bytes((number.bit_length() + 7) // 8))


def jwk(key: pki.Key, **more: Any) -> Jwk:
    """The public JWK of a key."""
    return jwk_of(key.public_key(), **more)


def jwk_of(public: object, **more: Any) -> Jwk:
    """RFC 7518 and RFC 8037."""
    match public:
        case rsa.RSAPublicKey():
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e), **more}
        case ec.EllipticCurvePublicKey():
            size = (public.curve.key_size + 7) // 8
            point = public.public_numbers()
            crv = {256: "P-256", 384: "P-384", 521: "P-521"}[public.curve.key_size]
            x, y = url64(point.x.to_bytes(size)), url64(point.y.to_bytes(size))
            return {"kty": "EC", "crv": crv, "x": x, "y": y, **more}
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            crv = "Ed25519" if isinstance(public, ed25519.Ed25519PublicKey) else "Ed448"
            return {"kty": "OKP", "crv": crv, "x": url64(public.public_bytes(Encoding.Raw, PublicFormat.Raw)), **more}
    raise AssertionError(public)


def x5c(*chain: pki.Issued) -> list[str]:
    return x5c_of(*(one.certificate for one in chain))


def x5c_of(*chain: x509.Certificate) -> list[str]:
    """RFC 7517 4.7."""
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]


def with_certificate(issued: pki.Issued, **more: Any) -> Jwk:
    """RFC 8705 2.2.2: the key with its certificate."""
    thumbprint = url64(hashlib.sha256(issued.der).digest())
    return jwk(issued.key, **{"x5c": x5c(issued), "x5t#S256": thumbprint, **more})


def jwks(*keys: Jwk) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


@contextmanager
def https_publisher(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A server whose certificate this process, and those that it starts, trust."""
    root = pki.ca("published root", now=pki.real_now())
    (folder / "published-root.pem").write_bytes(root.pem)
    patch.setenv("SSL_CERT_FILE", str(folder / "published-root.pem"))
    certificate, key = pki.server(root, now=pki.real_now()).write(folder, "published")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with publisher(context) as server:
        yield server
