"""Every error that a user can meet. Knows nothing of HTTP, exit codes or terminals: the faces map it.

    MutualgateError
    +-- BadInput          what was given cannot be used: a file, a flag, a setting, a CSR
    +-- NotFound          it names something that does not exist
    +-- Conflict          it contradicts what is there: a name in use, a key that another client uses
    +-- Unavailable       something that is needed does not answer: a gate, the store, a key
    +-- Corrupt           what we stored ourselves cannot be read: a promise of ours is broken

Refused clients are no errors: the judge returns a verdict.
"""

from collections.abc import Mapping


class MutualgateError(Exception):
    """Says what is wrong, where, what was expected and what to do, each in words for a person.

    `code` is stable and for machines; `facts` are its values. Neither holds a secret.
    """

    code = "error"

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
        code: str | None = None,
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.expected = expected
        self.fix = fix
        self.code = code or type(self).code
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return sentence(self.problem, self.where, self.expected, self.fix)


class BadInput(MutualgateError):
    """What was given cannot be used."""

    code = "bad_input"


class NotFound(MutualgateError):
    """What was named does not exist."""

    code = "not_found"


class Conflict(MutualgateError):
    """What was asked contradicts what is there."""

    code = "conflict"


class Unavailable(MutualgateError):
    """Something that is needed does not answer."""

    code = "unavailable"


class Corrupt(MutualgateError):
    """What we stored ourselves cannot be read."""

    code = "corrupt"


def sentence(problem: str, where: str | None, expected: str | None, fix: str | None) -> str:
    """What is wrong, as a person reads it."""
    said = f"{where}: {problem}" if where else problem
    if expected:
        said += f"; expected {expected}"
    if fix:
        said = f"{ended(said)} {fix}"
    return said


def ended(sentence: str) -> str:
    """With a mark at its end, which some have: a question, say."""
    return sentence if sentence.endswith((".", "?", "!")) else f"{sentence}."
