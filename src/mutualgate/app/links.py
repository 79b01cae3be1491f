"""The address of the portal, for the links that people are sent."""

import ipaddress
from collections.abc import Sequence

from mutualgate.app import control
from mutualgate.app.folder import Folder
from mutualgate.config import DEFAULT_HOSTS, PORTAL, Config
from mutualgate.enrolment.invitations import no_portal
from mutualgate.errors import NotFound

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


def _chosen_port(folder: Folder, listening: Sequence[str]) -> int:
    if not listening:
        listening = (control.ask(folder, "status") or {}).get("listening", ())
    if not listening:
        raise NotFound(
            "the port of the gate is not known before it runs",
            where=str(folder.config),
            fix="Start the gate, or set `portal.url`.",
            code="portal_port_unknown",
        )
    return int(listening[0].rpartition(":")[2])
