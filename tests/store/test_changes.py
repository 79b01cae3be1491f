from contextlib import suppress

import pytest
from rows import authority, client

from mutualgate.model.change import ChangeKind
from mutualgate.store import Store, changes


def test_numbers_follow_the_order_of_commits_without_gaps(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx, "anna")
        bert = client(tx, "bert")
    with suppress(RuntimeError), store.transaction() as tx:
        client(tx, "carl")
        raise RuntimeError
    with store.transaction() as tx:
        tx.clients.set_roles(anna.id, [])
    with store.reading() as tx:
        found = tx.changes.since(0)
        assert found is not None
        assert [(entry.seq, entry.kind, entry.key) for entry in found] == [
            (1, ChangeKind.CLIENT, str(anna.id)),
            (2, ChangeKind.CLIENT, str(bert.id)),
            (3, ChangeKind.CLIENT, str(anna.id)),
        ]
        assert tx.changes.since(3) == []


def test_a_future_epoch_is_not_answered(store: Store) -> None:
    """The store was put back to an older copy under a running gate: build anew."""
    with store.reading() as tx:
        assert tx.changes.since(1) is None


def test_old_entries_are_forgotten_and_who_needs_them_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT", 10)
    for number in range(30):
        with store.transaction() as tx:
            client(tx, f"c{number}")
    with store.reading() as tx:
        assert tx.changes.epoch() == 30
        assert tx.changes.since(1) is None
        recent = tx.changes.since(20)
        assert recent is not None
        assert [entry.seq for entry in recent] == list(range(21, 31))


def test_a_bulk_change_is_one_entry(store: Store) -> None:
    with store.transaction() as tx:
        one = authority(tx)
        tx.changes.note_many(ChangeKind.REVOCATION, (f"{one.id}:{number:x}" for number in range(100_000)))
        assert tx.changes.epoch() == 2
    with store.reading() as tx:
        assert tx.changes.since(0) is None
        assert tx.changes.since(2) == []
