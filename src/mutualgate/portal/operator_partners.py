"""The operator's pages about partners: the list, a new one, what it may vouch for, and its end."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, MutualgateError, NotFound
from mutualgate.model import PartnerAdmits
from mutualgate.portal import answers, offices
from mutualgate.portal.asked import Asked
from mutualgate.portal.offices import Office
from mutualgate.portal.operator import PAGE_ROWS, At, acting, number, number_of, part, query, said_yes, shown, sure

if TYPE_CHECKING:
    from mutualgate.app import Services

PREFIX: Final = "/partners/{partner}"
ADMITS: Final = {
    PartnerAdmits.APPROVAL: "who was approved; a new one waits for it",
    PartnerAdmits.LISTED: "who was enumerated",
    PartnerAdmits.RULE: "everybody whose name the rules permit",
}
STEPS: Final = {
    "suspend": ("Suspend {} with all its clients?", "Nobody under its CAs comes in until you resume it.", "Suspend"),
    "resume": ("Let {} in again?", "Its clients come in again, but for those who are suspended themselves.", "Resume"),
    "remove": (
        "Remove {} for good?",
        "Its CAs count no more, and its name is free. This is final.",
        "Remove",
    ),
}


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/partners", get=partners, post=add),
        *offices.routes(at, PREFIX, office),
        at(f"{PREFIX}/admits", post=admits),
        at(f"{PREFIX}/roles", post=roles),
        at(f"{PREFIX}/names", post=permit),
        at(f"{PREFIX}/names/remove", get=ask_to_forbid, post=forbid),
        at(f"{PREFIX}/cas/{{id}}/approve", post=approve),
        at(f"{PREFIX}/{{step}}", get=ask, post=do),
    ]


async def office(asked: Asked) -> Office:
    """Any partner's, for an operator."""
    name = part(asked, "partner")
    await asked.call(asked.desk.services.partners.get, name)
    return Office(name, ("operator", "partners", name), operator=True)


async def partners(asked: Asked) -> Response:
    """The list, searched and paged, and a form for a new one."""
    search, after = query(asked, "search"), number(asked, "after")
    return await shown(asked, "operator/partners.html.j2", lambda services: _list(services, search, after))


def _list(services: "Services", search: str, after: int) -> dict[str, Any]:
    found, total = services.partners.list(search=search, after=after, limit=PAGE_ROWS + 1)
    more = found[PAGE_ROWS - 1].id if len(found) > PAGE_ROWS else 0
    claims = services.partners.anchors.pending()
    usual = {"admits": ADMITS, "values": {}, "wrong": None, "claims": claims}
    return {"partners": found[:PAGE_ROWS], "total": total, "search": search, "after": after, "more": more, **usual}


async def add(asked: Asked) -> Response:
    """Adds a partner; or shows what is wrong above the form."""
    form = await asked.form()
    values = {name: form.text(name, 4096) for name in ("name", "names", "roles", "admits", "contact", "security")}

    def do(services: "Services") -> str:
        partner = services.partners.add(
            values["name"],
            names=_lines(values["names"]),
            roles=values["roles"].replace(",", " ").split(),
            admits=_admits(values["admits"]),
            contact=values["contact"],
            security_contact=values["security"],
        )
        return str(partner.name)

    try:
        name = await asked.call(do, acting(asked))
    except MutualgateError as error:
        wrong = {"problem": error.problem, "expected": error.expected, "fix": error.fix}
        return await shown(
            asked,
            "operator/partners.html.j2",
            lambda services: {**_list(services, "", 0), "values": values, "wrong": wrong},
            status=400,
        )
    return answers.see_other(asked, "operator", "partners", name)


async def admits(asked: Asked) -> Response:
    """Which of its clients come in."""
    name, form = part(asked, "partner"), await asked.form()
    await asked.call(acting(asked).partners.set_admits, name, _admits(form.text("admits", 16)))
    return answers.see_other(asked, "operator", "partners", name)


async def roles(asked: Asked) -> Response:
    """What its clients may open."""
    name, form = part(asked, "partner"), await asked.form()
    await asked.call(acting(asked).partners.set_roles, name, form.text("roles", 1024).replace(",", " ").split())
    return answers.see_other(asked, "operator", "partners", name)


async def permit(asked: Asked) -> Response:
    """Lets it vouch for more names; under one CA alone, if one is chosen."""
    name, form = part(asked, "partner"), await asked.form()
    anchor, wide = _anchor(form.text("anchor", 18)), form.text("wide", 8) == "yes"
    names = _lines(form.text("names", 8192))
    await asked.call(acting(asked).partners.permit, name, names, anchor=anchor, wide=wide)
    return answers.see_other(asked, "operator", "partners", name)


async def ask_to_forbid(asked: Asked) -> Response:
    """What taking a rule away does."""
    name, rule, anchor = part(asked, "partner"), query(asked, "rule", 1100), query(asked, "anchor", 18)

    def read(services: "Services") -> dict[str, Any]:
        there = services.partners.show(name).rules
        if not any(one.text == rule and str(one.anchor or "") == anchor for one in there):
            raise NotFound("there is no such rule")
        return {
            "heading": f"Take {rule} away from {name}?",
            "says": "Who comes in by this rule alone is refused from now on. Open connections are cut.",
            "button": "Take it away",
            "back": ("partners", name),
            "what": f"Under its CA {anchor} alone." if anchor else "",
            "hidden": {"rule": rule, "anchor": anchor},
        }

    return await sure(asked, "partners", read)


async def forbid(asked: Asked) -> Response:
    """Takes a rule away."""
    name, form = part(asked, "partner"), await said_yes(asked)
    anchor = _anchor(form.text("anchor", 18))
    await asked.call(acting(asked).partners.forbid, name, [form.text("rule", 1100)], anchor=anchor)
    return answers.see_other(asked, "operator", "partners", name)


async def approve(asked: Asked) -> Response:
    """Lets a claim count without proof, if that was said in so many words."""
    name, id, form = part(asked, "partner"), number_of(asked, "id"), await asked.form()
    proof = form.text("without_proof", 8) == "yes"
    await asked.call(acting(asked).partners.anchors.approve, name, id, without_proof=proof)
    return answers.see_other(asked, "operator", "partners", name, "cas", str(id))


async def ask(asked: Asked) -> Response:
    """What a step does."""
    name, (heading, says, button) = part(asked, "partner"), _step(asked)

    def read(services: "Services") -> dict[str, Any]:
        partner = services.partners.get(name)
        return {
            "heading": heading.format(partner.name),
            "says": says,
            "button": button,
            "cuts": button != "Resume",
            "back": ("partners", str(partner.name)),
        }

    return await sure(asked, "partners", read)


async def do(asked: Asked) -> Response:
    """Does it."""
    _step(asked)
    name, step = part(asked, "partner"), part(asked, "step")
    await said_yes(asked)
    service = acting(asked).partners
    steps: dict[str, Callable[[str], object]] = {
        "suspend": service.suspend,
        "resume": service.resume,
        "remove": service.remove,
    }
    await asked.call(steps[step], name)
    return answers.see_other(asked, "operator", "partners", *(() if step == "remove" else (name,)))


def _step(asked: Asked) -> tuple[str, str, str]:
    try:
        return STEPS[part(asked, "step")]
    except KeyError:
        raise NotFound("there is no such page") from None


def _admits(text: str) -> PartnerAdmits:
    try:
        return PartnerAdmits(text or "approval")
    except ValueError:
        raise BadInput("there is no such way to admit clients", expected=", ".join(PartnerAdmits)) from None


def _anchor(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadInput("there is no such CA")
    return int(text)


def _lines(text: str) -> list[str]:
    """One rule a line: a distinguished name may hold spaces and commas."""
    return [line.strip() for line in text.splitlines() if line.strip()]
