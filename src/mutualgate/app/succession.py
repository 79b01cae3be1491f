"""A running gate has a new process take over: what it leaves to that one and when, and takes back if that one fails.

What the two say to each other is in `handover`; what this process does as long as it serves, in `runner`.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from mutualgate.app import notify
from mutualgate.app.given import Given, Placed
from mutualgate.app.handover import SERVE_SECONDS, Successor
from mutualgate.errors import MutualgateError, Unavailable
from mutualgate.gate import DataPlane

log = logging.getLogger("mutualgate")


class Succession:
    """The end of one process at its gate, with another that goes on."""

    def __init__(
        self,
        plane: DataPlane,
        placed: Placed,
        claim: int | None,
        stopping: asyncio.Event,
        *,
        begin: Callable[[], None],
        end: Callable[[], Awaitable[None]],
        sync: Callable[[], Awaitable[int]],
    ) -> None:
        """`claim` is what the folder is claimed by: without it, no process can succeed this one. `begin` and `end`
        take up and leave commands and chores; `sync` takes over what changed in the store. `stopping` is set when this
        process is to end, and by this class when another one has taken over.
        """
        self._plane = plane
        self._placed = placed
        self._claim = claim
        self._stopping = stopping
        self._begin = begin
        self._end = end
        self._sync = sync
        self._held: list[Given] = []
        self._when_done: list[Callable[[], None]] = []
        self._under_way = asyncio.Lock()
        self._successor: Successor | None = None
        self._following: asyncio.Task[None] | None = None

    def hold(self, service: str, wanted: str, listener: socket.socket) -> None:
        """Notes a socket beside the data plane's, which the other process is to go on with."""
        self._held.append(self._placed.for_the_next(service, wanted, listener))

    def when_done(self, do: Callable[[], None]) -> None:
        """Calls `do` once another process has taken over."""
        self._when_done.append(do)

    @property
    def done(self) -> bool:
        """Whether another process has taken over."""
        return self._successor is not None

    async def hand_over(self) -> int:
        """Has a new process take over, and returns its pid; this one then ends what is under way.

        The program starts as it lies on the disk now, with the words that this process was started with. Raises
        `Unavailable` if it does not come to serve; then this process goes on as if nothing had been.
        """
        try:
            async with self._under_way:
                return await self._hand_over()
        except MutualgateError as error:
            log.error("this process goes on: %s", error)
            raise

    def unfollow(self) -> None:
        """Hears the other process no more: nobody is left here whom its changes could cut off."""
        if self._following is not None:
            self._following.cancel()

    async def _hand_over(self) -> int:
        if self._stopping.is_set():
            raise Unavailable("the gate is about to end")
        if self._claim is None or os.getpid() == 1:
            raise Unavailable(
                "this process is the first of its container, which ends with it",
                fix="Start a second container, move the clients over, and stop this one",
            )
        successor = await self._start(self._claim)
        try:
            await successor.prepared()
        except BaseException:
            successor.kill()
            raise
        await self._end()
        try:
            await successor.serving()
            if self._stopping.is_set():
                raise Unavailable("the gate is about to end")
        except BaseException:
            successor.kill()
            self._take_back()
            raise
        await successor.yours()
        await self._watch(successor)
        log.info("process %d serves now; this one ends what is under way", successor.pid)
        self._stopping.set()
        for do in self._when_done:
            do()
        return successor.pid

    async def _start(self, claim: int) -> Successor:
        opened = [
            self._placed.for_the_next(service, wanted, socket.socket(fileno=descriptor))
            for service, wanted, descriptor in self._plane.listening()
        ]
        try:
            return await asyncio.to_thread(Successor.start, [*opened, *self._held], claim)
        finally:
            for one in opened:
                one.listener.close()

    async def _watch(self, successor: Successor) -> None:
        """Follows the new process, and waits until it has proved itself; meanwhile both accept. If it dies, this one
        takes commands and chores back, and raises `Unavailable`."""

        def prove() -> None:
            self._successor = successor
            successor.leave()
            # NotifyAccess=main: only the process that is the main one may say which one is.
            notify.tell(f"MAINPID={successor.pid}")
            proved.set()

        proved = asyncio.Event()
        self._following = asyncio.create_task(successor.answer(self._sync, prove))
        waits = [asyncio.ensure_future(event.wait()) for event in (proved, self._stopping)]
        await asyncio.wait([self._following, *waits], timeout=SERVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        if self.done:
            return
        if self._stopping.is_set():
            successor.terminate()
            raise Unavailable("the gate is about to end")
        gone = self._following.done()
        how = await successor.ended() if gone else f"had not proved itself after {SERVE_SECONDS:g} s"
        self._following.cancel()
        successor.kill()
        if not how:
            self._stopping.set()
            raise Unavailable("the new process was told to end, and the gate ends with it")
        self._take_back()
        raise Unavailable(f"the new process {how} when it had just begun to serve", fix="See the log.")

    def _take_back(self) -> None:
        if not self._stopping.is_set():
            self._begin()
