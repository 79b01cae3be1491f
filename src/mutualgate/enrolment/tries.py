"""How often a peer may be wrong about what opens an invitation. In memory, of a fixed size: strangers fill it."""

import ipaddress
import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from mutualgate.counts import counted
from mutualgate.errors import Unavailable

MOST = 20
"""Wrong tries of one peer within `WINDOW`: an office behind one address mistypes, a program guesses."""
WINDOW = timedelta(minutes=10)
PEERS = 10_000
"""Peers that are remembered; the one that was wrong longest ago is forgotten for a new one. A few MB at most."""


class WrongTries:
    """Counts wrong tries by peer. Threads may share it."""

    def __init__(self, most: int = MOST, window: timedelta = WINDOW, peers: int = PEERS) -> None:
        self._most, self._window, self._peers = most, window, peers
        self._times: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, peer: str, now: datetime) -> None:
        """Raises `Unavailable` for a peer that was wrong too often lately: nothing that can be guessed is looked at."""
        with self._lock:
            times = self._lately(_network(peer), now)
            if len(times) >= self._most:
                wait = times[0] + self._window - now
                raise Unavailable(
                    f"too many wrong tries came from {_shown(peer)}",
                    fix=f"Try again in {counted(max(1, round(wait.total_seconds() / 60)), 'minute')}",
                    code="too_many_tries",
                    facts={"seconds": max(1, int(wait.total_seconds()))},
                )

    def wrong(self, peer: str, now: datetime) -> None:
        """Notes a wrong try."""
        network = _network(peer)
        with self._lock:
            times = self._lately(network, now)
            times.append(now)
            self._times[network] = times
            self._times.move_to_end(network)
            while len(self._times) > self._peers:
                self._times.popitem(last=False)

    def __len__(self) -> int:
        return len(self._times)

    def _lately(self, network: str, now: datetime) -> deque[datetime]:
        times = self._times.get(network)
        if times is None:
            return deque(maxlen=self._most)
        while times and abs(now - times[0]) >= self._window:  # or the clock was set back
            times.popleft()
        if not times:
            del self._times[network]
        return times


def _network(peer: str) -> str:
    """One address of IPv4, a /64 of IPv6: what one subscriber has (RFC 6177)."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _shown(peer: str) -> str:
    return peer[:64] if peer.isprintable() and peer else "this address"
