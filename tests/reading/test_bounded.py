from pathlib import Path

import pytest

from mutualgate.errors import BadInput
from mutualgate.reading.bounded import read_file


def test_files_have_a_size_and_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10)
    assert read_file(path, 10) == b"x" * 10
    with pytest.raises(BadInput, match="a: is too large; expected at most 9 bytes"):
        read_file(path, 9)
    with pytest.raises(BadInput, match=r"nowhere: cannot be read: No such file or directory"):
        read_file(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"cannot be read: Is a directory"):
        read_file(tmp_path)
