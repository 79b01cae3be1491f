"""The address of the portal, for the links that people are sent."""

import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mutualgate.authorities.overview import hierarchy
from mutualgate.config import DEFAULT_HOSTS, PORTAL, Config
from mutualgate.enrolment.invitations import no_portal
from mutualgate.errors import NotFound

if TYPE_CHECKING:
    from mutualgate.app.services import Services

_HTTPS = "443"


def portal_url(config: Config, listening: Callable[[], Sequence[str]] = tuple) -> str:
    """`portal.url`, or else the first route to the portal, by a host of its site and the gate's first port.

    `listening` says where the gate that runs listens, which need not be what the configuration has: flags may change
    it, and so may the system. Nothing where none runs. Raises `NotFound` where no route leads to the portal, or nobody
    knows the port.
    """
    found = next(((site, route) for site in config.sites for route in site.routes if route.upstream == PORTAL), None)
    if found is None:
        return no_portal()
    if config.portal.url is not None:
        return config.portal.url
    site, route = found
    address, _, port = next(iter(listening()), str(config.gate.listen[0])).rpartition(":")
    if port == "0":
        raise NotFound(
            "the port of the gate is not known before it runs",
            where=str(config.file),
            fix="Start the gate, or set `portal.url`.",
            code="portal_port_unknown",
        )
    name = site.hosts[0]
    if not ipaddress.ip_address(address.strip("[]")).is_loopback:
        # The link is for other machines.
        name = next((host for host in site.hosts if host not in DEFAULT_HOSTS), name)
    host = f"[{name}]" if ":" in name else name
    return f"https://{host}{'' if port == _HTTPS else f':{port}'}{route.path.rstrip('/')}"


def root_sha256(services: "Services") -> str | None:
    """The hash, hexadecimal, of the root that a machine has to know to trust the portal; None where its site has a
    certificate of its own, or there is no portal."""
    serving = (one for one in services.config.sites if any(route.upstream == PORTAL for route in one.routes))
    site = next(serving, None)
    if site is None or site.certificate is not None:
        return None
    with services.store.reading() as tx:
        ours = hierarchy(tx, services.clock())
    return None if ours is None else hashlib.sha256(ours.root.certificate).hexdigest()
