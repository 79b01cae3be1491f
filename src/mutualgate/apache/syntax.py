"""The text of an httpd configuration -> directives and sections, each with its file and line.

Knows httpd's line syntax: continued lines, quotes, comments, nested sections, `Define` and `${…}`, `Include`, and the
sections that ask about the server (`<IfModule>` and its kin). Does not know what a directive means. Reads files only
through the `Source` that it is given.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mutualgate.errors import BadInput

# Real configurations, with everything that they include, are far below; beyond is some other file, or a loop.
MAX_FILE_BYTES: Final = 4_000_000
MAX_LINES: Final = 200_000
MAX_DEPTH: Final = 20
# The version that `<IfVersion>` asks about.
TODAY: Final = (2, 4, 71)
# httpd's own limit for one joined line.
MAX_LINE: Final = 16_384


@dataclass(frozen=True)
class Place:
    """Where something stands; `line` counts from 1 and is the first of a continued line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Directive:
    """`Name arg arg`, or `<Name arg arg>` with what is inside."""

    place: Place
    name: str
    """As it is written; httpd does not care for its case, and neither do `is_` and `lower`."""
    args: tuple[str, ...]
    text: str
    """The whole line, with variables put in."""
    children: tuple["Directive", ...] = ()
    section: bool = False

    @property
    def lower(self) -> str:
        return self.name.lower()

    def is_(self, *names: str) -> bool:
        """Whether it is one of `names`, given in lower case."""
        return self.lower in names

    def arg(self, number: int, default: str = "") -> str:
        return self.args[number] if number < len(self.args) else default


class Source(Protocol):
    """Where included files come from."""

    def read(self, pattern: str) -> Sequence[tuple[str, str]]:
        """The files that match `pattern` (a path, a pattern, or a folder), as name and text, in httpd's order: by name.

        Empty when there are none. Raises BadInput for one that is there and cannot be read.
        """


@dataclass
class Notes:
    """What the reader decided or could not do on the way."""

    unread: list[tuple[Directive, str]] = field(default_factory=list)
    """Directives of the reader's own that had no effect, and why."""
    skipped: list[Directive] = field(default_factory=list)
    """Conditions that were taken not to hold."""
    kept: list[Directive] = field(default_factory=list)
    """Conditions that were taken to hold, because nothing here defines what they ask about."""
    assumed: dict[str, Directive] = field(default_factory=dict)
    """Of each module that was taken to be there, the first section that holds with it."""


def parse(text: str, name: str, source: Source) -> tuple[tuple[Directive, ...], Notes]:
    """The directives of the file `name` with the text `text`, includes and conditions resolved.

    Raises BadInput, with file and line, where httpd would not start: a section that does not end, or ends another one.
    """
    reader = _Reader(source)
    directives = reader.file(text, name, 0)
    return directives, reader.notes


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.notes = Notes()
        self.defined: dict[str, str] = {}
        self.lines = 0

    def file(self, text: str, name: str, depth: int) -> tuple[Directive, ...]:
        if depth > MAX_DEPTH:
            raise BadInput("files include each other without end", where=name)
        rows = self.rows(text, name)
        found = tuple(self.until(rows, None, name, depth))
        return found

    def rows(self, text: str, name: str) -> Iterator[tuple[Place, str]]:
        """Lines that say something, continued ones joined (httpd: a backslash before the line end)."""
        joined, start = "", 0
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            self.lines += 1
            if self.lines > MAX_LINES:
                raise BadInput("more lines than a configuration has", where=name, expected=f"at most {MAX_LINES}")
            start = start or number
            joined += line
            if len(joined) > MAX_LINE:
                raise BadInput("the line is too long for httpd", where=str(Place(name, start)))
            if joined.endswith("\\") and not joined.endswith("\\\\"):
                joined = joined[:-1]
                continue
            place, row = Place(name, start), joined.strip()
            joined, start = "", 0
            if row and not row.startswith("#"):
                yield place, row

    def until(
        self, rows: Iterator[tuple[Place, str]], end: Directive | None, name: str, depth: int
    ) -> Iterator[Directive]:
        """Directives up to the end of the section `end`, or of the file."""
        if depth > MAX_DEPTH * 2:
            raise BadInput("sections are nested too deeply", where=str(end.place) if end else name)
        for place, raw in rows:
            row = self.filled_in(raw)
            if row.startswith("</"):
                closed = row[2:].rstrip(">").strip().lower()
                if end is None or closed != end.lower:
                    what = f"<{end.name}> of line {end.place.line}" if end else "nothing"
                    raise BadInput(f"{row!r} ends {what}", where=str(place), fix="Try `apachectl configtest` first.")
                return
            if row.startswith("<"):
                yield from self.section(place, row, rows, name, depth)
            else:
                yield from self.directive(place, row, depth)
        if end is not None:
            raise BadInput(f"<{end.name}> does not end", where=str(end.place), fix="Try `apachectl configtest` first.")

    def section(
        self, place: Place, row: str, rows: Iterator[tuple[Place, str]], name: str, depth: int
    ) -> Iterator[Directive]:
        inner = row[1:].rstrip()
        if not inner.endswith(">"):
            raise BadInput("the section's first line has no `>` at its end", where=str(place))
        words = split(inner[:-1])
        if not words:
            raise BadInput("a section without a name", where=str(place))
        opened = Directive(place, words[0], tuple(words[1:]), row, section=True)
        before = dict(self.defined)
        taken = self.taken(opened)  # asked before what is inside defines anything
        # Whether httpd is started with -D, no file says.
        guessed = opened.is_("ifdefine") and opened.arg(0).removeprefix("!") not in before
        children = tuple(self.until(rows, opened, name, depth + 1))
        if taken is False:
            self.defined = before  # what a skipped section defines is not defined
        if children and (taken is False or guessed):
            (self.notes.kept if taken else self.notes.skipped).append(opened)
        if taken and children and opened.is_("ifmodule"):
            self.notes.assumed.setdefault(opened.arg(0).lower(), opened)
        if taken:
            yield from children
        elif taken is None or guessed:
            yield Directive(place, opened.name, opened.args, row, children, section=True)

    def taken(self, section: Directive) -> bool | None:
        """Whether what is inside a condition counts; None for a section that is no condition."""
        if not section.is_("ifmodule", "ifdefine", "ifversion", "iffile", "ifdirective", "ifsection"):
            return None
        question = section.arg(0)
        negated, question = question.startswith("!"), question.removeprefix("!")
        if section.is_("ifdefine"):
            return (question in self.defined) != negated
        if section.is_("ifversion"):
            return _version_holds(section)
        # Which modules there are, only that server knows: it runs this configuration, so they are there.
        return not negated

    def directive(self, place: Place, row: str, depth: int) -> Iterator[Directive]:
        words = split(row)
        if not words:
            return
        found = Directive(place, words[0], tuple(words[1:]), row)
        if found.is_("define"):
            self.defined[found.arg(0)] = found.arg(1)
        elif found.is_("undefine"):
            self.defined.pop(found.arg(0), None)
        elif found.is_("include", "includeoptional"):
            yield from self.included(found, depth)
        else:
            yield found

    def included(self, directive: Directive, depth: int) -> Iterator[Directive]:
        files = self.source.read(directive.arg(0))
        if not files and directive.is_("include"):
            self.notes.unread.append((directive, f"there is no {directive.arg(0)}"))
        for name, text in files:
            yield from self.file(text, name, depth + 1)

    def filled_in(self, row: str) -> str:
        """`row` with `${NAME}` replaced, by what was defined; what is not defined stays, as in httpd."""

        def value(match: re.Match[str]) -> str:
            return self.defined.get(match[1], match[0])

        return re.sub(r"\$\{([A-Za-z0-9_]+)\}", value, row)[: MAX_LINE * 4]


def _version_holds(section: Directive) -> bool:
    """`<IfVersion [[!]operator] version>` for the httpd of today; a pattern is taken to hold."""
    operator, version = ("=", section.arg(0)) if len(section.args) < 2 else (section.arg(0), section.arg(1))
    negated, operator = operator.startswith("!"), operator.removeprefix("!")
    parts = re.fullmatch(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:\.([0-9]{1,4}))?", version)
    if not parts:
        return True
    asked = tuple(int(part or 0) for part in parts.groups())
    holds = {
        "<": asked > TODAY,
        "<=": asked >= TODAY,
        ">": asked < TODAY,
        ">=": asked <= TODAY,
        "=": asked == TODAY,
        "==": asked == TODAY,
    }.get(operator, True)
    return holds != negated


def split(row: str) -> list[str]:
    """The words of a line: by spaces, quotes keep spaces, a backslash in quotes keeps a quote or a backslash."""
    words = []
    rest = row.strip()
    while rest:
        quote = rest[0]
        if quote in "\"'":
            word, at = "", 1
            while at < len(rest) and rest[at] != quote:
                if rest[at] == "\\" and at + 1 < len(rest) and rest[at + 1] in (quote, "\\"):
                    at += 1
                word += rest[at]
                at += 1
            rest = rest[at + 1 :].lstrip()
        else:
            word, _, rest = (rest + " ").replace("\t", " ").partition(" ")
            rest = rest.strip()
        words.append(word)
    return words


class Files:
    """A `Source` that reads the machine's files; relative names are below `root`."""

    def __init__(self, root: Path, opened: Callable[[Path], str] | None = None) -> None:
        self.root = root
        self.opened = opened or read_text

    def read(self, pattern: str) -> Sequence[tuple[str, str]]:
        path = self.root / pattern
        try:
            if path.is_dir():
                paths = sorted(p for p in path.rglob("*") if p.is_file())
            elif any(c in pattern for c in "*?["):
                base = Path(path.anchor)
                paths = sorted(p for p in base.glob(os.path.relpath(path, base)) if p.is_file())
            else:
                paths = [path] if path.is_file() else []
        except (OSError, ValueError, NotImplementedError) as error:
            raise BadInput("the included files cannot be listed", where=str(path)) from error
        return [(str(p), self.opened(p)) for p in paths]


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises BadInput when it cannot be read or is no text."""
    try:
        if not path.is_file():
            raise BadInput("there is no such file", where=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"cannot be read: {reason}", where=str(path)) from error
    if len(data) > MAX_FILE_BYTES:
        raise BadInput("is larger than a configuration is", where=str(path), expected=f"at most {MAX_FILE_BYTES} bytes")
    if b"\0" in data:
        raise BadInput("is no text", where=str(path), expected="an httpd configuration")
    return data.decode("utf-8", "replace")
