"""Where the portal is reached from outside: the beginning of every invitation's link."""

from mutualgate.config import Config
from mutualgate.enrolment.invitations import no_portal


def portal_url(config: Config) -> str:
    """The address of the first route to the portal, as clients name it. Raises `NotFound` where there is none."""
    for site in config.sites:
        for route in site.routes:
            if str(route.upstream) == "portal":
                return _url(config, site.hosts, route.path)
    return no_portal()


def _url(config: Config, hosts: tuple[str, ...], path: str) -> str:
    # "localhost" only where nothing else is said: the link is for other machines.
    host = next((name for name in hosts if name not in ("localhost", "127.0.0.1", "::1")), hosts[0])
    port = config.gate.listen[0].port
    where = f"[{host}]" if ":" in host else host
    return f"https://{where}{'' if port in (0, 443) else f':{port}'}{path.rstrip('/')}"
