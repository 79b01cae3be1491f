import pytest

from mutualgate.errors import BadInput
from mutualgate.model import PartnerName
from mutualgate.model.partner import environment


@pytest.mark.parametrize("name", ["acme", "a", "acme-2", "x" * 63])
def test_a_legal_name_is_itself(name: str) -> None:
    assert PartnerName(name) == name


@pytest.mark.parametrize("name", ["", "Acme", "a_b", "-a", "a-", "x" * 64, "a b", "ä", "a\n"])
def test_an_illegal_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="partner's name"):
        PartnerName(name)


def test_an_environment_is_a_short_word_or_nothing() -> None:
    assert [environment(text) for text in ("", "test", "eu-1")] == ["", "test", "eu-1"]
    for text in ("Test", "a b", "x" * 33, "-"):
        with pytest.raises(BadInput, match="environment"):
            environment(text)
