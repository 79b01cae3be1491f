"""The address of the portal, for the links that people are sent."""

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutualgate.app import control
from mutualgate.app.folder import Folder
from mutualgate.authorities.overview import hierarchy
from mutualgate.config import DEFAULT_HOSTS, PORTAL, Config
from mutualgate.enrolment.invitations import no_portal
from mutualgate.errors import NotFound

if TYPE_CHECKING:
    from mutualgate.app.services import Services

_HTTPS = 443


def portal_url(config: Config, folder: Folder, listening: Sequence[str] = ()) -> str:
    """`portal.url`, or else the first route to the portal, by a host of its site and the gate's first port.

    `listening` is where the gate listens, if it runs in this process; a port that the system chose is asked of the
    gate that runs in `folder`. Raises `NotFound` where no route leads to the portal, or nobody knows the port.
    """
    found = next(((site, route) for site in config.sites for route in site.routes if route.upstream == PORTAL), None)
    if found is None:
        return no_portal()
    if config.portal.url is not None:
        return config.portal.url
    site, route = found
    listener = config.gate.listen[0]
    name = site.hosts[0]
    if not ipaddress.ip_address(listener.host).is_loopback:
        # The link is for other machines.
        name = next((host for host in site.hosts if host not in DEFAULT_HOSTS), name)
    host = f"[{name}]" if ":" in name else name
    port = listener.port or _chosen_port(folder, listening)
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


def _chosen_port(folder: Folder, listening: Sequence[str]) -> int:
    if not listening:
        listening = (control.ask(folder, "running") or {}).get("listening", ())
    if not listening:
        raise NotFound(
            "the port of the gate is not known before it runs",
            where=str(folder.config),
            fix="Start the gate, or set `portal.url`.",
            code="portal_port_unknown",
        )
    return int(listening[0].rpartition(":")[2])
