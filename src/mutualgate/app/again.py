"""Steps that a running gate takes again and again. One that fails is reported and tried again: none just ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from mutualgate.errors import MutualgateError

log = logging.getLogger("mutualgate")

RETRY_SECONDS = 1.0


async def again(
    what: str, step: Callable[[], Awaitable[None]], until: asyncio.Event, retry_seconds: float = RETRY_SECONDS
) -> None:
    """Takes `step` until `until` is set or it is cancelled. `what` it is for starts the sentence of a failure.

    A failure that goes on is reported once, and so is its end.
    """
    said: str | None = None
    while not until.is_set():
        try:
            await step()
        except Exception as error:
            sentence = f"{type(error).__name__}: {error}"
            if sentence != said:
                known = isinstance(error, MutualgateError)
                log.error("%s failed, and is tried again: %s", what, error, exc_info=None if known else error)
            said = sentence
            await asyncio.sleep(retry_seconds)
        else:
            if said is not None:
                log.info("%s works again", what)
            said = None


async def until_set(event: asyncio.Event, seconds: float) -> None:
    """Waits until `event` is set, but not longer than that.

    Who is cancelled in the very moment in which it is set ends: `asyncio.wait_for` of Python 3.11 goes on then.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
