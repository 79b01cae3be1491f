from dataclasses import replace

import pytest
from rows import AT, claim, partner, plan, statements

from mutualgate.errors import Conflict
from mutualgate.model.partner import PartnerAdmits, PartnerState, RuleKind
from mutualgate.store import Store


def test_what_the_judge_is_told_of_partners(store: Store) -> None:
    with store.transaction() as tx:
        acme, umbrella, gone = partner(tx), partner(tx, "umbrella"), partner(tx, "gone")
        anchor = tx.anchors.add(claim(acme), b"s" * 32)
        rule = tx.partners.add_rule(acme.id, RuleKind.DNS, "*.acme.example", None, AT)
        bound = tx.partners.add_rule(acme.id, RuleKind.EMAIL, "a@acme.example", anchor.id, AT)
        helper = tx.partners.add_intermediate(acme.id, b"f" * 32, b"s" * 32, b"helper", AT)
        tx.partners.set(replace(umbrella, state=PartnerState.SUSPENDED, admits=PartnerAdmits.LISTED))
        tx.partners.set(replace(gone, state=PartnerState.GONE))
        rules = [("dns", "*.acme.example", None), ("email", "a@acme.example", anchor.id)]
        told = [
            (acme.id, "acme", "rule", acme.client, False, rules, [b"helper"], "names"),
            (umbrella.id, "umbrella", "listed", umbrella.client, True, [], [], "names"),
        ]
        assert [one for part in tx.partners.walk(1) for one in part] == told
        assert tx.partners.plain([gone.id, umbrella.id]) == told[1:]
        assert tx.partners.rules_of(acme.id) == [rule, bound]
        assert tx.partners.intermediates_of(acme.id) == [helper]
        tx.partners.remove_rule(rule)
        tx.partners.remove_intermediate(helper)
        assert tx.partners.plain([acme.id])[0][5:7] == (rules[1:], [])
        assert partner(tx, "gone", "another").id != gone.id
        with pytest.raises(Conflict, match="'acme' already"):
            partner(tx, "acme", "yet another")


def test_who_goes_by_a_name_is_found_by_the_name(store: Store) -> None:
    """There may be ten thousand: those of other names must not be read."""
    with store.reading() as tx, statements(store) as told:
        assert tx.partners.concerned([b"s" * 32]) == []
        for statement in told[-2:]:
            assert any("subject_hash=?" in step for step in plan(tx, statement)), plan(tx, statement)
