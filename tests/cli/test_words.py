"""Lines as a shell splits them: where it only splits, the same; where it would do more, a sentence."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualgate.cli.words import split
from mutualgate.errors import BadInput

ALIKE = [
    "client add partner-7 --role orders",
    "  client\tadd   x  ",
    "client add 'two words' \"two more\" to\\ gether",
    "a'b'\"c\"d '' \"\" x''",
    "client add x # a comment 'that is open",
    "#all of it; even | this",
    "not#one 'nor#this' \\#that \"#\"",
    "partner name add acme '*.acme.example' '$HOME' '`x`' 'a;b'",
    '"say \\"it\\"" "back\\\\slash" "cost \\$5" "\\`" "left \\n alone"',
    "größe '\u00a0' \u00a0x",
    "it'\"'s \"'\" '\\'",
    "",
    "   ",
]


@pytest.mark.parametrize("line", ALIKE)
def test_words_are_those_of_a_shell(line: str) -> None:
    assert split(line) == of_sh(line)


@settings(max_examples=150, deadline=None)
@given(line=st.text(st.sampled_from("ab \t'\"\\#-=.é"), max_size=14))
def test_what_is_split_is_split_as_a_shell_does(line: str) -> None:
    try:
        words = split(line)
    except BadInput:
        return  # a quote that is open, a backslash at the end: a shell would go on reading
    assert words == of_sh(line)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("client add 'x", "a quote is not closed"),
        ('client add "x', "a quote is not closed"),
        ('client add "x\\"', "a quote is not closed"),
        ("client list \\", "ends in a backslash"),
        ("client list > clients.txt", "> means nothing here"),
        ("decide --batch < questions.jsonl", "< means nothing here"),
        ("client list | head", "| means nothing here"),
        ("client remove a; client remove b", "; means nothing here"),
        ("client remove a && client add a", "& means nothing here"),
        ("client show $NAME", "$ means nothing here"),
        ('client show "$NAME"', "$ means nothing here"),
        ("client show `whoami`", "` means nothing here"),
        ("(client list)", "( means nothing here"),
    ],
)
def test_what_a_shell_would_do_more_with_is_refused(line: str, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        split(line)
    assert caught.value.problem == problem


def test_a_long_line_takes_no_longer_than_it_is() -> None:
    # Were it the square of the length, this would not end.
    for line in ("a " * 500_000, "'a'" * 500_000, '"' + "\\\\" * 500_000, "\\a" * 500_000):
        try:
            split(line)
        except BadInput:
            pass


def of_sh(line: str) -> list[str]:
    """The words that `sh` makes of a line, without patterns (`set -f`)."""
    script = f'set -f; show() {{ for word; do printf "%s\\0" "$word"; done; }}; show {line}\n'
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]
