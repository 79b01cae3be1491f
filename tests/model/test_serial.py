import pytest

from mutualgate.errors import BadInput
from mutualgate.model import serial


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (0, b""),
        (1, b"\x01"),
        (0x80, b"\x80"),
        (0x0100, b"\x01\x00"),
        (-1, b"\xff"),
        (-128, b"\x80"),
        (2**159 - 1, b"\x7f" + b"\xff" * 19),
    ],
)
def test_octets_are_big_endian_without_leading_zeros(number: int, octets: bytes) -> None:
    assert serial.from_int(number) == octets


def test_more_than_twenty_octets_are_refused() -> None:
    assert len(serial.from_int(2**160 - 1)) == 20
    with pytest.raises(BadInput, match="21 octets"):
        serial.from_int(2**160)


def test_text_is_hexadecimal() -> None:
    assert serial.text(b"\x0a\xbc") == "0abc"
    assert serial.text(b"") == "0"
