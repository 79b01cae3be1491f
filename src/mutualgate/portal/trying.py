"""What a change of trust would do, on the page that asks before it is made. `services.trust` finds it out.

Where it concerns few certificates, the page has it. Where these may be many, the judge is told of everybody, which
takes as long as there is much of it, all cores meanwhile: the page comes at once, and has the rest of it from an
address of its own, by a script or a link. One is found out at a time, and who was led here by another site begins none.
"""

import asyncio
import functools
import logging
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mutualgate.errors import BadInput, MutualgateError, NotFound, Unavailable
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import SAFE, from_here

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.trial import Affected, Tried

log = logging.getLogger(__name__)

Change = Callable[["Services"], object]
"""A change, as it is made by services that keep it or that do not."""

ROWS: Final = 50
"""Certificates on one page."""
LISTED: Final = 1_000
"""Certificates that are kept to be paged through, those that came last: a command lists all of them."""
KEPT: Final = 4
"""Trials of one client."""


class _GivenUp(Exception):
    """Nobody waits for it any more."""


class Trial:
    """A change that is tried, or was: `tried` is there once it is known what it would do, or `error` why it is not."""

    def __init__(self, at: str, client: int | None) -> None:
        self.at = at
        """Its path."""
        self.client = client
        """Who asked."""
        self.judged = self.of = 0
        """Certificates; 0 of 0 until it begins."""
        self.many = 0
        """Certificates that would be judged otherwise; `tried` lists LISTED of them."""
        self.tried: Tried | None = None
        self.error: MutualgateError | None = None
        self.given_up = False
        self.task: asyncio.Task[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether it is still to be found out."""
        return self.tried is None and self.error is None

    def tell(self, judged: int, of: int) -> None:
        """Hears how far it is, in the thread that finds it out."""
        if self.given_up:
            raise _GivenUp
        self.judged, self.of = judged, of

    def know(self, tried: "Tried") -> None:
        """Keeps what came of it."""
        self.many = len(tried.affected)
        self.tried = replace(tried, affected=tried.affected[:LISTED])


class Trials:
    """Those that can be looked at: the newest ones of each who asked, for whom they are."""

    def __init__(self) -> None:
        self._kept: dict[str, Trial] = {}
        # One: what is judged takes all cores.
        self._thread = ThreadPoolExecutor(1, "trials")

    async def of(self, asked: Asked, services: "Services", change: Change) -> Trial:
        """One of `change`, known already unless it concerns many. Raises what the change raises."""
        tried = await asked.change(services.trust.try_few, change)  # the store of a rehearsal is a writer's
        id = secrets.token_urlsafe(16)
        trial = Trial(asked.to("operator", "trials", id), asked.visitor.client_id)
        if tried is not None:
            trial.know(tried)
        else:
            self._give_up(one for one in self._of(trial.client) if self._kept[one].waits)
            trial.task = asyncio.create_task(self._find_out(trial, services, change))
        self._kept[id] = trial
        self._give_up(self._of(trial.client)[:-KEPT])
        return trial

    def get(self, asked: Asked, id: str) -> Trial:
        """One that this visitor asked for. Raises NotFound, and what it met."""
        found = self._kept.get(id)
        if found is None or found.client != asked.visitor.client_id:
            raise NotFound(
                "what this change would do is not kept any more",
                fix="Go back and ask for the change once more.",
                code="trial_unknown",
            )
        if found.error is not None:
            raise copy(found.error)
        return found

    def _of(self, client: int | None) -> list[str]:
        return [id for id, one in self._kept.items() if one.client == client]

    def _give_up(self, ids: Iterable[str]) -> None:
        for id in list(ids):
            task = self._kept.pop(id).task
            if task is not None:
                task.cancel()

    async def _find_out(self, trial: Trial, services: "Services", change: Change) -> None:
        try:
            work = functools.partial(services.trust.try_, change, told=trial.tell)
            trial.know(await asyncio.get_running_loop().run_in_executor(self._thread, work))
        except MutualgateError as error:
            trial.error = copy(error)  # without the frames that it came through, which hold the judges
        except Exception:
            log.exception("a change could not be tried")
            trial.error = Unavailable("it could not be found out what this change would do", code="trial_failed")
        finally:
            trial.given_up = True  # where it was cancelled, the thread may still work


@dataclass(frozen=True)
class Preview:
    """A trial as it stands, and which part of the certificates a page shows: `rows`, the first of them being number
    `first`. `page` counts from 1. What is found out while the page is made is for the next one."""

    at: str
    judged: int
    of: int
    tried: "Tried | None"
    many: int
    page: int
    oneself: bool
    """Whether who asks would be locked out by it."""
    link: str = ""
    """Where it is found out, where that was not begun."""

    @property
    def first(self) -> int:
        return (self.page - 1) * ROWS + 1

    @property
    def rows(self) -> "tuple[Affected, ...]":
        found = () if self.tried is None else self.tried.affected
        return found[self.first - 1 : self.first - 1 + ROWS]

    @property
    def pages(self) -> int:
        return max(1, -(-min(self.many, LISTED) // ROWS))


async def preview(asked: Asked, services: "Services", change: Change) -> Preview:
    """What `change` would do. Raises what the change raises.

    Another site's page begins nothing, which would cost a core and displace what an operator waits for: a link does.
    """
    if asked.method in SAFE and not from_here(asked.fields, asked.origin):
        url = asked.request.url
        return Preview("", 0, 0, None, 0, 1, False, link=f"{url.path}?{url.query}" if url.query else url.path)
    return _preview(asked, await asked.desk.trials.of(asked, services, change), 1)


def again(asked: Asked, id: str) -> Preview:
    """The same once more, the page of it that the address says. Raises NotFound, and what it met."""
    text = asked.request.query_params.get("page", "") or "1"
    if not (text.isascii() and text.isdecimal() and len(text) <= 8):
        raise BadInput("the page has no number")
    return _preview(asked, asked.desk.trials.get(asked, id), int(text))


def _preview(asked: Asked, trial: Trial, page: int) -> Preview:
    oneself = trial.tried is not None and asked.visitor.client in trial.tried.locked_out
    found = Preview(trial.at, trial.judged, trial.of, trial.tried, trial.many, 1, oneself)
    return replace(found, page=min(max(1, page), found.pages))
