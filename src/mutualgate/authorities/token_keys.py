"""The keys that sign tokens about clients (JWT): made when one is first needed, and rotated with an overlap.

One signs at a time. Its successor is published a day before it signs, and it stays published for a day after it did, so
that whoever reads the set once a day can verify every token. Knows keys and their times, not what is signed.
"""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from mutualgate import audit
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, make_key, plain_key_pem
from mutualgate.errors import Corrupt
from mutualgate.store import Store, Transaction

LIFE = timedelta(days=30)
"""How long a key signs."""
OVERLAP = timedelta(days=1)
"""How long a key is published before it signs and after: longer than any token lives, and than sets are cached."""

_NAME = "token.keys"


@dataclass(frozen=True)
class TokenKey:
    """What signs tokens now. `key_pem` is PKCS #8 without encryption: for the gate's memory, never for a file."""

    key_id: str
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True)
class _Kept:
    key_id: str
    x: str
    y: str
    signs_from: datetime
    key: str = field(repr=False)

    @property
    def jwk(self) -> dict[str, str]:
        """RFC 7517 4, RFC 7518 6.2.1."""
        return {
            "kty": "EC", "crv": "P-256", "x": self.x, "y": self.y, "kid": self.key_id, "use": "sig", "alg": "ES256"
        }  # fmt: skip


class TokenKeys:
    """The keys of one store."""

    def __init__(self, store: Store, keys: KeyRing, by: str) -> None:
        self._store = store
        self._keys = keys
        self._by = by

    def signing(self) -> TokenKey:
        """The key that signs now. The first one is made at once, and each next one when it has to be published."""
        now = self._store.clock()
        with self._store.reading() as tx:
            kept = _read(tx)
        if _due(kept, now):
            with self._store.transaction() as tx:
                kept = _read(tx)
                if _due(kept, now):  # no other process was faster
                    kept = self._turned(tx, kept, now)
        # The first one where the clock was set back.
        current = [one for one in kept[1:] if one.signs_from <= now][-1:] or kept[:1]
        key = self._keys.unlock(current[0].key.encode(), "the key of tokens")
        return TokenKey(current[0].key_id, plain_key_pem(key))

    def replace(self) -> TokenKey:
        """A new key that signs from now on, in place of all there were: for when somebody else may have one of them."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            self._put(tx, [], self._made(now), now)
        return self.signing()

    def published(self) -> bytes | None:
        """The set of public keys (RFC 7517 5); None where no key was ever needed."""
        with self._store.reading() as tx:
            kept = _read(tx)
        if not kept:
            return None
        return json.dumps({"keys": [one.jwk for one in kept]}).encode()

    def _turned(self, tx: Transaction, kept: list[_Kept], now: datetime) -> list[_Kept]:
        current = [number for number, one in enumerate(kept) if one.signs_from <= now]
        # Who signs, who did until a day ago, and who will.
        first = current[-1] if current else 0
        if first > 0 and now < kept[first].signs_from + OVERLAP:
            first -= 1
        kept = kept[first:]
        if kept and not _successor_due(kept, now):
            self._write(tx, kept)
            return kept
        made = self._made(now)
        return self._put(tx, kept, replace(made, signs_from=now + OVERLAP) if kept else made, now)

    def _made(self, now: datetime) -> _Kept:
        key = make_key(KeyKind.P256)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - of the kind that was asked for
        numbers = key.public_key().public_numbers()
        x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
        # RFC 7638 3.2: the members that a key cannot be without, sorted, without spaces.
        members = json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
        return _Kept(_base64url(sha256(members.encode()).digest()), x, y, now, self._keys.lock(key).decode())

    def _put(self, tx: Transaction, kept: list[_Kept], made: _Kept, now: datetime) -> list[_Kept]:
        self._write(tx, [*kept, made])
        facts = {"signs_from": made.signs_from.isoformat()}
        audit.record(tx, now, self._by, "token_key.create", f"token key {made.key_id}", facts)
        return [*kept, made]

    def _write(self, tx: Transaction, kept: list[_Kept]) -> None:
        rows = [{**vars(one), "signs_from": one.signs_from.isoformat()} for one in kept]
        tx.settings.put(_NAME, json.dumps(rows))


def kept_key(tx: Transaction) -> bytes | None:
    """One of them, encrypted, if there is any."""
    return next((one.key.encode() for one in _read(tx)), None)


def _due(kept: list[_Kept], now: datetime) -> bool:
    """Whether one has to be made, or put away."""
    signing = [one for one in kept if one.signs_from <= now]
    done = len(signing) > 1 and now >= signing[-1].signs_from + OVERLAP
    return not kept or done or len(signing) > 2 or _successor_due(kept, now)


def _successor_due(kept: list[_Kept], now: datetime) -> bool:
    return now >= kept[-1].signs_from + LIFE - OVERLAP


def _read(tx: Transaction) -> list[_Kept]:
    """The keys, in the order in which they sign; the first may be done."""
    text = tx.settings.get(_NAME)
    if text is None:
        return []
    try:
        return [_Kept(**{**row, "signs_from": datetime.fromisoformat(row["signs_from"])}) for row in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the keys of tokens cannot be read", where="store") from error


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
