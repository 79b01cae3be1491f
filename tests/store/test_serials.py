import pytest
from rows import AT, authority

from mutualgate.errors import Conflict
from mutualgate.store import Store


def test_a_number_is_given_once_by_each_authority(store: Store) -> None:
    with store.transaction() as tx:
        one, other = authority(tx), authority(tx, "other")
        tx.serials.reserve(one.id, b"\x07", "client", AT)
        tx.serials.reserve(other.id, b"\x07", "server", AT)
        with pytest.raises(Conflict, match="07"):
            tx.serials.reserve(one.id, b"\x07", "server", AT)


def test_numbers_that_were_given_before_are_not_given_again(store: Store) -> None:
    with store.transaction() as tx:
        one = authority(tx)
        assert tx.serials.note(one.id, [b"\x01", b"\x02", b"\x01"], "listed", AT) == 2
        with pytest.raises(Conflict):
            tx.serials.reserve(one.id, b"\x02", "client", AT)
