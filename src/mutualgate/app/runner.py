"""The running gate: starts the data plane and keeps it at the state of the store and of mutualgate.toml.

Changes reach it in three ways: a command knocks on the control socket; the store is looked at now and then, for
whoever could not knock; mutualgate.toml is read again when it changes or on SIGHUP. A state that cannot be used is
reported and the last good one stays in force. How another process takes over is in `succession`.
"""

import asyncio
import logging
import os
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from mutualgate.app import answering, notify
from mutualgate.app.again import again, until_set
from mutualgate.app.apart import apart
from mutualgate.app.chores import Chores
from mutualgate.app.given import OPS, PLAIN, TLS, Given, Settled
from mutualgate.app.handover import PROOF_SECONDS, Predecessor
from mutualgate.app.in_force import InForce
from mutualgate.app.overview import Figures, Overview, overview
from mutualgate.app.publications import Publications
from mutualgate.app.pump import Pump
from mutualgate.app.services import Services
from mutualgate.app.succession import Succession
from mutualgate.config import Config
from mutualgate.counts import counted
from mutualgate.errors import BadInput, MutualgateError
from mutualgate.tracing import Exporter, Tally

log = logging.getLogger("mutualgate")

_LOOK_SECONDS = 1.0
_KEEP_SECONDS = 30.0

_CONTROL = "control"
_LAST_SPANS_SECONDS = 3.0
"""For the collector when the process ends."""
_LAST_ANSWERS_SECONDS = 2.0
"""For the answers of the control socket when the process ends."""


class Runner:
    """One running gate, of a folder that this process has claimed. `start`, then `run` until `stop` or a signal."""

    def __init__(
        self,
        services: Services,
        sockets: Path,
        *,
        given: Sequence[Given] = (),
        claim: int | None = None,
        predecessor: Predecessor | None = None,
    ) -> None:
        """Reads everything and serves nothing yet. The gate's own services listen in the folder `sockets`.

        `given` are sockets that listen already. `claim` is what the folder is claimed by: without it, no other process
        can succeed this one. Raises `BadInput` for what cannot be used.
        """
        self._services = services
        self._predecessor = predecessor
        self._chores = Chores(services)
        self._tasks: list[asyncio.Task[None]] = []
        self._control: socket.socket
        """Opened by `run`."""
        self._server: answering.Server | None = None
        self._started_at = services.clock()
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._publications = Publications(services)
        self._publishing_due = asyncio.Event()
        self._problem: str | None = None
        self.listening: list[str] = []
        succeeds = predecessor is not None
        self._in_force = InForce(services, sockets, given, self._publishing_due.set, succeeds=succeeds)
        self._placed = self._in_force.placed
        self._plane = self._in_force.plane
        self._pump = Pump(self._plane, services.refusals, services.sightings)
        self._exporter = Exporter(self._plane, lambda: self.config.tracing, str(uuid.uuid4()))
        self.succession = Succession(
            self._plane,
            self._placed,
            claim,
            self._stopping,
            begin=self._begin_chores,
            end=self._end_chores,
            sync=self.sync,
        )

    def start(self) -> list[str]:
        """Opens the listeners and returns their addresses. Raises `Unavailable` where one cannot be had."""
        if self._predecessor is not None and self._services.store.epoch() != self._plane.epoch:
            # What a command changed since this process read the store is in force there, and must be here.
            self._in_force.sync()
        files = self._publications.news()
        if self._publications.behind:
            log.info("large revocation lists are made while the gate is open; until then the last ones are served")
            self._publishing_due.set()
        given = [one for service in (TLS, PLAIN) for one in self._placed.settled[service].open]
        for unwanted in self._placed.unwanted:
            unwanted.close()  # who connects there would wait for nobody
        listening = [(one.service, one.wanted, one.listener.detach()) for one in given]
        self.listening = self._services.listening = self._plane.start(listening)
        self._plane.publish(files)
        return self.listening

    @property
    def ops(self) -> Settled:
        """Where metrics and health are served."""
        return self._placed.settled[OPS]

    async def run(self, ready: Callable[[], Awaitable[None]]) -> Mapping[str, Any]:
        """Serves until stopped; calls `ready` once commands are heard. Returns the counts of the stop."""
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self._signals())
                self._control = self._placed.others.get(_CONTROL) or answering.listener(self._services.folder)
                stack.callback(self._control.close)
                stack.callback(self._forget_control)
                self.succession.hold(_CONTROL, "", self._control)
                if self._predecessor is not None:
                    await self._predecessor.serving()  # from then on it follows what changes, and commands are heard
                self._begin_chores()
                stack.push_async_callback(self._end_chores)  # before the data plane, which some of them ask
                pump = asyncio.create_task(again("keeping what happened", self._pump.step, self._stopping))
                export = asyncio.create_task(again("handing over traces", self._export_traces, self._stopping))
                stack.callback(export.cancel)
                await ready()
                await self._prove()
                notify.tell(f"READY=1\nSTATUS={self._sentence()}")
                watchdog = asyncio.create_task(self._feed_watchdog())
                stack.callback(watchdog.cancel)
                await self._stopping.wait()
                if not self.succession.done:
                    # Or the service manager looks after the other process, and must not hear that the service ends.
                    notify.tell("STOPPING=1")
                await self._end_chores()
                drain = self.config.gate.timeouts.drain.total_seconds()
                stopped = await asyncio.to_thread(self._plane.stop, drain, in_turn=self.succession.done)
                self.succession.unfollow()
                await pump
                await self._pump.step()  # what happened to those who were still there
                export.cancel()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_SPANS_SECONDS):
                        await apart(partial(self._exporter.last, _LAST_SPANS_SECONDS))
                if self._server is not None:
                    await self._server.answered(_LAST_ANSWERS_SECONDS)
                return stopped
        finally:
            await asyncio.to_thread(self._plane.stop, 0.0)

    def stop(self) -> None:
        """Ends `run`: what is under way is finished, within `drain`."""
        self._stopping.set()

    async def _prove(self) -> None:
        """Has the process that hands over go, once this one has served for a while."""
        if self._predecessor is not None:
            await until_set(self._stopping, PROOF_SECONDS)
            if not self._stopping.is_set():
                await self._predecessor.proved()

    async def sync(self) -> int:
        """Takes over what changed in the store; returns the epoch in force, which has it."""
        async with self._changing:
            epoch = await asyncio.to_thread(self._in_force.sync)
        if self._predecessor is not None:
            await self._predecessor.sync()
        # The list is for others; the gate itself judges by the snapshot, so nobody waits for it.
        self._publishing_due.set()
        self._chores.hurry()
        return epoch

    async def reload(self) -> bool:
        """Reads mutualgate.toml again. One that cannot be used is reported, and the last good one stays in force.

        Returns whether it is in force now.
        """
        async with self._changing:
            try:
                await asyncio.to_thread(self._in_force.reload)
            except MutualgateError as error:
                if not isinstance(error, BadInput):  # a store that is busy, say: the same file may do next time
                    self._in_force.doubt()
                if str(error) != self._problem:
                    log.error("the configuration stays as it was: %s", error)
                self._problem = str(error)
                return False
            except Exception as error:
                self._problem = f"a defect of mutualgate: {type(error).__name__}: {error}"
                log.exception("the configuration stays as it was")
                return False
            self._problem = None
            log.info("the configuration was read again (epoch %d)", self._plane.epoch)
            return True

    def status(self) -> dict[str, Any]:
        """What runs, for `mutualgate status`."""
        return {
            "pid": os.getpid(),
            "started": self._started_at.isoformat(),
            "epoch": self._plane.epoch,
            "listening": self.listening,
            "sites": [site.name for site in self.config.sites],
            "configuration": str(self.config.file),
            "configuration_problem": self._problem,
            "key_log": None if self.config.gate.key_log is None else str(self.config.gate.key_log),
            "certificates": {site: end.isoformat() for site, end in self.server_certificates.items()},
        }

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._in_force.config

    @property
    def started_at(self) -> datetime:
        """When this process started to serve."""
        return self._started_at

    @property
    def epoch(self) -> int:
        """The epoch in force."""
        return self._plane.epoch

    @property
    def server_certificates(self) -> Mapping[str, datetime]:
        """The last second of each site's certificate."""
        return self._in_force.ends

    def counters(self) -> Mapping[str, Any]:
        """The data plane's counters."""
        return self._plane.counters()

    @property
    def spans(self) -> Tally:
        """What became of the spans of traced requests."""
        return self._exporter.tally

    def token_keys(self) -> bytes | None:
        """The set of keys that verify tokens, as JSON; None where no token was ever signed."""
        return self._services.token_keys.published()

    @property
    def figures(self) -> Figures:
        """What was found out within the last minute, or nothing just after the start."""
        return self._chores.figures

    def overview(self) -> Overview:
        """What the store says now. Raises what the store raises."""
        return overview(self._services.store)

    def _begin_chores(self) -> None:
        """Hears commands, and does what is to be done again and again."""
        handlers = {
            "sync": self._on_sync,
            "status": self._on_status,
            "running": self._on_running,
            "upstreams": self._on_upstreams,
            "restart": self._on_restart,
        }
        self._server = answering.Server(self._control, handlers)
        self._tasks = [
            asyncio.create_task(again(what, step, self._stopping))
            for what, step in (
                ("watching mutualgate.toml", self._look_at_files),
                ("watching the store", self._look_at_store),
                ("renewing the revocation lists", self._look_at_lists),
                ("renewing the gate's certificates", self._look_at_certificates),
                *self._chores.steps,
            )
        ]

    async def _end_chores(self) -> None:
        """Leaves commands and chores to nobody, or to the process that goes on with them."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        self._services.sender.stop()
        self._services.__dict__.pop("sender", None)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget_control(self) -> None:
        if not self.succession.done:
            self._services.folder.control.unlink(missing_ok=True)

    async def _feed_watchdog(self) -> None:
        """As long as the loop turns and the data plane answers."""
        while (seconds := notify.watchdog_seconds()) is not None:
            await asyncio.to_thread(self._plane.counters)
            notify.tell("WATCHDOG=1")
            await asyncio.sleep(seconds)

    def _sentence(self) -> str:
        """How the service is, for `systemctl status`."""
        if self._problem is not None:
            return f"mutualgate.toml as it is now is not in force: {self._problem}"
        return f"{counted(len(self.config.sites), 'site')} at {', '.join(self.listening)}"

    # Steps of the tasks in the background, and what the control socket is asked.

    async def _export_traces(self) -> None:
        await asyncio.sleep(self._exporter.pause)
        await apart(self._exporter.send)

    async def _look_at_files(self) -> None:
        await asyncio.sleep(_LOOK_SECONDS / 2)  # what was written is read at the second look
        if await asyncio.to_thread(self._in_force.has_changed) and not await self.reload():
            async with self._changing:
                if await asyncio.to_thread(self._in_force.reread):
                    log.info("certificates were read again (epoch %d)", self._plane.epoch)

    async def _look_at_store(self) -> None:
        await asyncio.sleep(_LOOK_SECONDS)
        if await asyncio.to_thread(self._services.store.epoch) != self._plane.epoch:
            await self.sync()

    async def _look_at_lists(self) -> None:
        """New ones are due after a revocation, and at half their life."""
        await until_set(self._publishing_due, min(_KEEP_SECONDS, self._publications.rest))
        self._publishing_due.clear()
        self._plane.publish(await asyncio.to_thread(self._publications.news))
        if self._publications.behind:
            self._plane.publish(await apart(self._publications.catch_up))

    async def _look_at_certificates(self) -> None:
        """New ones are due in the last third of their life."""
        await asyncio.sleep(_KEEP_SECONDS)
        async with self._changing:
            if await asyncio.to_thread(self._in_force.renew):
                log.info("a certificate or the token key of the gate was renewed (epoch %d)", self._plane.epoch)

    def _ending(self) -> list[dict[str, Any]]:
        expiry, now = self._services.expiry, self._services.clock()
        return [expiry.as_dict(one, now) for one in expiry.pressing()]

    async def _on_restart(self) -> Mapping[str, Any]:
        return {"pid": os.getpid(), "successor": await self.succession.hand_over()}

    async def _on_sync(self) -> Mapping[str, Any]:
        return {"epoch": await self.sync()}

    async def _on_upstreams(self) -> Mapping[str, Any]:
        return {"servers": self._plane.counters()["servers"]}

    async def _on_running(self) -> Mapping[str, Any]:
        """What of `status` is known without asking the store."""
        return self.status()

    async def _on_status(self) -> Mapping[str, Any]:
        seen = await asyncio.to_thread(self.overview)
        return {
            **self.status(),
            **seen.values(),
            **self.figures.values(),
            "ending": await asyncio.to_thread(self._ending),
            "partner_problems": await asyncio.to_thread(lambda: self._plane.problems),
            "tracing": None if self.config.tracing.endpoint is None else asdict(self.spans),
            "counters": self.counters(),
        }

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the gate, a second one at once; SIGHUP has the configuration read again, SIGUSR2 a new
        process take over."""
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Future[None]] = set()

        def end(number: signal.Signals) -> None:
            if self._stopping.is_set():
                log.warning("stopped at once: what was under way is cut")
                self._forget_control()
                os._exit(128 + number)
            self.stop()

        def does(step: Callable[[], Awaitable[None]]) -> Callable[[], None]:
            def start() -> None:
                task = asyncio.ensure_future(step())
                under_way.add(task)
                task.add_done_callback(under_way.discard)

            return start

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        loop.add_signal_handler(signal.SIGHUP, does(self._reload_as_told))
        loop.add_signal_handler(signal.SIGUSR2, does(self._succeed_as_told))
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
                loop.remove_signal_handler(number)

    async def _succeed_as_told(self) -> None:
        try:
            await self.succession.hand_over()
        except MutualgateError:
            pass  # the log has it
        except Exception:
            log.exception("this process goes on: no other could take over")

    async def _reload_as_told(self) -> None:
        notify.tell(notify.reloading())
        self._plane.reopen_access_log()  # whoever moved the log away says so by this signal
        self._problem = None  # whoever asks by hand is answered each time
        await self.reload()
        notify.tell(f"READY=1\nSTATUS={self._sentence()}")
