from datetime import timedelta

from rows import AT, authority

from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store import Store


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
