"""Who am I: let in, refused, hidden by the browser, or nobody; and the instructions."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from portal.asking import ANONYMOUS, HTML, JSON, TEXT, admitted, ask, refused

from mutualgate.app import Services
from mutualgate.portal.systems import Guide

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LEAF = pki.leaf(pki.ca("issuing"), "ann", days=90)


def test_who_is_let_in_sees_as_whom_and_until_when(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7, roles=("staff", "ops")))
    assert "You are ann" in page.words
    assert "Roles staff, ops" in page.words
    assert "Lets you in until 30 August 2026 (90 days left)" in page.words
    assert "It ends soon" not in page.words
    told = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7), accept=JSON).json
    assert (told["verdict"], told["client"], told["client_id"]) == ("admitted", "ann", 7)
    assert told["not_after"] == "2026-08-30T12:00:00Z"
    assert ask(portal, "/join/me", admitted("ann", LEAF.chain_der), accept=TEXT).text.startswith("You are ann.\n")


def test_one_that_ends_soon_is_warned(portal: "ASGIApp", clock: Hands) -> None:
    clock.move(timedelta(days=61))
    page = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7))
    assert "It ends soon" in page.words
    assert "(29 days left)" in page.words
    clock.move(timedelta(days=28))
    assert "(1 day left)" in ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7)).words
    clock.move(timedelta(hours=13))
    assert "(less than a day left)" in ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7)).words


def test_who_is_refused_sees_why(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me", refused(LEAF.chain_der, "expired", "It ended on 3 May.", known=True))
    assert "Your certificate is not let in It ended on 3 May. The certificate" in page.words
    assert "What to do Renew the certificate and use the new one." in page.words
    stranger = refused(LEAF.chain_der, "revoked", "Serial 7 was revoked.", known=False)
    for accept in (HTML, JSON, TEXT):
        assert "Serial 7" not in ask(portal, "/join/me", stranger, accept=accept).text
    assert "Your certificate is not let in The certificate was revoked" in ask(portal, "/join/me", stranger).words
    by_itself = ask(portal, "/join/me", refused([pki.leaf(None, "laptop").der], "unknown_issuer")).words
    assert "The certificate is self-signed, or issued by an authority that is not known here." in by_itself
    assert "its intermediates with it, if it has any; or ask the operator to accept the one that you have" in by_itself


def test_nobody_is_told_what_it_can_mean_and_is_asked_anew(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me")
    assert "This browser showed no certificate" in page.words
    assert page.headers["Mutualgate-Close"] == "yes"
    assert "Set-Cookie" not in page.headers
    assert ask(portal, "/join/me", accept=TEXT).text.startswith("No certificate was shown.\n")


def test_a_browser_that_was_in_is_known_again(portal: "ASGIApp", clock: Hands) -> None:
    was = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7))
    cookie = was.headers["Set-Cookie"].partition(";")[0]
    assert "It was let in before" in ask(portal, "/join/me", Cookie=cookie).words
    clock.move(timedelta(days=120))
    page = ask(portal, "/join/me", Cookie=cookie)
    assert "The one you used last expired on 30 August 2026" in page.words
    assert "Renew it. Ask whoever invited you for a new invitation, and open its link or type its code ." in page.words
    assert 'href="/join/">type its code</a>' in page.text
    forged = cookie.replace("was=7.", "was=8.")
    assert "This browser showed no certificate" in ask(portal, "/join/me", Cookie=forged).words


@pytest.mark.parametrize("guide", list(Guide))
def test_each_browser_and_program_has_its_instructions(portal: "ASGIApp", guide: Guide) -> None:
    page = ask(portal, f"/join/help/{guide.value}")
    assert page.status == 200
    first = page.words.index(guide.called)
    assert all(first <= page.words.index(other.called) for other in Guide)
    # Pictures are ours, and say nothing that the text does not.
    assert page.text.count("<figure") == page.text.count('aria-hidden="true"><svg')
    assert "<img" not in page.text


def test_instructions_begin_with_this_browser_s(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/help", User_Agent="Mozilla/5.0 (Windows NT 10.0; rv:153.0) Gecko/20100101 Firefox/153.0")
    assert page.words.index("Firefox on a computer") < page.words.index("Chrome or Edge on Windows")
    assert ask(portal, "/join/help/amiga").status == 404
    assert ask(portal, "/join/help", accept=JSON).json["curl"] == "https://gate.test/join/help/curl"
    assert "curl --cert" in ask(portal, "/join/help", accept=TEXT).text


# Renewal


def issued(services: Services, name: str = "ann") -> bytes:
    signed = services.enrolment.sign(name, pki.csr(pki.fresh_key()))
    return signed.certificate.public_bytes(Encoding.DER)


def test_the_old_one_proves_whose_the_next_is(portal: "ASGIApp", services: Services) -> None:
    ann = services.clients.add("ann")
    who = admitted("ann", [issued(services)], client_id=ann.id)
    page = ask(portal, "/join/me/renew", who)
    assert "Renew your certificate" in page.words
    assert 'data-send="/join/me/renew"' in page.text
    told = ask(
        portal, "/join/me/renew", who, method="POST", accept=JSON, body=pki.csr(pki.fresh_key()),
        Sec_Fetch_Site="same-origin", Content_Type="application/pkcs10",
    )  # fmt: skip
    assert told.status == 200
    leaf = x509.load_pem_x509_certificates(told.json["pem"].encode())[0]
    assert leaf.subject.rfc4514_string() == "CN=ann"
    view = services.clients.show("ann")
    assert len(view.credentials) == 2
    # The test then looks for the new one.
    probe = re.search(r'data-probe="([^"]+)"', page.text)
    assert probe is not None
    assert ask(portal, probe[1], who, accept=JSON).json["code"] == "old_certificate"
    new = admitted("ann", [leaf.public_bytes(Encoding.DER)], client_id=ann.id)
    answer = ask(portal, probe[1], new, accept=JSON)
    assert answer.json["good"] is True
    assert answer.headers["Mutualgate-Close"] == "yes"


def test_one_that_was_renewed_is_not_offered_to_be_renewed_again(portal: "ASGIApp", services: Services) -> None:
    ann = services.clients.add("ann")
    leaf = issued(services)
    who = admitted("ann", [leaf], client_id=ann.id)
    assert "Make the next key here" in ask(portal, "/join/me", who).words
    services.renewals.renew(leaf, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    page = ask(portal, "/join/me", who)
    assert "Lets you in until 8 June 2026 (7 days left)" in page.words
    assert "It was renewed on 1 June 2026. Use the newer one" in page.words
    assert "Make the next key here" not in page.words
    assert "It ends soon" not in page.words
    text = ask(portal, "/join/me", who, accept=TEXT).text
    assert "It lets you in until 8 June 2026.\nIt was renewed on 1 June 2026: use the newer one." in text
    assert ask(portal, "/join/me", who, accept=JSON).json["not_after"] == "2026-06-08T12:00:00Z"


def test_one_that_is_not_listed_is_not_offered_to_be_renewed(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7))
    assert "Make the next key here" not in page.words
    assert "ask the operator for an invitation" in page.words


def test_one_that_has_expired_says_how_it_is_renewed_still(portal: "ASGIApp", services: Services, clock: Hands) -> None:
    services.clients.add("ann")
    leaf = issued(services)
    clock.move(timedelta(days=370))
    who = refused([leaf], "expired", "It ended.", known=True)
    command = "--data-binary @- -o renewed.pem https://gate.test/join/renew"
    page = ask(portal, "/join/me", who)
    assert "it is renewed without an invitation, for its own key" in page.words
    assert command in page.words
    assert 'href="/join/">type its code</a>' in page.text
    assert command in ask(portal, "/join/me", who, accept=TEXT).text
    # The grace is over; nobody here renews what is not ours.
    clock.move(timedelta(days=30))
    for late in (who, refused(LEAF.chain_der, "expired", "It ended.", known=True)):
        page = ask(portal, "/join/me", late)
        assert command not in page.text
        assert "Renew the certificate and use the new one." in page.words
        assert command not in ask(portal, "/join/me", late, accept=TEXT).text


def test_nothing_is_renewed_for_who_proves_nothing(portal: "ASGIApp", services: Services) -> None:
    services.clients.add("ann")
    leaf = issued(services)
    for who in (refused([leaf], "revoked"), refused([leaf], "expired", known=True), ANONYMOUS):
        for method in ("GET", "POST"):
            answer = ask(
                portal, "/join/me/renew", who, method=method, accept=JSON, body=pki.csr(pki.fresh_key()),
                Sec_Fetch_Site="same-origin", Content_Type="application/pkcs10",
            )  # fmt: skip
            assert (answer.status, answer.json["code"]) == (403, "nothing_to_renew")
    assert len(services.clients.show("ann").credentials) == 1


def test_another_site_renews_nothing(portal: "ASGIApp", services: Services) -> None:
    ann = services.clients.add("ann")
    who = admitted("ann", [issued(services)], client_id=ann.id, authority="pin")
    for path in ("/join/me/renew", "/join/me/replace"):
        answer = ask(
            portal, path, who, method="POST", accept=JSON, body=pki.csr(pki.fresh_key()),
            Sec_Fetch_Site="cross-site", Content_Type="application/pkcs10",
        )  # fmt: skip
        assert (answer.status, answer.json["code"]) == (403, "cross_site")


def test_a_partner_s_is_renewed_by_the_partner(portal: "ASGIApp") -> None:
    who = admitted("ann", LEAF.chain_der, client_id=7, authority="partner acme", partner="acme")
    assert "It is from acme, who renews it" in ask(portal, "/join/me", who).words
    assert ask(portal, "/join/me/renew", who, accept=JSON).json["code"] == "not_renewable"


def test_one_of_one_s_own_is_replaced_by_the_next(portal: "ASGIApp", services: Services) -> None:
    invited = services.invitations.invite("ann")
    now, following = pki.leaf(None, "laptop", days=900), pki.leaf(None, "laptop")
    services.invitation_use.own(invited.token, [now.der], peer="192.0.2.7")
    who = admitted("ann", [now.der], client_id=invited.client.id, authority="pin")
    page = ask(portal, "/join/me", who)
    assert "Use another of my own" in page.words
    # The pin ends before the certificate does.
    assert "Lets you in until 4 July 2027 (398 days left)" in page.words
    assert "Use another of my own" not in ask(portal, "/join/me", {**who, "Mutualgate-Authority": "issuing"}).words
    there = ask(portal, "/join/me/replace", who, form={})
    assert (there.status, there.headers["Location"].endswith("/own")) == (303, True)
    told = ask(portal, "/join/me/replace", who, method="POST", accept=JSON).json
    path = told["link"].removeprefix("https://gate.test")
    answer = ask(portal, f"{path}/own", refused([following.der], "unknown_issuer"), method="POST", accept=TEXT)
    assert answer.status == 200
    assert len(services.pins.list("ann")) == 2
    again = ask(portal, "/join/me/replace", who, form={})
    assert (again.status, "was replaced already" in again.words) == (409, True)


def test_one_for_one_environment_is_replaced_by_another_of_one_s_own(portal: "ASGIApp", services: Services) -> None:
    """A certificate of ours would be for all sites."""
    ann = services.clients.add("ann")
    leaf = pki.leaf(None, "laptop")
    services.pins.add("ann", leaf.der, environment="test")
    page = ask(portal, "/join/me", admitted("ann", [leaf.der], client_id=ann.id, authority="pin"))
    assert "Make the next key here" not in page.words
    assert "Replace it by the next certificate of your own: Use another of my own" in page.words


def test_nothing_moves_the_cursor_of_a_terminal(portal: "ASGIApp") -> None:
    who = refused(LEAF.chain_der, "expired", "It ended.\x1b[2J\x07 Really.", known=True)
    assert "It ended.?[2J? Really." in ask(portal, "/join/me", who, accept=TEXT).text
