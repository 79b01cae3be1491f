from datetime import timedelta

import pytest
from rows import AT, authority, client, credential, facts

from mutualgate.errors import Conflict, MutualgateError
from mutualgate.model.client import ClientState
from mutualgate.model.credential import CredentialState, Origin
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import Store


def test_a_key_belongs_to_one_client_even_when_it_is_gone(store: Store) -> None:
    with store.transaction() as tx:
        issuing, anna, bert = authority(tx), client(tx, "anna"), client(tx, "bert")
        tx.credentials.add(anna, authority=issuing.id, certificate_facts=facts(key="k"), origin=Origin.ISSUED, at=AT)
        tx.credentials.add(anna, authority=issuing.id, certificate_facts=facts(key="k"), origin=Origin.ISSUED, at=AT)
        tx.clients.set_state(anna.id, ClientState.GONE)
        with pytest.raises(Conflict, match="a removed client, 'anna', used this key"):
            tx.credentials.add(
                bert, authority=issuing.id, certificate_facts=facts(key="k"), origin=Origin.ISSUED, at=AT
            )
        assert tx.credentials.of_client(bert.id) == []


def test_a_certificate_is_known_once(store: Store) -> None:
    with store.transaction() as tx:
        issuing, anna = authority(tx), client(tx)
        credential(tx, anna, issuing, "same")
        with pytest.raises(Conflict, match="known already"):
            credential(tx, anna, issuing, "same")


def test_the_database_itself_refuses_a_number_twice(store: Store) -> None:
    with store.transaction() as tx:
        issuing, anna = authority(tx), client(tx)
        credential(tx, anna, issuing, serial=b"\x07")
    with pytest.raises(MutualgateError), store.transaction() as tx:
        credential(tx, anna, issuing, serial=b"\x07")


def test_an_adopted_authority_may_have_given_a_number_twice(store: Store) -> None:
    with store.transaction() as tx:
        adopted, anna = authority(tx), client(tx)
        for _ in range(2):
            tx.credentials.add(
                anna, authority=adopted.id, certificate_facts=facts(serial=b"\x01"), origin=Origin.LISTED, at=AT
            )
        assert len(tx.credentials.with_serial(adopted.id, b"\x01")) == 2


def test_the_state_is_that_of_its_number(store: Store) -> None:
    with store.transaction() as tx:
        issuing, anna = authority(tx), client(tx)
        made = credential(tx, anna, issuing)
        assert made.state is CredentialState.VALID
        for reason, state in (
            (RevocationReason.certificateHold, CredentialState.HELD),
            (RevocationReason.keyCompromise, CredentialState.REVOKED),
        ):
            tx.revocations.put(Revocation(issuing.id, made.serial, AT, reason))
            found = tx.credentials.get(made.id)
            assert found is not None
            assert found.state is state
        tx.revocations.lift(issuing.id, made.serial)
        assert tx.credentials.get(made.id) == made


def test_which_keys_somebody_else_has(store: Store) -> None:
    later = AT + timedelta(days=1)
    with store.transaction() as tx:
        issuing, anna = authority(tx), client(tx)
        lost, held, good = (credential(tx, anna, issuing) for _ in range(3))
        for made, at, reason in (
            (lost, later, RevocationReason.keyCompromise),
            (held, AT, RevocationReason.certificateHold),
        ):
            tx.revocations.put(Revocation(issuing.id, made.serial, at, reason))
        pinned = b"p" * 32
        tx.credentials.own_key(anna, pinned)
        asked = {lost.spki, held.spki, good.spki, pinned, b"n" * 32}
        assert tx.credentials.compromised(asked) == {lost.spki: later}
        tx.credentials.set_compromised([pinned, lost.spki], AT)
        assert tx.credentials.compromised(asked) == {lost.spki: AT, pinned: AT}, "since it was first said"
        assert tx.credentials.compromised([]) == {}


def test_the_certificate_is_kept(store: Store) -> None:
    with store.transaction() as tx:
        made = credential(tx, client(tx), authority(tx), "the certificate")
        assert tx.credentials.certificate(made.id) == b"the certificate"
        assert tx.credentials.with_fingerprint(made.fingerprint) == made
