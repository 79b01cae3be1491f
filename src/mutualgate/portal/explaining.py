"""What is this certificate? Anything is taken, looked at, explained in words, and forgotten."""

import asyncio
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.errors import BadInput
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.guard import FORM_TYPES
from mutualgate.portal.problems import problem_of
from mutualgate.reading.containers import MAX_UPLOAD_BYTES
from mutualgate.reading.explain import Explanation, explain

# Anybody may ask, and a .p12 may cost some 100,000 hashes: one at a time, so that other pages do not wait for it.
_ONE_AT_A_TIME: Final = asyncio.Semaphore(1)

_FORM_OVERHEAD: Final = 4096


def routes(desk: Desk) -> list[Route]:
    """The one address."""
    return [desk.route("/explain", get=form, post=explained)]


async def form(asked: Asked) -> Response:
    """Where a file is chosen."""
    if asked.kind != "html":
        return answers.text(
            asked,
            "Send a certificate, a chain or a CSR, in any form:\n"
            f"  curl -H 'Content-Type: application/octet-stream' --data-binary @FILE {asked.base}/explain",
        )
    return answers.page(asked, "explain.html.j2", explanation=None, wrong=None)


async def explained(asked: Asked) -> Response:
    """What it is. A private key among it is refused, and what we have of it is overwritten."""
    try:
        data = await _upload(asked)
        async with _ONE_AT_A_TIME:
            found = await asked.look(explain, data, "what was sent", now=asked.desk.clock())
    except BadInput as error:
        if asked.kind != "html":
            raise
        what = problem_of(error)
        return answers.page(asked, "explain.html.j2", status=what.status, explanation=None, wrong=what)
    if asked.kind == "json":
        return answers.document(asked, _values(found))
    if asked.kind == "text":
        lines = [found.headline, found.works, "", *(f"{one.whom}: {one.sentence}" for one in found.findings)]
        return answers.text(asked, "\n".join(lines))
    return answers.page(asked, "explain.html.j2", explanation=found, wrong=None)


async def _upload(asked: Asked) -> bytearray:
    if asked.content_type not in FORM_TYPES:
        return bytearray(await asked.body(MAX_UPLOAD_BYTES))
    given = await asked.form(MAX_UPLOAD_BYTES + _FORM_OVERHEAD)
    return bytearray(given.file("file") or given.text("text", MAX_UPLOAD_BYTES).encode())


def _values(found: Explanation) -> dict[str, Any]:
    it = found.certificate
    return {
        "form": found.form,
        "headline": found.headline,
        "works": found.works,
        "subject": None if it is None else it.subject,
        "issuer": None if it is None else it.issuer,
        "names": [] if it is None else it.names,
        "not_before": None if it is None else it.not_before,
        "not_after": None if it is None else it.not_after,
        "fingerprint": None if it is None else it.fingerprint,
        "spki": None if it is None else it.spki,
        "findings": [
            {"code": one.code, "effect": one.effect.value, "whom": one.whom, "sentence": one.sentence}
            for one in found.findings
        ],
        "ways": {one.way.value: {"open": one.open, "sentence": one.sentence} for one in found.ways},
    }
