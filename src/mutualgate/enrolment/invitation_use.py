"""What whoever holds an invitation does with it: opens it, hands something in, and fetches what came of it.

Each use is one transaction, so that it happens once. Does not know pages; what a handshake proved, the caller says.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from mutualgate import audit
from mutualgate.authorities import issuing
from mutualgate.authorities.csr import read_csr
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.clients import states, subject
from mutualgate.counts import counted
from mutualgate.enrolment import own, tokens
from mutualgate.enrolment.opening import (
    ASK,
    MOST_WRONG_FACTORS,
    Opened,
    by_id,
    check_open,
    check_partner,
    for_visitors,
    holder,
)
from mutualgate.enrolment.outcome import Outcome, accept_csr, accept_own, came_of, pin_of
from mutualgate.enrolment.signing import Signed, Signer, check_key
from mutualgate.enrolment.tries import WrongTries
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.pin import PinKind
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Store, Transaction


@dataclass(frozen=True)
class Progress:
    """How far it is; `seen` is when the gate first admitted what came of it."""

    state: InvitationState
    way: Way | None
    client: Client
    not_after: datetime | None
    seen: datetime | None


class InvitationUse:
    """The service. Who holds an invitation acts as that invitation, for the audit log."""

    def __init__(
        self, store: Store, keys: KeyRing, policy: Policy | None = None, *, tries: WrongTries | None = None
    ) -> None:
        self._store = store
        self._signer = Signer(keys, policy or Policy(), "system")
        self._tries = WrongTries() if tries is None else tries
        self._one_factor = threading.Lock()

    def open(self, secret: str, *, peer: str) -> Opened:
        """The invitation that `secret` (a token or a short code) opens; that alone uses nothing up.

        Raises `NotFound` (`invitation_unknown`), `Conflict` for one that is used, expired, revoked, declined or locked
        (`invitation_…`) and for a client that is suspended, `Unavailable` (`too_many_tries`) for a peer that was wrong
        too often and has no right token now.
        """
        opened = self._find(secret, peer)
        check_open(opened.invitation, self._store.clock(), may_wait=True)
        with for_visitors(), self._store.reading() as tx:
            states.check_usable(tx, opened.client)
        return opened

    def sign(self, secret: str, csr: bytes, *, way: Way, peer: str, factor: str | None = None) -> Outcome:
        """Uses the invitation up: signs the CSR, or keeps it for the operator to approve.

        A CSR that cannot be used leaves the invitation as it is; the same one again is answered as `collect` does.
        Raises as `open` and `Enrolment.sign` do, and `BadInput` for a second factor that is missing or wrong
        (`second_factor_needed`, `wrong_second_factor`) and a way that the invitation does not allow.
        """
        try:
            return self._sign(secret, csr, way, peer, factor)
        except Conflict as error:
            return self._again(error, secret, peer, way, csr)

    def _sign(self, secret: str, csr: bytes, way: Way, peer: str, factor: str | None) -> Outcome:
        self._check_use(secret, way, peer, factor)
        request = read_csr(csr, "the CSR")
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            current = self._once_more(tx, secret, now)
            handed_in = {"way": way, "submitted": csr, "peer": peer, "closed": now}
            if current.invitation.approval:
                check_key(tx, current.client, key_fingerprint(request.public_key), now)
                return self._wait(tx, current, handed_in, now)
            tx.invitations.set(current.invitation.id, handed_in)
            return accept_csr(tx, self._signer, by_id(tx, current.invitation.id), request, now)

    def own(
        self,
        secret: str,
        chain: Sequence[bytes],
        *,
        peer: str,
        factor: str | None = None,
        kind: PinKind = PinKind.CERTIFICATE,
    ) -> Outcome:
        """Uses the invitation up: the client's own certificate, or its key, will be admitted as it is.

        `chain` (DER, leaf first) is what the handshake of this very request showed, and so proved. The same one again
        is answered as `collect` does. Raises as `open` and `sign` do; `Conflict` for a certificate that stands for
        somebody already: `certificate_known_own`, `certificate_known_other`, `certificate_known` (an authority of ours
        signed it), `under_partner`, `key_in_use`.
        """
        try:
            return self._own(secret, chain, peer, factor, kind)
        except Conflict as error:
            return self._again(error, secret, peer, Way.OWN, next(iter(chain), b""))

    def _own(self, secret: str, chain: Sequence[bytes], peer: str, factor: str | None, kind: PinKind) -> Outcome:
        self._check_use(secret, Way.OWN, peer, factor)
        leaf, links = own.read_chain(chain)
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            current = self._once_more(tx, secret, now)
            own.check(tx, current.client, leaf, links, kind, now)
            handed_in = {"way": Way.OWN, "submitted": chain[0], "peer": peer, "closed": now, "pin_kind": kind}
            if current.invitation.approval:
                check_key(tx, current.client, leaf.spki, now)
                return self._wait(tx, current, handed_in, now)
            tx.invitations.set(current.invitation.id, handed_in)
            return accept_own(tx, self._signer, by_id(tx, current.invitation.id), leaf, now)

    def collect(self, secret: str, *, peer: str) -> Outcome:
        """What came of it, again, until the invitation expires: after an approval, or for an answer that got lost."""
        return self._came_of(self._find(secret, peer))

    def _came_of(self, opened: Opened) -> Outcome:
        invitation = opened.invitation
        if invitation.state is not InvitationState.USED or self._store.clock() >= invitation.expires:
            check_open(invitation, self._store.clock(), may_wait=True)
            return Outcome(opened.client, waiting=invitation.state is InvitationState.WAITING)
        with self._store.reading() as tx:
            return Outcome(opened.client, self._signed(tx, opened), pin_of(tx, invitation), again=True)

    def _again(self, error: Conflict, secret: str, peer: str, way: Way, handed_in: bytes) -> Outcome:
        """What came of it the first time, where the same was handed in before. Raises `error` otherwise.

        Buttons are clicked twice, and answers get lost: who is told then that it was used believes that it was stolen.
        """
        if error.code in ("invitation_used", "invitation_waiting"):
            opened = self._find(secret, peer)
            with self._store.reading() as tx:
                before = tx.invitations.submitted(opened.invitation.id)
            if opened.invitation.way is way and before == handed_in:
                return self._came_of(opened)
        raise error

    def progress(self, secret: str, *, peer: str = "") -> Progress:
        """How far it is. Raises as `open` does, but not for one that is used, however long ago: what came of it lasts
        longer than the link, and its holder looks here at how it fares."""
        opened = self._find(secret, peer)
        invitation = opened.invitation
        if invitation.state is not InvitationState.USED:
            check_open(invitation, self._store.clock(), may_wait=True)
        with self._store.reading() as tx:
            came = came_of(tx, invitation)
        return Progress(invitation.state, invitation.way, opened.client, came.not_after, came.seen)

    def _find(self, secret: str, peer: str) -> Opened:
        """What `secret` opens. A right token is let in whatever its neighbours guess, who learn nothing by it: a wrong
        one is answered as anything else is while the peer has to wait, and 256 bits are guessed by nobody."""
        now, key = self._store.clock(), tokens.read(secret)
        if key is None or key.token_hash is None:
            self._tries.check(peer, now)
        with self._store.reading() as tx:
            opened = _opened(tx, key)
        if opened is None:
            self._tries.check(peer, now)
            self._tries.wrong(peer, now)
            raise _unknown()
        return opened

    def _check_use(self, secret: str, way: Way, peer: str, factor: str | None) -> None:
        """Raises unless the invitation may be used in this way. Reads only, but for wrong second factors."""
        invitation = self._find(secret, peer).invitation
        check_open(invitation, self._store.clock(), may_wait=False)
        if way not in invitation.ways:
            raise BadInput(
                "this invitation cannot be used in this way",
                expected=f"one of: {', '.join(invitation.ways)}",
                code="way_not_allowed",
            )
        self._check_factor(invitation, factor, peer)

    def _check_factor(self, invitation: Invitation, factor: str | None, peer: str) -> None:
        if not invitation.has_factor:
            return
        if factor is None or not factor.strip():
            raise BadInput(
                "this invitation has a second code",
                expected="the code that you were told by another channel",
                code="second_factor_needed",
            )
        with self._one_factor:  # of many that are tried at once, no more are looked at than may be wrong
            self._try_factor(invitation.id, factor, peer)

    def _try_factor(self, id: int, factor: str, peer: str) -> None:
        now = self._store.clock()
        self._tries.check(peer, now)  # however its invitation was opened: these few digits can be guessed
        with self._store.reading() as tx:
            invitation = by_id(tx, id).invitation
            check_open(invitation, now, may_wait=False)
            kept = tx.invitations.factor(id)
        if kept is not None and tokens.same(tokens.hash_factor(factor, kept[1]), kept[0]):
            return
        self._tries.wrong(peer, now)
        with self._store.transaction() as tx:
            current = tx.invitations.get(invitation.id)
            wrong = MOST_WRONG_FACTORS if current is None else current.wrong_factors + 1
            values: dict[str, object] = {"wrong_factors": wrong}
            locks = wrong >= MOST_WRONG_FACTORS and current is not None and current.state is InvitationState.OPEN
            if locks:
                values |= {"state": InvitationState.LOCKED, "peer": peer, "closed": now}
                about: audit.Facts = {"invitation": invitation.id, "peer": peer[:64]}
                audit.record(tx, now, holder(invitation), "invitation.lock", f"client {invitation.client}", about)
            tx.invitations.set(invitation.id, values)
        left = max(0, MOST_WRONG_FACTORS - wrong)
        raise BadInput(
            "the second code is wrong",
            expected=f"the code that you were told; {counted(left, 'try is', 'tries are')} left" if left else None,
            fix=None if left else f"The invitation is locked. {ASK}",
            code="wrong_second_factor",
            facts={"left": left},
        )

    def _once_more(self, tx: Transaction, secret: str, now: datetime) -> Opened:
        """The invitation as it is in the transaction that uses it: of two that come at once, one finds it open, and a
        link that got a successor meanwhile opens nothing."""
        current = _opened(tx, tokens.read(secret))
        if current is None:
            raise _unknown()
        check_open(current.invitation, now, may_wait=False)
        states.check_usable(tx, current.client)
        replaced = current.invitation.replaces_pin
        pin = None if replaced is None else tx.pins.get(replaced)
        if pin is not None:
            own.check_newest(tx, pin)
        return current

    def _wait(self, tx: Transaction, opened: Opened, handed_in: Mapping[str, object], now: datetime) -> Outcome:
        invitation = opened.invitation
        tx.invitations.set(invitation.id, {**handed_in, "state": InvitationState.WAITING})
        about: audit.Facts = {
            "invitation": invitation.id,
            "way": str(handed_in["way"]),
            "peer": str(handed_in["peer"])[:64],
        }
        audit.record(tx, now, holder(invitation), "invitation.submit", subject(opened.client), about)
        return Outcome(opened.client, waiting=True)

    def _signed(self, tx: Transaction, opened: Opened) -> Signed | None:
        if opened.invitation.credential is None:
            return None
        credential = tx.credentials.get(opened.invitation.credential)
        der = tx.credentials.certificate(opened.invitation.credential)
        if credential is None or der is None:
            return None
        issuer = tx.authorities.get(credential.authority)
        chain = () if issuer is None else tuple(issuing.chain_of(tx, issuer))
        return Signed(opened.client, credential, x509.load_der_x509_certificate(der), chain, ())


def _opened(tx: Transaction, key: tokens.Key | None) -> Opened | None:
    """The invitation that a token or a short code opens. Raises as `check_partner` does."""
    found = None
    if key is not None and key.token_hash is not None:
        found = tx.invitations.with_token(key.token_hash)
    elif key is not None and key.code_hash is not None:
        found = tx.invitations.with_code(key.code_hash)
    client = None if found is None else tx.clients.get(found.client)
    if found is None or client is None:
        return None
    check_partner(tx, found, client)
    return Opened(found, client)


def _unknown() -> NotFound:
    return NotFound(
        "there is no such invitation",
        fix="Copy the whole link, or type the whole code: capital letters count",
        code="invitation_unknown",
    )
