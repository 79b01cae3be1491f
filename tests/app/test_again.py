"""Steps that are taken again and again."""

import asyncio
import logging

import pytest

from mutualgate.app.again import again, until_set
from mutualgate.errors import Unavailable


def test_a_step_that_fails_is_reported_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []

    async def run() -> None:
        done = asyncio.Event()

        async def step() -> None:
            taken.append(1)
            if len(taken) < 4:
                raise Unavailable("the store does not answer")
            done.set()

        await again("looking", step, done, retry_seconds=0)

    with caplog.at_level(logging.INFO, "mutualgate"):
        asyncio.run(run())
    assert len(taken) == 4
    assert [record.message for record in caplog.records] == [
        "looking failed, and is tried again: the store does not answer",
        "looking works again",
    ]


def test_a_defect_does_not_end_a_task_and_shows_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []

    async def run() -> None:
        done = asyncio.Event()

        async def step() -> None:
            taken.append(1)
            if len(taken) == 2:
                done.set()
            raise KeyError("nobody thought of it")

        await again("looking", step, done, retry_seconds=0)

    asyncio.run(run())
    assert len(taken) == 2
    (record,) = caplog.records
    assert record.exc_info is not None


def test_it_can_be_cancelled() -> None:
    async def run() -> None:
        task = asyncio.create_task(again("looking", lambda: asyncio.sleep(60), asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_it_can_be_cancelled_in_the_moment_in_which_it_would_go_on() -> None:
    async def run() -> None:
        event = asyncio.Event()

        async def step() -> None:
            await until_set(event, 60)
            event.clear()

        task = asyncio.create_task(again("looking", step, asyncio.Event()))
        await asyncio.sleep(0.01)
        event.set()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    asyncio.run(run())


def test_an_event_that_does_not_come_is_not_waited_for() -> None:
    async def run() -> None:
        event = asyncio.Event()
        await until_set(event, 0.01)
        assert not event.is_set()

    asyncio.run(run())
