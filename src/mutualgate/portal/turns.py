"""The threads in which the portal calls its services: who only reads does not wait for who writes.

One writes to the store at a time, of all processes, and a command may hold it for half a minute. Those who wait for it
then are bounded, in number and in time: whoever comes beyond is told at once to come again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from mutualgate.errors import Unavailable

T = TypeVar("T")

READERS: Final = 8
WRITERS: Final = 4
"""One would do for the store; others sign, or compare a second code, meanwhile."""
MOST_WAITING: Final = 256
"""Changes that wait; of each, a form is held."""
PATIENCE_SECONDS: Final = 10.0
"""How long a change waits for its turn: a burst of hundreds has passed by then."""
COME_AGAIN_SECONDS: Final = 5


class Turns:
    """The threads. Not those of the loop: the gate uses them to judge by what was changed, and visitors would keep it
    from that."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "portal-reads")
        self._writers = ThreadPoolExecutor(WRITERS, "portal-writes")
        self._telling = ThreadPoolExecutor(WRITERS, "portal-tells")
        self._waiting = 0

    async def read(self, function: Callable[[], T]) -> T:
        """Calls what only reads."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def tell(self, function: Callable[[], T]) -> T:
        """Calls what tells the running gate of a change that was made."""
        return await asyncio.get_running_loop().run_in_executor(self._telling, function)

    async def write(self, function: Callable[[], T]) -> T:
        """Calls what may write. Raises Unavailable (`busy`) where too many wait already, or it waited too long; then
        it was not called."""
        if self._waiting >= MOST_WAITING:
            raise _busy()
        called = self._writers.submit(function)
        answer = asyncio.wrap_future(called)
        self._waiting += 1
        try:
            done, _ = await asyncio.wait({answer}, timeout=PATIENCE_SECONDS)
        except asyncio.CancelledError:
            called.cancel()
            raise
        finally:
            self._waiting -= 1
        if not done and called.cancel():  # one that was begun is waited for: the store itself gives it up in time
            raise _busy()
        return await answer


def _busy() -> Unavailable:
    return Unavailable(
        "too many changes wait for another one to end", code="busy", facts={"seconds": COME_AGAIN_SECONDS}
    )
