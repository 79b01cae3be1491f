from datetime import timedelta

from rows import AT, authority, plan, statements

from mutualgate.model.authority import AuthorityKind
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import Store
from mutualgate.store.revocations import key, parse_key


def test_a_million_come_in_as_one_change_and_go_out_in_parts(store: Store) -> None:
    """A tenth of it here; the time for a million is in the benchmark."""
    entries = [(number.to_bytes(16, "big").lstrip(b"\0"), AT, RevocationReason.superseded) for number in range(100_000)]
    with store.transaction() as tx:
        one = authority(tx)
        assert tx.revocations.add_many(one.id, entries) == 100_000
        assert tx.revocations.add_many(one.id, entries[:10]) == 0
    with store.reading() as tx:
        assert tx.changes.epoch() == 2
        assert tx.revocations.counts() == {one.id: 100_000}
        parts = list(tx.revocations.walk_of(one.id, 30_000))
        assert [len(part) for part in parts] == [30_000, 30_000, 30_000, 10_000]
        seconds = int(AT.timestamp())
        assert [one for part in parts for one in part] == sorted((serial, seconds, 4) for serial, _, _ in entries)
        assert tx.revocations.more_than(one.id, 99_999)
        assert not tx.revocations.more_than(one.id, 100_000)


def test_those_of_all_authorities_but_a_root_go_out_in_parts(store: Store) -> None:
    with store.transaction() as tx:
        root, one, other = (authority(tx, "root", AuthorityKind.ROOT), authority(tx), authority(tx, "other"))
        for by in (other, root, one):
            entries = [(bytes([number]), AT, RevocationReason.superseded) for number in range(1, 6)]
            tx.revocations.add_many(by.id, entries)
    with store.reading() as tx, statements(store) as told:
        parts = list(tx.revocations.walk(3))
        # Each part begins where the last one ended; none is looked for from the first number on.
        steps = plan(tx, told[-1])
        assert any("PRIMARY KEY ((authority,serial)>(?,?))" in step for step in steps), steps
        assert [len(part) for part in parts] == [3, 3, 3, 1]
        seconds = int(AT.timestamp())
        assert [row for part in parts for row in part] == [
            (by.id, bytes([number]), seconds, 4) for by in (one, other) for number in range(1, 6)
        ]
        found = tx.revocations.of_serials([b"\x02", b"\x09", b"\x04"])
        assert sorted((entry.authority, entry.serial) for entry in found) == [
            (by.id, serial) for by in (one, other) for serial in (b"\x02", b"\x04")
        ]
        assert found[0] == tx.revocations.find(found[0].authority, found[0].serial)


def test_what_is_there_is_left_as_it_is_by_an_import(store: Store) -> None:
    with store.transaction() as tx:
        one = authority(tx)
        tx.revocations.put(Revocation(one.id, b"\x01", AT, RevocationReason.keyCompromise))
        later = AT + timedelta(days=1)
        assert (
            tx.revocations.add_many(
                one.id, [(b"\x01", later, RevocationReason.unspecified), (b"", later, RevocationReason.unspecified)]
            )
            == 1
        )
        kept = tx.revocations.find(one.id, b"\x01")
        assert kept == Revocation(one.id, b"\x01", AT, RevocationReason.keyCompromise)
        assert tx.revocations.find(one.id, b"") is not None  # the serial number 0


def test_each_change_makes_the_authoritys_crl_old(store: Store) -> None:
    with store.transaction() as tx:
        one, other = authority(tx), authority(tx, "other")
        tx.revocations.put(Revocation(one.id, b"\x01", AT, RevocationReason.certificateHold))
        first = tx.authorities.revoked_epoch(one.id)
        tx.revocations.lift(one.id, b"\x01")
        assert tx.authorities.revoked_epoch(one.id) == first + 1
        assert tx.authorities.revoked_epoch(other.id) == 0


def test_a_key_of_the_feed_is_read_back() -> None:
    assert parse_key(key(3, b"\x0a\x01")) == (3, b"\x0a\x01")
    assert parse_key(key(3, b"")) == (3, b"")
