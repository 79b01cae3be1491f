"""The next root and the next issuing authority; the older ones go on verifying."""

from datetime import timedelta

import pki
import pytest
from conftest import Hands
from cryptography import x509

from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.overview import Hierarchy
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import Conflict, NotFound
from mutualgate.store import Store


def made(authorities: Authorities) -> Hierarchy:
    hierarchy = authorities.hierarchy()
    assert hierarchy is not None
    return hierarchy


def signer(store: Store, keys: KeyRing, name: str) -> x509.Name:
    return Enrolment(store, keys, Policy()).sign(name, pki.csr(pki.fresh_key())).certificate.issuer


def test_the_next_issuing_authority_signs_and_the_old_one_goes_on(
    authorities: Authorities, store: Store, keys: KeyRing
) -> None:
    Clients(store).add("anna")
    before = made(authorities)
    old = signer(store, keys, "anna")
    next_one = authorities.rotate_issuing()
    after = made(authorities)
    assert (next_one.name, after.issuing, after.root) == ("issuing-2", next_one, before.root)
    certificate = certificate_of(next_one)
    certificate.verify_directly_issued_by(certificate_of(before.root))
    assert certificate.subject.rfc4514_string() == "CN=mutualgate Issuing CA 2"
    assert signer(store, keys, "anna") == certificate.subject != old
    # The judge knows both: what the old one signed is admitted as before.
    with store.reading() as tx:
        assert len([one for one in tx.authorities.all() if one.kind == "issuing"]) == 2
    assert authorities.rotate_issuing().name == "issuing-3"
    assert certificate_of(made(authorities).issuing).subject.rfc4514_string() == "CN=mutualgate Issuing CA 3"


def test_the_gates_own_certificate_follows(authorities: Authorities) -> None:
    before = authorities.server_certificate("main", ["gate.test"])
    next_one = authorities.rotate_issuing()
    after = authorities.server_certificate("main", ["gate.test"])
    assert before.certificate.issuer != after.certificate.issuer == certificate_of(next_one).subject
    chain = x509.load_pem_x509_certificates(after.chain_pem)
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(certificate_of(made(authorities).root))


def test_a_new_root_is_published_and_signs_only_when_told(authorities: Authorities) -> None:
    before = made(authorities)
    root = authorities.rotate_root()
    published = made(authorities)
    assert (published.root, published.issuing, published.other_roots) == (before.root, before.issuing, (root,))
    pem = x509.load_pem_x509_certificates(published.root_pem)
    assert pem == [certificate_of(before.root), certificate_of(root)]
    assert certificate_of(root).subject.rfc4514_string() == "CN=mutualgate Root CA 2"
    next_one = authorities.rotate_issuing(under="root-2")
    switched = made(authorities)
    assert (switched.root, switched.issuing, switched.other_roots) == (root, next_one, (before.root,))
    certificate_of(next_one).verify_directly_issued_by(certificate_of(root))
    # From now on, the root in force is the new one.
    assert authorities.rotate_issuing().issuer == root.id


def test_an_expired_root_is_published_no_more(authorities: Authorities, clock: Hands) -> None:
    old = made(authorities).root
    authorities.rotate_root(lifetime=timedelta(days=20_000))
    authorities.rotate_issuing(under="root-2", lifetime=timedelta(days=19_000))
    clock.now = old.not_after + timedelta(days=1)
    assert made(authorities).other_roots == ()


def test_what_is_no_root_signs_no_authority(authorities: Authorities, store: Store) -> None:
    epoch = store.epoch()
    with pytest.raises(Conflict, match="no root"):
        authorities.rotate_issuing(under="issuing")
    with pytest.raises(NotFound):
        authorities.rotate_issuing(under="root-9")
    assert store.epoch() == epoch


def test_nothing_is_rotated_before_there_is_something(store: Store, keys: KeyRing) -> None:
    for call in (Authorities(store, keys).rotate_issuing, Authorities(store, keys).rotate_root):
        with pytest.raises(NotFound):
            call()
