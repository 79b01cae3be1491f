"""Renewal by a program, over the gate, with the certificate that it has: no invitation, no operator."""

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.errors import BadInput
from mutualgate.portal import answers
from mutualgate.portal.asked import CSR_TYPE, Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.guard import NotAllowed


def routes(desk: Desk) -> list[Route]:
    """The one address."""
    return [desk.route("/renew", get=whether_in, post=renew)]


async def whether_in(asked: Asked) -> Response:
    """Whether the certificate of this connection is let in: a new one is tried here before the old one is given up."""
    visitor = asked.visitor
    if not visitor.admitted:
        raise NotAllowed(
            visitor.detail or "no certificate was shown in this connection",
            expected="a certificate that is let in",
            code=visitor.reason or "no_certificate",
        )
    values = {"client": visitor.client, "credential": visitor.credential, "evidence": visitor.evidence}
    return answers.document(asked, values) if asked.kind == "json" else answers.text(asked, f"In, as {visitor.client}.")


async def renew(asked: Asked) -> Response:
    """A new certificate for the client whose certificate proved its key in this handshake, for the key of the request.

    Expired ones, too, within their grace: the service decides.
    """
    current = asked.visitor.shown
    if current is None:
        raise BadInput(
            "no certificate was shown in this connection",
            expected="the request to be made with the certificate that is to be renewed",
            code="no_certificate",
        )
    body = await asked.csr(CSR_TYPE)
    signed = await asked.call(asked.desk.services.renewals.renew, current, body, peer=asked.visitor.peer)
    if asked.kind != "json":
        return answers.chain(asked, signed.chain_pem)
    values = {
        "client": str(signed.client.name),
        "not_after": signed.credential.not_after,
        "pem": signed.chain_pem.decode(),
    }
    return answers.document(asked, values)
