import pytest
from rows import AT

from mutualgate.clients import states
from mutualgate.errors import Conflict
from mutualgate.model.client import Client, ClientState
from mutualgate.model.names import ClientName

_LEGAL = {
    ("new", "active"),
    ("new", "suspended"),
    ("new", "gone"),
    ("active", "suspended"),
    ("active", "gone"),
    ("suspended", "active"),
    ("suspended", "new"),
    ("suspended", "gone"),
}


@pytest.mark.parametrize("wanted", ClientState)
@pytest.mark.parametrize("state", ClientState)
def test_every_pair_of_states(state: ClientState, wanted: ClientState) -> None:
    client = Client(7, ClientName("anna"), "", (), state, AT)
    if (str(state), str(wanted)) in _LEGAL:
        states.check(client, wanted)
    else:
        with pytest.raises(Conflict, match="'anna' is "):
            states.check(client, wanted)
