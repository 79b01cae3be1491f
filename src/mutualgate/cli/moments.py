"""Days and spans as people type them."""

from datetime import UTC, datetime, timedelta

from mutualgate.errors import BadInput

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def day(text: str | None, flag: str) -> datetime | None:
    """`2027-01-31`, which begins at midnight UTC, or a time in ISO 8601. Raises `BadInput` that names the flag."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is no day", where=flag, expected="2027-01-31, or 2027-01-31T12:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def span(text: str | None, flag: str) -> timedelta | None:
    """`90d`, `24h`, `30m` or `10s`. Raises `BadInput` that names the flag."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:].lower()
    if not (number.isascii() and number.isdecimal() and len(number) <= 9 and unit in _UNITS):
        raise BadInput(f"{text!r} is no span of time", where=flag, expected="a number with s, m, h or d, such as 24h")
    return timedelta(**{_UNITS[unit]: int(number)})
