from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding
from installation import Installation
from rows import see

from mutualgate import snapshot
from mutualgate.app import Services
from mutualgate.app.trial import Make
from mutualgate.authorities.adopt import Estate
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import Judge
from mutualgate.model.authority import Admits
from mutualgate.model.client import Client
from mutualgate.model.invitation import Way
from mutualgate.model.partner import PartnerAdmits, PartnerState
from mutualgate.model.pin import PinKind, PinState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.anchors import CLAIM_LIFE
from mutualgate.partners.members import first_sight
from mutualgate.partners.terms import Terms

NOW = pki.real_now()


@pytest.fixture
def acme(services: Services) -> pki.Issued:
    """The CA of the partner acme; three of its clients were seen, one of them under another name."""
    ca = pki.ca("acme issuing", path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.RULE)
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    for name in ("a.acme.example", "b.acme.example"):
        services.partners.members.add("acme", f"dns:{name}")
        shown(services, ca, name)
    shown(services, ca, "c.other.example")
    return ca


def shown(services: Services, ca: pki.Issued | None, name: str, days_ago: float = 1) -> pki.Issued:
    leaf = pki.leaf(ca, name, sans=[name], days=30, now=NOW)
    see(services.store, leaf.chain_der, at=NOW - timedelta(days=days_ago), subject=f"CN={name}")
    return leaf


def test_who_would_be_locked_out_is_named(services: Services, acme: pki.Issued) -> None:
    """R21."""
    before = services.store.epoch()
    found = services.trust.try_(lambda tried: tried.partners.anchors.retire("acme", 1))
    assert (found.certificates, found.clients) == (3, 2)
    assert found.locked_out == ("a.acme.example", "b.acme.example")
    assert found.let_in == ()
    assert {(one.before, one.after) for one in found.affected} == {
        ("a.acme.example", "unknown_issuer"),
        ("b.acme.example", "unknown_issuer"),
        ("name_not_permitted", "unknown_issuer"),
    }
    assert services.store.epoch() == before
    assert services.trust.try_(lambda tried: tried.partners.show("acme")).affected == ()


def test_who_would_be_let_in_is_named(services: Services, acme: pki.Issued) -> None:
    found = services.trust.try_(lambda tried: tried.partners.permit("acme", ["dns:c.other.example"]))
    assert found.let_in == ("acme",)
    assert [(one.before, one.after, one.subject) for one in found.affected] == [
        ("name_not_permitted", "acme", "CN=c.other.example")
    ]


def test_a_ca_counts_as_proved(services: Services, acme: pki.Issued) -> None:
    new = pki.ca("acme 2", path_length=0, now=NOW)
    shown(services, new, "a.acme.example")
    found = services.trust.try_(lambda tried: tried.partners.anchors.claim("acme", new.pem))
    assert [one.after for one in found.affected] == ["a.acme.example"]
    assert found.assumed == ("As if acme had proved that it controls CN=acme 2.",)
    assert services.partners.anchors.pending() == []
    services.partners.anchors.claim("acme", new.pem)
    third = services.trust.try_(lambda tried: tried.partners.anchors.claim("acme", pki.ca("acme 3", now=NOW).pem))
    assert third.assumed == ("As if acme had proved that it controls CN=acme 3.",), "the second still waits"
    assert third.affected == ()
    services.partners.add("umbrella")
    other = services.trust.try_(lambda tried: tried.partners.anchors.claim("umbrella", acme.pem))
    assert "would wait" in other.assumed[0]


def test_a_ca_that_is_claimed_anew_counts_as_proved(installed: Installation) -> None:
    clock = Hands()
    clock.now = NOW
    services = Services(installed.folder, clock=clock, environment={})
    services.partners.add("acme")
    ca = pki.ca("acme issuing", now=NOW)
    services.partners.anchors.claim("acme", ca.pem)
    clock.move(CLAIM_LIFE)
    found = services.trust.try_(lambda tried: tried.partners.anchors.claim("acme", ca.pem))
    assert found.assumed == ("As if acme had proved that it controls CN=acme issuing.",)
    services.close()


def test_only_what_was_seen_lately_counts(services: Services, acme: pki.Issued) -> None:
    shown(services, acme, "old.acme.example", days_ago=31)
    retire = lambda tried: tried.partners.anchors.retire("acme", 1)  # noqa: E731
    assert services.trust.try_(retire).certificates == 3
    assert services.trust.try_(retire, back=timedelta(days=60)).certificates == 4


def test_a_client_with_another_certificate_is_not_locked_out(services: Services, acme: pki.Issued) -> None:
    own = shown(services, None, "own")
    services.pins.add("a.acme.example", own.pem)
    found = services.trust.try_(lambda tried: tried.partners.anchors.retire("acme", 1))
    assert found.locked_out == ("b.acme.example",)


def test_each_change_of_an_own_certificate_can_be_tried(services: Services) -> None:
    own = shown(services, None, "own")
    add = services.trust.try_(lambda tried: tried.pins.add("first-client", own.pem, kind=PinKind.KEY))
    assert add.let_in == ("first-client",)
    pin = services.pins.add("first-client", own.pem)
    retire = services.trust.try_(lambda tried: tried.pins.retire(pin.id))
    assert [one.after for one in retire.affected] == ["pin_retired"]
    assert retire.locked_out == ("first-client",)
    with pytest.raises(NotFound):
        services.trust.try_(lambda tried: tried.pins.retire(99))


def test_the_last_change_is_taken_back(services: Services, acme: pki.Issued) -> None:
    services.partners.permit("acme", ["dns:c.other.example"])
    services.partners.anchors.retire("acme", 1)
    undone = services.trust.undo()
    assert undone.what == "partner ca retire acme 1"
    assert services.trust.undo().what.startswith("partner name add acme")
    assert [rule.pattern for rule in services.partners.show("acme").rules] == ["*.acme.example"]
    with services.store.reading() as tx:
        last = tx.audit.last()
    assert last is not None
    assert (last.action, last.facts["what"]) == ("trust.undo", "partner name add acme dns:c.other.example")
    with pytest.raises(Conflict, match="already"):
        services.trust.undo(undone.id)
    with pytest.raises(NotFound):
        services.trust.undo(999)
    with pytest.raises(BadInput):
        services.trust.list(0)


def test_what_was_done_to_a_client_is_taken_back_or_stands_in_the_way(services: Services) -> None:
    clients = services.clients
    clients.add("anna", roles=["orders", "staff"])
    services.pins.add("anna", pki.leaf(None, "own", now=NOW).pem)
    before = clients.get("anna")
    changes: tuple[Callable[[], Client], ...] = (
        lambda: clients.suspend("anna"),
        lambda: clients.change_roles("anna", add=["admin"], remove=["orders"]),
        lambda: clients.set_roles("anna", []),
    )
    for change in changes:
        assert change() != before
        services.trust.undo()
        assert clients.get("anna") == before
    clients.suspend("anna")
    clients.resume("anna")
    services.trust.undo()
    assert clients.get("anna").state == "suspended"
    finals: tuple[Callable[[], object], ...] = (
        lambda: clients.revoke("first-client", reason=RevocationReason.certificateHold),
        lambda: clients.release("first-client"),
        lambda: clients.revoke("first-client"),
        lambda: clients.remove("anna"),
    )
    for final in finals:
        final()
        with pytest.raises(Conflict, match="is final") as refused:
            services.trust.undo()
        assert refused.value.code == "final"
    assert [one.final for one in services.trust.list()[:5]] == [True, True, True, True, False]


def test_who_came_in_by_what_is_taken_back_alone_is_new_again(services: Services, acme: pki.Issued) -> None:
    clients = services.clients
    for name in ("linked", "pinned", "signed"):
        clients.add(name)
    for make in (
        lambda: services.partners.members.add("acme", "dns:new.acme.example", client="linked"),
        lambda: services.pins.add("pinned", pki.leaf(None, "own", now=NOW).pem),
    ):
        make()
        assert "active" in (clients.get("linked").state, clients.get("pinned").state)
        services.trust.undo()
        assert {clients.get(name).state for name in ("linked", "pinned")} == {"new"}
    services.partners.members.add("acme", "dns:new.acme.example", client="signed")
    services.enrolment.sign("signed", pki.csr(pki.fresh_key()))
    services.trust.undo()
    assert clients.get("signed").state == "active"  # by its certificate


def test_who_is_resumed_is_what_it_has(services: Services, acme: pki.Issued) -> None:
    """A partner's client, and the one that stands for a partner, have no credential of ours and come in."""
    for name in ("a.acme.example", "acme"):
        services.clients.suspend(name)
        assert services.clients.resume(name).state == "active"


def test_a_partner_that_went_comes_back_unless_its_name_is_another_s(services: Services, acme: pki.Issued) -> None:
    before = services.partners.show("acme")
    services.partners.remove("acme")
    services.trust.undo()
    assert services.partners.show("acme") == before
    services.partners.remove("acme")
    gone = services.trust.list()[0]
    services.partners.add("acme")
    with pytest.raises(Conflict) as refused:
        services.trust.undo(gone.id)
    assert refused.value.code == "name_in_use"


@pytest.mark.parametrize("admits", [PartnerAdmits.RULE, PartnerAdmits.APPROVAL])
def test_what_the_gate_notes_by_itself_stands_in_no_way(
    services: Services, acme: pki.Issued, admits: PartnerAdmits
) -> None:
    """Nobody finds it among the changes, to take it back first."""

    def seen(partner: int, name: str) -> None:
        with services.store.transaction() as tx:
            assert first_sight(tx, partner, pki.leaf(None, sans=[name]).certificate, at=NOW) is not None

    services.partners.set_admits("acme", admits)
    before = services.partners.members.list("acme")
    services.partners.members.remove("acme", "dns:a.acme.example")
    seen(1, "a.acme.example")
    services.trust.undo()
    assert services.partners.members.list("acme") == before
    services.partners.members.add("acme", "dns:new.acme.example")
    services.partners.members.remove("acme", "dns:new.acme.example")
    added = services.trust.list(2)[1]
    seen(1, "new.acme.example")
    with pytest.raises(Conflict, match="changed again"):
        services.trust.undo(added.id)
    initech = services.partners.add("initech", admits=admits)
    seen(initech.id, "a.initech.example")
    services.trust.undo()
    with pytest.raises(NotFound):
        services.partners.get("initech")


def test_what_is_no_trust_stands_in_no_way_and_stays(services: Services, acme: pki.Issued) -> None:
    services.partners.suspend("acme")
    services.partners.set_contacts("acme", contact="it@acme.example", security_contact="soc@acme.example")
    services.partners.set_appoints("acme", True)
    services.trust.undo()
    found = services.partners.get("acme")
    assert (found.state, found.appoints) == (PartnerState.ACTIVE, True)
    assert (found.contact, found.security_contact) == ("it@acme.example", "soc@acme.example")
    services.partners.suspend("acme")
    services.partners.set_admits("acme", PartnerAdmits.LISTED)
    with pytest.raises(Conflict, match="changed again"):
        services.trust.undo(services.trust.list(2)[1].id)


def test_a_ca_that_is_another_partner_s_by_now_does_not_come_back(services: Services, acme: pki.Issued) -> None:
    """R5."""
    services.partners.anchors.retire("acme", 1)
    services.partners.add("umbrella")
    second = services.partners.anchors.claim("umbrella", acme.pem).anchor
    services.partners.anchors.approve("umbrella", second.id, without_proof=True)
    retired = next(one for one in services.trust.list() if one.what == "partner ca retire acme 1")
    with pytest.raises(Conflict, match="'umbrella'") as refused:
        services.trust.undo(retired.id)
    assert refused.value.code == "anchor_held"
    assert services.partners.show("acme").anchors[0].state == "retired"


def pinned(services: Services, ca: pki.Issued, _: Path) -> None:
    services.clients.add("anna")
    services.pins.add("anna", ca.pem)


def adopted(services: Services, ca: pki.Issued, folder: Path) -> None:
    services.authorities.adopt(Estate(certificate=ca.write(folder, "old")[0]), name="old")


@pytest.mark.parametrize(("take", "whose"), [(pinned, "a client proves"), (adopted, "an authority of ours")])
@pytest.mark.parametrize("proved", [True, False])
def test_a_ca_whose_key_is_a_client_s_or_our_authority_s_by_now_does_not_come_back(
    services: Services,
    tmp_path: Path,
    take: Callable[[Services, pki.Issued, Path], None],
    whose: str,
    proved: bool,
) -> None:
    """R4: the CA's certificate would come in as the client, or whatever the CA signed as the authority's."""
    ca = pki.ca("initech issuing", now=NOW)
    services.partners.add("initech")
    anchor = services.partners.anchors.claim("initech", ca.pem).anchor
    if proved:
        services.partners.anchors.approve("initech", anchor.id, without_proof=True)
    services.partners.anchors.retire("initech", anchor.id)
    retired = services.trust.list(1)[0]
    take(services, ca, tmp_path)
    with pytest.raises(Conflict, match=whose) as refused:
        services.trust.undo(retired.id)
    assert refused.value.code == "key_in_use"
    assert services.partners.anchors.list("initech")[0].state == "retired"


def a_ca(services: Services, name: str = "umbrella") -> int:
    ca = pki.ca("of many", now=NOW)
    anchor = services.partners.anchors.claim(name, ca.pem).anchor
    services.partners.anchors.approve(name, anchor.id, without_proof=True)
    return anchor.id


def retired_ca(services: Services) -> Make:
    """A change that ends a CA; and one that adds another of its name."""
    first = a_ca(services)
    services.partners.anchors.retire("umbrella", first)
    return a_ca


def forbidden_rule(services: Services) -> Make:
    services.partners.permit("umbrella", ["dns:a.umbrella.example"])
    services.partners.forbid("umbrella", ["dns:a.umbrella.example"])
    others = (f"dns:{number}.umbrella.example" for number in count())
    return lambda tried: tried.partners.permit("umbrella", [next(others)])


def removed_intermediate(services: Services) -> Make:
    root = pki.ca("umbrella root", path_length=1, now=NOW)
    anchor = services.partners.anchors.claim("umbrella", root.pem, terms=Terms(depth=1)).anchor
    services.partners.anchors.approve("umbrella", anchor.id, without_proof=True)
    below = (pki.ca(f"umbrella {number}", parent=root, path_length=0, now=NOW).pem for number in count())
    made, _ = services.partners.add_intermediate("umbrella", next(below))
    services.partners.remove_intermediate("umbrella", made.id)
    return lambda tried: tried.partners.add_intermediate("umbrella", next(below))


def retired_pin(services: Services) -> Make:
    services.clients.add("anna")
    pin = services.pins.add("anna", pki.leaf(None, "first", now=NOW).pem)
    services.pins.retire(pin.id)
    return lambda tried: tried.pins.add("anna", pki.leaf(None, "another", now=NOW).pem)


@pytest.mark.parametrize(
    ("setting", "most", "code"),
    [
        (retired_ca, "MOST_PER_PARTNER", "too_many_anchors"),
        (retired_ca, "MOST_OF_ONE_NAME", "too_many_alike"),
        (forbidden_rule, "MOST_RULES", "too_many_rules"),
        (removed_intermediate, "MOST_INTERMEDIATES", "too_many_intermediates"),
        (retired_pin, "MOST_PER_CLIENT", "too_many_pins"),
    ],
)
def test_there_are_no_more_by_a_change_that_is_tried_or_taken_back_than_may_be(
    services: Services, monkeypatch: pytest.MonkeyPatch, setting: Callable[[Services], Make], most: str, code: str
) -> None:
    """As by the command itself, in the same words."""
    services.partners.add("umbrella")
    more = setting(services)
    ended = services.trust.list(1)[0]
    monkeypatch.setattr(f"mutualgate.partners.room.{most}", 1)
    services.trust.try_(more)
    more(services)
    said = []
    ways: tuple[Callable[[], object], ...] = (
        lambda: more(services),
        lambda: services.trust.try_(more),
        lambda: services.trust.undo(ended.id),
    )
    for again in ways:
        with pytest.raises(Conflict) as refused:
            again()
        assert refused.value.code == code
        said.append(str(refused.value))
    assert len(set(said)) == 1
    services.trust.undo()


def test_what_is_full_can_still_be_changed_back(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes in by that."""
    services.partners.add("umbrella")
    first = a_ca(services)
    services.partners.anchors.set("umbrella", first, lambda terms: replace(terms, environment="test"))
    monkeypatch.setattr("mutualgate.partners.room.MOST_OF_ONE_NAME", 0)
    monkeypatch.setattr("mutualgate.partners.room.MOST_PER_PARTNER", 0)
    assert services.trust.undo().what == f"partner ca set umbrella {first}"


def test_a_pin_whose_key_is_an_authority_s_by_now_does_not_come_back(services: Services, tmp_path: Path) -> None:
    """R4."""
    ca = pki.ca("old", now=NOW)
    pin = services.pins.add("first-client", ca.pem)
    services.pins.retire(pin.id)
    retired = services.trust.list(1)[0]
    adopted(services, ca, tmp_path)
    for again in (lambda: services.trust.undo(retired.id), lambda: services.pins.renew(pin.id)):
        with pytest.raises(Conflict, match="an authority of ours") as refused:
            again()
        assert refused.value.code == "key_in_use"


def test_a_name_that_is_another_partner_s_by_now_does_not_come_back(services: Services) -> None:
    """R1."""
    ca = pki.ca("of many", now=NOW)
    anchors = []
    for name in ("initech", "umbrella"):
        services.partners.add(name)
        anchors.append(services.partners.anchors.claim(name, ca.pem, terms=Terms(shared=True)).anchor.id)
    services.partners.permit("initech", ["dns:a.example"], anchor=anchors[0])
    services.partners.forbid("initech", ["dns:a.example"], anchor=anchors[0])
    services.partners.permit("umbrella", ["dns:a.example"], anchor=anchors[1])
    removed = services.trust.list()[1]
    assert removed.what.startswith("partner name remove initech")
    with pytest.raises(Conflict, match="'umbrella' has 'dns:a"):
        services.trust.undo(removed.id)
    assert services.partners.show("initech").rules == ()


def test_what_something_later_builds_on_is_not_taken_back(services: Services, acme: pki.Issued) -> None:
    shared = services.partners.anchors.claim("acme", pki.ca("shared", now=NOW).pem, terms=Terms(shared=True)).anchor
    services.partners.permit("acme", ["dns:x.example"], anchor=shared.id)
    change = services.trust.list()[1]
    with pytest.raises(Conflict, match="depends on"):
        services.trust.undo(change.id)
    services.trust.undo()
    services.trust.undo()


def test_a_pin_for_the_wrong_client_is_taken_back_and_given_to_the_right_one(services: Services) -> None:
    own = pki.leaf(None, "own", now=NOW)
    services.clients.add("anna")
    services.pins.add("first-client", own.pem)
    services.trust.undo()
    assert services.pins.add("anna", own.pem).subject == "CN=own"


def test_with_who_comes_back_comes_all_that_hung_on_them(services: Services, acme: pki.Issued) -> None:
    """The judge keeps a partner's members, without whom one that was suspended would be the partner's own; and forgets
    what hung on the client that stands for it."""
    services.partners.members.suspend("acme", "dns:a.acme.example")
    chain = pki.leaf(acme, "x", sans=["a.acme.example"], days=30, now=NOW).chain_der
    own = pki.leaf(None, "own", now=NOW)
    services.pins.add("acme", own.pem)
    judge = Judge(snapshot.build(services.store, []))
    for change in (lambda: services.partners.remove("acme"), services.trust.undo):
        change()
        judge = judge.after(changed(services, judge))
    now = int(services.clock().timestamp())
    assert judge.decide(chain, now).reason == "client_suspended"
    assert judge.decide([own.der], now).client_name == "acme"


def changed(services: Services, judge: Judge) -> bytes:
    delta = snapshot.delta(services.store, judge.epoch)
    assert delta is not None, "everything would be read anew"
    return delta


def test_a_partner_goes_and_comes_back_at_once_however_many_are_its_clients(
    services: Services, acme: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those under its CA, and those whom it invited and whose certificates are ours."""
    monkeypatch.setattr("mutualgate.store.changes.LISTED_AT_MOST", 1)
    chains = [pki.leaf(acme, "x", sans=["a.acme.example"], days=30, now=NOW).chain_der]
    for name in ("d", "e", "f"):
        invited = services.partner_invitations.invite("acme", f"dns:{name}.acme.example")
        csr = pki.csr(pki.fresh_key(), "x")
        signed = services.invitation_use.sign(invited.token, csr, way=Way.CSR, peer="192.0.2.9").signed
        assert signed is not None
        chains.append([one.public_bytes(Encoding.DER) for one in (signed.certificate, *signed.chain)])

    def said(judge: Judge) -> list[str | None]:
        return [judge.decide(chain, int(services.clock().timestamp())).reason for chain in chains]

    judge = Judge(snapshot.build(services.store, []))
    suspended, comes_in = ["client_suspended"] * 4, [None] * 4
    for change, reasons in (
        (lambda: services.partners.suspend("acme"), suspended),
        (lambda: services.partners.resume("acme"), comes_in),
        (lambda: services.partners.remove("acme"), ["unknown_issuer", *suspended[1:]]),
        (services.trust.undo, comes_in),
    ):
        change()
        delta = changed(services, judge)
        assert len(delta) < 6 * len(acme.der), "it tells of each of them"
        judge = judge.after(delta)
        assert said(judge) == said(Judge(snapshot.build(services.store, []))) == reasons


def test_a_member_without_its_client_does_not_come_back(services: Services, acme: pki.Issued) -> None:
    services.clients.add("bob")
    services.partners.members.add("acme", "dns:bob.acme.example", client="bob")
    services.partners.members.remove("acme", "dns:bob.acme.example")
    change = services.trust.list(1)[0]
    services.clients.remove("bob")
    with pytest.raises(Conflict, match="of the client 'bob', which is gone"):
        services.trust.undo(change.id)
    assert [one.member.name for one in services.partners.members.list("acme")] == [
        "dns:a.acme.example",
        "dns:b.acme.example",
    ]


def test_a_pin_whose_key_somebody_else_has_does_not_come_back(services: Services) -> None:
    own = pki.leaf(None, "own", now=NOW)
    services.clients.add("anna")
    pin = services.pins.add("anna", own.pem)
    services.pins.retire(pin.id)
    change = services.trust.list(1)[0]
    signed = services.enrolment.sign("anna", pki.csr(own.key))
    services.clients.revoke("anna", credential=str(signed.credential.id), reason=RevocationReason.keyCompromise)
    with pytest.raises(Conflict, match="revoked as compromised"):
        services.trust.undo(change.id)
    with pytest.raises(Conflict, match="revoked as compromised"):
        services.pins.renew(pin.id)
    assert services.pins.get(pin.id).state is PinState.RETIRED


def test_a_pin_whose_key_was_compromised_with_another_pin_does_not_come_back(services: Services) -> None:
    own = pki.leaf(None, "own", now=NOW)
    services.clients.add("anna")
    pin = services.pins.add("anna", own.pem)
    services.pins.add("anna", own.pem, kind=PinKind.KEY)
    services.pins.retire(pin.id)
    change = services.trust.list(1)[0]
    services.clients.revoke("anna", reason=RevocationReason.keyCompromise)
    with pytest.raises(Conflict, match="revoked as compromised"):
        services.trust.undo(change.id)
    assert services.pins.get(pin.id).state is PinState.RETIRED


def test_an_estate_without_its_client_does_not_come_back(services: Services, tmp_path: Path) -> None:
    """The judge takes no authority whose certificates stand for nobody, nor any change after it."""
    certificate, _ = pki.ca("old").write(tmp_path, "old")
    services.authorities.adopt(Estate(certificate=certificate), name="old")
    services.authorities.set_admits("old", Admits.LISTED)
    change = services.trust.list(1)[0]
    services.clients.remove("old estate")
    with pytest.raises(Conflict) as refused:
        services.trust.undo(change.id)
    assert refused.value.code == "client_gone"
    services.authorities.set_admits("old", Admits.SIGNED)
    assert Judge(snapshot.build(services.store, [])).epoch == services.store.epoch()
