"""Who am I: let in, refused, hidden by the browser, or nobody; and the instructions."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pki
import pytest
from conftest import Hands
from portal.asking import HTML, JSON, TEXT, admitted, ask, refused

from mutualgate.portal.systems import Guide

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LEAF = pki.leaf(pki.ca("issuing"), "ann", days=90)


def test_who_is_let_in_sees_as_whom_and_until_when(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7, roles=("staff", "ops")))
    assert "You are ann" in page.words
    assert "Roles staff, ops" in page.words
    assert "Valid until 30 August 2026 (90 days left)" in page.words
    assert "It ends soon" not in page.words
    told = ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7), accept=JSON).json
    assert (told["verdict"], told["client"], told["client_id"]) == ("admitted", "ann", 7)
    assert told["not_after"] == "2026-08-30T12:00:00Z"
    assert ask(portal, "/join/me", admitted("ann", LEAF.chain_der), accept=TEXT).text.startswith("You are ann.\n")


def test_one_that_ends_soon_is_warned(portal: "ASGIApp", clock: Hands) -> None:
    clock.move(timedelta(days=61))
    assert "It ends soon" in ask(portal, "/join/me", admitted("ann", LEAF.chain_der, client_id=7)).words


def test_who_is_refused_sees_why(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/me", refused(LEAF.chain_der, "expired", "It ended on 3 May.", known=True))
    assert "Your certificate is not let in The certificate's validity has ended." in page.words
    assert "It ended on 3 May. Renew the certificate and use the new one." in page.words
    stranger = refused(LEAF.chain_der, "revoked", "Serial 7 was revoked.", known=False)
    for accept in (HTML, JSON, TEXT):
        assert "Serial 7" not in ask(portal, "/join/me", stranger, accept=accept).text


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
    assert "Renew it." in page.words
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
