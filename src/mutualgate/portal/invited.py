"""What all ways of using an invitation share, by people and by programs: the invitation itself, and what came of it."""

import base64
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.responses import Response

from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import Outcome
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.portal import answers
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


async def sign(asked: Asked, csr: bytes, way: Way, factor: str | None = None) -> Outcome:
    """Hands a request in; the second code, unless it was typed, is in a header field. Raises as the service does."""
    use = asked.desk.services.invitation_use
    given = factor_of(asked) if factor is None else factor
    return await asked.call(use.sign, asked.secret, csr, way=way, peer=asked.visitor.peer, factor=given)


def factor_of(asked: Asked) -> str | None:
    """The second code, as a program sends it."""
    return asked.fields.get(FACTOR_FIELD)


def label(asked: Asked, client: str) -> str:
    """What choosers show: for which host, as whom."""
    return f"{asked.host_name} - {client}"


def outcome_document(asked: Asked, outcome: Outcome) -> Response:
    """What came of it, as JSON."""
    return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)


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
