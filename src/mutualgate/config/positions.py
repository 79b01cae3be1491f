"""Where the keys and values of a TOML file stand. Knows the syntax tree; does not judge values.

The values themselves come from tomllib, which places nothing but syntax errors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

Place = tuple[str | int, ...]
"""A key of the document: `("sites", 1, "routes", 0, "path")`."""

KEYS = ("bare_key", "quoted_key", "dotted_key")


@dataclass(frozen=True)
class Position:
    """Line and column in characters, both from 1."""

    line: int
    column: int


class Positions:
    """The places of one document. Asked for one that it does not have, it answers with the nearest around it."""

    def __init__(self, text: str) -> None:
        import tree_sitter_toml  # where all is well, nobody asks for a place
        from tree_sitter import Language, Parser

        source = text.encode()
        self._lines = source.split(b"\n")
        self._keys: dict[Place, Position] = {}
        self._values: dict[Place, Position] = {}
        for place, key, value in _pairs(Parser(Language(tree_sitter_toml.language())).parse(source).root_node):
            if key is not None:
                self._keys.setdefault(place, self._position(key))
            if value is not None:
                self._values.setdefault(place, self._position(value))

    def key(self, place: Place) -> Position:
        """Where the key of `place` is written."""
        return self._nearest(place, (self._keys, self._values))

    def value(self, place: Place) -> Position:
        """Where the value of `place` is written."""
        return self._nearest(place, (self._values, self._keys))

    def _nearest(self, place: Place, maps: tuple[dict[Place, Position], ...]) -> Position:
        for length in range(len(place), 0, -1):
            for positions in maps:
                if position := positions.get(place[:length]):
                    return position
        return Position(1, 1)

    def _position(self, node: Node) -> Position:
        row, column = node.start_point
        return Position(row + 1, len(self._lines[row][:column].decode(errors="replace")) + 1)


def _pairs(document: Node) -> Iterator[tuple[Place, Node | None, Node | None]]:
    """Every key with its value, and every item of an array."""
    counts: dict[Place, int] = {}
    for node in document.children:
        if node.type == "pair":
            yield from _pair(node, ())
        elif node.type in ("table", "table_array_element"):
            key = next((child for child in node.children if child.type in KEYS), None)
            if key is None:
                continue
            # A name in a header means the last of the tables written under it so far.
            place: Place = ()
            parts = _parts(key)
            for part, name in parts[:-1]:
                place = (*place, name)
                yield place, part, None
                if place in counts:
                    place = (*place, counts[place] - 1)
            place = (*place, parts[-1][1])
            yield place, parts[-1][0], None
            if node.type == "table_array_element":
                counts[place] = counts.get(place, 0) + 1
                place = (*place, counts[place] - 1)
                yield place, node, None
            for child in node.children:
                if child.type == "pair":
                    yield from _pair(child, place)


def _pair(node: Node, outer: Place) -> Iterator[tuple[Place, Node | None, Node | None]]:
    named = [child for child in node.children if child.is_named and child.type != "comment"]
    if len(named) != 2 or named[0].type not in KEYS:
        return
    place = outer
    for part, name in _parts(named[0]):
        place = (*place, name)
        yield place, part, None
    yield place, None, named[1]
    yield from _inside(named[1], place)


def _inside(node: Node, place: Place) -> Iterator[tuple[Place, Node | None, Node | None]]:
    if node.type == "inline_table":
        for child in node.children:
            if child.type == "pair":
                yield from _pair(child, place)
    elif node.type == "array":
        items = [child for child in node.children if child.is_named and child.type != "comment"]
        for index, item in enumerate(items):
            yield (*place, index), None, item
            yield from _inside(item, (*place, index))


def _parts(key: Node) -> list[tuple[Node, str]]:
    """The parts of a key and what they name; quoted ones as TOML reads them."""
    if key.type == "dotted_key":
        return [part for child in key.children if child.type in KEYS for part in _parts(child)]
    text = (key.text or b"").decode(errors="replace")
    if key.type == "bare_key":
        return [(key, text)]
    try:
        return [(key, next(iter(tomllib.loads(f"{text} = 0"))))]
    except tomllib.TOMLDecodeError:
        return [(key, text)]
