"""Where keys and values stand."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from mutualgate.config.positions import Place, Position, Positions

TEXT = """\
# comment
gate.listen = ["a", [1, "é", 3]]
"quo ted" = 1
[gate.timeouts]
header = "3s"  # here
x = { a = 1, b.c = "é", d = 2 }

[[sites]]
name = "one"
[[sites]]
  name = "two"
[[sites.routes]]
path = \"\"\"
long\"\"\"
[[sites.routes]]
path = "/"
[sites.extra]
y = 1
"""


def test_keys_and_values_have_their_line_and_column() -> None:
    positions = Positions(TEXT)
    assert positions.key(("gate", "listen")) == Position(2, 6)
    assert positions.value(("gate", "listen")) == Position(2, 15)
    assert positions.value(("gate", "listen", 1, 2)) == Position(2, 30)
    assert positions.key(("quo ted",)) == Position(3, 1)
    assert positions.value(("gate", "timeouts", "header")) == Position(5, 10)
    assert positions.key(("gate", "timeouts", "x", "b", "c")) == Position(6, 16)
    assert positions.key(("gate", "timeouts", "x", "d")) == Position(6, 25)
    assert positions.value(("sites", 0, "name")) == Position(9, 8)
    assert positions.value(("sites", 1, "name")) == Position(11, 10)
    assert positions.value(("sites", 1, "routes", 0, "path")) == Position(13, 8)
    assert positions.value(("sites", 1, "routes", 1, "path")) == Position(16, 8)
    assert positions.value(("sites", 1, "extra", "y")) == Position(18, 5)


def test_what_is_not_written_is_placed_at_what_is_around_it() -> None:
    positions = Positions(TEXT)
    assert positions.key(("sites", 1, "routes", 1, "upstream")) == Position(15, 1)
    assert positions.value(("gate", "workers")) == Position(2, 1)
    assert positions.value(("authority",)) == Position(1, 1)


KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
VALUES = st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6)


def _places(value: object, place: Place) -> list[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*place, key), *_places(inner, (*place, key)))]


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_every_place_of_any_document_is_found(table: dict[str, object], rows: list[dict[str, object]]) -> None:
    def quoted(key: str) -> str:
        return '"' + "".join(f"\\U{ord(c):08x}" for c in key) + '"'

    lines = ["[table]", *(f"{quoted(k)} = {v}" for k, v in table.items())]
    for row in rows:
        lines += ["[[rows]]", *(f"{quoted(k)} = {v}" for k, v in row.items())]
    text = "\n".join(lines)
    positions = Positions(text)
    for place in _places(tomllib.loads(text), ()):
        at = positions.value(place)
        assert at.line > 1 or place == ("table",)
        if len(place) > 1:
            assert at != positions.value(place[:-1]) or place[-1] == 0 or isinstance(place[-1], str)
