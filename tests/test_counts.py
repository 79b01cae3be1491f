"""Counts in sentences."""

from mutualgate.counts import counted, days_left


def test_one_is_one_and_others_are_many() -> None:
    assert [counted(number, "pin") for number in (0, 1, 2)] == ["0 pins", "1 pin", "2 pins"]
    assert counted(1, "entry is", "entries are") == "1 entry is"
    assert counted(11, "entry is", "entries are") == "11 entries are"


def test_the_last_day_has_hours() -> None:
    assert [days_left(number) for number in (2, 1, 0)] == ["2 days left", "1 day left", "less than a day left"]
