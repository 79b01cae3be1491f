"""The process that has commands at hand (`standby`), beside a gate: started with it, and no longer there than it."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen

from mutualgate.app.apart import apart
from mutualgate.priority import undiminished

log = logging.getLogger("mutualgate")


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[None]:
    """Has a standby process for the folder as long as the block runs, and no longer than this process."""
    if sys.platform != "linux":
        yield
        return
    lifeline, ours = os.pipe()
    try:
        process = undiminished(lambda: _started(folder, lifeline))
    except OSError as error:
        log.warning("commands take longer than they could: no process for them can be started: %s", error.strerror)
        os.close(ours)
        yield
        return
    finally:
        os.close(lifeline)
    hearing = asyncio.create_task(_hear(process))
    try:
        yield
    finally:
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing
        os.close(ours)


def _started(folder: Path, lifeline: int) -> "Popen[bytes]":
    return Popen(
        [sys.executable, "-Pm", "mutualgate", "standby", f"--dir={folder}", f"--lifeline={lifeline}"],
        stdin=DEVNULL,
        stdout=DEVNULL,
        pass_fds=[lifeline],
        env={name: value for name, value in os.environ.items() if not name.startswith("MUTUALGATE_")},
        start_new_session=True,  # what a terminal sends to the gate is not for it
    )


async def _hear(process: "Popen[bytes]") -> None:
    """Waits for its end, since it would stay as a zombie. What ended it may do so again: no other is begun."""
    status = await apart(process.wait)
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with {status}"
        log.warning("commands take longer until `mutualgate restart`: the process that has them at hand %s", how)
