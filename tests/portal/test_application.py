"""The frame that every page stands in: where it is served, what it is sent with, and how an error is told."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from portal.asking import ANONYMOUS, HTML, JSON, ORIGIN, TEXT, ask, asking
from starlette.responses import Response
from starlette.routing import Router

from mutualgate.app import Services, answering
from mutualgate.errors import Unavailable
from mutualgate.portal.application import application
from mutualgate.portal.asked import Asked
from mutualgate.portal.assets import assets, version
from mutualgate.portal.desk import Desk

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def test_an_unknown_page_is_told_as_one_likes_it(portal: "ASGIApp") -> None:
    page = ask(portal, "/join/nothing")
    assert page.status == 404
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "There is no such page." in page.words
    told = ask(portal, "/join/nothing", accept=JSON)
    assert told.headers["Content-Type"] == "application/problem+json"
    assert told.json == {
        "type": "urn:mutualgate:problem:not_found",
        "title": "There is no such page.",
        "status": 404,
        "code": "not_found",
        "fix": "Check the address, or begin with the link that you were given.",
    }
    assert ask(portal, "/join/nothing", accept=TEXT).text.startswith("There is no such page.\n")


@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
@pytest.mark.parametrize("path", ["/join/nothing", "/join/static/x/y"])
def test_everything_goes_out_with_the_policy(portal: "ASGIApp", path: str, accept: str) -> None:
    headers = ask(portal, path, accept=accept).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; ")
    assert "unsafe" not in policy
    # Our own addresses by path: the service behind shares the host.
    for name in ("script-src", "style-src"):
        assert f"; {name} {ORIGIN}/join/static/;" in policy
    for name in ("connect-src", "form-action"):
        assert f"; {name} {ORIGIN}/join/;" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Vary"] == "Accept"
    for name in ("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"):
        assert headers[name] == "same-origin"


def test_an_address_that_no_policy_can_name_still_has_one(portal: "ASGIApp") -> None:
    policy = ask(portal, "/join/nothing", Host="[::1]:8443").headers["Content-Security-Policy"]
    assert "; script-src 'self'; style-src 'self'; " in policy
    assert "[" not in policy


def test_a_page_has_no_inline_script_or_style(portal: "ASGIApp") -> None:
    body = ask(portal, "/join/nothing").text
    assert re.findall(r"<script(?![^>]* src=)", body) == []
    assert re.findall(r"<style| style=| on[a-z]+=|javascript:", body) == []
    assert set(re.findall(r'(?:src|href)="(https?:)?//', body)) == set()


def test_it_is_served_where_its_route_is(services: Services) -> None:
    portal = application(services, services.clock, lambda: ["/join", "/join/deeper", "/in"])
    moved = ask(portal, "/join")
    assert (moved.status, moved.headers["Location"]) == (308, "/join/")
    assert moved.headers["Cache-Control"] == "no-store", "a browser would keep it when the portal has moved"
    assert 'href="/join/deeper/help"' in ask(portal, "/join/deeper/x").text
    assert 'href="/in/help"' in ask(portal, "/in/x").text
    assert ask(portal, "/joined/x").status == 404
    assert "Content-Security-Policy" not in ask(portal, "/joined/x").headers
    at_the_root = ask(application(services, services.clock, lambda: [""]), "/x").text
    assert 'href="/help"' in at_the_root


def test_static_files_are_for_good_and_nothing_else_is(portal: "ASGIApp") -> None:
    for name, (content, content_type) in assets().items():
        answer = ask(portal, f"/join/static/{version()}/{name}")
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, content, content_type)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert {"portal.css", "portal.js"} <= set(assets())
    for path in (f"{version()}/no.css", "0123456789abcdef/portal.css", f"{version()}/../application.py",
                 f"{version()}/..%2fapplication.py", f"{version()}/portal.css/"):  # fmt: skip
        assert ask(portal, f"/join/static/{path}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PROPFIND"])
def test_a_method_that_a_page_does_not_take(portal: "ASGIApp", method: str) -> None:
    answer = ask(portal, f"/join/static/{version()}/portal.css", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
def test_what_ails_the_gate_is_for_its_log(services: Services, caplog: pytest.LogCaptureFixture, accept: str) -> None:
    """No stranger learns where its files are, nor is told what an operator should do."""
    where = "/srv/gate/store.sqlite3"

    async def busy(_: Asked) -> Response:
        raise Unavailable("the store has been busy for 30 seconds", where=where, fix="End the other command")

    answer = ask(Router([Desk(services, services.clock).route("/busy", get=busy)]), "/busy", accept=accept)
    assert answer.status == 503
    assert "The gate cannot do this right now." in answer.text
    for word in (where, "store", "other command"):
        assert word not in answer.text
    assert where in caplog.text


def test_what_came_past_the_gate_is_told_so(portal: "ASGIApp") -> None:
    answer = ask(portal, "/join/nothing", {"Mutualgate-Client": "ann", "Mutualgate-Roles": "admin"}, accept=JSON)
    assert (answer.status, answer.json["code"]) == (503, "no_gate")


@pytest.mark.parametrize("host", ["", "gate.test/x", "gate.test'; script-src *", "a b", "gate.test, evil.test"])
def test_a_host_that_is_none_gets_into_no_policy(portal: "ASGIApp", host: str) -> None:
    answer = ask(portal, "/join/nothing", ANONYMOUS, Host=host, accept=HTML)
    assert answer.status == 400
    assert answer.headers["Content-Security-Policy"].endswith("form-action 'none'")


def test_what_is_changed_is_in_force_however_many_change_something(
    portal: "ASGIApp", services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """The gate judges anew in a thread of the loop's own, as here; those who wait for it must not hold that one."""
    code = services.invitations.invite("anna").code
    synced: list[int] = []

    async def sync() -> dict[str, int]:
        synced.append(await asyncio.to_thread(services.store.epoch))
        return {"epoch": synced[-1]}

    async def all_at_once() -> list[int]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with answering.listener(services.folder) as listener:
            server = answering.Server(listener, {"sync": sync})
            answers = await asyncio.gather(*(asking(portal, "/join/", form={"code": code}) for _ in range(12)))
            server.close()
        return [answer.status for answer in answers]

    assert asyncio.run(all_at_once()) == [303] * 12
    assert len(synced) == 12
    assert "not in force" not in caplog.text


def test_who_is_told_no_has_nothing_put_in_force(portal: "ASGIApp", services: Services) -> None:
    asked: list[str] = []

    async def sync() -> dict[str, int]:
        asked.append("sync")
        return {}

    async def wrong_code() -> int:
        with answering.listener(services.folder) as listener:
            server = answering.Server(listener, {"sync": sync})
            answer = await asking(portal, "/join/", form={"code": "no code"})
            server.close()
        return answer.status

    assert asyncio.run(wrong_code()) == 400
    assert asked == []


def test_who_goes_in_the_middle_of_a_form_is_no_error_of_ours(
    portal: "ASGIApp", caplog: pytest.LogCaptureFixture
) -> None:
    kind = "application/x-www-form-urlencoded"
    gone = ask(portal, "/join/", method="POST", body=[], Sec_Fetch_Site="same-origin", Content_Type=kind)
    assert gone.status == 400
    assert caplog.records == []
