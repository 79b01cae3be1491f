import pytest

from mutualgate.errors import BadInput
from mutualgate.model.partner import PartnerName, certificate_policy, environment


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


def test_a_certificate_policy_is_an_object_identifier_or_nothing() -> None:
    legal = ["", "1.2.3.4", "0.4.0.194112.1.4", "2.23.140.1.2.1", "2.999"]
    assert [certificate_policy(text) for text in legal] == legal
    for text in (
        "1",
        "1.",
        "3.1",
        "1.40",
        "1.02",
        "1.2.x",
        "2.5.29.32.0",
        "1.2." + "1." * 70 + "1",
        "1.2.18446744073709551616",
        "1.2." + "1" * 5000,
    ):
        with pytest.raises(BadInput, match="certificate policy"):
            certificate_policy(text)
