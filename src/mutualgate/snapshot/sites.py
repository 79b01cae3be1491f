"""The configuration's sites as the judge reads them."""

from mutualgate.config import Config
from mutualgate.snapshot.records import RouteRecord, SiteRecord


def site_records(config: Config) -> list[SiteRecord]:
    """All sites, in the order of the file; a route names its upstream by its place in `config.destinations`."""
    numbers = {upstream: number for number, upstream in enumerate(config.destinations)}
    return [
        SiteRecord(
            name=site.name,
            hosts=list(site.hosts),
            client_certificate=site.client_certificate,
            on_refusal=site.on_refusal,
            routes=[
                RouteRecord(
                    path=route.path,
                    client_certificate=route.client_certificate,
                    roles=list(route.roles),
                    clients=list(route.clients),
                    upstream=None if route.upstream is None else numbers[route.upstream],
                )
                for route in site.routes
            ],
            environment=site.environment,
        )
        for site in config.sites
    ]
