"""What a partner's administrator may invite, and how long what comes of it counts."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutualgate import snapshot
from mutualgate.app import Folder, Services
from mutualgate.enrolment import partner_invitations
from mutualgate.enrolment.bulk import BulkSigning, Given
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import Judge, names_permitted
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.partners import rules

PEER = "192.0.2.9"


@pytest.fixture
def services(tmp_path: Path, clock: Hands) -> Iterator[Services]:
    folder = Folder(tmp_path / "gate")
    folder.create()
    made = Services(folder, clock=clock, environment={"MUTUALGATE_PASSPHRASE": "a passphrase for tests"})
    made.authorities.create()
    made.partners.add("acme", names=["dns:*.acme.example", "email:*@acme.example"], roles=["orders", "stock"])
    made.partners.add("globex", names=["dns:*.globex.example"], roles=["orders"])
    yield made
    made.close()


def use(services: Services, token: str) -> list[bytes]:
    """The certificate that an invitation becomes, with its chain, DER."""
    outcome = services.invitation_use.sign(token, pki.csr(pki.fresh_key(), "x"), way=Way.CSR, peer=PEER)
    assert outcome.signed is not None
    return [one.public_bytes(Encoding.DER) for one in (outcome.signed.certificate, *outcome.signed.chain)]


def verdict(services: Services, chain: list[bytes]) -> str:
    """A client's name, or the reason of the refusal; by the whole store, an excerpt of it, and the changes since."""
    sites = snapshot.site_records(services.config)
    now = int(services.clock().timestamp())
    said = {
        judged.client_name if judged.admitted else judged.reason
        for built in (snapshot.build(services.store, sites), snapshot.build_for(services.store, sites, [chain]))
        for judged in [Judge(built).decide(chain, now)]
    }
    assert len(said) == 1
    return said.pop() or ""


def test_a_name_within_the_rules_becomes_a_client_with_the_partner_s_roles(services: Services) -> None:
    invited = services.partner_invitations.invite("acme", "email:anna@ACME.example", ways=[Way.CSR])
    assert (invited.client.name, invited.client.roles) == ("anna@acme.example", ("orders", "stock"))
    (member,) = services.partners.members.list("acme")
    assert (member.member.name, member.member.client) == ("email:anna@acme.example", invited.client.id)
    assert verdict(services, use(services, invited.token)) == "anna@acme.example"
    with services.store.reading() as tx:
        entries = {entry.action: entry for entry in tx.audit.walk()}
    assert {"client.add", "member.add", "partner.invite"} <= set(entries)
    made = entries["client.add"]
    assert (made.subject, made.facts["roles"]) == (f"client {invited.client.id} anna@acme.example", "orders,stock")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dns:api.globex.example", "name_not_permitted"),
        ("dns:acme.example", "name_not_permitted"),
        ("email:anna@acme.example.evil.example", "name_not_permitted"),
        ("dn:CN=anna", "name_not_permitted"),
        ("uri:https://api.acme.example/x", "name_not_permitted"),
        ("dns:*.acme.example", "bad_name"),
        ("email:*@acme.example", "bad_name"),
        ("anna", "bad_rule"),
        ("dns:../x.acme.example", "bad_rule"),
    ],
)
def test_no_other_name_is_invited(services: Services, name: str, code: str) -> None:
    with pytest.raises((BadInput, Conflict)) as caught:
        services.partner_invitations.invite("acme", name)
    assert caught.value.code == code
    assert services.partners.members.list("acme") == []
    assert services.invitations.list().total == 0


def test_a_rule_for_one_ca_alone_lets_nobody_be_invited(services: Services) -> None:
    ca = pki.ca("public")
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    services.partners.permit("acme", ["dns:api.partners.example"], anchor=anchor.id)
    with pytest.raises(Conflict):
        services.partner_invitations.invite("acme", "dns:api.partners.example")


def test_roles_are_of_the_partner_s_own(services: Services) -> None:
    some = services.partner_invitations.invite("acme", "dns:a.acme.example", roles=["orders"])
    assert some.client.roles == ("orders",)
    assert services.partner_invitations.invite("acme", "dns:b.acme.example", roles=[]).client.roles == ()
    for role in ("admin", "partner-admin", "staff"):
        with pytest.raises(Conflict) as caught:
            services.partner_invitations.invite("acme", "dns:c.acme.example", roles=["orders", role])
        assert caught.value.code == "role_not_theirs"
    assert services.partners.members.list("acme", search="c.acme") == []
    services.partners.set_appoints("acme", appoints=True)
    chief = services.partner_invitations.invite("acme", "dns:c.acme.example", roles=["partner-admin"])
    assert chief.client.roles == ("partner-admin",)
    with pytest.raises(Conflict):
        services.partner_invitations.invite("globex", "dns:c.globex.example", roles=["partner-admin"])


def test_a_client_of_its_own_is_invited_again_unless_it_is_more_than_the_partner(services: Services) -> None:
    services.partners.members.add("acme", "dns:api.acme.example")
    invited = services.partner_invitations.invite("acme", "dns:api.acme.example", roles=["orders"])
    assert (invited.client.name, invited.client.roles) == ("api.acme.example", ("orders", "stock"))
    services.partners.set_appoints("acme", appoints=True)
    with pytest.raises(Conflict, match="changes none"):
        services.partner_invitations.invite("acme", "dns:api.acme.example", roles=["partner-admin"])
    services.clients.add("olga", roles=["admin"])
    services.partners.members.add("acme", "dns:olga.acme.example", client="olga")
    with pytest.raises(Conflict) as caught:
        services.partner_invitations.invite("acme", "dns:olga.acme.example")
    assert caught.value.code == "client_has_more"
    services.partners.members.suspend("acme", "dns:api.acme.example")
    with pytest.raises(Conflict) as caught:
        services.partner_invitations.invite("acme", "dns:api.acme.example")
    assert caught.value.code == "client_suspended"
    # The open one of a client that was given more since then gets no new link.
    later = services.partner_invitations.invite("acme", "dns:later.acme.example").invitation.id
    services.clients.set_roles("later.acme.example", ["admin"])
    with pytest.raises(Conflict):
        services.partner_invitations.renew_link("acme", later)


def test_another_s_invitations_are_not_there(services: Services) -> None:
    theirs = services.partner_invitations.invite("globex", "dns:api.globex.example").invitation.id
    operators = services.invitations.invite("anna").invitation.id
    mine = services.partner_invitations.invite("acme", "dns:api.acme.example").invitation.id
    assert [one.opened.invitation.id for one in services.partner_invitations.list("acme").invitations] == [mine]
    for id in (theirs, operators, 99, 0, -1):
        for do in (services.partner_invitations.revoke, services.partner_invitations.renew_link):
            with pytest.raises(NotFound):
                do("acme", id)
        with pytest.raises(NotFound):
            services.partner_invitations.get("acme", id)
    services.partner_invitations.revoke("acme", mine)
    states = {one.invitation.id: one.invitation.state for one in services.invitations.list().invitations}
    assert states == {theirs: "open", operators: "open", mine: "revoked"}


def test_what_came_of_it_counts_as_long_as_the_partner_and_the_membership(services: Services) -> None:
    api = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    other = use(services, services.partner_invitations.invite("globex", "dns:api.globex.example").token)
    own = use(services, services.invitations.invite("anna").token)
    services.partners.suspend("acme")
    assert [verdict(services, one) for one in (api, other, own)] == ["client_suspended", "api.globex.example", "anna"]
    services.partners.resume("acme")
    assert verdict(services, api) == "api.acme.example"
    services.partners.members.remove("acme", "dns:api.acme.example")
    assert verdict(services, api) == "client_suspended"
    services.trust.undo()
    assert verdict(services, api) == "api.acme.example"
    services.partners.remove("acme")
    assert verdict(services, api) == "client_suspended"
    assert [verdict(services, one) for one in (other, own)] == ["api.globex.example", "anna"]


def test_the_running_judge_hears_of_it(services: Services) -> None:
    """By the changes since, which is all that a gate reads while it runs."""
    chain = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    sites = snapshot.site_records(services.config)
    judge = Judge(snapshot.build(services.store, sites))

    def now() -> bool:
        nonlocal judge
        with services.store.reading() as tx:
            epoch = tx.changes.epoch()
        delta = snapshot.delta(services.store, judge.epoch)
        assert delta is not None
        judge = judge if judge.epoch == epoch else judge.after(delta)
        return judge.decide(chain, int(services.clock().timestamp())).admitted

    assert now()
    services.partners.suspend("acme")
    assert not now()
    services.partners.resume("acme")
    assert now()
    services.partners.members.remove("acme", "dns:api.acme.example")
    assert not now()
    services.trust.undo()
    assert now()
    services.partners.forbid("acme", ["dns:*.acme.example"])
    assert not now()
    services.partners.permit("acme", ["dns:*.acme.example"])
    assert now()
    services.partners.remove("acme")
    assert not now()


def test_who_is_outside_the_rules_is_out_until_a_rule_permits_the_name(services: Services) -> None:
    api, anna, own = (
        use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token),
        use(services, services.partner_invitations.invite("acme", "email:anna@acme.example").token),
        use(services, services.invitations.invite("olga").token),
    )
    waiting = services.partner_invitations.invite("acme", "dns:later.acme.example").token

    def verdicts() -> list[str]:
        return [verdict(services, one) for one in (api, anna, own)]

    done = services.partners.forbid("acme", ["dns:*.acme.example"])
    assert [one.name for one in done.outside] == ["dns:api.acme.example", "dns:later.acme.example"]
    assert verdicts() == ["client_suspended", "anna@acme.example", "olga"]
    with pytest.raises(Conflict):
        services.invitation_use.open(waiting, peer=PEER)
    with services.store.reading() as tx:
        told = [(one.action, one.facts["name"]) for one in tx.audit.walk() if one.action.startswith("member.out")]
    assert told == [("member.outside", "dns:api.acme.example"), ("member.outside", "dns:later.acme.example")]
    # Another state of the client is another matter.
    services.clients.suspend("api.acme.example")
    services.clients.resume("api.acme.example")
    assert verdicts()[0] == "client_suspended"
    services.partners.permit("acme", ["dns:api.acme.example"])
    assert verdicts() == ["api.acme.example", "anna@acme.example", "olga"]
    states = {one.member.name: str(one.member.state) for one in services.partners.members.list("acme")}
    assert states["dns:later.acme.example"] == "outside"
    services.trust.undo()
    assert verdicts()[0] == "client_suspended"
    assert [services.trust.undo().what for _ in range(3)] == [
        "client resume api.acme.example",
        "client suspend api.acme.example",
        "partner name remove acme dns:*.acme.example",
    ]
    assert verdicts() == ["api.acme.example", "anna@acme.example", "olga"]
    services.invitation_use.open(waiting, peer=PEER)


def test_a_narrower_rule_keeps_those_in_whom_it_permits(services: Services) -> None:
    inside, outside = (
        use(services, services.partner_invitations.invite("acme", f"dns:{name}.acme.example").token)
        for name in ("a.eu", "a.us")
    )
    services.partners.permit("acme", ["dns:*.eu.acme.example"])
    assert len(services.partners.forbid("acme", ["dns:*.acme.example"]).outside) == 1
    assert [verdict(services, one) for one in (inside, outside)] == ["a.eu.acme.example", "client_suspended"]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("dns:*.acme.test", "dns:a.b.ACME.test"),
        ("dns:a_b.acme.test", "dns:a_b.acme.test"),
        ("email:*@acme.test", "email:Anna@acme.TEST"),
        ("email:anna@acme.test", "email:anna@acme.test"),
        ("uri:spiffe://acme.test/*", "uri:spiffe://acme.test/orders"),
        ("uri:https://acme.test/100%25", "uri:https://acme.test/100%25"),
        ("ip:192.0.2.0/24", "ip:192.0.2.7"),
        ("ip:2001:db8::/32", "ip:2001:DB8:0::7"),
        ("dn:CN=*,O=Acme Ltd,C=GB", "dn:CN=anna,O=Acme Ltd,C=GB"),
    ],
)
def test_a_rule_of_any_kind_that_goes_keeps_out_whom_it_let_in(services: Services, rule: str, name: str) -> None:
    services.partners.permit("acme", [rule])
    made = services.trust.list()[0].id
    services.partner_invitations.invite("acme", name)
    services.partner_invitations.invite("acme", "dns:other.acme.example")
    with pytest.raises(Conflict) as caught:
        services.trust.undo(made)
    assert caught.value.code == "depended_on"
    assert [one.name for one in services.partners.forbid("acme", [rule]).outside] == [rules.parse_name(name)]


def test_a_rule_for_one_ca_alone_keeps_nobody_in(services: Services) -> None:
    anchor = services.partners.anchors.claim("acme", pki.ca("acme issuing").pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    api = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    services.partners.permit("acme", ["dns:api.acme.example"], anchor=anchor.id)
    services.partners.forbid("acme", ["dns:*.acme.example"])
    assert verdict(services, api) == "client_suspended"


def test_those_who_are_kept_hinder_no_other_change_from_being_taken_back(services: Services) -> None:
    services.partner_invitations.invite("acme", "dns:api.acme.example")
    services.partners.forbid("acme", ["dns:*.acme.example"], keep=True)
    services.partners.permit("acme", ["dns:*.more.example"])
    assert services.trust.undo().what == "partner name add acme dns:*.more.example"


def test_those_who_are_kept_stay_until_they_are_taken_off_the_list(services: Services) -> None:
    kept = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    done = services.partners.forbid("acme", ["dns:*.acme.example"], keep=True)
    assert ([one.name for one in done.outside], done.kept) == (["dns:api.acme.example"], True)
    assert services.partners.forbid("acme", ["email:*@acme.example"]).outside == ()
    assert verdict(services, kept) == "api.acme.example"
    services.partners.members.remove("acme", "dns:api.acme.example")
    assert verdict(services, kept) == "client_suspended"


def test_a_partner_does_not_let_in_again_who_is_outside(services: Services) -> None:
    """What its administrators can do on their pages: approve, take off the list and add anew, invite, renew a link."""
    out = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    link = services.partner_invitations.invite("acme", "dns:b.acme.example").invitation.id
    services.partners.forbid("acme", ["dns:*.acme.example"])
    members, invitations = services.partners.members, services.partner_invitations
    for do in (
        lambda: members.approve("acme", "dns:api.acme.example"),
        lambda: members.add("acme", "dns:api.acme.example"),
        lambda: invitations.invite("acme", "dns:api.acme.example"),
        lambda: invitations.renew_link("acme", link),
    ):
        with pytest.raises(Conflict) as caught:
            do()
        assert caught.value.code == "name_not_permitted"
    members.remove("acme", "dns:api.acme.example")
    members.add("acme", "dns:api.acme.example")
    with pytest.raises(Conflict) as caught:
        invitations.invite("acme", "dns:api.acme.example")
    assert caught.value.code == "name_not_permitted"
    assert verdict(services, out) == "client_suspended"


def test_a_change_is_not_taken_back_from_under_who_was_invited_since(services: Services) -> None:
    services.partners.permit("acme", ["dns:*.acme.test"])
    services.partner_invitations.invite("acme", "dns:api.acme.test")
    change = next(one for one in services.trust.list() if one.what.startswith("partner name add"))
    with pytest.raises(Conflict, match=r"api\.acme\.test") as caught:
        services.trust.undo(change.id)
    assert caught.value.code == "depended_on"
    # Nor is somebody put back on the list by a name that is the partner's no more.
    services.partners.members.remove("acme", "dns:api.acme.test")
    removal = services.trust.list()[0]
    services.partners.forbid("acme", ["dns:*.acme.test"])
    with pytest.raises(Conflict):
        services.trust.undo(removal.id)


def test_trying_it_names_those_who_were_never_seen(services: Services) -> None:
    api = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    services.partner_invitations.invite("acme", "dns:later.acme.example")
    found = services.trust.try_(lambda tried: tried.partners.forbid("acme", ["dns:*.acme.example"]))
    assert (found.certificates, found.outside) == (0, ("api.acme.example", "later.acme.example"))
    assert verdict(services, api) == "api.acme.example"
    assert services.trust.try_(lambda tried: tried.partners.forbid("acme", ["email:*@acme.example"])).outside == ()


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["permit", "forbid"]),
        st.sampled_from(["dns:*.acme.example", "dns:*.eu.acme.example", "dns:a.eu.acme.example", "dns:*.acme.test"]),
    ),
    st.tuples(
        st.sampled_from(["invite", "add", "approve", "member suspend", "member resume", "member remove"]),
        st.sampled_from(["dns:a.eu.acme.example", "dns:a.acme.example", "dns:a.acme.test"]),
    ),
    st.tuples(st.sampled_from(["suspend", "resume", "undo"]), st.just("")),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_what_a_partner_vouches_for_is_within_its_rules_at_every_moment(
    services: Services, steps: list[tuple[str, str]]
) -> None:
    """By whatever the operator and the partner's administrators do, in any order."""
    partner = f"p{len(services.partners.list()[0])}"
    services.partners.add(partner, names=["dns:*.acme.example"])
    chains: dict[str, list[list[bytes]]] = {}
    partners, members, invitations = services.partners, services.partners.members, services.partner_invitations

    def invite(name: str) -> None:
        chains.setdefault(name, []).append(use(services, invitations.invite(partner, name).token))

    do: dict[str, Callable[[str], object]] = {
        "permit": lambda rule: partners.permit(partner, [rule]),
        "forbid": lambda rule: partners.forbid(partner, [rule]),
        "invite": invite,
        "add": lambda name: members.add(partner, name),
        "approve": lambda name: members.approve(partner, name),
        "member suspend": lambda name: members.suspend(partner, name),
        "member resume": lambda name: members.resume(partner, name),
        "member remove": lambda name: members.remove(partner, name),
        "suspend": lambda _: partners.suspend(partner),
        "resume": lambda _: partners.resume(partner),
        "undo": lambda _: services.trust.undo(),
    }
    for step, what in steps:
        with contextlib.suppress(Conflict, NotFound):
            do[step](what)
        if partner not in {str(one.name) for one in partners.list()[0]}:
            return  # taken back itself
        rules = [(str(one.kind), one.pattern) for one in partners.show(partner).rules]
        for name, made in chains.items():
            for chain in made:
                within = names_permitted(rules, [name])[0] and partners.get(partner).state == "active"
                assert within or verdict(services, chain) == "client_suspended"


@pytest.mark.parametrize("step", ["suspend", "remove", "member"])
def test_an_open_one_opens_nothing_once_the_partner_may_not(services: Services, step: str) -> None:
    invited = services.partner_invitations.invite("acme", "dns:api.acme.example")
    if step == "member":
        services.partners.members.remove("acme", "dns:api.acme.example")
    else:
        getattr(services.partners, step)("acme")
    for do in (
        lambda: services.invitation_use.open(invited.token, peer=PEER),
        lambda: use(services, invited.token),
        lambda: services.invitation_use.progress(invited.token),
    ):
        with pytest.raises(Conflict) as caught:
            do()
        assert caught.value.code == "invitation_revoked"


def test_an_open_one_makes_nobody_more_than_the_partner_may(services: Services) -> None:
    """Whoever has the link would have the roles that an operator gave the client since."""
    invited = services.partner_invitations.invite("acme", "dns:api.acme.example")
    name = str(invited.client.name)
    services.clients.change_roles(name, add=["admin"])
    for do in (lambda: services.invitation_use.open(invited.token, peer=PEER), lambda: use(services, invited.token)):
        with pytest.raises(Conflict) as caught:
            do()
        assert caught.value.code == "invitation_revoked"
    services.clients.change_roles(name, remove=["admin"])
    use(services, invited.token)
    services.clients.change_roles(name, add=["admin"])
    assert services.invitation_use.collect(invited.token, peer=PEER).signed is not None  # it is used: nothing is given


def test_an_open_one_for_an_administrator_ends_with_the_right_to_appoint(services: Services) -> None:
    services.partners.set_appoints("acme", True)
    invited = services.partner_invitations.invite("acme", "dns:api.acme.example", roles=["partner-admin"])
    services.partners.set_appoints("acme", False)
    with pytest.raises(Conflict) as caught:
        use(services, invited.token)
    assert caught.value.code == "invitation_revoked"
    services.partners.set_appoints("acme", True)
    use(services, invited.token)


def test_who_is_out_with_the_partner_gets_nothing_new(services: Services) -> None:
    """As a suspended client: what it would get counted as soon as it is let in again."""
    chain = use(services, services.partner_invitations.invite("acme", "dns:api.acme.example").token)
    name, key = "api.acme.example", pki.fresh_key()
    invited = services.invitations.invite(name, ways=[Way.CSR])
    renew = functools.partial(services.renewals.renew, chain[0], pki.csr(key, "x"), peer=PEER)
    services.partners.forbid("acme", ["dns:*.acme.example"])
    attempts: list[Callable[[], object]] = [
        renew,
        lambda: services.invitation_use.open(invited.token, peer=PEER),
        lambda: use(services, invited.token),
        lambda: services.invitations.invite(name),
        lambda: services.enrolment.sign(name, pki.csr(key, "x")),
    ]
    for do in attempts:
        with pytest.raises(Conflict) as caught:
            do()
        assert caught.value.code == "client_suspended"
    bulk = BulkSigning(services.store, services.keys)
    (answer,) = next(bulk.sign([Given(name, pki.csr(key, "x"), "x.csr")]))
    assert answer.problem is not None
    assert answer.problem.code == "client_suspended"
    services.partners.permit("acme", ["dns:*.acme.example"])
    assert renew().client.name == name


def test_a_suspended_partner_invites_nobody(services: Services) -> None:
    id = services.partner_invitations.invite("acme", "dns:api.acme.example").invitation.id
    services.partners.suspend("acme")
    attempts: list[Callable[[], object]] = [
        lambda: services.partner_invitations.invite("acme", "dns:b.acme.example"),
        lambda: services.partner_invitations.renew_link("acme", id),
    ]
    for do in attempts:
        with pytest.raises(Conflict) as caught:
            do()
        assert caught.value.code == "partner_suspended"


@pytest.mark.parametrize("life", [timedelta(minutes=4), timedelta(days=367)])
def test_no_link_works_for_ever(services: Services, life: timedelta) -> None:
    with pytest.raises(BadInput, match="5 minutes to 366 days"):
        services.partner_invitations.invite("acme", "dns:a.acme.example", life=life)
    assert services.invitations.list().total == 0


def test_open_ones_are_bounded(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partner_invitations, "MOST_OPEN", 2)
    for name in "ab":
        services.partner_invitations.invite("acme", f"dns:{name}.acme.example")
    with pytest.raises(Conflict) as caught:
        services.partner_invitations.invite("acme", "dns:c.acme.example")
    assert caught.value.code == "too_many_invitations"
    services.partner_invitations.invite("globex", "dns:c.globex.example")
    id = services.partner_invitations.list("acme").invitations[0].opened.invitation.id
    services.partner_invitations.revoke("acme", id)
    services.partner_invitations.invite("acme", "dns:c.acme.example")


def test_the_list_is_paged_and_says_what_came_of_each(services: Services) -> None:
    for number in range(5):
        token = services.partner_invitations.invite("acme", f"dns:n{number}.acme.example").token
    use(services, token)
    first = services.partner_invitations.list("acme", limit=3)
    assert ([one.name for one in first.invitations], first.total) == (
        ["dns:n4.acme.example", "dns:n3.acme.example", "dns:n2.acme.example"],
        5,
    )
    assert [one.not_after is None for one in first.invitations] == [False, True, True]
    rest = services.partner_invitations.list("acme", limit=3, before=first.before)
    assert ([one.name for one in rest.invitations], rest.before) == (
        ["dns:n1.acme.example", "dns:n0.acme.example"],
        None,
    )
    assert services.partner_invitations.list("acme", state=InvitationState.USED).total == 1
    with pytest.raises(BadInput):
        services.partner_invitations.list("acme", limit=0)
