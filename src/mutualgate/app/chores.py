"""What a running gate does again and again beside the traffic, with its services alone: letters, partners' lists,
clients' keys, licences, and what ends.

Knows no data plane: what a chore changes is in the store, and whoever looks at that takes it over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from mutualgate.app.again import until_set
from mutualgate.app.apart import apart
from mutualgate.app.overview import Figures, figures
from mutualgate.app.services import Services

log = logging.getLogger("mutualgate")

_PAUSE_SECONDS = 30.0
_POST_SECONDS = 5.0
_FETCH_SECONDS = 5.0
_EXPIRY_SECONDS = 3600.0
_COUNT_SECONDS = 1.0
"""Between two counts, at the least."""
_COUNTING_SHARE = 0.02
"""Of a core, for counting what ends."""


class Chores:
    """The chores of one process, which has claimed the folder. Each step is to be taken again when it has ended."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._letters_due = asyncio.Event()
        self._counting_due = asyncio.Event()
        self.figures = Figures()
        """As they were counted last; nothing before the first time."""

    @property
    def steps(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """What each is for, as the sentence of a failure begins, and the step."""
        return (
            ("ending superseded certificates", self._end_superseded),
            ("sending letters", self._send_letters),
            ("fetching partners' revocation lists", self._fetch_lists),
            ("fetching clients' keys", self._fetch_keys),
            ("asking the register of licences", self._ask_register),
            ("looking at what expires", self._tell_of_ends),
            ("counting what ends", self._count_ends),
        )

    def hurry(self) -> None:
        """The store has changed: there may be letters, and other figures."""
        self._letters_due.set()
        self._counting_due.set()

    async def _end_superseded(self) -> None:
        """What was renewed ends when its overlap is over."""
        ended = await asyncio.to_thread(self._services.renewals.end_superseded)
        if ended:
            log.info("%d superseded certificates were revoked", ended)
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _send_letters(self) -> None:
        """Whoever changed the store may have put a letter there; those that failed are due again by and by."""
        await until_set(self._letters_due, _POST_SECONDS)
        self._letters_due.clear()
        await apart(self._services.sender.step)

    async def _fetch_lists(self) -> None:
        """Lists before they run out, answers about who was seen: side by side, so that one slow CA delays no other."""
        await asyncio.sleep(_FETCH_SECONDS)
        fetch = self._services.revocation_fetch
        await asyncio.to_thread(self._services.revocation.learn_from_seen)
        sources, anchors = await asyncio.to_thread(lambda: (fetch.due(), fetch.due_to_ask()))
        await asyncio.gather(
            *(apart(partial(fetch.fetch, source.id)) for source in sources),
            *(apart(partial(fetch.ask, anchor)) for anchor in anchors),
        )

    async def _fetch_keys(self) -> None:
        """Those that are due, side by side."""
        await asyncio.sleep(_FETCH_SECONDS)
        fetch = self._services.key_set_fetch
        due = await asyncio.to_thread(fetch.due)
        if await asyncio.gather(*(apart(partial(fetch.fetch, one)) for one in due)):
            self._letters_due.set()

    async def _ask_register(self) -> None:
        """About one after the other: a register is somebody else's."""
        register = self._services.register
        for provider in await asyncio.to_thread(register.due):
            await apart(partial(register.check, provider))
            self._letters_due.set()
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _tell_of_ends(self) -> None:
        """Once at the start, and each hour: whoever is to be told, is told in the hour."""
        if await asyncio.to_thread(self._services.expiry.tell):
            self._letters_due.set()
        await asyncio.sleep(_EXPIRY_SECONDS)

    async def _count_ends(self) -> None:
        """In a thread: a scrape of the metrics must not hold up the loop. The more there is to count, the rarer."""
        took = await asyncio.to_thread(self._find_figures)
        await asyncio.sleep(max(_COUNT_SECONDS, took / _COUNTING_SHARE))
        await until_set(self._counting_due, _PAUSE_SECONDS)
        self._counting_due.clear()

    def _find_figures(self) -> float:
        """Returns the seconds of CPU that it took."""
        of = self._services.expiry, self._services.revocation, self._services.key_sets
        begun = time.thread_time()
        self.figures = figures(*of)
        return time.thread_time() - begun
