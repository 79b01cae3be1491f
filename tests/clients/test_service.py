import pytest
from rows import authority, client, credential

from mutualgate import audit
from mutualgate.clients import Clients
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.authority import Admits, AuthorityKind
from mutualgate.model.client import ClientState
from mutualgate.model.credential import Credential, CredentialState
from mutualgate.model.revocation import RevocationReason
from mutualgate.model.serial import text
from mutualgate.store import Store


@pytest.fixture
def clients(store: Store) -> Clients:
    return Clients(store, by="test")


@pytest.fixture
def anna(store: Store) -> list[Credential]:
    """Anna's three credentials."""
    with store.transaction() as tx:
        issuing, owner = authority(tx), client(tx, "anna")
        made = [credential(tx, owner, issuing) for _ in range(3)]
        tx.clients.set_state(owner.id, ClientState.ACTIVE)
    return made


def _states(clients: Clients, name: str = "anna") -> list[CredentialState]:
    return [one.state for one in clients.show(name).credentials]


def _actions(store: Store) -> list[str]:
    assert isinstance(audit.verify(store), audit.Verified)
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_a_client_is_added_and_shown(clients: Clients, store: Store) -> None:
    added = clients.add("Anna", contact=" anna@example.com ", roles=["ops", "admin", "ops"])
    assert added.state is ClientState.NEW
    assert added.roles == ("admin", "ops")
    assert added.contact == "anna@example.com"
    assert clients.get("anna") == added
    assert clients.show("ANNA").credentials == ()
    with store.reading() as tx:
        (entry,) = tx.audit.walk()
    assert (entry.by, entry.action, entry.subject) == ("test", "client.add", f"client {added.id} Anna")


@pytest.mark.parametrize(
    ("name", "contact", "roles"),
    [("a/b", "", []), ("anna", "a\nb", []), ("anna", "x" * 321, []), ("anna", "", ["a,b"])],
)
def test_what_cannot_be_a_client_is_refused_and_not_kept(
    clients: Clients, store: Store, name: str, contact: str, roles: list[str]
) -> None:
    with pytest.raises(BadInput):
        clients.add(name, contact=contact, roles=roles)
    assert store.epoch() == 0


@pytest.mark.parametrize("name", ["nobody", "", "a/b", "x" * 100, "\x1b[31m"])
def test_a_client_that_does_not_exist(clients: Clients, name: str) -> None:
    for call in (clients.get, clients.show, clients.suspend, clients.resume, clients.remove, clients.revoke):
        with pytest.raises(NotFound) as refused:
            call(name)
        assert str(refused.value).isprintable()


def test_lists_come_in_pages(clients: Clients) -> None:
    for number in range(5):
        clients.add(f"c{number}", roles=["a"] if number else [])
    first = clients.list(limit=3)
    assert (len(first.clients), first.total) == (3, 5)
    assert first.after is not None
    second = clients.list(limit=3, after=first.after)
    assert [one.name for one in second.clients] == ["c3", "c4"]
    assert second.after is None
    assert clients.list(role="a").total == 4
    assert clients.list(state=ClientState.SUSPENDED).clients == ()
    with pytest.raises(BadInput):
        clients.list(limit=0)


def test_gone_clients_are_listed_when_asked_for(clients: Clients) -> None:
    clients.add("anna")
    clients.remove("anna")
    assert clients.list().clients == ()
    assert [one.name for one in clients.list(state=ClientState.GONE).clients] == ["anna"]


def test_roles_are_replaced_given_and_taken(clients: Clients, store: Store) -> None:
    clients.add("anna", roles=["a"])
    assert clients.set_roles("anna", ["b", "c"]).roles == ("b", "c")
    assert clients.change_roles("anna", add=["d"], remove=["b", "x"]).roles == ("c", "d")
    assert clients.get("anna").roles == ("c", "d")
    epoch = store.epoch()
    clients.change_roles("anna", add=["d"])
    assert store.epoch() == epoch  # nothing changed, nobody is told
    with pytest.raises(BadInput):
        clients.change_roles("anna", add=["e"], remove=["e"])


def test_suspended_and_resumed(clients: Clients, store: Store, anna: list[Credential]) -> None:
    assert clients.suspend("anna").suspended
    with pytest.raises(Conflict, match="suspended already"):
        clients.suspend("anna")
    assert clients.resume("anna").state is ClientState.ACTIVE
    with pytest.raises(Conflict, match="not suspended"):
        clients.resume("anna")
    assert _states(clients) == [CredentialState.VALID] * 3
    assert _actions(store) == ["client.suspend", "client.resume"]


def test_who_never_had_a_credential_is_new_again(clients: Clients) -> None:
    clients.add("anna")
    clients.suspend("anna")
    assert clients.resume("anna").state is ClientState.NEW


def test_all_are_revoked_in_one_step(clients: Clients, store: Store, anna: list[Credential]) -> None:
    made = clients.revoke("anna", reason=RevocationReason.keyCompromise)
    assert [entry.serial for entry in made.certificates] == [one.serial for one in anna]
    assert _states(clients) == [CredentialState.REVOKED] * 3
    with pytest.raises(Conflict, match="no credential that could be revoked"):
        clients.revoke("anna")
    assert _actions(store) == ["credential.revoke"] * 3


@pytest.mark.parametrize("named_by", ["id", "serial", "fingerprint", "colons", "part"])
def test_one_is_revoked(clients: Clients, anna: list[Credential], named_by: str) -> None:
    one = anna[1]
    name = {
        "id": str(one.id),
        "serial": text(one.serial),
        "fingerprint": one.fingerprint.hex().upper(),
        "colons": one.fingerprint.hex(":"),
        "part": one.fingerprint.hex()[:12],
    }[named_by]
    (entry,) = clients.revoke("anna", credential=name).certificates
    assert entry.serial == one.serial
    assert _states(clients) == [CredentialState.VALID, CredentialState.REVOKED, CredentialState.VALID]
    with pytest.raises(Conflict, match="is revoked since 2026-06-01"):
        clients.revoke("anna", credential=name)


def test_another_clients_credential_is_not_found(clients: Clients, store: Store, anna: list[Credential]) -> None:
    clients.add("bert")
    with pytest.raises(NotFound, match="'bert' has no credential"):
        clients.revoke("bert", credential=anna[0].fingerprint.hex())
    assert _states(clients) == [CredentialState.VALID] * 3


@pytest.mark.parametrize("name", ["", "ab", "zz", "\x1b", "9999"])
def test_a_credential_that_does_not_exist(clients: Clients, anna: list[Credential], name: str) -> None:
    with pytest.raises(NotFound):
        clients.revoke("anna", credential=name)


def test_a_hold_is_lifted_or_becomes_final(clients: Clients, store: Store, anna: list[Credential]) -> None:
    clients.revoke("anna", reason=RevocationReason.certificateHold)
    assert _states(clients) == [CredentialState.HELD] * 3
    with pytest.raises(Conflict, match="on hold"):
        clients.revoke("anna", reason=RevocationReason.certificateHold, credential=str(anna[0].id))
    clients.release("anna", credential=str(anna[0].id))
    clients.revoke("anna", reason=RevocationReason.keyCompromise, credential=str(anna[1].id))
    assert _states(clients) == [CredentialState.VALID, CredentialState.REVOKED, CredentialState.HELD]
    assert len(clients.release("anna")) == 1
    assert _states(clients) == [CredentialState.VALID, CredentialState.REVOKED, CredentialState.VALID]


def test_what_is_revoked_for_good_is_never_released(clients: Clients, anna: list[Credential]) -> None:
    clients.revoke("anna", reason=RevocationReason.superseded)
    with pytest.raises(Conflict, match="on hold"):
        clients.release("anna")
    with pytest.raises(Conflict):
        clients.revoke("anna", reason=RevocationReason.certificateHold, credential=str(anna[0].id))
    assert _states(clients) == [CredentialState.REVOKED] * 3


def test_remove_from_crl_is_no_reason(clients: Clients, anna: list[Credential]) -> None:
    with pytest.raises(BadInput):
        clients.revoke("anna", reason=RevocationReason.removeFromCRL)


def test_who_goes_is_revoked_and_its_name_is_free(clients: Clients, store: Store, anna: list[Credential]) -> None:
    clients.revoke("anna", credential=str(anna[0].id), reason=RevocationReason.certificateHold)
    clients.revoke("anna", credential=str(anna[1].id), reason=RevocationReason.keyCompromise)
    clients.remove("anna")
    with store.reading() as tx:
        found = [tx.revocations.find(one.authority, one.serial) for one in anna]
    # For good, a hold too; a reason that was told before stays.
    assert [entry and entry.reason for entry in found] == [
        RevocationReason.cessationOfOperation,
        RevocationReason.keyCompromise,
        RevocationReason.cessationOfOperation,
    ]
    with pytest.raises(NotFound):
        clients.get("anna")
    assert clients.add("anna").id != anna[0].client


def test_who_stands_for_an_authoritys_unlisted_certificates_stays(clients: Clients, store: Store) -> None:
    estate = clients.add("acme")
    with store.transaction() as tx:
        authority(tx, "acme-ca", AuthorityKind.ADOPTED, Admits.SIGNED, estate.id)
    with pytest.raises(Conflict, match="acme-ca"):
        clients.remove("acme")
    assert clients.suspend("acme").suspended  # which keeps all of them out
    assert clients.resume("acme").state is ClientState.ACTIVE
