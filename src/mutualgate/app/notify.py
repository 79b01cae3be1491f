"""Tells systemd how the service is (sd_notify(3)); without systemd, nothing."""

import os
import socket
import time
from contextlib import suppress

_PATIENCE_SECONDS = 2.0
"""A service manager that does not listen must not stop the gate."""


def tell(state: str) -> None:
    """Sends `state`, for example `READY=1`, to the socket that systemd named, if it did."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE_SECONDS)
        sender.sendto(state.encode(), address)


def reloading() -> str:
    """The state while the configuration is read again; `READY=1` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_seconds() -> float | None:
    """How often to send `WATCHDOG=1`: twice in the time that the unit gives (WatchdogSec=), if it gives one to this
    process (sd_watchdog_enabled(3))."""
    given, whom = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not given.isdigit() or int(given) == 0 or whom not in ("", str(os.getpid())):
        return None
    return int(given) / 2_000_000
