"""Helpers for queries."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select

T = TypeVar("T")

PART = 500
"""Values in one IN (...): below the limit on parameters of every database."""


def chunks(values: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part


def due(query: Select[Any], moment: ColumnElement[Any], at: datetime, longest: timedelta) -> Iterator[Select[Any]]:
    """Those whose moment has come at `at`; then, where there are none, those for whom it is further off than anything
    waits: the clock was set back since. Two queries, for no database goes along an index for both at once."""
    yield query.where(moment <= at)
    yield query.where(moment > at + longest)


def plain_parts(connection: Connection, query: Select[Any], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """As `plain_rows`, in lists of at most `size` that are read when they are taken."""
    with connection.execute(query) as result:
        while result.cursor is not None and (part := list(result.cursor.fetchmany(size))):
            yield part


def plain_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """All rows of `query` as the database gives them, with numbers for moments: a million are read by it."""
    with connection.execute(query) as result:
        cursor = result.cursor
        return [] if cursor is None else list(cursor.fetchall())
