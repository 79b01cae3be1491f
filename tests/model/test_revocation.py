import pytest

from mutualgate.errors import BadInput
from mutualgate.model.revocation import RevocationReason


@pytest.mark.parametrize("text", ["keyCompromise", "keycompromise", "key-compromise", "KEY_COMPROMISE"])
def test_a_reason_in_any_usual_spelling(text: str) -> None:
    assert RevocationReason.parse(text) is RevocationReason.keyCompromise


@pytest.mark.parametrize("text", ["", "stolen", "removeFromCRL"])
def test_another_word_is_answered_with_the_list(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        RevocationReason.parse(text)
    assert "certificateHold" in str(refused.value)
    assert "removeFromCRL," not in str(refused.value)


def test_numbers_are_those_of_rfc_5280() -> None:
    assert {reason.name: int(reason) for reason in RevocationReason} == {
        "unspecified": 0,
        "keyCompromise": 1,
        "cACompromise": 2,
        "affiliationChanged": 3,
        "superseded": 4,
        "cessationOfOperation": 5,
        "certificateHold": 6,
        "removeFromCRL": 8,
        "privilegeWithdrawn": 9,
        "aACompromise": 10,
    }
