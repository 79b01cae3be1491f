"""After something was handed in: the wait, the certificate, how it gets into the browser, and the test of it."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.invitation_use import Progress
from mutualgate.enrolment.signing import Signed
from mutualgate.errors import NotFound
from mutualgate.model.invitation import InvitationState
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.diagnosis import Diagnosis, Expected, diagnose
from mutualgate.portal.invited import outcome_document
from mutualgate.portal.systems import Machine, machine
from mutualgate.portal.ways import CHOICES


def routes(desk: Desk) -> list[Route]:
    """The addresses."""
    return [
        desk.route("/{secret:secret}/wait", get=wait),
        desk.route("/{secret:secret}/done", get=done),
        desk.route("/{secret:secret}/chain.pem", get=chain),
        desk.route("/{secret:secret}/chain", get=chain_values),
        desk.route("/{secret:secret}/progress", get=progress),
        desk.route("/{secret:secret}/probe", get=probe),
    ]


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
    return await finished(asked, None)


async def finished(asked: Asked, signed: Signed | None) -> Response:
    """The page of `done`; with what is not as asked, right after it was `signed`."""
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
        guides=mine.guides,
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
    return answers.file(asked, outcome.signed.chain_pem, answers.CHAIN_TYPE, name)


async def chain_values(asked: Asked) -> Response:
    """The same for the page's script, which waits for it."""
    outcome = await asked.call(asked.desk.services.invitation_use.collect, asked.secret, peer=asked.visitor.peer)
    return outcome_document(asked, outcome)


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


async def _progress(asked: Asked) -> Progress:
    return await asked.call(asked.desk.services.invitation_use.progress, asked.secret, peer=asked.visitor.peer)


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
