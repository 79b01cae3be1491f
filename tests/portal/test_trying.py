"""What a change of trust would do stands on the page that asks, which changes nothing; the last one is taken back."""

import asyncio
import re
import sqlite3
import threading
import time
from contextlib import closing
from html import unescape
from typing import TYPE_CHECKING, Any

import pki
import pytest
from portal.asking import Answer, admitted, ask, asking
from rows import see

from mutualgate.app import Services, trial
from mutualgate.app.trial import Trial
from mutualgate.errors import Conflict
from mutualgate.model.partner import PartnerAdmits
from mutualgate.portal import operator, trying

if TYPE_CHECKING:
    from starlette.types import ASGIApp

OPERATOR = admitted("olga", [b"x"], roles=("admin",))


def get(portal: "ASGIApp", path: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR)


def post(portal: "ASGIApp", path: str, **form: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR, form=form)


@pytest.fixture
def acme(services: Services) -> pki.Issued:
    """The CA of the partner acme, under which three clients came in; a fourth has a name that is not permitted."""
    ca = pki.ca("acme issuing")
    services.clients.add("olga", roles=["admin"])
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.RULE)
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    for name in ("a.acme.example", "b.acme.example", "c.test.acme.example"):
        services.partners.members.add("acme", f"dns:{name}")
        shown(services, ca, name, client=services.clients.get(name).id)
    shown(services, ca, "d.other.example")
    return ca


def shown(services: Services, ca: pki.Issued | None, name: str, client: int | None = None) -> pki.Issued:
    leaf = pki.leaf(ca, name, sans=[name], days=30)
    see(services.store, leaf.chain_der, at=services.clock(), subject=f"CN={name}", client=client)
    return leaf


OUT = "It would lock out 3 of 3 clients a.acme.example , b.acme.example , c.test.acme.example ."
IN = "It would let in 1 acme ."


@pytest.mark.parametrize(
    ("path", "form", "says"),
    [
        ("/partners/acme/cas/1/retire", None, OUT),
        ("/partners/acme/names/remove?rule=dns%3A*.acme.example&anchor=", None, OUT),
        ("/partners/acme/suspend", None, OUT),
        ("/partners/acme/remove", None, OUT),
        ("/partners/acme/admits", {"admits": "listed"}, "lock out nobody and let in nobody who was seen."),
        ("/partners/acme/names", {"names": "dns:d.other.example"}, IN),
        (
            "/partners/acme/names/replace",
            {"rule": "dns:*.acme.example", "anchor": "", "names": "dns:a.acme.example\r\ndns:*.test.acme.example"},
            "It would lock out 1 of 3 clients b.acme.example .",
        ),
    ],
)
def test_the_page_that_asks_says_what_it_would_do(
    portal: "ASGIApp", services: Services, acme: pki.Issued, path: str, form: dict[str, str] | None, says: str
) -> None:
    before = services.store.epoch()
    page = get(portal, path) if form is None else post(portal, path, **form)
    assert page.status == 200
    assert "Judged anew: what it concerns of 4 certificates seen since" in page.words
    assert says in page.words
    assert services.store.epoch() == before


def test_a_ca_is_tried_before_it_is_claimed_and_before_it_counts(
    portal: "ASGIApp", services: Services, acme: pki.Issued
) -> None:
    new = pki.ca("acme next")
    shown(services, new, "x.acme.example")
    path, pem = "/partners/acme/cas", new.pem.decode()
    page = post(portal, path, text=pem, environment="nowhere", leaf_limit="20")
    assert "As if acme had proved that it controls CN=acme next." in page.words
    assert "It would lock out nobody and let in nobody, but one certificate would be judged otherwise." in page.words
    # By the terms that were chosen, which stay chosen.
    assert 'value="nowhere"' in page.text
    page = post(portal, path, text=pem)
    assert "CN=x.acme.example" in page.words
    assert "in as acme" in page.words
    anchor = services.partners.anchors.claim("acme", new.pem).anchor
    for place in (f"/partners/acme/cas/{anchor.id}", f"/partners/acme/cas/{anchor.id}/approve"):
        assert "in as acme" in get(portal, place).words
    assert services.partners.anchors.list("acme")[1].state == "pending"


def test_a_claim_to_another_s_key_changes_nothing(portal: "ASGIApp", services: Services, acme: pki.Issued) -> None:
    services.partners.add("umbrella", names=["dns:*.acme.example"])
    anchor = services.partners.anchors.claim("umbrella", acme.pem).anchor
    page = get(portal, f"/partners/umbrella/cas/{anchor.id}")
    assert "lock out nobody and let in nobody who was seen." in page.words
    assert get(portal, f"/partners/umbrella/cas/{anchor.id}/approve").status == 409


def test_a_pin_is_tried_before_it_is_retired(portal: "ASGIApp", services: Services) -> None:
    services.clients.add("olga", roles=["admin"])
    own = shown(services, None, "own")
    pin = services.pins.add("olga", own.pem)
    page = get(portal, f"/pins/{pin.id}/retire")
    assert "It would lock out 1 of 1 client olga ." in page.words
    assert "You are among them" in page.words
    assert services.pins.get(pin.id).state == "active"
    services.pins.retire(pin.id)
    assert "It would let in 1 olga ." in get(portal, f"/pins/{pin.id}/renew").words


def test_a_rule_is_replaced_by_a_narrower_one(portal: "ASGIApp", services: Services, acme: pki.Issued) -> None:
    path, rule = "/partners/acme/names/replace", {"rule": "dns:*.acme.example", "anchor": ""}
    assert "Replace dns:*.acme.example" in get(portal, f"{path}?rule=dns%3A*.acme.example&anchor=").words
    for wrong in ({"names": ""}, {"names": "dns:*.acme.example"}, {"names": "nonsense"}):
        assert post(portal, path, **rule, **wrong, sure="yes").status == 400
    assert post(portal, path, rule="dns:x.example", anchor="", names="dns:y.example", sure="yes").status == 404
    assert post(portal, path, **rule, names="dns:a.acme.example", sure="yes").status == 303
    assert [one.text for one in services.partners.show("acme").rules] == ["dns:a.acme.example"]


def trial_of(page: Answer) -> str:
    """Where the trial is that stands on a page, below the operator's."""
    (found,) = re.findall(r'data-trial="/join/operator(/trials/[^"]+)"', page.text)
    return str(found)


def many(services: Services, ca: pki.Issued, count: int) -> None:
    for number in range(count):
        shown(services, ca, f"m{number:03d}.acme.example")


def test_what_is_long_is_paged_and_bounded(
    portal: "ASGIApp", services: Services, acme: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "ROWS", 5)
    many(services, acme, 9)
    first = get(portal, "/partners/acme/cas/1/retire")
    assert "The 13 certificates that would be judged otherwise" in first.words
    assert "1 to 5 of 13" in first.words
    assert first.text.count('data-label="Now"') == 5
    trial = trial_of(first)
    assert f'href="/join/operator{trial}?page=2"' in first.text
    last = get(portal, f"{trial}?page=3")
    assert "11 to 13 of 13" in last.words
    assert get(portal, f"{trial}?page=99").text == last.text
    assert get(portal, f"{trial}?page=x").status == 400
    second = post(portal, "/partners/acme/names", names="dns:d.other.example")
    assert "The certificate that would be judged otherwise" in second.words
    monkeypatch.setattr(trying, "LISTED", 6)
    some = get(portal, "/partners/acme/cas/1/retire")
    assert "The 13 certificates" in some.words
    assert "The 6 that were seen last are listed here." in some.words
    assert "6 to 6 of 13" in get(portal, f"{trial_of(some)}?page=2").words


def test_a_trial_is_for_who_asked_and_the_newest_of_each_are_kept(
    portal: "ASGIApp", services: Services, acme: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "KEPT", 2)
    other = admitted("otto", [b"x"], client_id=2, roles=("admin",))
    at = "/partners/acme/cas/1/retire"
    others = trial_of(ask(portal, f"/join/operator{at}", other))
    first, second, third = (trial_of(get(portal, at)) for _ in range(3))
    assert [get(portal, one).status for one in (first, second, third)] == [404, 200, 200]
    assert "Go back and ask for the change once more." in get(portal, first).words
    assert [ask(portal, f"/join/operator{one}", other).status for one in (others, third)] == [200, 404]


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than two certificates are many."""
    monkeypatch.setattr(trial, "FEW", 2)
    monkeypatch.setattr(trial, "SOON", 2)


def test_what_concerns_many_is_found_out_after_the_page_is_there(
    portal: "ASGIApp", services: Services, acme: pki.Issued, much: None
) -> None:
    async def look() -> list[Answer]:
        page = await asking(portal, "/join/operator/partners/acme/cas/1/retire", OPERATOR)
        pages = [page, await asking(portal, f"/join/operator{trial_of(page)}", OPERATOR)]
        while "aria-busy" in pages[-1].text:
            pages.append(await asking(portal, f"/join/operator{trial_of(page)}", OPERATOR))
        return pages

    pages = asyncio.run(look())
    for waits in pages[:-1]:
        assert "It may concern very many certificates, which are judged anew." in waits.words
        assert OUT not in waits.words
    assert "I am sure" in pages[0].words
    assert "Nothing was changed yet." in pages[-1].words
    assert OUT in pages[-1].words
    assert services.partners.anchors.list("acme")[0].state == "active"


def test_one_is_found_out_at_a_time_and_who_asks_again_gives_the_one_before_up(
    portal: "ASGIApp", services: Services, acme: pki.Issued, much: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, begun, made = threading.Event(), list[str](), list[str]()
    real, make = Trial.judge_many, Trial.make

    def judge_many(self: Trial, told: Any) -> None:
        begun.append("one")
        goes_on.wait(60)
        real(self, told)

    def making(self: Trial, *change: Any) -> None:
        made.append(threading.current_thread().name)
        make(self, *change)

    monkeypatch.setattr(Trial, "judge_many", judge_many)
    monkeypatch.setattr(Trial, "make", making)
    otto = admitted("otto", [b"x"], client_id=2, roles=("admin",))
    askers = (OPERATOR, otto, OPERATOR, OPERATOR)

    async def look() -> tuple[list[int], list[Answer]]:
        at = "/join/operator/partners/acme/cas/1/retire"
        asked = [await asking(portal, at, who) for who in askers]
        while not begun:
            await asyncio.sleep(0.01)
        known = [await asking(portal, f"/join/operator{trial_of(asked[n])}", who) for n, who in enumerate(askers)]
        goes_on.set()
        last = []
        for number, who in ((1, otto), (3, OPERATOR)):
            while "aria-busy" in (page := await asking(portal, f"/join/operator{trial_of(asked[number])}", who)).text:
                await asyncio.sleep(0.01)
            last.append(page)
        return [one.status for one in known], last

    statuses, last = asyncio.run(look())
    assert statuses == [404, 200, 404, 200]
    assert [OUT in page.words for page in last] == [True, True]
    # One that is given up before its turn holds up nobody who changes something.
    assert [name.startswith("trials") for name in made].count(True) == 3


@pytest.fixture
def slow_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page is made before it is known what came of the last trial."""
    begun: list[trying.Trial] = []
    real = trying.Trials.of

    async def of(self: trying.Trials, *asked: Any) -> trying.Trial:
        begun.append(await real(self, *asked))
        return begun[-1]

    def waiting(_: Services) -> dict[str, int]:
        deadline = time.monotonic() + 60
        while begun and begun[-1].waits and time.monotonic() < deadline:
            time.sleep(0.01)
        return {}

    monkeypatch.setattr(trying.Trials, "of", of)
    monkeypatch.setattr(operator, "waiting", waiting)


def twice(portal: "ASGIApp") -> tuple[Answer, Answer]:
    """A page that asks, which does not know yet, and what is known after it."""

    async def look() -> tuple[Answer, Answer]:
        page = await asking(portal, "/join/operator/partners/acme/cas/1/retire", OPERATOR)
        return page, await asking(portal, f"/join/operator{trial_of(page)}", OPERATOR)

    page, known = asyncio.run(look())
    assert page.status == 200
    assert "very many certificates, which are judged anew" in page.words
    return page, known


def test_a_page_is_of_one_moment(
    portal: "ASGIApp", services: Services, acme: pki.Issued, much: None, slow_pages: None
) -> None:
    page, known = twice(portal)
    assert OUT not in page.words
    assert OUT in known.words


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Conflict("the change cannot be made any more", code="late"), 409, "The change cannot be made any more"),
        (RuntimeError("a defect"), 503, "It could not be found out what this change would do"),
    ],
)
def test_what_it_meets_meanwhile_is_told(
    portal: "ASGIApp",
    services: Services,
    acme: pki.Issued,
    much: None,
    slow_pages: None,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    words: str,
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Trial, "judge_many", fails)
    _, known = twice(portal)
    assert known.status == status
    assert words in known.words
    # What is told holds on to no state of the store, which could not be tidied up then.
    with closing(sqlite3.connect(services.store.path)) as database:
        busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


@pytest.mark.parametrize(
    "elsewhere",
    [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"accept": "text/html"}],
    ids=["another site", "another host of the domain", "a browser that does not say"],
)
def test_another_site_begins_no_trial(
    portal: "ASGIApp",
    services: Services,
    acme: pki.Issued,
    much: None,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: dict[str, Any],
) -> None:
    """An image on a page that an operator reads would cost a core, and the trial that they wait for."""
    path = "/join/operator/partners/acme/names/remove?rule=dns%3A*.acme.example&anchor="
    goes_on, real = threading.Event(), Trial.judge_many

    def judge_many(self: Trial, told: Any) -> None:
        goes_on.wait(60)
        real(self, told)

    monkeypatch.setattr(Trial, "judge_many", judge_many)

    async def look() -> tuple[Answer, Answer]:
        page = await asking(portal, "/join/operator/partners/acme/cas/1/retire", OPERATOR)
        other = await asking(portal, path, OPERATOR, **elsewhere)
        assert (await asking(portal, f"/join/operator{trial_of(page)}", OPERATOR)).status == 200, "it was displaced"
        goes_on.set()
        (link,) = re.findall(r'<a class="button small quiet" href="([^"]+)">See what it would do</a>', other.text)
        # Followed with and without a script, and by a browser that says no more than whose page it comes from.
        return other, await asking(portal, unescape(link), OPERATOR, accept="text/html", Referer="https://gate.test/")

    other, followed = asyncio.run(look())
    assert other.status == 200
    assert "so nothing was tried yet" in other.words
    assert "data-trial" not in other.text
    assert 'name="sure"' in other.text
    assert "very many certificates, which are judged anew" in followed.words


def test_a_typed_address_begins_one(portal: "ASGIApp", services: Services, acme: pki.Issued) -> None:
    page = ask(portal, "/join/operator/partners/acme/cas/1/retire", OPERATOR, Sec_Fetch_Site="none")
    assert OUT in page.words


def test_many_clients_are_counted_and_some_of_them_named(
    portal: "ASGIApp", services: Services, acme: pki.Issued
) -> None:
    for number in range(25):
        services.partners.members.add("acme", f"dns:m{number:03d}.acme.example")
    many(services, acme, 25)
    page = get(portal, "/partners/acme/cas/1/retire")
    assert "It would lock out 28 of 28 clients" in page.words
    assert "m016.acme.example and 8 more" in page.words


# --- the way back ---


def test_the_last_change_is_taken_back_after_what_that_does_was_shown(
    portal: "ASGIApp", services: Services, acme: pki.Issued
) -> None:
    services.partners.anchors.retire("acme", 1)
    last, before = services.trust.list(2)
    page = get(portal, "/changes")
    assert "partner ca retire acme 1" in page.words
    assert re.findall(r"/changes/(\d+)/undo", page.text) == [str(last.id)]
    asked = get(portal, f"/changes/{last.id}/undo")
    assert "It would let in 3" in asked.words
    assert services.partners.anchors.list("acme")[0].state == "retired"
    assert post(portal, f"/changes/{last.id}/undo").status == 400
    for id, status in ((before.id, 409), (last.id + 1, 404)):
        assert get(portal, f"/changes/{id}/undo").status == status
        assert post(portal, f"/changes/{id}/undo", sure="yes").status == status
    assert services.partners.anchors.list("acme")[0].state == "retired"
    assert post(portal, f"/changes/{last.id}/undo", sure="yes").headers["Location"] == "/join/operator/changes"
    assert services.partners.anchors.list("acme")[0].state == "active"
    page = get(portal, "/changes")
    assert "taken back" in page.words
    assert re.findall(r"/changes/(\d+)/undo", page.text) == [str(before.id)]
    with services.store.reading() as tx:
        entry = tx.audit.last()
    assert entry is not None
    assert (entry.by, entry.action) == ("olga", "trust.undo")
    services.clients.remove(services.clients.add("anna").name)
    page = get(portal, "/changes")
    assert "client remove anna" in page.words
    assert "final" in page.words
    assert re.findall(r"/changes/(\d+)/undo", page.text) == [str(before.id)], "no button that could not be meant"


def test_changes_are_paged(portal: "ASGIApp", services: Services) -> None:
    assert "None so far." in get(portal, "/changes").words
    assert get(portal, "/changes/1/undo").status == 404
    services.partners.add("acme")
    for number in range(60):
        services.partners.permit("acme", [f"dns:n{number:02d}.acme.example"])
    first = get(portal, "/changes")
    assert "dns:n59.acme.example" in first.words
    assert "dns:n09.acme.example" not in first.words
    (before,) = re.findall(r"\?before=(\d+)", first.text)
    second = get(portal, f"/changes?before={before}")
    assert "dns:n09.acme.example" in second.words
    assert "partner add acme" in second.words
    assert "To the newest" in second.words


def test_they_are_for_operators_alone(portal: "ASGIApp", services: Services, acme: pki.Issued) -> None:
    services.partners.anchors.retire("acme", 1)
    id = services.trust.list(1)[0].id
    worker = admitted("anna", [b"x"], client_id=7, roles=("staff",))
    for path in ("/changes", f"/changes/{id}/undo", "/partners/acme/names/replace?rule=x"):
        answer = ask(portal, f"/join/operator{path}", worker)
        assert (answer.status, "acme issuing" in answer.text) == (403, False)
    assert ask(portal, f"/join/operator/changes/{id}/undo", worker, form={"sure": "yes"}).status == 403
    fields: dict[str, Any] = {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/x-www-form-urlencoded"}
    other = ask(portal, f"/join/operator/changes/{id}/undo", OPERATOR, method="POST", body=b"sure=yes", **fields)
    assert other.status == 403
    assert services.partners.anchors.list("acme")[0].state == "retired"
