from dataclasses import replace

import pytest
from rows import AT, claim, client, partner, pin

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import ClientState
from mutualgate.model.partner import AnchorState, Member, MemberState, PartnerAdmits, RuleKind
from mutualgate.model.pin import PinState
from mutualgate.store import Store


def test_a_row_that_was_added_goes_again_and_gives_its_key_back(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx)
        watch = tx.trust.watch()
        made = pin(tx, anna.id)
        tx.credentials.own_key(anna, made.spki)
        watch.adds("pin", made.id)
        id = tx.trust.record(AT, "test", "pin add anna", watch)
    with store.transaction() as tx:
        last = tx.trust.last()
        assert last is not None
        assert (last.id, last.what, last.undone) == (id, "pin add anna", None)
        tx.trust.undo(id, AT)
        assert tx.trust.last() is None
        found = tx.pins.get(made.id)
        assert found is not None
        assert found.state is PinState.REMOVED
        assert tx.credentials.key_owner(made.spki) is None
    with store.reading() as tx:
        changes = tx.changes.since(0)
        assert changes is not None
        assert (changes[-1].kind, changes[-1].key) == (ChangeKind.PIN, str(made.id))


def test_rows_that_were_changed_or_taken_away_are_as_before(store: Store) -> None:
    with store.transaction() as tx:
        tx.clients.set_state(client(tx, "somebody else").id, ClientState.GONE)
        acme = partner(tx)
        anchor = tx.anchors.add(claim(acme), b"s" * 32)
        rule = tx.partners.add_rule(acme.id, RuleKind.DNS, "*.acme.example", None, AT)
        member = Member(acme.id, "dns:a.acme.example", acme.client, MemberState.ACTIVE, AT)
        tx.members.put(member)
    with store.transaction() as tx:
        watch = tx.trust.watch()
        watch.changes("partner", acme.id)
        watch.changes("anchor", anchor.id)
        watch.changes("name_rule", rule.id)
        watch.changes("member", acme.id, member.name)
        tx.partners.set(replace(acme, admits=PartnerAdmits.LISTED))
        tx.anchors.set(replace(anchor, state=AnchorState.RETIRED))
        tx.partners.remove_rule(rule)
        tx.members.remove(acme.id, member.name)
        id = tx.trust.record(AT, "test", "much", watch)
    with store.transaction() as tx:
        tx.trust.undo(id, AT)
        assert tx.partners.get(acme.id) == acme
        assert tx.anchors.get(anchor.id) == anchor
        assert tx.partners.rules_of(acme.id) == [rule]
        assert tx.members.get(acme.id, member.name) == member


def test_what_was_changed_since_is_not_taken_back(store: Store) -> None:
    with store.transaction() as tx:
        watch = tx.trust.watch()
        made = pin(tx, client(tx).id)
        watch.adds("pin", made.id)
        id = tx.trust.record(AT, "test", "pin add", watch)
        tx.pins.set(made.id, state=PinState.RETIRED, retired=AT)
    with store.transaction() as tx, pytest.raises(Conflict, match="changed again") as refused:
        tx.trust.undo(id, AT)
    assert refused.value.code == "changed_since"


def test_what_something_later_depends_on_is_not_taken_back(store: Store) -> None:
    with store.transaction() as tx:
        watch = tx.trust.watch()
        acme = partner(tx)
        watch.adds("client", acme.client)
        watch.adds("partner", acme.id)
        added = tx.trust.record(AT, "test", "partner add", watch)
        watch = tx.trust.watch()
        anchor = tx.anchors.add(claim(acme), b"s" * 32)
        watch.adds("anchor", anchor.id)
        claimed = tx.trust.record(AT, "test", "ca add", watch)
        bound = tx.partners.add_rule(acme.id, RuleKind.EMAIL, "a@acme.example", anchor.id, AT)
    for id in (added, claimed):
        with pytest.raises(Conflict, match="depends on"), store.transaction() as tx:
            tx.trust.undo(id, AT)
    with store.transaction() as tx:
        tx.partners.remove_rule(bound)
        tx.trust.undo(claimed, AT)
        tx.trust.undo(added, AT)
        assert tx.partners.page() == []
        gone = tx.clients.get(acme.client)
        assert gone is not None
        assert gone.state is ClientState.GONE


def test_only_the_newest_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.store.trust.KEPT", 50)
    with store.transaction() as tx:
        for number in range(250):
            tx.trust.record(AT, "test", str(number), None)
        found = tx.trust.recent(1_000)
    assert (found[0].what, len(found)) == ("249", 100)


def test_a_change_that_left_all_as_it_was_is_none(store: Store) -> None:
    with store.transaction() as tx:
        watch = tx.trust.watch()
        acme = partner(tx)
        watch.changes("partner", acme.id)
        tx.partners.set(acme)
        assert tx.trust.record(AT, "test", "partner admits", watch) == 0
        assert tx.trust.record(AT, "test", "partner name add", tx.trust.watch()) == 0
        assert tx.trust.recent(1) == []
