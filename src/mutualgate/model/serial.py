"""Serial numbers, as the judge and the store keep them: big-endian octets without leading zeros."""

from mutualgate.errors import BadInput

LIMIT = 20
"""Octets: RFC 5280 4.1.2.2."""


def from_int(number: int) -> bytes:
    """`number` as octets. Zero, which old authorities used, is the empty string; a negative one is as DER has it.

    Raises `BadInput` for more than 20 octets.
    """
    if number < 0:
        octets = number.to_bytes((number + 1).bit_length() // 8 + 1, "big", signed=True)
    else:
        octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(octets) > LIMIT:
        raise BadInput(f"the serial number has {len(octets)} octets", expected=f"at most {LIMIT} (RFC 5280 4.1.2.2)")
    return octets


def to_int(serial: bytes) -> int:
    """The number, which is taken to be positive."""
    return int.from_bytes(serial, "big")


def text(serial: bytes) -> str:
    """Lower-case hexadecimal, as everything of ours prints it; `0` for zero."""
    return serial.hex() or "0"
