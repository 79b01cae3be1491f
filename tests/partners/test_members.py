import pki
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mutualgate.clients import Clients
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client, ClientState
from mutualgate.model.partner import Member, MemberState, PartnerAdmits, PartnerProfile
from mutualgate.partners import members as module
from mutualgate.partners.members import first_sight
from mutualgate.partners.service import Partners
from mutualgate.store import Store


def told(store: Store) -> list[tuple[int, str, int]]:
    with store.reading() as tx:
        return [one for part in tx.members.walk(10) for one in part]


def see(store: Store, partners: Partners, *sans: str, name: str = "acme") -> Member | None:
    with store.transaction() as tx:
        owner = tx.partners.find(partners.get(name).name)
        assert owner is not None
        return first_sight(tx, owner.id, pki.leaf(None, "x", sans=list(sans)).certificate, at=store.clock())


def test_a_client_is_enumerated(partners: Partners, store: Store) -> None:
    acme = partners.get("acme")
    made = partners.members.add("acme", "DNS:Api.acme.example")
    assert made.client is not None
    assert (made.client.name, made.client.roles, made.client.state) == (
        "api.acme.example", ("orders",), ClientState.ACTIVE
    )  # fmt: skip
    assert told(store) == [(acme.id, "dns:api.acme.example", made.client.id)]
    with pytest.raises(Conflict, match="already"):
        partners.members.add("acme", "dns:api.acme.example")
    other = partners.members.add("umbrella", "dns:api.acme.example", roles=["x"])
    assert other.client is not None
    assert (other.client.name, other.client.roles) == ("api.acme.example (umbrella)", ("x",))


def test_what_is_done_with_a_client_of_a_partner_s_is_in_the_audit_log_and_can_be_taken_back(
    partners: Partners, store: Store
) -> None:
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    see(store, partners, "b.acme.example")
    see(store, partners, "c.acme.example")
    with store.reading() as tx:
        begun = len(list(tx.audit.walk()))
    partners.members.add("acme", "dns:a.acme.example")
    partners.members.approve("acme", "dns:b.acme.example")
    for name in ("a", "c"):
        partners.members.suspend("acme", f"dns:{name}.acme.example")
    partners.members.resume("acme", "dns:a.acme.example")
    partners.members.remove("acme", "dns:a.acme.example")
    with store.reading() as tx:
        entries = list(tx.audit.walk())
        audited = [entry.action for entry in entries][begun:]
        changes = [" ".join(one.what.split()[2:]) for one in tx.trust.recent(6)]
    assert [action for action in audited if action.startswith("member.")] == [
        "member.add", "member.approve", "member.suspend", "member.suspend", "member.resume", "member.remove"
    ]  # fmt: skip
    acme = partners.get("acme")
    seen, made = ([one for one in entries if one.action == action] for action in ("member.seen", "client.add"))
    assert [(one.by, one.subject, one.facts) for one in seen] == [
        ("gate", f"partner {acme.id} acme", {"name": f"dns:{name}.acme.example", "state": "pending"}) for name in "bc"
    ]
    assert [(one.subject.partition(" ")[2].partition(" ")[2], one.facts) for one in made[-3:]] == [
        (f"{name}.acme.example", {"partner": acme.id, "name": f"dns:{name}.acme.example", "roles": "orders"})
        for name in "abc"
    ]
    assert changes == [
        "remove acme dns:a.acme.example",
        "resume acme dns:a.acme.example",
        "suspend acme dns:c.acme.example",
        "suspend acme dns:a.acme.example",
        "approve acme dns:b.acme.example",
        "approve acme dns:a.acme.example",
    ]


def test_who_is_outside_the_names_of_the_partner_is_not_let_in_again(partners: Partners, store: Store) -> None:
    with store.transaction() as tx:
        acme = partners.get("acme")
        tx.members.put(Member(acme.id, "dns:x.globex.example", None, MemberState.OUTSIDE, store.clock()))
    for let_in in (partners.members.approve, partners.members.add):
        with pytest.raises(Conflict) as refused:
            let_in("acme", "dns:x.globex.example")
        assert refused.value.code == "name_not_permitted"


def test_a_name_is_bounded(partners: Partners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBER_NAME_LIMIT", 20)
    assert partners.members.add("acme", "dns:abc.acme.example")
    with pytest.raises(BadInput, match="too long"):
        partners.members.add("acme", "dns:abcd.acme.example")


def test_a_client_that_exists_is_named(partners: Partners, store: Store) -> None:
    anna = Clients(store).add("anna")
    made = partners.members.add("acme", "email:anna@acme.example", client="anna")
    assert made.client is not None
    assert (made.client.id, made.client.state) == (anna.id, ClientState.ACTIVE)
    with pytest.raises(BadInput, match="has its roles"):
        partners.members.add("acme", "email:b@acme.example", client="anna", roles=["x"])
    with pytest.raises(NotFound):
        partners.members.add("acme", "email:b@acme.example", client="nobody")


def test_one_that_came_in_by_rule_waits_once_its_partner_admits_by_approval(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.RULE)
    first = see(store, partners, "a.acme.example")
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    again = see(store, partners, "a.acme.example")
    assert first is not None
    assert again is not None
    assert (first.state, again.state, again.created) == (MemberState.SEEN, MemberState.PENDING, first.created)
    assert [one.member.name for one in partners.members.list("acme", state=MemberState.PENDING)] == [again.name]
    assert see(store, partners, "a.acme.example") is None
    partners.members.approve("acme", "dns:a.acme.example")
    partners.set_admits("acme", PartnerAdmits.RULE)
    assert see(store, partners, "a.acme.example") is None, "it has its client"


def test_one_that_was_seen_waits_for_approval(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    seen = see(store, partners, "b.acme.example", "a.acme.example")
    assert seen is not None
    assert (seen.name, seen.state, seen.client) == ("dns:b.acme.example", MemberState.PENDING, None)
    assert see(store, partners, "b.acme.example") is None
    assert told(store) == []
    made = partners.members.approve("acme", "dns:b.acme.example")
    assert made.client is not None
    assert told(store) == [(partners.get("acme").id, "dns:b.acme.example", made.client.id)]
    with pytest.raises(Conflict, match="does not wait"):
        partners.members.approve("acme", "dns:b.acme.example")


def test_a_payment_service_provider_waits_under_its_identifier(partners: Partners, store: Store) -> None:
    bank = partners.add("bank", profile=PartnerProfile.PSD2)
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "PSDBE-NBB-1")])
    with store.transaction() as tx:
        first_sight(tx, bank.id, pki.issue(None, subject).certificate, at=store.clock())
    [one] = partners.members.list("bank")
    assert (one.member.name, one.member.state) == ("organization:PSDBE-NBB-1", MemberState.PENDING)
    approved = partners.members.approve("bank", "organization:PSDBE-NBB-1")
    assert approved.client is not None
    assert approved.client.name == "PSDBE-NBB-1"


def test_by_rule_one_that_was_seen_stays_the_partners_until_somebody_says_otherwise(
    partners: Partners, store: Store
) -> None:
    """Who a client is to a service behind does not change by its being seen."""
    epoch = store.epoch()
    seen = see(store, partners, "b.acme.example")
    assert seen is not None
    assert (seen.state, seen.client) == (MemberState.SEEN, None)
    assert told(store) == []
    assert store.epoch() == epoch
    made = partners.members.approve("acme", "dns:b.acme.example")
    assert made.client is not None
    assert told(store) == [(seen.partner, "dns:b.acme.example", made.client.id)]
    assert Clients(store).get("b.acme.example").roles == ("orders",)


def test_of_a_list_nobody_is_recorded_by_being_seen(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.LISTED)
    assert see(store, partners, "b.acme.example") is None


def test_what_waits_is_bounded(partners: Partners, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner's CA makes as many names as it likes."""
    monkeypatch.setattr(module, "MOST_PENDING", 2)
    monkeypatch.setattr(module, "MOST_SEEN", 2)
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    for name in ("acme", "umbrella"):
        assert [see(store, partners, f"{n}.example", name=name) is None for n in range(3)] == [False, False, True]


def test_one_is_kept_out_and_let_in_again(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    see(store, partners, "b.acme.example")
    kept_out = partners.members.suspend("acme", "dns:b.acme.example")
    assert kept_out.client is not None
    assert kept_out.client.state is ClientState.SUSPENDED
    assert told(store) == [(kept_out.member.partner, "dns:b.acme.example", kept_out.client.id)]
    with pytest.raises(Conflict, match="suspended already"):
        partners.members.suspend("acme", "dns:b.acme.example")
    assert Clients(store).get("b.acme.example").state is ClientState.SUSPENDED
    partners.members.resume("acme", "dns:b.acme.example")
    with pytest.raises(Conflict, match="not suspended"):
        partners.members.resume("acme", "dns:b.acme.example")
    partners.members.remove("acme", "dns:b.acme.example")
    assert told(store) == []
    for call in (partners.members.suspend, partners.members.resume, partners.members.remove, partners.members.approve):
        with pytest.raises(NotFound):
            call("acme", "dns:b.acme.example")


def test_who_asks_may_be_kept_from_a_client_and_nobody_from_one_that_waits(partners: Partners, store: Store) -> None:
    def never(_: Client) -> None:
        raise Conflict("not for you", code="not_theirs")

    made = partners.members.add("acme", "dns:a.acme.example")
    for step in (partners.members.suspend, partners.members.remove):
        with pytest.raises(Conflict, match="not for you"):
            step("acme", "dns:a.acme.example", may=never)
    assert partners.members.list("acme") == [made]
    partners.set_admits("acme", PartnerAdmits.APPROVAL)
    see(store, partners, "b.acme.example")
    kept_out = partners.members.suspend("acme", "dns:b.acme.example", may=never)
    assert kept_out.client is not None
    assert kept_out.client.state is ClientState.SUSPENDED


def test_a_list_is_searched_and_in_parts(partners: Partners) -> None:
    for name in ("a", "b", "c"):
        partners.members.add("acme", f"dns:{name}.acme.example")
    names = [one.member.name for one in partners.members.list("acme", limit=2)]
    assert names == ["dns:a.acme.example", "dns:b.acme.example"]
    assert [one.member.name for one in partners.members.list("acme", after=names[-1])] == ["dns:c.acme.example"]
    assert [one.member.name for one in partners.members.list("acme", search="b.")] == ["dns:b.acme.example"]
    assert partners.members.list("acme", state=MemberState.PENDING) == []


def test_a_client_that_goes_is_off_the_list_and_can_come_again(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.LISTED)
    partners.members.add("acme", "dns:a.acme.example")
    Clients(store).remove("a.acme.example")
    assert told(store) == []
    assert partners.members.add("acme", "dns:a.acme.example").client is not None


def test_a_client_does_not_go_where_it_would_still_come_in(partners: Partners, store: Store) -> None:
    """Under a rule its name is permitted with or without a record: it would be the partner's own client next."""
    partners.members.add("acme", "dns:a.acme.example")
    with pytest.raises(Conflict, match="would still come in") as refused:
        Clients(store).remove("a.acme.example")
    assert refused.value.code == "admitted_by_rule"
    assert Clients(store).suspend("a.acme.example").state is ClientState.SUSPENDED
    partners.remove("acme")
    assert Clients(store).remove("a.acme.example").state is ClientState.GONE
