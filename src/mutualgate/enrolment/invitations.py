"""Invitations: who may become a client's credential holder, by what, until when.

Knows when an invitation opens and what then happens, each time in one transaction, so that it happens once. Does not
know pages; what a handshake proved, the caller says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from mutualgate import audit
from mutualgate.authorities import issuing
from mutualgate.authorities.csr import Request, read_csr
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.clients import states, subject
from mutualgate.clients.service import parse_contact
from mutualgate.enrolment import own, tokens
from mutualgate.enrolment.handed_in import HandedIn, describe
from mutualgate.enrolment.letter import fill, mail_address, read_template
from mutualgate.enrolment.opening import (
    ASK,
    LIFE,
    MOST_WRONG_FACTORS,
    TAKEN_BACK,
    Opened,
    Page,
    by_id,
    check_open,
    check_partner,
    check_same,
    check_times,
    expired,
    for_visitors,
    holder,
    no_longer,
    ways_of,
)
from mutualgate.enrolment.signing import Signed, Signer, active, check_key, end_pin
from mutualgate.enrolment.tries import WrongTries
from mutualgate.errors import BadInput, NotFound
from mutualgate.model.client import Client
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.names import ClientName
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.pin import Pin, PinKind
from mutualgate.partners import pins
from mutualgate.partners.material import Material
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import NewInvitation


def no_portal() -> str:
    """The address of a portal that is not there."""
    raise NotFound(
        "no site has a route to the portal",
        fix='Add one with upstream = "portal" to mutualgate.toml',
        code="no_portal",
    )


class Outbox(Protocol):
    """Where letters wait until they are sent."""

    def put(
        self, tx: Transaction, kind: str, recipient: str, subject: str, body: str, once: str | None = None
    ) -> object:
        """Adds one in the transaction of what it tells about."""


@dataclass(frozen=True)
class Invited:
    """A new invitation and what opens it, which is nowhere else: show it once."""

    invitation: Invitation
    client: Client
    token: str = field(repr=False)
    code: str = field(repr=False)
    factor: str | None = field(repr=False)

    @classmethod
    def of(cls, secrets: tokens.Secrets, invitation: Invitation, client: Client) -> "Invited":
        """From its parts."""
        return cls(invitation, client, secrets.token, secrets.code, secrets.factor)

    def link(self, base: str) -> str:
        """Where it is opened; `base` is the portal's address."""
        return f"{base.rstrip('/')}/{self.token}"


@dataclass(frozen=True)
class Outcome:
    """What came of it: a certificate, a pin, or nothing yet, because an operator has to approve (`waiting`)."""

    client: Client
    signed: Signed | None = None
    pin: Pin | None = None
    waiting: bool = False


@dataclass(frozen=True)
class Progress:
    """How far it is; `seen` is when the gate first admitted what came of it."""

    state: InvitationState
    way: Way | None
    client: Client
    not_after: datetime | None
    seen: datetime | None


class Invitations:
    """The service. `by` names who acts for the operator; who holds an invitation acts as that invitation.

    `base_url` gives the portal's address, or raises `NotFound`; `outbox` takes letters.
    """

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        policy: Policy | None = None,
        by: str = "operator",
        *,
        base_url: Callable[[], str] = no_portal,
        outbox: Outbox | None = None,
        organisation: str = "mutualgate",
        letter: Path | None = None,
        tries: WrongTries | None = None,
    ) -> None:
        self._store = store
        self._signer = Signer(keys, policy or Policy(), by)
        self._by = by
        self._base_url = base_url
        self._outbox = outbox
        self._organisation = organisation
        self._letter = letter
        self._tries = WrongTries() if tries is None else tries

    # What operators do.

    def invite(
        self,
        name: str,
        *,
        roles: Iterable[str] = (),
        contact: str = "",
        ways: Iterable[Way] = tuple(Way),
        validity: timedelta | None = None,
        life: timedelta = LIFE,
        second_factor: bool = False,
        approval: bool = False,
        mail_to: str | None = None,
    ) -> Invited:
        """Invites a client, which is added unless it is there. `validity` is how long its certificate will be valid.

        With `mail_to` the link is sent there, too. Raises `BadInput` for what cannot be, `Conflict` for a client that
        is suspended or known with other roles or another contact.
        """
        legal = ClientName(name)
        held = parse_roles(roles)
        reachable = parse_contact(contact)
        wanted = ways_of(ways)
        check_times(validity, life)
        address = None if mail_to is None else mail_address(mail_to)
        if address is not None:
            self.check_can_send()
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = tx.clients.find(legal)
            if client is None:
                client = tx.clients.add(legal, contact=reachable, roles=held, at=now)
                audit.record(tx, now, self._by, "client.add", subject(client), {"roles": ",".join(held)})
            else:
                states.check_usable(client)
                check_same(client, held, reachable)
            secrets = tokens.Secrets.make(second_factor)
            invitation = tx.invitations.add(
                NewInvitation(
                    client=client.id,
                    hashes=secrets.hashes,
                    ways=wanted,
                    validity=validity,
                    approval=approval,
                    by=self._by,
                    created=now,
                    expires=now + life,
                    sent_to=address or "",
                )
            )
            invited = Invited.of(secrets, invitation, client)
            self._record(tx, "invitation.create", invited)
            if address is not None:
                self.send_link(tx, str(client.name), secrets, invitation.expires, address)
        return invited

    def list(
        self,
        *,
        state: InvitationState | None = None,
        expired: bool | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Page[Opened]:
        """Those that fit, newest first. `expired`: only those whose time is over, or is not."""
        if not 1 <= limit <= 1_000:
            raise BadInput(f"a page of {limit} invitations is not possible", expected="1 to 1,000")
        now = self._store.clock()
        with self._store.reading() as tx:
            found = tx.invitations.page(state=state, expired=expired, now=now, before=before, limit=limit + 1)
            total = tx.invitations.count(state=state, expired=expired, now=now)
            clients = tx.clients.get_many({one.client for one in found})
        more = len(found) > limit
        shown = tuple(Opened(one, clients[one.client]) for one in found[:limit])
        return Page(shown, total, found[limit - 1].id if more else None)

    def get(self, id: int) -> Opened:
        """The one with this number. Raises `NotFound`."""
        with self._store.reading() as tx:
            return by_id(tx, id)

    def submitted(self, id: int) -> bytes | None:
        """What was handed in and waits, or was accepted, as it came: a CSR, or a certificate in DER."""
        with self._store.reading() as tx:
            return tx.invitations.submitted(id)

    def handed_in(self, id: int) -> HandedIn | None:
        """What was handed in and waits, or was accepted, in words. Raises `NotFound`."""
        with self._store.reading() as tx:
            invitation = by_id(tx, id).invitation
            return describe(invitation, tx.invitations.submitted(id) or b"", self._store.clock())

    def revoke(self, id: int) -> Opened:
        """Takes back one that is not used. Raises `NotFound`, `Conflict`."""
        return self._close(id, "invitation.revoke", InvitationState.REVOKED, TAKEN_BACK)

    def decline(self, id: int) -> Opened:
        """Turns down what was handed in. Raises `NotFound`, `Conflict` when nothing waits."""
        return self._close(id, "invitation.decline", InvitationState.DECLINED, (InvitationState.WAITING,))

    def approve(self, id: int) -> Outcome:
        """Accepts what was handed in. Raises `NotFound`, `Conflict` when nothing waits or it cannot be any more."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            opened = by_id(tx, id)
            invitation, client = opened.invitation, opened.client
            if invitation.state is not InvitationState.WAITING:
                raise no_longer(invitation, "waits for approval")
            states.check_usable(client)
            data = tx.invitations.submitted(id) or b""
            audit.record(tx, now, self._by, "invitation.approve", subject(client), {"invitation": id})
            # Whoever waited has time to fetch it.
            tx.invitations.set(id, {"expires": max(invitation.expires, now + LIFE)})
            if invitation.way is not Way.OWN:
                return self._accept_csr(tx, opened, read_csr(data, "the CSR"), now)
            leaf, _ = own.read_chain([data])
            return self._accept_own(tx, opened, leaf, now)

    def renew_link(self, id: int, *, life: timedelta = LIFE) -> Invited:
        """Gives an unused or expired invitation a new link, code and second factor; the old ones open nothing.

        It is sent again where it was sent before. Raises `NotFound`, `Conflict`, `BadInput`.
        """
        check_times(None, life)
        now = self._store.clock()
        with self._store.transaction() as tx:
            opened = by_id(tx, id)
            invitation, client = opened.invitation, opened.client
            if invitation.state not in (InvitationState.OPEN, InvitationState.LOCKED):
                raise no_longer(invitation, "is open")
            states.check_usable(client)
            secrets = tokens.Secrets.make(invitation.has_factor)
            tx.invitations.reopen(id, secrets.hashes, now + life)
            invited = Invited.of(secrets, by_id(tx, id).invitation, client)
            self._record(tx, "invitation.renew", invited)
            if invitation.sent_to:
                self.send_link(tx, str(client.name), secrets, invited.invitation.expires, invitation.sent_to)
        return invited

    # What the holder of an invitation does.

    def open(self, secret: str, *, peer: str) -> Opened:
        """The invitation that `secret` (a token or a short code) opens; that alone uses nothing up.

        Raises `NotFound` (`invitation_unknown`), `Conflict` for one that is used, expired, revoked, declined or locked
        (`invitation_…`), `Unavailable` (`too_many_tries`) for a peer that was wrong too often.
        """
        opened = self._find(secret, peer)
        check_open(opened.invitation, self._store.clock(), may_wait=True)
        return opened

    def sign(self, secret: str, csr: bytes, *, way: Way, peer: str, factor: str | None = None) -> Outcome:
        """Uses the invitation up: signs the CSR, or keeps it for the operator to approve.

        A CSR that cannot be used leaves the invitation as it is. Raises as `open` and `Enrolment.sign` do, and
        `BadInput` for a second factor that is missing or wrong (`second_factor_needed`, `wrong_second_factor`) and a
        way that the invitation does not allow.
        """
        opened = self._admitted(secret, way, peer, factor)
        request = read_csr(csr, "the CSR")
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            current = self._once_more(tx, opened, now)
            handed_in = {"way": way, "submitted": csr, "peer": peer, "closed": now}
            if current.invitation.approval:
                check_key(tx, current.client, key_fingerprint(request.public_key))
                return self._wait(tx, current, handed_in, now)
            tx.invitations.set(current.invitation.id, handed_in)
            return self._accept_csr(tx, by_id(tx, current.invitation.id), request, now)

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

        `chain` (DER, leaf first) is what the handshake of this very request showed, and so proved. Raises as `open`
        and `sign` do; `Conflict` for a certificate that stands for somebody already: `certificate_known_own`,
        `certificate_known_other`, `certificate_known` (an authority of ours signed it), `under_partner`, `key_in_use`.
        """
        opened = self._admitted(secret, Way.OWN, peer, factor)
        leaf, links = own.read_chain(chain)
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            current = self._once_more(tx, opened, now)
            own.check(tx, current.client, leaf, links, kind, now)
            handed_in = {"way": Way.OWN, "submitted": chain[0], "peer": peer, "closed": now, "pin_kind": kind}
            if current.invitation.approval:
                check_key(tx, current.client, leaf.spki)
                return self._wait(tx, current, handed_in, now)
            tx.invitations.set(current.invitation.id, handed_in)
            return self._accept_own(tx, by_id(tx, current.invitation.id), leaf, now)

    def collect(self, secret: str, *, peer: str) -> Outcome:
        """What came of it, again, until the invitation expires: after an approval, or for an answer that got lost."""
        opened = self._find(secret, peer)
        invitation = opened.invitation
        if invitation.state is not InvitationState.USED or self._store.clock() >= invitation.expires:
            check_open(invitation, self._store.clock(), may_wait=True)
            return Outcome(opened.client, waiting=invitation.state is InvitationState.WAITING)
        with self._store.reading() as tx:
            return Outcome(opened.client, self._signed(tx, opened), _pin(tx, invitation))

    def progress(self, secret: str, *, peer: str = "") -> Progress:
        """How far it is, after use, too, until it expires. Raises as `open` does, but not for one that is used."""
        opened = self._find(secret, peer)
        invitation, now = opened.invitation, self._store.clock()
        if invitation.state is InvitationState.USED and now >= invitation.expires:
            raise expired(invitation)
        if invitation.state is not InvitationState.USED:
            check_open(invitation, now, may_wait=True)
        with self._store.reading() as tx:
            not_after, seen = came_of(tx, invitation)
        return Progress(invitation.state, invitation.way, opened.client, not_after, seen)

    # Steps.

    def _find(self, secret: str, peer: str) -> Opened:
        now = self._store.clock()
        self._tries.check(peer, now)
        key = tokens.read(secret)
        with self._store.reading() as tx:
            found = None
            if key is not None and key.token_hash is not None:
                found = tx.invitations.with_token(key.token_hash)
            elif key is not None and key.code_hash is not None:
                found = tx.invitations.with_code(key.code_hash)
            client = None if found is None else tx.clients.get(found.client)
            if found is not None:
                check_partner(tx, found)
        if found is None or client is None:
            self._tries.wrong(peer, now)
            raise NotFound(
                "there is no such invitation",
                fix="Copy the whole link, or type the whole code: capital letters count",
                code="invitation_unknown",
            )
        return Opened(found, client)

    def _admitted(self, secret: str, way: Way, peer: str, factor: str | None) -> Opened:
        """Whoever may use the invitation in this way. Reads only, but for wrong second factors."""
        opened = self._find(secret, peer)
        invitation = opened.invitation
        check_open(invitation, self._store.clock(), may_wait=False)
        if way not in invitation.ways:
            raise BadInput(
                "this invitation cannot be used in this way",
                expected=f"one of: {', '.join(invitation.ways)}",
                code="way_not_allowed",
            )
        self._check_factor(invitation, factor, peer)
        with for_visitors():
            states.check_usable(opened.client)
        return opened

    def _check_factor(self, invitation: Invitation, factor: str | None, peer: str) -> None:
        if not invitation.has_factor:
            return
        if factor is None or not factor.strip():
            raise BadInput(
                "this invitation has a second code",
                expected="the code that you were told on another way",
                code="second_factor_needed",
            )
        with self._store.reading() as tx:
            kept = tx.invitations.factor(invitation.id)
        if kept is not None and tokens.same(tokens.hash_factor(factor, kept[1]), kept[0]):
            return
        now = self._store.clock()
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
            expected=f"the code that you were told; {left} tries are left" if left else None,
            fix=None if left else f"The invitation is locked. {ASK}",
            code="wrong_second_factor",
            facts={"left": left},
        )

    def _once_more(self, tx: Transaction, opened: Opened, now: datetime) -> Opened:
        """The invitation as it is in the transaction that uses it: of two that come at once, one finds it open."""
        current = by_id(tx, opened.invitation.id)
        check_partner(tx, current.invitation)
        check_open(current.invitation, now, may_wait=False)
        states.check_usable(current.client)
        return current

    def _accept_csr(self, tx: Transaction, opened: Opened, request: Request, now: datetime) -> Outcome:
        invitation = opened.invitation
        more: audit.Facts = {"invitation": invitation.id, "way": str(invitation.way), "peer": invitation.peer}
        signed = self._signer.sign(
            tx, opened.client, request, now, lifetime=invitation.validity, more=more, by=holder(invitation)
        )
        if invitation.replaces_pin is not None:
            end_pin(tx, invitation.replaces_pin, now + self._signer.policy.renewal_overlap)
        values = {"state": InvitationState.USED, "credential": signed.credential.id, "closed": now}
        tx.invitations.set(invitation.id, values)
        return Outcome(signed.client, signed)

    def _accept_own(self, tx: Transaction, opened: Opened, leaf: Material, now: datetime) -> Outcome:
        invitation, client = opened.invitation, opened.client
        pin = pins.record(
            tx,
            client,
            leaf,
            at=now,
            by=holder(invitation),
            kind=invitation.pin_kind or PinKind.CERTIFICATE,
            not_after=None if invitation.validity is None else now + min(invitation.validity, pins.LONGEST_LIFE),
            replaces=invitation.replaces_pin,
            overlap=None if invitation.replaces_pin is None else self._signer.policy.renewal_overlap,
        )
        tx.invitations.set(invitation.id, {"state": InvitationState.USED, "pin": pin.id, "closed": now})
        about: audit.Facts = {
            "invitation": invitation.id,
            "way": str(Way.OWN),
            "peer": invitation.peer,
            "pin": pin.id,
        }
        audit.record(tx, now, holder(invitation), "invitation.use", subject(client), about)
        return Outcome(active(client), pin=pin)

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

    def _close(self, id: int, action: str, state: InvitationState, from_states: tuple[InvitationState, ...]) -> Opened:
        now = self._store.clock()
        with self._store.transaction() as tx:
            opened = by_id(tx, id)
            if opened.invitation.state not in from_states:
                raise no_longer(
                    opened.invitation, "waits for approval" if state is InvitationState.DECLINED else "is open"
                )
            tx.invitations.set(id, {"state": state, "closed": now})
            audit.record(tx, now, self._by, action, subject(opened.client), {"invitation": id})
            return by_id(tx, id)

    def _record(self, tx: Transaction, action: str, invited: Invited) -> None:
        invitation = invited.invitation
        about: audit.Facts = {
            "invitation": invitation.id,
            "ways": ",".join(invitation.ways),
            "expires": invitation.expires.isoformat(),
            "approval": invitation.approval,
            "second_factor": invitation.has_factor,
            "sent_to": invitation.sent_to,
        }
        audit.record(tx, self._store.clock(), self._by, action, subject(invited.client), about)

    def check_can_send(self) -> None:
        """Raises `BadInput` or `NotFound` unless links can be sent: an outbox, a letter, and a portal to open them."""
        if self._outbox is None:
            raise BadInput("no mail server is set, so no letter can be sent", code="no_mail_server")
        self._base_url()
        read_template(self._letter)

    def send_link(self, tx: Transaction, name: str, secrets: tokens.Secrets, expires: datetime, address: str) -> None:
        """Puts the letter with a link for the client `name` into the outbox. Raises as `check_can_send` does."""
        if self._outbox is None:
            raise BadInput("no mail server is set, so no letter can be sent", code="no_mail_server")
        base = self._base_url()
        letter = fill(
            read_template(self._letter),
            organisation=self._organisation,
            name=name,
            base=base,
            link=f"{base.rstrip('/')}/{secrets.token}",
            code=secrets.code,
            second_factor=secrets.factor is not None,
            expires=expires,
        )
        self._outbox.put(tx, "mail", address, letter.subject, letter.text)


def _pin(tx: Transaction, invitation: Invitation) -> Pin | None:
    return None if invitation.pin is None else tx.pins.get(invitation.pin)


def came_of(tx: Transaction, invitation: Invitation) -> tuple[datetime | None, datetime | None]:
    """Until when what came out of it counts, and when the gate first admitted it."""
    client = invitation.client
    if invitation.credential is not None:
        credential = tx.credentials.get(invitation.credential)
        if credential is not None:
            return credential.not_after, tx.invitations.seen(client, fingerprint=credential.fingerprint, spki=None)
    pin = _pin(tx, invitation)
    if pin is not None:
        whole = pin.kind is PinKind.CERTIFICATE
        seen = tx.invitations.seen(client, fingerprint=pin.digest if whole else None, spki=None if whole else pin.spki)
        return pin.not_after, seen
    return None, None
