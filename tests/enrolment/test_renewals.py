"""Renewal: the next certificate for who proves the old key, and the end of the old one."""

from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.invitation_use import InvitationUse
from mutualgate.enrolment.renewals import Renewals, Standing
from mutualgate.enrolment.service import Enrolment
from mutualgate.enrolment.signing import Signed
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound
from mutualgate.model.credential import CredentialState
from mutualgate.model.invitation import Way
from mutualgate.model.pin import PinKind, PinState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.pins import Pins
from mutualgate.store import Store

P = ParamSpec("P")

PEER = "192.0.2.7"
DAY = timedelta(days=1)
POLICY = Policy(client_validity=90 * DAY, renewal_overlap=7 * DAY, renewal_grace=30 * DAY)


@pytest.fixture
def clients(store: Store) -> Clients:
    service = Clients(store)
    service.add("anna")
    service.add("bert")
    return service


@pytest.fixture
def enrolment(store: Store, keys: KeyRing, authorities: Authorities, clients: Clients) -> Enrolment:
    return Enrolment(store, keys, POLICY)


@pytest.fixture
def renewals(store: Store, keys: KeyRing) -> Renewals:
    return Renewals(store, keys, POLICY)


def der(signed: Signed) -> bytes:
    return signed.certificate.public_bytes(Encoding.DER)


def fresh() -> bytes:
    return pki.csr(pki.fresh_key())


def refused(renewals: Renewals, current: bytes, csr: bytes) -> str:
    with pytest.raises(MutualgateError) as error:
        renewals.renew(current, csr, peer=PEER)
    return error.value.code


def conflict(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> str:
    with pytest.raises(Conflict) as error:
        call(*args, **kwargs)
    return error.value.code


def states(clients: Clients, name: str = "anna") -> list[CredentialState]:
    return [one.state for one in clients.show(name).credentials]


def test_the_old_one_goes_on_for_the_overlap_and_is_superseded_then(
    enrolment: Enrolment, renewals: Renewals, clients: Clients, clock: Hands, store: Store
) -> None:
    old = enrolment.sign("anna", fresh())
    clock.move(80 * DAY)
    new = renewals.renew(der(old), fresh(), peer=PEER)
    assert new.credential.replaces == old.credential.id
    assert new.credential.not_after - clock.now > 89 * DAY
    assert renewals.end_superseded() == 0
    clock.move(7 * DAY - timedelta(seconds=1))
    assert renewals.end_superseded() == 0
    assert states(clients) == [CredentialState.VALID, CredentialState.VALID]
    clock.move(timedelta(seconds=1))
    assert renewals.end_superseded() == 1
    first, second = clients.show("anna").credentials
    assert first.revocation is not None
    assert first.revocation.reason is RevocationReason.superseded
    assert second.state is CredentialState.VALID
    assert renewals.end_superseded() == 0
    with store.reading() as tx:
        entry = tx.audit.recent(limit=1)[0]
    assert (entry.by, entry.action, entry.facts["reason"]) == ("system", "credential.revoke", "superseded")


def test_one_that_ends_within_the_overlap_just_ends(
    enrolment: Enrolment, renewals: Renewals, clients: Clients, clock: Hands
) -> None:
    old = enrolment.sign("anna", fresh())
    clock.move(86 * DAY)
    renewals.renew(der(old), fresh(), peer=PEER)
    clock.move(30 * DAY)
    assert renewals.end_superseded() == 0
    assert clients.show("anna").credentials[0].revocation is None


def test_a_superseded_one_is_never_renewed(enrolment: Enrolment, renewals: Renewals, clock: Hands) -> None:
    old = enrolment.sign("anna", fresh())
    new = renewals.renew(der(old), fresh(), peer=PEER)
    assert refused(renewals, der(old), fresh()) == "credential_superseded"
    clock.move(8 * DAY)
    renewals.end_superseded()
    assert refused(renewals, der(old), fresh()) == "credential_superseded"
    assert renewals.renew(der(new), fresh(), peer=PEER).credential.replaces == new.credential.id


def test_an_answer_that_got_lost_is_given_again(enrolment: Enrolment, renewals: Renewals, clients: Clients) -> None:
    old = enrolment.sign("anna", fresh())
    request = fresh()
    first = renewals.renew(der(old), request, peer=PEER)
    again = renewals.renew(der(old), request, peer=PEER)
    assert again.chain_pem == first.chain_pem
    assert len(clients.show("anna").credentials) == 2


def test_a_revoked_or_held_one_is_not_renewed(enrolment: Enrolment, renewals: Renewals, clients: Clients) -> None:
    old = enrolment.sign("anna", fresh())
    clients.revoke("anna", reason=RevocationReason.certificateHold)
    assert refused(renewals, der(old), fresh()) == "credential_revoked"
    clients.release("anna")
    renewed = renewals.renew(der(old), fresh(), peer=PEER)
    clients.revoke("anna", credential=str(renewed.credential.id))
    assert refused(renewals, der(renewed), fresh()) == "credential_revoked"
    assert refused(renewals, der(old), fresh()) == "credential_superseded"


def test_a_suspended_client_renews_nothing(enrolment: Enrolment, renewals: Renewals, clients: Clients) -> None:
    old = enrolment.sign("anna", fresh())
    clients.suspend("anna")
    assert refused(renewals, der(old), fresh()) == "client_suspended"
    clients.remove("anna")
    assert refused(renewals, der(old), fresh()) in ("client_gone", "credential_revoked")


def test_an_expired_one_is_renewed_within_the_grace_for_its_own_key_only(
    enrolment: Enrolment, renewals: Renewals, clock: Hands
) -> None:
    key = pki.fresh_key()
    old = enrolment.sign("anna", pki.csr(key))
    clock.now = old.credential.not_after + 30 * DAY
    assert refused(renewals, der(old), fresh()) == "renewal_needs_same_key"
    clock.move(timedelta(seconds=1))
    assert refused(renewals, der(old), pki.csr(key)) == "renewal_too_late"
    clock.move(timedelta(seconds=-1))
    assert renewals.renew(der(old), pki.csr(key), peer=PEER).credential.spki == old.credential.spki


def test_the_next_one_lasts_no_longer_than_was_allowed(
    enrolment: Enrolment, renewals: Renewals, store: Store, keys: KeyRing
) -> None:
    old = enrolment.sign("anna", fresh(), lifetime=10 * DAY)
    for _ in range(3):
        new = renewals.renew(der(old), fresh(), peer=PEER)
        assert new.credential.not_after - new.credential.not_before == 10 * DAY - timedelta(seconds=1)
        old = new
    longer = enrolment.sign("bert", fresh(), lifetime=200 * DAY)
    new = renewals.renew(der(longer), fresh(), peer=PEER)
    assert new.credential.not_after - new.credential.not_before == 90 * DAY - timedelta(seconds=1)


def test_one_that_its_issuers_end_cut_short_does_not_stay_short(
    enrolment: Enrolment, renewals: Renewals, authorities: Authorities, clock: Hands
) -> None:
    made = authorities.hierarchy()
    assert made is not None
    clock.now = made.issuing.not_after - 20 * DAY
    old = enrolment.sign("anna", fresh())
    assert old.credential.not_after == made.issuing.not_after
    authorities.rotate_issuing()
    new = renewals.renew(der(old), fresh(), peer=PEER)
    assert new.credential.not_after - clock.now > 80 * DAY


def test_another_clients_or_a_compromised_key_is_refused(
    enrolment: Enrolment, renewals: Renewals, clients: Clients
) -> None:
    old, theirs, lost = enrolment.sign("anna", fresh()), pki.fresh_key(), pki.fresh_key()
    enrolment.sign("bert", pki.csr(theirs))
    assert refused(renewals, der(old), pki.csr(theirs)) == "key_in_use"
    given = enrolment.sign("anna", pki.csr(lost))
    clients.revoke("anna", credential=str(given.credential.id), reason=RevocationReason.keyCompromise)
    assert refused(renewals, der(old), pki.csr(lost)) == "key_compromised"


def test_what_is_not_ours_is_not_renewed(renewals: Renewals, authorities: Authorities) -> None:
    stranger = pki.leaf(pki.ca("mutualgate Issuing CA"), "anna")
    assert refused(renewals, stranger.der, fresh()) == "not_renewable"
    with pytest.raises(BadInput):
        renewals.renew(b"hello", fresh(), peer=PEER)
    assert refused(renewals, pki.leaf(None, key=pki.rsa_key(1024)).der, fresh()) == "not_renewable"


def test_all_of_a_lineage_is_revoked_and_nothing_else(
    enrolment: Enrolment, renewals: Renewals, clients: Clients
) -> None:
    first = enrolment.sign("anna", fresh())
    other = enrolment.sign("anna", fresh())
    second = renewals.renew(der(first), fresh(), peer=PEER)
    third = renewals.renew(der(second), fresh(), peer=PEER)
    made = clients.revoke("anna", credential=str(second.credential.id), lineage=True)
    assert {one.serial for one in made.certificates} == {one.credential.serial for one in (first, second, third)}
    assert clients.show("anna").credentials[1].serial == other.credential.serial
    assert clients.show("anna").credentials[1].state is CredentialState.VALID
    with pytest.raises(Conflict):
        clients.revoke("anna", credential=str(third.credential.id), lineage=True)


def test_an_operator_renews_by_hand(enrolment: Enrolment, clients: Clients, clock: Hands, renewals: Renewals) -> None:
    old = enrolment.sign("anna", fresh())
    new = enrolment.sign("anna", fresh(), replaces=str(old.credential.id))
    assert new.credential.replaces == old.credential.id
    with pytest.raises(Conflict):
        enrolment.sign("anna", fresh(), replaces=str(old.credential.id))
    clock.move(7 * DAY)
    assert renewals.end_superseded() == 1
    assert states(clients) == [CredentialState.REVOKED, CredentialState.VALID]


def test_a_pin_is_replaced_by_a_certificate_that_its_next_key_proves(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients, clock: Hands
) -> None:
    old, new = pki.leaf(None), pki.leaf(None)
    pin = Pins(store).add("anna", old.der)
    invited = renewals.replace_pin(old.der, peer=PEER)
    assert invited.client.name == "anna"
    use = InvitationUse(store, keys, POLICY)
    clock.move(DAY)
    with pytest.raises(Conflict) as expired:  # whoever asked for it had the next certificate at hand
        use.own(invited.token, [new.der], peer=PEER)
    assert expired.value.code == "invitation_expired"
    outcome = use.own(renewals.replace_pin(old.der, peer=PEER).token, [new.der], peer=PEER)
    assert outcome.pin is not None
    assert outcome.pin.replaces == pin.id
    assert Pins(store).get(pin.id).not_after == clock.now + 7 * DAY
    clock.move(7 * DAY + timedelta(seconds=1))
    with pytest.raises(NotFound):  # it has ended
        renewals.replace_pin(old.der, peer=PEER)


def test_a_new_link_for_the_next_one_takes_the_place_of_the_last(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients
) -> None:
    """Else whoever has a pin could fill the store, a row for each request."""
    pins, others = pki.leaf(None), pki.leaf(None)
    Pins(store).add("anna", pins.der)
    Pins(store).add("anna", others.der)
    other = renewals.replace_pin(others.der, peer=PEER)
    first, *_, last = [renewals.replace_pin(pins.der, peer=PEER) for _ in range(5)]
    assert last.invitation.id == first.invitation.id
    with store.reading() as tx:
        audited = [(entry.by, entry.action) for entry in tx.audit.walk()][-6:]
    assert audited == [
        (f"client {last.client.id} anna", f"invitation.{what}") for what in ["create"] * 2 + ["renew"] * 4
    ]
    use = InvitationUse(store, keys, POLICY)
    with pytest.raises(NotFound):
        use.open(first.token, peer=PEER)
    for good in (other, last):
        assert use.own(good.token, [pki.leaf(None).der], peer=PEER).pin is not None
    with store.reading() as tx:
        assert len(tx.invitations.of_client(last.client.id)) == 2


def test_a_pin_is_replaced_by_a_certificate_of_ours(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients, clock: Hands
) -> None:
    old, other = pki.leaf(None), pki.leaf(None)
    pins = Pins(store)
    first, second = pins.add("anna", old.der), pins.add("bert", other.der, kind=PinKind.KEY)
    assert renewals.renew(old.der, pki.csr(old.key), peer=PEER).client.name == "anna"
    invited = renewals.replace_pin(other.der, peer=PEER)
    InvitationUse(store, keys, POLICY).sign(invited.token, fresh(), way=Way.CSR, peer=PEER)
    for pin in (first, second):
        assert pins.get(pin.id).not_after == clock.now + 7 * DAY
    clients.suspend("bert")
    assert refused(renewals, other.der, fresh()) == "client_suspended"


def test_a_pin_that_was_replaced_is_neither_replaced_nor_renewed_again(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients
) -> None:
    """Else who has the key that was given up would go on beside its successor."""
    by_own, by_request, by_link = pki.leaf(None), pki.leaf(None), pki.leaf(None)
    clients.add("cleo")
    use, pins = InvitationUse(store, keys, POLICY), Pins(store)
    links = {}
    for name, old in (("anna", by_own), ("bert", by_request), ("cleo", by_link)):
        pins.add(name, old.der)
        links[name] = renewals.replace_pin(old.der, peer=PEER).token
    use.own(links["anna"], [pki.leaf(None).der], peer=PEER)
    request = fresh()
    first = renewals.renew(by_request.der, request, peer=PEER)
    assert renewals.renew(by_request.der, request, peer=PEER).chain_pem == first.chain_pem
    use.sign(links["cleo"], fresh(), way=Way.CSR, peer=PEER)
    for old in (by_own, by_request, by_link):
        assert refused(renewals, old.der, fresh()) == "credential_superseded"
        assert conflict(renewals.replace_pin, old.der, peer=PEER) == "credential_superseded"
    assert conflict(use.own, links["bert"], [pki.leaf(None).der], peer=PEER) == "credential_superseded"
    assert conflict(use.sign, links["bert"], fresh(), way=Way.CSR, peer=PEER) == "credential_superseded"
    assert states(clients, "anna") == []
    assert states(clients, "bert") == states(clients, "cleo") == [CredentialState.VALID]


def test_a_link_for_the_next_one_ends_with_the_pin(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients
) -> None:
    """Whoever stole the key has asked for the link in time, and is late with it."""
    old = pki.leaf(None)
    Pins(store).add("anna", old.der)
    token = renewals.replace_pin(old.der, peer=PEER).token
    clients.revoke("anna", reason=RevocationReason.keyCompromise)
    use = InvitationUse(store, keys, POLICY)
    assert conflict(use.own, token, [pki.leaf(None).der], peer=PEER) == "pin_retired"
    assert conflict(use.sign, token, fresh(), way=Way.CSR, peer=PEER) == "pin_retired"
    assert states(clients) == []


def test_the_next_one_of_a_pin_is_for_the_same_sites_and_no_longer_than_was_allowed(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients, clock: Hands
) -> None:
    tried, short = pki.leaf(None), pki.leaf(None)
    pins, use = Pins(store), InvitationUse(store, keys, POLICY)
    pins.add("anna", tried.der, environment="test", not_after=clock.now + 30 * DAY)
    assert refused(renewals, tried.der, fresh()) == "renewal_by_pin_only"
    invited = renewals.replace_pin(tried.der, peer=PEER)
    with pytest.raises(BadInput) as error:
        use.sign(invited.token, fresh(), way=Way.CSR, peer=PEER)
    assert error.value.code == "way_not_allowed"
    pin = use.own(invited.token, [pki.leaf(None).der], peer=PEER).pin
    assert pin is not None
    assert (pin.environment, pin.not_after) == ("test", clock.now + 30 * DAY)
    pins.add("bert", short.der, not_after=clock.now + 30 * DAY)
    credential = renewals.renew(short.der, fresh(), peer=PEER).credential
    assert credential.not_after - credential.not_before <= 30 * DAY


def test_a_pin_that_its_certificates_end_cut_short_does_not_stay_short(
    renewals: Renewals, store: Store, authorities: Authorities, clients: Clients, clock: Hands
) -> None:
    old = pki.leaf(None, days=5)
    Pins(store).add("anna", old.der)
    assert renewals.renew(old.der, fresh(), peer=PEER).credential.not_after - clock.now > 80 * DAY


def test_a_lineage_goes_through_pins(
    renewals: Renewals, store: Store, keys: KeyRing, authorities: Authorities, clients: Clients
) -> None:
    first, second, other = pki.leaf(None), pki.leaf(None), pki.leaf(None)
    pins = Pins(store)
    for one in (first, other):
        pins.add("anna", one.der)
    use = InvitationUse(store, keys, POLICY)
    use.own(renewals.replace_pin(first.der, peer=PEER).token, [second.der], peer=PEER)
    third = renewals.renew(second.der, fresh(), peer=PEER)
    last = renewals.renew(der(third), fresh(), peer=PEER)
    clients.revoke("anna", credential=str(last.credential.id), lineage=True)
    assert states(clients) == [CredentialState.REVOKED, CredentialState.REVOKED]
    assert [pin.state for pin in clients.show("anna").pins] == [PinState.RETIRED, PinState.ACTIVE, PinState.RETIRED]


def test_with_a_compromised_key_goes_all_that_has_it(
    enrolment: Enrolment, renewals: Renewals, clients: Clients
) -> None:
    """A certificate is no secret: whoever has the key comes in with any of them."""
    for name in ("anna", "bert"):
        key = pki.fresh_key()
        old = enrolment.sign(name, pki.csr(key))
        renewals.renew(der(old), pki.csr(key), peer=PEER)
        enrolment.sign(name, fresh())
        if name == "anna":
            clients.revoke("anna", credential=str(old.credential.id), reason=RevocationReason.keyCompromise)
        else:
            clients.revoke_certificate(der(old), reason=RevocationReason.keyCompromise)
        assert states(clients, name) == [CredentialState.REVOKED, CredentialState.REVOKED, CredentialState.VALID]


# How it stands


def test_it_is_said_how_long_one_lets_in_and_can_be_renewed(
    enrolment: Enrolment, renewals: Renewals, clients: Clients, clock: Hands
) -> None:
    old = enrolment.sign("anna", fresh())
    end = old.credential.not_after
    assert renewals.standing(der(old)) == Standing(end, None, end + POLICY.renewal_grace)
    renewed = clock.now
    renewals.renew(der(old), fresh(), peer=PEER)
    assert renewals.standing(der(old)) == Standing(renewed + POLICY.renewal_overlap, renewed, None)
    held = enrolment.sign("bert", fresh())
    clients.suspend("bert")
    assert renewals.standing(der(held)) == Standing(held.credential.not_after, None, None)


def test_a_pin_may_end_before_its_certificate_and_the_other_way_round(
    renewals: Renewals, authorities: Authorities, clients: Clients, store: Store, clock: Hands
) -> None:
    pins = Pins(store)
    long, brief = pki.leaf(None, "long", days=900), pki.leaf(None, "brief", days=20)
    pin = pins.add("anna", long.der)
    assert renewals.standing(long.der) == Standing(pin.not_after, None, pin.not_after)
    key = pins.add("anna", brief.der, kind=PinKind.KEY)
    standing = renewals.standing(brief.der)
    assert standing is not None
    assert standing.until == clock.now + 20 * DAY
    assert standing.renewable == key.not_after
    renewals.renew(brief.der, fresh(), peer=PEER)
    assert renewals.standing(brief.der) == Standing(clock.now + POLICY.renewal_overlap, clock.now, None)
    pins.retire(pin.id)
    assert renewals.standing(long.der) is None
    assert renewals.standing(b"no certificate") is None
