"""Everybody gets what they read best."""

import pytest

from mutualgate.accept import preferred


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
