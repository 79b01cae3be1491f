"""Times of httpd, as the gate writes them."""

import pytest

from mutualgate.apache.pools import duration, seconds


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("5", '"5s"'),
        ("500MS", '"500ms"'),
        ("1500ms", '"1500ms"'),
        ("1ms", '"10ms"'),
        ("2mi", '"120s"'),
        ("3min", '"180s"'),
        ("1h", '"3600s"'),
        ("90000h", '"86400s"'),
    ],
)
def test_a_time_is_as_long_as_the_gate_waits(text: str, written: str) -> None:
    wait = seconds(text)
    assert wait is not None
    assert duration(wait) == written


@pytest.mark.parametrize("text", ["", "0", "0ms", "soon", "-5", "5 s", "1000000000"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert seconds(text) is None
