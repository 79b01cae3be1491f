"""What a JWK Set may hold, and all that it may not. Sets are made by hand, as hostile ones are."""

import base64
import hashlib
import json
from typing import Any

import pki
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from published import Jwk, jwk, jwks, number64, url64, with_certificate, x5c

from mutualgate.errors import BadInput
from mutualgate.model.pin import PinKind
from mutualgate.partners import jwks as module
from mutualgate.partners.jwks import MAX_SET_BYTES, MOST_KEYS, read_set


def _spki(key: pki.Key) -> bytes:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def _left_out(*keys: Jwk) -> str:
    read = read_set(jwks(*keys), "the set")
    assert read.keys == ()
    (sentence,) = read.left_out
    return sentence


@pytest.mark.parametrize(
    "key",
    [pki.rsa_key(2048), pki.ec_key("P-256"), pki.ec_key("P-384"), pki.ec_key("P-521"), pki.ed25519_key()],
    ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
)
def test_a_bare_key_stands_for_itself(key: pki.Key) -> None:
    (one,) = read_set(jwks(jwk(key, kid="2026")), "the set").keys
    assert (one.kind, one.digest, one.kid) == (PinKind.KEY, _spki(key), "2026")
    assert hashlib.sha256(one.der).digest() == _spki(key)


def test_a_certificate_stands_for_itself_alone() -> None:
    own = pki.leaf(None, "own")
    (one,) = read_set(jwks(with_certificate(own, use="sig", alg="ES256", key_ops=["verify"])), "the set").keys
    assert (one.kind, one.digest, one.der) == (PinKind.CERTIFICATE, hashlib.sha256(own.der).digest(), own.der)


def test_of_a_chain_only_the_first_is_taken() -> None:
    ca = pki.ca("acme")
    own = pki.leaf(ca, "own")
    (one,) = read_set(jwks(jwk(own.key, x5c=x5c(own, ca))), "the set").keys
    assert one.der == own.der


def test_each_key_once() -> None:
    own = pki.leaf(None, "own")
    twice = [jwk(own.key, kid="a"), jwk(own.key, kid="b"), with_certificate(own), with_certificate(own)]
    assert [one.kind for one in read_set(jwks(*twice), "the set").keys] == [PinKind.KEY, PinKind.CERTIFICATE]


def test_one_that_is_unfit_does_not_keep_others_out() -> None:
    read = read_set(jwks({"kty": "AKP", "kid": "pq\x1b[31m", "pub": "AA"}, jwk(pki.fresh_key())), "the set")
    assert len(read.keys) == 1
    assert read.left_out == ('key 1 ("pq\\x1b[31m") is of a kind that is not known here: AKP',)


def test_an_empty_set_is_a_set() -> None:
    assert read_set(b'{"keys": []}', "the set").keys == ()


EC = jwk(pki.ec_key("P-256"))
RSA = jwk(pki.rsa_key(2048))
ED = jwk(pki.ed25519_key())


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
@pytest.mark.parametrize("kty", ["RSA", "oct", "of tomorrow"])
def test_who_gives_away_a_private_key_is_refused_whole(name: str, kty: str) -> None:
    good = jwk(pki.fresh_key())
    with pytest.raises(BadInput) as refused:
        read_set(jwks(good, {"kty": kty, name: "c2VjcmV0"}), "the set")
    assert refused.value.code == "private_key_given"
    assert "c2VjcmV0" not in str(refused.value)


def test_a_private_key_beside_the_set() -> None:
    for data in (
        json.dumps({"keys": [EC], "d": "AA"}).encode(),
        jwks({**EC, "note": pki.key_pem(pki.fresh_key()).decode()}),
    ):
        with pytest.raises(BadInput) as refused:
            read_set(data, "the set")
        assert refused.value.code == "private_key_given"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [[]]}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"kty": "EC", "kty": "RSA"}]}',
        b'{"keys": [], "n": NaN}',
        b'{"keys": [], "n": ' + b"9" * 5_000 + b"}",
        b'{"keys": []}\xff',
        b"[" * 100_000,
        b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 40_000,
        json.dumps({"keys": []}).encode("utf-16"),
        jwks(*[EC] * (MOST_KEYS + 1)),
        jwks(*[{"kty": "EC"}] * 10_000),
        b'{"keys": []}' + b" " * MAX_SET_BYTES,
        pki.leaf(None).der,
    ],
    ids=range(20),
)
def test_what_is_no_set(data: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        read_set(data, "the set")
    assert refused.value.code == "bad_key_set"
    assert len(str(refused.value)) < 300


def _wide(jwk: Jwk, name: str) -> Jwk:
    """The same number or text, spelled in another way."""
    data = base64.urlsafe_b64decode(jwk[name] + "==")
    return {**jwk, name: url64(b"\0" + data)}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({}, "of no kind"),
        ({"kty": 7}, "of no kind"),
        ({**EC, "use": "enc"}, "another use: enc"),
        ({**EC, "use": ["sig"]}, "another use"),
        ({**EC, "key_ops": ["deriveKey"]}, "other operations"),
        ({**EC, "key_ops": "verify"}, "other operations"),
        ({**EC, "alg": "ECDH-ES"}, "ECDH-ES"),
        ({**EC, "alg": "ES384"}, "ES384"),
        ({**EC, "alg": "RS256"}, "RS256"),
        ({**EC, "alg": "none"}, "none"),
        ({**RSA, "alg": "RSA-OAEP"}, "RSA-OAEP"),
        ({**RSA, "alg": "HS256"}, "HS256"),
        ({**EC, "crv": "secp256k1"}, "not accepted: secp256k1"),
        ({**EC, "crv": "P-384"}, "another length"),
        ({**EC, "crv": None}, "not accepted"),
        ({**EC, "x": EC["y"]}, "no point"),
        ({**EC, "x": EC["x"] + "="}, "no fitting x"),
        ({**EC, "x": EC["x"] + "\n"}, "no fitting x"),
        ({**EC, "x": " " + EC["x"]}, "no fitting x"),
        ({**EC, "x": EC["x"][:-3]}, "another length"),
        ({**EC, "x": None}, "no fitting x"),
        (_wide(EC, "x"), "no fitting x"),
        (_wide(RSA, "n"), "zero octet"),
        (_wide(RSA, "e"), "zero octet"),
        ({**RSA, "e": "Ag"}, "key 1"),
        ({**RSA, "e": "AQ"}, "key 1"),
        ({**RSA, "n": number64(1 << 20_000)}, "no fitting n"),
        (jwk(pki.rsa_key(1024)), "1024"),
        (jwk(pki.rsa_key(2048, exponent=3)), "3"),
        ({**ED, "crv": "X25519"}, "signs nothing"),
        ({**ED, "x": ED["x"][:20]}, "no Ed25519 key"),
        ({**EC, "x5c": []}, "no list"),
        ({**EC, "x5c": "MII"}, "no list"),
        ({**EC, "x5c": [7]}, "no list"),
        ({**EC, "x5c": ["MII"]}, "cannot be read"),
        ({**EC, "x5c": ["Ä"]}, "cannot be read"),
        ({**EC, "x5c": [base64.b64encode(b"\x30" * 40_000).decode()]}, "more than 32768"),
        ({**EC, "x5c": x5c(pki.leaf(None))}, "of another key"),
        ({**with_certificate(pki.leaf(None)), "x5t#S256": url64(bytes(32))}, "another certificate"),
        ({**with_certificate(pki.leaf(None)), "x5t#S256": 7}, "no fitting x5t#S256"),
        (with_certificate(pki.leaf(None, key=pki.rsa_key(1024))), "1024"),
    ],
)
def test_what_is_no_key_to_pin(key: dict[str, Any], says: str) -> None:
    assert says in _left_out(key)


def test_a_certificate_in_base64url_is_not_guessed_at() -> None:
    own = next(one for one in (pki.leaf(None, f"{n}") for n in range(50)) if {"+", "/"} & set(x5c(one)[0]))
    spelled = base64.urlsafe_b64encode(own.der).decode()
    assert "cannot be read" in _left_out(jwk(own.key, x5c=[spelled]))


def test_a_certificate_in_lines_is_not_guessed_at() -> None:
    own = pki.leaf(None)
    (text,) = x5c(own)
    for spelled in (f"{text[:64]}\n{text[64:]}", f" {text}", f"{text}!"):
        assert "cannot be read" in _left_out(jwk(own.key, x5c=[spelled]))


def test_the_largest_set_that_is_sane_fits() -> None:
    chain = [pki.leaf(None, key=pki.rsa_key(4096))] * 2
    keys = [jwk(chain[0].key, x5c=x5c(*chain))] * MOST_KEYS
    assert len(jwks(*keys)) < module.MAX_SET_BYTES
