"""The status of a gate that runs in this process."""

from mutualgate.app.runner import Runner
from mutualgate.model import ClientState
from mutualgate.ops.status import Ending, Status


def status_of(runner: Runner) -> Status:
    """What `/metrics` and `/healthz` tell of `runner` now. Raises what the store raises when it cannot be read."""
    with runner.services.store.reading() as tx:
        store_epoch = tx.changes.epoch()
        clients = {str(state): tx.clients.count(state=state) for state in ClientState}
        authorities = tx.authorities.all()
        lists = [(one.name, tx.crls.find(one.id)) for one in authorities if one.has_key]
    endings = [Ending("site", site, end) for site, end in runner.server_certificates.items()]
    endings += [Ending("authority", str(one.name), one.not_after) for one in authorities]
    endings += [Ending("crl", str(name), crl.next_update) for name, crl in lists if crl is not None]
    return Status(
        started=runner.started_at,
        epoch=runner.epoch,
        store_epoch=store_epoch,
        clients=clients,
        endings=endings,
        counters=runner.counters(),
    )
