"""Fields are read as the gate writes them, and everybody gets what they read best."""

import pytest

from mutualgate.fields import by_name, handshake, preferred, roles


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text"), ("*/*", "text"), ("text/html", "html"), ("text/html,application/xhtml+xml,*/*;q=0.8", "html"),
        ("application/json", "json"), ("application/json;q=0.5, text/html;q=0.4", "json"), ("text/html;q=0", "text"),
        ("text/plain, text/html;q=0.9", "text"), ("application/*", "text"), ("TEXT/HTML", "html"), (",;,=", "text"),
    ],
)  # fmt: skip
def test_everybody_gets_what_they_read_best(accept: str, kind: str) -> None:
    assert preferred(accept) == kind


def test_a_field_that_came_twice_is_a_list() -> None:
    assert by_name([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1, 3", "b": "2"}


def test_what_the_gate_encoded_is_decoded_after_it_was_split() -> None:
    fields = {"mutualgate-roles": "staff,a%2Cb,", "mutualgate-tls": "version=TLSv1.3; sni=a%3Bb; odd; =x"}
    assert roles(fields) == ("staff", "a,b")
    assert handshake(fields) == {"version": "TLSv1.3", "sni": "a;b"}
    assert (roles({}), handshake({})) == ((), {})
