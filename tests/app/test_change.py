"""Changes of the store without a gate."""

import pytest
from installation import Installation

from mutualgate.app import InForce, change
from mutualgate.errors import BadInput, Conflict


def test_a_change_is_kept_and_says_that_no_gate_runs(installed: Installation) -> None:
    client, force = change(installed.folder, lambda services: services.clients.add("alice"))
    assert str(client.name) == "alice"
    assert force.facts == {"in_force": False, "epoch": None}
    assert force.sentence == "no gate is running here, the next one starts with it"
    with pytest.raises(Conflict):
        change(installed.folder, lambda services: services.clients.add("alice"))


def test_nothing_is_made_where_there_is_nothing(tmp_path: object, installed: Installation) -> None:
    empty = type(installed.folder)(installed.folder.path / "empty")
    with pytest.raises(BadInput, match="there is no mutualgate installation"):
        change(empty, lambda services: services.clients.add("alice"))
    assert not empty.path.exists()
    change(empty, lambda services: services.clients.add("alice"), create=True)
    assert empty.exists()


def test_the_gate_s_word_is_passed_on() -> None:
    force = InForce(12)
    assert force.facts == {"in_force": True, "epoch": 12}
    assert force.sentence == "in force on the running gate (epoch 12)"
