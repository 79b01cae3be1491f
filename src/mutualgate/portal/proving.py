"""`/join/prove`: a handshake with a certificate that says the code of a claim proves that its CA is controlled.

Who it is that shows the certificate does not matter: that the CA signed it with the code in it is the proof.
"""

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk


def routes(desk: Desk) -> list[BaseRoute]:
    """The address."""
    return [desk.route("/prove", get=ask, post=prove)]


async def ask(asked: Asked) -> Response:
    """What this is, and what is shown now."""
    if asked.kind == "text":
        shown = "a certificate" if asked.visitor.shown else "no certificate"
        return answers.text(
            asked,
            f"You show {shown}.\nProve a CA by showing a certificate under it that says the code of its claim:\n"
            f"    curl --cert proof.pem --key proof.key -X POST {asked.base}/prove\n",
        )
    return answers.page(asked, "prove.html.j2", done=None)


async def prove(asked: Asked) -> Response:
    """Takes the certificate of this very connection as the proof."""
    if asked.visitor.shown is None:
        raise BadInput(
            "no certificate was shown", expected="one under the CA with the code as its common name", code="no_proof"
        )
    services = asked.desk.services.acting("handshake")
    partner, anchor = await asked.call(services.partners.anchors.prove_shown, asked.visitor.shown)
    counts = anchor.state_at(services.clock()) != "pending"
    says = "It counts from now on." if counts else "It counts once an operator has approved it."
    if asked.kind == "json":
        facts = {"partner": str(partner.name), "ca": anchor.id, "subject": anchor.subject, "counts": counts}
        return answers.document(asked, facts)
    if asked.kind == "text":
        return answers.text(asked, f"The CA {anchor.subject} of {partner.name} is proved.\n{says}")
    return answers.page(asked, "prove.html.j2", done={"partner": partner, "anchor": anchor, "says": says})
