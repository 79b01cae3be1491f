import os
from datetime import timedelta
from pathlib import Path

import pytest
from rows import AT, authority

from mutualgate.errors import Unavailable
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store import Store, sqlite
from mutualgate.store.schema import crl

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


def test_a_list_that_cannot_be_written_is_said(store: Store) -> None:
    with pytest.raises(Unavailable, match="no such rowid"), store.transaction() as tx:
        sqlite.fill_blob(tx.crls._connection, crl.c.der, 99, b"")


def _megabytes() -> int:
    return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
