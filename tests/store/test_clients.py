import pytest
from rows import AT, client, invitation, partner, plan, statements

from mutualgate.errors import Conflict
from mutualgate.model.client import ClientState
from mutualgate.model.names import ClientName, Role
from mutualgate.model.partner import Member, MemberState
from mutualgate.store import Store


def test_a_name_is_given_once_in_any_spelling(store: Store) -> None:
    with store.transaction() as tx:
        client(tx, "Anna")
        for name in ("Anna", "ANNA", "\uff21nna"):
            with pytest.raises(Conflict, match="'Anna'"):
                client(tx, name)


def test_a_name_is_free_again_when_its_client_is_gone(store: Store) -> None:
    with store.transaction() as tx:
        first = client(tx, "anna")
        tx.clients.set_state(first.id, ClientState.GONE)
        second = client(tx, "anna")
        assert second.id != first.id
        assert tx.clients.find(ClientName("anna")) == second
        assert tx.clients.get(first.id) is not None
        tx.clients.set_state(second.id, ClientState.GONE)  # two gone ones of one name


def test_pages_join_to_the_whole(store: Store) -> None:
    with store.transaction() as tx:
        added = [client(tx, f"c{number}", "even" if number % 2 == 0 else "odd") for number in range(25)]
    with store.reading() as tx:
        seen, after = [], 0
        while page := tx.clients.page(after=after, limit=7):
            seen += page
            after = page[-1].id
        assert seen == added
        assert tx.clients.count(role=Role("even")) == 13
        assert [one.name for one in tx.clients.page(search="C2", limit=100)] == [
            "c2",
            "c20",
            "c21",
            "c22",
            "c23",
            "c24",
        ]


def test_those_who_have_a_role_are_listed_in_the_order_of_all(store: Store) -> None:
    with store.transaction() as tx:
        added = [client(tx, f"c{number}", "staff", *(["even"] if number % 2 == 0 else [])) for number in range(9)]
        late = client(tx, "a-late-one")
        tx.clients.set_roles(added[0].id, [])
        tx.clients.set_roles(added[1].id, [Role("even")])
        tx.clients.set_roles(late.id, [Role("even")])
        tx.clients.set_state(added[2].id, ClientState.GONE)
        tx.clients.set_state(added[4].id, ClientState.SUSPENDED)
    with store.reading() as tx:
        even = [one.name for one in tx.clients.page(role=Role("even"))]
        assert even == ["c1", "c4", "c6", "c8", "a-late-one"]
        assert [one.name for one in tx.clients.page(role=Role("even"), after=added[4].id, limit=2)] == ["c6", "c8"]
        assert [one.name for one in tx.clients.page(role=Role("even"), search="C")] == ["c1", "c4", "c6", "c8"]
        assert tx.clients.count(role=Role("even")) == 5
        for state, name in ((ClientState.GONE, "c2"), (ClientState.SUSPENDED, "c4")):
            assert [one.name for one in tx.clients.page(role=Role("even"), state=state)] == [name]
            assert tx.clients.count(role=Role("even"), state=state) == 1


def test_a_search_takes_text_as_it_is(store: Store) -> None:
    with store.transaction() as tx:
        for name in ("50% off", "a*c", "a?c", "a[bx]c", "abc"):
            client(tx, name)
        client(tx, "anna")
        tx.clients.add(ClientName("bert"), contact="Bert@Example.com M\u00fcller, Ma\u00f1ana", roles=[], at=AT)
    with store.reading() as tx:
        assert [one.name for one in tx.clients.page(search="%")] == ["50% off"]
        assert tx.clients.page(search="_") == []
        for part, name in ("*", "a*c"), ("?c", "a?c"), ("[bx]", "a[bx]c"), ("[", "a[bx]c"), ("x]", "a[bx]c"):
            assert [one.name for one in tx.clients.page(search=part)] == [name], part
        for part in ("anna", "ANN", "\uff21\uff4e"):
            assert [one.name for one in tx.clients.page(search=part)] == ["anna"], part
        for part in ("bert@example", "BERT@EXAMPLE", "\u00fc", "ma\u00f1ana"):
            assert [one.name for one in tx.clients.page(search=part)] == ["bert"], part


def test_a_walk_sees_everybody_once_but_those_who_are_gone(store: Store) -> None:
    with store.transaction() as tx:
        added = [client(tx, f"c{number}", "r1", "r2") for number in range(23)]
        tx.clients.set_state(added[3].id, ClientState.GONE)
    with store.reading() as tx:
        walked = [one for part in tx.clients.walk(5) for one in part]
    assert walked == [(one.id, one.name, ["r1", "r2"], False, []) for one in added[:3] + added[4:]]


def test_who_invited_whom_is_found_by_the_client_or_by_the_partner(store: Store) -> None:
    """Of all invitations very many are used, and no gate waits for these to be looked through."""
    with store.transaction() as tx:
        host, other = partner(tx), partner(tx, "other")
        guest, member = client(tx, "guest"), client(tx, "member")
        for number, (who, by) in enumerate(((guest, host), (guest, other), (member, other))):
            invitation(tx, who.id, by.id, number)
        tx.members.put(Member(other.id, "dns:a.example", member.id, MemberState.ACTIVE, AT))
    with store.reading() as tx, statements(store) as told:
        assert tx.clients.hosts([guest.id]) == {guest.id: ([host.id, other.id], False)}
        assert tx.clients.guests_of([host.id]) == {guest.id}
        assert tx.clients.out_with_partner([guest.id])
        assert not tx.clients.out_with_partner([member.id])
        asked = [one for one in told if "FROM invitation" in one]
        for statement, index in zip(asked, ("client", "partner", "client", "client"), strict=True):
            steps = plan(tx, statement)
            assert any(f"ix_invitation_{index} ({index}=?)" in step for step in steps), steps
        assert tx.clients.hosts() == {guest.id: ([host.id, other.id], False), member.id: ([other.id], True)}
