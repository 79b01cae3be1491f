"""What opens an invitation: a token for links, a short code for typing, a second factor for another channel.

All are made here and hashed here; nothing but the hashes is ever kept.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.store.invitations import Hashes

TOKEN_BYTES = 32
"""256 bits: nobody guesses one, however quickly the gate answers."""
CODE_CHARACTERS = 12
"""12 of 56: 70 bits. A million guesses a second at a hundred thousand open invitations need more than a century."""
FACTOR_DIGITS = 8
"""27 bits, which stand only because 5 wrong tries are the end."""
GROUP = 4
"""Characters that people read and type at a time."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_MOST_CHARACTERS = 200
"""No secret of ours is longer, however it was typed."""

_CODE_ROUNDS = 1_000
"""A look-up needs the same hash each time, so no salt: this makes each guess of who stole the store 1,000 dearer."""


@dataclass(frozen=True, slots=True)
class Key:
    """What was given to open an invitation, as the store would know it: one of the two."""

    token_hash: bytes | None
    code_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What opens one invitation, and the hashes of it."""

    token: str = field(repr=False)
    code: str = field(repr=False)
    factor: str | None = field(repr=False)

    @classmethod
    def make(cls, second_factor: bool) -> "Secrets":
        """New ones."""
        return cls(make_token(), make_code(), make_factor() if second_factor else None)

    @property
    def hashes(self) -> Hashes:
        """What is kept of them."""
        token = hash_token(self.token)
        return Hashes(token, hash_code(self.code), None if self.factor is None else hash_factor(self.factor, token))


def make_token() -> str:
    """A new token, 43 characters of base64url (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).rstrip(b"=").decode()


def make_code() -> str:
    """A new short code, in groups: `Ab3d-…`."""
    return grouped("".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARACTERS)), "-")


def make_factor() -> str:
    """A new second factor, in groups of digits: it is read out on the telephone."""
    return grouped("".join(secrets.choice("0123456789") for _ in range(FACTOR_DIGITS)), " ")


def read(text: str) -> Key | None:
    """What `text`, a token or a short code as somebody typed it, stands for; None for what is neither."""
    if len(text) > _MOST_CHARACTERS:
        return None
    stripped = text.strip()
    if _TOKEN.fullmatch(stripped):
        return Key(hash_token(stripped), None)
    code = _bare(text)
    if len(code) == CODE_CHARACTERS and all(character in ALPHABET for character in code):
        return Key(None, hash_code(code))
    return None


def hash_token(token: str) -> bytes:
    """What the store keeps of a token. It has 256 random bits, so a quick hash is enough."""
    return hashlib.sha256(b"mutualgate invitation token\0" + token.encode()).digest()


def hash_code(code: str) -> bytes:
    """What the store keeps of a short code, typed with or without groups."""
    return hashlib.pbkdf2_hmac("sha256", _bare(code).encode(), b"mutualgate invitation code", _CODE_ROUNDS)


def hash_factor(factor: str, token_hash: bytes) -> bytes:
    """What the store keeps of a second factor; its invitation's token is the salt. Slow on purpose: about 40 ms."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    # N = 2^14, r = 8, p = 1: RFC 7914 section 2 and 16 MiB.
    return Scrypt(salt=token_hash, length=32, n=1 << 14, r=8, p=1).derive(_bare(factor[:_MOST_CHARACTERS]).encode())


def same(one: bytes, other: bytes) -> bool:
    """Whether two hashes are equal, in a time that does not say where they differ."""
    return hmac.compare_digest(one, other)


def grouped(text: str, between: str) -> str:
    """`text` in groups."""
    return between.join(text[start : start + GROUP] for start in range(0, len(text), GROUP))


def _bare(text: str) -> str:
    return "".join(character for character in text if character not in " -\u2013\u00a0\t\r\n")
