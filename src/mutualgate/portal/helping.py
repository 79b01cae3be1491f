"""How a certificate gets into a browser or program: instructions for each, those for the visitor's own first."""

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.errors import NotFound
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.systems import Guide, machine


def routes(desk: Desk) -> list[Route]:
    """The addresses."""
    return [desk.route("/help", get=instructions), desk.route("/help/{guide}", get=instructions)]


async def instructions(asked: Asked) -> Response:
    """All of them; the one that the address names first, else the one for this browser."""
    mine = machine(asked.fields)
    named = asked.request.path_params.get("guide")
    if named is not None and named not in list(Guide):
        raise NotFound("there are no such instructions")
    first = Guide(named) if named is not None else mine.guide
    guides = list(dict.fromkeys([*([first] if first else []), *Guide]))
    if asked.kind == "json":
        return answers.document(asked, {guide.value: f"{asked.base}/help/{guide.value}" for guide in guides})
    if asked.kind == "text":
        lines = [f"With curl: curl --cert client.pem --key client.key {asked.origin}/", "In a browser:"]
        return answers.text(asked, "\n".join([*lines, *(f"  {asked.base}/help/{guide.value}" for guide in guides)]))
    return answers.page(asked, "help.html.j2", machine=mine, guides=guides)
