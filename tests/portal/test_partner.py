"""The pages of a partner's administrators: what is theirs, and nothing that is another's, whatever they ask for."""

import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pki
import pytest
from cryptography import x509
from portal.asking import ANONYMOUS, Answer, admitted, ask, refused
from rows import see

from mutualgate.app import Services
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.partner import Anchor, MemberState, PartnerAdmits, PartnerProfile, RevocationMode
from mutualgate.model.refusal import RefusalRecord
from mutualgate.partners.between import first_sight
from mutualgate.partners.telling import silent
from mutualgate.partners.terms import Terms, terms_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

ACME, GLOBEX = "acme", "globex"


class Companies:
    """Two partners, each with a CA, an administrator and a client; `secret` words are only in what is globex's."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.cas = {name: pki.ca(f"{name} issuing CA") for name in (ACME, GLOBEX)}
        self.anchors: dict[str, Anchor] = {}
        self.admins: dict[str, int] = {}
        for name in (ACME, GLOBEX):
            services.partners.add(name, names=[f"dns:*.{name}.example"], contact=f"ops@{name}.example")
            self.anchors[name] = self.claim(name, self.cas[name])
            self.prove(name, self.cas[name], self.anchors[name])
            services.clients.add(f"chief of {name}", roles=["partner-admin"])
            self.admins[name] = services.clients.get(f"chief of {name}").id
            services.partners.members.add(name, f"dns:chief.{name}.example", client=f"chief of {name}")
            services.partners.members.add(name, f"dns:api.{name}.example")

    def claim(self, name: str, ca: pki.Issued) -> Anchor:
        return self.services.partners.anchors.claim(name, ca.pem).anchor

    def prove(self, name: str, ca: pki.Issued, anchor: Anchor) -> None:
        assert anchor.challenge is not None
        self.services.partners.anchors.prove(name, pki.leaf(ca, anchor.challenge).pem)

    def chief(self, name: str = ACME) -> dict[str, str]:
        return admitted(f"chief of {name}", [b"x"], client_id=self.admins[name], roles=("partner-admin",))


@pytest.fixture
def companies(services: Services) -> Companies:
    return Companies(services)


def get(portal: "ASGIApp", who: dict[str, str], path: str = "") -> Answer:
    return ask(portal, f"/join/partner{path}", who)


def post(portal: "ASGIApp", who: dict[str, str], path: str, **form: str) -> Answer:
    return ask(portal, f"/join/partner{path}", who, form=form)


def test_an_administrator_sees_its_own(portal: "ASGIApp", companies: Companies) -> None:
    assert get(portal, companies.chief()).headers["Location"] == "/join/partner/acme"
    page = get(portal, companies.chief(), "/acme")
    assert "CN=acme issuing CA" in page.words
    assert "dns:api.acme.example" in page.words
    assert "dns:*.acme.example" in page.words
    assert "dns:api.acme.example" in get(portal, companies.chief(), "/acme/clients").words
    assert "globex" not in page.text


@pytest.mark.parametrize(
    "path",
    ["", "/clients", "/clients?search=api", "/cas", "/cas/{anchor}", "/cas/{anchor}/retire"],
)
def test_another_s_pages_are_not_there(portal: "ASGIApp", companies: Companies, path: str) -> None:
    theirs = path.format(anchor=companies.anchors[GLOBEX].id)
    there = get(portal, companies.chief(), f"/globex{theirs}")
    nowhere = get(portal, companies.chief(), f"/no-such-partner{theirs}")
    assert (there.status, nowhere.status) == (404, 404)
    assert there.text.replace("globex", "") == nowhere.text.replace("no-such-partner", "")
    assert "issuing CA" not in there.text


@pytest.mark.parametrize("step", ["", "/retire", "/prove"])
def test_another_s_ca_is_not_there_under_one_s_own_name(portal: "ASGIApp", companies: Companies, step: str) -> None:
    """The number of another's CA, at one's own address."""
    theirs = companies.anchors[GLOBEX]
    answer = get(portal, companies.chief(), f"/acme/cas/{theirs.id}{step}")
    assert answer.status in (404, 405)
    assert "globex" not in answer.text
    changed = post(portal, companies.chief(), f"/acme/cas/{theirs.id}{step or '/retire'}", sure="yes", text="x")
    assert changed.status in (400, 404)
    assert "globex" not in changed.text
    assert companies.services.partners.anchors.list(GLOBEX) == [
        one for one in companies.services.partners.anchors.list(GLOBEX) if one.state == "active"
    ]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/clients/suspend", {"name": "dns:api.globex.example"}),
        ("/clients/remove", {"name": "dns:api.globex.example"}),
        ("/clients/add", {"name": "dns:new.globex.example"}),
        ("/cas/{anchor}/retire", {"sure": "yes"}),
        ("/cas/{anchor}/prove", {"text": "x"}),
        ("/cas", {"text": "x", "sure": "yes"}),
    ],
)
def test_another_s_things_cannot_be_changed(
    portal: "ASGIApp", companies: Companies, path: str, form: dict[str, str]
) -> None:
    def all_of_it() -> object:
        service = companies.services.partners
        return service.show(GLOBEX), service.members.list(GLOBEX)

    before = all_of_it()
    target = path.format(anchor=companies.anchors[GLOBEX].id)
    assert post(portal, companies.chief(), f"/globex{target}", **form).status == 404
    assert all_of_it() == before
    # A name of globex's is none of acme's clients, either.
    if "suspend" in path or "remove" in path:
        assert post(portal, companies.chief(), f"/acme{target}", **form).status == 404
        assert all_of_it() == before


def test_nobody_else_comes_in(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    services.clients.add("pretender", roles=["partner-admin"])
    services.clients.add("worker")
    services.partners.members.add(ACME, "dns:worker.acme.example", client="worker")
    for who in (
        ANONYMOUS,
        admitted("pretender", [b"x"], client_id=services.clients.get("pretender").id, roles=("partner-admin",)),
        admitted("worker", [b"x"], client_id=services.clients.get("worker").id, roles=()),
    ):
        answers = [get(portal, who, path) for path in ("", "/acme", "/no-such-partner")]
        assert [answer.status for answer in answers] == [403, 403, 403]
        assert "issuing CA" not in answers[1].text


def test_who_left_the_partner_looks_after_it_no_more(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    member = services.partners.members.list(ACME, search="chief")[0].member
    with services.store.transaction() as tx:
        tx.members.put(replace(member, state=MemberState.PENDING))
    assert get(portal, companies.chief(), "/acme").status == 403
    services.partners.members.remove(ACME, "dns:chief.acme.example")
    assert get(portal, companies.chief(), "/acme").status == 403


def test_who_looked_after_a_partner_that_is_gone_does_not_look_after_its_namesake(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    services.partners.remove(ACME)
    assert get(portal, companies.chief()).status == 403
    services.partners.add(ACME, names=["dns:*.acme.test"])
    assert get(portal, companies.chief(), "/acme").status == 403
    assert post(portal, companies.chief(), "/acme/clients/add", name="dns:x.acme.test").status == 403
    assert services.partners.members.list(ACME) == []


def test_a_ca_is_claimed_and_proved(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    chief, new = companies.chief(), pki.ca("acme next CA")
    seen = post(portal, chief, "/acme/cas", text=new.pem.decode())
    assert "CN=acme next CA" in seen.words
    assert "Trusting it means" in seen.words
    assert len(services.partners.anchors.list(ACME)) == 1
    (pem,) = re.findall(r'name="text" value="([^"]+)"', seen.text)
    # What only operators may say is not listened to.
    form = {"shared": "yes", "depth": "1", "leaf_limit": "3000", "revocation": "fail", "environment": "test"}
    place = post(portal, chief, "/acme/cas", text=unescape(pem), sure="yes", **form).headers["Location"]
    anchor = services.partners.anchors.list(ACME)[1]
    assert place == f"/join/partner/acme/cas/{anchor.id}"
    assert (anchor.state, anchor.shared, anchor.depth, anchor.environment) == ("pending", False, 0, "")
    assert anchor.leaf_limit.days == 90
    page = get(portal, chief, f"/acme/cas/{anchor.id}")
    assert anchor.challenge is not None
    assert anchor.challenge in page.words
    wrong = post(portal, chief, f"/acme/cas/{anchor.id}/prove", text=pki.leaf(new, "something else").pem.decode())
    assert wrong.status == 400
    # Only operators let a claim count without a proof.
    assert post(portal, chief, f"/acme/cas/{anchor.id}/approve", without_proof="yes").status == 404
    assert services.partners.anchors.list(ACME)[1].state == "pending"
    proof = pki.leaf(new, anchor.challenge)
    assert post(portal, chief, f"/acme/cas/{anchor.id}/prove", text=proof.pem.decode()).status == 303
    # Proved, and an operator's to approve: who has an administrator's certificate alone adds no CA.
    assert services.partners.anchors.list(ACME)[1].proved
    page = get(portal, chief, f"/acme/cas/{anchor.id}")
    assert "It is proved, and waits for an operator" in page.words
    assert "proved, waits for the operator" in get(portal, chief, "/acme").words
    assert post(portal, chief, f"/acme/cas/{anchor.id}/approve", sure="yes", without_proof="yes").status == 404
    assert "is proved and waits for you" in ask(portal, "/join/operator", OPERATOR).words
    asked = operator(portal, f"/acme/cas/{anchor.id}/approve")
    assert "Let the CA CN=acme next CA of acme count?" in asked.words
    assert operator(portal, f"/acme/cas/{anchor.id}/approve", sure="yes").status == 303
    assert services.partners.anchors.list(ACME)[1].state == "active"
    with services.store.reading() as tx:
        last = tx.audit.last()
    assert last is not None
    assert (last.by, last.action, last.facts["proved"]) == ("olga", "anchor.approve", True)
    assert post(portal, chief, f"/acme/cas/{companies.anchors[ACME].id}/retire", on="2026-07-01").status == 400
    post(portal, chief, f"/acme/cas/{companies.anchors[ACME].id}/retire", on="2026-07-01", sure="yes")
    assert services.partners.anchors.list(ACME)[0].state == "retiring"


def test_a_partner_s_clients_get_the_roles_that_the_operator_gave(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    services.clients.add("olga", roles=["admin"])
    services.partners.set_roles(ACME, ["orders"])
    form = {"client": "olga", "roles": "admin", "role": "admin"}
    assert post(portal, companies.chief(), "/acme/clients/add", name="dns:new.acme.example", **form).status == 303
    (new,) = services.partners.members.list(ACME, search="new.")
    assert new.client is not None
    assert (new.client.name, new.client.roles) == ("new.acme.example", ("orders",))


@pytest.mark.parametrize("name", ["dns:payroll", "dns:api.globex.example", "email:boss@acme.example", "dn:CN=olga"])
def test_a_partner_lists_nobody_whom_it_may_not_vouch_for(
    portal: "ASGIApp", companies: Companies, services: Services, name: str
) -> None:
    """It would choose what clients of ours are called, and could suspend them."""
    before = services.clients.list().total
    answer = post(portal, companies.chief(), "/acme/clients/add", name=name)
    assert (answer.status, "is not among the names of acme" in answer.words) == (409, True)
    assert services.clients.list().total == before


def test_a_payment_service_provider_lists_whom_its_rules_name(portal: "ASGIApp", services: Services) -> None:
    """And nobody else: the judge knows identifiers of organisations, too."""
    one, other = "organization:PSDBE-NBB-0123456789", "organization:PSDFR-ACPR-15930"
    services.partners.add("bank", names=[one], profile=PartnerProfile.PSD2)
    chief = services.clients.add("chief", roles=["partner-admin"])
    services.partners.permit("bank", ["organization:PSDBE-NBB-1"])
    services.partners.members.add("bank", "organization:PSDBE-NBB-1", client="chief")
    who = admitted("chief", [b"x"], client_id=chief.id, roles=("partner-admin",), partner="bank")
    assert post(portal, who, "/bank/clients/add", name=other).status == 409
    assert post(portal, who, "/bank/clients/add", name=one).status == 303


def test_a_partner_lifts_no_suspension(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    """R27: not by resuming, nor by taking the client off the list and adding it anew."""
    name, chief = "dns:api.acme.example", companies.chief()
    assert post(portal, chief, "/acme/clients/suspend", name=name).status == 303
    assert post(portal, chief, "/acme/clients/resume", name=name).status == 404
    for spelt in (name, "DNS: API.acme.example"):
        assert post(portal, chief, "/acme/clients/remove", name=spelt).status == 409
    (member,) = services.partners.members.list(ACME, search="api.")
    assert member.client is not None
    assert member.client.state == "suspended"
    services.partners.suspend(ACME)
    assert "Suspended" in get(portal, chief, "/acme").words
    for path, form in (("/clients/add", {"name": "dns:x.acme.example"}), ("/cas", {"text": "x"})):
        assert post(portal, chief, f"/acme{path}", **form).status == 409


def test_a_partner_locks_out_neither_itself_nor_the_operator(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    services.clients.add("olga", roles=["admin"])
    services.partners.members.add(ACME, "dns:olga.acme.example", client="olga")
    for name in ("dns:chief.acme.example", "dns:olga.acme.example", "DNS:Chief.acme.example", "dns: olga.ACME.example"):
        for step in ("suspend", "remove"):
            assert post(portal, companies.chief(), f"/acme/clients/{step}", name=name).status == 409
    assert services.clients.get("olga").state == "active"


def test_one_that_waits_is_let_in(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    from mutualgate.partners.members import first_sight

    services.partners.set_admits(ACME, PartnerAdmits.APPROVAL)
    leaf = pki.leaf(companies.cas[ACME], "x", sans=["new.acme.example"])
    with services.store.transaction() as tx:
        first_sight(tx, services.partners.get(ACME).id, leaf.certificate, at=services.clock())
    assert "Seen, and waiting to be let in dns:new.acme.example" in re.sub(
        r" Clients, waiting Name .*? done ", " ", get(portal, companies.chief(), "/acme").words
    )
    assert post(portal, companies.chief(), "/acme/clients/approve", name="dns:new.acme.example").status == 303
    assert services.clients.get("new.acme.example").state == "active"


def test_one_that_waits_is_let_in_only_while_the_partner_may_vouch_for_it(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    from mutualgate.partners.members import first_sight

    name, chief = "dns:new.acme.example", companies.chief()
    services.partners.set_admits(ACME, PartnerAdmits.APPROVAL)
    leaf = pki.leaf(companies.cas[ACME], "x", sans=["new.acme.example"])
    with services.store.transaction() as tx:
        first_sight(tx, services.partners.get(ACME).id, leaf.certificate, at=services.clock())
    services.partners.forbid(ACME, ["dns:*.acme.example"])
    answer = post(portal, chief, "/acme/clients/approve", name=name)
    assert (answer.status, "is not among the names of acme" in answer.words) == (409, True)
    services.partners.permit(ACME, ["dns:*.acme.example"])
    assert post(portal, chief, "/acme/clients/approve", name=name).status == 303


def test_who_was_refused_lately_waits_as_soon_as_clients_are_approved(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    """The gate tells of a certificate once an hour: the next page would have nobody to let in for as long."""
    services.partners.set_admits(ACME, PartnerAdmits.LISTED)
    shown = {
        "waits": pki.leaf(companies.cas[ACME], "w", sans=["waits.acme.example"]),
        "forbidden": pki.leaf(companies.cas[ACME], "f", sans=["forbidden.example"]),
        "stranger": pki.leaf(None, "s", sans=["stranger.acme.example"]),
        "globex": pki.leaf(companies.cas[GLOBEX], "g", sans=["other.globex.example"]),
        "expired": pki.leaf(companies.cas[ACME], "e", sans=["expired.acme.example"]),
    }
    records = []
    for number, (name, leaf) in enumerate(shown.items()):
        reason = "expired" if name == "expired" else "not_enrolled"
        fingerprint = see(services.store, leaf.chain_der, at=services.clock(), reason=reason)
        records.append(
            RefusalRecord(f"7K3M9QW2XT5B8N{number:02d}", services.clock(), reason, "", fingerprint=fingerprint)
        )
    with services.store.transaction() as tx:
        tx.refusals.add_many(records)
    assert services.partners.members.list(ACME, state=MemberState.PENDING) == []
    assert operator(portal, "/acme/admits", admits="approval", sure="yes").status == 303
    page = operator(portal, "/acme")
    assert re.search(r"dns:waits\.acme\.example waiting", page.words)
    waiting = services.partners.members.list(ACME, state=MemberState.PENDING)
    assert [one.member.name for one in waiting] == ["dns:waits.acme.example"]
    assert "dns:waits.acme.example" in get(portal, companies.chief(), "/acme").words
    assert services.partners.members.list(GLOBEX, state=MemberState.PENDING) == []


def test_a_ca_under_which_nobody_could_come_in_is_told_so_before_it_is_claimed(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    unsound = x509.NameConstraints([x509.UniformResourceIdentifier("https://acme.example/")], None)
    pem = pki.ca("acme next CA", more=[unsound]).pem.decode()
    chief = companies.chief()
    for page in (
        post(portal, chief, "/acme/cas", text=pem),
        post(portal, chief, "/acme/cas", text=pem, sure="yes"),
        operator(portal, "/acme/cas", text=pem),
    ):
        assert page.status == 400
        assert "lets nobody in as a CA: it has a name constraint that means nothing" in page.words
    assert [one.subject for one in services.partners.anchors.list(ACME)] == ["CN=acme issuing CA"]


def test_a_ca_that_is_claimed_anew_keeps_what_the_operator_asked_for(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    anchors, chief, pem = services.partners.anchors, companies.chief(), companies.cas[ACME].pem.decode()
    id = companies.anchors[ACME].id
    wanted = Terms(environment="test", revocation=RevocationMode.FAIL, depth=1, hold=True)
    anchors.set(ACME, id, lambda _: wanted)
    assert post(portal, chief, f"/acme/cas/{id}/retire", sure="yes").status == 303
    assert post(portal, chief, "/acme/cas", text=pem, sure="yes").status == 303
    (anchor,) = anchors.list(ACME)
    assert (anchor.state, anchor.approval, anchor.shared) == ("pending", True, False)
    assert terms_of(anchor) == wanted


def test_a_handshake_proves_a_ca(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    """Nothing is uploaded, and whoever shows the certificate need not be known."""
    new = pki.ca("acme next CA")
    post(portal, companies.chief(), "/acme/cas", text=new.pem.decode(), sure="yes")
    theirs = services.partners.anchors.list(ACME)[1]
    operators = companies.claim(GLOBEX, pki_globex := pki.ca("globex next CA"))
    assert theirs.challenge is not None
    assert operators.challenge is not None

    def show(leaf: pki.Issued, method: str = "POST", **fields: Any) -> Answer:
        return ask(portal, "/join/prove", refused(leaf.chain_der, "unknown_issuer"), method=method, **fields)

    for wrong, status in (
        (pki.leaf(new, "something else"), 404),
        (pki.leaf(new, "mutualgate-proof-aaaaaaaaaaaaaaaa"), 404),
        (pki.leaf(pki_globex, theirs.challenge), 400),
        (pki.leaf(None, theirs.challenge), 400),
    ):
        assert show(wrong).status == status
    assert ask(portal, "/join/prove", method="POST").status == 400
    proof = pki.leaf(new, "x", sans=[f"{theirs.challenge}.acme.example"])
    assert show(proof, Sec_Fetch_Site="cross-site").status == 403
    assert "Prove the CA with it" in show(proof, "GET").words
    assert not services.partners.anchors.list(ACME)[1].proved
    # A partner's own claim waits for the operator, an operator's counts.
    assert "counts once an operator has approved it" in show(proof).words
    assert services.partners.anchors.list(ACME)[1].proved
    said = show(pki.leaf(pki_globex, operators.challenge), accept="*/*").text
    assert "The CA CN=globex next CA of globex is proved.\nIt counts from now on." in said
    assert services.partners.anchors.list(GLOBEX)[1].state == "active"
    assert show(proof).status == 404


# --- the operator's side of the same ---

OPERATOR = admitted("olga", [b"x"], client_id=99, roles=("admin",))


def operator(portal: "ASGIApp", path: str, **form: str) -> Answer:
    return ask(portal, f"/join/operator/partners{path}", OPERATOR, form=form or None)


def test_an_operator_adds_a_partner(portal: "ASGIApp", services: Services) -> None:
    wrong = operator(portal, "", name="Initech!", names="dns:*.initech.example")
    assert wrong.status == 400
    assert "cannot be a partner&#39;s name" in wrong.text
    assert "dns:*.initech.example</textarea>" in wrong.text
    wide = operator(portal, "", name="initech", names="dns:*.example\ndn:CN=*,O=Initech Ltd\r\n", admits="rule")
    assert wide.status == 400
    assert "too wide" in wide.words
    made = operator(portal, "", name="initech", names="dns:*.initech.example\r\ndn:CN=*,O=Initech Ltd", admits="rule")
    assert made.headers["Location"] == "/join/operator/partners/initech"
    view = services.partners.show("initech")
    assert [rule.text for rule in view.rules] == ["dns:*.initech.example", "dn:CN=*,O=Initech Ltd"]
    assert view.partner.admits == "rule"
    assert "initech" in operator(portal, "").words


def test_an_operator_looks_after_any_of_them(portal: "ASGIApp", companies: Companies, services: Services) -> None:
    assert "CN=globex issuing CA" in operator(portal, "/globex").words
    assert operator(portal, "/nobody").status == 404
    more = {"names": "email:*@globex.example", "anchor": ""}
    assert "Let globex vouch for this name?" in operator(portal, "/globex/names", **more).words
    assert len(services.partners.show(GLOBEX).rules) == 1
    assert operator(portal, "/globex/names", **more, sure="yes").status == 303
    assert "email:*@globex.example" in operator(portal, "/globex").words
    question = operator(portal, "/globex/names/remove?rule=email%3A*%40globex.example&anchor=")
    assert "Take email:*@globex.example away from globex?" in question.words
    assert operator(portal, "/globex/names/remove?rule=dns%3Ax.example&anchor=").status == 404
    form = {"rule": "email:*@globex.example", "anchor": ""}
    assert operator(portal, "/globex/names/remove", **form).status == 400
    assert operator(portal, "/globex/names/remove", sure="yes", **form).status == 303
    assert [rule.text for rule in services.partners.show(GLOBEX).rules] == ["dns:*.globex.example"]
    assert "Admit under globex who was enumerated?" in operator(portal, "/globex/admits", admits="listed").words
    assert services.partners.get(GLOBEX).admits == "approval"
    operator(portal, "/globex/admits", admits="listed", sure="yes")
    operator(portal, "/globex/roles", roles="orders")
    assert services.partners.get(GLOBEX).admits == "listed"
    assert services.partners.get(GLOBEX).roles == ("orders",)
    assert operator(portal, "/globex/suspend", no="x").status == 400
    operator(portal, "/globex/suspend", sure="yes")
    assert services.partners.get(GLOBEX).state == "suspended"
    operator(portal, "/globex/resume", sure="yes")
    operator(portal, "/globex/clients/suspend", name="dns:api.globex.example")
    operator(portal, "/globex/clients/resume", name="dns:api.globex.example")
    assert services.clients.get("api.globex.example").state == "active"
    assert operator(portal, "/globex/remove", sure="yes").headers["Location"] == "/join/operator/partners"
    assert operator(portal, "/globex").status == 404


@pytest.mark.parametrize("step", ["remove", "replace"])
def test_a_link_of_somebody_else_s_asks_for_no_rule_that_is_not_there(
    portal: "ASGIApp", companies: Companies, step: str
) -> None:
    """Such a link tries nothing; and its words would stand in the question."""
    for rule, status in (("dns%3A*.acme.example", 200), ("all+that+is+in+your+way", 404)):
        path = f"/join/operator/partners/acme/names/{step}?rule={rule}&anchor="
        assert ask(portal, path, OPERATOR, Sec_Fetch_Site="cross-site").status == status


def test_a_ca_that_is_none_is_no_error_of_ours(portal: "ASGIApp", companies: Companies) -> None:
    for site in ("same-origin", "cross-site"):
        path = "/join/operator/partners/acme/cas/999/approve"
        assert ask(portal, path, OPERATOR, Sec_Fetch_Site=site).status == 404
    assert operator(portal, "/acme/names/remove?rule=dns%3A*.acme.example&anchor=one").status == 400
    assert operator(portal, "/acme/names", names="dns:a.acme.example", anchor="one").status == 400
    assert "Nothing was chosen or pasted" in operator(portal, "/acme/cas", text=" ").words
    for step in ("add", "approve"):
        assert operator(portal, f"/acme/clients/{step}", name="").status in (400, 404)


def test_an_operator_lets_a_claim_count_without_proof_only_in_so_many_words(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    anchor = companies.claim(ACME, pki.ca("acme next CA"))
    assert "CN=acme next CA" in operator(portal, "").words
    assert "count without a proof?" in operator(portal, f"/acme/cas/{anchor.id}/approve").words
    assert operator(portal, f"/acme/cas/{anchor.id}/approve", without_proof="yes").status == 400
    assert operator(portal, f"/acme/cas/{anchor.id}/approve", sure="yes").status == 409
    assert services.partners.anchors.list(ACME)[1].state == "pending"
    assert operator(portal, f"/acme/cas/{anchor.id}/approve", without_proof="yes", sure="yes").status == 303
    assert services.partners.anchors.list(ACME)[1].state == "active"
    terms = {"depth": "1", "revocation": "fail", "environment": "test", "leaf_limit": "30", "sure": "yes"}
    pem = pki.ca("acme third CA").pem.decode()
    assert operator(portal, "/acme/cas", text=pem, **terms).status == 303
    third = services.partners.anchors.list(ACME)[2]
    assert (third.depth, third.revocation, third.environment, third.leaf_limit.days) == (1, "fail", "test", 30)
    assert operator(portal, "/acme/cas", text=pem, sure="yes", leaf_limit="many").status == 400
    assert operator(portal, f"/acme/cas/{companies.anchors[GLOBEX].id}").status == 404


def test_an_operator_allows_a_new_ca_below_a_partner_s_and_a_partner_does_not(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    root = pki.ca("acme root")
    claimed = services.partners.anchors.claim(ACME, root.pem, terms=Terms(depth=1, hold=True)).anchor
    services.partners.anchors.approve(ACME, claimed.id, without_proof=True)
    sub = pki.ca("acme sub", parent=root)
    with services.store.transaction() as tx:
        first_sight(tx, [pki.leaf(sub, "x").der, sub.der], at=services.clock(), tell=silent)
    assert "CN=acme sub" in operator(portal, "").words
    assert "a CA below it waits" in operator(portal, "/acme").words
    page = operator(portal, f"/acme/cas/{claimed.id}")
    assert "CN=acme sub" in page.words
    assert "Allow it" in page.words
    spki = spki_fingerprint(sub.certificate)
    chief = companies.chief()
    assert "CN=acme sub" in get(portal, chief, f"/acme/cas/{claimed.id}").words
    assert "Allow it" not in get(portal, chief, f"/acme/cas/{claimed.id}").words
    assert post(portal, chief, f"/acme/cas/{claimed.id}/allow", spki=spki.hex()).status == 404
    assert operator(portal, f"/acme/cas/{claimed.id}/allow", spki="zz").status == 400
    assert services.partners.between.waiting()
    assert operator(portal, f"/acme/cas/{claimed.id}/allow", spki=spki.hex()).status == 303
    assert services.partners.between.waiting() == []


def test_a_partner_sees_refusals_and_ends_under_its_cas_alone(
    portal: "ASGIApp", companies: Companies, services: Services
) -> None:
    for name in (ACME, GLOBEX):
        leaf = pki.leaf(companies.cas[name], f"robot of {name}")
        see(services.store, leaf.chain_der, at=services.clock(), reason="expired", subject="x", count=1)
        record = RefusalRecord(
            f"REFUSAL{name.upper()}",
            services.clock(),
            "expired",
            "why",
            subject=f"CN=robot of {name}",
            fingerprint=hashlib.sha256(leaf.der).digest(),
        )
        with services.store.transaction() as tx:
            tx.refusals.add_many([record])
        theirs = services.clients.get(f"chief of {name}").id
        good = pki.leaf(companies.cas[name], f"chief of {name}")
        end = services.clock() + timedelta(days=3)
        see(services.store, good.chain_der, at=end, subject=f"CN=app of {name}", client=theirs, not_after=end)
    page = get(portal, companies.chief(), "/acme")
    assert "robot of acme" in page.words
    assert "app of acme" in page.words
    assert "globex" not in page.text.lower()
    # The operator's page of the same refusal is not for partners.
    assert ask(portal, "/join/operator/refusals/REFUSALACME", companies.chief()).status == 403
