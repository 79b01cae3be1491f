from typing import Any

import pki
import pytest

from mutualgate import audit
from mutualgate.clients import Clients
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.partner import AnchorState, PartnerAdmits, PartnerProfile, PartnerState
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.store import Store


def told(store: Store) -> dict[str, tuple[str, bool, list[str], int]]:
    """What the judge knows of each partner: what it admits, whether it is out, its rules, how many helpers."""
    with store.reading() as tx:
        return {
            name: (admits, suspended, [f"{kind}:{pattern}" for kind, pattern, _ in rules], len(helpers))
            for part in tx.partners.walk(10)
            for _, name, admits, _, suspended, rules, helpers, _ in part
        }


def actions(store: Store) -> list[str]:
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_a_partner_is_added_with_its_own_client(store: Store) -> None:
    service = Partners(store, by="test")
    added = service.add(
        "acme",
        names=["dns:*.acme.example", "email:*@acme.example"],
        roles=["orders"],
        admits=PartnerAdmits.RULE,
        contact="ops@acme.example",
    )
    view = service.show("acme")
    assert view.partner == added
    assert (view.client.name, view.client.roles, view.client.state) == ("acme", ("orders",), ClientState.ACTIVE)
    assert told(store) == {"acme": ("rule", False, ["dns:*.acme.example", "email:*@acme.example"], 0)}
    with store.reading() as tx:
        last = tx.audit.last()
    assert last is not None
    assert (last.action, last.by, last.subject) == ("partner.add", "test", f"partner {added.id} acme")


def test_a_partner_without_rules_vouches_for_nothing(store: Store) -> None:
    """R6: there is no rule that nobody wrote."""
    Partners(store).add("acme")
    assert told(store)["acme"][2] == []


def test_a_payment_service_provider_has_rules_of_its_own_kind(store: Store) -> None:
    service = Partners(store, by="test")
    identifier = "organization:PSDBE-NBB-0123456789"
    bank = service.add("bank", names=[identifier], profile=PartnerProfile.PSD2)
    assert service.get("bank").profile is PartnerProfile.PSD2 is bank.profile
    with store.reading() as tx:
        assert [one[-1] for one in tx.partners.plain([bank.id])] == ["psd2"]
    service.add("acme")
    for name, rule in (("bank", "dns:*.bank.example"), ("bank", "dn:CN=*,O=Bank"), ("acme", identifier)):
        with pytest.raises(BadInput, match="no rule for a partner of the profile"):
            service.permit(name, [rule])
        with pytest.raises(BadInput, match="no rule for a partner of the profile"):
            service.members.add(name, rule.replace("*", "a"))
    with pytest.raises(BadInput, match="no rule for a partner of the profile"):
        service.add("other", names=[identifier])
    assert service.members.add("bank", identifier).member.name == identifier


def test_its_client_has_another_name_where_that_is_taken(store: Store) -> None:
    Clients(store).add("acme")
    service = Partners(store)
    service.add("acme")
    assert service.show("acme").client.name == "partner acme"
    service.add("b", client="B Ltd")
    assert service.show("b").client.name == "B Ltd"


@pytest.mark.parametrize("words", [{"names": ["dns:*.com"]}, {"names": ["x"]}, {"roles": ["a,b"]}, {"contact": "a\nb"}])
def test_what_cannot_be_a_partner_is_refused_and_not_kept(store: Store, words: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Partners(store).add("acme", **words)
    assert store.epoch() == 0


def test_a_name_is_one_partners(partners: Partners) -> None:
    with pytest.raises(Conflict, match="'acme' already"):
        partners.add("acme")
    for name in ("nobody", "No Body", "\x1b[31m"):
        with pytest.raises(NotFound):
            partners.get(name)


def test_a_partner_is_suspended_resumed_and_removed(partners: Partners, store: Store) -> None:
    assert partners.suspend("acme").state is PartnerState.SUSPENDED
    assert told(store)["acme"][1] is True
    with pytest.raises(Conflict, match="suspended already"):
        partners.suspend("acme")
    partners.resume("acme")
    assert told(store)["acme"][1] is False
    claimed = partners.anchors.claim("acme", pki.ca("a", path_length=0).pem)
    partners.anchors.approve("acme", claimed.anchor.id, without_proof=True)
    with pytest.raises(Conflict, match="stands for the partner 'acme'"):
        Clients(store).remove("acme")
    partners.remove("acme")
    assert list(told(store)) == ["umbrella"]
    with store.reading() as tx:
        anchor = tx.anchors.get(claimed.anchor.id)
    assert anchor is not None
    assert anchor.state is AnchorState.RETIRED
    assert partners.add("acme").id != claimed.partner.id
    assert isinstance(audit.verify(store), audit.Verified)


def test_rules_come_and_go(partners: Partners, store: Store) -> None:
    partners.permit("acme", ["dns:*.acme.test", "DNS:*.acme.example"])
    assert told(store)["acme"][2] == ["dns:*.acme.example", "dns:*.acme.test"]
    partners.forbid("acme", ["dns:*.acme.example"])
    assert told(store)["acme"][2] == ["dns:*.acme.test"]
    with pytest.raises(NotFound, match="no rule"):
        partners.forbid("acme", ["dns:*.acme.example"])
    with pytest.raises(BadInput, match="too wide"):
        partners.permit("acme", ["dns:*.example"])
    partners.permit("acme", ["dns:*.example"], wide=True)
    assert told(store)["umbrella"][2] == ["dns:*.umbrella.example"]


def test_rules_are_bounded(partners: Partners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.partners.room.MOST_RULES", 2)
    with pytest.raises(Conflict, match="2 rules already"):
        partners.permit("acme", ["dns:b.example", "dns:c.example"])


def test_what_it_admits_and_its_roles(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.LISTED)
    assert told(store)["acme"][0] == "listed"
    partners.set_roles("acme", ["a", "b"])
    assert Clients(store).get("acme").roles == ("a", "b")
    partners.set_contacts("acme", security_contact="sec@acme.example")
    assert partners.get("acme").security_contact == "sec@acme.example"


def test_an_intermediate_helps_only_below_a_ca_of_the_partners(
    partners: Partners, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R10: it is not trusted itself."""
    root = pki.ca("acme root", path_length=1)
    issuing = pki.ca("acme issuing", parent=root, path_length=0)
    claimed = partners.anchors.claim("acme", root.pem, terms=Terms(depth=1))
    partners.anchors.approve("acme", claimed.anchor.id, without_proof=True)
    with pytest.raises(BadInput, match="no CA of the partner 'umbrella'"):
        partners.add_intermediate("umbrella", issuing.pem)
    made, odd = partners.add_intermediate("acme", issuing.pem)
    assert odd == []
    with monkeypatch.context() as patch:
        patch.setattr("mutualgate.partners.room.MOST_INTERMEDIATES", 1)
        with pytest.raises(Conflict) as full:
            partners.add_intermediate("acme", pki.ca("acme issuing 2", parent=root, path_length=0).pem)
        assert full.value.code == "too_many_intermediates"
    assert told(store)["acme"][3] == 1
    with pytest.raises(Conflict, match="already"):
        partners.add_intermediate("acme", issuing.pem)
    for wrong in (pki.leaf(root), pki.ca("x", parent=pki.ca("acme root"))):
        with pytest.raises(BadInput):
            partners.add_intermediate("acme", wrong.pem)
    partners.remove_intermediate("acme", made.id)
    assert told(store)["acme"][3] == 0
    with pytest.raises(NotFound):
        partners.remove_intermediate("acme", made.id)
    assert actions(store)[-2:] == ["partner.intermediate", "partner.intermediate.remove"]


def test_what_an_operator_does_with_a_partner_is_in_the_audit_log(partners: Partners, store: Store) -> None:
    partners.set_admits("acme", PartnerAdmits.LISTED)
    partners.set_roles("acme", ["stock"])
    partners.set_appoints("acme", True)
    partners.set_contacts("acme", contact="ops@acme.example")
    partners.permit("acme", ["dns:api.acme.test"])
    partners.forbid("acme", ["dns:api.acme.test"])
    partners.suspend("acme")
    partners.resume("acme")
    partners.remove("acme")
    did = ("admits", "roles", "appoints", "contacts", "permit", "forbid", "suspend", "resume", "remove")
    assert [one for one in actions(store) if one.startswith("partner.")][-9:] == [f"partner.{one}" for one in did]


def test_an_intermediate_below_a_ca_of_depth_0_is_said_to_be_of_no_use(partners: Partners) -> None:
    root = pki.ca("acme root")
    partners.anchors.claim("acme", root.pem)
    _, odd = partners.add_intermediate("acme", pki.ca("acme issuing", parent=root).pem)
    assert "--depth 1" in odd[0]


def test_every_change_of_trust_is_taken_back(partners: Partners, store: Store) -> None:
    """`trust undo` puts the judge's records back as they were, whatever the change was."""
    root = pki.ca("acme root", path_length=1)
    anchor = partners.anchors.claim("acme", root.pem, terms=Terms(depth=1)).anchor
    partners.anchors.approve("acme", anchor.id, without_proof=True)
    partners.members.add("acme", "dns:a.acme.example")
    intermediate, _ = partners.add_intermediate("acme", pki.ca("i", parent=root, path_length=0).pem)

    def records() -> list[object]:
        with store.reading() as tx:
            walks = (tx.partners.walk(9), tx.anchors.walk(9), tx.members.walk(9), tx.clients.walk(9))
            return [one for walk in walks for part in walk for one in part]

    for change in (
        lambda: partners.suspend("acme"),
        lambda: partners.set_admits("acme", PartnerAdmits.LISTED),
        lambda: partners.permit("acme", ["dns:b.example"]),
        lambda: partners.forbid("acme", ["dns:*.acme.example"]),
        lambda: partners.remove_intermediate("acme", intermediate.id),
        lambda: partners.members.add("acme", "dns:b.acme.example"),
        lambda: partners.members.remove("acme", "dns:a.acme.example"),
        lambda: partners.members.suspend("acme", "dns:a.acme.example"),
        lambda: partners.anchors.retire("acme", anchor.id),
        lambda: partners.anchors.claim("acme", pki.ca("b").pem, terms=Terms(shared=True)),
        lambda: partners.add("cyberdyne", names=["dns:c.example"]),
        lambda: partners.set_roles("acme", ["orders", "reports"]),
        lambda: partners.remove("acme"),
    ):
        before = records()
        change()
        assert records() != before
        with store.transaction() as tx:
            last = tx.trust.last()
            assert last is not None
            tx.trust.undo(last.id, store.clock())
        assert records() == before
