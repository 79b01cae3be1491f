"""How a running gate hands over to the process that succeeds it, so that nobody who connects is turned away.

The old process starts the new one with one end of a pair of sockets and gives it, over that, the sockets that it
listens on and its claim to the folder (SCM_RIGHTS, unix(7)). Both then listen on the same sockets, and a connection
waits in them until somebody accepts it. What they say to each other is one JSON object a line:

    old -> new   {"pid", "given": [[service, wanted], …]}   with the descriptors
    new -> old   {"prepared": true}                  it has read everything, and serves nothing yet
    old -> new   {"go": true}                        the old one takes no more commands and does no more chores
    new -> old   {"serving": true}                   it accepts
    old -> new   {"yours": true}                     the new one takes commands and does the chores; both accept
    new -> old   {"sync": true}, answered by {"epoch": N}   as often as the store changes, until the old one is gone
    new -> old   {"proved": true}                    it has served for a while
    old -> new   {"main": true}                      the service manager knows; the old one ends what is under way
    new -> old   {"failed": "why"}                   instead of any of its own; then it ends, and the old one goes on

A line that does not come is the end of the other process. Until the new one has proved itself, the old one goes on
then, unless the new one was told to end.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from mutualgate.app.given import Given
from mutualgate.app.orphan import Orphan
from mutualgate.errors import Unavailable
from mutualgate.priority import undiminished

log = logging.getLogger("mutualgate")

CHANNEL = "MUTUALGATE_HANDOVER"
"""In the environment of the new process: the descriptor of its end."""

CLAIM = "claim"
"""The service name of the descriptor by which the folder is claimed."""

PREPARE_SECONDS = 300.0
"""A million clients are read in a few seconds; a machine that swaps may take longer."""
SERVE_SECONDS = 60.0
SYNC_SECONDS = 5.0
PROOF_SECONDS = 2.0
"""What breaks in a new version breaks when its chores and its first requests begin."""

_AT_ONCE = 200  # SCM_MAX_FD is 253 for one message
_LINE_BYTES = 1 << 20


class Channel:
    """Lines to and from the other process."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def say(self, **what: Any) -> None:
        """Sends a line; a process that is gone hears nothing."""
        _, writer = await self._open()
        with suppress(OSError):
            writer.write(json.dumps(what).encode() + b"\n")
            await writer.drain()

    async def hear(self, seconds: float | None = None) -> dict[str, Any]:
        """The next line; empty at the end. Raises `TimeoutError`."""
        reader, _ = await self._open()
        try:
            async with asyncio.timeout(seconds):
                line = await reader.readline()
            said = json.loads(line) if line else {}
        except TimeoutError:
            raise
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._end.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._end.setblocking(False)
            self._streams = await asyncio.open_unix_connection(sock=self._end.dup(), limit=_LINE_BYTES)
        return self._streams


class Successor:
    """The process that is to take over, as the old one sees it."""

    def __init__(self, process: Orphan, channel: Channel) -> None:
        self._process = process
        self._channel = channel

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    def start(cls, given: Sequence[Given], claim: int) -> "Successor":
        """Starts the same program with the same words, as it lies on the disk now. Raises `Unavailable`."""
        ours, theirs = socket.socketpair()
        try:
            process = undiminished(lambda: _again(theirs.fileno()))
        except OSError as error:
            ours.close()
            raise Unavailable(f"the new process cannot be started: {error.strerror}", where=sys.executable) from error
        finally:
            theirs.close()
        rows = [[one.service, one.wanted] for one in given]
        header = {"pid": os.getpid(), "given": [*rows, [CLAIM, ""]]}
        try:
            _send(ours, header, [*(one.listener.fileno() for one in given), claim])
        except OSError:
            pass  # it has ended; whoever waits for its words is told
        return cls(process, Channel(ours))

    async def prepared(self) -> None:
        """Waits until it has read everything. Raises `Unavailable` with its words if it does not come so far."""
        await self._expect("prepared", PREPARE_SECONDS)

    async def serving(self) -> None:
        """Lets it begin, and waits until it accepts. Raises `Unavailable` likewise."""
        await self._channel.say(go=True)
        await self._expect("serving", SERVE_SECONDS)

    async def yours(self) -> None:
        """Gives it commands and chores."""
        await self._channel.say(yours=True)

    async def answer(self, sync: Callable[[], Awaitable[int]], proved: Callable[[], None]) -> None:
        """Takes over what changes for as long as this process lives: who is cut off there must be cut off here. Calls
        `proved` when the other one has served for a while."""
        try:
            while said := await self._channel.hear():
                if said.get("proved"):
                    proved()
                    await self._channel.say(main=True)
                    continue
                try:
                    epoch = await sync()
                except Exception:
                    log.exception("a change could not be taken over while the gate ends what is under way")
                    continue  # the other one waits for a moment, and its command says so
                await self._channel.say(epoch=epoch)
        finally:
            self._channel.close()

    async def ended(self) -> str:
        """How it has ended, since it says nothing more; empty where it was told to."""
        try:
            code = await asyncio.to_thread(self._process.wait, 5)
        except subprocess.TimeoutExpired:
            return "went silent"
        return "" if code == 0 else f"was ended by signal {-code}" if code < 0 else f"ended with {code}"

    def terminate(self) -> None:
        """Tells it to end what is under way, as this process does."""
        self._process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it, whatever it does."""
        self._process.signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SYNC_SECONDS)
        self._process.release()
        self._channel.close()

    def leave(self) -> None:
        """From now on it stands on its own, as a child of the service manager."""
        self._process.release()

    async def _expect(self, what: str, seconds: float) -> None:
        try:
            said = await self._channel.hear(seconds)
        except TimeoutError:
            raise Unavailable(f"the new process was not ready after {seconds:g} s") from None
        if said.get(what):
            return
        if why := said.get("failed"):
            raise Unavailable(f"the new process did not start: {why}")
        how = await self.ended() or "ended"
        raise Unavailable(f"the new process {how} before it was ready", fix="See the log.")


class Predecessor:
    """The process that hands over, as the new one sees it."""

    def __init__(self, channel: Channel, pid: int, given: list[Given], claim: int) -> None:
        self._channel: Channel | None = channel
        self._one = asyncio.Lock()
        self.pid = pid
        self.given = given
        self.claim = claim

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> "Predecessor | None":
        """The one that started this process, if one did; what says so is taken out of `environment`."""
        number = environment.pop(CHANNEL, None)
        if number is None:
            return None
        end = socket.socket(fileno=int(number))
        end.set_inheritable(False)
        header, descriptors = _receive(end)
        rows = [(str(service), str(wanted)) for service, wanted in header["given"]]
        given, claim = [], -1
        for (service, wanted), descriptor in zip(rows, descriptors, strict=True):
            if service == CLAIM:
                claim = descriptor
            else:
                given.append(Given(service, wanted, socket.socket(fileno=descriptor)))
        return cls(Channel(end), int(header["pid"]), given, claim)

    async def prepared(self) -> None:
        """Says so, and waits until this process may begin. One that was killed meanwhile has nothing to say: its
        sockets are here, and this process begins."""
        if self._channel is not None:
            await self._channel.say(prepared=True)
            await self._channel.hear()

    async def serving(self) -> None:
        """Says so, and waits until the other one leaves commands and chores to this process."""
        if self._channel is not None:
            await self._channel.say(serving=True)
            await self._channel.hear()

    async def proved(self) -> None:
        """Says that this process has served for a while, and waits until the service manager knows it."""
        await self._ask("proved")

    async def sync(self) -> None:
        """Has the other one take over what changed, if it is still there: a change is in force when it is so for all
        who are connected. One that does not answer in time is left alone; it ends soon."""
        await self._ask("sync")

    async def _ask(self, what: str) -> None:
        async with self._one:
            if self._channel is None:
                return
            await self._channel.say(**{what: True})
            try:
                said = await self._channel.hear(SYNC_SECONDS)
            except TimeoutError:
                log.warning("process %d did not answer in time, and ends", self.pid)
                said = {}
            if not said:
                self._channel.close()
                self._channel = None

    def failed(self, why: str) -> None:
        """Tells why this process ends. Outside of any loop."""
        if self._channel is not None:
            with suppress(OSError):
                self._channel._end.setblocking(True)
                self._channel._end.sendall(json.dumps({"failed": why}).encode() + b"\n")


def _again(channel: int) -> Orphan:
    return Orphan([sys.executable, *sys.orig_argv[1:]], _environment(channel), [channel])


def _environment(channel: int) -> dict[str, str]:
    """Ours for the new process: without what systemd said to this one alone."""
    alone = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID")
    return {key: value for key, value in os.environ.items() if key not in alone} | {CHANNEL: str(channel)}


def _send(end: socket.socket, header: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    end.settimeout(SYNC_SECONDS)
    end.sendall(json.dumps(header).encode() + b"\n")
    for start in range(0, len(descriptors), _AT_ONCE):
        socket.send_fds(end, [b"."], list(descriptors[start : start + _AT_ONCE]))


def _receive(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What `_send` sent: nothing follows it before this process has answered."""
    data, descriptors = b"", list[int]()
    end.settimeout(PREPARE_SECONDS)
    while True:
        head, newline, dots = data.partition(b"\n")
        if newline and len(dots) * _AT_ONCE >= len(json.loads(head)["given"]):
            return json.loads(head), descriptors
        some, more, _, _ = socket.recv_fds(end, 1 << 16, _AT_ONCE, socket.MSG_CMSG_CLOEXEC)
        if not some:
            raise Unavailable("the process that hands over has ended")
        data += some
        descriptors += more
