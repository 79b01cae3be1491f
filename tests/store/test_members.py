from rows import AT, client, partner, plan, statements

from mutualgate.model.client import ClientState
from mutualgate.model.partner import Member, MemberState
from mutualgate.store import Store
from mutualgate.store.members import member_key, parse_member_key


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
            tx.members.put(Member(owner.id, name, who, state, AT))
        told = [(acme.id, "dns:a.acme.example", api.id), (umbrella.id, "dns:a.acme.example", api.id)]
        assert [one for part in tx.members.walk(1) for one in part] == told
        assert tx.members.plain([(acme.id, "dns:a.acme.example"), (acme.id, "dns:b.acme.example")]) == told[:1]
        assert tx.members.count(acme.id) == 3
        assert tx.members.count(acme.id, MemberState.PENDING) == 1
        assert [one.name for one in tx.members.of_partner(acme.id, search="b.acme")] == ["dns:b.acme.example"]
        assert [one.partner for one in tx.members.of_client(api.id)] == [acme.id, umbrella.id]
        tx.members.put(Member(acme.id, "dns:b.acme.example", api.id, MemberState.ACTIVE, AT))
        assert len(next(tx.members.walk(10))) == 3
        tx.members.remove(acme.id, "dns:b.acme.example")
        assert tx.members.get(acme.id, "dns:b.acme.example") is None


def test_few_are_asked_for_by_the_whole_of_their_keys(store: Store) -> None:
    """A partner may have fifty thousand: those beside them must not be read."""
    with store.transaction() as tx, statements(store) as told:
        tx.members.plain([(1, "dns:a.acme.example"), (1, "dns:b.acme.example")])
        assert any("PRIMARY KEY (partner=? AND name=?)" in step for step in plan(tx, told[-1]))


def test_who_waits_is_found_without_those_who_do_not(store: Store) -> None:
    with store.transaction() as tx, statements(store) as told:
        tx.members.of_partner(1, state=MemberState.PENDING)
        assert any("ix_member_partner_state (partner=? AND state=? AND name>?)" in one for one in plan(tx, told[-1]))


def test_a_members_key_in_the_feed_is_read_back(store: Store) -> None:
    name = "uri:urn:a:b"
    assert parse_member_key(member_key(7, name)) == (7, name)
