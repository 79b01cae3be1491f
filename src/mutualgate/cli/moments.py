"""Days and spans as people type them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mutualgate.errors import BadInput


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
    """`90d`, `24h`, `30m` or `10s`, as in the settings. Raises `BadInput` that names the flag."""
    from mutualgate.config.kinds import Duration, Unfit

    if text is None:
        return None
    kind = Duration(timedelta(0), timedelta(days=3650))
    try:
        return kind.read(text.lower(), Path())
    except Unfit as unfit:
        raise BadInput(unfit.problem, where=flag, expected=kind.expected) from None
