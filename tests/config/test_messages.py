"""Header rules and redirects, as the file writes them."""

from pathlib import Path

import pytest

from mutualgate.config.kinds import Unfit
from mutualgate.config.messages import Elsewhere, FieldRules, Fields, Status

HERE = Path("/folder")


def test_rules_keep_their_order_and_spelling() -> None:
    value = {"set": {"X-B": "1", "x-a": ""}, "add": {"Link": "</a>; rel=preload"}, "remove": ["Server"]}
    rules = Fields().read(value, HERE)
    assert rules == FieldRules((("Link", "</a>; rel=preload"),), (("X-B", "1"), ("x-a", "")), ("Server",))
    assert rules
    assert not Fields().read({}, HERE)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (["X"], "found an array"),
        ({"put": {}}, 'there is no key "put" in it'),
        ({"set": ["X"]}, "set: found an array"),
        ({"remove": "X"}, 'remove: found "X"'),
        ({"remove": [1]}, "remove: the number 1 is no name of a header field"),
        ({"set": {"X Y": "1"}}, 'set: "X Y" is no name of a header field'),
        ({"set": {":path": "1"}}, 'set: ":path" is no name of a header field'),
        ({"set": {"X": "a\r\nClient-Cert: b"}}, 'set: the value of "X" is none'),
        ({"set": {"X": " a"}}, 'set: the value of "X" is none'),
        ({"add": {"X": "é"}}, 'add: the value of "X" is none'),
        ({"add": {"X": 1}}, 'add: the value of "X" is none'),
        ({"set": {"X": "1"}, "remove": ["x"]}, '"X" is there twice'),
        ({"remove": ["X", "x"]}, '"X" is there twice'),
    ],
)
def test_rules_that_are_none(value: object, problem: str) -> None:
    with pytest.raises(Unfit) as unfit:
        Fields().read(value, HERE)
    assert unfit.value.problem == problem


def test_no_value_is_repeated() -> None:
    with pytest.raises(Unfit) as unfit:
        Fields().read({"set": {"Authorization": "Basic secret\n"}}, HERE)
    assert "secret" not in f"{unfit.value.problem}{unfit.value.fix}"


@pytest.mark.parametrize(
    "text",
    ["https://b.example", "https://b.example:8443/a/", "https://[::1]/", "https://b.example/?a=b#c", "/", "/app/"],
)
def test_redirects_lead_to_https_or_stay(text: str) -> None:
    assert Elsewhere().read(text, HERE) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://b.example",
        "//b.example",
        "b.example",
        "https://user:password@b.example",
        "https://b.example:0",
        "https://b.example:65536",
        "https://a..b",
        "https://b.example/a b",
        "https://b.example/\r\nX: y",
        "javascript:x",
    ],
)
def test_redirects_that_lead_nowhere(text: str) -> None:
    with pytest.raises(Unfit) as unfit:
        Elsewhere().read(text, HERE)
    assert "password" not in unfit.value.problem


def test_a_redirect_has_a_status_of_redirects() -> None:
    assert [Status().read(value, HERE) for value in (301, 302, 303, 307, 308)] == [301, 302, 303, 307, 308]
    for value in (200, 300, 304, "308", True):
        with pytest.raises(Unfit):
            Status().read(value, HERE)
