"""The operator's pages about changes of trust: who made which, taking the last one back, and what one would do."""

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import Conflict, NotFound
from mutualgate.model.trust import TrustChange
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.operator import PAGE_ROWS, At, acting, number, number_of, part, said_yes, shown, sure
from mutualgate.portal.trying import again

if TYPE_CHECKING:
    from mutualgate.app import Services


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/changes", get=changes),
        at("/changes/{id}/undo", get=ask, post=undo),
        at("/trials/{id}", get=trial),
    ]


async def changes(asked: Asked) -> Response:
    """The list, newest first, paged."""
    before = number(asked, "before")

    def read(services: "Services") -> dict[str, Any]:
        found = services.trust.list(PAGE_ROWS + 1, before=before or None)
        more = found[PAGE_ROWS - 1].id if len(found) > PAGE_ROWS else 0
        return {"changes": found[:PAGE_ROWS], "last": services.trust.last(), "before": before, "more": more}

    return await shown(asked, "operator/changes.html.j2", read)


async def ask(asked: Asked) -> Response:
    """What taking the last one back would do."""
    change = await asked.call(_last, asked.desk.services, number_of(asked, "id"))

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": "Take this change back?",
            "says": f"{change.by} made it on {answers.moment(change.at)}. What it changed becomes as it was before.",
            "button": "Take it back",
            "back": ("changes",),
            "crumb": "Changes of trust",
            "what": [change.what],
        }

    return await sure(asked, "changes", read, lambda tried: tried.trust.undo(change.id))


async def undo(asked: Asked) -> Response:
    """Takes it back."""
    await said_yes(asked)
    services, id = acting(asked), number_of(asked, "id")

    def do() -> None:
        services.trust.undo(_last(services, id).id)

    await asked.call(do)
    return answers.see_other(asked, "operator", "changes")


async def trial(asked: Asked) -> Response:
    """What a change would do that was asked for just now: how far that is found out, or the list of it."""
    found = again(asked, part(asked, "id"))
    return await shown(asked, "operator/trial.html.j2", lambda _: {"here": "changes", "trial": found})


def _last(services: "Services", id: int) -> TrustChange:
    """The change with this number. Raises Conflict unless it is the last one that was not taken back."""
    last = services.trust.last()
    if last is None or id > last.id:
        raise NotFound("there is no such change to take back")
    if last.id != id:
        raise Conflict(
            "this is not the last change",
            expected=f"the change {last.id}, which has to be taken back first",
            fix="With the command line others can be taken back, too: mutualgate trust undo",
            code="not_last",
        )
    return last
