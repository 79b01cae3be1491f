"""A JWK Set (RFC 7517) that somebody publishes, read: which keys in it can be pinned, and what is wrong with others.

Whoever publishes it may be hostile, or may be somebody who took over the web server. So it is bounded and read
strictly, and a set with anything private in it is refused whole: whoever made it does not know what they are doing,
and everybody could read that key.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mutualgate.errors import BadInput
from mutualgate.model.legible import Legible, legible
from mutualgate.model.pin import PinKind
from mutualgate.partners import material
from mutualgate.partners.material import Material
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed, private_key_given, shown
from mutualgate.reading.weak_keys import refuse, weakness

MAX_SET_BYTES = 256 * 1024
"""Thirty-two keys with chains of certificates have room."""
MOST_KEYS = 32
"""Overlap needs two, and some publish keys for other purposes, too."""
MAX_CERTIFICATE_BYTES = 32 * 1024
MAX_KEY_BYTES = 2048
"""Of a number or coordinate: an RSA key of twice the bits that are accepted, so that it is told what is wrong."""

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""RFC 7518 6.2.2, 6.3.2 and 6.4, RFC 8037 2, and `priv` of newer kinds of keys."""
_CURVES: Mapping[str, tuple[type[ec.EllipticCurve], int]] = {
    "P-256": (ec.SECP256R1, 32),
    "P-384": (ec.SECP384R1, 48),
    "P-521": (ec.SECP521R1, 66),
}
_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
_USES = ("sig", "tls")
"""RFC 7517 4.2; `tls` is what directories of Open Banking write."""


@dataclass(frozen=True)
class Published:
    """A key that can be pinned: by `x5c` that certificate alone (RFC 8705 2.2), else every certificate with the key."""

    kind: PinKind
    what: Material
    kid: str
    """In plain text; empty without one."""

    @property
    def digest(self) -> bytes:
        """What a pin of it compares."""
        fingerprint = self.what.fingerprint if self.kind is PinKind.CERTIFICATE else None
        return self.what.spki if fingerprint is None else fingerprint

    @property
    def der(self) -> bytes:
        """The certificate, or the key alone."""
        alone = self.what.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self.what.der or alone


@dataclass(frozen=True)
class ReadSet:
    """What a set holds, each key once; and what of it is left out, a sentence each."""

    keys: tuple[Published, ...]
    left_out: tuple[str, ...]


class _Unfit(Exception):
    """This key cannot be used; the others of the set may be."""


def read_set(data: bytes, where: str) -> ReadSet:
    """The keys of a JWK Set.

    Raises `BadInput` for what is none, or too much of one, and with the code `private_key_given` for one that gives
    away a private or symmetric key.
    """
    if len(data) > MAX_SET_BYTES:
        raise _bad(where, f"is longer than {MAX_SET_BYTES} bytes")
    if b"PRIVATE KEY-----" in data:
        raise private_key_given(where, "a private or symmetric key")
    found = _parsed(data, where)
    if not isinstance(found, dict):
        raise _bad(where, "is no JWK Set")
    _refuse_private(found, where)
    keys = found.get("keys")
    if not isinstance(keys, list):
        raise _bad(where, 'has no member "keys" with a list')
    if len(keys) > MOST_KEYS:
        raise _bad(where, f"has {len(keys)} keys, more than the {MOST_KEYS} that are read")
    for jwk in keys:
        if not isinstance(jwk, dict):
            raise _bad(where, "has a key that is no JSON object")
        _refuse_private(jwk, where)
    fit: dict[tuple[PinKind, bytes], Published] = {}
    left_out = []
    for number, jwk in enumerate(keys, 1):
        kid = shown(jwk["kid"], 64) if isinstance(jwk.get("kid"), str) else ""
        name = f"key {number}" + (f' ("{kid}")' if kid else "")
        try:
            one = _key(jwk, kid, name)
        except _Unfit as unfit:
            left_out.append(f"{name} {unfit}")
        except BadInput as error:  # a weak key
            left_out.append(f"{name}: {error.problem}")
        else:
            fit.setdefault((one.kind, one.digest), one)
    return ReadSet(tuple(fit.values()), tuple(left_out))


def _parsed(data: bytes, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):  # RFC 7517 4: two readers could take two keys for it
            raise ValueError
        return members

    def no_constant(name: str) -> NoReturn:
        raise ValueError

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise _bad(where, "is no JSON, or says something twice") from None


def _refuse_private(members: Mapping[str, Any], where: str) -> None:
    if not _PRIVATE.isdisjoint(members):
        raise private_key_given(where, "a private or symmetric key")


def _bad(where: str, problem: str) -> BadInput:
    return BadInput(problem, where=where, expected="a JWK Set (RFC 7517)", code="bad_key_set")


def _key(jwk: Mapping[str, Any], kid: str, name: str) -> Published:
    """Raises _Unfit, and BadInput for a weak key."""
    kty = jwk.get("kty")
    match kty:
        case "RSA":
            family, key = "RSA", _rsa(jwk)
        case "EC":
            family, key = _ec(jwk)
        case "OKP":
            family, key = _okp(jwk)
        case str():
            raise _Unfit(f"is of a kind that is not known here: {_said(kty)}")
        case _:
            raise _Unfit("says of no kind (kty)")
    _check_purpose(jwk, family)
    refuse(weakness(key))
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certificate = _certificate(jwk)
    if certificate is None:
        return Published(PinKind.KEY, Material(None, key, hashlib.sha256(spki).digest(), ""), kid)
    what = material.of_certificate(certificate, name)
    if what.spki != hashlib.sha256(spki).digest():
        raise _Unfit("has a certificate (x5c) of another key")
    thumbprint = jwk.get("x5t#S256")
    if thumbprint is not None and _octets(jwk, "x5t#S256", 32) != what.fingerprint:
        raise _Unfit("has a thumbprint (x5t#S256) of another certificate")
    return Published(PinKind.CERTIFICATE, what, kid)


def _check_purpose(jwk: Mapping[str, Any], family: str) -> None:
    use, operations, algorithm = jwk.get("use"), jwk.get("key_ops"), jwk.get("alg")
    if use is not None and use not in _USES:
        raise _Unfit(f"is for another use: {_said(use)}")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise _Unfit("is for other operations (key_ops) than to verify signatures")
    if algorithm is not None and algorithm not in _ALGORITHMS[family]:
        raise _Unfit(f"names an algorithm that signs nothing with such a key: {_said(algorithm)}")


def _rsa(jwk: Mapping[str, Any]) -> CertificatePublicKeyTypes:
    n, e = _octets(jwk, "n", MAX_KEY_BYTES), _octets(jwk, "e", 16)
    if n[0] == 0 or e[0] == 0:  # RFC 7518 2: Base64urlUInt has no octet too many
        raise _Unfit("has a number that begins with a zero octet")
    try:
        return rsa.RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n)).public_key()
    except UNREADABLE:
        raise _Unfit("is no RSA key that can be used") from None


def _ec(jwk: Mapping[str, Any]) -> tuple[str, CertificatePublicKeyTypes]:
    name = jwk.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise _Unfit(f"is on a curve that is not accepted: {_said(name)}")
    curve, size = _CURVES[name]
    x, y = _octets(jwk, "x", size), _octets(jwk, "y", size)
    if len(x) != size or len(y) != size:
        raise _Unfit(f"has a coordinate of another length than {size} octets")
    try:
        return name, ec.EllipticCurvePublicKey.from_encoded_point(curve(), b"\x04" + x + y)
    except UNREADABLE:
        raise _Unfit("is no point on its curve") from None


def _okp(jwk: Mapping[str, Any]) -> tuple[str, CertificatePublicKeyTypes]:
    """RFC 8037."""
    name = jwk.get("crv")
    try:
        match name:
            case "Ed25519":
                return name, ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 57))
            case "Ed448":
                return name, ed448.Ed448PublicKey.from_public_bytes(_octets(jwk, "x", 57))
    except UNREADABLE:
        raise _Unfit(f"is no {name} key") from None
    raise _Unfit(f"signs nothing, or in a way that is not known here: {_said(name)}")


def _certificate(jwk: Mapping[str, Any]) -> Legible | None:
    """The first of `x5c`: the others are no matter, for a pin is compared whole."""
    chain = jwk.get("x5c")
    if chain is None:
        return None
    if not isinstance(chain, list) or not chain or not all(isinstance(one, str) for one in chain):
        raise _Unfit("has an x5c that is no list of certificates")
    try:
        der = base64.b64decode(chain[0].encode("ascii"), validate=True)  # RFC 7517 4.7: not base64url
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise _Unfit(f"has a certificate (x5c) of more than {MAX_CERTIFICATE_BYTES} bytes")
        with odd_serials_allowed():
            return legible(der)
    except (*UNREADABLE, UnicodeEncodeError, binascii.Error):
        raise _Unfit("has a certificate (x5c) that cannot be read") from None


def _octets(jwk: Mapping[str, Any], name: str, most: int) -> bytes:
    """A member in base64url, in its one spelling (RFC 7515 2). Raises _Unfit."""
    text = jwk.get(name)
    if isinstance(text, str) and len(text) <= most * 4 // 3 + 2 and re.fullmatch("[A-Za-z0-9_-]+", text):
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            data = b""
        if data and len(data) <= most and base64.urlsafe_b64encode(data).decode().rstrip("=") == text:
            return data
    raise _Unfit(f"has no fitting {name}")


def _said(value: object) -> str:
    return shown(value, 20) if isinstance(value, str) else "what it names is no text"
