"""What all ways of using an invitation share, by people and by programs: the invitation itself, and what came of it."""

import base64
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import Outcome
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.portal.asked import Asked

FACTOR_FIELD: Final = "second-factor"
"""The second code, from a program: a header field, since in an address it would be written into logs."""


async def opened_for(asked: Asked, way: Way) -> Opened:
    """The invitation in the address, if it may be used in this way. Raises as the service does."""
    opened = await asked.call(asked.desk.services.invitation_use.open, asked.secret, peer=asked.visitor.peer)
    if opened.invitation.state is InvitationState.WAITING:
        raise Conflict("what was handed in waits for approval", code="invitation_waiting")
    if way not in opened.invitation.ways:
        raise BadInput("this invitation cannot be used in this way", code="way_not_allowed")
    return opened


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """What came of it, for a page's script or a program; `chain` in DER, base64."""
    values: dict[str, Any] = {"client": str(outcome.client.name), "waiting": outcome.waiting}
    signed = outcome.signed
    if signed is not None:
        ders = [link.public_bytes(Encoding.DER) for link in (signed.certificate, *signed.chain)]
        values |= {
            "not_after": signed.credential.not_after,
            "chain": [base64.b64encode(der).decode() for der in ders],
            "pem": signed.chain_pem.decode(),
            "differences": [
                {"field": one.field, "asked": one.asked, "given": one.given, "why": one.why}
                for one in signed.differences
            ],
        }
    return values
