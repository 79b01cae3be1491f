"""The keys that sign tokens: one signs, its successor and its predecessor are published beside it."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pki
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mutualgate import audit
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import Passphrase
from mutualgate.authorities.token_keys import LIFE, OVERLAP, TokenKeys
from mutualgate.store import Store

SECOND = timedelta(seconds=1)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = pki.NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path, time: Time) -> Iterator[Store]:
    store = Store.open(tmp_path / "store.sqlite3", time)
    yield store
    store.close()


@pytest.fixture
def keys(store: Store) -> TokenKeys:
    return TokenKeys(store, KeyRing(lambda: Passphrase(b"a passphrase for a test", "a test")), "tester")


def published(keys: TokenKeys) -> list[str]:
    found = keys.published()
    return [] if found is None else [one["kid"] for one in json.loads(found)["keys"]]


def test_the_first_one_signs_at_once_and_stays(keys: TokenKeys, time: Time, store: Store) -> None:
    assert keys.published() is None
    first = keys.signing()
    time.now += LIFE - OVERLAP - SECOND
    assert keys.signing() == first
    assert published(keys) == [first.key_id]
    (entry,) = audit.recent(store, 10)
    assert (entry.by, entry.action, entry.subject) == ("tester", "token_key.create", f"token key {first.key_id}")


def test_what_is_published_is_the_key_that_signs(keys: TokenKeys) -> None:
    signing = keys.signing()
    key = load_pem_private_key(signing.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    numbers = key.public_key().public_numbers()
    (jwk,) = json.loads(keys.published() or b"")["keys"]
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    assert jwk == {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": signing.key_id, "use": "sig", "alg": "ES256"}


def test_its_successor_is_published_a_day_ahead_and_it_itself_a_day_after(keys: TokenKeys, time: Time) -> None:
    first = keys.signing()
    time.now += LIFE - OVERLAP
    assert keys.signing() == first
    (_, next_one) = published(keys)
    time.now += OVERLAP - SECOND
    assert keys.signing() == first
    time.now += SECOND
    assert keys.signing().key_id == next_one
    assert published(keys) == [first.key_id, next_one]
    time.now += OVERLAP
    assert keys.signing().key_id == next_one
    assert published(keys) == [next_one]


def test_after_a_long_pause_there_is_still_a_day_of_overlap(keys: TokenKeys, time: Time) -> None:
    first = keys.signing()
    time.now += 10 * LIFE
    assert keys.signing() == first
    time.now += OVERLAP
    second = keys.signing()
    assert second != first
    assert published(keys) == [first.key_id, second.key_id]


def test_a_clock_that_was_set_back_stops_nothing(keys: TokenKeys, time: Time) -> None:
    first = keys.signing()
    time.now -= LIFE
    assert keys.signing() == first


def test_one_that_somebody_else_may_have_is_replaced_at_once(keys: TokenKeys) -> None:
    first = keys.signing()
    second = keys.replace()
    assert second != first
    assert keys.signing() == second
    assert published(keys) == [second.key_id]


def test_they_are_kept_encrypted(keys: TokenKeys, store: Store) -> None:
    signing = keys.signing()
    with store.reading() as tx:
        text = tx.settings.get("token.keys")
    assert text is not None
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert signing.key_pem.decode().splitlines()[1] not in text
    assert "PRIVATE" not in repr(signing)
