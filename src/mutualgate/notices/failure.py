"""Why a letter could not be sent."""

MAX_SAID = 200
"""Characters of what another machine said that are kept."""


class Failure(Exception):
    """One try failed. `final`: another one would, too. `everybody`: so will every other letter of its kind now."""

    def __init__(self, sentence: str, *, final: bool = False, everybody: bool = False) -> None:
        super().__init__(sentence)
        self.final = final
        self.everybody = everybody


def said(answer: bytes | str) -> str:
    """What another machine said, as a part of a sentence of ours: printable, in one line, not long."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    plain = "".join(character if character.isprintable() else " " for character in text[: 2 * MAX_SAID])
    return " ".join(plain.split())[:MAX_SAID]
