"""Addresses at which partners' CAs publish: which may be fetched, and where they may lead.

An address comes out of somebody else's certificate. Whoever writes it there must not be able to make this machine
ask services that only it can reach, so a name is resolved once, each address it leads to is looked at, and the
connection goes to that very address.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mutualgate.config.kinds import Unfit
from mutualgate.config.network import host_name
from mutualgate.errors import BadInput
from mutualgate.reading.files import shown

MAX_URL = 2_000
"""Characters."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NETWORKS = {
    # IANA's registries of special-purpose addresses (RFC 6890), and multicast.
    4: "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4",
    # Of 2000::/3, outside of which nothing is public: Teredo and others, documentation, 6to4, documentation.
    6: "2001::/23 2001:db8::/32 2002::/16 3fff::/20",
}
_SPECIAL = {version: tuple(ipaddress.ip_network(one) for one in text.split()) for version, text in _NETWORKS.items()}
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = tuple(ipaddress.ip_network(one) for one in ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8"))


@dataclass(frozen=True)
class Location:
    """An http or https address, taken apart. `host` is a DNS name or an IP address in its usual spelling."""

    url: str
    secure: bool
    host: str
    port: int
    target: str
    """Path and query, as the request line has them."""

    @property
    def shown_host(self) -> str:
        """For the Host field and for people; without the port where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def read_location(url: str) -> Location:
    """`url` as something that can be fetched. Raises `BadInput`: another scheme, odd spellings, a user name."""

    def refused(problem: str, fix: str | None = None) -> BadInput:
        return BadInput(
            problem,
            where=shown(url, 100),
            expected='an address such as "http://crl.example.com/ca.crl"',
            fix=fix,
            code="bad_address",
        )

    if len(url) > MAX_URL or not re.fullmatch(r"[!-~]+", url):
        raise refused("this is no address that can be fetched")
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        raise refused(
            f"{scheme if re.fullmatch('[a-z0-9+.-]{1,10}', scheme) else 'this'}: addresses are not fetched",
            "Ask the partner for an http address, or load the list as a file: mutualgate partner crl load",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refused("this is no address that can be fetched") from None
    if "@" in parts.netloc:
        raise refused("there is a user name in the address")
    if parts.fragment or port == 0 or "\\" in url:
        raise refused("this is no address that can be fetched")
    try:
        # Refuses 127.1, 2130706433 and other numbers that some readers take for an address.
        name = host_name(host, host)
    except Unfit as unfit:
        raise refused(f"the host cannot be used: {unfit.problem}") from None
    secure = scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(url, secure, name, port or (443 if secure else 80), target)


def is_public(address: Address) -> bool:
    """Whether it leads to the internet: not to this machine, this network, a special use or a group."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:  # RFC 6052: an IPv4 address in the clothes of an IPv6 network
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _GLOBAL_V6:  # among them ::1, fe80::/10, fc00::/7 and ::ffff:0:0/96
            return False
    return not any(address in network for network in _SPECIAL[address.version])


def may_connect(address: Address, private: bool) -> bool:
    """Whether a fetch may go there; with `private` also into this network and to this machine, but never to a group."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return may_connect(address.ipv4_mapped, private)
        if address.scope_id is not None and not private:
            return False
    if is_public(address):
        return True
    return private and not any(address.version == one.version and address in one for one in _NEVER)


def why_not(private: bool) -> tuple[str, str | None]:
    """What is wrong with an address that `may_connect` refuses, and what to do about it."""
    if private:
        return "leads to a group of machines, or to none", None
    return "leads into a private network or to this machine", "If that is right, allow it with --private"


def check_written(location: Location, private: bool) -> None:
    """Raises `BadInput` (`private_address`) for a host that is written as an address to which no fetch may go.

    Where a name leads, each fetch finds out.
    """
    try:
        address = ipaddress.ip_address(location.host)
    except ValueError:
        return
    if not may_connect(address, private):
        problem, fix = why_not(private)
        raise BadInput(problem, where=shown(location.url, 100), fix=fix, code="private_address")
