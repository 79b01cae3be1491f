"""What carries events to whoever keeps them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from installation import Installation

from mutualgate.app import pump as module
from mutualgate.app.pump import Event, Pump
from mutualgate.errors import Unavailable


def event(id: str) -> dict[str, Any]:
    return {"kind": "refused", "at": 1_780_000_000_000, "refusal": id, "reason": "expired", "detail": "It ended."}


class Plane:
    """Gives what it was given, a batch a call."""

    def __init__(self, *batches: Sequence[Mapping[str, Any]]) -> None:
        self.batches = list(batches)

    def events(self, most: int, wait_seconds: float) -> Sequence[Mapping[str, Any]]:
        return self.batches.pop(0) if self.batches else []


class Keeper:
    """Keeps all, while it can."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.broken = False

    def keep(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise Unavailable("the store is locked")
        self.kept += events


def test_refusals_wait_while_the_store_is_locked(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.store.sqlite.BUSY_SECONDS", 0)
    services, other = installed.services(), installed.services()
    pump = Pump(Plane([event("A" * 16)], [event("B" * 16)]), services.refusals)
    with other.store.transaction():
        for _ in range(2):
            with pytest.raises(Unavailable):
                asyncio.run(pump.step())
    asyncio.run(pump.step())
    assert [one.id[0] for one in services.refusals.recent()] == ["B", "A"]
    services.close()
    other.close()


def test_an_event_that_cannot_be_read_does_not_stop_those_after_it(installed: Installation) -> None:
    services = installed.services()
    pump = Pump(Plane([{"no": "kind"}], [event("B" * 16)]), services.refusals)
    with pytest.raises(KeyError):
        asyncio.run(pump.step())
    asyncio.run(pump.step())
    assert [one.id[0] for one in services.refusals.recent()] == ["B"]
    services.close()


def test_a_keeper_that_cannot_write_holds_up_no_other_and_gets_nothing_twice() -> None:
    first, second = Keeper(), Keeper()
    pump = Pump(Plane([event("A")], [event("B")]), first, second)
    first.broken = True
    with pytest.raises(Unavailable):
        asyncio.run(pump.step())
    assert [one["refusal"] for one in second.kept] == ["A"]
    first.broken = False
    asyncio.run(pump.step())
    assert [one["refusal"] for one in first.kept] == [one["refusal"] for one in second.kept] == ["A", "B"]


def test_what_waits_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 5)
    monkeypatch.setattr(module, "WAITING_BYTES", 100)
    keeper = Keeper()
    keeper.broken = True
    large = [{**event(letter), "chain": [b"x" * 40]} for letter in "KLMN"]
    pump = Pump(Plane([event(letter) for letter in "ABCDEFGH"], large), keeper)
    for expected in ("DEFGH", "MN"):
        with pytest.raises(Unavailable):
            asyncio.run(pump.step())
        [(_, waiting)] = pump._waiting
        assert "".join(one["refusal"] for one in waiting) == expected
