"""The serial file of the old recipe: what it can tell."""

import pytest

from mutualgate.authorities.serial_file import serial_file_findings

START = 0x3655CCA1FEDEA45F723B52BE030B236D36F680B1


def codes(text: str, *serials: int) -> list[str]:
    return [finding.code for finding in serial_file_findings(text.encode(), "rootCA.srl", set(serials))]


def test_the_last_number_that_was_used_agrees() -> None:
    assert codes(f"{START + 2:X}\n", START, START + 1, START + 2) == []


def test_the_next_number_as_openssl_ca_writes_it_agrees_too() -> None:
    assert codes(f"{START + 3:X}\n", START, START + 1, START + 2) == []


def test_certificates_that_were_not_shown_are_counted() -> None:
    [finding] = serial_file_findings(f"{START + 9:X}".encode(), "rootCA.srl", {START, START + 1})
    assert finding.code == "certificates_missing"
    assert "8 more certificates" in finding.sentence


def test_a_file_behind_the_certificates_is_noticed() -> None:
    assert codes(f"{START:X}", START, START + 1) == ["serial_file_behind"]


def test_a_file_of_another_authority_is_noticed() -> None:
    assert codes("0A", START, START + 1) == ["serial_file_disagrees"]


def test_numbers_from_elsewhere_are_no_part_of_the_count() -> None:
    assert codes(f"{START + 1:X}", START, START + 1, 5, 2**158) == []


def test_without_certificates_there_is_nothing_to_compare() -> None:
    assert codes("01") == []


@pytest.mark.parametrize("text", ["", "hello", "0x10", "-5", "1 2", "9" * 65, "١٢", "1_0"])
def test_anything_else_is_not_used(text: str) -> None:
    assert codes(text, START) == ["serial_file_unreadable"]
