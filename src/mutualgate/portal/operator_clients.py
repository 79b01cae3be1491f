"""The operator's pages about clients: the list, one client with all that it proves itself with, what can be done."""

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.revocation import RevocationReason
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form
from mutualgate.portal.operator import (
    PAGE_ROWS,
    At,
    Step,
    acting,
    choice,
    number,
    part,
    query,
    said_yes,
    shown,
    step_of,
    steps,
    sure,
)

if TYPE_CHECKING:
    from mutualgate.app import Services

SIGHTINGS: Final = 10
"""Certificates of one client, the last that were shown to the gate."""
REASONS: Final = (
    (RevocationReason.unspecified, "no particular reason"),
    (RevocationReason.keyCompromise, "somebody else may have the key"),
    (RevocationReason.affiliationChanged, "it left, or does something else now"),
    (RevocationReason.cessationOfOperation, "it is not used any more"),
    (RevocationReason.superseded, "it has a newer one"),
    (RevocationReason.certificateHold, "for now: can be lifted again"),
)
"""Why an operator revokes (RFC 5280 5.3.1), most used first."""


STEPS: Final = steps(
    Step(
        "suspend",
        "Suspend {}?",
        "Suspend",
        "It is kept out until you resume it, whatever it shows. Open connections are cut.",
        cuts=True,
    ),
    Step(
        "resume",
        "Let {} in again?",
        "Resume",
        "It comes in again with what it has. What was revoked stays revoked.",
    ),
    Step(
        "revoke",
        "Revoke all certificates of {}?",
        "Revoke",
        "What is revoked is accepted nowhere again where the revocation list is read. It cannot be taken back.",
        cuts=True,
    ),
    Step(
        "remove",
        "Remove {} for good?",
        "Remove",
        "Its certificates are revoked, and its name is free again. It cannot be taken back.",
        cuts=True,
    ),
)


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/clients", get=clients),
        at("/clients/{name}", get=client),
        at("/clients/{name}/roles", post=roles),
        at("/clients/{name}/release", post=release),
        at("/clients/{name}/{step}", get=ask, post=do),
    ]


async def clients(asked: Asked) -> Response:
    """The list, searched and paged."""
    search, role, after = query(asked, "search"), query(asked, "role", 64), number(asked, "after")
    state = choice(asked, "state", ClientState)

    def read(services: "Services") -> dict[str, Any]:
        page = services.clients.list(search=search, state=state, role=role or None, after=after, limit=PAGE_ROWS)
        states = list(ClientState)
        return {"page": page, "search": search, "state": state or "", "role": role, "states": states, "after": after}

    return await shown(asked, "operator/clients.html.j2", read)


async def client(asked: Asked) -> Response:
    """One client."""
    name = part(asked, "name")

    def read(services: "Services") -> dict[str, Any]:
        view = services.clients.show(name)
        others = _others(services, view.client.id)
        return {"view": view, "client": view.client, "steps": _possible(view.client.state), **others}

    return await shown(asked, "operator/client.html.j2", read)


def _others(services: "Services", id: int) -> dict[str, Any]:
    seen = services.sightings.of_client(id)[:SIGHTINGS]
    published = services.key_sets.find(id)
    with services.store.reading() as tx:
        out = bool(tx.clients.out_with_partner([id]))
        refusals, pins = tx.refusals.recent(client=id, limit=5), tx.pins.of_client(id)
        return {"refusals": refusals, "pins": pins, "seen": seen, "out": out, "published": published}


async def roles(asked: Asked) -> Response:
    """Replaces its roles."""
    name = part(asked, "name")
    form = await asked.form()
    wanted = form.text("roles", 1024).replace(",", " ").split()
    services = acting(asked)
    if await _is_self(asked, services, name) and not set(asked.desk.operator_roles()) & set(wanted):
        raise _own_access("you would take the operator's role from yourself")
    await asked.call(services.clients.set_roles, name, wanted)
    return answers.see_other(asked, "operator", "clients", name)


async def release(asked: Asked) -> Response:
    """Lifts a certificateHold."""
    name, form = part(asked, "name"), await asked.form()
    await asked.call(acting(asked).clients.release, name, credential=form.text("credential", 64) or None)
    return answers.see_other(asked, "operator", "clients", name)


async def ask(asked: Asked) -> Response:
    """Says what a step would do, and asks."""
    step, name, wanted = step_of(asked, STEPS), part(asked, "name"), number(asked, "credential")

    def read(services: "Services") -> dict[str, Any]:
        view = services.clients.show(name)
        one = next((one for one in view.credentials if one.id == wanted), None)
        if wanted and one is None:
            raise NotFound("there is no such certificate")
        what = f"The one with the serial number {one.serial_text}, until {answers.day(one.not_after)}." if one else ""
        question = "Revoke one certificate of {}?" if one else step.question
        return {
            "heading": question.format(view.client.name),
            "says": step.says,
            "button": step.button,
            "cuts": step.cuts,
            "back": ("clients", str(view.client.name)),
            "what": what,
            "hidden": {"credential": one.id} if one else {},
            "reasons": REASONS if step.name == "revoke" else (),
            "oneself": step.cuts and view.client.id == asked.visitor.client_id,
        }

    return await sure(asked, "clients", read)


async def do(asked: Asked) -> Response:
    """Does it, if the page that asks was answered."""
    step, name = step_of(asked, STEPS), part(asked, "name")
    form = await said_yes(asked)
    services = acting(asked)
    if step.cuts and await _is_self(asked, services, name):
        raise _own_access("you would lock yourself out")
    await asked.call(_do, services, step.name, name, form)
    if step.name == "remove":
        return answers.see_other(asked, "operator", "clients")
    return answers.see_other(asked, "operator", "clients", name)


def _do(services: "Services", step: str, name: str, form: Form) -> None:
    match step:
        case "suspend":
            services.clients.suspend(name)
        case "resume":
            services.clients.resume(name)
        case "remove":
            services.clients.remove(name)
        case _:
            reason = RevocationReason.parse(form.text("reason", 32) or "unspecified")
            services.clients.revoke(name, reason=reason, credential=form.text("credential", 64) or None)


async def _is_self(asked: Asked, services: "Services", name: str) -> bool:
    """By number: a name may be written in several ways."""
    return (await asked.call(services.clients.get, name)).id == asked.visitor.client_id


def _own_access(problem: str) -> Conflict:
    return Conflict(problem, fix="Let another operator do it, or use the command line", code="own_access")


def _possible(state: ClientState) -> list[Step]:
    if state is ClientState.SUSPENDED:
        return [STEPS["resume"], STEPS["revoke"], STEPS["remove"]]
    return [STEPS["suspend"], STEPS["revoke"], STEPS["remove"]]
