"""Helpers for queries."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

PART = 500
"""Values in one IN (...): below the limit on parameters of every database."""


def chunks(values: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    source = iter(values)
    while part := list(islice(source, size)):
        yield part
