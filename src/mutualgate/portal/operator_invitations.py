"""The operator's pages about invitations: to make one, to see how far they are, to approve what was handed in."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import segno
from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.pin import PinKind
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form
from mutualgate.portal.operator import PAGE_ROWS, At, acting, choice, number, number_of, part, query, shown
from mutualgate.portal.operator_pins import KINDS
from mutualgate.portal.sent import check_known
from mutualgate.portal.ways import WAYS

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.enrolment.invitations import Invited

LIVES: Final = ((1, "a day"), (3, "three days"), (7, "a week"), (30, "a month"))
"""Days that a link works, and in words."""
STEPS: Final = ("approve", "decline", "revoke", "renew")


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [
        at("/invite", get=form, post=invite),
        at("/invitations", get=invitations),
        at("/invitations/{id}", get=invitation),
        at("/invitations/{id}/{step}", post=do),
    ]


async def form(asked: Asked) -> Response:
    """Who is to come in, as what."""
    name = query(asked, "name", 64)

    def read(services: "Services") -> dict[str, Any]:
        values = {"name": name, "roles": "", "contact": "", "days": "7", "validity": ""}
        if name:
            known = services.clients.get(name)
            values |= {"roles": " ".join(known.roles), "contact": known.contact}
        return _filled(values, tuple(Way), ())

    return await shown(asked, "operator/invite.html.j2", read)


async def invite(asked: Asked) -> Response:
    """Invites, and shows what opens it; or the form again with what is wrong."""
    given = await asked.form()
    names = ("name", "roles", "contact", "days", "validity", "mail_to")
    values = {name: given.text(name, 1024) for name in names}
    try:
        await check_known(asked)
        invited = await asked.call(_invite, acting(asked), values, given)
    except (BadInput, Conflict, NotFound) as error:
        wrong = {"problem": error.problem, "expected": error.expected, "fix": error.fix}
        chosen = tuple(way for way in Way if way in given.all("way"))
        more = tuple(name for name in ("factor", "approval") if given.text(name, 8) == "yes")
        return await shown(
            asked, "operator/invite.html.j2", lambda _: {**_filled(values, chosen, more), "wrong": wrong}, status=400
        )
    return await _new_link(asked, invited)


def _invite(services: "Services", values: dict[str, str], given: Form) -> "Invited":
    return services.invitations.invite(
        values["name"],
        roles=_words(values["roles"]),
        contact=values["contact"],
        ways=[_way(text) for text in given.all("way")],
        validity=timedelta(days=_days(values["validity"], "certificate")) if values["validity"] else None,
        life=timedelta(days=_days(values["days"] or "7", "link")),
        second_factor=given.text("factor", 8) == "yes",
        approval=given.text("approval", 8) == "yes",
        mail_to=values["mail_to"] or None,
    )


async def _new_link(asked: Asked, invited: "Invited") -> Response:
    """What opens the invitation: on no other page, and in no address."""
    values = {"invited": invited, "client": invited.client, "ways": WAYS, **opening(asked, invited)}
    asked.made = f"{asked.to('operator', 'invitations', str(invited.invitation.id))}?again=yes"
    return await shown(asked, "operator/invited.html.j2", lambda _: values)


def opening(asked: Asked, invited: "Invited") -> dict[str, Any]:
    """The link and its QR code, for the page that shows them."""
    # Links go where `[portal] url` says; else to where the visitor is, which the gate has checked.
    portal = getattr(asked.desk.services.config, "portal", None)
    link = invited.link(getattr(portal, "url", "") or asked.base)
    return {"link": link, "qr": segno.make(link, error="m").svg_data_uri(scale=4, border=2)}


async def invitations(asked: Asked) -> Response:
    """All of them, newest first."""
    state, before = choice(asked, "state", InvitationState), number(asked, "before")

    def read(services: "Services") -> dict[str, Any]:
        page = services.invitations.list(state=state, before=before or None, limit=PAGE_ROWS)
        return {"page": page, "state": state or "", "states": list(InvitationState), "before": before, "ways": WAYS}

    return await shown(asked, "operator/invitations.html.j2", read)


async def invitation(asked: Asked) -> Response:
    """One invitation; with what was handed in, if something waits for approval."""
    id, again = number_of(asked, "id"), query(asked, "again", 8) == "yes"

    def read(services: "Services") -> dict[str, Any]:
        opened = services.invitations.get(id)
        submitted = None
        if opened.invitation.state is InvitationState.WAITING:
            submitted = _explained(services, services.invitations.submitted(id) or b"", opened.invitation)
        owner = opened.invitation.partner
        with services.store.reading() as tx:
            partner = None if owner is None else tx.partners.get(owner)
        values = {"invitation": opened.invitation, "client": opened.client, "submitted": submitted, "ways": WAYS}
        values["came"] = services.invitations.came_of(id)
        values["partner"] = partner
        return {**values, "steps": _possible(opened.invitation.state), "again": again}

    return await shown(asked, "operator/invitation.html.j2", read)


async def do(asked: Asked) -> Response:
    """Approves, declines, takes back, or gives a new link."""
    id, step = number_of(asked, "id"), part(asked, "step")
    if step not in STEPS:
        raise NotFound("there is no such page")
    service = acting(asked).invitations
    if step == "renew":
        await check_known(asked)
        return await _new_link(asked, await asked.call(service.renew_link, id))
    await asked.call({"approve": service.approve, "decline": service.decline, "revoke": service.revoke}[step], id)
    return answers.see_other(asked, "operator", "invitations", str(id))


def _explained(services: "Services", data: bytes, invitation: Invitation) -> dict[str, Any]:
    """What was handed in, in words: of a certificate what it is and what will count, of a CSR what it asks for."""
    if invitation.way is Way.OWN:
        from mutualgate.reading.explain import explain

        what = explain(data, "the certificate", now=services.clock())
        return {"certificate": what, "counts": KINDS[invitation.pin_kind or PinKind.CERTIFICATE], "request": None}
    from mutualgate.authorities.csr import read_csr
    from mutualgate.reading.weak_keys import key_fingerprint, key_words

    request = read_csr(data, "the CSR")
    key = {"words": key_words(request.public_key), "digest": key_fingerprint(request.public_key)}
    return {"certificate": None, "request": request, "key": key}


def _filled(values: dict[str, str], chosen: tuple[Way, ...], more: tuple[str, ...]) -> dict[str, Any]:
    return {"values": {"mail_to": "", **values}, "chosen": chosen, "more": more, "ways": WAYS, "lives": LIVES}


def _possible(state: InvitationState) -> tuple[str, ...]:
    match state:
        case InvitationState.WAITING:
            return ("approve", "decline")
        case InvitationState.OPEN | InvitationState.LOCKED:
            return ("renew", "revoke")
    return ()


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _way(text: str) -> Way:
    try:
        return Way(text)
    except ValueError:
        raise BadInput("there is no such way", expected=", ".join(Way)) from None


def _days(text: str, of: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise BadInput(f"the life of the {of} is no number of days", expected="a number, such as 30")
    return int(text)
