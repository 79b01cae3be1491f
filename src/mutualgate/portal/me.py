"""Who am I? What this browser shows, what the gate thinks of it, and how it is renewed."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.portal import answers, showing
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.diagnosis import words_of
from mutualgate.portal.systems import machine


def routes(desk: Desk) -> list[Route]:
    """The addresses."""
    return [desk.route("/me", get=me)]


async def me(asked: Asked) -> Response:
    """The visitor's own certificate, or why there is none."""
    visitor, now = asked.visitor, asked.desk.clock()
    shown = showing.shown(visitor, now)
    remembered = await asked.desk.remembered(asked)
    reason = words_of(visitor.reason) if visitor.reason else ("", "")
    if asked.kind == "json":
        return answers.document(asked, _values(asked, shown))
    if asked.kind == "text":
        return answers.text(asked, _text(asked, shown, reason))
    headers = await asked.desk.remember(asked)
    if visitor.shown is None:
        headers = {**headers, answers.CLOSE: "yes"}  # the next time, the browser asks anew
    return answers.page(
        asked,
        "me.html.j2",
        shown=shown,
        left=None if shown is None or shown.not_after is None else (shown.not_after - now).days,
        ended=remembered is not None and remembered.not_after < now,
        remembered=remembered,
        reason=reason,
        machine=machine(asked.fields),
        headers=headers,
    )


def _values(asked: Asked, shown: showing.Shown | None) -> dict[str, Any]:
    visitor = asked.visitor
    return {
        "verdict": visitor.verdict.value,
        "client": visitor.client or None,
        "client_id": visitor.client_id,
        "roles": visitor.roles,
        "authority": visitor.authority or None,
        "reason": visitor.reason or None,
        "detail": visitor.detail if visitor.issuer_known and visitor.detail else None,
        "not_after": None if shown is None else shown.not_after,
        "certificate": None if shown is None else shown.values(),
    }


def _text(asked: Asked, shown: showing.Shown | None, reason: tuple[str, str]) -> str:
    visitor = asked.visitor
    if visitor.admitted:
        lines = [f"You are {visitor.client}.", f"Roles: {', '.join(visitor.roles) or 'none'}."]
    elif shown is not None:
        lines = [f"Refused: {reason[0]}", reason[1]]
        if visitor.issuer_known and visitor.detail:
            lines.append(visitor.detail)
    else:
        lines = ["No certificate was shown.", "With curl: curl --cert own.pem --key own.key"]
    if shown is not None:
        lines += ["", f"Your certificate: {shown.headline}"]
        if shown.not_after is not None:
            lines.append(f"Valid until {answers.day(shown.not_after)}.")
    return "\n".join(lines)
