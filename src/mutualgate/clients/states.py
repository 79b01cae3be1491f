"""Which state of a client may follow which, and the sentence for who asks for another."""

from mutualgate.errors import Conflict
from mutualgate.model.client import Client, ClientState
from mutualgate.store import Transaction

_MAY_FOLLOW = {
    ClientState.NEW: {ClientState.ACTIVE, ClientState.SUSPENDED, ClientState.GONE},
    ClientState.ACTIVE: {ClientState.SUSPENDED, ClientState.GONE},
    ClientState.SUSPENDED: {ClientState.ACTIVE, ClientState.NEW, ClientState.GONE},
    ClientState.GONE: set[ClientState](),
}


def check(client: Client, wanted: ClientState) -> None:
    """Raises `Conflict` unless `client` may become `wanted`."""
    if wanted in _MAY_FOLLOW[client.state]:
        return
    facts: dict[str, str | int] = {"client": client.id, "state": str(client.state)}
    if client.state is ClientState.GONE:
        raise Conflict(f"the client '{client.name}' is gone for good", code="client_gone", facts=facts)
    raise Conflict(f"the client '{client.name}' is {client.state} already", code="same_state", facts=facts)


def check_suspended(client: Client) -> None:
    """Raises `Conflict` unless there is something to resume."""
    if client.state is ClientState.GONE:
        check(client, ClientState.ACTIVE)
    if client.state is not ClientState.SUSPENDED:
        raise Conflict(
            f"the client '{client.name}' is {client.state}, not suspended",
            code="not_suspended",
            facts={"client": client.id, "state": str(client.state)},
        )


def check_usable(tx: Transaction, client: Client) -> None:
    """Raises `Conflict` unless `client` may get a new credential."""
    check_one(client, out=bool(tx.clients.out_with_partner([client.id])))


def check_one(client: Client, *, out: bool) -> None:
    """As `check_usable`, by what was asked for many at once: whether it is `out` with its partner."""
    if client.state is ClientState.SUSPENDED:
        raise Conflict(
            f"the client '{client.name}' is suspended",
            fix=f"Resume it first: mutualgate client resume {client.name.word}",
            code="client_suspended",
            facts={"client": client.id},
        )
    if client.state is ClientState.GONE:
        check(client, ClientState.ACTIVE)
    if out:
        raise Conflict(
            f"the client '{client.name}' is out with the partner that invited it",
            expected="a partner that is active, and vouches for this client by its name",
            fix="See the partner with: mutualgate partner list, and: mutualgate partner member list PARTNER",
            code="client_suspended",
            facts={"client": client.id},
        )


def of_what_it_has(tx: Transaction, id: int) -> ClientState:
    """What a client is that is neither suspended nor gone: active as soon as something lets it in, or did."""
    known = (
        tx.credentials.of_client(id)
        or tx.pins.of_client(id)
        or tx.members.of_client(id)
        or tx.authorities.with_estate(id)
        or tx.partners.of_client(id)
    )
    return ClientState.ACTIVE if known else ClientState.NEW
