"""A cookie of the portal's own pages, by which a browser that was in before is known again.

It is no key: it opens nothing. No handshake can tell that a browser has a certificate that has expired, because
browsers hide those; the cookie can, so that the page for "no certificate" says which one it was and until when.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mutualgate.store import Store

COOKIE: Final = "mutualgate-was"
LIFE: Final = timedelta(days=400)
"""What browsers allow at most (RFC 6265bis 5.5)."""

SETTING: Final = "portal_cookie_key"
KEY_BYTES: Final = 32
MAX_CHARACTERS: Final = 256


@dataclass(frozen=True)
class Remembered:
    """Who a browser was: ids of ours and a date, no name. `fingerprint` is the first 8 bytes, in hexadecimal."""

    client: int
    not_after: datetime
    fingerprint: str


def kept_key(store: Store) -> bytes | None:
    """The key that cookies are signed with; `None` before it was first needed."""
    with store.reading() as tx:
        kept = tx.settings.get(SETTING)
    return None if kept is None else bytes.fromhex(kept)


def make_key(store: Store) -> bytes:
    """Makes it, unless it is there."""
    with store.transaction() as tx:
        kept = tx.settings.get(SETTING)
        if kept is None:
            kept = secrets.token_hex(KEY_BYTES)
            tx.settings.put(SETTING, kept)
    return bytes.fromhex(kept)


def write(key: bytes, who: Remembered, path: str) -> str:
    """The value of Set-Cookie."""
    facts = f"{who.client}.{int(who.not_after.timestamp())}.{who.fingerprint}"
    return (
        f"{COOKIE}={facts}.{_seal(key, facts)}; Path={path}; Max-Age={int(LIFE.total_seconds())}; "
        # Lax: whoever follows the link in a letter is to be known again. Nothing is done by the cookie alone.
        "Secure; HttpOnly; SameSite=Lax"
    )


def read(key: bytes, cookies: str) -> Remembered | None:
    """What a Cookie field holds of ours; None if nothing, or not signed by us."""
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and len(value) <= MAX_CHARACTERS:
            facts, _, seal = value.rpartition(".")
            if value.isascii() and hmac.compare_digest(seal, _seal(key, facts)):
                client, not_after, fingerprint = facts.split(".")
                return Remembered(int(client), datetime.fromtimestamp(int(not_after), UTC), fingerprint)
    return None


def _seal(key: bytes, facts: str) -> str:
    digest = hmac.digest(key, b"mutualgate portal cookie\0" + facts.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:24]).decode()
