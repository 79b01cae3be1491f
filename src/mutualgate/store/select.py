"""Helpers for queries."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    and_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
)

T = TypeVar("T")

PART = 500
"""Values in one IN (...): below the limit on parameters of every database."""

FEW_KEYS = 100
"""Keys in one `one_of`."""

Values = Collection[bytes] | Collection[int]

_VALUES = "values"
_WIDTH = 32
"""Octets of a SHA-256, and of a number written out, which takes 19 of them at most."""


def chunks(values: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part


@cache
def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether `column` is one of the values, SHA-256 or numbers, that the query is asked with, however many: they are
    one parameter, and taken apart by the database. Made once for each column, which takes as long as to ask."""
    all_of_them = bindparam(_VALUES, type_=LargeBinary)
    first = select(literal(1).label("at")).cte("places", recursive=True)
    places = first.union_all(select(first.c.at + _WIDTH).where(first.c.at + _WIDTH < func.length(all_of_them)))
    one: ColumnElement[Any] = func.substr(all_of_them, places.c.at, _WIDTH, type_=LargeBinary)
    if not isinstance(column.type, LargeBinary):
        one = cast(one, BigInteger)
    return column.in_(select(one).select_from(places))


def one_of(columns: tuple[ColumnElement[Any], ...], keys: Iterable[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether the columns, of one index, are one of `keys`, which are few (`FEW_KEYS`): SQLite goes along no more than
    the first column of an index for a tuple's IN (...)."""
    return or_(*(and_(*(column == value for column, value in zip(columns, key, strict=True))) for key in keys))


def due(query: Select[Any], moment: ColumnElement[Any], at: datetime, longest: timedelta) -> Iterator[Select[Any]]:
    """Those whose moment has come at `at`; then, where there are none, those for whom it is further off than anything
    waits: the clock was set back since. Two queries, for no database goes along an index for both at once."""
    yield query.where(moment <= at)
    yield query.where(moment > at + longest)


def plain_parts(
    connection: Connection, query: Select[Any], size: int, values: Values | None = None
) -> Iterator[list[tuple[Any, ...]]]:
    """As `plain_rows`, in lists of at most `size` that are read when they are taken."""
    if values is not None and not values:
        return
    with connection.execute(query, _asked_with(values)) as result:
        while result.cursor is not None and (part := list(result.cursor.fetchmany(size))):
            yield part


def plain_rows(connection: Connection, query: Select[Any], values: Values | None = None) -> list[tuple[Any, ...]]:
    """All rows of `query` as the database gives them, with numbers for moments: a million are read by it. `values` are
    those of its `among`; without any there is nothing to ask."""
    if values is not None and not values:
        return []
    with connection.execute(query, _asked_with(values)) as result:
        cursor = result.cursor
        return [] if cursor is None else list(cursor.fetchall())


def _asked_with(values: Values | None) -> dict[str, bytes]:
    if values is None:
        return {}
    packed = b"".join(one if isinstance(one, bytes) else b"%032d" % one for one in values)
    if len(packed) != _WIDTH * len(values):
        raise ValueError("a value is no SHA-256")
    return {_VALUES: packed}
