from dataclasses import replace
from datetime import timedelta

from rows import AT, claim, partner

from mutualgate.model.partner import AnchorState, PartnerState
from mutualgate.store import Store


def test_what_the_judge_is_told_of_cas(store: Store) -> None:
    begin = int(AT.timestamp())
    day = 86_400
    with store.transaction() as tx:
        acme, gone = partner(tx), partner(tx, "gone")
        one = tx.anchors.add(claim(acme), b"s" * 32)
        for state in (AnchorState.PENDING, AnchorState.RETIRED):
            tx.anchors.add(claim(acme, str(state), state), b"s" * 32)
        other = tx.anchors.add(claim(gone, "other"), b"s" * 32)
        tx.partners.set(replace(gone, state=PartnerState.GONE))
        keys = [b"\1" * 32, b"\2" * 32]
        window, shown = (begin, begin + 102 * day), ("test", "grace", day, 90 * day, "1.2.3.4", True, False)
        told = (one.id, acme.id, b"ca", *window, False, 0, keys, *shown)
        assert [one for part in tx.anchors.walk(1) for one in part] == [told]
        assert tx.anchors.plain([one.id, other.id, 77]) == [told]
        leaving = replace(one, state=AnchorState.RETIRING, retire_at=AT + timedelta(days=3))
        tx.anchors.set(leaving)
        assert tx.anchors.get(one.id) == leaving
        assert tx.anchors.plain([one.id])[0][4] == begin + 3 * day
        left = replace(one, state=AnchorState.RETIRED, retire_at=AT + timedelta(days=3))
        for state in (AnchorState.RETIRED, AnchorState.PENDING):  # claimed anew
            tx.anchors.set(replace(left, state=state))
            assert [last[-1] for last in tx.anchors.plain([one.id])] == [True]
        tx.anchors.set(leaving)
        assert leaving.state_at(AT + timedelta(days=3)) is AnchorState.RETIRED
        assert leaving.state_at(AT + timedelta(days=2)) is AnchorState.RETIRING
        assert [a.subject for a in tx.anchors.with_subject(b"s" * 32)] == ["CN=ca", "CN=pending", "CN=other"]


def test_a_key_is_one_ca_of_a_partner_and_may_be_anothers(store: Store) -> None:
    with store.transaction() as tx:
        acme, umbrella = partner(tx), partner(tx, "umbrella")
        one = tx.anchors.add(claim(acme, state=AnchorState.RETIRED), b"s" * 32)
        again = tx.anchors.add(claim(acme), b"s" * 32)
        other = tx.anchors.add(claim(umbrella), b"s" * 32)
        assert again.id == one.id != other.id
        assert [a.id for a in tx.anchors.with_key(one.spki)] == [one.id, other.id]
        assert [a.id for a in tx.anchors.of_partner(acme.id)] == [one.id]
