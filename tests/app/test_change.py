"""Changes of the store without a gate."""

import pytest
from installation import Installation

from mutualgate.app import InForce, change, control
from mutualgate.app.change import unconfirmed
from mutualgate.errors import BadInput, Conflict, Unavailable


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


@pytest.mark.parametrize("error", [Unavailable("the running gate did not answer"), KeyboardInterrupt()])
def test_what_was_made_is_returned_whether_the_gate_confirms_it_or_not(
    error: BaseException, installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> None:
        raise error

    monkeypatch.setattr(control, "ask", ask)
    client, force = change(installed.folder, lambda services: services.clients.add("alice"))
    assert str(client.name) == "alice"
    (why,) = unconfirmed()
    assert unconfirmed() == []
    assert why.gave_up is isinstance(error, KeyboardInterrupt)
    assert "The store has the change" in str(why)
    assert force.sentence == "the running gate has not confirmed it"
    assert force.facts == {"in_force": False, "epoch": None, "unconfirmed": str(why)}
