"""The running gate: starts the data plane and keeps it at the state of the store and of mutualgate.toml.

Changes reach it in three ways: a command knocks on the control socket; the store is looked at now and then, for
whoever could not knock; mutualgate.toml is read again when it changes or on SIGHUP. A state that cannot be used is
reported and the last good one stays in force.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any

from mutualgate import snapshot
from mutualgate.app import control, notify
from mutualgate.app.checks import certificates_fit
from mutualgate.app.publications import publications
from mutualgate.app.refusals import keep_refusals
from mutualgate.app.server_certificates import files_of, site_certificates
from mutualgate.app.services import Services
from mutualgate.app.settings import gate_settings
from mutualgate.config import Config
from mutualgate.errors import BadInput, MutualgateError
from mutualgate.gate import DataPlane, GateSettings
from mutualgate.model import ChangeKind

log = logging.getLogger("mutualgate")

_LOOK_SECONDS = 1.0
_KEEP_SECONDS = 30.0
_EVENTS = 1_000


class Runner:
    """One running gate. `prepare`, then `run` until `stop` or a signal."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._changing = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._started_at = services.clock()
        self.config = services.read_config(certificates_fit)
        self.listening: list[str] = []
        self._reload_problem: str | None = None
        self._plane = DataPlane(self._settings(self.config), snapshot.build(services.store, self._sites()))

    def start(self) -> list[str]:
        """Opens the listeners and returns their addresses."""
        files = publications(self._services)
        self.listening = self._plane.start()
        self._plane.publish(files)
        return self.listening

    async def run(self, ready: Callable[[], Awaitable[None]]) -> Mapping[str, Any]:
        """Serves until stopped; calls `ready` once commands are heard. Returns the counts of the stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        reloading: set[asyncio.Task[None]] = set()

        def reload_soon() -> None:
            task = asyncio.ensure_future(self.reload())
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        loop.add_signal_handler(signal.SIGHUP, reload_soon)
        async with AsyncExitStack() as stack:
            server = await control.serve(self._services.folder, {"sync": self._on_sync, "status": self._on_status})
            stack.callback(lambda: self._services.folder.control.unlink(missing_ok=True))
            stack.callback(server.close)
            tasks = [
                asyncio.create_task(self._watch_file()),
                asyncio.create_task(self._watch_store()),
                asyncio.create_task(self._keep()),
                asyncio.create_task(self._take_events()),
            ]
            await ready()
            notify.tell("READY=1")
            await self._stopped.wait()
            notify.tell("STOPPING=1")
            for task in tasks:
                task.cancel()
            drain = self.config.gate.timeouts.drain.total_seconds()
            stopped = await asyncio.to_thread(self._plane.stop, drain)
            await asyncio.gather(*tasks, return_exceptions=True)
        return stopped

    def stop(self) -> None:
        """Ends `run`."""
        self._stopped.set()

    async def sync(self) -> int:
        """Takes over what changed in the store; returns the epoch in force, which has it."""
        async with self._changing:
            return await asyncio.to_thread(self._sync)

    async def reload(self) -> None:
        """Reads mutualgate.toml again. One that cannot be used is reported, and the last good one stays in force."""
        async with self._changing:
            self._plane.reopen_access_log()
            try:
                await asyncio.to_thread(self._reload)
            except MutualgateError as error:
                self._reload_problem = str(error)
                log.error("the configuration stays as it was: %s", error)
            else:
                self._reload_problem = None
                log.info("the configuration was read again (epoch %d)", self._plane.epoch)

    def status(self) -> dict[str, Any]:
        """What runs, for `mutualgate status` and the health page."""
        return {
            "pid": os.getpid(),
            "started": self._started_at.isoformat(),
            "epoch": self._plane.epoch,
            "listening": self.listening,
            "sites": [site.name for site in self.config.sites],
            "configuration": str(self.config.file),
            "configuration_problem": self._reload_problem,
            "certificates": {site: end.isoformat() for site, end in self._certificates.items()},
        }

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
        return self._certificates

    @property
    def services(self) -> Services:
        """What this process was put together from."""
        return self._services

    def counters(self) -> Mapping[str, Any]:
        """The data plane's counters."""
        return self._plane.counters()

    # What follows is called in a thread, one at a time.

    def _sync(self) -> int:
        store = self._services.store
        delta = snapshot.delta(store, self._plane.epoch)
        if delta is None:
            return self._plane.replace(snapshot.build(store, self._sites()))
        return self._plane.apply(delta)

    def _reload(self) -> None:
        config = self._services.read_config(certificates_fit)
        fixed = _fixed(self.config, config)
        if fixed:
            raise BadInput(
                f"{', '.join(fixed)} cannot change while the gate runs", where=str(config.file), fix="Restart the gate."
            )
        settings = self._settings(config)
        before, self.config = self.config, config
        try:
            # An epoch of its own: every open connection is judged again, by the new routes.
            since = self._plane.epoch
            with self._services.store.transaction() as tx:
                tx.changes.note(ChangeKind.SITES, "")
            delta = snapshot.delta(self._services.store, since, self._sites())
            if delta is None:
                self._plane.configure(settings, snapshot.build(self._services.store, self._sites()), anew=True)
            else:
                self._plane.configure(settings, [delta])
        except BaseException:
            self.config = before
            raise
        self._publish()

    def _stored_epoch(self) -> int:
        with self._services.store.reading() as tx:
            return tx.changes.epoch()

    def _sites(self) -> list[snapshot.SiteRecord]:
        return snapshot.site_records(self.config)

    def _settings(self, config: Config) -> GateSettings:
        sites = site_certificates(self._services, config)
        self._certificates = {site.name: site.not_after for site in sites}
        return gate_settings(config, [site.settings for site in sites], self._services.folder.demo)

    def _publish(self) -> None:
        self._plane.publish(publications(self._services))

    async def _on_sync(self) -> Mapping[str, Any]:
        epoch = await self.sync()
        # The list is for others; the gate itself judges by the snapshot, so the asker need not wait for it.
        self._publishing = asyncio.ensure_future(self._publish_again())
        return {"epoch": epoch}

    async def _on_status(self) -> Mapping[str, Any]:
        return {**self.status(), "counters": self.counters()}

    async def _publish_again(self) -> None:
        async with self._changing:
            try:
                await asyncio.to_thread(self._publish)
            except MutualgateError as error:
                log.error("the revocation lists could not be renewed: %s", error)

    async def _watch_file(self) -> None:
        before = _signature(self.config)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = _signature(self.config)
            if now != before:
                before = now
                await self.reload()

    async def _watch_store(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await asyncio.to_thread(self._stored_epoch) != self._plane.epoch:
                    await self._on_sync()
            except MutualgateError as error:
                log.error("the store cannot be read, the last state stays in force: %s", error)

    async def _keep(self) -> None:
        """Renews what runs out: revocation lists at half their life, the sites' certificates in their last third."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            await self._publish_again()
            if any(site.due for site in await asyncio.to_thread(site_certificates, self._services, self.config)):
                await self.reload()

    async def _take_events(self) -> None:
        while True:
            events = await asyncio.to_thread(self._plane.events, _EVENTS, 0.5)
            if events:
                try:
                    await asyncio.to_thread(keep_refusals, self._services, events)
                except MutualgateError as error:
                    log.error("%d refusals could not be kept: %s", len(events), error)


def _fixed(before: Config, after: Config) -> list[str]:
    """The settings that differ and can only be read at a start."""
    names = ("listen", "plain_listen", "ops_listen", "workers")
    return [f"gate.{name}" for name in names if getattr(before.gate, name) != getattr(after.gate, name)]


def _signature(config: Config) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes when the file, or a certificate or key that it names, is written or replaced."""
    marks: list[tuple[int, int, int] | None] = []
    for path in (config.file, *files_of(config)):
        mark = None
        with suppress(OSError):
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        marks.append(mark)
    return tuple(marks)
