"""When an invitation opens, and the sentence for who finds it closed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.partner import MemberState, PartnerState
from mutualgate.store import Transaction

T = TypeVar("T")

LIFE = timedelta(days=7)
"""How long a link works unless somebody says otherwise: long enough for a holiday, short enough to be forgotten."""
SHORTEST_LIFE, LONGEST_LIFE = timedelta(minutes=5), timedelta(days=366)

MOST_WRONG_FACTORS = 5
"""Of 10^8: guessing one succeeds once in 20 million times."""

TAKEN_BACK = (InvitationState.OPEN, InvitationState.WAITING, InvitationState.LOCKED)
"""What an operator can still take back."""

ASK = "Ask whoever invited you for a new link"


@dataclass(frozen=True)
class Opened:
    """An invitation that may be used, or that waits for approval, and for whom it is."""

    invitation: Invitation
    client: Client


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list of invitations, newest first; `before` asks for the next one and is `None` on the last."""

    invitations: tuple[T, ...]
    total: int
    before: int | None


def by_id(tx: Transaction, id: int) -> Opened:
    """The invitation with this number. Raises `NotFound`."""
    invitation = tx.invitations.get(id)
    client = None if invitation is None else tx.clients.get(invitation.client)
    if invitation is None or client is None:
        raise NotFound(
            f"there is no invitation {id}", fix="See them with: mutualgate invitation list", code="no_such_invitation"
        )
    return Opened(invitation, client)


def one_page(
    tx: Transaction,
    now: datetime,
    *,
    state: InvitationState | None = None,
    expired: bool | None = None,
    partner: int | None = None,
    before: int | None = None,
    limit: int,
) -> Page[Opened]:
    """Those that fit, newest first. Raises `BadInput` for a page that is too long or too short."""
    if not 1 <= limit <= 1_000:
        raise BadInput(f"a page of {limit} invitations is not possible", expected="1 to 1,000")
    found = tx.invitations.page(state=state, expired=expired, partner=partner, now=now, before=before, limit=limit + 1)
    total = tx.invitations.count(state=state, expired=expired, partner=partner, now=now)
    shown = found[:limit]
    clients = tx.clients.get_many({one.client for one in shown})
    more = len(found) > limit
    return Page(tuple(Opened(one, clients[one.client]) for one in shown), total, shown[-1].id if more else None)


def check_open(invitation: Invitation, now: datetime, *, may_wait: bool) -> None:
    """Raises `Conflict` unless it can be used; or, if it `may_wait`, waits for approval."""
    if invitation.state is InvitationState.USED:
        raise Conflict("this invitation was used already", fix=ASK, code="invitation_used")
    if invitation.state is InvitationState.REVOKED:
        raise Conflict("this invitation was taken back", fix=ASK, code="invitation_revoked")
    if invitation.state is InvitationState.DECLINED:
        raise Conflict("this invitation's request was turned down", fix=ASK, code="invitation_declined")
    if invitation.state is InvitationState.LOCKED:
        raise Conflict(
            "this invitation is locked: its second code was wrong too often", fix=ASK, code="invitation_locked"
        )
    if invitation.expired(now):
        raise expired(invitation)
    if invitation.state is InvitationState.WAITING and not may_wait:
        raise Conflict(
            "what was handed in waits for approval",
            fix="Come back to this link when it is approved",
            code="invitation_waiting",
        )


def check_partner(tx: Transaction, invitation: Invitation, client: Client) -> None:
    """Raises `Conflict` unless the partner whose administrator made it still may, and still has this client; until it
    is used, with no more roles than the partner may give: who has the link would have them all."""
    if invitation.partner is None:
        return
    partner = tx.partners.get(invitation.partner)
    there = any(
        one.partner == invitation.partner and one.state is MemberState.ACTIVE for one in tx.members.of_client(client.id)
    )
    may = partner is not None and partner.state is PartnerState.ACTIVE and there
    if invitation.state is not InvitationState.USED and partner is not None:
        may = may and partner.grants.issuperset(client.roles)
    if not may:
        raise Conflict("this invitation was taken back", fix=ASK, code="invitation_revoked")


def expired(invitation: Invitation) -> Conflict:
    """The error for who comes too late."""
    return Conflict(
        f"this invitation expired on {invitation.expires:%Y-%m-%d %H:%M} UTC", fix=ASK, code="invitation_expired"
    )


def no_longer(invitation: Invitation, wanted: str) -> Conflict:
    """The error for an operator who wants what its state does not allow."""
    return Conflict(
        f"the invitation {invitation.id} is {invitation.state}",
        expected=f"one that {wanted}",
        code="wrong_state",  # not that of a visitor who comes too late, who is told to ask for another one
    )


def holder(invitation: Invitation) -> str:
    """Who acts, for the audit log."""
    return f"invitation {invitation.id}"


def ways_of(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Each once, in the order in which they are offered. Raises `BadInput` for none."""
    chosen = set(ways)
    if not chosen:
        raise BadInput("an invitation without a way to use it", expected=f"one of {', '.join(Way)}")
    return tuple(way for way in Way if way in chosen)


def check_times(validity: timedelta | None, life: timedelta) -> None:
    """Raises `BadInput` for a certificate or a link that would last too long or too short."""
    from mutualgate.config.kinds import duration_text

    if validity is not None:
        from mutualgate.authorities.profiles import MAX_LIFETIME, MIN_LIFETIME

        if not MIN_LIFETIME <= validity <= MAX_LIFETIME:
            raise BadInput(
                f"a certificate cannot be valid for {duration_text(validity)}",
                expected=f"one hour to {MAX_LIFETIME.days} days",
            )
    if not SHORTEST_LIFE <= life <= LONGEST_LIFE:
        raise BadInput(f"an invitation cannot be open for {duration_text(life)}", expected="5 minutes to 366 days")


def check_same(client: Client, roles: tuple[str, ...], contact: str) -> None:
    """What is said about a client that is there already must be so: an invitation changes no record."""
    if roles and roles != client.roles:
        raise Conflict(
            f"the client '{client.name}' has the roles {', '.join(client.roles) or '(none)'}",
            expected="an invitation without roles, or with these",
            fix=f"Change them first: mutualgate client roles {client.name.word}",
            code="client_differs",
        )
    if contact and contact != client.contact:
        raise Conflict(
            f"the client '{client.name}' has another contact",
            expected="an invitation without a contact, or with the same",
            code="client_differs",
        )


_FOR_VISITORS = {
    "client_suspended": ("this client is suspended", "Ask whoever invited you"),
    "client_gone": ("this client is gone for good", "Ask whoever invited you"),
    "no_key": (
        "no certificate can be signed here at the moment",
        "Tell whoever invited you. Nothing was used up: try the same again later",
    ),
    "key_in_use": ("this key is in use already, by somebody else", "Make a new key"),
    "certificate_known": (
        "this certificate is known here already",
        "Open the protected page with it; if it is refused there, use another way of this invitation",
    ),
}


@contextmanager
def for_visitors() -> Iterator[None]:
    """Says less: whoever holds an invitation does not learn of other clients, nor an operator's commands."""
    try:
        yield
    except Conflict as error:
        if error.code not in _FOR_VISITORS:
            raise
        problem, fix = _FOR_VISITORS[error.code]
        raise Conflict(problem, fix=fix, code=error.code) from None
