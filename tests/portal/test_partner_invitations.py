"""A partner's administrator invites its own people on the portal: within the rules, and nobody else's are there."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pki
import pytest
from portal.asking import Answer, admitted, ask

from mutualgate.app import Services
from mutualgate.model.invitation import Way
from mutualgate.portal.partner_invitations import typed

if TYPE_CHECKING:
    from starlette.types import ASGIApp

ACME, GLOBEX = "acme", "globex"
OPERATOR = admitted("olga", [b"x"], roles=("admin",))
Chiefs = dict[str, dict[str, str]]


@pytest.fixture
def chiefs(services: Services) -> Chiefs:
    """What the gate says of the administrators of two partners."""
    found = {}
    for name in (ACME, GLOBEX):
        services.partners.add(name, names=[f"dns:*.{name}.example", f"email:*@{name}.example"], roles=["orders"])
        client = services.clients.add(f"chief of {name}", roles=["partner-admin"])
        services.partners.members.add(name, f"dns:chief.{name}.example", client=f"chief of {name}")
        found[name] = admitted(f"chief of {name}", [b"x"], client_id=client.id, roles=("partner-admin",))
    return found


def get(portal: "ASGIApp", who: dict[str, str], path: str) -> Answer:
    return ask(portal, f"/join/partner{path}", who)


def post(portal: "ASGIApp", who: dict[str, str], path: str, **form: str) -> Answer:
    return ask(portal, f"/join/partner{path}", who, form=form)


FORM = {"use": "person", "days": "3", "roles": "yes", "role": "orders"}


def test_somebody_is_invited_by_a_link_that_is_shown_once(
    portal: "ASGIApp", services: Services, chiefs: Chiefs
) -> None:
    page = get(portal, chiefs[ACME], "/acme/invite")
    assert "You may vouch for dns:*.acme.example , email:*@acme.example ." in page.words
    assert "partner-admin" not in page.text
    page = post(portal, chiefs[ACME], "/acme/invite", name="anna@acme.example", **FORM)
    (link,) = re.findall(r"https://gate\.test/join/[A-Za-z0-9_-]{43}", page.text)
    opened = services.invitation_use.open(link.rpartition("/")[2], peer="192.0.2.1")
    assert (opened.client.name, opened.client.roles) == ("anna@acme.example", ("orders",))
    assert opened.invitation.ways == (Way.PAGE, Way.CSR, Way.OWN, Way.APPLE, Way.WINDOWS)
    assert (opened.invitation.by, opened.invitation.sent_to) == ("chief of acme", "")
    (code,) = re.findall(r"\b[A-Za-z0-9]{4}-[A-Za-z0-9]{4}-[A-Za-z0-9]{4}\b", page.words)
    assert services.invitation_use.open(code, peer="192.0.2.1").invitation.id == opened.invitation.id
    assert 'src="data:image/svg+xml' in page.text
    again = get(portal, chiefs[ACME], "/acme/invitations")
    assert "email:anna@acme.example" in again.words
    assert link not in again.text
    assert code not in again.text


def test_a_machine_and_a_second_code(portal: "ASGIApp", services: Services, chiefs: Chiefs) -> None:
    form = {**FORM, "use": "machine", "factor": "yes", "name": "batch.acme.example"}
    page = post(portal, chiefs[ACME], "/acme/invite", **form)
    assert "The second code" in page.words
    (one,) = services.invitations.list().invitations
    assert one.invitation.ways == (Way.CSR, Way.OWN, Way.WINDOWS, Way.COMMAND)
    assert one.invitation.has_factor


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"name": "api.globex.example"}, "is not among the names of acme"),
        ({"name": "anna@acme.example.test"}, "is not among the names of acme"),
        ({"name": ""}, "No name was given"),
        ({"name": "*.acme.example"}, "is a pattern, not a name"),
        ({"name": "<script>.acme.example"}, "is no name rule"),
        ({"role": "admin"}, "The role admin is not one that acme may give"),
        ({"role": "partner-admin"}, "The role partner-admin is not one that acme may give"),
        ({"use": "ghost"}, "who uses it"),
        ({"days": "9999"}, "cannot work for so long"),
        ({"name": "chief.acme.example"}, "has roles that acme may not give"),
    ],
)
def test_what_is_not_the_partner_s_is_refused_with_one_sentence(
    portal: "ASGIApp", services: Services, chiefs: Chiefs, form: dict[str, str], says: str
) -> None:
    page = post(portal, chiefs[ACME], "/acme/invite", **{**FORM, "name": "anna@acme.example", **form})
    assert page.status == 400
    assert says in page.words
    assert "Nobody was invited" in page.words
    assert "<script>." not in page.text
    assert services.invitations.list().total == 0


def test_who_is_outside_the_rules_is_shown_and_not_let_in_again(
    portal: "ASGIApp", services: Services, chiefs: Chiefs
) -> None:
    post(portal, chiefs[ACME], "/acme/invite", **{**FORM, "name": "anna@acme.example"})
    form = {"rule": "email:*@acme.example", "anchor": ""}
    path = "/join/operator/partners/acme/names/remove"
    tried = ask(portal, f"{path}?{urlencode(form)}", OPERATOR)
    assert "1 client that the partner invited would be outside its rules" in tried.words
    services.partners.forbid("acme", ["email:*@acme.example"])
    page = get(portal, chiefs[ACME], "/acme/clients?search=anna")
    assert "outside" in page.words
    assert "Let in" not in page.words
    assert "Invite email:anna@acme.example" not in page.words
    refused = post(portal, chiefs[ACME], "/acme/clients/approve", name="email:anna@acme.example")
    assert "is not among the names of acme" in refused.words


def test_fields_of_the_operator_s_form_are_not_listened_to(
    portal: "ASGIApp", services: Services, chiefs: Chiefs
) -> None:
    more = {
        "way": "own",
        "validity": "3650",
        "mail_to": "x@evil.test",
        "approval": "yes",
        "contact": "x",
        "partner": GLOBEX,
    }
    assert post(portal, chiefs[ACME], "/acme/invite", name="anna@acme.example", **FORM, **more).status == 200
    (one,) = services.invitations.list().invitations
    assert (one.invitation.validity, one.invitation.sent_to, one.invitation.approval) == (None, "", False)
    assert one.invitation.partner == services.partners.get(ACME).id
    assert one.client.contact == ""


def test_administrators_only_where_the_operator_allowed_it(
    portal: "ASGIApp", services: Services, chiefs: Chiefs
) -> None:
    assert ask(portal, "/join/operator/partners/acme/appoints", OPERATOR, form={"appoints": "yes"}).status == 303
    assert services.partners.get(ACME).appoints
    assert "looks after acme as you do" in get(portal, chiefs[ACME], "/acme/invite").words
    form = {**FORM, "role": "partner-admin", "name": "deputy@acme.example"}
    assert post(portal, chiefs[ACME], "/acme/invite", **form).status == 200
    deputy = services.clients.get("deputy@acme.example")
    who = admitted("deputy@acme.example", [b"x"], client_id=deputy.id, roles=("partner-admin",))
    assert get(portal, who, "/acme").status == 200
    assert get(portal, who, "/globex").status == 404
    assert ask(portal, "/join/operator/partners/acme/appoints", OPERATOR, form={"x": "y"}).status == 303
    assert not services.partners.get(ACME).appoints
    # No administrator's page changes that.
    assert post(portal, chiefs[ACME], "/acme/appoints", appoints="yes").status == 404


def test_another_s_invitations_are_not_there(portal: "ASGIApp", services: Services, chiefs: Chiefs) -> None:
    theirs = services.partner_invitations.invite(GLOBEX, "email:secret@globex.example")
    operators = services.invitations.invite("hidden")
    for path in ("/globex/invite", "/globex/invitations"):
        there, nowhere = get(portal, chiefs[ACME], path), get(portal, chiefs[ACME], path.replace("globex", "nobody"))
        assert (there.status, nowhere.status) == (404, 404)
        assert there.text.replace("globex", "") == nowhere.text.replace("nobody", "")
    assert post(portal, chiefs[ACME], "/globex/invite", name="x@globex.example", **FORM).status == 404
    for partner in (ACME, GLOBEX):
        for one in (theirs, operators):
            for step in ("revoke", "renew"):
                answer = post(portal, chiefs[ACME], f"/{partner}/invitations/{one.invitation.id}/{step}")
                assert answer.status == 404
                assert "globex.example" not in answer.text
    assert {one.invitation.state for one in services.invitations.list().invitations} == {"open"}
    services.invitation_use.open(theirs.token, peer="192.0.2.1")
    page = get(portal, chiefs[ACME], "/acme/invitations")
    assert ("secret" in page.text, "hidden@" in page.text) == (False, False)


def test_one_is_taken_back_or_gets_a_new_link(portal: "ASGIApp", services: Services, chiefs: Chiefs) -> None:
    invited = services.partner_invitations.invite(ACME, "email:anna@acme.example")
    path = f"/acme/invitations/{invited.invitation.id}"
    page = post(portal, chiefs[ACME], f"{path}/renew")
    (token,) = re.findall(r"https://gate\.test/join/([A-Za-z0-9_-]{43})", page.text)
    assert token != invited.token
    assert services.invitation_use.open(token, peer="192.0.2.1").invitation.id == invited.invitation.id
    assert post(portal, chiefs[ACME], f"{path}/revoke").headers["Location"] == "/join/partner/acme/invitations"
    assert ask(portal, f"/join/{token}").status == 410
    for step in ("revoke", "renew"):
        assert post(portal, chiefs[ACME], f"{path}/{step}").status in (409, 410)
    for wrong in (f"{path}/approve", f"{path}/decline", "/acme/invitations/x/revoke"):
        assert post(portal, chiefs[ACME], wrong).status == 404


def test_what_came_of_them_is_shown_and_they_are_paged(portal: "ASGIApp", services: Services, chiefs: Chiefs) -> None:
    for number in range(52):
        invited = services.partner_invitations.invite(ACME, f"dns:n{number:02d}.acme.example")
    services.invitation_use.sign(invited.token, pki.csr(pki.fresh_key(), "x"), way=Way.CSR, peer="192.0.2.1")
    first = get(portal, chiefs[ACME], "/acme/invitations")
    assert "52, newest first." in first.words
    assert "a CSR, until" in first.words
    assert "not seen yet" in first.words
    assert "dns:n01.acme.example" not in first.words
    page = "/join/operator/clients/n51.acme.example"
    assert "Out with its partner" not in ask(portal, page, OPERATOR).words
    services.partners.suspend(ACME)
    assert "Out with its partner" in ask(portal, page, OPERATOR).words
    services.partners.resume(ACME)
    (before,) = re.findall(r"before=(\d+)", first.text)
    assert "dns:n01.acme.example" in get(portal, chiefs[ACME], f"/acme/invitations?before={before}").words
    assert "1 used, newest first." in get(portal, chiefs[ACME], "/acme/invitations?state=used").words
    assert get(portal, chiefs[ACME], "/acme/invitations?state=odd").status == 400


def test_a_suspended_partner_and_strangers_invite_nobody(portal: "ASGIApp", services: Services, chiefs: Chiefs) -> None:
    worker = services.clients.add("worker")
    services.partners.members.add(ACME, "dns:worker.acme.example", client="worker")
    who = admitted("worker", [b"x"], client_id=worker.id)
    assert post(portal, who, "/acme/invite", name="x@acme.example", **FORM).status == 403
    elsewhere: list[dict[str, Any]] = [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {}]
    for fields in elsewhere:
        answer = ask(
            portal, "/join/partner/acme/invite", chiefs[ACME], method="POST",
            body=b"name=x%40acme.example&use=person&days=3",
            **{**fields, "Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert answer.status == 403
    services.partners.suspend(ACME)
    assert "Out with its partner" not in ask(portal, "/join/operator/clients/worker", OPERATOR).words
    answer = post(portal, chiefs[ACME], "/acme/invite", name="x@acme.example", **FORM)
    assert (answer.status, "suspended" in answer.words) == (409, True)
    assert services.invitations.list().total == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("anna@acme.example", "email:anna@acme.example"),
        ("api.acme.example", "dns:api.acme.example"),
        ("https://acme.example/orders", "uri:https://acme.example/orders"),
        ("192.0.2.7", "ip:192.0.2.7"),
        ("2001:db8::7", "ip:2001:db8::7"),
        ("CN=anna,O=Acme", "dn:CN=anna,O=Acme"),
        ("DNS:api.acme.example", "DNS:api.acme.example"),
        ("organization:PSDBE-NBB-0123456789", "organization:PSDBE-NBB-0123456789"),
    ],
)
def test_a_name_is_typed_as_people_do(text: str, name: str) -> None:
    assert typed(text) == name
