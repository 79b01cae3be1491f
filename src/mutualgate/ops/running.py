"""The status of a gate that runs in this process."""

from dataclasses import asdict

from mutualgate.app.runner import Runner
from mutualgate.ops.status import Ending, Status


def status_of(runner: Runner) -> Status:
    """What `/metrics` and `/healthz` tell of `runner` now. Raises what the store raises when it cannot be read."""
    seen = runner.overview()
    endings = [Ending("site", site, end) for site, end in runner.server_certificates.items()]
    endings += [Ending("authority", name, end) for name, end in seen.authorities]
    endings += [Ending("crl", name, end) for name, end in seen.lists]
    return Status(
        started=runner.started_at,
        epoch=runner.epoch,
        store_epoch=seen.epoch,
        clients=seen.clients,
        endings=endings,
        lists_behind=seen.lists_behind,
        expiring=runner.figures.expiring,
        partner_lists=runner.figures.partner_lists,
        key_sets=runner.figures.key_sets,
        letters={"waiting": seen.letters.waiting, "dead": seen.letters.dead},
        counters=runner.counters(),
        spans=asdict(runner.spans),
    )
