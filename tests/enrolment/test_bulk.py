"""Many CSRs at once: the same as one after the other, and nothing twice."""

from datetime import timedelta

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate import audit
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.bulk import PART, Answer, BulkSigning, Given
from mutualgate.enrolment.renewals import Renewals
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.pins import Pins
from mutualgate.partners.service import Partners
from mutualgate.snapshot import build
from mutualgate.store import Store


@pytest.fixture
def clients(store: Store) -> Clients:
    return Clients(store)


@pytest.fixture
def bulk(store: Store, keys: KeyRing, authorities: Authorities) -> BulkSigning:
    return BulkSigning(store, keys, Policy(crl_url="http://gate.test/crl"), by="test")


def given(name: str, csr: bytes | None = None) -> Given:
    return Given(name, pki.csr(pki.fresh_key()) if csr is None else csr, f"{name}.csr")


def all_of(bulk: BulkSigning, *asked: Given, add: bool = False) -> list[Answer]:
    return [answer for part in bulk.sign(asked, add=add, roles=["staff"] if add else ()) for answer in part]


def code(answer: Answer) -> str | None:
    return None if answer.problem is None else answer.problem.code


def test_each_becomes_a_credential_of_the_client_it_is_named_after(
    bulk: BulkSigning, clients: Clients, store: Store, authorities: Authorities
) -> None:
    answers = all_of(bulk, *(given(f"client-{number}") for number in range(PART + 10)), add=True)
    assert [code(one) for one in answers] == [None] * (PART + 10)
    made = authorities.hierarchy()
    assert made is not None
    serials = set()
    for number, answer in enumerate(answers):
        assert answer.chain_pem is not None
        leaf, above = x509.load_pem_x509_certificates(answer.chain_pem)
        assert leaf.subject.rfc4514_string() == f"CN=client-{number}"
        leaf.verify_directly_issued_by(above)
        serials.add(leaf.serial_number)
    assert len(serials) == PART + 10
    view = clients.show("client-7")
    assert (view.client.state, view.client.roles, len(view.credentials)) == (ClientState.ACTIVE, ("staff",), 1)
    with store.reading() as tx:
        credential = view.credentials[0]
        assert tx.credentials.key_owner(credential.spki) == view.client.id
        assert tx.serials.taken(credential.authority, credential.serial)
        entries = list(tx.audit.walk())
    actions = [entry.action for entry in entries]
    assert (actions.count("client.add"), actions.count("credential.sign")) == (PART + 10, PART + 10)
    assert {entry.facts["roles"] for entry in entries if entry.action == "client.add"} == {"staff"}
    assert isinstance(audit.verify(store), audit.Verified)


def test_the_judge_is_told(bulk: BulkSigning, clients: Clients, store: Store) -> None:
    before = store.epoch()
    all_of(bulk, given("anna"), add=True)
    client = clients.show("anna")
    with store.reading() as tx:
        changes = {(str(one.kind), one.key) for one in tx.changes.since(before) or []}
    assert {("client", str(client.client.id)), ("credential", str(client.credentials[0].id))} <= changes


def test_what_is_signed_is_not_signed_twice(bulk: BulkSigning, clients: Clients, store: Store) -> None:
    asked = [given("anna"), given("bert")]
    first = all_of(bulk, *asked, add=True)
    epoch = store.epoch()
    again = all_of(bulk, *asked, given("carl"), add=True)
    assert [one.again for one in again] == [True, True, False]
    assert [one.chain_pem for one in again[:2]] == [one.chain_pem for one in first]
    assert len(clients.show("anna").credentials) == 1
    assert store.epoch() > epoch


def test_nobody_who_was_put_out_is_let_in_again_by_the_next_run(
    bulk: BulkSigning, clients: Clients, store: Store, keys: KeyRing, clock: Hands
) -> None:
    """The CSRs lie there still."""
    asked = [given(name) for name in ("anna", "bert", "carl", "dora")]
    signed = {
        one.given.name: x509.load_pem_x509_certificates(one.chain_pem or b"")[0]
        for one in all_of(bulk, *asked, add=True)
    }
    clients.revoke("anna")
    clients.revoke("bert", reason=RevocationReason.certificateHold)
    carl = signed["carl"].public_bytes(Encoding.DER)
    Renewals(store, keys).renew(carl, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    again = all_of(bulk, *asked)
    assert [code(one) for one in again] == ["credential_revoked", "credential_revoked", "credential_superseded", None]
    assert again[3].again
    assert [len(clients.show(name).credentials) for name in ("anna", "bert", "carl")] == [1, 1, 2]
    clock.now = signed["dora"].not_valid_after_utc + timedelta(days=1)
    (later,) = all_of(bulk, asked[3])
    assert (code(later), later.again) == (None, False)  # it has merely expired


def test_what_is_wrong_with_one_is_its_own(
    bulk: BulkSigning, clients: Clients, enrolment_key: pki.Key, authorities: Authorities
) -> None:
    for name in ("anna", "bert", "carl", "dora"):
        clients.add(name)
    clients.suspend("carl")
    stolen = bytearray(pki.csr(pki.fresh_key(), encoding=Encoding.DER))
    stolen[-1] ^= 1
    shared = pki.csr(pki.fresh_key())
    answers = all_of(
        bulk,
        given("anna", shared),
        given("bert", shared),
        given("carl"),
        given("dora", bytes(stolen)),
        given("emil"),
        given("ANNA"),
        given("-x"),
        given("a/b"),
        given("fritz", pki.csr(pki.rsa_key(1024))),
        given("gerd", b"0" * (10 << 20)),
        given("hugo", b"hello"),
        given("dora"),
    )
    assert [code(one) for one in answers] == [
        None,
        "key_in_use",
        "client_suspended",
        "no_proof_of_possession",
        "no_such_client",
        "given_twice",
        "bad_name",
        "bad_name",
        "weak_key",
        "bad_input",
        "not_a_csr",
        "given_twice",
    ]
    assert clients.list().total == 4
    assert clients.show("dora").credentials == ()


@pytest.fixture
def enrolment_key() -> pki.Key:
    return pki.fresh_key()


def test_anothers_authoritys_or_compromised_keys_are_refused_as_one_by_one(
    bulk: BulkSigning, clients: Clients, store: Store, keys: KeyRing
) -> None:
    theirs, lost, pinned = pki.fresh_key(), pki.fresh_key(), pki.leaf(None)
    for name in ("anna", "bert"):
        clients.add(name)
    enrolment = Enrolment(store, keys, Policy())
    enrolment.sign("anna", pki.csr(theirs))
    given_away = enrolment.sign("bert", pki.csr(lost))
    clients.revoke("bert", credential=str(given_away.credential.id), reason=RevocationReason.keyCompromise)
    Pins(store).add("bert", pinned.der)
    clients.revoke("bert", reason=RevocationReason.keyCompromise)
    with store.reading() as tx:
        ours = keys.open(tx, tx.authorities.all()[1])
    partners, acme = Partners(store, "test"), pki.ca("Acme")
    partners.add("acme")
    partners.anchors.claim("acme", acme.pem)
    for key, expected in (
        (acme.key, "key_in_use"),
        (theirs, "key_in_use"),
        (ours, "key_in_use"),
        (lost, "key_compromised"),
        (pinned.key, "key_compromised"),
    ):
        (answer,) = all_of(bulk, given("bert", pki.csr(key)))
        assert code(answer) == expected


def test_nobody_is_added_whose_csr_is_refused(bulk: BulkSigning, clients: Clients, store: Store, keys: KeyRing) -> None:
    theirs, shared = pki.csr(pki.fresh_key()), pki.csr(pki.fresh_key())
    clients.add("anna")
    Enrolment(store, keys, Policy()).sign("anna", theirs)
    with store.reading() as tx:
        ours = pki.csr(keys.open(tx, tx.authorities.all()[1]))
    answers = all_of(
        bulk,
        given("bert", theirs),
        given("carl", shared),
        given("dora", shared),
        given("emil", ours),
        given("anna", shared),
        add=True,
    )
    assert [code(one) for one in answers] == [None if n == 1 else "key_in_use" for n in range(5)]
    assert [str(one.name) for one in clients.list().clients] == ["anna", "carl"]
    with store.reading() as tx:
        assert [entry.action for entry in tx.audit.walk()].count("client.add") == 2
    assert answers[4].problem is not None
    assert "'carl' uses this key" in str(answers[4].problem)


def test_a_removed_client_is_said_to_be_that(bulk: BulkSigning, clients: Clients) -> None:
    asked = given("anna")
    all_of(bulk, asked, add=True)
    clients.remove("anna")
    (answer,) = all_of(bulk, asked, add=True)
    assert code(answer) == "key_in_use"
    assert "a removed client, 'anna', used this key" in str(answer.problem)
    assert clients.list().total == 0


def test_what_it_asks_for_is_not_given(bulk: BulkSigning) -> None:
    request = pki.csr(pki.fresh_key(), "root of all", (x509.BasicConstraints(ca=True, path_length=None), True))
    (answer,) = all_of(bulk, given("anna", request), add=True)
    assert answer.chain_pem is not None
    leaf = x509.load_pem_x509_certificates(answer.chain_pem)[0]
    assert leaf.subject.rfc4514_string() == "CN=anna"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_root_signs_no_clients(bulk: BulkSigning) -> None:
    with pytest.raises(Conflict):
        list(bulk.sign([given("anna")], authority="root"))
    with pytest.raises(NotFound):
        list(bulk.sign([given("anna")], authority="nobody"))


def test_a_snapshot_has_them(bulk: BulkSigning, store: Store) -> None:
    all_of(bulk, *(given(f"c{number}") for number in range(5)), add=True)
    import mirror

    told = mirror.of(build(store, []))
    assert len(told.clients) == 5
