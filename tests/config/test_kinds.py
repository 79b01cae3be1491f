"""Single values: what each kind takes, and what it says of what it does not take."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from mutualgate.config.kinds import (
    Choice,
    Duration,
    File,
    Flag,
    Log,
    Many,
    Often,
    Rate,
    Share,
    Size,
    Unfit,
    Whole,
    Word,
    duration_text,
    found,
    size_text,
)

HERE = Path("/folder")
WAIT = Duration(timedelta(milliseconds=10), timedelta(days=1))
BODY = Size(0, 1 << 40, unlimited=True)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, value: timedelta) -> None:
    assert WAIT.read(text, HERE) == value
    assert duration_text(value) == text


@pytest.mark.parametrize(("value", "share"), [(0, 0.0), (1, 1.0), (0.01, 0.01), (1.0, 1.0)])
def test_a_share_is_a_number_up_to_one(value: float, share: float) -> None:
    assert Share().read(value, HERE) == share


@pytest.mark.parametrize("value", [-0.1, 1.1, 2, float("nan"), float("inf"), "0.5", "1%", True, None])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(Unfit):
        Share().read(value, HERE)


@pytest.mark.parametrize(
    "value", ["", "5", "5 s", "1.5s", "-1s", "1h30m", "2d", "5ms", "999999999999d", "٣s", 5, True, None]
)
def test_what_is_no_duration_in_its_bounds(value: object) -> None:
    with pytest.raises(Unfit):
        WAIT.read(value, HERE)


@pytest.mark.parametrize(
    ("given", "size"),
    [("8 KiB", 8192), ("1MiB", 1 << 20), ("0 B", 0), (4096, 4096), ("1 TiB", 1 << 40), ("unlimited", None)],
)
def test_a_size_is_bytes(given: object, size: int | None) -> None:
    assert BODY.read(given, HERE) == size


@pytest.mark.parametrize("value", ["8 KB", "8 kib", "1.5 MiB", "2 TiB", -1, True, 8.0, "99999999999999 TiB"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(Unfit):
        BODY.read(value, HERE)


def test_only_some_sizes_may_be_unlimited() -> None:
    with pytest.raises(Unfit):
        Size(0, 10).read("unlimited", HERE)


def test_sizes_are_written_in_the_largest_unit_that_divides() -> None:
    assert [size_text(size) for size in (0, 1000, 8192, 3 << 20)] == ["0 B", "1000 B", "8 KiB", "3 MiB"]


def test_a_boolean_is_no_number_and_a_number_no_boolean() -> None:
    with pytest.raises(Unfit, match="found true"):
        Whole(0, 5).read(True, HERE)
    with pytest.raises(Unfit, match="found the number 1"):
        Flag().read(1, HERE)


def test_words_of_a_choice() -> None:
    kind = Choice(Colour)
    assert kind.read("blue", HERE) is Colour.BLUE
    assert kind.expected == '"red" or "blue"'
    for value in ("Blue", "", 1):
        with pytest.raises(Unfit):
            kind.read(value, HERE)


def test_names_of_files_are_relative_to_the_folder() -> None:
    assert File().read("a/b.pem", HERE) == Path("/folder/a/b.pem")
    assert File().read("/etc/b.pem", HERE) == Path("/etc/b.pem")
    assert Log().read("-", HERE) == "-"
    assert Log().read("", HERE) == ""
    assert Log().read("x.log", HERE) == Path("/folder/x.log")
    for value in ("", "a/", "a\0b"):
        with pytest.raises(Unfit):
            File().read(value, HERE)


def test_a_word_is_matched_whole() -> None:
    word = Word("[a-z]+", "letters", most=3)
    assert word.read("abc", HERE) == "abc"
    for value in ("abcd", "a1", "abc\n", ""):
        with pytest.raises(Unfit):
            word.read(value, HERE)


def test_words_are_compared_in_one_unicode_form() -> None:
    assert Word(".*", "anything").read("u\u0308", HERE) == "\u00fc"


def test_an_array_of_words() -> None:
    many = Many(Word("[a-z]", "a letter"), 1)
    assert many.read(["a", "b"], HERE) == ("a", "b")
    for value in ([], "a", ["a", "1"]):
        with pytest.raises(Unfit):
            many.read(value, HERE)


def test_what_was_found_is_one_short_line() -> None:
    assert found("a" * 100) == f'found "{"a" * 57}..."'
    assert found("a\nb\x1b") == 'found "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"'
    assert found(10**5000) == "found a very large number"
    assert found({}) == "found a table"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", Rate(50, 50)),
        ("50/s burst 200", Rate(50, 200)),
        ("600/m", Rate(10, 10)),
        ("30/m", Rate(0.5, 1)),
        ("3600/h burst 7", Rate(1, 7)),
        ("unlimited", None),
    ],
)
def test_a_rate_is_a_number_and_a_time(text: str, rate: Rate | None) -> None:
    assert Often().read(text, HERE) == rate


@pytest.mark.parametrize(
    "value",
    ["", "50", "0/s", "-1/s", "1.5/s", "50 /s", "50/d", "50/s burst", "50/s burst 0", "2000000/s", "1/h burst 1000",
     "٣/s", 50, True, None],
)  # fmt: skip
def test_what_is_no_rate(value: object) -> None:
    with pytest.raises(Unfit):
        Often().read(value, HERE)


def test_a_number_may_be_unlimited_where_that_is_allowed() -> None:
    assert Whole(1, 9, unlimited=True).read("unlimited", HERE) is None
    with pytest.raises(Unfit):
        Whole(1, 9).read("unlimited", HERE)
