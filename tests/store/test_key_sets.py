"""What clients publish, as the store keeps it: for services alone, no judge is told."""

from dataclasses import replace
from datetime import timedelta

from rows import AT, client

from mutualgate.model.client import ClientState
from mutualgate.model.key_set import KeySet, KeyState, PublishedKey
from mutualgate.model.pin import PinKind
from mutualgate.store import Store, Transaction

HOUR = timedelta(hours=1)


def key_set(client: int) -> KeySet:
    return KeySet(
        client=client,
        url="https://a.example/jwks",
        private=False,
        environment="",
        hold=24 * HOUR,
        every=HOUR,
        created=AT,
        fetched=None,
        next_fetch=AT,
        failures=0,
        error="",
        left_out=(),
    )


def key(tx: Transaction, client: int, text: str = "key") -> PublishedKey:
    return tx.key_sets.add_key(
        client,
        kind=PinKind.KEY,
        digest=text.encode().ljust(32),
        material=text.encode(),
        label=text,
        state=KeyState.WAITING,
        at=AT,
        pin=None,
        detail="",
    )


def test_a_set_takes_the_place_of_the_one_before(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx, "anna").id
        tx.key_sets.put(key_set(anna))
        assert tx.key_sets.get(anna) == key_set(anna)
        other = replace(
            key_set(anna),
            url="https://b.example/",
            private=True,
            failures=2,
            error="no",
            left_out=("a", "b"),
            fetched=AT,
        )
        tx.key_sets.put(other)
        assert tx.key_sets.get(anna) == other
        assert tx.key_sets.watched() == [(other, "anna")]


def test_due_are_those_of_who_may_come_in(store: Store) -> None:
    with store.transaction() as tx:
        ids = [client(tx, name).id for name in ("anna", "bert", "carl", "dora")]
        for number, id in enumerate(ids):
            tx.key_sets.put(replace(key_set(id), next_fetch=AT - number * HOUR))
            key(tx, id)
        tx.clients.set_state(ids[1], ClientState.SUSPENDED)
        tx.key_sets.put(replace(key_set(ids[2]), next_fetch=AT + HOUR))
        assert [one.client for one in tx.key_sets.due(AT, HOUR, 10)] == [ids[3], ids[0]]
        assert [one.client for one in tx.key_sets.due(AT, HOUR, 1)] == [ids[3]]
        back = [one.client for one in tx.key_sets.due(AT - 4 * HOUR, HOUR, 10)]
        assert back == [ids[0], ids[2]], "the clock was set back: sooner than in an hour"
        assert tx.key_sets.count_keys() == {KeyState.WAITING: 3}
        assert tx.key_sets.count_waiting() == dict.fromkeys(ids, 1)


def test_keys_are_kept_by_client_and_go_with_the_set(store: Store) -> None:
    with store.transaction() as tx:
        anna, bert = client(tx, "anna").id, client(tx, "bert").id
        for id in (anna, bert):
            tx.key_sets.put(key_set(id))
        one, two, three = key(tx, anna, "1"), key(tx, anna, "2"), key(tx, bert, "1")
        changed = replace(one, state=KeyState.WITHDRAWN, since=AT + HOUR, gone=AT + 2 * HOUR, pin=7, detail="why")
        tx.key_sets.set_key(changed)
        assert tx.key_sets.keys_of(anna) == [changed, two]
        assert tx.key_sets.key(three.id) == three
        tx.key_sets.forget_keys([one.id])
        assert tx.key_sets.keys_of(anna) == [two]
        tx.key_sets.remove(anna)
        assert tx.key_sets.get(anna) is None
        assert (tx.key_sets.keys_of(anna), tx.key_sets.keys_of(bert)) == ([], [three])


def test_no_judge_is_told(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx, "anna").id
    epoch = store.epoch()
    with store.transaction() as tx:
        tx.key_sets.put(key_set(anna))
        key(tx, anna)
    assert store.epoch() == epoch
