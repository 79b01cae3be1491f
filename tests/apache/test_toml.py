"""Values in the file that comes out."""

import tomllib

import pytest

from mutualgate.apache.toml import array, string, table


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain é", '"plain é"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\x01\nb", '"a\\U00000001\\U0000000ab"'),
    ],
)
def test_a_text_is_written_so_that_it_is_read_again(text: str, written: str) -> None:
    assert string(text) == written
    read = tomllib.loads(f"a = {string(text)}\nb = {array([text, text])}\nc = {table([(text, text)])}")
    assert read == {"a": text, "b": [text, text], "c": {text: text}}
