"""The pages of a partner's administrators: their own clients, CAs and refusals, and nobody else's.

Whose partner it is comes from the store: a client that is a member of the partner and holds the role `partner-admin`.
Everything else is as if it did not exist.
"""

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import Conflict, NotFound
from mutualgate.model.partner import ADMINISTRATOR, MemberState, Partner, PartnerState
from mutualgate.portal import answers, offices, partner_invitations
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk, View
from mutualgate.portal.guard import SAFE, NotAllowed
from mutualgate.portal.offices import Office

if TYPE_CHECKING:
    from mutualgate.app import Services


def routes(desk: Desk) -> list[BaseRoute]:
    """All addresses of partners."""

    def once(view: View) -> View:
        return lambda asked: desk.sent.once(asked, view)

    def at(path: str, **views: View) -> BaseRoute:
        return desk.route(f"/partner{path}", **{method: once(view) for method, view in views.items()})

    return [
        at("", get=first),
        *offices.routes(at, "/{partner}", office),
        *partner_invitations.routes(at, "/{partner}", office),
    ]


async def first(asked: Asked) -> Response:
    """On to the one partner that the visitor looks after; a choice where there are several."""
    found = await asked.call(_own, asked.desk.services, asked)
    if len(found) == 1:
        return answers.see_other(asked, "partner", str(found[0].name))
    return answers.page(asked, "partner/choose.html.j2", partners=found)


async def office(asked: Asked) -> Office:
    """The visitor's own office. Raises NotFound for another's, as for one that there is not."""
    name = str(asked.request.path_params["partner"])
    found = next((one for one in await asked.call(_own, asked.desk.services, asked) if one.name == name), None)
    if found is None:
        raise NotFound("there is no such page")
    if found.state is PartnerState.SUSPENDED and asked.method not in SAFE:
        raise Conflict(
            f"{found.name} is suspended, so nothing can be changed", fix="Ask the operator", code="partner_suspended"
        )
    return Office(str(found.name), ("partner", str(found.name)), operator=False)


def _own(services: "Services", asked: Asked) -> list[Partner]:
    """The partners that the visitor looks after. Raises NotAllowed where there is none."""
    visitor = asked.visitor
    found: list[Partner] = []
    if visitor.admitted and ADMINISTRATOR in visitor.roles and visitor.client_id is not None:
        with services.store.reading() as tx:
            active = [one for one in tx.members.of_client(visitor.client_id) if one.state is MemberState.ACTIVE]
            partners = tx.partners.get_many({one.partner for one in active})
        found = [one for one in partners.values() if one.state is not PartnerState.GONE]
    if not found:
        raise NotAllowed(
            "this page is for a partner's administrators",
            expected=f"a client of a partner's with the role {ADMINISTRATOR}",
            code="not_an_administrator",
        )
    return sorted(found, key=lambda one: one.name)
