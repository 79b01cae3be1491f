"""Flags that commands share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mutualgate.cli.group import given
from mutualgate.cli.relay import DIR_VARIABLE, FOLDER
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from mutualgate.app import Services

Dir = Annotated[
    Path,
    typer.Option("--dir", envvar=DIR_VARIABLE, help="The folder of the installation.", show_default=True),
]
DEFAULT_DIR = Path(FOLDER)

MOST_DAYS = 36_525
"""A hundred years: the longest that a certificate is made for."""

_MOST_DIGITS = 18
"""Of a number that the store can have."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


Word = TypeVar("Word", bound=StrEnum)


def remarks_on(environment: str, services: "Services") -> list[str]:
    """What is odd about an environment that something is bound to."""
    if not environment or any(site.environment == environment for site in services.config.sites):
        return []
    return [f"No site in mutualgate.toml is of the environment {environment} yet: until one is, nobody comes in by it."]


def goes_with(what: str, there: bool, *flags: str) -> None:
    """Raises `BadParameter` for one of `flags` that was typed, unless `what` it goes with is `there`: it would do
    nothing, and whoever typed it would believe that it did."""
    for flag in flags:
        if not there and flag in given():
            raise typer.BadParameter(f"{flag} goes with {what}")


def number(of: str, shown_by: str, more: str = "") -> Any:
    """An argument that is the number of something, as the command `shown_by` shows it; `more` ends its help."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text)):
            raise typer.BadParameter(f"{text!r} is no number of {of}; see them with: mutualgate {shown_by}")
        return int(text)

    return typer.Argument(parser=read, metavar="number", help=f"The number of {of}, as `{shown_by}` shows it.{more}")


def choice(kind: type[Word], text: str, flag: str) -> Word:
    """The member of `kind` that `text` names. Raises `BadInput` that names the flag and what it takes."""
    try:
        return kind(text.lower())
    except ValueError:
        raise BadInput(f"{text!r} is not possible", where=flag, expected=f"one of {', '.join(kind)}") from None
