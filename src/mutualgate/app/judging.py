"""The judge with the trust of one installation, for questions that no gate has to run for."""

from mutualgate import snapshot
from mutualgate.app.services import Services
from mutualgate.gate import Judge


def judge_of(services: Services) -> Judge:
    """The judge as a gate that starts now would have it. Raises `BadInput` for a wrong mutualgate.toml."""
    sites = snapshot.site_records(services.read_config())
    return Judge(snapshot.build(services.store, sites))
