from rows import AT, client, pin

from mutualgate.model.client import ClientState
from mutualgate.model.pin import PinKind, PinState
from mutualgate.store import Store


def test_what_the_judge_is_told(store: Store) -> None:
    with store.transaction() as tx:
        anna, bert = client(tx, "anna"), client(tx, "bert")
        one, two = pin(tx, anna.id), pin(tx, anna.id, "two", PinKind.KEY)
        gone, removed = pin(tx, bert.id, "three"), pin(tx, anna.id, "four")
        tx.clients.set_state(bert.id, ClientState.GONE)
        tx.pins.set(two.id, state=PinState.RETIRED, retired=AT)
        tx.pins.set(removed.id, state=PinState.REMOVED, retired=AT)
        begin, end = int(AT.timestamp()), int(AT.replace(year=2027).timestamp())
        told = [
            ("certificate", one.digest, one.id, anna.id, begin, end, False, ""),
            ("key", two.digest, two.id, anna.id, begin, end, True, ""),
        ]
        assert [one for part in tx.pins.walk(1) for one in part] == told
        assert tx.pins.plain([gone.id, two.id, removed.id, 99]) == told[1:]
        assert set(tx.pins.get_many([one.id, removed.id, 99])) == {one.id, removed.id}


def test_every_change_is_told(store: Store) -> None:
    with store.transaction() as tx:
        made = pin(tx, client(tx).id)
        epoch = tx.changes.epoch()
        tx.pins.set(made.id, state=PinState.RETIRED, retired=AT, not_after=AT)
        assert tx.changes.epoch() == epoch + 1
        found = tx.pins.get(made.id)
    assert found is not None
    assert (found.state, found.retired, found.not_after) == (PinState.RETIRED, AT, AT)


def test_a_removed_one_makes_room(store: Store) -> None:
    with store.transaction() as tx:
        anna, bert = client(tx, "anna"), client(tx, "bert")
        made = pin(tx, anna.id)
        tx.pins.set(made.id, state=PinState.REMOVED, retired=AT)
        assert tx.pins.of_client(anna.id) == []
        assert tx.pins.with_key(made.spki) == []
        assert tx.pins.count() == 0
        again = pin(tx, bert.id)
        assert (again.id, again.client, again.state) == (made.id, bert.id, PinState.ACTIVE)
        assert tx.pins.page() == [again] == tx.pins.of_client(bert.id)


def test_a_key_is_nobodys_again_only_when_nothing_has_it(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx, "anna")
        one, two = pin(tx, anna.id, "one", key="k"), pin(tx, anna.id, "two", key="k")
        tx.credentials.own_key(anna, one.spki)
        tx.pins.set(one.id, state=PinState.REMOVED, retired=AT)
        tx.credentials.disown_key(anna.id, one.spki)
        assert tx.credentials.key_owner(one.spki) == anna.id
        tx.pins.set(two.id, state=PinState.REMOVED, retired=AT)
        tx.credentials.disown_key(anna.id, one.spki)
        assert tx.credentials.key_owner(one.spki) is None
