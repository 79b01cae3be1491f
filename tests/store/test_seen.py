from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rows import AT

from mutualgate.model.sighting import Sighting
from mutualgate.store import Store, seen
from mutualgate.store.seen import split

HOUR = timedelta(hours=1)


def sighting(number: int, **more: Any) -> Sighting:
    known: dict[str, object] = {
        "fingerprint": number.to_bytes(32),
        "chain": (b"\x30\x03abc",),
        "site": "main",
        "path": "/",
        "first_at": AT + number * HOUR,
        "last_at": AT + number * HOUR,
        "count": 1,
        "reason": "unknown_issuer",
        "peer": "192.0.2.1",
    }
    return Sighting(**{**known, **more})


def admitted(number: int, client: int = 7, **more: Any) -> Sighting:
    return sighting(number, reason="", client=client, admitted_at=AT + number * HOUR, **more)


def add(store: Store, *sightings: Sighting) -> None:
    with store.transaction() as tx:
        tx.seen.add_many(sightings)


def found(store: Store, number: int) -> Sighting | None:
    with store.reading() as tx:
        return tx.seen.find(number.to_bytes(32))


def test_what_was_seen_is_found_whole(store: Store) -> None:
    full = sighting(
        1,
        chain=(b"\x30\x03abc", b"\x30\x81\x80" + b"x" * 128),
        spki=b"s" * 32,
        client=7,
        evidence="pin 3",
        subject="CN=anna",
        not_after=AT,
        admitted_at=AT,
        signer=b"k" * 32,
    )
    add(store, full, sighting(2))
    assert found(store, 1) == full
    assert found(store, 3) is None
    with store.reading() as tx:
        assert [one.fingerprint[-1] for one in tx.seen.since(AT)] == [2, 1]
        assert [one.fingerprint[-1] for one in tx.seen.since(AT + 2 * HOUR)] == [2]


def test_what_is_seen_again_is_brought_up_to_date(store: Store) -> None:
    add(store, sighting(1, path="/join"))
    add(store, replace(admitted(1), last_at=AT + 5 * HOUR, path="", admitted_at=AT + 5 * HOUR))
    one = found(store, 1)
    assert one is not None
    assert (one.count, one.first_at, one.last_at, one.reason) == (2, AT + HOUR, AT + 5 * HOUR, "")
    assert (one.client, one.admitted_at, one.path) == (7, AT + 5 * HOUR, "/join")


def test_whose_it_was_is_remembered_when_it_is_refused(store: Store) -> None:
    add(store, admitted(1, evidence="partner"))
    add(store, replace(sighting(1), last_at=AT + 9 * HOUR))
    one = found(store, 1)
    assert one is not None
    assert (one.reason, one.client, one.evidence) == ("unknown_issuer", 7, "partner")
    assert one.admitted_at == AT + HOUR


@pytest.mark.parametrize(
    ("now", "signer"),
    [
        pytest.param(sighting(1), b"k" * 32, id="refused"),
        pytest.param(admitted(1, evidence="pin 3"), b"k" * 32, id="by a pin, which looks at no signature"),
        pytest.param(admitted(1, client=9), b"k" * 32, id="as another client's"),
        pytest.param(admitted(1, signer=b"l" * 32), b"l" * 32, id="by a key that verifies it, too"),
    ],
)
def test_whose_key_signed_it_is_true_whatever_becomes_of_it(store: Store, now: Sighting, signer: bytes) -> None:
    add(store, admitted(1, signer=b"k" * 32))
    add(store, replace(now, last_at=AT + 9 * HOUR))
    one = found(store, 1)
    assert one is not None
    assert one.signer == signer


def test_another_owner_was_not_seen_before(store: Store) -> None:
    add(store, admitted(1, client=7), admitted(2, client=7))
    add(store, replace(admitted(1, client=8), admitted_at=AT + 9 * HOUR))
    with store.reading() as tx:
        assert [one.fingerprint[-1] for one in tx.seen.of_client(7)] == [2]
        assert tx.seen.first_of_client(7) == AT + 2 * HOUR
        assert tx.seen.first_of_client(8) == AT + 9 * HOUR
        assert tx.seen.first_of_client(9) is None


@pytest.mark.parametrize("sought", [seen.SOUGHT, 0])
def test_what_a_change_concerns_is_found_by_key_certificate_and_the_names_above(
    store: Store, monkeypatch: pytest.MonkeyPatch, sought: int
) -> None:
    monkeypatch.setattr(seen, "SOUGHT", sought)
    issuer, other = b"i" * 32, b"o" * 32
    add(store, *(admitted(number, names=(issuer,)) for number in (1, 2)))
    add(store, admitted(3, names=(other,), spki=b"k" * 32), sighting(4, names=(other,)), sighting(5))

    def concerned(*digests: bytes, names: tuple[bytes, ...] = (), hours: int = 0, limit: int = 9) -> list[int] | None:
        with store.reading() as tx:
            found = tx.seen.concerned(digests, names, limit)
            if found is None:
                return None
            parts = list(tx.seen.shown(AT + hours * HOUR, found, 2))
        assert all(len(part) <= 2 for part in parts)
        return [fingerprint[-1] for part in parts for fingerprint, *_ in part]

    assert concerned() == [5], "whose names nobody knows"
    assert concerned((2).to_bytes(32)) == [2, 5]
    assert concerned(b"k" * 32) == [3, 5]
    assert concerned(names=(issuer,)) == [1, 2, 5]
    assert concerned(names=(issuer, other), hours=2) == [2, 3, 4, 5]
    assert concerned(names=(issuer,), limit=3) == [1, 2, 5]
    assert concerned(names=(issuer,), limit=2) is None
    # It came with another chain, and then without names that can be read.
    add(store, admitted(1, names=(other,), chain=(b"\x30\x03abd",)))
    assert concerned(names=(issuer,)) == [2, 5]
    add(store, admitted(2, chain=(b"\x30\x03abe",)))
    assert concerned() == [2, 5]
    # What is forgotten is no more in the way.
    monkeypatch.setattr(seen, "KEPT_OF_STRANGERS", 1)
    add(store, sighting(6, names=(other,)))
    assert concerned(names=(other,), limit=4) == [1, 2, 3, 6]


def test_what_was_shown_lately_is_walked(store: Store) -> None:
    add(store, *(admitted(number, subject=f"CN={number}") for number in (1, 2, 3)))
    with store.reading() as tx:
        parts = list(tx.seen.shown(AT + 2 * HOUR, None, 1))
    at = [int((AT + hours * HOUR).timestamp() * 1_000_000) for hours in range(4)]
    row = (b"\x30\x03abc", None, "main", "/", 7)
    assert parts == [[(n.to_bytes(32), *row, f"CN={n}", at[n], "192.0.2.1")] for n in (2, 3)]


def test_clients_are_counted_by_whom_they_were_and_whose_they_are_by_now(store: Store) -> None:
    add(store, admitted(1), admitted(2), admitted(3, client=8), sighting(4))
    with store.reading() as tx:
        assert tx.seen.counts(AT) == (4, 2)
        assert tx.seen.counts(AT + 3 * HOUR) == (2, 1)
        assert tx.seen.showed_none([7, 9, 9], AT) == {9}
        assert tx.seen.showed_none([7, 8], AT + 3 * HOUR) == {7}


def test_strangers_push_out_nothing_of_a_client_s(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "KEPT_OF_STRANGERS", 10)
    monkeypatch.setattr(seen, "KEPT_OF_CLIENTS", 3)
    add(store, admitted(1), admitted(2))
    for number in range(10, 60):
        add(store, sighting(number))
    with store.reading() as tx:
        left = [int.from_bytes(one.fingerprint) for one in tx.seen.since(AT)]
    assert left == [*range(59, 49, -1), 2, 1]
    # Nor do they hide behind clients that they once were: those have an end of their own.
    add(store, *(admitted(number) for number in range(100, 110)))
    with store.reading() as tx:
        assert [one.fingerprint[-1] for one in tx.seen.of_client(7)] == [109, 108, 107]
        assert len(list(tx.seen.since(AT))) == 13


def test_what_strangers_chose_is_bounded(store: Store) -> None:
    add(store, sighting(1, site="s" * 999, path="/" + "p" * 9_999, subject="x" * 9_999))
    one = found(store, 1)
    assert one is not None
    assert (len(one.site), len(one.path), len(one.subject)) == (255, 1_000, 1_000)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"", 0),
        (b"\x30\x00", 1),
        (b"\x30\x01a\x30\x00", 2),
        (b"\x30\x02a", 0),
        (b"\x30\x01a\x30", 0),
        (b"\x30\x80a\x00\x00", 0),
        (b"\x30\x85\x00\x00\x00\x00\x01a", 0),
        (b"\x30\x82\x00", 0),
    ],
)
def test_values_that_stand_one_after_the_other(data: bytes, values: int) -> None:
    assert len(split(data)) == values
    assert b"".join(split(data)) == (data if values else b"")
