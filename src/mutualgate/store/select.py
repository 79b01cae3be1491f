"""Helpers for queries."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    bindparam,
    cast,
    func,
    literal,
    select,
)

T = TypeVar("T")

PART = 500
"""Values in one IN (...): below the limit on parameters of every database."""

_WIDTH = 32
"""Octets of a SHA-256, and of a number written out, which takes 19 of them at most."""


def chunks(values: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part


def among(column: ColumnElement[Any], values: Collection[bytes] | Collection[int]) -> ColumnElement[bool]:
    """Whether `column` is one of `values`, SHA-256 or numbers, however many: they are one parameter, and taken apart by
    the database."""
    whole = isinstance(column.type, LargeBinary)
    given: Collection[Any] = values
    packed = b"".join(given if whole else map(b"%032d".__mod__, given))
    if len(packed) != _WIDTH * len(values):
        raise ValueError("a value is no SHA-256")
    all_of_them = bindparam(None, packed, LargeBinary)
    first = select(literal(1).label("at")).cte("places", recursive=True)
    places = first.union_all(select(first.c.at + _WIDTH).where(first.c.at + _WIDTH < func.length(all_of_them)))
    one: ColumnElement[Any] = func.substr(all_of_them, places.c.at, _WIDTH, type_=LargeBinary)
    if not whole:
        one = cast(one, BigInteger)
    return column.in_(select(one).select_from(places))


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
