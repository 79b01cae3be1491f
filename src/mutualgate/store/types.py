"""Column types that mean the same in every database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Integer
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND = timedelta(microseconds=1)

# SQLite counts up only a column that is spelled INTEGER; elsewhere ids have 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")


def microseconds(at: datetime) -> int:
    """An aware datetime as the database keeps it: microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as microseconds since 1970 in UTC: sorts, compares and round-trips everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To the database."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=value)
