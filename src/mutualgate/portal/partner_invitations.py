"""The pages on which a partner's administrator invites the partner's own people and machines, and takes that back.

Only what the partner may: the service says so. An invitation of anybody else's is as if it did not exist.
"""

import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.model.partner import ADMINISTRATOR, RuleKind
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.guard import Form
from mutualgate.portal.offices import Office, OfficeOf, shown, with_office
from mutualgate.portal.operator import PAGE_ROWS, At, acting, choice, number, number_of, part, query
from mutualgate.portal.operator_invitations import LIVES, opening
from mutualgate.portal.sent import check_known
from mutualgate.portal.ways import WAYS

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.enrolment.invitations import Invited

USES: Final = {
    "person": ("a person, in a browser or on a phone", (Way.PAGE, Way.OWN, Way.CSR, Way.APPLE, Way.WINDOWS)),
    "machine": ("a machine or a program", (Way.COMMAND, Way.CSR, Way.OWN, Way.WINDOWS)),
}
"""Who uses it: in words, and the ways that make sense."""
STATES: Final = (InvitationState.OPEN, InvitationState.USED, InvitationState.REVOKED, InvitationState.LOCKED)
"""In which a partner's may be: none of them waits for an approval."""


def routes(at: At, prefix: str, office_of: OfficeOf) -> list[BaseRoute]:
    """The addresses, below `prefix`, which names the partner."""
    view = with_office(office_of)
    return [
        at(f"{prefix}/invite", get=view(form), post=view(invite)),
        at(f"{prefix}/invitations", get=view(invitations)),
        at(f"{prefix}/invitations/{{id}}/{{step}}", post=view(do)),
    ]


async def form(asked: Asked, office: Office) -> Response:
    """Who is to come in."""
    values = {"name": query(asked, "name", 512), "use": "person", "days": "7"}
    return await shown(asked, office, "partner/invite.html.j2", lambda services: _form(services, office, values))


async def invite(asked: Asked, office: Office) -> Response:
    """Invites, and shows what opens it; or the form again with what is wrong."""
    given = await asked.form()
    values = {name: given.text(name, 512) for name in ("name", "use", "days", "factor")}
    roles = given.all("role")
    try:
        await check_known(asked)
        invited = await asked.call(_invite, acting(asked), office, values, given)
    except (BadInput, Conflict, NotFound) as error:
        wrong = {"problem": error.problem, "expected": error.expected, "fix": error.fix}
        return await shown(
            asked,
            office,
            "partner/invite.html.j2",
            lambda services: {**_form(services, office, values, roles), "wrong": wrong},
            status=400,
        )
    return await _new_link(asked, office, invited)


def _invite(services: "Services", office: Office, values: dict[str, str], given: Form) -> "Invited":
    if values["use"] not in USES:
        raise BadInput("nobody is said who uses it", expected="a person, or a machine")
    if values["days"] not in {str(days) for days, _ in LIVES}:
        raise BadInput("the link cannot work for so long", expected="one of the spans of the form")
    return services.partner_invitations.invite(
        office.partner,
        typed(values["name"]),
        roles=given.all("role") if "roles" in given.values else None,
        ways=USES[values["use"]][1],
        life=timedelta(days=int(values["days"])),
        second_factor=values["factor"] == "yes",
    )


def typed(name: str) -> str:
    """A name as people type it, with the kind that it is of: `anna@acme.example` is `email:anna@acme.example`."""
    if not name:
        raise BadInput("no name was given", expected="a name such as anna@acme.example")
    if name.partition(":")[0].lower() in set(RuleKind):
        return name
    if "://" in name:
        return f"uri:{name}"
    if "@" in name:
        return f"email:{name}"
    if "=" in name:
        return f"dn:{name}"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"dns:{name}"
    return f"ip:{name}"


async def _new_link(asked: Asked, office: Office, invited: "Invited") -> Response:
    """What opens the invitation: on no other page, and in no address."""
    values = {"invited": invited, "client": invited.client, **opening(asked, invited)}
    asked.made = f"{asked.to(*office.base, 'invitations')}?again={invited.invitation.id}"
    return await shown(asked, office, "partner/invited.html.j2", lambda _: values)


async def invitations(asked: Asked, office: Office) -> Response:
    """All that the partner's administrators made, newest first."""
    state, before, again = choice(asked, "state", STATES), number(asked, "before"), number(asked, "again")

    def read(services: "Services") -> dict[str, Any]:
        page = services.partner_invitations.list(office.partner, state=state, before=before or None, limit=PAGE_ROWS)
        partner = services.partners.get(office.partner)
        usual = {"state": state or "", "states": STATES, "before": before, "ways": WAYS, "again": again}
        return {"partner": partner, "page": page, **usual}

    return await shown(asked, office, "partner/invitations.html.j2", read)


async def do(asked: Asked, office: Office) -> Response:
    """Takes one back, or gives it a new link."""
    id, step = number_of(asked, "id"), part(asked, "step")
    service = acting(asked).partner_invitations
    if step == "renew":
        await check_known(asked)
        return await _new_link(asked, office, await asked.call(service.renew_link, office.partner, id))
    if step != "revoke":
        raise NotFound("there is no such page")
    await asked.call(service.revoke, office.partner, id)
    return answers.see_other(asked, *office.base, "invitations")


def _form(
    services: "Services", office: Office, values: dict[str, str], roles: tuple[str, ...] | None = None
) -> dict[str, Any]:
    view = services.partners.show(office.partner)
    chosen = [str(role) for role in view.partner.roles] if roles is None else roles
    return {
        "partner": view.partner,
        "rules": [one for one in view.rules if one.anchor is None],
        "values": {"factor": "", **values},
        "uses": USES,
        "lives": LIVES,
        "grants": sorted(view.partner.grants, key=lambda role: (role == ADMINISTRATOR, role)),
        "chosen": chosen,
        "administrator": ADMINISTRATOR,
        "wrong": None,
    }
