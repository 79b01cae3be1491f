"""Sockets that listen already when the process starts: systemd opened them, or the process that this one succeeds.

Knows which of them stands for which address of the settings. Does not know who serves on them.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from mutualgate.config import Address, Config
from mutualgate.errors import BadInput

TLS, PLAIN, OPS = "tls", "plain", "ops"
SERVICES = {TLS: "gate.listen", PLAIN: "gate.plain_listen", OPS: "gate.ops_listen"}

_FIRST = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


@dataclass(frozen=True)
class Given:
    """A socket that listens.

    `service` is what it is for, empty where only its address can tell. `wanted` is the address of the settings that it
    stands for; empty where it stands in place of whatever the settings name.
    """

    service: str
    wanted: str
    listener: socket.socket = field(compare=False)

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port, *_ = self.listener.getsockname()
        return Address(host, port)

    def serves(self, address: Address) -> bool:
        """Whether who connects to `address` comes to this socket."""
        own = self.address
        return own.port == address.port and (own.host == address.host or ipaddress.ip_address(own.host).is_unspecified)


@dataclass(frozen=True)
class Settled:
    """Where one of the services listens: the addresses, and what is open of them already."""

    addresses: tuple[str, ...]
    open: tuple[Given, ...]


@dataclass(frozen=True)
class Placed:
    """What became of all sockets that were given."""

    settled: Mapping[str, Settled]
    """Where each of the services listens."""
    in_place: frozenset[str]
    """The services of sockets that stand in place of whatever the settings name."""
    unwanted: tuple[socket.socket, ...]
    """Of these services, and of no use to them."""
    others: Mapping[str, socket.socket]
    """Those of other services, by the service."""

    def for_the_next(self, service: str, wanted: str, listener: socket.socket) -> Given:
        """A socket as the process that succeeds this one is to place it: as it was placed here."""
        return Given(service, "" if service in self.in_place else wanted, listener)


def place(given: Sequence[Given], config: Config) -> Placed:
    """Finds a place for each. Raises `BadInput` for one that stands for nothing."""
    gate = config.gate
    wanted = ((TLS, gate.listen), (PLAIN, gate.plain_listen), (OPS, gate.ops_listen))
    settled = {service: settle(service, addresses, given) for service, addresses in wanted}
    for one in strangers(given, settled.values()):
        raise BadInput(
            f"a socket at {one.address} was handed over, and no setting names that address",
            where=str(config.file),
            fix="Name it in `gate.listen`, or give it a name in the socket unit (FileDescriptorName=tls)",
        )
    open_ = {one.listener for of_service in settled.values() for one in of_service.open}
    return Placed(
        settled,
        in_place=frozenset(one.service for one in given if one.service and not one.wanted),
        unwanted=tuple(one.listener for one in given if one.service in settled and one.listener not in open_),
        others={one.service: one.listener for one in given if one.service not in settled},
    )


def settle(service: str, addresses: Sequence[Address], given: Iterable[Given]) -> Settled:
    """Finds out of `given` what is for `service`, which the settings want at `addresses`.

    Sockets that are meant for the service, without an address, are all that it gets. Others serve the addresses that
    they listen at; a wildcard serves every address of its port.
    """
    instead = [one for one in given if one.service == service and not one.wanted]
    if instead:
        open_ = tuple(Given(service, str(one.address), one.listener) for one in instead)
        return Settled(tuple(dict.fromkeys(one.wanted for one in open_)), open_)
    left = {one.listener: one for one in given if one.service in (service, "")}
    wanted: list[str] = []
    taken: list[Given] = []
    for address in addresses:
        text = str(address)
        # A worker has a socket of its own where a process opened them: they go together.
        own = [one for one in left.values() if text == one.wanted or one.address == address]
        if not own and any(one.serves(address) for one in taken):
            continue  # by the wildcard of an address before it
        own = own or [one for one in left.values() if not one.service and one.serves(address)][:1]
        wanted.append(text)
        for one in own:
            del left[one.listener]
            taken.append(Given(service, one.wanted or text, one.listener))
    return Settled(tuple(wanted), tuple(taken))


def strangers(given: Iterable[Given], settled: Iterable[Settled]) -> Iterator[Given]:
    """Those that stand for nothing."""
    taken = {one.listener for of_service in settled for one in of_service.open}
    return (one for one in given if not one.service and one.listener not in taken)


def from_systemd(environment: MutableMapping[str, str]) -> list[Given]:
    """The sockets of a socket unit (sd_listen_fds(3)). What says so is taken out of `environment`, being for this
    process alone. A name among `tls`, `plain` and `ops` (FileDescriptorName=) says what a socket is for.

    Raises `BadInput` for one that is no listening TCP socket.
    """
    pid, count, names = (environment.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    labels = names.split(":") if names else []
    found = []
    for place in range(int(count)):
        name = labels[place] if place < len(labels) else ""
        found.append(Given(name if name in SERVICES else "", "", _socket(_FIRST + place, name)))
    return found


def _socket(descriptor: int, name: str) -> socket.socket:
    where = f"descriptor {descriptor} of systemd{f' ({name})' if name else ''}"
    fix = "Let the socket unit have ListenStream= with addresses and ports"
    try:
        os.set_inheritable(descriptor, False)
        found = socket.socket(fileno=descriptor)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BadInput(f"is no socket: {error.strerror}", where=where, fix=fix) from error
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM or not listens:
        found.close()
        raise BadInput("is no listening TCP socket", where=where, fix=fix)
    return found
