"""Helpers for queries."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, or_

T = TypeVar("T")

PART = 500
"""Values in one IN (...): below the limit on parameters of every database."""


def chunks(values: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part


def due(moment: ColumnElement[Any], at: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Whether its moment has come at `at`; or is further off than anything waits: the clock was set back since."""
    return or_(moment <= at, moment > at + longest)


def plain_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """All rows of `query` as the database gives them, with numbers for moments: a million are read by it."""
    with connection.execute(query) as result:
        cursor = result.cursor
        return [] if cursor is None else list(cursor.fetchall())
