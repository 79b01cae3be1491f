"""The operator's pages about keys that a client publishes by a URL: to let one count now, or never."""

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import NotFound
from mutualgate.model.key_set import PublishedKey
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.operator import At, Step, acting, number_of, part, said_yes, step_of, steps, sure

if TYPE_CHECKING:
    from mutualgate.app import Services


STEPS: Final = steps(
    Step(
        "approve",
        "Let the published key {} of {} count now?",
        "Approve",
        "It lets the client in without waiting any longer. Whoever took over the server that publishes it could"
        " have put it there: compare the SHA-256 with what the client says by another channel first.",
    ),
    Step(
        "decline",
        "Never let the published key {} of {} count?",
        "Decline",
        "It lets nobody in, however long it stays in the set. It can be approved later.",
    ),
)


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [at("/clients/{name}/keys/{id}/{step}", get=ask, post=do)]


async def ask(asked: Asked) -> Response:
    """Shows the key, and asks."""
    name, id, step = part(asked, "name"), number_of(asked, "id"), step_of(asked, STEPS)
    key, client = await asked.call(_key, asked.desk.services, name, id)

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": step.question.format(id, client),
            "says": step.says,
            "button": step.button,
            "cuts": False,
            "back": ("clients", client),
            "what": f"{key.label or 'a key'}, SHA-256 {key.digest.hex()}",
        }

    change = None if step.name == "decline" else lambda tried: tried.key_sets.approve(name, id)
    return await sure(asked, "clients", read, change)


async def do(asked: Asked) -> Response:
    """Does it."""
    name, id, step = part(asked, "name"), number_of(asked, "id"), step_of(asked, STEPS)
    await said_yes(asked)
    key_sets = acting(asked).key_sets
    await asked.call(key_sets.approve if step.name == "approve" else key_sets.decline, name, id)
    return answers.see_other(asked, "operator", "clients", name)


def _key(services: "Services", name: str, id: int) -> tuple[PublishedKey, str]:
    """The key, and what its client is called. Raises `NotFound`."""
    view = services.key_sets.show(name)
    for key, _ in view.keys:
        if key.id == id:
            return key, str(view.client.name)
    raise NotFound(f"the client '{view.client.name}' has no published key {id}", code="no_such_key")
