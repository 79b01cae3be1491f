"""Invitations that a partner's own administrators make, for the partner's own people and machines.

What they may is what the partner may: names that its rules permit, roles that it has. What comes out of such an
invitation counts only as long as the client is the partner's, its rules permit the name, and it is not suspended.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mutualgate import audit
from mutualgate.clients import states
from mutualgate.enrolment import tokens
from mutualgate.enrolment.invitations import Invitations, Invited
from mutualgate.enrolment.opening import LIFE, Opened, Page, check_times, one_page, ways_of
from mutualgate.enrolment.outcome import came_of
from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import Client
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import ADMINISTRATOR, MemberState, Partner, PartnerState
from mutualgate.partners import bounds, rules
from mutualgate.partners.finding import find
from mutualgate.partners.finding import subject as about
from mutualgate.partners.members import Members
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import NewInvitation

MOST_OPEN = 1_000
"""Unused invitations of one partner: more is a program that runs wild, or somebody who fills the store."""


@dataclass(frozen=True)
class Listed:
    """One of a partner's invitations: for which of its names, and, once used, until when what came of it counts and
    when it was first seen."""

    opened: Opened
    name: str
    not_after: datetime | None
    seen: datetime | None


class PartnerInvitations:
    """The service. `by` names the administrator, for the audit log; `invitations` does what is done with any."""

    def __init__(self, store: Store, invitations: Invitations, permits: bounds.Permits, by: str = "operator") -> None:
        self._store = store
        self._invitations = invitations
        self._permits = permits
        self._by = by
        self._members = Members(store, by)

    def invite(
        self,
        partner: str,
        name: str,
        *,
        roles: Iterable[str] | None = None,
        ways: Iterable[Way] = tuple(Way),
        life: timedelta = LIFE,
        second_factor: bool = False,
    ) -> Invited:
        """Invites a client of the partner's by its name (`email:anna@acme.example`), which is recorded unless it is.

        A new one has the partner's usual roles, or those of them that are given; one that is there keeps its own.
        Raises `NotFound`, `BadInput` for what is no name (`bad_rule`, `bad_name`), `Conflict` for a name that no rule
        permits (`name_not_permitted`), a role that is not the partner's to give (`role_not_theirs`), a client with more
        roles than that (`client_has_more`) or one that is suspended, and for a partner that is suspended itself
        (`partner_suspended`).
        """
        legal = rules.parse_name(name)
        held = None if roles is None else parse_roles(roles)
        wanted = ways_of(ways)
        check_times(None, life)
        now = self._store.clock()
        with self._store.transaction() as tx:
            owner = _active(tx, partner)
            open_ones = tx.invitations.count(state=InvitationState.OPEN, expired=False, now=now, partner=owner.id)
            if open_ones >= MOST_OPEN:
                raise Conflict(
                    f"{MOST_OPEN:,} invitations are open",
                    expected="that some are used or taken back first",
                    code="too_many_invitations",
                )
            client = self._client(tx, now, owner, legal, held)
            secrets = tokens.Secrets.make(second_factor)
            invitation = tx.invitations.add(
                NewInvitation(
                    client=client.id,
                    hashes=secrets.hashes,
                    ways=wanted,
                    validity=None,
                    approval=False,
                    by=self._by,
                    created=now,
                    expires=now + life,
                    sent_to="",
                    partner=owner.id,
                )
            )
            facts: audit.Facts = {
                "invitation": invitation.id,
                "name": legal,
                "client": client.id,
                "ways": ",".join(wanted),
                "expires": invitation.expires.isoformat(),
                "second_factor": second_factor,
            }
            audit.record(tx, now, self._by, "partner.invite", about(owner), facts)
        return Invited.of(secrets, invitation, client)

    def list(
        self, partner: str, *, state: InvitationState | None = None, before: int | None = None, limit: int = 100
    ) -> Page[Listed]:
        """Those that this partner's administrators made, newest first. Raises `NotFound`."""
        now = self._store.clock()
        with self._store.reading() as tx:
            owner = find(tx, partner)
            page = one_page(tx, now, state=state, partner=owner.id, before=before, limit=limit)
            listed = []
            for one in page.invitations:
                names = [member.name for member in tx.members.of_client(one.client.id) if member.partner == owner.id]
                came = came_of(tx, one.invitation)
                listed.append(Listed(one, names[0] if names else "", came.not_after, came.seen))
        return Page(tuple(listed), page.total, page.before)

    def get(self, partner: str, id: int) -> Opened:
        """One of this partner's. Raises `NotFound` for another's, as for one that there is not."""
        opened = self._invitations.get(id)
        with self._store.reading() as tx:
            owner = find(tx, partner)
        if opened is None or opened.invitation.partner != owner.id:
            raise NotFound(f"there is no invitation {id}", code="no_such_invitation")
        return opened

    def revoke(self, partner: str, id: int) -> Opened:
        """Takes one back that is not used. Raises as `get` does, and `Conflict`."""
        return self._invitations.revoke(self.get(partner, id).invitation.id)

    def renew_link(self, partner: str, id: int) -> Invited:
        """Gives one a new link; the old one opens nothing. Raises as `get` does, and as `invite` does."""
        opened = self.get(partner, id)
        with self._store.reading() as tx:
            owner = _active(tx, partner)
            _check_grantable(owner, opened.client)
            for member in tx.members.of_client(opened.client.id):
                if member.partner == owner.id:
                    self._check_permitted(tx, owner, member.name)
        return self._invitations.renew_link(opened.invitation.id)

    def _client(
        self, tx: Transaction, now: datetime, owner: Partner, name: str, roles: tuple[str, ...] | None
    ) -> Client:
        """Who is invited within the partner's rules: a client that it has, or a new one."""
        self._check_permitted(tx, owner, name)
        member = tx.members.get(owner.id, name)
        if member is not None and member.state is MemberState.ACTIVE and member.client is not None:
            client = tx.clients.get(member.client)
            assert client is not None  # noqa: S101 - a row refers to it
            states.check_usable(tx, client)
            _check_grantable(owner, client)
            if ADMINISTRATOR in (roles or ()) and ADMINISTRATOR not in client.roles:
                raise Conflict(
                    f"{client.name} has its roles, and an invitation changes none",
                    fix="Ask the operator, who gives it the role",
                    code="client_differs",
                )
            return client
        given = owner.roles if roles is None else parse_roles(roles)
        more = sorted(set(given) - owner.grants)
        if more:
            raise Conflict(
                f"the role {more[0]} is not one that {owner.name} may give",
                expected=f"of {', '.join(sorted(owner.grants)) or 'no role'}",
                fix="Ask the operator",
                code="role_not_theirs",
            )
        return self._members.enter(tx, now, owner, name, given)[1]

    def _check_permitted(self, tx: Transaction, owner: Partner, name: str) -> None:
        """Raises Conflict for a name that the partner may not vouch for, though it has such a client."""
        if not bounds.permitted(tx, owner.id, name, self._permits):
            raise bounds.not_among(name, str(owner.name))


def _active(tx: Transaction, name: str) -> Partner:
    owner = find(tx, name)
    if owner.state is not PartnerState.ACTIVE:
        raise Conflict(f"{owner.name} is suspended", fix="Ask the operator", code="partner_suspended")
    return owner


def _check_grantable(owner: Partner, client: Client) -> None:
    """Raises Conflict for a client that would be more than the partner may make: the operator gave it roles."""
    if set(client.roles) - owner.grants:
        raise Conflict(
            f"{client.name} has roles that {owner.name} may not give",
            fix="Ask the operator, who invites it",
            code="client_has_more",
        )
