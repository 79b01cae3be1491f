"""What comes of an invitation: a certificate or a pin, made in the transaction that uses it up."""

from dataclasses import dataclass
from datetime import datetime

from mutualgate import audit
from mutualgate.authorities.csr import Request
from mutualgate.clients import subject
from mutualgate.enrolment.opening import Opened, holder
from mutualgate.enrolment.signing import Signed, Signer, active, end_pin
from mutualgate.model.client import Client
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.pin import Pin, PinKind
from mutualgate.partners import pins
from mutualgate.partners.material import Material
from mutualgate.store import Transaction


@dataclass(frozen=True)
class Outcome:
    """What came of it: a certificate, a pin, or nothing yet, because an operator has to approve (`waiting`).

    `again`: it is fetched once more, so that nobody knows what was asked for and not given.
    """

    client: Client
    signed: Signed | None = None
    pin: Pin | None = None
    waiting: bool = False
    again: bool = False


def accept_csr(tx: Transaction, signer: Signer, opened: Opened, request: Request, now: datetime) -> Outcome:
    """Signs what was handed in, and uses the invitation up. Raises as `Signer.sign` does."""
    invitation = opened.invitation
    more: audit.Facts = {"invitation": invitation.id, "way": str(invitation.way), "peer": invitation.peer}
    signed = signer.sign(
        tx,
        opened.client,
        request,
        now,
        lifetime=invitation.validity,
        replaces_pin=invitation.replaces_pin,
        more=more,
        by=holder(invitation),
    )
    if invitation.replaces_pin is not None:
        end_pin(tx, invitation.replaces_pin, now + signer.policy.renewal_overlap)
    values = {"state": InvitationState.USED, "credential": signed.credential.id, "closed": now}
    tx.invitations.set(invitation.id, values)
    return Outcome(signed.client, signed)


def accept_own(tx: Transaction, signer: Signer, opened: Opened, leaf: Material, now: datetime) -> Outcome:
    """Makes the holder's own certificate or key a pin, and uses the invitation up. Raises as `pins.record` does."""
    invitation, client = opened.invitation, opened.client
    pin = pins.record(
        tx,
        client,
        leaf,
        at=now,
        by=holder(invitation),
        kind=invitation.pin_kind or PinKind.CERTIFICATE,
        not_after=pin_ends(invitation, now),
        replaces=invitation.replaces_pin,
        overlap=None if invitation.replaces_pin is None else signer.policy.renewal_overlap,
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


def pin_ends(invitation: Invitation, now: datetime) -> datetime:
    """When a pin that it makes now ends; that of a certificate no later than the certificate."""
    return now + min(invitation.validity or pins.DEFAULT_LIFE, pins.LONGEST_LIFE)


def pin_of(tx: Transaction, invitation: Invitation) -> Pin | None:
    """The pin that came out of it."""
    return None if invitation.pin is None else tx.pins.get(invitation.pin)


@dataclass(frozen=True)
class CameOf:
    """Until when what came out of an invitation counts, and when the gate first admitted it."""

    not_after: datetime | None = None
    seen: datetime | None = None


def came_of(tx: Transaction, invitation: Invitation) -> CameOf:
    """What came out of it."""
    client = invitation.client
    if invitation.credential is not None:
        credential = tx.credentials.get(invitation.credential)
        if credential is not None:
            seen = tx.invitations.seen(client, fingerprint=credential.fingerprint, spki=None)
            return CameOf(credential.not_after, seen)
    pin = pin_of(tx, invitation)
    if pin is not None:
        whole = pin.kind is PinKind.CERTIFICATE
        seen = tx.invitations.seen(client, fingerprint=pin.digest if whole else None, spki=None if whole else pin.spki)
        return CameOf(pin.not_after, seen)
    return CameOf()
