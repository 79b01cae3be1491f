"""The letter, and to whom it may go."""

from pathlib import Path
from typing import Any

import pki
import pytest

from mutualgate.enrolment.letter import OURS, fill, mail_address, read_template
from mutualgate.errors import BadInput


@pytest.mark.parametrize(
    "good", ["a@b.example", "first.last+tag@mail.example.com", "o'neil@example.com", "x@localhost"]
)
def test_an_address_is_taken_as_it_is(good: str) -> None:
    assert mail_address(f" {good} ") == good


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a",
        "a@",
        "@b.example",
        "a@b@c.example",
        "a b@c.example",
        "a@b.example\nBcc: x@y.example",
        "a@b.example\r\n\r\nhello",
        "a@b.example,c@d.example",
        "a@b.example;c@d.example",
        "Anna <a@b.example>",
        "<a@b.example>",
        '"a b"@c.example',
        ".a@b.example",
        "a.@b.example",
        "a..b@c.example",
        "a@-b.example",
        "a@b-.example",
        "a@b..example",
        "a@[192.0.2.7]",
        "ä@b.example",
        "a@bücher.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 130 + "example",
        "a@b.example\0",
        "a(comment)@b.example",
    ],
)
def test_what_is_not_one_plain_address_is_refused(bad: str) -> None:
    with pytest.raises(BadInput) as refused:
        mail_address(bad)
    assert refused.value.code == "bad_mail_address"


def letter(template: str = OURS, **other: Any) -> tuple[str, str]:
    values: dict[str, object] = {
        "organisation": "Example Ltd",
        "name": "anna",
        "base": "https://gate.example/join",
        "link": "https://gate.example/join/TOKEN",
        "code": "abcd-efgh-jkmn",
        "second_factor": True,
        "expires": pki.NOW,
    }
    made = fill(template, **{**values, **other})
    return made.subject, made.text


def test_it_says_what_to_do() -> None:
    subject, text = letter()
    assert subject == "Your invitation to Example Ltd"
    for part in ("https://gate.example/join/TOKEN", "abcd-efgh-jkmn", " 1 June 2026, 12:00 UTC", "second code", "anna"):
        assert part in text
    plain = letter(second_factor=False, code=None)[1]
    assert "second code" not in plain
    assert "type this code" not in plain
    assert "\n\n\n" not in text + plain
    assert text.startswith("Hello")


def test_a_name_is_text_and_no_template() -> None:
    subject, text = letter(name="{{ 7 * 7 }}", organisation="{% for %}\r\nBcc: x@y.example")
    assert "{{ 7 * 7 }}" in text
    assert "\n" not in subject
    assert "\r" not in subject


def test_a_letter_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "invitation.txt"
    path.write_bytes("\ufeffWillkommen, {{ name }}\r\n\r\nBitte \u00f6ffnen: {{ link }}\r\n".encode())
    assert letter(read_template(path)) == (
        "Willkommen, anna",
        "Bitte \u00f6ffnen: https://gate.example/join/TOKEN\n",
    )


@pytest.mark.parametrize(
    "template",
    [
        "Hello",
        "",
        "\n\n{{ link }}",
        "Hello\n\n",
        "Hello\n\nwithout a link",
        "Hello\n\n{{ link }} {{ nobody }}",
        "Hello\n\n{% if %}{{ link }}",
        "Hello\n\n{{ link }}{{ link.__class__.__mro__ }}",
        "Hello\n\n{{ link }}{{ 1 / 0 }}",
        "Hello\n\n{% if code %}{{ link }}{% endif %}",
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, template: str) -> None:
    path = tmp_path / "invitation.txt"
    path.write_text(template)
    with pytest.raises(BadInput) as wrong:
        read_template(path)
    assert wrong.value.where == str(path)


def test_a_file_that_is_no_template_is_named(tmp_path: Path) -> None:
    path = tmp_path / "invitation.txt"
    for content in (b"\xff\xfe", b"x" * 100_000):
        path.write_bytes(content)
        with pytest.raises(BadInput):
            read_template(path)
    with pytest.raises(BadInput):
        read_template(tmp_path / "nowhere.txt")
