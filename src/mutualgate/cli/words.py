"""The words of a line, as a POSIX shell finds them (XCU 2.2 and 2.3), and nothing that a shell does with them then."""

import re

from mutualgate.errors import BadInput

_PART = re.compile(
    r"""(?P<blank>[ \t]+) | (?P<plain>[^ \t'"\\|&;<>()$`]+) | '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)"
      | \\(?P<escaped>.)""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE_QUOTES = re.compile(r"""\\([\\"$`])|([$`])""")


def split(line: str) -> list[str]:
    """The words of `line`, without their quotes; a `#` at the beginning of a word begins a comment.

    Raises `BadInput` for a quote that is not closed, and for what a shell would do something with: variables, pipes,
    files, several commands. Patterns and `~` stay as they are.
    """
    words: list[str] = []
    word: list[str] = []
    at = 0
    while at < len(line):
        part = _PART.match(line, at)
        if part is None:
            raise _impossible(line[at])
        at = part.end()
        if part["blank"]:
            if word:
                words.append("".join(word))
            word = []
        elif part["plain"] and not word and part[0].startswith("#"):
            break
        elif part["double"] is not None:
            word.append(_IN_DOUBLE_QUOTES.sub(_unescaped, part["double"]))
        else:
            word.append(part[part.lastgroup or 0])
    if word:
        words.append("".join(word))
    return words


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        raise _impossible(match[2])
    return match[1]


def _impossible(what: str) -> BadInput:
    if what in "'\"":
        return BadInput("a quote is not closed", expected="a command in one line")
    if what == "\\":
        return BadInput("ends in a backslash", expected="a command in one line")
    return BadInput(
        f"{what} means nothing here", expected="one command in a line; single quotes around what is meant as it is"
    )
