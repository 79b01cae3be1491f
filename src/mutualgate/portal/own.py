"""The way of who has a certificate already: shown in the handshake of this very connection, which proves its key."""

import hmac

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.opening import Opened
from mutualgate.enrolment.outcome import Outcome, pin_ends
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.invitation import Way
from mutualgate.model.pin import PinKind
from mutualgate.portal import answers, showing
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.guard import Form
from mutualgate.portal.invited import factor_of, opened_for, outcome_document
from mutualgate.portal.joining import CURL, invitation_text, offered
from mutualgate.portal.machines import trusted_root
from mutualgate.portal.problems import Problem, problem_of
from mutualgate.portal.showing import Shown
from mutualgate.portal.ways import CHOICES


def routes(desk: Desk) -> list[Route]:
    """The address of this way."""
    return [desk.route("/{secret:secret}/own", get=own_way, post=own_used)]


async def own_way(asked: Asked) -> Response:
    """How to open this with a certificate of one's own; what was shown; and the question whether to use it."""
    opened = await opened_for(asked, Way.OWN)
    shown = offered(asked, opened)
    if asked.kind != "html":
        return answers.text(asked, invitation_text(asked, opened, [CHOICES[Way.OWN]], shown))
    return await _own_page(asked, opened, shown, None)


async def _own_page(asked: Asked, opened: Opened, shown: Shown | None, wrong: Problem | None) -> Response:
    # Without a certificate, the next request is to ask the browser anew.
    again = {answers.CLOSE: "yes"} if asked.visitor.shown is None else {}
    return answers.page(
        asked,
        "own.html.j2",
        status=200 if wrong is None else wrong.status,
        opened=opened,
        shown=shown,
        own_ends=pin_ends(opened.invitation, asked.desk.clock()),
        own_root=await asked.call(trusted_root, asked) is not None,
        wrong=wrong,
        headers=again,
    )


async def own_used(asked: Asked) -> Response:
    """Takes the certificate of this very connection: its handshake proved the key."""
    form = await asked.form() if asked.kind == "html" else Form({}, {})
    certificate = asked.visitor.shown
    if certificate is None:
        raise BadInput(
            "no certificate was shown in this connection",
            expected="the request itself to be made with the certificate that is to be used",
            fix=f"{CURL} -X POST {asked.base}/{asked.secret}/own",
            code="no_certificate",
        )
    confirmed = form.text("fingerprint", 64)
    if asked.kind == "html" and not hmac.compare_digest(confirmed.encode(), showing.fingerprint(certificate).encode()):
        raise Conflict(
            "the certificate of this connection is another one than you were asked about",
            fix="Open the invitation again, and choose the certificate that you want to use",
            code="certificate_changed",
        )
    factor = form.text("factor", 64) or factor_of(asked)
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
        return await _own_page(asked, opened, offered(asked, opened), problem_of(error))
    if asked.kind == "json":
        return outcome_document(asked, outcome)
    if asked.kind == "text":
        return answers.text(asked, _own_text(asked, outcome), status=202 if outcome.waiting else 200)
    return answers.see_other(asked, asked.secret, "wait" if outcome.waiting else "done")


def _wants_key(asked: Asked, form: Form) -> bool:
    """Whether the key is to be accepted whatever certificate it comes with, not this certificate alone."""
    return "key" in (form.text("kind", 16), asked.request.query_params.get("kind"))


def _own_text(asked: Asked, outcome: Outcome) -> str:
    if outcome.waiting:
        return "It is handed in and waits for an operator's approval. Try this command now and then:\n  " + (
            f"{CURL} {asked.base}/me"
        )
    return f"From now on this certificate lets you in as {outcome.client.name}:\n  {CURL} {asked.origin}/"
