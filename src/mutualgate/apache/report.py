"""What could not be carried over, as one list: file, line, why, and what to do."""

import re
from dataclasses import dataclass

from mutualgate.apache.syntax import Directive, Place


@dataclass(frozen=True)
class Left:
    """Something that was not carried over."""

    file: str
    line: int
    directive: str
    """As it stands in the file, shortened."""
    why: str
    do: str


class Report:
    """Collects them; what stands outside of virtual hosts is met in each, and said once."""

    def __init__(self) -> None:
        self.left: list[Left] = []

    def leave(self, directive: Directive, why: str, do: str) -> None:
        self.leave_at(directive.place, directive.text, why, do)

    def leave_at(self, place: Place, text: str, why: str, do: str) -> None:
        left = Left(place.file, place.line, shortened(text), why, do)
        if left not in self.left:
            self.left.append(left)


def shortened(text: str) -> str:
    """`text` on one line of a report, without the passwords in it."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    line = re.sub(r"((?:password|passphrase|secret)[ =]).*", r"\1...", line, flags=re.IGNORECASE)
    line = re.sub(r"://[^/@ ]*@", "://...@", line)
    return line if len(line) <= 100 else line[:97] + "..."
