"""Credentials for clients: whose key, what is said, what is kept."""

import json
from datetime import timedelta

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind
from mutualgate.authorities.p12 import Encoding
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.pins import Pins
from mutualgate.partners.service import Partners
from mutualgate.store import Store


@pytest.fixture
def clients(store: Store) -> Clients:
    service = Clients(store)
    service.add("anna", contact="anna@example.com")
    service.add("bert")
    return service


@pytest.fixture
def enrolment(store: Store, keys: KeyRing, authorities: Authorities, clients: Clients) -> Enrolment:
    return Enrolment(store, keys, Policy(crl_url="http://gate.test/crl"), by="test")


def test_a_request_becomes_a_credential(enrolment: Enrolment, clients: Clients, authorities: Authorities) -> None:
    key = pki.fresh_key()
    signed = enrolment.sign("anna", pki.csr(key, "root of all"))
    made = authorities.hierarchy()
    assert made is not None
    signed.certificate.verify_directly_issued_by(certificate_of(made.issuing))
    assert signed.certificate.public_key() == key.public_key()
    assert signed.certificate.subject.rfc4514_string() == "CN=anna"  # not what the CSR says
    assert [(one.asked, one.given) for one in signed.differences if one.field == "subject"] == [
        ("CN=root of all", "CN=anna")
    ]
    assert len(x509.load_pem_x509_certificates(signed.chain_pem)) == 2
    view = clients.show("anna")
    assert view.client.state is ClientState.ACTIVE
    assert view.client == signed.client
    assert view.credentials == (signed.credential,)


def test_a_renewal_under_the_same_key_and_under_another(enrolment: Enrolment, clients: Clients) -> None:
    key = pki.fresh_key()
    enrolment.sign("anna", pki.csr(key))
    enrolment.sign("anna", pki.csr(key))
    enrolment.sign("anna", pki.csr(pki.fresh_key()))
    assert len({one.serial for one in clients.show("anna").credentials}) == 3


def test_another_clients_key_is_refused(enrolment: Enrolment, clients: Clients, store: Store) -> None:
    key = pki.fresh_key()
    enrolment.sign("anna", pki.csr(key))
    epoch = store.epoch()
    with pytest.raises(Conflict, match="'anna' uses this key"):
        enrolment.sign("bert", pki.csr(key))
    clients.remove("anna")
    with pytest.raises(Conflict, match="a removed client, 'anna', used this key"):
        enrolment.sign("bert", pki.csr(key))
    assert clients.get("bert").state is ClientState.NEW
    assert store.epoch() > epoch


def test_an_authoritys_key_is_refused(enrolment: Enrolment, store: Store, keys: KeyRing) -> None:
    with store.reading() as tx:
        key = keys.open(tx, tx.authorities.all()[1])
    with pytest.raises(Conflict, match="key of an authority of ours"):
        enrolment.sign("anna", pki.csr(key))


def test_the_key_of_a_partners_ca_is_refused(enrolment: Enrolment, store: Store) -> None:
    theirs = pki.ca("Acme")
    partners = Partners(store, "test")
    partners.add("acme")
    claim = partners.anchors.claim("acme", theirs.pem)
    with pytest.raises(Conflict, match="key of a partner's CA"):
        enrolment.sign("anna", pki.csr(theirs.key))
    partners.anchors.retire("acme", claim.anchor.id)
    assert enrolment.sign("anna", pki.csr(theirs.key)).credential


def test_a_compromised_key_is_never_certified_again(enrolment: Enrolment, clients: Clients) -> None:
    key, other = pki.fresh_key(), pki.fresh_key()
    enrolment.sign("anna", pki.csr(key))
    clients.revoke("anna", reason=RevocationReason.keyCompromise)
    with pytest.raises(Conflict, match="compromised"):
        enrolment.sign("anna", pki.csr(key))
    enrolment.sign("anna", pki.csr(other))
    clients.revoke("anna", reason=RevocationReason.superseded)
    enrolment.sign("anna", pki.csr(other))


def test_a_compromised_key_that_was_only_pinned_is_never_certified(
    enrolment: Enrolment, clients: Clients, store: Store
) -> None:
    own, other = pki.leaf(None), pki.leaf(None)
    pins = Pins(store)
    pins.add("anna", other.der)
    clients.revoke("anna", reason=RevocationReason.superseded)
    pins.add("anna", own.der)
    clients.revoke("anna", reason=RevocationReason.keyCompromise)
    with pytest.raises(Conflict, match="compromised"):
        enrolment.sign("anna", pki.csr(own.key))
    enrolment.sign("anna", pki.csr(other.key))


def test_a_weak_key_is_refused(enrolment: Enrolment, store: Store) -> None:
    epoch = store.epoch()
    with pytest.raises(BadInput, match="1024"):
        enrolment.sign("anna", pki.csr(pki.rsa_key(1024)), "weak.csr")
    assert store.epoch() == epoch


def test_what_is_no_request_is_refused(enrolment: Enrolment) -> None:
    with pytest.raises(BadInput, match=r"x\.csr"):
        enrolment.sign("anna", b"hello", "x.csr")


def test_who_is_suspended_gone_or_nobody_gets_none(enrolment: Enrolment, clients: Clients) -> None:
    csr = pki.csr(pki.fresh_key())
    clients.suspend("anna")
    with pytest.raises(Conflict, match="Resume it first"):
        enrolment.sign("anna", csr)
    clients.remove("anna")
    for name in ("anna", "nobody"):
        with pytest.raises(NotFound):
            enrolment.sign(name, csr)
        with pytest.raises(NotFound):
            enrolment.make_p12(name)


def test_the_root_signs_no_clients(enrolment: Enrolment) -> None:
    with pytest.raises(Conflict, match="root"):
        enrolment.sign("anna", pki.csr(pki.fresh_key()), authority="root")


def test_without_an_authority_the_way_to_one_is_named(store: Store, keys: KeyRing) -> None:
    Clients(store).add("anna")
    with pytest.raises(NotFound, match="mutualgate up"):
        Enrolment(store, keys).make_p12("anna")


def test_the_life_is_the_policys_or_as_asked(store: Store, keys: KeyRing, enrolment: Enrolment, clock: Hands) -> None:
    short = Enrolment(store, keys, Policy(client_validity=timedelta(days=30)))
    credential = short.sign("anna", pki.csr(pki.fresh_key())).credential
    assert timedelta(days=29) < credential.not_after - clock() <= timedelta(days=30)
    credential = enrolment.sign("anna", pki.csr(pki.fresh_key()), lifetime=timedelta(days=2)).credential
    assert timedelta(days=1) < credential.not_after - clock() <= timedelta(days=2)


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.RSA2048])
def test_a_p12_holds_key_certificate_and_chain(enrolment: Enrolment, clients: Clients, kind: KeyKind) -> None:
    made = enrolment.make_p12("anna", target="windows-11", kind=kind)
    assert made.encoding is Encoding.MODERN
    read = pkcs12.load_pkcs12(made.data, made.password.encode())
    assert read.cert is not None
    assert read.cert.certificate == made.certificate
    assert read.key is not None
    assert read.key.public_key() == made.certificate.public_key()
    assert len(read.additional_certs) == 1
    assert clients.show("anna").credentials == (made.credential,)


def test_neither_key_nor_password_is_kept_or_shown(enrolment: Enrolment, store: Store) -> None:
    made = enrolment.make_p12("anna")
    assert made.password not in repr(made)
    with store.reading() as tx:
        (entry,) = tx.audit.recent(limit=1)
    assert made.password not in json.dumps(dict(entry.facts))
    store.close()
    content = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
    assert made.password.encode() not in content
    assert made.data not in content


def test_a_password_of_ones_own_must_be_good(enrolment: Enrolment, store: Store) -> None:
    epoch = store.epoch()
    with pytest.raises(BadInput, match="password"):
        enrolment.make_p12("anna", password="changeit")
    with pytest.raises(BadInput, match="Ed25519"):
        enrolment.make_p12("anna", kind=KeyKind.ED25519)
    assert store.epoch() == epoch
    assert enrolment.make_p12("anna", password="tR7-vellum-ocean-42").password == "tR7-vellum-ocean-42"
