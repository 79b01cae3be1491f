import os
from datetime import timedelta
from pathlib import Path

import pytest
from rows import AT, authority
from sqlalchemy import select

from mutualgate.model.authority import Authority
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store import Store, crls
from mutualgate.store.schema import crl_part

MEMORY = Path("/proc/self/statm")


def test_the_newest_is_kept(store: Store) -> None:
    with store.transaction() as tx:
        one = authority(tx)
        for number in (1, 2**159):
            entry = StoredCrl(one.id, number, AT, AT + timedelta(days=7), 5, b"crl")
            tx.crls.put(entry)
            assert tx.crls.find(one.id) == entry
            state = tx.crls.state(one.id)
            assert state == CrlState(one.id, number, AT, AT + timedelta(days=7), 5)
        assert tx.crls.find(99) is None
        assert tx.crls.state(99) is None
    assert entry.half_life == AT + timedelta(days=3.5)


@pytest.mark.skipif(not MEMORY.exists(), reason="says nothing of the memory that is in use")
def test_what_was_written_stays_in_no_memory(store: Store) -> None:
    with store.transaction() as tx:
        one = authority(tx)
    megabytes = 40  # so much, malloc gives back when it is freed (mallopt(3), M_MMAP_THRESHOLD)
    for number in (1, 2):
        before = _megabytes()
        with store.transaction() as tx:
            tx.crls.put(StoredCrl(one.id, number, AT, AT, 5, number.to_bytes() * (megabytes << 20)))
        assert _megabytes() < before + megabytes / 2
    with store.reading() as tx:
        kept = tx.crls.find(one.id)
    assert kept is not None
    assert kept.der == b"\2" * (megabytes << 20)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crls, "PART_OCTETS", 3)


@pytest.mark.usefixtures("small_parts")
class TestInParts:
    """The list of 8 octets has three."""

    def test_it_is_in_force_when_all_of_it_is_there(self, store: Store) -> None:
        one = put(store, 1, b"the first")
        draft = drafted(store, one, 2, b"the next")
        for _ in range(2):
            written(store, draft)
            assert found(store, one) == (1, b"the first")
        with store.transaction() as tx:
            assert tx.crls.replace(draft)
        assert found(store, one) == (2, b"the next")

    def test_what_is_not_in_force_any_more_is_cleared_bit_by_bit(self, store: Store) -> None:
        one = put(store, 1, b"the first")
        with store.transaction() as tx:
            tx.crls.replace(tx.crls.draft(entry(one, 2, b"xy")))
            assert [tx.crls.clear(one.id) for _ in range(3)] == [True, True, False]
        assert parts(store) == [b"xy"]

    def test_of_two_that_are_made_at_once_the_first_is_in_force_and_nothing_is_left_of_the_other(
        self, store: Store
    ) -> None:
        one = put(store, 1, b"the first")
        slow, quick = drafted(store, one, 2, b"slow one"), drafted(store, one, 2, b"quick")
        written(store, slow)
        written(store, quick)
        with store.transaction() as tx:
            assert tx.crls.replace(quick)
            while tx.crls.clear(one.id):
                pass
        assert parts(store) == [b"qui", b"ck"]
        written(store, slow)
        with store.transaction() as tx:
            assert not tx.crls.replace(slow)
            assert not tx.crls.clear(one.id)
        assert parts(store) == [b"qui", b"ck"]

    def test_one_that_is_being_made_is_not_cleared(self, store: Store) -> None:
        one = put(store, 1, b"the")
        draft = drafted(store, one, 2, b"the next")
        written(store, draft)
        with store.transaction() as tx:
            assert not tx.crls.clear(one.id)
            assert tx.crls.replace(draft)
        assert found(store, one) == (2, b"the next")

    def test_what_a_process_left_that_died_is_cleared_after_the_next_list(self, store: Store) -> None:
        one = put(store, 1, b"the")
        written(store, drafted(store, one, 2, b"never ended"))
        with store.transaction() as tx:
            tx.crls.put(entry(one, 2, b"abc"))
        assert parts(store) == [b"abc"]


def entry(of: Authority, number: int, der: bytes) -> StoredCrl:
    return StoredCrl(of.id, number, AT, AT + timedelta(days=7), 5, der)


def put(store: Store, number: int, der: bytes) -> Authority:
    with store.transaction() as tx:
        one, other = authority(tx), authority(tx, "other")
        tx.crls.put(entry(one, number, der))
        tx.crls.put(entry(other, number, b""))
    return one


def drafted(store: Store, of: Authority, number: int, der: bytes) -> crls.Draft:
    with store.reading() as tx:
        return tx.crls.draft(entry(of, number, der))


def written(store: Store, draft: crls.Draft) -> None:
    with store.transaction() as tx:
        tx.crls.write(draft)


def found(store: Store, of: Authority) -> tuple[int, bytes] | None:
    with store.reading() as tx:
        kept = tx.crls.find(of.id)
    return None if kept is None else (kept.number, kept.der)


def parts(store: Store) -> list[bytes]:
    with store.reading() as tx:
        return list(tx.crls._connection.execute(select(crl_part.c.octets).order_by(crl_part.c.begins)).scalars())


def _megabytes() -> int:
    return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
