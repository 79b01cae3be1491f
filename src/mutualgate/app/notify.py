"""Tells systemd how the service is (sd_notify(3)); without systemd, nothing."""

import os
import socket
import time
from contextlib import suppress


def tell(state: str) -> None:
    """Sends `state`, for example `READY=1`, to the socket that systemd named, if it did."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)


def reloading() -> str:
    """The state while the configuration is read again; `READY=1` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
