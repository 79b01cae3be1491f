"""An error, as a visitor meets it: its status (RFC 9110 15), one sentence, and what to do. JSON is RFC 9457."""

from dataclasses import dataclass, replace
from typing import Any, Final

from mutualgate.errors import BadInput, Conflict, Corrupt, MutualgateError, NotFound, Unavailable
from mutualgate.portal.guard import NotAllowed, TooLarge

# The first that fits.
STATUS: Final[tuple[tuple[type[MutualgateError], int], ...]] = (
    (NotAllowed, 403),
    (TooLarge, 413),
    (BadInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Corrupt, 500),
)

ASK: Final = "Ask whoever invited you for a new one."


@dataclass(frozen=True)
class Problem:
    """What is told of an error. `title` is one sentence for a person; `fix` is what to do, or empty.

    `retry_after`: seconds until it is worth trying again, or 0 where that is not known.
    """

    status: int
    code: str
    title: str
    fix: str = ""
    expected: str = ""
    retry_after: int = 0

    def document(self) -> dict[str, Any]:
        """RFC 9457."""
        said = {"detail": self.expected and f"Expected: {self.expected}.", "fix": self.fix}
        return {
            "type": f"urn:mutualgate:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            **{name: text for name, text in said.items() if text},
        }


# What the service says is for an operator. A visitor reads this.
FOR_VISITORS: Final[dict[str, Problem]] = {
    problem.code: problem
    for problem in (
        Problem(
            404,
            "not_found",
            "There is no such page.",
            "Check the address, or begin with the link that you were given.",
        ),
        Problem(405, "bad_method", "This page does not take such a request."),
        Problem(
            404,
            "invitation_unknown",
            "There is no such invitation.",
            "Check that the link or code is complete: some mail programs break long links. Or ask for a new one.",
        ),
        Problem(
            410,
            "invitation_used",
            "This invitation has been used.",
            f"Each lets one certificate in. If it was not you who used it, tell the operator at once. {ASK}",
        ),
        Problem(410, "invitation_expired", "This invitation has expired.", ASK),
        Problem(410, "invitation_revoked", "This invitation was withdrawn.", ASK),
        Problem(410, "invitation_declined", "The operator declined what was handed in with this invitation.", ASK),
        Problem(410, "invitation_locked", "The second code was wrong too often, so this invitation is locked.", ASK),
        Problem(429, "too_many_tries", "There were too many wrong tries from your network."),
        Problem(
            503,
            "unavailable",
            "The gate cannot do this right now.",
            "Try it again in a minute; if it stays so, tell the operator, whose log says more.",
        ),
        Problem(
            503,
            "busy",
            "The gate has too much to change right now, so nothing was changed.",
            "Try it again in some seconds; if it stays so, tell the operator, whose log says more.",
        ),
        Problem(
            500,
            "defect",
            "Something went wrong on our side.",
            "Try it again; if it stays so, tell the operator, whose log says more.",
        ),
    )
}


def problem_of(error: MutualgateError) -> Problem:
    """What a visitor is told of `error`."""
    if known := FOR_VISITORS.get(error.code):
        wait = int(error.facts.get("seconds", 0))
        return replace(known, fix=known.fix or _with_stop(error.fix or ""), retry_after=wait)
    status = next((number for kind, number in STATUS if isinstance(error, kind)), 500)
    if status == 500:
        return FOR_VISITORS["defect"]
    return Problem(status, error.code, _sentence(error), _with_stop(error.fix or ""), error.expected or "")


def _sentence(error: MutualgateError) -> str:
    text = f"{error.where} {error.problem}" if error.where else error.problem
    return _with_stop(text[:1].upper() + text[1:])


def _with_stop(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text}."
