"""Private keys: made here, encrypted at rest, and the passphrase that encrypts them.

Knows PKCS#8 and where a passphrase can come from. Does not know which authority a key belongs to.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from mutualgate.authorities.private_files import create_private_file, ensure_private_folder
from mutualgate.counts import counted
from mutualgate.errors import BadInput, Conflict, Corrupt
from mutualgate.modes import EVERYTHING, refuse_others

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""A key that we make or sign with."""

MIN_PASSPHRASE_CHARACTERS = 16
"""PKCS#8 as pyca/cryptography writes it has 2,048 rounds of PBKDF2: the passphrase itself has to be strong."""
MAX_PASSPHRASE_BYTES = 1023
"""What OpenSSL's readers take."""

VARIABLE = "MUTUALGATE_PASSPHRASE"
FILE_VARIABLE = "MUTUALGATE_PASSPHRASE_FILE"
CREDENTIAL = "mutualgate-passphrase"


class KeyKind(StrEnum):
    """A kind of key that we make."""

    P256 = "p256"
    P384 = "p384"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    ED25519 = "ed25519"  # programs only: no browser takes a certificate with it


@dataclass(frozen=True)
class Passphrase:
    """What encrypts the keys of our authorities. `source`: where it came from, in words; `created`: just now, by us."""

    secret: bytes = field(repr=False)
    source: str
    created: bool = False


def make_key(kind: KeyKind = KeyKind.P256) -> PrivateKey:
    """A new key from the system's random numbers."""
    match kind:
        case KeyKind.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyKind.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyKind.RSA2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case KeyKind.RSA3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyKind.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            assert_never(kind)


def encrypt_key(key: PrivateKey, passphrase: Passphrase) -> bytes:
    """`key` as encrypted PKCS#8 in PEM: PBES2, PBKDF2 with HMAC-SHA-256, AES-256-CBC (RFC 8018); OpenSSL reads it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.secret))


def decrypt_key(pem: bytes, passphrase: Passphrase, whose: str) -> PrivateKey:
    """The key that `encrypt_key` wrote. BadInput for a wrong passphrase, Corrupt when the bytes are no such key."""
    try:
        key = load_pem_private_key(pem, passphrase.secret)
    except ValueError as error:
        if b"BEGIN ENCRYPTED PRIVATE KEY" not in pem:
            raise Corrupt("the stored key cannot be read", where=whose) from error
        raise BadInput(
            f"the passphrase from {passphrase.source} does not open the key",
            where=whose,
            expected="the passphrase that was used when the key was made",
            code="wrong_passphrase",
        ) from error
    except (TypeError, UnsupportedAlgorithm) as error:
        raise Corrupt("the stored key is not encrypted, or not by us", where=whose) from error
    if not isinstance(key, PrivateKey):
        raise Corrupt("the stored key is of a kind that we do not make", where=whose)
    return key


def plain_key_pem(key: PrivateKey) -> bytes:
    """`key` as PKCS#8 in PEM **without** encryption: for the gate's memory, never for a file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(data: bytes, password: bytes | None, where: str, *, fix: str | None = None) -> PrivateKey:
    """Somebody else's private key: PEM or DER, PKCS#1, SEC1 or PKCS#8, encrypted or not. No error quotes any of it.

    `fix` says what to do about one that the password, or none, does not open.
    """
    try:
        if b"-----BEGIN" in data:
            key = load_pem_private_key(data, password)
        else:
            key = load_der_private_key(data, password)
    except TypeError as error:
        if password is None:
            raise BadInput(
                "is encrypted and no password was given", where=where, fix=fix, code="password_needed"
            ) from error
        # A password for a key without one: nothing is wrong with the key.
        return read_private_key(data, None, where)
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is not None and (b"ENCRYPTED" in data or b"-----BEGIN" not in data):
            raise BadInput(
                "cannot be opened with the password that was given", where=where, fix=fix, code="wrong_password"
            ) from error
        raise BadInput("is no private key", where=where, expected="a private key in PEM or DER") from error
    if not isinstance(key, PrivateKey):
        raise BadInput("is a key of a kind that we cannot sign with", where=where, expected="RSA, ECDSA or Ed25519")
    return key


def find_passphrase(folder: Path, environment: Mapping[str, str], *, make: bool = True) -> Passphrase:
    """The passphrase for the authorities kept in `folder`.

    From exactly one of: the variable MUTUALGATE_PASSPHRASE, the file that MUTUALGATE_PASSPHRASE_FILE names, the
    systemd credential `mutualgate-passphrase`. Without any of them, from `folder`/keys/passphrase, which is made when
    it is missing, unless `make` says that there are keys already: a new passphrase would open none of them.
    """
    credential = None
    if environment.get("CREDENTIALS_DIRECTORY"):
        candidate = Path(environment["CREDENTIALS_DIRECTORY"]) / CREDENTIAL
        credential = candidate if candidate.exists() else None
    given = [name for name in (VARIABLE, FILE_VARIABLE) if name in environment]
    if credential:
        given.append(f"the systemd credential {CREDENTIAL}")
    if len(given) > 1:
        raise BadInput(f"the passphrase is given twice: by {' and by '.join(given)}", expected="one of them")
    if VARIABLE in environment:
        source = f"the variable {VARIABLE}"
        return Passphrase(_checked(os.fsencode(environment[VARIABLE]), source), source)
    if FILE_VARIABLE in environment:
        return _from_file(Path(environment[FILE_VARIABLE]))
    if credential:
        # systemd lets the service in by an access list, which shows as the group's bit; the folder is closed to others.
        return _from_file(credential, others=0o007, source=f"the systemd credential {CREDENTIAL}")
    return _from_own_file(folder / "keys" / "passphrase", make)


def _from_own_file(path: Path, make: bool) -> Passphrase:
    try:
        there = path.exists()
    except OSError as error:  # its folder is closed to this user
        raise _unreadable(path, error) from error
    if not there and not make:
        raise BadInput(
            "the passphrase of the keys is missing",
            where=str(path),
            expected=f"it there, or by {VARIABLE}, {FILE_VARIABLE} or the systemd credential {CREDENTIAL}",
            code="no_passphrase",
        )
    if not there:
        ensure_private_folder(path.parent)
        try:
            create_private_file(path, secrets.token_urlsafe(32).encode() + b"\n")  # 256 bits
        except Conflict:
            pass  # another process was first: its passphrase is the one
        else:
            made = _from_file(path)
            return Passphrase(made.secret, made.source, created=True)
    refuse_others(path.parent.stat(), str(path.parent))
    return _from_file(path)


def _from_file(path: Path, others: int = EVERYTHING, source: str | None = None) -> Passphrase:
    try:
        with path.open("rb") as file:
            # The very file that was opened is judged, not what the name stands for a moment later.
            refuse_others(os.fstat(file.fileno()), str(path), others)
            secret = file.read(MAX_PASSPHRASE_BYTES + 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    return Passphrase(_checked(secret, str(path)), source or f"the file {path}")


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"the passphrase file cannot be read ({error.strerror})", where=str(path), expected="a readable file"
    )


def _checked(secret: bytes, source: str) -> bytes:
    """Refuses what cannot be a passphrase; says lengths, never the passphrase."""
    length = len(secret.decode("utf-8", "replace"))
    if len(secret) > MAX_PASSPHRASE_BYTES:
        raise BadInput("the passphrase is too long", where=source, expected=f"at most {MAX_PASSPHRASE_BYTES} bytes")
    if b"\0" in secret or b"\n" in secret:
        raise BadInput("the passphrase has a line break or a zero byte", where=source, expected="one line of text")
    if length < MIN_PASSPHRASE_CHARACTERS:
        raise BadInput(
            f"the passphrase has {counted(length, 'character')}",
            where=source,
            expected=f"at least {MIN_PASSPHRASE_CHARACTERS}",
            fix="Give the one that the keys were made with; for a new installation make one: openssl rand -base64 32",
            code="weak_passphrase",
        )
    return secret
