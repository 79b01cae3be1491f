"""PKCS#12 files (RFC 7292) that the program they are meant for can open.

Most "wrong password" messages on import are about an encoding that the reader does not know. Three encodings are made,
each through and through: never a mix, never RC2.
"""

import re
import secrets
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import KeySerializationEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.authorities.keys import PrivateKey
from mutualgate.counts import counted
from mutualgate.errors import BadInput
from mutualgate.reading.files import shown

PASSWORD_CHARACTERS = 20
"""20 of 56: 116 bits. `compat` is old cryptography and both have a MAC of 2,048 rounds: the password carries them."""
MIN_PASSWORD_CHARACTERS = 14

COMPAT_ROUNDS = 2_048
"""As the MAC has in any case: whoever guesses passwords tries them on that, so more would cost us alone."""
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

_FIPS = ("fips", "openssl-fips")


def encoding_for(target: str | None) -> Encoding:
    """The encoding that `target` reads: a system or program, with its version or without (`android-13`, `Windows 11`).

    Without a version the oldest one counts, except for Windows and Java, whose old ones have no support any more.
    None: not known, so `compat`, which everything but a FIPS host opens. BadInput for a word that we do not know.
    """
    if target is None:
        return Encoding.COMPAT
    match = re.fullmatch(r"([a-z]+(?:[ -][a-z]+)*)[ -]?([0-9]{1,9}(?:\.[0-9]{1,9})*)?", target.strip().lower())
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
    """A new password for a .p12: shown once, told by another channel than the file."""
    return "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_CHARACTERS))


def check_password(password: str) -> None:
    """BadInput (`weak_password`) for a password that would not protect the key, or that readers disagree about."""
    problem = None
    if not password.isascii() or not password.isprintable():
        problem = "has characters that programs encode differently"
    elif len(password) < MIN_PASSWORD_CHARACTERS:
        problem = f"has {counted(len(password), 'character')}"
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
    if encoding is not Encoding.FIPS:
        return data
    # Here, because it takes a library that the other encodings need not wait for.
    from mutualgate.authorities.pbmac1 import with_pbmac1

    return with_pbmac1(data, password.encode(), MODERN_ROUNDS)


def _encryption(encoding: Encoding, password: bytes) -> KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder()
    if encoding is Encoding.COMPAT:
        builder = builder.kdf_rounds(COMPAT_ROUNDS).key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        return builder.hmac_hash(hashes.SHA1()).build(password)  # noqa: S303 - RFC 7292 B; the readers know no other
    builder = builder.kdf_rounds(MODERN_ROUNDS).key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
    return builder.hmac_hash(hashes.SHA256()).build(password)
