"""Counts in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 certificate`, `2 certificates`; `plural` is for where an s at its end does not do, as with a verb."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def days_left(number: int) -> str:
    """`2 days left`; of whole days, so that 0 is `less than a day left`."""
    return f"{counted(number, 'day') if number > 0 else 'less than a day'} left"
