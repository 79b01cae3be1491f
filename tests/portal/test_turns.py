"""Whoever waits for the store to write holds up nobody who reads; of those who wait too many or too long, none is left
without an answer."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from portal.asking import HTML, JSON, Answer, admitted, ask, asking

from mutualgate.app import Services
from mutualgate.portal import turns

if TYPE_CHECKING:
    from starlette.types import ASGIApp

OPERATOR = admitted("olga", [b"x"], roles=("admin",))


@contextmanager
def held(services: Services) -> Iterator[sqlite3.Connection]:
    """The store as another process holds it that writes: a bulk import, a backup that is put back."""
    with closing(sqlite3.connect(services.store.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def invite(portal: "ASGIApp", number: int, accept: str = HTML) -> Answer:
    form = {"name": f"client {number}", "days": "3", "way": "csr"}
    return await asking(portal, "/join/operator/invite", OPERATOR, form=form, accept=accept)


def test_pages_that_only_read_go_on_while_the_store_is_held(
    portal: "ASGIApp", services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 600.0)
    invited = services.invitations.invite("anna")

    async def many() -> tuple[list[Answer], int, list[Answer]]:
        with held(services) as lock:
            writing = [asyncio.create_task(invite(portal, number)) for number in range(3 * turns.READERS)]
            await asyncio.sleep(0.1)
            read = [
                await asking(portal, "/join/operator/clients", OPERATOR),
                await asking(portal, f"/join/{invited.token}"),
                await asking(portal, "/join/me", OPERATOR),
                # Sent as a form, and yet only read:
                await asking(portal, "/join/", form={"code": invited.code}),
                await asking(portal, "/join/explain", form={"text": "nothing"}),
            ]
            answered = sum(task.done() for task in writing)
            lock.execute("ROLLBACK")
        return read, answered, await asyncio.gather(*writing)

    read, answered, written = asyncio.run(many())
    assert [one.status for one in read] == [200, 200, 200, 303, 400]
    assert answered == 0, "those who read waited for them"
    assert {one.status for one in written} == {200}
    assert services.invitations.list().total == 1 + 3 * turns.READERS


@pytest.mark.parametrize("limit", ["MOST_WAITING", "PATIENCE_SECONDS"])
def test_whoever_waits_beyond_the_limit_is_told_to_come_again(
    portal: "ASGIApp", services: Services, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 3.0 if limit == "PATIENCE_SECONDS" else 600.0)
    if limit == "MOST_WAITING":
        monkeypatch.setattr(turns, "MOST_WAITING", turns.WRITERS)

    async def many() -> tuple[list[Answer], list[Answer]]:
        with held(services) as lock:
            writing = [asyncio.create_task(invite(portal, number, JSON)) for number in range(turns.WRITERS + 3)]
            while sum(task.done() for task in writing) < 3:
                await asyncio.sleep(0.01)
            told = [task.result() for task in writing if task.done()]
            lock.execute("ROLLBACK")
        return told, await asyncio.gather(*writing)

    told, answers = asyncio.run(many())
    assert [(one.status, one.headers["Retry-After"]) for one in told] == [(503, "5")] * 3
    assert {one.headers["Content-Type"] for one in told} == {"application/problem+json"}
    assert {one.json["code"] for one in told} == {"busy"}
    assert [one.status for one in answers].count(200) == turns.WRITERS, "what was begun is done"
    assert services.invitations.list().total == turns.WRITERS
    page = ask(portal, "/join/operator/invite", OPERATOR, form={"name": "late", "days": "3", "way": "csr"})
    assert page.status == 200


def test_a_page_says_that_nothing_was_changed(
    portal: "ASGIApp", services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_WAITING", 0)
    for path, form in (
        ("/invite", {"name": "berta", "days": "3", "way": "csr"}),
        ("/partners", {"name": "acme", "names": "dns:*.acme.example"}),
        ("/refusals/7K3M9QW2XT5B8N4C", {"client": "laptop", "sure": "yes"}),
    ):
        page = ask(portal, f"/join/operator{path}", OPERATOR, form=form)
        assert (page.status, page.headers["Retry-After"]) == (503, "5")
        assert "too much to change right now, so nothing was changed" in page.words
    assert services.invitations.list().total == 0


def test_a_page_that_tries_a_change_waits_as_those_who_change_something(
    portal: "ASGIApp", services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rehearsal has the store as a writer has it."""
    services.partners.add("acme", names=["dns:*.acme.example"])
    monkeypatch.setattr(turns, "MOST_WAITING", 0)
    assert ask(portal, "/join/operator/partners/acme/suspend", OPERATOR).status == 503
    assert ask(portal, "/join/operator/partners/acme", OPERATOR).status == 200
