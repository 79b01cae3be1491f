"""The judge with the trust of one installation, for questions that no gate has to run for."""

from collections.abc import Sequence

from mutualgate import snapshot
from mutualgate.app.services import Services
from mutualgate.gate import Judge


def judge_of(services: Services, chain: Sequence[bytes] | None = None, *, with_sites: bool = True) -> Judge:
    """The judge as a gate that starts now would have it; for `chain` (DER, leaf first) alone, without all the others.

    `with_sites` can say who may pass where; raises `BadInput` for a wrong mutualgate.toml.
    """
    sites = snapshot.site_records(services.read_config()) if with_sites else ()
    if chain is None:
        return Judge(snapshot.build(services.store, sites))
    return Judge(snapshot.build_for(services.store, sites, [chain]))
