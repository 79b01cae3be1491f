"""The door, where a code is typed, and the page of an invitation, with the ways that it offers.

The invitation is in the address. What may be done with it, the service says; here it is asked, shown and explained.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import pin_ends
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.portal import answers, arriving, showing
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.machines import enrol_command
from mutualgate.portal.problems import problem_of
from mutualgate.portal.showing import Shown
from mutualgate.portal.systems import machine
from mutualgate.portal.ways import CHOICES, Choice

CURL: Final = "curl --cert own.pem --key own.key"
"""As whoever shows a certificate of their own calls it."""

_IN_BROWSERS: Final = {Way.PAGE, Way.APPLE, Way.WINDOWS}
"""Ways that begin on a page: no command is all of them."""


def routes(desk: Desk) -> list[Route]:
    """The addresses of an invitation."""
    return [
        desk.route("/", get=door, post=knock),
        desk.route("/{secret:secret}", get=invitation),
    ]


# The door: a short code is typed


async def door(asked: Asked) -> Response:
    """Where a code is typed."""
    if asked.kind == "json":
        return answers.document(asked, {"invitation": f"{asked.base}/CODE", "me": f"{asked.base}/me"})
    if asked.kind == "text":
        return answers.text(asked, f"Open the link of your invitation, or {asked.base}/CODE with its code.")
    return answers.page(asked, "door.html.j2", wrong=None, typed="")


async def knock(asked: Asked) -> Response:
    """A code, or a whole link, was typed: on to its invitation, if there is one."""
    typed = (await asked.form()).text("code", 400)
    secret = _secret(typed)
    try:
        if secret is None:
            raise BadInput("this is no code of an invitation", expected="12 letters and digits, such as Ab3d-Ef4h-Jk5m")
        await asked.look(asked.desk.services.invitation_use.progress, secret, peer=asked.visitor.peer)
    except (BadInput, NotFound) as error:
        what = problem_of(error)
        if asked.kind != "html":
            raise
        return answers.page(asked, "door.html.j2", status=what.status, wrong=what, typed=typed[:64])
    except Conflict:
        pass  # its own page says which one
    return answers.see_other(asked, str(secret))


def _secret(typed: str) -> str | None:
    """The token or code in what somebody typed or pasted, as it stands in addresses."""
    last = typed.strip().rstrip("/").rpartition("/")[2]
    if re.fullmatch(r"[A-Za-z0-9_-]{43}", last):
        return last
    bare = re.sub(r"[\s\u2010-\u2015-]", "", typed)
    return "-".join(re.findall(".{4}", bare)) if re.fullmatch(r"[A-Za-z0-9]{12}", bare) else None


# The invitation


async def invitation(asked: Asked) -> Response:
    """Who invites whom, and which ways there are; what was shown in the handshake is explained."""
    services = asked.desk.services
    try:
        opened = await asked.call(services.invitation_use.open, asked.secret, peer=asked.visitor.peer)
    except Conflict as error:
        if error.code != "invitation_used" or asked.kind != "html":
            raise
        seen = await asked.call(services.invitation_use.progress, asked.secret, peer=asked.visitor.peer)
        return answers.page(
            asked, "used.html.j2", status=410, problem=problem_of(error), progress=seen, choices=CHOICES
        )
    if opened.invitation.state is InvitationState.WAITING:
        return await arriving.wait(asked)
    mine, shown = machine(asked.fields), offered(asked, opened)
    ways = [CHOICES[way] for way in mine.ways(opened.invitation.ways, shown=shown is not None and shown.usable)]
    if asked.kind == "json":
        return answers.document(asked, _invitation_values(asked, opened, ways, shown))
    if asked.kind == "text":
        enrol = await asked.call(enrol_command, asked)
        return answers.text(asked, invitation_text(asked, opened, ways, shown, enrol))
    return answers.page(
        asked,
        "invitation.html.j2",
        opened=opened,
        ways=ways,
        shown=shown,
        machine=mine,
        fitting=[choice.way for choice in ways if mine.fits(choice.way)],
        own_ends=pin_ends(opened.invitation, asked.desk.clock()),
        in_already=_is_client(asked, opened),
        headers=await asked.desk.remember(asked),
    )


def _is_client(asked: Asked, opened: Opened) -> bool:
    return asked.visitor.admitted and asked.visitor.client_id == opened.client.id


def offered(asked: Asked, opened: Opened) -> Shown | None:
    """The certificate of this connection, where it could become this client's."""
    if asked.visitor.shown is None or asked.visitor.admitted or Way.OWN not in opened.invitation.ways:
        return None
    return showing.shown(asked.visitor, asked.desk.clock())


def _invitation_values(asked: Asked, opened: Opened, ways: Sequence[Choice], shown: Shown | None) -> dict[str, Any]:
    invitation = opened.invitation
    return {
        "client": str(opened.client.name),
        "expires": invitation.expires,
        "second_factor": invitation.has_factor,
        "approval": invitation.approval,
        "ways": {choice.way.value: f"{asked.base}/{asked.secret}/{choice.page}" for choice in ways},
        "progress": f"{asked.base}/{asked.secret}/progress",
        "certificate": None if shown is None else shown.values(),
    }


def invitation_text(asked: Asked, opened: Opened, ways: Sequence[Choice], shown: Shown | None, enrol: str = "") -> str:
    """The invitation for who reads it in a terminal, with the command for each of `ways`.

    `enrol` is that of `Way.COMMAND`, where it is one of them.
    """
    invitation, link = opened.invitation, f"{asked.base}/{asked.secret}"
    factor = " -H 'Second-Factor: CODE'" if invitation.has_factor else ""
    allowed = {choice.way for choice in ways}
    lines = [f"You are invited to {asked.host} as {opened.client.name}.", ""]
    if shown is not None:
        lines += ["The certificate of this connection:", f"  {shown.headline}", f"  {shown.works}", ""]
        if shown.usable:
            lines += ["Use this one from now on? Then:", f"  {CURL} -X POST{factor} {link}/own", ""]
        else:
            lines += [shown.why_not, ""]
    elif Way.OWN in allowed:
        lines += ["To use a certificate that you have, open the same with it:", f"  {CURL} {link}", ""]
    if Way.COMMAND in allowed:
        lines += ["To have a key made, signed and renewed:", f"  {enrol}", ""]
    if Way.CSR in allowed:
        lines += [
            "To have a request of yours signed:",
            f"  curl -H 'Content-Type: application/pkcs10' --data-binary @client.csr{factor} -o client.pem {link}/csr",
            "",
        ]
    if invitation.has_factor:
        lines.append("CODE is the second code, which you were told by another channel.")
    if invitation.approval:
        lines.append("An operator approves it before it lets you in.")
    more = "In a browser, the same address offers more ways. " if _IN_BROWSERS & set(invitation.ways) else ""
    lines.append(f"{more}It works until {answers.moment(invitation.expires)}.")
    return "\n".join(lines)
