"""Invitations: what opens them, once, for whom, and what comes of it."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.invitation_use import InvitationUse
from mutualgate.enrolment.invitations import Invitations, Invited
from mutualgate.enrolment.outcome import Outcome
from mutualgate.enrolment.signing import Signer
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound, Unavailable
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.client import ClientState
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.model.names import ClientName
from mutualgate.model.partner import Anchor, AnchorState, PartnerAdmits, PartnerName, RevocationMode
from mutualgate.model.pin import PinKind
from mutualgate.model.revocation import RevocationReason
from mutualgate.model.sighting import Sighting
from mutualgate.partners.service import Partners
from mutualgate.store import Store, Transaction

PEER = "192.0.2.7"

Own = Callable[..., Outcome]


@pytest.fixture
def clients(store: Store) -> Clients:
    return Clients(store)


@pytest.fixture
def invitations(store: Store, keys: KeyRing, authorities: Authorities) -> Invitations:
    return Invitations(store, lambda: Signer(keys, Policy(crl_url="http://gate.test/crl"), "test"), by="test")


@pytest.fixture
def use(store: Store, keys: KeyRing, authorities: Authorities) -> InvitationUse:
    return InvitationUse(store, keys, Policy(crl_url="http://gate.test/crl"))


def csr() -> bytes:
    return pki.csr(pki.fresh_key())


class Meanwhile:
    """A clock that has something happen, once, when it is asked for the `time`th time."""

    def __init__(self, clock: Hands, time: int, happens: Callable[[], object]) -> None:
        self._clock, self._left, self._happens = clock, time, happens

    def __call__(self) -> datetime:
        self._left -= 1
        if self._left == 0:
            self._happens()
        return self._clock()


def actions(store: Store) -> list[str]:
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_an_invitation_becomes_a_credential(
    invitations: Invitations, use: InvitationUse, clients: Clients, store: Store
) -> None:
    invited = invitations.invite("anna", roles=["staff"], contact="anna@example.com", validity=timedelta(days=30))
    assert invited.client.state is ClientState.NEW
    opened = use.open(invited.token, peer=PEER)
    assert (opened.client.name, opened.invitation.state) == ("anna", InvitationState.OPEN)
    assert use.progress(invited.token).state is InvitationState.OPEN
    outcome = use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
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
        made = tx.audit.recent(limit=3)[-1]
    assert (made.subject, made.facts) == (f"client {view.client.id} anna", {"roles": "staff"})
    with store.reading() as tx:
        entry = tx.audit.recent(limit=1)[0]
    assert entry.by == f"invitation {shown.id}"
    assert entry.facts["peer"] == PEER


def test_the_short_code_opens_it_too_however_it_is_typed(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna")
    assert [len(group) for group in invited.code.split("-")] == [4, 4, 4]
    for typed in (invited.code, invited.code.replace("-", ""), f" {invited.code.replace('-', ' ')} "):
        assert use.open(typed, peer=PEER).client.name == "anna"
    with pytest.raises(NotFound, match="capital letters count"):
        use.open(invited.code.swapcase(), peer=PEER)


def test_it_is_used_once(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna")
    use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    for secret in (invited.token, invited.code):
        with pytest.raises(Conflict) as again:
            use.open(secret, peer=PEER)
        assert again.value.code == "invitation_used"
        with pytest.raises(Conflict) as again:
            use.sign(secret, csr(), way=Way.PAGE, peer=PEER)
        assert again.value.code == "invitation_used"


@pytest.mark.parametrize("approval", [False, True])
def test_the_same_handed_in_again_is_answered_as_the_first_time(
    invitations: Invitations, use: InvitationUse, clients: Clients, approval: bool
) -> None:
    """A button is clicked twice, an answer gets lost: nobody is told then that somebody else was quicker."""
    request, laptop = csr(), pki.leaf(None, "laptop")
    signed, pinned = invitations.invite("anna", approval=approval), invitations.invite("bert", approval=approval)

    def hand_in() -> tuple[Outcome, Outcome]:
        first = use.sign(signed.token, request, way=Way.CSR, peer=PEER)
        return first, use.own(pinned.token, [laptop.der], peer=PEER)

    first, again = hand_in(), hand_in()
    assert [one.waiting for one in (*first, *again)] == [approval] * 4
    for before, after in zip(first, again, strict=True):
        assert (before.pin, before.client.id) == (after.pin, after.client.id)
        if before.signed is not None:
            assert after.signed is not None
            assert after.signed.chain_pem == before.signed.chain_pem
    assert len(clients.show("anna").credentials) == (0 if approval else 1)
    for name in (signed.token, pinned.token):
        with pytest.raises(Conflict):
            use.own(name, [pki.leaf(None).der], peer=PEER)
    with pytest.raises(Conflict):
        use.sign(signed.token, request, way=Way.PAGE, peer=PEER)


def test_of_simultaneous_claims_one_succeeds(invitations: Invitations, use: InvitationUse, clients: Clients) -> None:
    invited = invitations.invite("anna")
    requests = [csr() for _ in range(8)]
    start = threading.Barrier(len(requests))
    results: list[Outcome | MutualgateError] = []

    def claim(request: bytes) -> None:
        start.wait()
        try:
            results.append(use.sign(invited.token, request, way=Way.PAGE, peer=PEER))
        except MutualgateError as error:
            results.append(error)

    threads = [threading.Thread(target=claim, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in results) == ["Conflict"] * 7 + ["Outcome"]
    assert len(clients.show("anna").credentials) == 1


def test_a_request_that_cannot_be_used_leaves_it_open(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna")
    stolen = pki.csr(pki.fresh_key())
    tampered = bytearray(pki.csr(pki.fresh_key(), encoding=Encoding.DER))
    tampered[-1] ^= 1
    for bad in (b"hello", b"", b"0" * (10 << 20), bytes(tampered), pki.csr(pki.rsa_key(1024)), stolen[:-40]):
        with pytest.raises(BadInput):
            use.sign(invited.token, bad, way=Way.CSR, peer=PEER)
    assert use.open(invited.token, peer=PEER).invitation.state is InvitationState.OPEN


def test_it_expires(invitations: Invitations, use: InvitationUse, clock: Hands) -> None:
    invited = invitations.invite("anna", life=timedelta(hours=1))
    clock.move(timedelta(hours=1) - timedelta(seconds=1))
    use.open(invited.token, peer=PEER)
    clock.move(timedelta(seconds=1))
    for call in (
        lambda: use.open(invited.token, peer=PEER),
        lambda: use.progress(invited.token),
        lambda: use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER),
    ):
        with pytest.raises(Conflict) as late:
            call()
        assert late.value.code == "invitation_expired"


def test_what_is_taken_back_opens_nothing(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna")
    invitations.revoke(invited.invitation.id)
    with pytest.raises(Conflict) as gone:
        use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert gone.value.code == "invitation_revoked"
    with pytest.raises(Conflict, match="is revoked"):
        invitations.revoke(invited.invitation.id)
    with pytest.raises(NotFound):
        invitations.revoke(99)
    with pytest.raises(NotFound):
        invitations.revoke(1 << 70)


def test_another_clients_invitation_gives_another_clients_name_and_no_more(
    invitations: Invitations, use: InvitationUse, clients: Clients
) -> None:
    anna, bert = invitations.invite("anna"), invitations.invite("bert")
    outcome = use.sign(anna.token, pki.csr(pki.fresh_key(), "bert"), way=Way.CSR, peer=PEER)
    assert outcome.signed is not None
    assert outcome.signed.certificate.subject.rfc4514_string() == "CN=anna"
    assert clients.show("bert").credentials == ()
    assert use.open(bert.token, peer=PEER).client.name == "bert"


def test_another_clients_key_is_refused_without_saying_whose_it_is(
    invitations: Invitations, use: InvitationUse
) -> None:
    key = pki.fresh_key()
    use.sign(invitations.invite("anna").token, pki.csr(key), way=Way.CSR, peer=PEER)
    with pytest.raises(Conflict) as refused:
        use.sign(invitations.invite("bert").token, pki.csr(key), way=Way.CSR, peer=PEER)
    assert refused.value.code == "key_in_use"
    assert "anna" not in str(refused.value)
    assert refused.value.facts == {}


def test_only_the_ways_that_it_allows(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna", ways=[Way.PAGE, Way.APPLE])
    assert invited.invitation.ways == (Way.PAGE, Way.APPLE)
    with pytest.raises(BadInput) as other:
        use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert other.value.code == "way_not_allowed"
    with pytest.raises(BadInput):
        invitations.invite("bert", ways=[])


def test_a_suspended_client_gets_nothing(invitations: Invitations, use: InvitationUse, clients: Clients) -> None:
    invited = invitations.invite("anna")
    clients.suspend("anna")
    with pytest.raises(Conflict) as kept_out:
        use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert kept_out.value.code == "client_suspended"
    assert "mutualgate client" not in str(kept_out.value)
    with pytest.raises(Conflict):
        invitations.invite("anna")


def test_a_client_that_goes_takes_its_invitations_along(
    invitations: Invitations, use: InvitationUse, clients: Clients
) -> None:
    invited = invitations.invite("anna")
    clients.remove("anna")
    with pytest.raises(Conflict) as gone:
        use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert gone.value.code == "invitation_revoked"


def test_a_second_factor_is_needed_and_locks_after_five_wrong_ones(
    invitations: Invitations, use: InvitationUse, store: Store
) -> None:
    invited = invitations.invite("anna", second_factor=True)
    assert invited.factor is not None
    with pytest.raises(BadInput) as missing:
        use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER)
    assert missing.value.code == "second_factor_needed"
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(BadInput) as wrong:
            use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor="0000 000x")
        assert (wrong.value.code, wrong.value.facts["left"]) == ("wrong_second_factor", left)
    with pytest.raises(Conflict) as locked:
        use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor=invited.factor)
    assert locked.value.code == "invitation_locked"
    assert actions(store)[-1] == "invitation.lock"


def test_of_many_second_factors_tried_at_once_five_are_looked_at(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna", second_factor=True)
    together = threading.Barrier(8)

    def guess(number: int) -> str:
        together.wait()
        with pytest.raises((BadInput, Conflict)) as refused:
            use.sign(invited.token, csr(), way=Way.PAGE, peer=f"192.0.2.{number}", factor=f"0000 000{number}")
        return refused.value.code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(guess, range(8)))
    assert codes == ["invitation_locked"] * 3 + ["wrong_second_factor"] * 5


def test_the_second_factor_lets_in_however_it_is_typed(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna", second_factor=True)
    assert invited.factor is not None
    outcome = use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor=f" {invited.factor.replace(' ', '')}")
    assert outcome.signed is not None


def test_another_invitations_second_factor_does_not_fit(invitations: Invitations, use: InvitationUse) -> None:
    anna, bert = (invitations.invite(name, second_factor=True) for name in ("anna", "bert"))
    with pytest.raises(BadInput):
        use.sign(anna.token, csr(), way=Way.PAGE, peer=PEER, factor=bert.factor)


def test_what_has_to_be_approved_waits(
    invitations: Invitations, use: InvitationUse, clients: Clients, clock: Hands
) -> None:
    invited = invitations.invite("anna", approval=True, life=timedelta(days=1))
    outcome = use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert outcome.waiting
    assert outcome.signed is None
    assert clients.show("anna").credentials == ()
    assert use.progress(invited.token).state is InvitationState.WAITING
    with pytest.raises(Conflict) as twice:
        use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert twice.value.code == "invitation_waiting"
    handed_in = invitations.handed_in(invited.invitation.id)
    assert handed_in is not None
    assert (handed_in.what, handed_in.subject, handed_in.peer) == ("a CSR with a key of P-256", "CN=client", PEER)
    clock.move(timedelta(days=2))  # the operator was away: what came in time still counts
    assert use.collect(invited.token, peer=PEER).waiting
    approved = invitations.approve(invited.invitation.id)
    assert approved.signed is not None
    collected = use.collect(invited.token, peer=PEER)
    assert collected.signed is not None
    assert collected.signed.chain_pem == approved.signed.chain_pem
    with pytest.raises(Conflict) as late:
        invitations.approve(invited.invitation.id)
    assert late.value.code == "wrong_state"


@pytest.mark.parametrize("way", [Way.CSR, Way.OWN])
def test_what_could_never_count_does_not_wait_for_approval(
    invitations: Invitations, use: InvitationUse, clients: Clients, way: Way
) -> None:
    """Its holder is told at once; the operator is not asked to approve what another client has."""
    key = pki.fresh_key()
    assert use.sign(invitations.invite("bert").token, pki.csr(key), way=Way.CSR, peer=PEER).signed
    token = invitations.invite("anna", approval=True).token
    with pytest.raises(Conflict) as refused:
        _ = (
            use.sign(token, pki.csr(key), way=way, peer=PEER)
            if way is Way.CSR
            else use.own(token, [pki.leaf(None, key=key).der], peer=PEER)
        )
    assert refused.value.code == "key_in_use"
    assert use.progress(token).state is InvitationState.OPEN


def test_who_is_suspended_meanwhile_is_not_approved_nor_gets_a_new_link(
    invitations: Invitations, use: InvitationUse, clients: Clients
) -> None:
    waits, unused = invitations.invite("anna", approval=True), invitations.invite("anna")
    use.sign(waits.token, csr(), way=Way.CSR, peer=PEER)
    clients.suspend("anna")
    with pytest.raises(Conflict) as refused:
        invitations.approve(waits.invitation.id)
    assert refused.value.code == "client_suspended"
    with pytest.raises(Conflict) as refused:
        invitations.renew_link(unused.invitation.id)
    assert refused.value.code == "client_suspended"
    assert clients.show("anna").credentials == ()
    clients.resume("anna")
    assert invitations.approve(waits.invitation.id).signed
    assert invitations.renew_link(unused.invitation.id).token


def test_what_operators_do_with_invitations_is_in_the_audit_log(
    invitations: Invitations, use: InvitationUse, store: Store
) -> None:
    first, second, third = (invitations.invite("anna", approval=True) for _ in range(3))
    assert actions(store)[-4:] == ["client.add", *["invitation.create"] * 3]
    for invited in (first, second):
        use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    assert actions(store)[-2:] == ["invitation.submit"] * 2
    invitations.approve(first.invitation.id)
    assert actions(store)[-2:] == ["invitation.approve", "credential.sign"]
    invitations.decline(second.invitation.id)
    invitations.renew_link(third.invitation.id)
    invitations.revoke(third.invitation.id)
    assert actions(store)[-3:] == ["invitation.decline", "invitation.renew", "invitation.revoke"]


def test_what_is_declined_stays_declined(invitations: Invitations, use: InvitationUse, clients: Clients) -> None:
    invited = invitations.invite("anna", approval=True)
    with pytest.raises(Conflict, match="waits for approval"):
        invitations.decline(invited.invitation.id)
    use.sign(invited.token, csr(), way=Way.CSR, peer=PEER)
    invitations.decline(invited.invitation.id)
    with pytest.raises(Conflict) as declined:
        use.open(invited.token, peer=PEER)
    assert declined.value.code == "invitation_declined"
    with pytest.raises(Conflict):
        invitations.approve(invited.invitation.id)
    assert clients.show("anna").credentials == ()


def test_an_answer_that_got_lost_is_given_again(invitations: Invitations, use: InvitationUse, clock: Hands) -> None:
    invited = invitations.invite("anna")
    outcome = use.sign(invited.token, csr(), way=Way.COMMAND, peer=PEER)
    again = use.collect(invited.token, peer=PEER)
    assert outcome.signed is not None
    assert again.signed is not None
    assert again.signed.chain_pem == outcome.signed.chain_pem
    clock.move(timedelta(days=7))
    with pytest.raises(Conflict):
        use.collect(invited.token, peer=PEER)


def test_what_came_of_an_invitation_is_told_after_its_time(
    invitations: Invitations, use: InvitationUse, clock: Hands
) -> None:
    invited = invitations.invite("anna")
    outcome = use.sign(invited.token, csr(), way=Way.COMMAND, peer=PEER)
    assert outcome.signed is not None
    clock.move(timedelta(days=30))
    told = use.progress(invited.token)
    assert (told.state, told.not_after) == (InvitationState.USED, outcome.signed.credential.not_after)
    with pytest.raises(Conflict, match="used already"):
        use.open(invited.token, peer=PEER)


def test_a_new_link_ends_the_old_one(invitations: Invitations, use: InvitationUse, clock: Hands) -> None:
    invited = invitations.invite("anna", second_factor=True)
    clock.move(timedelta(days=8))
    renewed = invitations.renew_link(invited.invitation.id)
    assert renewed.invitation.id == invited.invitation.id
    for old in (invited.token, invited.code):
        with pytest.raises(NotFound):
            use.open(old, peer=PEER)
    with pytest.raises(BadInput):
        use.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=invited.factor)
    assert use.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=renewed.factor).signed
    with pytest.raises(Conflict):
        invitations.renew_link(invited.invitation.id)


@pytest.mark.parametrize("life", [timedelta(minutes=4), timedelta(days=367)])
def test_no_link_works_for_ever(invitations: Invitations, life: timedelta) -> None:
    invited = invitations.invite("anna")
    with pytest.raises(BadInput, match="5 minutes to 366 days"):
        invitations.renew_link(invited.invitation.id, life=life)
    with pytest.raises(BadInput, match="5 minutes to 366 days"):
        invitations.invite("bert", life=life)


@pytest.mark.parametrize("way", [Way.CSR, Way.OWN])
def test_a_new_link_ends_the_old_one_for_who_is_using_it_right_now(
    invitations: Invitations, use: InvitationUse, store: Store, clock: Hands, clients: Clients, way: Way
) -> None:
    """Whoever was looked at and waits for the store finds that another link took the place of this one."""
    invited = invitations.invite("anna")
    secret, links = invited.token, list[Invited]()
    request, laptop = csr(), pki.leaf(None)
    store.clock = Meanwhile(clock, 2, lambda: links.append(invitations.renew_link(invited.invitation.id)))
    chain = [laptop.der]
    with pytest.raises(NotFound):
        _ = use.sign(secret, request, way=way, peer=PEER) if way is Way.CSR else use.own(secret, chain, peer=PEER)
    (link,) = links
    assert use.open(link.token, peer=PEER).invitation.state is InvitationState.OPEN


def test_a_new_link_unlocks(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna", second_factor=True)
    for _ in range(5):
        with pytest.raises(BadInput):
            use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor="1")
    renewed = invitations.renew_link(invited.invitation.id)
    assert use.sign(renewed.token, csr(), way=Way.PAGE, peer=PEER, factor=renewed.factor).signed


GUESSER = "198.51.100.9"


def guessed(use: InvitationUse) -> None:
    """Uses up what a peer may be wrong."""
    for number in range(20):
        with pytest.raises(NotFound) as unknown:
            use.open(f"{number:043d}", peer=GUESSER)
        assert unknown.value.code == "invitation_unknown"


def test_who_guesses_is_stopped_and_others_are_not(invitations: Invitations, use: InvitationUse, clock: Hands) -> None:
    invited = invitations.invite("anna")
    guessed(use)
    # The right code, too, and what was no code: an answer would tell which it is.
    for guess in ("2222-2222-2222", invited.code, "x" * 43, "nonsense"):
        with pytest.raises(Unavailable) as stopped:
            use.open(guess, peer=GUESSER)
        assert (stopped.value.code, stopped.value.facts) == ("too_many_tries", {"seconds": 600})
    assert use.open(invited.code, peer=PEER).client.name == "anna"
    clock.move(timedelta(minutes=10))
    assert use.open(invited.code, peer=GUESSER).client.name == "anna"


def test_who_holds_a_link_is_let_in_though_a_neighbour_guesses(invitations: Invitations, use: InvitationUse) -> None:
    """Behind one address are offices, and all subscribers of a carrier."""
    anna, bert = invitations.invite("anna"), invitations.invite("bert")
    guessed(use)
    assert use.open(anna.token, peer=GUESSER).client.name == "anna"
    assert use.sign(anna.token, csr(), way=Way.PAGE, peer=GUESSER).signed
    assert use.collect(anna.token, peer=GUESSER).signed
    assert use.progress(bert.token, peer=GUESSER).client.name == "bert"
    with pytest.raises(Unavailable):  # what is known to be right opens nothing for others
        use.open(f"{bert.token[:-1]}{'A' if bert.token[-1] != 'A' else 'E'}", peer=GUESSER)


def test_second_codes_are_not_guessed_by_who_holds_the_link(invitations: Invitations, use: InvitationUse) -> None:
    invited = invitations.invite("anna", second_factor=True)
    guessed(use)
    for factor in ("0000 0000", invited.factor):
        with pytest.raises(Unavailable) as stopped:
            use.sign(invited.token, csr(), way=Way.PAGE, peer=GUESSER, factor=factor)
        assert stopped.value.code == "too_many_tries"
    assert invitations.get(invited.invitation.id).invitation.wrong_factors == 0
    assert use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER, factor=invited.factor).signed


@pytest.mark.parametrize("secret", ["", " ", "x" * 43, "x" * 100_000, "é" * 43, "\0" * 43, "abcd", "../" * 14 + "x"])
def test_what_is_no_secret_opens_nothing(invitations: Invitations, use: InvitationUse, secret: str) -> None:
    invitations.invite("anna")
    with pytest.raises(NotFound):
        use.open(secret, peer=PEER)


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


@pytest.fixture
def own(invitations: Invitations, use: InvitationUse) -> Own:
    """A client opens a new invitation with a certificate that its handshake proved."""

    def do(name: str, shown: pki.Issued, **how: Any) -> Outcome:
        return use.own(invitations.invite(name).token, [shown.der], peer=PEER, **how)

    return do


def test_a_certificate_of_ones_own_becomes_a_pin(
    invitations: Invitations, use: InvitationUse, clients: Clients, store: Store
) -> None:
    shown = pki.leaf(None, "anything", ca=True, eku=None)  # as openssl req -x509 makes them
    invited = invitations.invite("anna")
    outcome = use.own(invited.token, [shown.der], peer=PEER)
    assert outcome.pin is not None
    assert outcome.pin.kind is PinKind.CERTIFICATE
    assert outcome.pin.certificate == shown.der
    assert clients.get("anna").state is ClientState.ACTIVE
    assert use.collect(invited.token, peer=PEER).pin == outcome.pin
    assert use.progress(invited.token).not_after == outcome.pin.not_after
    assert actions(store)[-2:] == ["pin.add", "invitation.use"]
    with pytest.raises(Conflict) as again:
        use.own(invited.token, [pki.leaf(None).der], peer=PEER)
    assert again.value.code == "invitation_used"


def test_a_key_of_ones_own_becomes_a_pin_for_as_long_as_was_said(
    invitations: Invitations, use: InvitationUse, clock: Hands
) -> None:
    invited = invitations.invite("anna", validity=timedelta(days=30))
    outcome = use.own(invited.token, [pki.leaf(None).der], peer=PEER, kind=PinKind.KEY)
    assert outcome.pin is not None
    assert outcome.pin.kind is PinKind.KEY
    assert outcome.pin.not_after == clock.now + timedelta(days=30)


def test_what_waits_for_approval_is_pinned_as_it_was_asked(
    invitations: Invitations, use: InvitationUse, clients: Clients
) -> None:
    invited = invitations.invite("anna", approval=True)
    shown = pki.leaf(None)
    assert use.own(invited.token, [shown.der], peer=PEER, kind=PinKind.KEY).waiting
    assert clients.get("anna").state is ClientState.NEW
    handed_in = invitations.handed_in(invited.invitation.id)
    assert handed_in is not None
    assert "self-signed, P-256" in handed_in.what
    assert handed_in.spki == spki_fingerprint(shown.certificate).hex()
    outcome = invitations.approve(invited.invitation.id)
    assert outcome.pin is not None
    assert outcome.pin.kind is PinKind.KEY


def test_what_stands_for_another_client_is_refused_and_not_said_whose(own: Own) -> None:
    shown = pki.leaf(None)
    own("anna", shown)
    same_key = pki.leaf(None, "other", key=shown.key)
    for kind in PinKind:
        for theirs in (shown, same_key):
            with pytest.raises(Conflict) as refused:
                own("bert", theirs, kind=kind)
            assert refused.value.code == "certificate_known_other"
            assert "anna" not in str(refused.value)


def test_what_is_ones_own_already_needs_no_invitation(own: Own) -> None:
    shown = pki.leaf(None)
    own("anna", shown)
    with pytest.raises(Conflict) as known:
        own("anna", shown)
    assert known.value.code == "certificate_known_own"
    assert own("anna", pki.leaf(None, key=shown.key)).pin is not None  # its next one under the same key


def test_what_we_issued_is_never_pinned_revoked_or_not(
    invitations: Invitations, own: Own, use: InvitationUse, clients: Clients, keys: KeyRing, store: Store
) -> None:
    key = pki.fresh_key()
    signed = use.sign(invitations.invite("anna").token, pki.csr(key), way=Way.CSR, peer=PEER).signed
    assert signed is not None
    ours = pki.Issued(signed.certificate, key)
    for name, code in (("anna", "certificate_known_own"), ("bert", "certificate_known_other")):
        with pytest.raises(Conflict) as known:
            own(name, ours)
        assert known.value.code == code
    clients.revoke("anna", reason=RevocationReason.superseded)
    with pytest.raises(Conflict):
        own("anna", ours)
    # A self-signed one for the key of a revoked certificate would come in past the revocation.
    with pytest.raises(Conflict):
        own("anna", pki.leaf(None, key=key))


def test_what_an_authority_of_ours_signed_unlisted_is_not_pinned(own: Own, keys: KeyRing, store: Store) -> None:
    with store.reading() as tx:
        issuing = tx.authorities.all()[1]
        parent = pki.Issued(certificate_of(issuing), keys.open(tx, issuing))
    with pytest.raises(Conflict) as ours:
        own("anna", pki.leaf(parent, "unlisted"))
    assert ours.value.code == "certificate_known"


def anchored(tx: Transaction, name: str, ca: pki.Issued) -> None:
    """A partner with a CA that counts."""
    client = tx.clients.add(ClientName(name), contact="", roles=(), at=pki.NOW)
    partner = tx.partners.add(
        PartnerName(name),
        contact="",
        security_contact="",
        admits=PartnerAdmits.RULE,
        roles=(),
        client=client.id,
        at=pki.NOW,
    )
    anchor = Anchor(
        id=0,
        partner=partner.id,
        certificate=ca.der,
        spki=spki_fingerprint(ca.certificate),
        subject="",
        state=AnchorState.ACTIVE,
        shared=False,
        depth=0,
        sub_cas=(),
        environment="",
        not_before=pki.NOW,
        not_after=pki.NOW + timedelta(days=100),
        expired_grace=timedelta(0),
        retire_at=None,
        created=pki.NOW,
        activated=pki.NOW,
        challenge=None,
        challenge_expires=None,
        revocation=RevocationMode.IGNORE,
        grace=timedelta(0),
        leaf_limit=timedelta(days=90),
    )
    tx.anchors.add(anchor, hashlib.sha256(ca.certificate.subject.public_bytes()).digest())


def test_what_a_partner_vouches_for_comes_in_by_the_partner(
    invitations: Invitations, own: Own, use: InvitationUse, store: Store
) -> None:
    root = pki.ca("Acme Root")
    issuing = pki.ca("Acme Issuing", root)
    with store.transaction() as tx:
        anchored(tx, "acme", issuing)
    shown = pki.leaf(issuing, "carl")
    with pytest.raises(Conflict) as theirs:
        own("anna", shown)
    assert theirs.value.code == "under_partner"
    assert "acme" in str(theirs.value)
    below = pki.ca("Acme Below", issuing)
    with pytest.raises(Conflict) as theirs:
        use.own(invitations.invite("anna").token, [pki.leaf(below, "carl").der, below.der], peer=PEER)
    assert theirs.value.code == "under_partner"
    Partners(store, "test").add_intermediate("acme", below.pem)
    with pytest.raises(Conflict) as theirs:
        own("anna", pki.leaf(below, "dora"))
    assert theirs.value.code == "under_partner", "whether or not it comes with what is between"
    with store.transaction() as tx:
        anchored(tx, "umbrella", issuing)
    with pytest.raises(Conflict, match=r"under a CA of several partners, .* the one that has its name") as theirs:
        own("anna", shown)
    assert "acme" not in str(theirs.value)
    with store.transaction() as tx:
        for anchor in tx.anchors.with_key(spki_fingerprint(issuing.certificate)):
            tx.anchors.set(replace(anchor, state=AnchorState.RETIRING, retire_at=pki.NOW))
    assert own("anna", shown).pin is not None, "its day has come"
    # A CA of the same name with another key is somebody else's.
    assert own("anna", pki.leaf(pki.ca("Acme Issuing"), "carl")).pin is not None


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (lambda: pki.leaf(None, days=-1), "expired"),
        (lambda: pki.issue(None, "x", not_before=pki.NOW + timedelta(minutes=5)), "not_yet_valid"),
        (lambda: pki.leaf(None, key=pki.rsa_key(1024)), "weak_key"),
    ],
)
def test_a_certificate_that_would_be_refused_uses_nothing_up(
    invitations: Invitations, use: InvitationUse, shown: Callable[[], pki.Issued], code: str
) -> None:
    invited = invitations.invite("anna")
    with pytest.raises(BadInput) as bad:
        use.own(invited.token, [shown().der], peer=PEER)
    assert bad.value.code == code
    assert use.own(invited.token, [pki.leaf(None).der], peer=PEER).pin is not None


@pytest.mark.parametrize(
    "chain", [[], [b""], [b"x" * 40_000], [b"\x30\x03\x02\x01\x01"], [b"a", b"b", b"c", b"d", b"e"]]
)
def test_what_is_no_chain_is_refused(invitations: Invitations, use: InvitationUse, chain: list[bytes]) -> None:
    invited = invitations.invite("anna")
    with pytest.raises(BadInput):
        use.own(invited.token, chain, peer=PEER)
    assert use.open(invited.token, peer=PEER).invitation.state is InvitationState.OPEN


def test_what_has_expired_does_not_wait_for_approval(invitations: Invitations, use: InvitationUse) -> None:
    token = invitations.invite("anna", approval=True).token
    with pytest.raises(BadInput) as refused:
        use.own(token, [pki.leaf(None, now=pki.NOW - timedelta(days=60), days=30).der], peer=PEER)
    assert refused.value.code == "expired"
    assert use.progress(token).state is InvitationState.OPEN


def test_more_than_the_gate_reads_is_refused_unread(invitations: Invitations, use: InvitationUse) -> None:
    invited, shown = invitations.invite("anna"), pki.leaf(None)
    large = pki.leaf(None, sans=[f"{number}.{'x' * 60}.example" for number in range(500)])
    for chain in ([shown.der] * 5, [shown.der, large.der]):
        with pytest.raises(BadInput) as refused:
            use.own(invited.token, chain, peer=PEER)
        assert refused.value.code == "malformed"


def test_an_invitation_for_one_certificate_gives_no_pin_to_another_way(
    invitations: Invitations, use: InvitationUse
) -> None:
    invited = invitations.invite("anna", ways=[Way.CSR])
    with pytest.raises(BadInput) as other:
        use.own(invited.token, [pki.leaf(None).der], peer=PEER)
    assert other.value.code == "way_not_allowed"


class Letters:
    """An outbox in memory."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, str]] = []

    def check_sends_mail(self) -> None:
        pass

    def put(self, tx: Transaction, kind: str, recipient: str, subject: str, body: str, once: str | None = None) -> None:
        self.kept.append((kind, recipient, subject, body))


def signer(keys: KeyRing) -> Callable[[], Signer]:
    return lambda: Signer(keys, Policy(), "operator")


def posting(store: Store, keys: KeyRing, letters: Letters) -> Invitations:
    return Invitations(
        store,
        signer(keys),
        base_url=lambda: "https://gate.test/join",
        outbox=letters,
        organisation=lambda: "Example Ltd",
    )


def test_a_letter_takes_the_link_along_and_a_new_link_too(
    store: Store, keys: KeyRing, authorities: Authorities
) -> None:
    letters = Letters()
    service = posting(store, keys, letters)
    invited = service.invite("anna", mail_to="anna@example.com", second_factor=True)
    renewed = service.renew_link(invited.invitation.id)
    first, second = letters.kept
    assert first[:3] == ("mail", "anna@example.com", "Your invitation to Example Ltd")
    assert f"https://gate.test/join/{invited.token}\n" in first[3]
    assert invited.code in first[3]
    assert invited.factor is not None
    assert invited.factor not in first[3]
    assert renewed.link("https://gate.test/join/") in second[3]


def test_without_a_portal_or_an_address_nobody_is_invited_by_letter(
    store: Store, keys: KeyRing, clients: Clients
) -> None:
    with pytest.raises(NotFound, match="portal"):
        Invitations(store, signer(keys), outbox=Letters()).invite("anna", mail_to="a@b.example")
    with pytest.raises(BadInput):
        posting(store, keys, Letters()).invite("anna", mail_to="a@b.example\nBcc: c@d.example")
    with pytest.raises(BadInput):
        Invitations(store, signer(keys), base_url=lambda: "https://gate.test/join").invite(
            "anna", mail_to="a@b.example"
        )
    assert clients.list().total == 0


def test_without_a_mail_server_nobody_is_invited_by_a_letter_that_would_wait_for_ever(
    store: Store, keys: KeyRing, clients: Clients
) -> None:
    class Nowhere(Letters):
        def check_sends_mail(self) -> None:
            raise BadInput("no mail server is set", code="no_mail_server")

    with pytest.raises(BadInput, match="no mail server"):
        posting(store, keys, Nowhere()).invite("anna", mail_to="a@b.example")
    assert clients.list().total == 0


@pytest.mark.parametrize("kind", [None, *PinKind])
def test_it_is_seen_when_the_gate_first_admits_what_came_of_it(
    invitations: Invitations, use: InvitationUse, store: Store, clock: Hands, kind: PinKind | None
) -> None:
    invited, shown = invitations.invite("anna"), pki.leaf(None)
    if kind is None:
        signed = use.sign(invited.token, csr(), way=Way.PAGE, peer=PEER).signed
        assert signed is not None
        fingerprint, spki = signed.credential.fingerprint, signed.credential.spki
    else:
        use.own(invited.token, [shown.der], peer=PEER, kind=kind)
        fingerprint, spki = hashlib.sha256(shown.der).digest(), spki_fingerprint(shown.certificate)

    def sighting(client: int | None, reason: str, admitted: datetime | None) -> None:
        with store.transaction() as tx:
            one = Sighting(
                fingerprint, (), "main", "/", clock.now, clock.now, 1, reason, PEER, spki, client, admitted_at=admitted
            )
            tx.seen.add_many([one])

    assert use.progress(invited.token).seen is None
    sighting(None, "unknown_issuer", None)
    assert use.progress(invited.token).seen is None
    first = clock.now + timedelta(minutes=1)
    sighting(invited.client.id, "", first)
    assert use.progress(invited.token).seen == first
    assert invitations.came_of(invited.invitation.id).seen == first
    sighting(invited.client.id + 1, "", first + timedelta(days=1))  # it is somebody else's since
    assert use.progress(invited.token).seen is None
