"""Kinds of values: how the text of a setting becomes a value that cannot be wrong.

Knows one value at a time. Does not know files, positions or what other settings say (`rules` does).
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

UNITS = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1),
         "h": timedelta(hours=1), "d": timedelta(days=1)}  # fmt: skip
PER_SECOND = {"s": 1.0, "m": 1 / 60, "h": 1 / 3600}
SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


class Unfit(ValueError):
    """A value that a setting cannot take. `problem` is what is wrong with it, `fix` what would help."""

    def __init__(self, problem: str, fix: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix


class Kind(Protocol[T_co]):
    """A kind of value. `name` is for tables, `expected` completes the sentence "expected ..."."""

    @property
    def name(self) -> str: ...
    @property
    def expected(self) -> str: ...
    def read(self, value: object, folder: Path) -> T_co:
        """The value of what the file says; names of files are relative to `folder`. Raises `Unfit`."""
        ...


def found(value: object) -> str:
    """`value` as a person would say it; no longer than a line."""
    match value:
        case bool():
            return f"found {str(value).lower()}"
        case int():
            # Python refuses to print a number of more than 4,300 digits.
            return f"found the number {value}" if abs(value) < 10**18 else "found a very large number"
        case float():
            return f"found the number {value}"
        case str():
            text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value[:61])
            return f'found "{text}"' if len(value) <= 60 else f'found "{text[:57]}..."'
        case list():
            return "found an array"
        case dict():
            return "found a table"
        case _:
            return f"found a {type(value).__name__}"


def text_of(value: object) -> str:
    """`value` if it is a string."""
    if not isinstance(value, str):
        raise Unfit(found(value))
    return value


def duration_text(value: timedelta) -> str:
    """`value` as the file writes it, in the largest unit that divides it."""
    for unit in reversed(UNITS):
        if value % UNITS[unit] == timedelta(0):
            return f"{value // UNITS[unit]}{unit}"
    return f"{value // UNITS['ms']}ms"


def size_text(value: int) -> str:
    """`value`, in bytes, as the file writes it."""
    for unit in reversed(SIZES):
        if value % SIZES[unit] == 0 and value >= SIZES[unit]:
            return f"{value // SIZES[unit]} {unit}"
    return f"{value} B"


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    name: str = "boolean"
    expected: str = "true or false"

    def read(self, value: object, folder: Path) -> bool:
        if not isinstance(value, bool):
            raise Unfit(found(value))
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds, both allowed; `unlimited` where that is allowed, which is None."""

    least: int
    most: int
    unlimited: bool = False
    name: str = "integer"

    @property
    def expected(self) -> str:
        bounds = f"a whole number from {self.least} to {self.most}"
        return f'{bounds}, or "unlimited"' if self.unlimited else bounds

    def read(self, value: object, folder: Path) -> int | None:
        if self.unlimited and value == "unlimited":
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise Unfit(found(value))
        return value


@dataclass(frozen=True)
class Share:
    """A part of all: a number from 0 to 1."""

    name: str = "number"
    expected: str = "a number from 0 to 1, such as 0.01"

    def read(self, value: object, folder: Path) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise Unfit(found(value))
        return float(value)


@dataclass(frozen=True)
class Duration:
    """A number and one unit: `500ms`, `30s`, `5m`, `2h`, `90d`."""

    least: timedelta
    most: timedelta
    name: str = "duration"

    @property
    def expected(self) -> str:
        return (f'a duration from "{duration_text(self.least)}" to "{duration_text(self.most)}", '
                "a number and one of ms, s, m, h, d")  # fmt: skip

    def read(self, value: object, folder: Path) -> timedelta:
        match = re.fullmatch(r"([0-9]{1,12})(ms|[smhd])", text_of(value))
        if not match:
            raise Unfit(found(value))
        amount = int(match[1])
        # Compared as a number first: a timedelta ends at a thousand million days.
        if amount > self.most // UNITS[match[2]] or amount * UNITS[match[2]] < self.least:
            raise Unfit(found(value))
        return amount * UNITS[match[2]]


@dataclass(frozen=True)
class Size:
    """A number of bytes: `8 KiB`, `1 MiB`, or a plain number; `unlimited` where that is allowed, which is None."""

    least: int
    most: int
    unlimited: bool = False
    name: str = "size"

    @property
    def expected(self) -> str:
        bounds = (
            f'a size from "{size_text(self.least)}" to "{size_text(self.most)}", a number and one of {", ".join(SIZES)}'
        )
        return f'{bounds}, or "unlimited"' if self.unlimited else bounds

    def read(self, value: object, folder: Path) -> int | None:
        if self.unlimited and value == "unlimited":
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            size = value
        elif match := re.fullmatch(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB|TiB)", text_of(value)):
            size = int(match[1]) * SIZES[match[2]]
        else:
            raise Unfit(found(value))
        if not self.least <= size <= self.most:
            raise Unfit(found(value))
        return size


@dataclass(frozen=True)
class Rate:
    """So many per second in the long run, and `burst` of them at once."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class Often:
    """How often something may happen: `50/s`, `600/m`, `50/s burst 200`; `unlimited` is None."""

    most: int = 1_000_000
    name: str = "rate"

    @property
    def expected(self) -> str:
        return (f'a number of at most {self.most} and one of /s, /m, /h, and perhaps "burst" and the number that may '
                'come at once, as "50/s burst 200", or "unlimited"')  # fmt: skip

    def read(self, value: object, folder: Path) -> Rate | None:
        if value == "unlimited":
            return None
        match = re.fullmatch(r"([0-9]{1,7})/([smh])(?: burst ([0-9]{1,7}))?", text_of(value))
        if not match or not 1 <= (number := int(match[1])) <= self.most:
            raise Unfit(found(value))
        per_second = number * PER_SECOND[match[2]]
        # Without a word about it: what comes in a second, or the first one of a minute.
        burst = int(match[3]) if match[3] else max(1, int(per_second))
        if not 1 <= burst <= self.most:
            raise Unfit(found(value))
        if burst > per_second * 86400:
            raise Unfit(f"{found(value)}: such a burst takes more than a day to be earned again")
        return Rate(per_second, burst)


@dataclass(frozen=True)
class Choice(Generic[E]):
    """One of a few words: all of `options`, or those in `only`."""

    options: type[E]
    only: tuple[E, ...] = ()
    name: str = "word"

    @property
    def expected(self) -> str:
        words = [f'"{option}"' for option in self.only or self.options]
        return f"{', '.join(words[:-1])} or {words[-1]}"

    def read(self, value: object, folder: Path) -> E:
        try:
            option = self.options(text_of(value))
        except ValueError as error:
            raise error if isinstance(error, Unfit) else Unfit(found(value)) from None
        if self.only and option not in self.only:
            raise Unfit(found(value))
        return option


@dataclass(frozen=True)
class Word:
    """A string of a given form, in Unicode's NFC, as everything that is compared with it."""

    pattern: str
    expected: str
    most: int = 64
    name: str = "string"

    def read(self, value: object, folder: Path) -> str:
        text = unicodedata.normalize("NFC", text_of(value))
        if len(text) > self.most or not re.fullmatch(self.pattern, text):
            raise Unfit(found(value))
        return text


@dataclass(frozen=True)
class File:
    """The name of a file; whether it is there and right is the question of whoever reads it."""

    name: str = "file"
    expected: str = "the name of a file"

    def read(self, value: object, folder: Path) -> Path:
        text = text_of(value)
        if not text or "\0" in text or text.endswith("/"):
            raise Unfit(found(value))
        return folder / text


@dataclass(frozen=True)
class Authorities:
    """Certificates of CAs: a file, or `system` for those that the machine trusts."""

    name: str = "file"
    expected: str = 'the name of a file, or "system"'

    def read(self, value: object, folder: Path) -> Path | str:
        return text_of(value) if value == "system" else File().read(value, folder)


@dataclass(frozen=True)
class Log:
    """Where lines go: `-` is stdout, an empty string nowhere, anything else a file."""

    name: str = "file"
    expected: str = 'the name of a file, "-" for stdout, or "" for none'

    def read(self, value: object, folder: Path) -> Path | str:
        return text_of(value) if value in ("-", "") else File().read(value, folder)


@dataclass(frozen=True)
class Many:
    """An array of values of one kind, none of them twice. The reader takes each item by itself, to place errors."""

    item: Kind[Any]
    least: int = 0

    @property
    def name(self) -> str:
        return f"array of: {self.item.name}"

    @property
    def expected(self) -> str:
        return f"an array in which each is {self.item.expected}"

    def read(self, value: object, folder: Path) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Unfit(found(value), "Put it into brackets, also if there is only one")
        if len(value) < self.least:
            raise Unfit("is empty")
        return tuple(self.item.read(item, folder) for item in value)
