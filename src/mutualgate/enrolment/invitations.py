"""Invitations: who may become a client's credential holder, by what, until when. What operators do with them.

Does not know what opens one, nor what its holder does then.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mutualgate import audit
from mutualgate.clients import states, subject
from mutualgate.clients.service import parse_contact
from mutualgate.enrolment import tokens
from mutualgate.enrolment.letter import fill, mail_address, read_template
from mutualgate.enrolment.opening import (
    LIFE,
    TAKEN_BACK,
    Opened,
    Page,
    by_id,
    check_same,
    check_times,
    no_longer,
    one_page,
    ways_of,
)
from mutualgate.errors import BadInput, NotFound
from mutualgate.model.client import Client
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.names import ClientName
from mutualgate.model.names import roles as parse_roles
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import NewInvitation

if TYPE_CHECKING:
    from mutualgate.enrolment.handed_in import HandedIn
    from mutualgate.enrolment.outcome import CameOf, Outcome
    from mutualgate.enrolment.signing import Signer


def no_portal() -> str:
    """The address of a portal that is not there."""
    raise NotFound(
        "no site has a route to the portal",
        fix='Add one with upstream = "portal" to mutualgate.toml',
        code="no_portal",
    )


class Outbox(Protocol):
    """Where letters wait until they are sent."""

    def check_sends_mail(self) -> None:
        """Raises `BadInput` where no mail server is set."""

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


class Invitations:
    """The service. `by` names who acts, for the audit log; `signer` signs what is approved, and is made then.

    `base_url` gives the portal's address, or raises `NotFound`; `outbox` takes letters. They are made
    with the name of the `organisation` and a `letter` of its own, which are asked for then.
    """

    def __init__(
        self,
        store: Store,
        signer: "Callable[[], Signer]",
        by: str = "operator",
        *,
        base_url: Callable[[], str] = no_portal,
        outbox: Outbox | None = None,
        organisation: Callable[[], str] = lambda: "mutualgate",
        letter: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._by = by
        self._base_url = base_url
        self._outbox = outbox
        self._organisation = organisation
        self._letter = letter

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
                states.check_usable(tx, client)
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
        now = self._store.clock()
        with self._store.reading() as tx:
            return one_page(tx, now, state=state, expired=expired, before=before, limit=limit)

    def get(self, id: int) -> Opened:
        """The one with this number. Raises `NotFound`."""
        with self._store.reading() as tx:
            return by_id(tx, id)

    def submitted(self, id: int) -> bytes | None:
        """What was handed in and waits, or was accepted, as it came: a CSR, or a certificate in DER."""
        with self._store.reading() as tx:
            return tx.invitations.submitted(id)

    def handed_in(self, id: int) -> "HandedIn | None":
        """What was handed in and waits, or was accepted, in words. Raises `NotFound`."""
        from mutualgate.enrolment.handed_in import describe

        with self._store.reading() as tx:
            invitation = by_id(tx, id).invitation
            return describe(invitation, tx.invitations.submitted(id) or b"", self._store.clock())

    def came_of(self, id: int) -> "CameOf":
        """Until when what came out of it counts, and when the gate first admitted it. Raises `NotFound`."""
        from mutualgate.enrolment.outcome import came_of

        with self._store.reading() as tx:
            return came_of(tx, by_id(tx, id).invitation)

    def revoke(self, id: int) -> Opened:
        """Takes back one that is not used. Raises `NotFound`, `Conflict`."""
        return self._close(id, "invitation.revoke", InvitationState.REVOKED, TAKEN_BACK)

    def decline(self, id: int) -> Opened:
        """Turns down what was handed in. Raises `NotFound`, `Conflict` when nothing waits."""
        return self._close(id, "invitation.decline", InvitationState.DECLINED, (InvitationState.WAITING,))

    def approve(self, id: int) -> "Outcome":
        """Accepts what was handed in. Raises `NotFound`, `Conflict` when nothing waits or it cannot be any more."""
        from mutualgate.authorities.csr import read_csr
        from mutualgate.enrolment import own
        from mutualgate.enrolment.outcome import accept_csr, accept_own

        now = self._store.clock()
        with self._store.transaction() as tx:
            opened = by_id(tx, id)
            invitation, client = opened.invitation, opened.client
            if invitation.state is not InvitationState.WAITING:
                raise no_longer(invitation, "waits for approval")
            states.check_usable(tx, client)
            data = tx.invitations.submitted(id) or b""
            audit.record(tx, now, self._by, "invitation.approve", subject(client), {"invitation": id})
            # Whoever waited has time to fetch it.
            tx.invitations.set(id, {"expires": max(invitation.expires, now + LIFE)})
            if invitation.way is not Way.OWN:
                return accept_csr(tx, self._signer(), opened, read_csr(data, "the CSR"), now)
            leaf, _ = own.read_chain([data])
            return accept_own(tx, self._signer(), opened, leaf, now)

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
            states.check_usable(tx, client)
            secrets = tokens.Secrets.make(invitation.has_factor)
            tx.invitations.reopen(id, secrets.hashes, now + life)
            invited = Invited.of(secrets, by_id(tx, id).invitation, client)
            self._record(tx, "invitation.renew", invited)
            if invitation.sent_to:
                self.send_link(tx, str(client.name), secrets, invited.invitation.expires, invitation.sent_to)
        return invited

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
        """Raises `BadInput` or `NotFound` unless there are a mail server, a letter, and a portal to open links."""
        if self._outbox is None:
            raise BadInput("no mail server is set, so no letter can be sent", code="no_mail_server")
        self._outbox.check_sends_mail()
        self._base_url()
        read_template(self._letter())

    def send_link(self, tx: Transaction, name: str, secrets: tokens.Secrets, expires: datetime, address: str) -> None:
        """Puts the letter with a link for the client `name` into the outbox. Raises as `check_can_send` does."""
        if self._outbox is None:
            raise BadInput("no mail server is set, so no letter can be sent", code="no_mail_server")
        base = self._base_url()
        letter = fill(
            read_template(self._letter()),
            organisation=self._organisation(),
            name=name,
            base=base,
            link=f"{base.rstrip('/')}/{secrets.token}",
            code=secrets.code,
            second_factor=secrets.factor is not None,
            expires=expires,
        )
        self._outbox.put(tx, "mail", address, letter.subject, letter.text)
