"""A form of operators and partners that is sent twice does once what it does, and never shows a link again."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pki
import pytest
from portal.asking import Answer, admitted, ask, asking, refused

from mutualgate.app import Services
from mutualgate.enrolment.invitations import Invitations
from mutualgate.portal import answers, sent

if TYPE_CHECKING:
    from starlette.types import ASGIApp

OPERATOR = admitted("olga", [b"x"], client_id=1, roles=("admin",))
LINK = re.compile(r"https://gate\.test/join/([A-Za-z0-9_-]{43})")
INVITE = {"name": "berta", "days": "3", "way": "csr"}


@pytest.fixture
def chief(services: Services) -> dict[str, str]:
    """What the gate says of an administrator of the partner acme; the operator is client 1."""
    services.clients.add("olga", roles=["admin"])
    services.partners.add("acme", names=["dns:*.acme.example"], roles=["orders"])
    client = services.clients.add("chief", roles=["partner-admin"])
    services.partners.members.add("acme", "dns:chief.acme.example", client="chief")
    return admitted("chief", [b"x"], client_id=client.id, roles=("partner-admin",))


def opened(page: Answer, action: str = "") -> dict[str, str]:
    """The key of a form on a page."""
    (form,) = re.findall(rf'<form [^>]*method="post"(?: action="{action}")?>(.*?)</form>', page.text, re.DOTALL)
    (key,) = re.findall(r'name="form_key" value="([^"]+)"', form)
    return {"form_key": key}


def test_an_invitation_that_is_sent_twice_is_made_once(
    portal: "ASGIApp", services: Services, chief: dict[str, str]
) -> None:
    key = opened(ask(portal, "/join/operator/invite", OPERATOR), "/join/operator/invite")
    first = ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key)
    (token,) = set(LINK.findall(first.text))
    again = ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key)
    assert (again.status, again.headers["Location"]) == (303, "/join/operator/invitations/1?again=yes")
    page = ask(portal, again.headers["Location"], OPERATOR)
    assert "Made already" in page.words
    assert "“A new link” below makes another" in page.words
    assert token not in page.text
    assert services.invitations.list().total == 1
    assert services.invitation_use.open(token, peer="192.0.2.1").client.name == "berta"
    assert "Made already" not in ask(portal, "/join/operator/invitations/1", OPERATOR).words
    # A form opened anew is another one.
    key = opened(ask(portal, "/join/operator/invite", OPERATOR), "/join/operator/invite")
    assert LINK.search(ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key).text)
    assert services.invitations.list().total == 2


def test_a_partner_s_too_and_for_nobody_else(portal: "ASGIApp", services: Services, chief: dict[str, str]) -> None:
    path = "/join/partner/acme/invite"
    form = {"name": "a.acme.example", "use": "machine", "days": "3"} | opened(ask(portal, path, chief), path)
    assert LINK.search(ask(portal, path, chief, form=form).text)
    again = ask(portal, path, chief, form=form)
    assert again.headers["Location"] == "/join/partner/acme/invitations?again=1"
    assert "Made already" in ask(portal, again.headers["Location"], chief).words
    assert services.invitations.list().total == 1
    # A key is whose page it was on.
    other = services.clients.add("deputy", roles=["partner-admin"])
    services.partners.members.add("acme", "dns:deputy.acme.example", client="deputy")
    deputy = admitted("deputy", [b"x"], client_id=other.id, roles=("partner-admin",))
    assert LINK.search(ask(portal, path, deputy, form=form).text)


@pytest.mark.parametrize("partners", [False, True])
def test_a_new_link_that_is_asked_for_twice_leaves_the_first_as_it_is(
    portal: "ASGIApp", services: Services, chief: dict[str, str], partners: bool
) -> None:
    if partners:
        services.partner_invitations.invite("acme", "dns:a.acme.example")
        who, page, path = chief, "/join/partner/acme/invitations", "/join/partner/acme/invitations/1/renew"
    else:
        services.invitations.invite("berta")
        who, page, path = OPERATOR, "/join/operator/invitations/1", "/join/operator/invitations/1/renew"
    key = opened(ask(portal, page, who), path)
    (token,) = set(LINK.findall(ask(portal, path, who, form=key).text))
    again = ask(portal, path, who, form=key)
    assert again.status == 303
    assert token not in again.text
    assert services.invitation_use.open(token, peer="192.0.2.1").invitation.id == 1


def test_a_second_click_while_the_first_is_answered_gets_the_same(
    portal: "ASGIApp", services: Services, chief: dict[str, str]
) -> None:
    """The browser throws the first answer away, which would have had the link."""
    key = opened(ask(portal, "/join/operator/invite", OPERATOR), "/join/operator/invite")

    async def twice() -> list[Answer]:
        first = asyncio.create_task(asking(portal, "/join/operator/invite", OPERATOR, form=INVITE | key))
        second = asyncio.create_task(asking(portal, "/join/operator/invite", OPERATOR, form=INVITE | key))
        while not first.done() and not services.invitations.list().total:
            await asyncio.sleep(0)
        first.cancel()
        return [await second]

    (page,) = asyncio.run(twice())
    assert LINK.search(page.text)
    assert services.invitations.list().total == 1


def test_what_was_wrong_is_corrected_on_the_same_page(
    portal: "ASGIApp", services: Services, chief: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = opened(ask(portal, "/join/operator/invite", OPERATOR), "/join/operator/invite")
    assert ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key | {"name": "../b"}).status == 400
    with monkeypatch.context() as patch:
        patch.setattr(Invitations, "invite", None)  # a defect
        assert ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key).status == 500
    assert LINK.search(ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key).text)


def test_a_form_of_before_a_restart_makes_no_second_one(
    portal: "ASGIApp", services: Services, chief: dict[str, str]
) -> None:
    """What was sent is remembered in memory: a browser that sends it again after a restart is asked to look first."""
    form = INVITE | {"form_key": "anotherprocs.abcdefgh"}
    page = ask(portal, "/join/operator/invite", OPERATOR, form=form)
    assert page.status == 400
    assert "opened before the gate was started anew" in page.words
    assert 'value="berta"' in page.text
    key = opened(page, "/join/operator/invite")
    assert services.invitations.list().total == 0
    assert LINK.search(ask(portal, "/join/operator/invite", OPERATOR, form=INVITE | key).text)
    theirs = {"name": "a.acme.example", "use": "machine", "days": "3", "form_key": form["form_key"]}
    assert "started anew" in ask(portal, "/join/partner/acme/invite", chief, form=theirs).words
    for who, path in (
        (OPERATOR, "/join/operator/invitations/1/renew"),
        (chief, "/join/partner/acme/invitations/1/renew"),
    ):
        assert ask(portal, path, who, form={"form_key": form["form_key"]}).status == 409
    assert services.invitations.list().total == 1
    laptop = pki.leaf(None, "laptop")
    services.pins.add("chief", laptop.der)
    holder = admitted("chief", [laptop.der], client_id=services.clients.get("chief").id, authority="pin")
    key = opened(ask(portal, "/join/me", holder), "/join/me/replace")
    first = ask(portal, "/join/me/replace", holder, form=key).headers["Location"]
    again = ask(portal, "/join/me/replace", holder, form={"form_key": form["form_key"]})
    assert again.status == 409
    assert "Open this page anew and ask there" in again.words
    following = refused([pki.leaf(None, "laptop").der], "unknown_issuer")
    assert ask(portal, first, following).status == 200
    # What can be done twice without harm is done.
    done = ask(portal, "/join/operator/clients/chief/suspend", OPERATOR, form={"sure": "yes"} | theirs)
    assert (done.status, services.clients.get("chief").state) == (303, "suspended")


def test_what_else_is_made_leads_to_what_it_made(portal: "ASGIApp", services: Services, chief: dict[str, str]) -> None:
    """Partners, pins, claims: the second time they would be there already, which is no error of a second click."""
    page = ask(portal, "/join/operator/partners", OPERATOR)
    form = {"name": "globex", "names": "dns:*.globex.example"} | opened(page, "/join/operator/partners")
    answered = [ask(portal, "/join/operator/partners", OPERATOR, form=form) for _ in range(2)]
    assert [(one.status, one.headers["Location"]) for one in answered] == [(303, "/join/operator/partners/globex")] * 2

    path = "/join/operator/clients/chief/accept"
    asks = ask(portal, path, OPERATOR, form={"text": pki.leaf(None, "laptop").pem.decode()})
    form = {"text": pki.leaf(None, "laptop").pem.decode(), "sure": "yes"} | opened(asks)
    assert [ask(portal, path, OPERATOR, form=form).status for _ in range(2)] == [303, 303]
    assert len(services.pins.list("chief")) == 1

    path, pem = "/join/partner/acme/cas", pki.ca("acme issuing").pem.decode()
    form = {"text": pem, "sure": "yes"} | opened(ask(portal, path, chief, form={"text": pem}))
    answered = [ask(portal, path, chief, form=form) for _ in range(2)]
    assert [(one.status, one.headers["Location"]) for one in answered] == [(303, "/join/partner/acme/cas/1")] * 2
    assert len(services.partners.anchors.list("acme")) == 1


def test_a_link_for_the_next_certificate_stays_as_it_is(
    portal: "ASGIApp", services: Services, chief: dict[str, str]
) -> None:
    """Another one would end it, in the hands of who is about to open it with the next certificate."""
    laptop, following = pki.leaf(None, "laptop"), pki.leaf(None, "laptop")
    services.pins.add("chief", laptop.der)
    who = admitted("chief", [laptop.der], client_id=services.clients.get("chief").id, authority="pin")
    page = ask(portal, "/join/me", who)
    assert "Made already" not in page.words
    key = opened(page, "/join/me/replace")
    link = ask(portal, "/join/me/replace", who, form=key).headers["Location"]
    again = ask(portal, "/join/me/replace", who, form=key)
    assert (again.status, again.headers["Location"]) == (303, "/join/me?made=yes")
    assert "Made already" in ask(portal, again.headers["Location"], who).words
    assert ask(portal, link, refused([following.der], "unknown_issuer")).status == 200
    # A form opened anew is another one.
    key = opened(ask(portal, again.headers["Location"], who), "/join/me/replace")
    newer = ask(portal, "/join/me/replace", who, form=key).headers["Location"]
    assert [ask(portal, path, refused([following.der], "unknown_issuer")).status for path in (link, newer)] == [
        404,
        200,
    ]


def test_the_oldest_are_forgotten(
    portal: "ASGIApp", services: Services, chief: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "KEPT", 1)
    path = "/join/operator/clients/chief/roles"
    keys = [opened(ask(portal, "/join/operator/clients/chief", OPERATOR), path) for _ in range(2)]
    for key in keys:
        assert ask(portal, path, OPERATOR, form={"roles": "partner-admin"} | key).status == 303
    assert ask(portal, path, OPERATOR, form={"roles": "not/a/role"} | keys[1]).status == 303
    assert ask(portal, path, OPERATOR, form={"roles": "not/a/role"} | keys[0]).status == 400


def test_each_form_of_who_is_in_has_a_key() -> None:
    templates = Path(answers.__file__).parent / "templates"
    files = [*templates.glob("operator/*.j2"), *templates.glob("partner/*.j2"), templates / "me.html.j2"]
    forms = [
        form
        for file in files
        for form in re.findall(r'<form [^\n]*?method="post".*?</form>', file.read_text(), re.DOTALL)
    ]
    assert len(forms) > 15
    assert [form for form in forms if "{{ form_key() }}" not in form] == []
