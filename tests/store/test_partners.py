from dataclasses import replace
from datetime import timedelta

import pytest
from rows import AT, claim, client, partner

from mutualgate.errors import Conflict
from mutualgate.model.client import ClientState
from mutualgate.model.partner import AnchorState, Member, MemberState, PartnerAdmits, PartnerState, RuleKind
from mutualgate.store import Store
from mutualgate.store.partners import member_key, parse_member_key


def test_what_the_judge_is_told_of_cas(store: Store) -> None:
    begin = int(AT.timestamp())
    day = 86_400
    with store.transaction() as tx:
        acme, gone = partner(tx), partner(tx, "gone")
        one = tx.partners.add_anchor(claim(acme), b"s" * 32)
        for state in (AnchorState.PENDING, AnchorState.RETIRED):
            tx.partners.add_anchor(claim(acme, str(state), state), b"s" * 32)
        other = tx.partners.add_anchor(claim(gone, "other"), b"s" * 32)
        tx.partners.set(replace(gone, state=PartnerState.GONE))
        keys = [b"\1" * 32, b"\2" * 32]
        window, shown = (begin, begin + 102 * day), ("test", "grace", day, 90 * day, "1.2.3.4", True)
        told = (one.id, acme.id, b"ca", *window, False, 0, keys, *shown)
        assert [one for part in tx.partners.walk_anchors(1) for one in part] == [told]
        assert tx.partners.plain_anchors([one.id, other.id, 77]) == [told]
        leaving = replace(one, state=AnchorState.RETIRING, retire_at=AT + timedelta(days=3))
        tx.partners.set_anchor(leaving)
        assert tx.partners.anchor(one.id) == leaving
        assert tx.partners.plain_anchors([one.id])[0][4] == begin + 3 * day
        assert leaving.state_at(AT + timedelta(days=3)) is AnchorState.RETIRED
        assert leaving.state_at(AT + timedelta(days=2)) is AnchorState.RETIRING
        assert [a.subject for a in tx.partners.anchors_with_subject(b"s" * 32)] == ["CN=ca", "CN=pending", "CN=other"]


def test_a_key_is_one_ca_of_a_partner_and_may_be_anothers(store: Store) -> None:
    with store.transaction() as tx:
        acme, umbrella = partner(tx), partner(tx, "umbrella")
        one = tx.partners.add_anchor(claim(acme, state=AnchorState.RETIRED), b"s" * 32)
        again = tx.partners.add_anchor(claim(acme), b"s" * 32)
        other = tx.partners.add_anchor(claim(umbrella), b"s" * 32)
        assert again.id == one.id != other.id
        assert [a.id for a in tx.partners.anchors_with_key(one.spki)] == [one.id, other.id]
        assert [a.id for a in tx.partners.anchors_of(acme.id)] == [one.id]


def test_what_the_judge_is_told_of_partners(store: Store) -> None:
    with store.transaction() as tx:
        acme, umbrella, gone = partner(tx), partner(tx, "umbrella"), partner(tx, "gone")
        anchor = tx.partners.add_anchor(claim(acme), b"s" * 32)
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


def test_what_the_judge_is_told_of_members(store: Store) -> None:
    with store.transaction() as tx:
        acme, umbrella = partner(tx), partner(tx, "umbrella")
        api, gone = client(tx, "api"), client(tx, "left")
        tx.clients.set_state(gone.id, ClientState.GONE)
        for owner, name, who, state in (
            (acme, "dns:a.acme.example", api.id, MemberState.ACTIVE),
            (acme, "dns:b.acme.example", None, MemberState.PENDING),
            (acme, "dns:c.acme.example", gone.id, MemberState.ACTIVE),
            (umbrella, "dns:a.acme.example", api.id, MemberState.ACTIVE),
        ):
            tx.partners.put_member(Member(owner.id, name, who, state, AT))
        told = [(acme.id, "dns:a.acme.example", api.id), (umbrella.id, "dns:a.acme.example", api.id)]
        assert [one for part in tx.partners.walk_members(1) for one in part] == told
        assert tx.partners.plain_members([(acme.id, "dns:a.acme.example"), (acme.id, "dns:b.acme.example")]) == told[:1]
        assert tx.partners.count_members(acme.id) == 3
        assert tx.partners.count_members(acme.id, MemberState.PENDING) == 1
        assert [one.name for one in tx.partners.members_of(acme.id, search="b.acme")] == ["dns:b.acme.example"]
        assert [one.partner for one in tx.partners.memberships_of(api.id)] == [acme.id, umbrella.id]
        tx.partners.put_member(Member(acme.id, "dns:b.acme.example", api.id, MemberState.ACTIVE, AT))
        assert len(next(tx.partners.walk_members(10))) == 3
        tx.partners.remove_member(acme.id, "dns:b.acme.example")
        assert tx.partners.member(acme.id, "dns:b.acme.example") is None


def test_a_members_key_in_the_feed_is_read_back(store: Store) -> None:
    name = "uri:urn:a:b"
    assert parse_member_key(member_key(7, name)) == (7, name)
