"""Invitations: what opens them, once, for whom, and what comes of it."""

import threading
from datetime import timedelta
from typing import Any

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment import Invitations, Outcome
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound, Unavailable
from mutualgate.model import ClientState, InvitationState, Way
from mutualgate.store import Store

PEER = "192.0.2.7"


@pytest.fixture
def clients(store: Store) -> Clients:
    return Clients(store)


@pytest.fixture
def invitations(store: Store, keys: KeyRing, authorities: Authorities) -> Invitations:
    return Invitations(store, keys, Policy(crl_url="http://gate.test/crl"), by="test")


def csr() -> bytes:
    return pki.csr(pki.fresh_key())


def actions(store: Store) -> list[str]:
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_an_invitation_becomes_a_credential(invitations: Invitations, clients: Clients, store: Store) -> None:
    invited = invitations.invite("anna", roles=["staff"], contact="anna@example.com", validity=timedelta(days=30))
    assert invited.client.state is ClientState.INVITED
    opened = invitations.open(invited.token, peer=PEER)
    assert (opened.client.name, opened.invitation.state) == ("anna", InvitationState.OPEN)
    assert invitations.progress(invited.token).state is InvitationState.OPEN
    outcome = invitations.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert outcome.signed is not None
    assert not outcome.waiting
    life = outcome.signed.credential.not_after - outcome.signed.credential.not_before
    assert life == timedelta(days=30) - timedelta(seconds=1)
    view = clients.show("anna")
    assert view.client.state is ClientState.ACTIVE
    assert view.client.roles == ("staff",)
    assert view.credentials == (outcome.signed.credential,)
    shown = invitations.get(invited.invitation.id).invitation
    assert (shown.state, shown.way, shown.peer) == (InvitationState.USED, Way.CSR, PEER)
    assert shown.credential == outcome.signed.credential.id
    assert actions(store)[-3:] == ["client.add", "invitation.create", "credential.sign"]
    with store.reading() as tx:
        entry = tx.audit.recent(limit=1)[0]
    assert entry.by == f"invitation {shown.id}"
    assert entry.facts["peer"] == PEER


def test_the_short_code_opens_it_too_however_it_is_typed(invitations: Invitations) -> None:
    invited = invitations.invite("anna")
    assert [len(group) for group in invited.code.split("-")] == [4, 4, 4]
    for typed in (invited.code, invited.code.replace("-", ""), f" {invited.code.replace('-', ' ')} "):
        assert invitations.open(typed, peer=PEER).client.name == "anna"
    with pytest.raises(NotFound, match="capital letters count"):
        invitations.open(invited.code.swapcase(), peer=PEER)


def test_it_is_used_once(invitations: Invitations) -> None:
    invited = invitations.invite("anna")
    invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    for secret in (invited.token, invited.code):
        with pytest.raises(Conflict) as again:
            invitations.open(secret, peer=PEER)
        assert again.value.code == "invitation_used"
        with pytest.raises(Conflict) as again:
            invitations.sign(secret, csr(), way=Way.PAGE, peer=PEER)
        assert again.value.code == "invitation_used"


def test_of_simultaneous_claims_one_succeeds(invitations: Invitations, clients: Clients) -> None:
    invited = invitations.invite("anna")
    requests = [csr() for _ in range(8)]
    start = threading.Barrier(len(requests))
    results: list[Outcome | MutualgateError] = []

    def claim(request: bytes) -> None:
        start.wait()
        try:
            results.append(invitations.sign(invited.token, request, way=Way.PAGE, peer=PEER))
        except MutualgateError as error:
            results.append(error)

    threads = [threading.Thread(target=claim, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in results) == ["Conflict"] * 7 + ["Outcome"]
    assert len(clients.show("anna").credentials) == 1


def test_a_request_that_cannot_be_used_leaves_it_open(invitations: Invitations) -> None:
    invited = invitations.invite("anna")
    stolen = pki.csr(pki.fresh_key())
    tampered = bytearray(pki.csr(pki.fresh_key(), encoding=Encoding.DER))
    tampered[-1] ^= 1
    for bad in (b"hello", b"", b"0" * (10 << 20), bytes(tampered), pki.csr(pki.rsa_key(1024)), stolen[:-40]):
        with pytest.raises(BadInput):
            invitations.sign(invited.token, bad, way=Way.CSR, peer=PEER)
    assert invitations.open(invited.token, peer=PEER).invitation.state is InvitationState.OPEN


def test_it_expires(invitations: Invitations, clock: Hands) -> None:
    invited = invitations.invite("anna", life=timedelta(hours=1))
    clock.move(timedelta(hours=1) - timedelta(seconds=1))
    invitations.open(invited.token, peer=PEER)
    clock.move(timedelta(seconds=1))
    for call in (
        lambda: invitations.open(invited.token, peer=PEER),
        lambda: invitations.progress(invited.token),
        lambda: invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER),
    ):
        with pytest.raises(Conflict) as late:
            call()
        assert late.value.code == "invitation_expired"


def test_what_is_taken_back_opens_nothing(invitations: Invitations) -> None:
    invited = invitations.invite("anna")
    invitations.revoke(invited.invitation.id)
    with pytest.raises(Conflict) as gone:
        invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert gone.value.code == "invitation_revoked"
    with pytest.raises(Conflict, match="is revoked"):
        invitations.revoke(invited.invitation.id)
    with pytest.raises(NotFound):
        invitations.revoke(99)
    with pytest.raises(NotFound):
        invitations.revoke(1 << 70)


def test_another_clients_invitation_gives_another_clients_name_and_no_more(
    invitations: Invitations, clients: Clients
) -> None:
    anna, bert = invitations.invite("anna"), invitations.invite("bert")
    outcome = invitations.sign(anna.token, pki.csr(pki.fresh_key(), "bert"), way=Way.CSR, peer=PEER)
    assert outcome.signed is not None
    assert outcome.signed.certificate.subject.rfc4514_string() == "CN=anna"
    assert clients.show("bert").credentials == ()
    assert invitations.open(bert.token, peer=PEER).client.name == "bert"


def test_another_clients_key_is_refused_without_saying_whose_it_is(invitations: Invitations) -> None:
    key = pki.fresh_key()
    invitations.sign(invitations.invite("anna").token, pki.csr(key), way=Way.CSR, peer=PEER)
    with pytest.raises(Conflict) as refused:
        invitations.sign(invitations.invite("bert").token, pki.csr(key), way=Way.CSR, peer=PEER)
    assert refused.value.code == "key_in_use"
    assert "anna" not in str(refused.value)
    assert refused.value.facts == {}


def test_only_the_ways_that_it_allows(invitations: Invitations) -> None:
    invited = invitations.invite("anna", ways=[Way.PAGE, Way.APPLE])
    assert invited.invitation.ways == (Way.PAGE, Way.APPLE)
    with pytest.raises(BadInput) as other:
        invitations.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert other.value.code == "way_not_allowed"
    with pytest.raises(BadInput):
        invitations.invite("bert", ways=[])


def test_a_suspended_client_gets_nothing(invitations: Invitations, clients: Clients) -> None:
    invited = invitations.invite("anna")
    clients.suspend("anna")
    with pytest.raises(Conflict) as kept_out:
        invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert kept_out.value.code == "client_suspended"
    assert "mutualgate client" not in str(kept_out.value)
    with pytest.raises(Conflict):
        invitations.invite("anna")


def test_a_client_that_goes_takes_its_invitations_along(invitations: Invitations, clients: Clients) -> None:
    invited = invitations.invite("anna")
    clients.remove("anna")
    with pytest.raises(Conflict) as gone:
        invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert gone.value.code == "invitation_revoked"


def test_a_second_factor_is_needed_and_locks_after_five_wrong_ones(invitations: Invitations, store: Store) -> None:
    invited = invitations.invite("anna", second_factor=True)
    assert invited.factor is not None
    with pytest.raises(BadInput) as missing:
        invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert missing.value.code == "second_factor_needed"
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(BadInput) as wrong:
            invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor="0000 000x")
        assert (wrong.value.code, wrong.value.facts["left"]) == ("wrong_second_factor", left)
    with pytest.raises(Conflict) as locked:
        invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor=invited.factor)
    assert locked.value.code == "invitation_locked"
    assert actions(store)[-1] == "invitation.lock"


def test_the_second_factor_lets_in_however_it_is_typed(invitations: Invitations) -> None:
    invited = invitations.invite("anna", second_factor=True)
    assert invited.factor is not None
    outcome = invitations.sign(
        invited.token, csr(), way=Way.PAGE, peer=PEER, factor=f" {invited.factor.replace(' ', '')}"
    )
    assert outcome.signed is not None


def test_another_invitations_second_factor_does_not_fit(invitations: Invitations) -> None:
    anna, bert = (invitations.invite(name, second_factor=True) for name in ("anna", "bert"))
    with pytest.raises(BadInput):
        invitations.sign(anna.token, csr(), way=Way.PAGE, peer=PEER, factor=bert.factor)


def test_what_has_to_be_approved_waits(invitations: Invitations, clients: Clients, clock: Hands) -> None:
    invited = invitations.invite("anna", approval=True, life=timedelta(days=1))
    outcome = invitations.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert outcome.waiting
    assert outcome.signed is None
    assert clients.show("anna").credentials == ()
    assert invitations.progress(invited.token).state is InvitationState.WAITING
    with pytest.raises(Conflict) as twice:
        invitations.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert twice.value.code == "invitation_waiting"
    clock.move(timedelta(days=2))  # the operator was away: what came in time still counts
    assert invitations.collect(invited.token, peer=PEER).waiting
    approved = invitations.approve(invited.invitation.id)
    assert approved.signed is not None
    collected = invitations.collect(invited.token, peer=PEER)
    assert collected.signed is not None
    assert collected.signed.chain_pem == approved.signed.chain_pem
    with pytest.raises(Conflict):
        invitations.approve(invited.invitation.id)


def test_what_is_declined_stays_declined(invitations: Invitations, clients: Clients) -> None:
    invited = invitations.invite("anna", approval=True)
    with pytest.raises(Conflict, match="waits for approval"):
        invitations.decline(invited.invitation.id)
    invitations.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    invitations.decline(invited.invitation.id)
    with pytest.raises(Conflict) as declined:
        invitations.open(invited.token, peer=PEER)
    assert declined.value.code == "invitation_declined"
    with pytest.raises(Conflict):
        invitations.approve(invited.invitation.id)
    assert clients.show("anna").credentials == ()


def test_an_answer_that_got_lost_is_given_again(invitations: Invitations, clock: Hands) -> None:
    invited = invitations.invite("anna")
    outcome = invitations.sign(invited.token, csr(), way=Way.COMMAND, peer=PEER)
    again = invitations.collect(invited.token, peer=PEER)
    assert outcome.signed is not None
    assert again.signed is not None
    assert again.signed.chain_pem == outcome.signed.chain_pem
    clock.move(timedelta(days=7))
    with pytest.raises(Conflict):
        invitations.collect(invited.token, peer=PEER)


def test_a_new_link_ends_the_old_one(invitations: Invitations, clock: Hands) -> None:
    invited = invitations.invite("anna", second_factor=True)
    clock.move(timedelta(days=8))
    renewed = invitations.renew_link(invited.invitation.id)
    assert renewed.invitation.id == invited.invitation.id
    for old in (invited.token, invited.code):
        with pytest.raises(NotFound):
            invitations.open(old, peer=PEER)
    with pytest.raises(BadInput):
        invitations.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=invited.factor)
    assert invitations.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=renewed.factor).signed
    with pytest.raises(Conflict):
        invitations.renew_link(invited.invitation.id)


def test_a_new_link_unlocks(invitations: Invitations) -> None:
    invited = invitations.invite("anna", second_factor=True)
    for _ in range(5):
        with pytest.raises(BadInput):
            invitations.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor="1")
    renewed = invitations.renew_link(invited.invitation.id)
    assert invitations.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=renewed.factor).signed


def test_who_guesses_is_stopped_and_others_are_not(invitations: Invitations, clock: Hands) -> None:
    invited = invitations.invite("anna")
    for number in range(20):
        with pytest.raises(NotFound) as unknown:
            invitations.open(f"{number:043d}", peer="198.51.100.9")
        assert unknown.value.code == "invitation_unknown"
    with pytest.raises(Unavailable) as stopped:  # the right one, too: an answer would tell that it is right
        invitations.open(invited.token, peer="198.51.100.9")
    assert stopped.value.code == "too_many_tries"
    assert invitations.open(invited.token, peer=PEER).client.name == "anna"
    clock.move(timedelta(minutes=10))
    assert invitations.open(invited.token, peer="198.51.100.9").client.name == "anna"


@pytest.mark.parametrize("secret", ["", " ", "x" * 43, "x" * 100_000, "é" * 43, "\0" * 43, "abcd", "../" * 14 + "x"])
def test_what_is_no_secret_opens_nothing(invitations: Invitations, secret: str) -> None:
    invitations.invite("anna")
    with pytest.raises(NotFound):
        invitations.open(secret, peer=PEER)


def test_the_store_holds_nothing_that_opens_an_invitation(invitations: Invitations, store: Store) -> None:
    invited = invitations.invite("anna", second_factor=True)
    assert invited.factor is not None
    store.close()
    kept = b"".join(path.read_bytes() for path in store.path.parent.glob("store.sqlite3*"))
    for secret in (invited.token, invited.code, invited.code.replace("-", ""), invited.factor):
        assert secret.encode() not in kept
    for secret in (invited.token, invited.code, invited.factor):
        assert secret not in repr(invited)


def test_a_known_client_is_invited_again_as_it_is(invitations: Invitations, clients: Clients) -> None:
    clients.add("anna", roles=["staff"], contact="anna@example.com")
    invited = invitations.invite("Anna")
    assert invited.client.name == "anna"
    assert invited.client.roles == ("staff",)
    with pytest.raises(Conflict) as differs:
        invitations.invite("anna", roles=["admin"])
    assert differs.value.code == "client_differs"
    with pytest.raises(Conflict):
        invitations.invite("anna", contact="other@example.com")
    assert clients.get("anna").roles == ("staff",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"life": timedelta(minutes=1)},
        {"life": timedelta(days=400)},
        {"validity": timedelta(minutes=1)},
        {"roles": ["a,b"]},
        {"contact": "a\nb"},
    ],
)
def test_what_cannot_be_is_refused_and_adds_nobody(
    invitations: Invitations, clients: Clients, wrong: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        invitations.invite("anna", **wrong)
    assert clients.list().total == 0


def test_they_are_listed_newest_first_in_pages(invitations: Invitations, clock: Hands) -> None:
    for number in range(5):
        invitations.invite(f"client-{number}", life=timedelta(days=1 + number))
    invitations.revoke(2)
    clock.move(timedelta(days=1))
    page = invitations.list(limit=2)
    assert [one.client.name for one in page.invitations] == ["client-4", "client-3"]
    assert (page.total, page.before) == (5, 4)
    rest = invitations.list(limit=3, before=page.before)
    assert [one.client.name for one in rest.invitations] == ["client-2", "client-1", "client-0"]
    assert rest.before is None
    assert invitations.list(state=InvitationState.REVOKED).total == 1
    assert [one.client.name for one in invitations.list(expired=True).invitations] == ["client-0"]
