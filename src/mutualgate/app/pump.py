"""Carries what happened at the gate from the data plane to whoever keeps it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mutualgate.errors import MutualgateError

_MOST = 1_000
"""Events that are taken at once."""
_WAIT_SECONDS = 0.5
WAITING = 10_000
"""Events that wait for a keeper while the store cannot be written."""
WAITING_BYTES = 64 << 20
"""The certificates in them."""

Event = Mapping[str, Any]


class Source(Protocol):
    """What events are taken from: the data plane."""

    def events(self, most: int, wait_seconds: float) -> Sequence[Event]:
        """At most `most`, after a wait for the first."""


class Keeper(Protocol):
    """What keeps the kinds of events that concern it."""

    def keep(self, events: Sequence[Event]) -> None:
        """Stores them. Raises what the store raises, and then has kept none."""


class Pump:
    """Carries events from the data plane to its keepers. While the store cannot be written, the newest wait here."""

    def __init__(self, source: Source, *keepers: Keeper) -> None:
        self._source = source
        self._waiting: list[tuple[Keeper, list[Event]]] = [(keeper, []) for keeper in keepers]

    async def step(self) -> None:
        """Waits for events and stores them. Raises what the store raises, and has them again the next time."""
        taken = await asyncio.to_thread(self._source.events, _MOST, _WAIT_SECONDS)
        for _, waiting in self._waiting:
            waiting.extend(taken)
            del waiting[: _too_many(waiting)]
        await self.flush()

    async def flush(self) -> None:
        """Stores what waits."""
        problem: MutualgateError | None = None
        for keeper, waiting in self._waiting:
            if not waiting:
                continue
            events = waiting.copy()
            waiting.clear()
            try:
                await asyncio.to_thread(keeper.keep, events)
            except MutualgateError as error:
                waiting[:] = events
                problem = error
        if problem is not None:
            raise problem


def _too_many(events: Sequence[Event]) -> int:
    """How many of the oldest have to go."""
    room = WAITING_BYTES
    for number, event in enumerate(reversed(events)):
        room -= sum(map(len, event.get("chain", ()))) + len(event.get("certificate", b""))
        if number >= WAITING or room < 0:
            return len(events) - number
    return 0
