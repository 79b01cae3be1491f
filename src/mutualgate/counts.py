"""Counts in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 certificate`, `2 certificates`; `plural` is for where an s at its end does not do, as with a verb."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
