"""The operator's pages: everything that the commands do with clients and partners, for who holds an operator's role.

Signing in is showing the certificate. What is done here goes through the services that the commands use, and the audit
log names the operator. What locks somebody out is asked for twice: a page that says what will happen, then the form.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.invitation import InvitationState
from mutualgate.model.names import trimmed
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk, View
from mutualgate.portal.guard import Form, NotAllowed
from mutualgate.portal.trying import Change, preview
from mutualgate.portal.ways import WAYS

if TYPE_CHECKING:
    from mutualgate.app import Services

S = TypeVar("S", bound=StrEnum)

PAGE_ROWS = 50
"""Rows of a list on one page."""
SEARCH_LIMIT = 128
"""Characters of what is searched for."""
SOON_DAYS, MOST_DAYS, MOST_EXPIRING = 30, 366, 200
"""How far ahead is looked for what ends, unless somebody says otherwise; and how many of it are on the page."""
TABS = (
    ("overview", "Overview", ()),
    ("clients", "Clients", ("clients",)),
    ("invitations", "Invitations", ("invitations",)),
    ("refusals", "Refused", ("refusals",)),
    ("partners", "Partners", ("partners",)),
    ("expiring", "Expiring", ("expiring",)),
    ("changes", "Changes", ("changes",)),
)
"""Name, label and path of each part."""


def routes(desk: Desk) -> list[BaseRoute]:
    """All addresses of the operator."""
    from mutualgate.portal import (
        operator_changes,
        operator_clients,
        operator_invitations,
        operator_keys,
        operator_partners,
        operator_pins,
        operator_refusals,
    )

    def at(path: str, **views: View) -> BaseRoute:
        return desk.route(f"/operator{path}", **{method: for_operators(view) for method, view in views.items()})

    return [
        at("", get=overview),
        at("/expiring", get=expiring),
        # Before the clients, whose last address takes any word.
        *operator_pins.routes(at),
        *operator_keys.routes(at),
        *operator_clients.routes(at),
        *operator_invitations.routes(at),
        *operator_refusals.routes(at),
        *operator_partners.routes(at),
        *operator_changes.routes(at),
    ]


At = Callable[..., BaseRoute]
"""`at("/clients", get=view)`: an address below the operator's, for operators alone."""


@dataclass(frozen=True)
class Step:
    """Something that is done once it was asked for twice: what the page that asks says, and whether somebody is cut."""

    name: str
    question: str
    button: str
    says: str
    cuts: bool = False


def steps(*known: Step) -> Mapping[str, Step]:
    """Those of a page, by their names."""
    return {step.name: step for step in known}


def step_of(asked: Asked, known: Mapping[str, Step]) -> Step:
    """That which the path names. Raises NotFound."""
    found = known.get(part(asked, "step"))
    if found is None:
        raise NotFound("there is no such page")
    return found


def for_operators(view: View) -> View:
    """`view` for who holds an operator's role now; the verdict is of this very request."""

    async def guarded(asked: Asked) -> Response:
        if not asked.desk.is_operator(asked.visitor):
            raise NotAllowed(
                "this page is for operators",
                expected=f"a certificate of a client with the role {' or '.join(asked.desk.operator_roles())}",
                fix="Show such a certificate. A client is given a role by: mutualgate client roles NAME --add ROLE",
                code="not_an_operator",
            )
        return await asked.desk.sent.once(asked, view)

    return guarded


async def overview(asked: Asked) -> Response:
    """What is to be done, then how things stand."""
    return await shown(asked, "operator/overview.html.j2", _overview)


def _overview(services: "Services") -> dict[str, Any]:
    with services.store.reading() as tx:
        clients, partners = tx.clients.counts(), tx.partners.count()
    return {
        "clients": clients,
        "total": sum(number for state, number in clients.items() if state is not ClientState.GONE),
        "partners": partners,
        "refusals": services.refusals.recent(limit=8),
        "lists": [one for one in services.revocation.overview() if one.problem],
        "waits": services.invitations.list(state=InvitationState.WAITING, limit=10).invitations,
        "claims": services.partners.anchors.pending(),
        "ways": WAYS,
    }


async def expiring(asked: Asked) -> Response:
    """What ends soon, and has no successor."""
    days = number(asked, "days") or SOON_DAYS
    if days > MOST_DAYS:
        raise BadInput(f"{days} days are not looked ahead", expected=f"at most {MOST_DAYS}")

    def read(services: "Services") -> dict[str, Any]:
        ending = services.expiry.ending(timedelta(days=days), limit=MOST_EXPIRING)
        return {"ending": ending, "days": days, "spans": (7, 14, 30, 60, 90)}

    return await shown(asked, "operator/expiring.html.j2", read)


# For the other modules of the operator.


async def shown(
    asked: Asked, template: str, read: "Callable[[Services], dict[str, Any]]", *, status: int = 200
) -> Response:
    """A page of what `read` finds, in a thread."""
    values = await asked.call(lambda services: {"waiting": waiting(services), **read(services)}, acting(asked))
    return answers.page(asked, template, status=status, wide=True, tabs=TABS, rows=PAGE_ROWS, **values)


def waiting(services: "Services") -> dict[str, int]:
    """What waits for an operator, by tab."""
    return {"invitations": services.invitations.list(state=InvitationState.WAITING, limit=1).total}


def acting(asked: Asked) -> "Services":
    """The services in the operator's name."""
    return asked.desk.services.acting(asked.visitor.client)


async def sure(
    asked: Asked,
    here: str,
    read: "Callable[[Services], dict[str, Any]]",
    change: Change | None = None,
) -> Response:
    """The page that asks before something is done: `read` gives `heading`, `says`, `button` and the way `back`.

    With `change`, what it would do to who came in lately stands on it. Raises what the change raises.
    """
    usual = {
        "cuts": True,
        "what": "",
        "hidden": {},
        "reasons": (),
        "oneself": False,
        "here": here,
        "tick": "I am sure",
        "crumb": "",
    }
    trial = None if change is None else await preview(asked, acting(asked), change)
    return await shown(asked, "operator/sure.html.j2", lambda services: {**usual, "trial": trial, **read(services)})


async def said_yes(asked: Asked) -> Form:
    """The form of that page. Raises BadInput unless the box was ticked."""
    form = await asked.form()
    if not is_sure(form):
        raise BadInput("nothing was done: the box was not ticked", expected="the box that says that you are sure")
    return form


def is_sure(form: Form) -> bool:
    """Whether the box was ticked that says so."""
    return form.text("sure", 8) == "yes"


def query(asked: Asked, name: str, limit: int = SEARCH_LIMIT) -> str:
    """A parameter of the address, empty where there is none. Raises BadInput for one that is too long."""
    value = trimmed(asked.request.query_params.get(name, ""))
    if len(value) > limit:
        raise BadInput(f"the parameter {name} has {len(value)} characters", expected=f"at most {limit}")
    return value


def number(asked: Asked, name: str) -> int:
    """A parameter that is a number, 0 where there is none. Raises BadInput."""
    text = query(asked, name, 18) or "0"
    if not (text.isascii() and text.isdecimal()):
        raise BadInput(f"the parameter {name} is no number")
    return int(text)


def choice(asked: Asked, name: str, known: Iterable[S]) -> S | None:
    """A parameter that is one of the `known`, `None` where there is none. Raises BadInput."""
    text, there = query(asked, name, 16), {str(one): one for one in known}
    if text and text not in there:
        raise BadInput(f"there is no such {name}", expected=", ".join(there))
    return there.get(text)


def part(asked: Asked, name: str) -> str:
    """A part of the path."""
    return asked.part(name)


def number_of(asked: Asked, name: str) -> int:
    """A part of the path that is a number. Raises NotFound."""
    text = part(asked, name)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise NotFound("there is no such page")
    return int(text)
