"""Secrets in files: one line, nobody else's eyes, and no word of it in what is said."""

import os
from pathlib import Path

import pytest

from mutualgate.errors import BadInput
from mutualgate.notices.secret_file import MAX_FIELDS, read_fields, read_secret


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("data", [b"correct horse", b"correct horse\n", b"correct horse\r\n", "Schlüssel".encode()])
def test_one_line(tmp_path: Path, data: bytes) -> None:
    assert read_secret(write(tmp_path / "secret", data)) == data.strip()


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    assert read_secret(write(tmp_path / "secret", b"\xef\xbb\xbfcorrect horse\r\n")) == b"correct horse"
    assert read_secret(write(tmp_path / "secret", b"\xef\xbb\xbf" + b"x" * 1023 + b"\r\n")) == b"x" * 1023
    assert read_fields(write(tmp_path / "secret", b"\xef\xbb\xbfA: b\r\n")) == {"A": "b"}


@pytest.mark.parametrize("data", [b"", b"\n", b"two\nlines\n", b"nul\0", b"x" * 1024])
def test_something_else(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadInput, match="one line") as error:
        read_secret(write(tmp_path / "secret", data))
    assert "lines" not in error.value.problem + str(error.value.expected)


def test_one_that_is_too_short_to_sign_with(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one line of 16 to"):
        read_secret(write(tmp_path / "secret", b"short"), 16)


@pytest.mark.parametrize(("mode", "may"), [(0o644, "read"), (0o640, "read"), (0o604, "read"), (0o620, "write")])
def test_one_that_others_may_read_or_write(tmp_path: Path, mode: int, may: str) -> None:
    with pytest.raises(BadInput, match=rf"others may {may} it .* chmod 0600"):
        read_secret(write(tmp_path / "secret", b"correct horse", mode))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_secret(tmp_path / "none")
    with pytest.raises(BadInput, match=r"cannot be read|is not a file"):
        read_secret(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadInput, match="is not a file"):
        read_secret(tmp_path / "pipe")


def test_header_fields(tmp_path: Path) -> None:
    data = b"Authorization: Bearer a:b=\r\n\nX-Org:  7 \t\n"
    assert read_fields(write(tmp_path / "fields", data)) == {"Authorization": "Bearer a:b=", "X-Org": "7"}


@pytest.mark.parametrize(
    "data",
    [
        b"A: b\nsecret\n",
        b"A: b\n: secret\n",
        b"A: b\nB C: secret\n",
        b"A: b\nB:\n",
        b"A: b\nB: secret\0\n",
        "A: b\nB: Schlüssel secret\n".encode(),
        b"".join(b"A%d: b\n" % number for number in range(MAX_FIELDS + 1)),
    ],
)
def test_what_is_no_header_field(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadInput, match=r"line \d+ holds something else") as error:
        read_fields(write(tmp_path / "fields", data))
    assert "secret" not in str(error.value)


def test_header_fields_that_others_may_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="others may read it"):
        read_fields(write(tmp_path / "fields", b"A: b", 0o640))
