"""The operator's pages about who was refused: why, what was shown, and how to let it in."""

from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from mutualgate.app.refusals import unlisted
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound
from mutualgate.gate import reasons
from mutualgate.model.pin import PinKind
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.operator import At, acting, is_sure, part, query, shown, sure
from mutualgate.portal.operator_pins import KINDS, kind_of

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.approving import Approved

MOST = 100
"""Refusals on the page; the newest are what somebody just telephoned about."""


def routes(at: At) -> list[BaseRoute]:
    """The addresses."""
    return [at("/refusals", get=refusals), at("/refusals/{id}", get=refusal, post=approve)]


async def refusals(asked: Asked) -> Response:
    """The newest, of one reason or of all."""
    reason, id = query(asked, "reason", 32), query(asked, "id", 32)
    known = [code for code, _, _ in reasons()]
    if reason and reason not in known:
        raise BadInput("there is no such reason", expected=", ".join(known))

    def read(services: "Services") -> dict[str, Any]:
        found = services.refusals.find(id) if id else None
        rows = [found] if found else [] if id else services.refusals.recent(reason=reason or None, limit=MOST)
        more = unlisted(services.config)
        return {"refusals": rows, "reason": reason, "id": id, "reasons": known, "most": MOST, "unlisted": more}

    return await shown(asked, "operator/refusals.html.j2", read)


async def refusal(asked: Asked) -> Response:
    """One: what the page said, to whom; and what was shown, if it can be let in."""
    id = part(asked, "id")
    return await shown(asked, "operator/refusal.html.j2", lambda services: _one(services, id))


async def approve(asked: Asked) -> Response:
    """Says what letting it in would do, as whom the form says, and asks; then lets it in. Or what is wrong."""
    id, form = part(asked, "id"), await asked.form()
    name, roles, kind = form.text("client", 64), form.text("roles", 1024), kind_of(form.text("kind", 16))

    def let_in(services: "Services") -> "Approved":
        wanted = roles.replace(",", " ").split() if roles else None
        return services.approvals.approve(id, client=name or None, roles=wanted, kind=kind)

    try:
        if is_sure(form):
            approved = await asked.call(let_in, acting(asked))
            return answers.see_other(asked, "operator", "clients", str(approved.client.name))
        hidden = {"client": name, "roles": roles, "kind": kind}
        return await sure(asked, "refusals", lambda services: _asked(services, id, hidden), let_in)
    except (BadInput, Conflict, NotFound) as error:
        wrong = {"problem": error.problem, "expected": error.expected, "fix": error.fix}
        values = {"client": name, "roles": roles}
        return await shown(
            asked,
            "operator/refusal.html.j2",
            lambda services: {**_one(services, id), "wrong": wrong, "values": values},
            status=400,
        )


def _asked(services: "Services", id: str, hidden: dict[str, str]) -> dict[str, Any]:
    candidate = services.approvals.look(id)
    whom = hidden["client"] or candidate.member or "a client"
    if candidate.member:
        what = f"As {candidate.member} of the partner {candidate.partner.name if candidate.partner else ''}."
    else:
        what = f"What counts from now on: {KINDS[PinKind(hidden['kind'])]}."
    digest = answers.groups(candidate.seen.fingerprint.hex())
    return {
        "heading": f"Let {candidate.seen.subject or 'this certificate'} in as {whom}?",
        "says": f"Whoever showed it holds its key. SHA-256 of the certificate: {digest}",
        "button": "Let it in",
        "cuts": False,
        "back": ("refusals", id),
        "what": what + (f" Roles of a new client: {hidden['roles']}." if hidden["roles"] else ""),
        "hidden": hidden,
        "tick": "I know whose it is",
    }


def _one(services: "Services", id: str) -> dict[str, Any]:
    found = services.refusals.find(id)
    if found is None:
        raise NotFound("there is no such refusal: the oldest are forgotten")
    from mutualgate.app.remedies import remedy

    can = remedy(services.store, found)
    meaning, fix = next(((meaning, fix) for code, meaning, fix in reasons() if code == found.reason), ("", ""))
    candidate, what, why_not = None, None, ""
    try:
        candidate = services.approvals.look(id)
        from mutualgate.reading.explain import explain_chain

        what = explain_chain(candidate.seen.chain, now=services.clock())
    except MutualgateError as error:
        why_not = error.problem
    usual = {"wrong": None, "values": {"client": "", "roles": ""}, "kinds": KINDS}
    told = {"refusal": found, "can": can, "meaning": meaning, "fix": fix}
    return {**usual, **told, "candidate": candidate, "what": what, "why_not": why_not}
