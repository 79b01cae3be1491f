"""Who am I? What this browser shows, what the gate thinks of it, and how it is renewed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from mutualgate.enrolment.outcome import Outcome
from mutualgate.enrolment.renewals import Standing
from mutualgate.portal import answers, showing
from mutualgate.portal.arriving import diagnosis_answer
from mutualgate.portal.asked import CSR_TYPE, CSR_TYPES, Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.diagnosis import Expected, diagnose, words_of
from mutualgate.portal.guard import NotAllowed
from mutualgate.portal.invited import label, outcome_document
from mutualgate.portal.sent import check_known
from mutualgate.portal.showing import fingerprint
from mutualgate.portal.systems import machine
from mutualgate.portal.visitor import Visitor


def routes(desk: Desk) -> list[Route]:
    """The addresses."""
    return [
        desk.route("/me", get=me),
        desk.route("/me/renew", get=renewal, post=renewed),
        desk.route("/me/replace", post=lambda asked: desk.sent.once(asked, replaced)),
        desk.route("/me/probe", get=probe),
    ]


@dataclass(frozen=True)
class _Own:
    """What the visitor has shown."""

    shown: showing.Shown | None
    standing: Standing | None
    """None for what is neither ours nor a pin that counts."""
    until: datetime | None
    """Until when it lets in; of one that is refused, its own end."""
    late: datetime | None
    """Until when it is renewed though it has expired: by who has its key as a file, which browsers do not."""


async def _own(asked: Asked) -> _Own:
    visitor, now = asked.visitor, asked.desk.clock()
    shown, standing = showing.shown(visitor, now), None
    if visitor.shown is not None:
        standing = await asked.call(asked.desk.services.renewals.standing, visitor.shown)
    until = None if shown is None else shown.not_after
    if visitor.admitted and standing is not None:
        until = standing.until
    late = standing.renewable if standing is not None and visitor.reason == "expired" else None
    return _Own(shown, standing, until, late if late is not None and late >= now else None)


async def me(asked: Asked) -> Response:
    """The visitor's own certificate, or why there is none."""
    visitor, now = asked.visitor, asked.desk.clock()
    own = await _own(asked)
    remembered = await asked.desk.remembered(asked)
    reason = words_of(visitor.reason) if visitor.reason else ("", "")
    if asked.kind == "json":
        return answers.document(asked, _values(asked, own))
    if asked.kind == "text":
        return answers.text(asked, _text(asked, own, reason))
    headers = await asked.desk.remember(asked)
    if visitor.shown is None:
        headers = {**headers, answers.CLOSE: "yes"}  # the next time, the browser asks anew
    return answers.page(
        asked,
        "me.html.j2",
        own=own,
        shown=own.shown,
        left=None if own.until is None else (own.until - now).days,
        renew_late=_renew_late(asked),
        ended=remembered is not None and remembered.not_after < now,
        remembered=remembered,
        made=asked.request.query_params.get("made") == "yes",
        reason=reason,
        machine=machine(asked.fields),
        headers=headers,
    )


async def renewal(asked: Asked) -> Response:
    """The page that makes the next key. The one that was shown proves whose it is."""
    visitor = _renewable(asked)
    mine = machine(asked.fields)
    return answers.page(
        asked,
        "page.html.j2",
        heading="Renew your certificate",
        back=(asked.to("me"), "Your certificate"),
        client=visitor.client,
        invitation=None,
        machine=mine,
        guides=mine.guides,
        label=label(asked, visitor.client),
        send=asked.to("me", "renew"),
        collect=None,
        progress=None,
        probe=f"{asked.to('me', 'probe')}?instead-of={fingerprint(visitor.shown or b'')}",
        diagnosis=None,
    )


async def renewed(asked: Asked) -> Response:
    """The page's script hands the request in, over a connection that proves the certificate of before."""
    visitor = _renewable(asked)
    csr = await asked.csr(*CSR_TYPES)
    signed = await asked.call(asked.desk.services.renewals.renew, visitor.shown or b"", csr, peer=visitor.peer)
    return outcome_document(asked, Outcome(signed.client, signed))


async def replaced(asked: Asked) -> Response:
    """A link for the next certificate of one's own: opening it with that one proves it, too."""
    visitor = _renewable(asked)
    await asked.form()
    await check_known(asked, "Open this page anew and ask there: a new link ends one that you may have")
    replace = asked.desk.services.renewals.replace_pin
    invited = await asked.call(replace, visitor.shown or b"", peer=visitor.peer)
    asked.made = f"{asked.to('me')}?made=yes"
    if asked.kind == "html":
        return answers.see_other(asked, invited.token, "own")
    link = invited.link(asked.base)
    if asked.kind == "json":
        return answers.document(asked, {"link": link, "expires": invited.invitation.expires})
    return answers.text(asked, f"Now with the next one:\n  curl --cert next.pem --key next.key -X POST {link}/own")


def _renewable(asked: Asked) -> Visitor:
    """The visitor, if a page can renew what it has shown. Raises NotAllowed, which says what else there is."""
    visitor = asked.visitor
    if not visitor.admitted or visitor.shown is None:
        raise NotAllowed(
            "this browser shows no certificate that is let in, and a renewal has to prove the one of before",
            expected="the certificate that is to be renewed",
            fix="Show it, or ask for a new invitation",
            code="nothing_to_renew",
        )
    if visitor.partner:
        raise NotAllowed(
            f"this certificate is from {visitor.partner}, who renews it",
            expected="one that was issued here, or one of your own",
            fix=f"Ask {visitor.partner} for the next one",
            code="not_renewable",
        )
    return visitor


async def probe(asked: Asked) -> Response:
    """After a renewal: whether the new one arrives. It ends its connection, as the test of an invitation does."""
    visitor = asked.visitor
    old = asked.request.query_params.get("instead-of", "")[:64]
    expected = Expected(visitor.client_id or 0, visitor.client, None, old)
    found = diagnose(visitor, machine(asked.fields), expected, await asked.desk.remembered(asked), asked.desk.clock())
    headers = {answers.CLOSE: "yes", **await asked.desk.remember(asked)}
    if asked.kind != "html":
        return diagnosis_answer(asked, found, headers)
    return answers.see_other(asked, "me", headers=headers)


def _renew_late(asked: Asked) -> str:
    return (
        "openssl req -new -key own.key -subj /CN=client | curl --cert own.pem --key own.key "
        f"-H 'Content-Type: {CSR_TYPE}' --data-binary @- -o renewed.pem {asked.base}/renew"
    )


def _values(asked: Asked, own: _Own) -> dict[str, Any]:
    visitor, shown = asked.visitor, own.shown
    return {
        "verdict": visitor.verdict.value,
        "client": visitor.client or None,
        "client_id": visitor.client_id,
        "roles": visitor.roles,
        "authority": visitor.authority or None,
        "reason": visitor.reason or None,
        "detail": visitor.detail if visitor.issuer_known and visitor.detail else None,
        "not_after": own.until,
        "certificate": None if shown is None else shown.values(),
    }


def _text(asked: Asked, own: _Own, reason: tuple[str, str]) -> str:
    visitor, shown = asked.visitor, own.shown
    if visitor.admitted:
        lines = [f"You are {visitor.client}.", f"Roles: {', '.join(visitor.roles) or 'none'}."]
    elif shown is not None:
        lines = [f"Refused: {reason[0]}", reason[1]]
        if visitor.issuer_known and visitor.detail:
            lines.append(visitor.detail)
    else:
        lines = ["No certificate was shown.", "With curl: curl --cert own.pem --key own.key"]
    if own.late is not None:
        lines += ["", f"Until {answers.day(own.late)} it is renewed for its own key:", f"  {_renew_late(asked)}"]
        lines += ["or, in a folder that mutualgate enrol made:", "  mutualgate enrol --renew FOLDER"]
    if shown is not None:
        lines += ["", f"Your certificate: {shown.headline}"]
    if own.until is not None and visitor.admitted:
        lines.append(f"It lets you in until {answers.day(own.until)}.")
    if own.standing is not None and own.standing.renewed is not None:
        lines.append(f"It was renewed on {answers.day(own.standing.renewed)}: use the newer one.")
    return "\n".join(lines)
