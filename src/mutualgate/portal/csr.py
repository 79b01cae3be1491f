"""The two ways that hand a request (CSR) in: its key is made in the page, or the visitor has it already."""

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import Outcome
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.invitation import Way
from mutualgate.portal import answers, arriving
from mutualgate.portal.asked import CSR_TYPES, Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.invited import label, opened_for, outcome_document, sign
from mutualgate.portal.joining import invitation_text
from mutualgate.portal.machines import trusted_root
from mutualgate.portal.problems import Problem, problem_of
from mutualgate.portal.systems import machine
from mutualgate.portal.ways import CHOICES
from mutualgate.reading.bounded import MAX_FILE_BYTES


def routes(desk: Desk) -> list[Route]:
    """The addresses of these ways."""
    return [
        desk.route("/{secret:secret}/page", get=page_way, post=page_csr),
        desk.route("/{secret:secret}/csr", get=csr_way, post=csr_given),
    ]


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
        guides=mine.guides,
        label=label(asked, str(opened.client.name)),
        send=asked.to(link, "page"),
        collect=asked.to(link, "chain"),
        progress=asked.to(link, "progress"),
        probe=asked.to(link, "probe"),
        diagnosis=None,
    )


async def page_csr(asked: Asked) -> Response:
    """The page's script hands its request in; the answer is for it alone."""
    outcome = await sign(asked, await asked.csr(*CSR_TYPES), Way.PAGE)
    return outcome_document(asked, outcome)


# A request of one's own


async def csr_way(asked: Asked) -> Response:
    """Where a request is pasted or uploaded."""
    opened = await opened_for(asked, Way.CSR)
    if asked.kind != "html":
        return answers.text(asked, invitation_text(asked, opened, [CHOICES[Way.CSR]], None))
    return await _csr_page(asked, opened, None, "")


async def _csr_page(asked: Asked, opened: Opened, wrong: Problem | None, typed: str) -> Response:
    return answers.page(
        asked,
        "csr.html.j2",
        status=200 if wrong is None else wrong.status,
        opened=opened,
        own_root=await asked.call(trusted_root, asked) is not None,
        wrong=wrong,
        typed=typed,
    )


async def csr_given(asked: Asked) -> Response:
    """Signs it: a page for who filled in the form, the chain as PEM for a program."""
    if asked.content_type in CSR_TYPES:
        outcome = await sign(asked, await asked.csr(*CSR_TYPES), Way.CSR)
        return _outcome_for_programs(asked, outcome)
    form = await asked.form(2 * MAX_FILE_BYTES)
    typed = form.text("csr", MAX_FILE_BYTES)
    try:
        outcome = await sign(asked, form.file("file") or typed.encode(), Way.CSR, form.text("factor", 64))
    except (BadInput, Conflict) as error:
        if asked.kind != "html" or error.code.startswith("invitation_"):
            raise
        opened = await opened_for(asked, Way.CSR)
        kept = "" if error.code == "private_key_given" else typed
        return await _csr_page(asked, opened, problem_of(error), kept)
    if outcome.waiting:
        return answers.see_other(asked, asked.secret, "wait")
    return await arriving.finished(asked, None if outcome.again else outcome.signed)


def _outcome_for_programs(asked: Asked, outcome: Outcome) -> Response:
    if asked.kind == "json":
        return outcome_document(asked, outcome)
    if outcome.waiting or outcome.signed is None:
        later = f"{asked.base}/{asked.secret}/chain.pem"
        return answers.text(
            asked,
            f"It is handed in and waits for an operator's approval. When that is given, fetch it:\n  curl -O {later}",
            status=202,
        )
    return answers.chain(asked, outcome.signed.chain_pem)
