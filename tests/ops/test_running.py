"""What the watchers are told of a gate that runs in this process."""

from pathlib import Path

import installation

from mutualgate.app.runner import Runner
from mutualgate.ops.running import status_of


def test_the_status_is_the_gate_s_and_the_store_s(tmp_path: Path) -> None:
    installed = installation.make(tmp_path / "gate")
    services = installed.services()
    runner = Runner(services, tmp_path)
    runner.start()
    services.clients.add("second")
    status = status_of(runner)
    assert status.problem is None
    assert status.epoch == runner.epoch
    assert status.store_epoch == runner.epoch + 1
    assert sum(status.clients.values()) == 2
    assert {(ending.kind, ending.name) for ending in status.endings} == {
        ("site", "main"),
        ("authority", "root"),
        ("authority", "issuing"),
        ("crl", "root"),
        ("crl", "issuing"),
    }
    assert status.counters["accepted_connections"] == 0
    del runner
    services.close()
