import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from rows import AT

from mutualgate import audit
from mutualgate.store import Store


@pytest.fixture
def log(store: Store) -> Store:
    with store.transaction() as tx:
        for number in range(1, 6):
            audit.record(tx, AT, "operator", "client.add", f"client {number}", {"roles": "a,ü", "number": number})
    return store


def _change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_untouched_log_verifies_to_its_length_and_head(log: Store) -> None:
    found = audit.verify(log)
    assert isinstance(found, audit.Verified)
    with log.reading() as tx:
        newest = tx.audit.recent(limit=1)[0]
        assert (found.entries, found.head) == (5, newest.hash)
        assert newest.facts == {"roles": "a,ü", "number": 5}


def test_an_empty_log_verifies(store: Store) -> None:
    assert audit.verify(store) == audit.Verified(0, bytes(32))


@pytest.mark.parametrize(
    ("statement", "number", "says"),
    [
        ("UPDATE audit SET by = 'nobody' WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET action = 'client.remove' WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET subject = 'client 9' WHERE number = 1", 1, "changed"),
        ("UPDATE audit SET facts = '{}' WHERE number = 4", 4, "changed"),
        ("UPDATE audit SET facts = 'not json' WHERE number = 4", 4, "changed"),
        ("UPDATE audit SET at = at + 1 WHERE number = 5", 5, "changed"),
        ("UPDATE audit SET facts = '[1]' WHERE number = 4", 4, "changed"),
        ("UPDATE audit SET facts = replace(hex(zeroblob(9999)), '0', '[') WHERE number = 4", 4, "changed"),
        ("UPDATE audit SET at = -99999999999999999 WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET at = 'noon' WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET by = x'00' WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET subject = CAST(x'FF' AS TEXT) WHERE number = 3", 3, "changed"),
        ("UPDATE audit SET hash = 'none' WHERE number = 2", 2, "changed"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 2", 2, "changed"),
        ("UPDATE audit SET previous = zeroblob(32) WHERE number = 2", 2, "follow"),
        ("DELETE FROM audit WHERE number = 1", 1, "missing"),
        ("DELETE FROM audit WHERE number = 3", 3, "missing"),
        ("DELETE FROM audit WHERE number = 5", 5, "missing at the end"),
        ("DELETE FROM audit", 1, "missing at the end"),
    ],
)
def test_the_first_entry_that_was_touched_is_named(log: Store, statement: str, number: int, says: str) -> None:
    _change(log.path, statement)
    found = audit.verify(log)
    assert isinstance(found, audit.Broken)
    assert found.number == number
    assert says in found.problem
    assert len(audit.recent(log, 9)) == found_there(log), "all that are there are still listed"


def found_there(log: Store) -> int:
    with log.reading() as tx:
        return tx.audit.count()


def test_what_cannot_be_read_is_listed_as_such(log: Store) -> None:
    _change(log.path, "UPDATE audit SET at = -99999999999999999 WHERE number = 3")
    _change(log.path, "UPDATE audit SET facts = 'not json' WHERE number = 4")
    _, fourth, third, *_ = audit.recent(log, 9)
    assert (fourth.at, fourth.facts) == (AT, {"unreadable": "not json"})
    assert str(third.facts["unreadable"]).startswith("-99999999999999999 {")
    assert third.subject == "client 3"
    with log.transaction() as tx:
        audit.record(tx, AT, "operator", "client.add", "client 6")
    assert audit.verify(log) == audit.Broken(3, "the entry was changed after it was written")


def test_entries_that_changed_places_are_found(log: Store) -> None:
    _change(log.path, "UPDATE audit SET number = -number WHERE number IN (2, 3)")
    _change(log.path, "UPDATE audit SET number = CASE number WHEN -2 THEN 3 ELSE 2 END WHERE number < 0")
    found = audit.verify(log)
    assert isinstance(found, audit.Broken)
    assert found.number == 2


def test_an_entry_is_undone_with_what_it_tells_about(store: Store) -> None:
    def fail(action: Callable[[], object]) -> None:
        action()
        raise RuntimeError

    with pytest.raises(RuntimeError), store.transaction() as tx:
        fail(lambda: audit.record(tx, AT, "operator", "x", "y"))
    assert audit.verify(store) == audit.Verified(0, bytes(32))


def test_long_texts_are_cut_and_still_verify(store: Store) -> None:
    with store.transaction() as tx:
        audit.record(tx, AT, "b" * 500, "a" * 500, "s" * 500, {"f": "x" * 5_000})
    assert isinstance(audit.verify(store), audit.Verified)
