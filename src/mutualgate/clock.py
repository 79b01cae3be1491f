"""The time, as an argument: whoever needs it takes a `Clock`, so that no test sleeps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns an aware datetime in UTC."""


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that may ask


CLOCK_SKEW = timedelta(minutes=2)
"""How far ahead of our clock others' may be: what they made a moment ago begins later. As much as the judge allows, so
that what is taken in counts at once."""
