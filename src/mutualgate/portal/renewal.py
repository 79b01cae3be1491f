"""Renewal by a program, over the gate, with the certificate that it has: no invitation, no operator."""

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.guard import NotAllowed


def routes(desk: Desk) -> list[Route]:
    """The one address."""
    return [desk.route("/renew", get=whether_in)]


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
