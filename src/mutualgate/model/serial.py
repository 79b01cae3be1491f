"""Serial numbers, as the judge and the store keep them: big-endian octets without leading zeros."""

from mutualgate.errors import BadInput

LIMIT = 20
"""Octets: RFC 5280 4.1.2.2."""


def from_int(number: int) -> bytes:
    """`number` as octets; zero, which some old authorities used, is the empty string.

    Raises `BadInput` for what RFC 5280 4.1.2.2 rules out and no store of ours can hold: negative, or over 20 octets.
    """
    if number < 0 or number.bit_length() > LIMIT * 8:
        found = "is negative" if number < 0 else f"has {(number.bit_length() + 7) // 8} octets"
        raise BadInput(f"the serial number {found}", expected=f"a number of at most {LIMIT} octets (RFC 5280 4.1.2.2)")
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def to_int(serial: bytes) -> int:
    """The number."""
    return int.from_bytes(serial, "big")


def text(serial: bytes) -> str:
    """Lower-case hexadecimal, as everything of ours prints it; `0` for zero."""
    return serial.hex() or "0"
