"""Values as TOML writes them."""

from collections.abc import Iterable


def string(text: str) -> str:
    """A basic string."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def array(values: Iterable[str]) -> str:
    return "[" + ", ".join(string(value) for value in values) + "]"


def table(pairs: Iterable[tuple[str, str]]) -> str:
    """An inline table of strings."""
    return "{" + ", ".join(f"{string(key)} = {string(value)}" for key, value in pairs) + "}"
