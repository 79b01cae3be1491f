"""The operator's pages about partners: the list, a new one, what it may vouch for, and its end."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.names import trimmed
from mutualgate.model.partner import PartnerAdmits
from mutualgate.portal import answers, offices
from mutualgate.portal.asked import Asked
from mutualgate.portal.offices import Office
from mutualgate.portal.operator import (
    PAGE_ROWS,
    At,
    acting,
    is_sure,
    number,
    number_of,
    part,
    query,
    said_yes,
    shown,
    sure,
)

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
        at(f"{PREFIX}/appoints", post=appoints),
        at(f"{PREFIX}/names", post=permit),
        at(f"{PREFIX}/names/remove", get=ask_to_forbid, post=forbid),
        at(f"{PREFIX}/names/replace", get=ask_to_replace, post=replace),
        at(f"{PREFIX}/cas/{{id}}/approve", get=ask_to_approve, post=approve),
        at(f"{PREFIX}/cas/{{id}}/allow", post=allow),
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
    claims, held = services.partners.anchors.pending(), services.partners.between.waiting()
    usual = {"admits": ADMITS, "values": {}, "wrong": None, "claims": claims, "held": held}
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
    except (BadInput, Conflict, NotFound) as error:
        wrong = {"problem": error.problem, "expected": error.expected, "fix": error.fix}
        return await shown(
            asked,
            "operator/partners.html.j2",
            lambda services: {**_list(services, "", 0), "values": values, "wrong": wrong},
            status=400,
        )
    return answers.see_other(asked, "operator", "partners", name)


async def admits(asked: Asked) -> Response:
    """Which of its clients come in: what that would do, then it is done."""
    name, form = part(asked, "partner"), await asked.form()
    which = _admits(form.text("admits", 16))

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": f"Admit under {name} {ADMITS[which].partition(';')[0]}?",
            "says": f"Of its clients comes in {ADMITS[which]}.",
            "button": "Change it",
            "back": ("partners", name),
            "hidden": {"admits": which},
        }

    if not is_sure(form):
        return await sure(asked, "partners", read, lambda tried: tried.partners.set_admits(name, which))
    await asked.call(acting(asked).partners.set_admits, name, which)
    return answers.see_other(asked, "operator", "partners", name)


async def roles(asked: Asked) -> Response:
    """What its clients may open."""
    name, form = part(asked, "partner"), await asked.form()
    await asked.call(acting(asked).partners.set_roles, name, form.text("roles", 1024).replace(",", " ").split())
    return answers.see_other(asked, "operator", "partners", name)


async def appoints(asked: Asked) -> Response:
    """Whether its administrators may make further ones."""
    name, form = part(asked, "partner"), await asked.form()
    await asked.call(acting(asked).partners.set_appoints, name, form.text("appoints", 8) == "yes")
    return answers.see_other(asked, "operator", "partners", name)


async def permit(asked: Asked) -> Response:
    """Lets it vouch for more names, under one CA alone, if one is chosen: what that would do, then it is done."""
    name, form = part(asked, "partner"), await asked.form()
    anchor, wide = _anchor(form.text("anchor", 18)), form.text("wide", 8) == "yes"
    text = form.text("names", 8192)
    names = _lines(text)

    def do(services: "Services") -> object:
        return services.partners.permit(name, names, anchor=anchor, wide=wide)

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": f"Let {name} vouch for {'this name' if len(names) == 1 else f'these {len(names)} names'}?",
            "says": f"Under its CA {anchor} alone." if anchor else "Under any of its CAs.",
            "button": "Permit",
            "cuts": False,
            "back": ("partners", name),
            "what": names,
            "hidden": {"names": text, "anchor": anchor or "", **({"wide": "yes"} if wide else {})},
        }

    if not names:
        raise BadInput("no name was given", expected="one a line, such as dns:*.acme.example")
    if not is_sure(form):
        return await sure(asked, "partners", read, do)
    await asked.call(do, acting(asked))
    return answers.see_other(asked, "operator", "partners", name)


async def ask_to_forbid(asked: Asked) -> Response:
    """What taking a rule away does."""
    name, rule, anchor = part(asked, "partner"), query(asked, "rule", 1100), query(asked, "anchor", 18)

    def read(services: "Services") -> dict[str, Any]:
        _there(services, name, rule, anchor)
        return {
            "heading": f"Take {rule} away from {name}?",
            "says": "Who comes in or was invited by this rule alone is refused from now on. Open connections are cut.",
            "button": "Take it away",
            "back": ("partners", name),
            "what": f"Under its CA {anchor} alone." if anchor else "",
            "hidden": {"rule": rule, "anchor": anchor},
        }

    number = _anchor(anchor)
    return await sure(asked, "partners", read, lambda tried: tried.partners.forbid(name, [rule], anchor=number))


async def forbid(asked: Asked) -> Response:
    """Takes a rule away."""
    name, form = part(asked, "partner"), await said_yes(asked)
    anchor = _anchor(form.text("anchor", 18))
    await asked.call(acting(asked).partners.forbid, name, [form.text("rule", 1100)], anchor=anchor)
    return answers.see_other(asked, "operator", "partners", name)


async def ask_to_replace(asked: Asked) -> Response:
    """By which names, such as narrower ones."""
    name, rule, anchor = part(asked, "partner"), query(asked, "rule", 1100), query(asked, "anchor", 18)

    def read(services: "Services") -> dict[str, Any]:
        _there(services, name, rule, anchor)
        return {"partner": services.partners.get(name), "rule": rule, "anchor": anchor}

    return await shown(asked, "operator/replace.html.j2", read)


async def replace(asked: Asked) -> Response:
    """Replaces a rule by others: what that would do, then it is done. Who is under both notices nothing."""
    name, form = part(asked, "partner"), await asked.form()
    rule, text, number = form.text("rule", 1100), form.text("names", 8192), form.text("anchor", 18)
    names, anchor = _lines(text), _anchor(number)
    if not names or rule in names:
        raise BadInput("nothing is given in its place", expected="other names, one a line")

    def do(services: "Services") -> None:
        _there(services, name, rule, number)
        services.partners.permit(name, names, anchor=anchor)
        services.partners.forbid(name, [rule], anchor=anchor)

    def read(services: "Services") -> dict[str, Any]:
        return {
            "heading": f"Replace {rule} of {name}?",
            "says": "In its place come the names below. They are two changes: more names, and one taken away.",
            "button": "Replace it",
            "back": ("partners", name),
            "what": names,
            "hidden": {"rule": rule, "anchor": number, "names": text},
        }

    if not is_sure(form):
        return await sure(asked, "partners", read, do)
    await asked.call(do, acting(asked))
    return answers.see_other(asked, "operator", "partners", name)


def _there(services: "Services", name: str, rule: str, anchor: str) -> None:
    """Raises NotFound for a rule that the partner does not have."""
    if not any(one.text == rule and str(one.anchor or "") == anchor for one in services.partners.show(name).rules):
        raise NotFound("there is no such rule")


async def allow(asked: Asked) -> Response:
    """Lets a CA stand below one that holds new ones."""
    name, id, form = part(asked, "partner"), number_of(asked, "id"), await asked.form()
    digits = form.text("spki", 64)
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise BadInput("this is no SHA-256 of a key", expected="64 hexadecimal digits")
    await asked.call(acting(asked).partners.between.allow, name, bytes.fromhex(digits), anchor=id)
    return answers.see_other(asked, "operator", "partners", name, "cas", str(id))


async def ask_to_approve(asked: Asked) -> Response:
    """What letting a claim count does, one that is proved or one without proof."""
    name, id = part(asked, "partner"), number_of(asked, "id")

    def read(services: "Services") -> dict[str, Any]:
        anchor = next((one for one in services.partners.anchors.list(name) if one.id == id), None)
        if anchor is None:
            raise NotFound("there is no such CA")
        usual = {"button": "Let it count", "back": ("partners", name, "cas", str(id)), "crumb": anchor.subject}
        if anchor.proved:
            return {
                **usual,
                "heading": f"Let the CA {anchor.subject} of {name} count?",
                "says": f"{name} claimed it and proved that it controls its key. From then on it vouches for the names "
                f"of {name}.",
                "what": f"SHA-256 of its key: {answers.groups(anchor.spki.hex())}",
                "cuts": False,
            }
        return {
            **usual,
            "heading": f"Let the CA {anchor.subject} of {name} count without a proof?",
            "says": "A certificate of a CA is public: whoever handed it in need not control it. The audit log will say "
            "that nobody proved it.",
            "hidden": {"without_proof": "yes"},
            "tick": f"I know by another channel that {name} controls it",
        }

    return await sure(
        asked, "partners", read, lambda tried: tried.partners.anchors.approve(name, id, without_proof=True)
    )


async def approve(asked: Asked) -> Response:
    """Lets a claim count: one that is proved, or one without proof, if that was said in so many words."""
    name, id, form = part(asked, "partner"), number_of(asked, "id"), await said_yes(asked)
    proof = form.text("without_proof", 8) == "yes"
    await asked.call(acting(asked).partners.anchors.approve, name, id, without_proof=proof)
    return answers.see_other(asked, "operator", "partners", name, "cas", str(id))


async def ask(asked: Asked) -> Response:
    """What a step does."""
    name, step, (heading, says, button) = part(asked, "partner"), part(asked, "step"), _step(asked)

    def read(services: "Services") -> dict[str, Any]:
        partner = services.partners.get(name)
        return {
            "heading": heading.format(partner.name),
            "says": says,
            "button": button,
            "cuts": button != "Resume",
            "back": ("partners", str(partner.name)),
        }

    return await sure(asked, "partners", read, lambda tried: _step_of(tried, step)(name))


async def do(asked: Asked) -> Response:
    """Does it."""
    _step(asked)
    name, step = part(asked, "partner"), part(asked, "step")
    await said_yes(asked)
    await asked.call(_step_of(acting(asked), step), name)
    return answers.see_other(asked, "operator", "partners", *(() if step == "remove" else (name,)))


def _step_of(services: "Services", step: str) -> Callable[[str], object]:
    service = services.partners
    return {"suspend": service.suspend, "resume": service.resume, "remove": service.remove}[step]


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
    return [trimmed(line) for line in text.splitlines() if line.strip()]
