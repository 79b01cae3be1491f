import pytest
from rows import AT

from mutualgate.model.refusal import RefusalRecord
from mutualgate.store import Store, refusals


def _refusal(number: int, reason: str = "expired") -> RefusalRecord:
    return RefusalRecord(id=f"R{number:015}", at=AT, reason=reason, detail="It expired.", subject="CN=anna")


def test_an_id_from_a_page_is_found(store: Store) -> None:
    record = RefusalRecord(
        "0123456789ABCDEF", AT, "revoked", "It was revoked.", "main", "/x", "192.0.2.7", "CN=anna", b"f" * 32, 7
    )
    with store.transaction() as tx:
        tx.refusals.add_many([record, _refusal(1)])
        tx.refusals.add_many([record])
    with store.reading() as tx:
        assert tx.refusals.find("0123456789ABCDEF") == record
        assert tx.refusals.find("unknown") is None
        assert tx.refusals.recent(client=7) == [record]
        assert [one.reason for one in tx.refusals.recent()] == ["expired", "revoked"]


def test_an_id_that_is_told_twice_at_once_is_kept_once(store: Store) -> None:
    """What waited while the disk was full, say: a failure would keep out all that comes after it."""
    first, again = _refusal(1), _refusal(1, "revoked")
    with store.transaction() as tx:
        tx.refusals.add_many([first, _refusal(2), again])
    with store.reading() as tx:
        assert tx.refusals.recent() == [_refusal(2), first]


def test_strangers_cannot_fill_the_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "KEPT", 10)
    with store.transaction() as tx:
        tx.refusals.add_many(_refusal(number) for number in range(25))
        tx.refusals.add_many([RefusalRecord("long", AT, "expired", "x" * 10_000, path="/" + "y" * 10_000)])
    with store.reading() as tx:
        kept = tx.refusals.recent(limit=100)
        assert len(kept) == 10
        assert kept[0].id == "long"
        assert len(kept[0].detail) == len(kept[0].path) == 1_000


def test_a_refusal_is_no_change_for_the_judge(store: Store) -> None:
    with store.transaction() as tx:
        tx.refusals.add_many([_refusal(1)])
    assert store.epoch() == 0
