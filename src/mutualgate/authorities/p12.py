"""PKCS#12 files (RFC 7292) that the program they are meant for can open.

Most "wrong password" messages on import are about an encoding that the reader does not know. Three encodings are made,
each through and through: never a mix, never RC2.
"""

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

from asn1crypto import algos, core, pkcs12
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import KeySerializationEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.authorities.keys import PrivateKey
from mutualgate.errors import BadInput
from mutualgate.reading.files import shown

PASSWORD_CHARACTERS = 20
"""20 of 56: 116 bits. `compat` is old cryptography and both have a MAC of 2,048 rounds: the password carries them."""
MIN_PASSWORD_CHARACTERS = 14

COMPAT_ROUNDS = 20_000
MODERN_ROUNDS = 100_000
"""Windows refuses more than 600,000."""


class Encoding(StrEnum):
    """How a .p12 is encrypted."""

    COMPAT = "compat"
    """3DES for certificates and key, MAC with SHA-1: old Windows, every Apple, Android up to 13, Java before 2021."""
    MODERN = "modern"
    """PBES2 with AES-256, MAC with SHA-256: Windows since 1709, Firefox, Android 14, Java 11.0.12, OpenSSL 1.1.1."""
    FIPS = "fips"
    """PBES2 with AES-256, PBMAC1 (RFC 9879): hosts in FIPS mode; OpenSSL 3.4 and Java 26 at least. By name only."""


_MODERN_SINCE: dict[str, tuple[int, ...] | None] = {
    # Words for --for; the version from which the modern encoding is read, () for all, None for none that we vouch for.
    "windows": (10,),
    "windows-server": (2019,),
    "macos": None,
    "ios": None,
    "ipados": None,
    "safari": None,
    "android": (14,),
    "firefox": (),
    # Chromium on Linux refused files that Firefox took, on other systems it reads the system's store.
    "chrome": None,
    "chromium": None,
    "edge": None,
    "linux": None,
    "java": (11, 0, 12),
    "openssl": (1, 1, 1),
    "curl": (),
    "other": None,
}

_PBKDF2, _PBMAC1 = "1.2.840.113549.1.5.12", "1.2.840.113549.1.5.14"
_FIPS = ("fips", "openssl-fips")


def encoding_for(target: str | None) -> Encoding:
    """The encoding that `target` reads: a system or program, with its version or without (`android-13`, `Windows 11`).

    Without a version the oldest one counts, except for Windows and Java, whose old ones have no support any more.
    None: not known, so `compat`, which everything but a FIPS host opens. BadInput for a word that we do not know.
    """
    if target is None:
        return Encoding.COMPAT
    match = re.fullmatch(r"([a-z]+(?:[ -][a-z]+)*)[ -]?([0-9]+(?:\.[0-9]+)*)?", target.strip().lower())
    word = match.group(1).replace(" ", "-") if match else ""
    if word in _FIPS:
        return Encoding.FIPS
    if match is None or word not in _MODERN_SINCE:
        raise BadInput(
            f"{shown(target)!r} is no system or program that we know",
            expected=", ".join((*_MODERN_SINCE, _FIPS[0])),
            fix="Add the version if you know it, for example android-14",
        )
    since = _MODERN_SINCE[word]
    if since is None:
        return Encoding.COMPAT
    if match.group(2) is None:
        return Encoding.MODERN if word in ("windows", "java", "openssl", "firefox", "curl") else Encoding.COMPAT
    version = tuple(int(part) for part in match.group(2).split("."))
    if word == "java" and len(version) == 1 and version[0] >= 11:
        return Encoding.MODERN  # "java-17": any release of it that is still patched
    return Encoding.MODERN if version >= since else Encoding.COMPAT


def make_password() -> str:
    """A new password for a .p12: shown once, told on another way than the file."""
    return "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_CHARACTERS))


def check_password(password: str) -> None:
    """BadInput (`weak_password`) for a password that would not protect the key, or that readers disagree about."""
    problem = None
    if not password.isascii() or not password.isprintable():
        problem = "has characters that programs encode differently"
    elif len(password) < MIN_PASSWORD_CHARACTERS:
        problem = f"has {len(password)} characters"
    elif len(set(password)) < 8 or any(
        word in password.lower() for word in ("changeit", "password", "123456", "qwertz", "qwerty")
    ):
        problem = "is easily guessed"
    if problem:
        raise BadInput(
            f"the password {problem}",
            expected=f"at least {MIN_PASSWORD_CHARACTERS} characters of ASCII, or none, for a generated one",
            code="weak_password",
        )


def make_p12(
    key: PrivateKey,
    certificate: x509.Certificate,
    chain: list[x509.Certificate],
    password: str,
    encoding: Encoding,
    label: str,
) -> bytes:
    """A .p12 with the key, its certificate and the intermediates in `chain`; `label` is what choosers show.

    Roots in `chain` are left out: systems offer to trust a root that comes along for every server in the world.
    """
    check_password(password)
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is not the certificate's")
    data = serialize_key_and_certificates(
        label.encode(),
        key,
        certificate,
        [link for link in chain if link.subject != link.issuer],
        _encryption(encoding, password.encode()),
    )
    return _with_pbmac1(data, password.encode()) if encoding is Encoding.FIPS else data


def _encryption(encoding: Encoding, password: bytes) -> KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder()
    if encoding is Encoding.COMPAT:
        builder = builder.kdf_rounds(COMPAT_ROUNDS).key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        return builder.hmac_hash(hashes.SHA1()).build(password)  # noqa: S303 - RFC 7292 B; the readers know no other
    builder = builder.kdf_rounds(MODERN_ROUNDS).key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
    return builder.hmac_hash(hashes.SHA256()).build(password)


class _Pbkdf2Params(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 8018 A.2. `keyLength` has to be there for a MAC (RFC 9879 4)."""

    _fields = [  # noqa: RUF012 - as asn1crypto wants it
        ("salt", core.OctetString),
        ("iteration_count", core.Integer),
        ("key_length", core.Integer),
        ("prf", algos.HmacAlgorithm),
    ]


class _KeyDerivation(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbkdf2Params)]  # noqa: RUF012


class _Pbmac1Params(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 8018 A.5."""

    _fields = [("key_derivation", _KeyDerivation), ("scheme", algos.HmacAlgorithm)]  # noqa: RUF012


class _Pbmac1(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", _Pbmac1Params)]  # noqa: RUF012


class _DigestInfo(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("algorithm", _Pbmac1), ("digest", core.OctetString)]  # noqa: RUF012


class _MacData(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    """RFC 7292 4. With PBMAC1, salt and rounds have their place in its parameters, and these two are not looked at."""

    _fields = [  # noqa: RUF012
        ("mac", _DigestInfo),
        ("mac_salt", core.OctetString),
        ("iterations", core.Integer, {"default": 1}),
    ]


class _Pfx(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("version", core.Integer), ("auth_safe", core.Any), ("mac_data", _MacData)]  # noqa: RUF012


def _with_pbmac1(data: bytes, password: bytes) -> bytes:
    """The .p12 with a MAC by RFC 9879 in place of the one that it has, whose key derivation FIPS 140 does not know."""
    pfx = pkcs12.Pfx.load(data)
    salt = secrets.token_bytes(16)
    key = hashlib.pbkdf2_hmac("sha256", password, salt, MODERN_ROUNDS, 32)
    digest = hmac.digest(key, pfx["auth_safe"]["content"].native, "sha256")
    hmac_sha256 = {"algorithm": "sha256", "parameters": core.Null()}
    derivation = {"salt": salt, "iteration_count": MODERN_ROUNDS, "key_length": 32, "prf": hmac_sha256}
    parameters = {"key_derivation": {"algorithm": _PBKDF2, "parameters": derivation}, "scheme": hmac_sha256}
    mac = {"algorithm": {"algorithm": _PBMAC1, "parameters": parameters}, "digest": digest}
    made: bytes = _Pfx(
        {"version": 3, "auth_safe": pfx["auth_safe"], "mac_data": {"mac": mac, "mac_salt": b"NOT USED"}}
    ).dump()
    return made
