"""The operator's pages about who was refused: why, and what was shown."""

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, NotFound
from mutualgate.gate import reasons
from mutualgate.portal.asked import Asked
from mutualgate.portal.operator import At, part, query, shown

if TYPE_CHECKING:
    from mutualgate.app import Services

MOST = 100
"""Refusals on the page; the newest are what somebody just telephoned about."""


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [at("/refusals", get=refusals), at("/refusals/{id}", get=refusal)]


async def refusals(asked: Asked) -> Response:
    """The newest, of one reason or of all."""
    reason, id = query(asked, "reason", 32), query(asked, "id", 32)
    known = [code for code, _, _ in reasons()]
    if reason and reason not in known:
        raise BadInput("there is no such reason", expected=", ".join(known))

    def read(services: "Services") -> dict[str, Any]:
        found = services.refusals.find(id) if id else None
        rows = [found] if found else [] if id else services.refusals.recent(reason=reason or None, limit=MOST)
        return {"refusals": rows, "reason": reason, "id": id, "reasons": known, "most": MOST}

    return await shown(asked, "operator/refusals.html.j2", read)


async def refusal(asked: Asked) -> Response:
    """One: what the page said, to whom."""
    id = part(asked, "id")

    def read(services: "Services") -> dict[str, Any]:
        found = services.refusals.find(id)
        if found is None:
            raise NotFound("there is no such refusal: the oldest are forgotten")
        with services.store.reading() as tx:
            client = tx.clients.get(found.client) if found.client else None
        meaning, fix = next(((meaning, fix) for code, meaning, fix in reasons() if code == found.reason), ("", ""))
        return {"refusal": found, "client": client, "meaning": meaning, "fix": fix}

    return await shown(asked, "operator/refusal.html.j2", read)
