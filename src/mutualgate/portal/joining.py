"""The pages of whoever was invited: from the link to the first good handshake.

The invitation is in the address. What may be done with it, the service says; here it is asked, shown and explained.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.invitation_use import Progress
from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import Outcome
from mutualgate.enrolment.signing import Signed
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.model.pin import PinKind
from mutualgate.portal import answers, showing
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.diagnosis import Diagnosis, Expected, diagnose
from mutualgate.portal.guard import Form
from mutualgate.portal.invited import FACTOR_FIELD, opened_for, outcome_values
from mutualgate.portal.problems import problem_of
from mutualgate.portal.showing import Shown
from mutualgate.portal.systems import Guide, Machine, machine
from mutualgate.reading.bounded import MAX_FILE_BYTES

CSR_TYPES: Final = ("application/pkcs10", "application/x-pem-file", "application/octet-stream")


@dataclass(frozen=True)
class Choice:
    """One way in, as it is offered. `page` is the last part of its address."""

    way: Way
    page: str
    title: str
    text: str
    action: str


CHOICES: Final[dict[Way, Choice]] = {
    choice.way: choice
    for choice in (
        Choice(
            Way.PAGE,
            "page",
            "Make a key in this browser",
            "This page makes your key and never sends it anywhere. You get a file to import, and its password.",
            "Make my key",
        ),
        Choice(
            Way.APPLE,
            "apple",
            "Install a profile on this Apple device",
            "The device makes its own key and keeps it. You allow the profile in the settings; there is no password.",
            "Get the profile",
        ),
        Choice(
            Way.WINDOWS,
            "windows",
            "Let Windows make the key",
            "A script that you can read asks Windows for a key, in the TPM chip where there is one. It never leaves.",
            "Get the script",
        ),
        Choice(
            Way.COMMAND,
            "linux",
            "Use a command line",
            "For Linux, servers and programs: one command makes the key, fetches the certificate and can renew it.",
            "Show the command",
        ),
        Choice(
            Way.CSR,
            "csr",
            "Send a request for a key that you have (CSR)",
            "You made a key with a tool or device of your own. Paste the request; you get the certificate.",
            "Send a request",
        ),
        Choice(
            Way.OWN,
            "own",
            "Use a certificate that you have already",
            "Self-signed or from any authority. Opening this link with it proves that it is yours.",
            "Use my own",
        ),
    )
}


def routes(desk: Desk) -> list[Route]:
    """The addresses of an invitation."""
    return [
        desk.route("/", get=door, post=knock),
        desk.route("/{secret:secret}", get=invitation),
        desk.route("/{secret:secret}/page", get=page_way, post=page_csr),
        desk.route("/{secret:secret}/csr", get=csr_way, post=csr_given),
        desk.route("/{secret:secret}/own", get=own_way, post=own_used),
        desk.route("/{secret:secret}/wait", get=wait),
        desk.route("/{secret:secret}/done", get=done),
        desk.route("/{secret:secret}/chain.pem", get=chain),
        desk.route("/{secret:secret}/chain", get=chain_values),
        desk.route("/{secret:secret}/progress", get=progress),
        desk.route("/{secret:secret}/probe", get=probe),
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
        await asked.call(asked.desk.services.invitation_use.progress, secret, peer=asked.visitor.peer)
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
        return await wait(asked)
    mine, shown = machine(asked.fields), _offered(asked, opened)
    ways = [CHOICES[way] for way in mine.ways(opened.invitation.ways, shown=shown is not None and shown.usable)]
    if asked.kind == "json":
        return answers.document(asked, _invitation_values(asked, opened, ways, shown))
    if asked.kind == "text":
        return answers.text(asked, _invitation_text(asked, opened, ways, shown))
    return answers.page(
        asked,
        "invitation.html.j2",
        opened=opened,
        ways=ways,
        shown=shown,
        machine=mine,
        fitting=[choice.way for choice in ways if mine.fits(choice.way)],
        in_already=_is_client(asked, opened),
        headers=await asked.desk.remember(asked),
    )


def _is_client(asked: Asked, opened: Opened) -> bool:
    return asked.visitor.admitted and asked.visitor.client_id == opened.client.id


def _offered(asked: Asked, opened: Opened) -> Shown | None:
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


def _invitation_text(asked: Asked, opened: Opened, ways: Sequence[Choice], shown: Shown | None) -> str:
    invitation, link = opened.invitation, f"{asked.base}/{asked.secret}"
    factor = " -H 'Second-Factor: CODE'" if invitation.has_factor else ""
    allowed = {choice.way for choice in ways}
    lines = [f"You are invited to {asked.host} as {opened.client.name}.", ""]
    if shown is not None:
        lines += ["The certificate of this connection:", f"  {shown.headline}", f"  {shown.works}", ""]
        if shown.usable:
            lines += ["Use this one from now on? Then:", f"  {_curl_own()} -X POST{factor} {link}/own", ""]
        else:
            lines += [shown.why_not, ""]
    elif Way.OWN in allowed:
        lines += ["To use a certificate that you have, open the same with it:", f"  {_curl_own()} {link}", ""]
    if Way.COMMAND in allowed:
        lines += ["To have a key made, signed and renewed:", f"  mutualgate enrol {link}", ""]
    if Way.CSR in allowed:
        lines += [
            "To have a request of yours signed:",
            f"  curl -H 'Content-Type: application/pkcs10' --data-binary @client.csr{factor} -o client.pem {link}/csr",
            "",
        ]
    if invitation.has_factor:
        lines.append("CODE is the second code, which you were told on another way.")
    if invitation.approval:
        lines.append("An operator approves it before it lets you in.")
    lines += [
        f"In a browser, the same address offers more ways. It works until {answers.moment(invitation.expires)}.",
    ]
    return "\n".join(lines)


def _curl_own() -> str:
    return "curl --cert own.pem --key own.key"


# The key is made in the page


async def page_way(asked: Asked) -> Response:
    """The page that makes the key."""
    opened = await opened_for(asked, Way.PAGE)
    mine = machine(asked.fields)
    link = asked.secret
    return answers.page(
        asked,
        "page.html.j2",
        heading="Make your key",
        back=(asked.to(link), "Your invitation"),
        client=str(opened.client.name),
        invitation=opened.invitation,
        machine=mine,
        guides=guides_for(mine),
        label=label(asked, str(opened.client.name)),
        send=asked.to(link, "page"),
        collect=asked.to(link, "chain"),
        progress=asked.to(link, "progress"),
        probe=asked.to(link, "probe"),
        diagnosis=None,
    )


async def page_csr(asked: Asked) -> Response:
    """The page's script hands its request in; the answer is for it alone."""
    expect(asked, CSR_TYPES)
    outcome = await _sign(asked, await asked.body(MAX_FILE_BYTES), Way.PAGE, _factor(asked))
    return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)


# A request of one's own


async def csr_way(asked: Asked) -> Response:
    """Where a request is pasted or uploaded."""
    opened = await opened_for(asked, Way.CSR)
    if asked.kind != "html":
        return answers.text(asked, _invitation_text(asked, opened, [CHOICES[Way.CSR]], None))
    return answers.page(asked, "csr.html.j2", opened=opened, wrong=None, typed="")


async def csr_given(asked: Asked) -> Response:
    """Signs it: a page for who filled in the form, the chain as PEM for a program."""
    if asked.fields.get("content-type", "").partition(";")[0].strip().lower() in CSR_TYPES:
        outcome = await _sign(asked, await asked.body(MAX_FILE_BYTES), Way.CSR, _factor(asked))
        return _outcome_for_programs(asked, outcome)
    form = await asked.form(2 * MAX_FILE_BYTES)
    typed = form.text("csr", MAX_FILE_BYTES)
    try:
        outcome = await _sign(asked, form.file("file") or typed.encode(), Way.CSR, form.text("factor", 64))
    except (BadInput, Conflict) as error:
        if asked.kind != "html" or error.code.startswith("invitation_"):
            raise
        opened = await opened_for(asked, Way.CSR)
        what = problem_of(error)
        kept = "" if error.code == "private_key_given" else typed
        return answers.page(asked, "csr.html.j2", status=what.status, opened=opened, wrong=what, typed=kept)
    if outcome.waiting:
        return answers.see_other(asked, asked.secret, "wait")
    return await _finished(asked, outcome.signed)


def _outcome_for_programs(asked: Asked, outcome: Outcome) -> Response:
    if asked.kind == "json":
        return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)
    if outcome.waiting or outcome.signed is None:
        later = f"{asked.base}/{asked.secret}/chain.pem"
        return answers.text(
            asked,
            f"It is handed in and waits for an operator's approval. When that is given, fetch it:\n  curl -O {later}",
            status=202,
        )
    return answers.send(asked, outcome.signed.chain_pem, "application/pem-certificate-chain", 200, None)


# A certificate of one's own


async def own_way(asked: Asked) -> Response:
    """How to open this with a certificate of one's own; what was shown; and the question whether to use it."""
    opened = await opened_for(asked, Way.OWN)
    shown = _offered(asked, opened)
    if asked.kind != "html":
        return answers.text(asked, _invitation_text(asked, opened, [CHOICES[Way.OWN]], shown))
    # Without one, the next request is to ask the browser anew.
    again = {answers.CLOSE: "yes"} if asked.visitor.shown is None else {}
    mine = machine(asked.fields)
    return answers.page(asked, "own.html.j2", opened=opened, shown=shown, machine=mine, wrong=None, headers=again)


async def own_used(asked: Asked) -> Response:
    """Takes the certificate of this very connection: its handshake proved the key."""
    form = await asked.form() if asked.kind == "html" else Form({}, {})
    certificate = asked.visitor.shown
    if certificate is None:
        raise BadInput(
            "no certificate was shown in this connection",
            expected="the request itself to be made with the certificate that is to be used",
            fix=f"{_curl_own()} -X POST {asked.base}/{asked.secret}/own",
            code="no_certificate",
        )
    confirmed = form.text("fingerprint", 64)
    if asked.kind == "html" and not hmac.compare_digest(confirmed, showing.fingerprint(certificate)):
        raise Conflict(
            "the certificate of this connection is another one than you were asked about",
            fix="Open the invitation again, and choose the certificate that you want to use",
            code="certificate_changed",
        )
    factor = form.text("factor", 64) or _factor(asked)
    try:
        outcome = await asked.call(
            asked.desk.services.invitation_use.own,
            asked.secret,
            asked.visitor.chain,
            peer=asked.visitor.peer,
            factor=factor,
            kind=PinKind.KEY if _wants_key(asked, form) else PinKind.CERTIFICATE,
        )
    except (BadInput, Conflict) as error:
        if asked.kind != "html" or error.code.startswith("invitation_"):
            raise
        opened = await opened_for(asked, Way.OWN)
        what = problem_of(error)
        return answers.page(
            asked,
            "own.html.j2",
            status=what.status,
            opened=opened,
            shown=_offered(asked, opened),
            machine=machine(asked.fields),
            wrong=what,
        )
    if asked.kind == "json":
        return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)
    if asked.kind == "text":
        return answers.text(asked, _own_text(asked, outcome), status=202 if outcome.waiting else 200)
    return answers.see_other(asked, asked.secret, "wait" if outcome.waiting else "done")


def _wants_key(asked: Asked, form: Form) -> bool:
    """Whether the key is to be accepted whatever certificate it comes with, not this certificate alone."""
    return "key" in (form.text("kind", 16), asked.request.query_params.get("kind"))


def _own_text(asked: Asked, outcome: Outcome) -> str:
    if outcome.waiting:
        return "It is handed in and waits for an operator's approval. Try this command now and then:\n  " + (
            f"{_curl_own()} {asked.base}/me"
        )
    return f"From now on this certificate lets you in as {outcome.client.name}:\n  {_curl_own()} {asked.origin}/"


# Afterwards


async def wait(asked: Asked) -> Response:
    """Handed in, and not approved yet."""
    seen = await _progress(asked)
    if seen.state is InvitationState.USED and asked.kind == "html":
        return answers.see_other(asked, asked.secret, "done")
    if seen.state is InvitationState.OPEN:
        return answers.see_other(asked, asked.secret)
    if asked.kind == "json":
        return answers.document(asked, _progress_values(asked, seen), status=202)
    if asked.kind == "text":
        return answers.text(asked, "What you handed in waits for an operator's approval. Look again later.", status=202)
    return answers.page(asked, "wait.html.j2", progress=seen, choices=CHOICES)


async def done(asked: Asked) -> Response:
    """What came of it, how it gets into the browser, and the test."""
    return await _finished(asked, None)


async def _finished(asked: Asked, signed: Signed | None) -> Response:
    seen = await _progress(asked)
    if seen.state is not InvitationState.USED:
        return answers.see_other(asked, asked.secret)
    mine = machine(asked.fields)
    return _done_page(asked, seen, mine, signed=signed, diagnosis=None, headers=await asked.desk.remember(asked))


def _done_page(
    asked: Asked,
    seen: Progress,
    mine: Machine,
    *,
    signed: Signed | None,
    diagnosis: Diagnosis | None,
    headers: Mapping[str, str],
) -> Response:
    return answers.page(
        asked,
        "done.html.j2",
        client=str(seen.client.name),
        seen=seen,
        signed=signed,
        machine=mine,
        guides=guides_for(mine),
        diagnosis=diagnosis,
        probe=asked.to(asked.secret, "probe"),
        progress=asked.to(asked.secret, "progress"),
        headers=headers,
    )


async def chain(asked: Asked) -> Response:
    """The certificate and what is above it but the root, as PEM."""
    outcome = await asked.call(asked.desk.services.invitation_use.collect, asked.secret, peer=asked.visitor.peer)
    if outcome.signed is None:
        if outcome.waiting:
            return await wait(asked)
        raise NotFound("nothing was signed with this invitation", code="nothing_signed")
    name = f"{answers.file_name(str(outcome.client.name))}.pem"
    return answers.file(asked, outcome.signed.chain_pem, "application/pem-certificate-chain", name)


async def chain_values(asked: Asked) -> Response:
    """The same for the page's script, which waits for it."""
    outcome = await asked.call(asked.desk.services.invitation_use.collect, asked.secret, peer=asked.visitor.peer)
    return answers.document(asked, outcome_values(outcome), status=202 if outcome.waiting else 200)


async def progress(asked: Asked) -> Response:
    """How far it is: the pages ask every few seconds."""
    return answers.document(asked, _progress_values(asked, await _progress(asked)))


async def probe(asked: Asked) -> Response:
    """One handshake, looked at: what arrived, and if not the right one, why. It ends its connection, so that the next
    test makes a new handshake, in which a browser can choose anew."""
    seen = await _progress(asked)
    mine = machine(asked.fields)
    expected = Expected(seen.client.id, str(seen.client.name), seen.not_after)
    remembered = await asked.desk.remembered(asked)
    found = diagnose(asked.visitor, mine, expected, remembered, asked.desk.clock())
    headers = {answers.CLOSE: "yes", **await asked.desk.remember(asked)}
    if asked.kind != "html":
        return diagnosis_answer(asked, found, headers)
    if seen.state is not InvitationState.USED:
        return answers.see_other(asked, asked.secret, headers=headers)
    return _done_page(asked, seen, mine, signed=None, diagnosis=found, headers=headers)


# Steps


async def _sign(asked: Asked, csr: bytes, way: Way, factor: str | None) -> Outcome:
    return await asked.call(
        asked.desk.services.invitation_use.sign, asked.secret, csr, way=way, peer=asked.visitor.peer, factor=factor
    )


async def _progress(asked: Asked) -> Progress:
    return await asked.call(asked.desk.services.invitation_use.progress, asked.secret, peer=asked.visitor.peer)


def _factor(asked: Asked) -> str | None:
    return asked.fields.get(FACTOR_FIELD)


def expect(asked: Asked, types: Sequence[str]) -> None:
    """Raises BadInput (`bad_type`) for a body that says it is something else."""
    given = asked.fields.get("content-type", "").partition(";")[0].strip().lower()
    if given not in types:
        raise BadInput("what was sent has the wrong type", expected=f"Content-Type: {types[0]}", code="bad_type")


def guides_for(mine: Machine) -> list[Guide]:
    """All instructions, those for this machine first."""
    first = [mine.guide] if mine.guide is not None else []
    return list(dict.fromkeys([*first, *Guide]))


def label(asked: Asked, client: str) -> str:
    """What choosers show: for which host, as whom."""
    return f"{asked.host.partition(':')[0]} - {client}"


def _progress_values(asked: Asked, seen: Progress) -> Mapping[str, Any]:
    return {
        "state": seen.state.value,
        "way": None if seen.way is None else seen.way.value,
        "client": str(seen.client.name),
        "not_after": seen.not_after,
        "seen": seen.seen,
        "now": asked.desk.clock(),
    }


def diagnosis_answer(asked: Asked, found: Diagnosis, headers: Mapping[str, str]) -> Response:
    """What one handshake showed, for programs and scripts."""
    if asked.kind == "text":
        lines = [found.title, *(f"{cause.title} {cause.fix}" for cause in found.causes)]
        return answers.text(asked, "\n".join(lines), headers=headers)
    values = {
        "good": found.good,
        "code": found.code,
        "title": found.title,
        "causes": [{"code": one.code, "title": one.title, "fix": one.fix} for one in found.causes],
        "now": asked.desk.clock(),
    }
    return answers.document(asked, values, headers=headers)
