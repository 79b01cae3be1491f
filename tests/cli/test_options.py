"""Words that flags take."""

import pytest

from mutualgate.cli.options import choice
from mutualgate.errors import BadInput
from mutualgate.model.authority import Admits


def test_a_word_is_taken_in_any_case() -> None:
    assert choice(Admits, "Signed", "--admits") is Admits.SIGNED


def test_another_one_is_told_what_is_possible() -> None:
    with pytest.raises(BadInput, match=r"--admits: 'all' is not possible; expected one of .*signed"):
        choice(Admits, "all", "--admits")
