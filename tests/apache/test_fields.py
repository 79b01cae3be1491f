"""`Header` and `RequestHeader`: what a rule of a route can say, and what is left."""

import pytest
from apache.hosts import Nothing

from mutualgate.apache.fields import Edit, Said, read, rules
from mutualgate.apache.report import Report
from mutualgate.apache.syntax import Directive, parse
from mutualgate.config import FieldRules


def line(text: str) -> Directive:
    (directive,), _ = parse(text, "site.conf", Nothing())
    return directive


def edit(text: str) -> Edit | None:
    """What no word is said about."""
    report = Report()
    found = read(line(text), report)
    assert report.left == []
    assert not isinstance(found, Said)
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Header always set X a", ("response", "set", "X", "a", False)),
        ("Header onsuccess append X a", ("response", "add", "X", "a", True)),
        ("Header SET X: a", ("response", "set", "X", "a", False)),
        ("Header set X env=y", ("response", "set", "X", "env=y", False)),
        ("Header set X-Forwarded-Proto https", ("response", "set", "X-Forwarded-Proto", "https", False)),
        ("RequestHeader unset X", ("request", "remove", "X", "", False)),
    ],
)
def test_what_a_rule_can_say(text: str, told: tuple[object, ...]) -> None:
    found = edit(text)
    assert found
    assert (found.direction, found.deed, found.name, found.value, found.appends) == told


@pytest.mark.parametrize(
    "text",
    ["RequestHeader set X-Forwarded-Proto https", "RequestHeader set Mutualgate-Client ''", "RequestHeader unset Host"],
)
def test_what_the_gate_does_anyway_needs_no_rule(text: str) -> None:
    assert edit(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Header", "adds, sets or removes"),
        ("Header always", "adds, sets or removes"),
        ("Header unset X env=y", "no conditions"),
        ("Header set X a expr=true", "no conditions"),
        ("Header set X expr=true", "has variables"),
        ("Header set X %{SSL_CLIENT_S_DN}s", "has variables"),
        ("RequestHeader add Mutualgate-Client ''", "nobody else writes it"),
        ("Header set X a\x01b", "as a rule of a route"),
        ("RequestHeader set X %{SSL_CLIENT_I_DN}s", "SSL_CLIENT_I_DN is in Mutualgate-Issuer"),
        ("RequestHeader set X %{SSL_CLIENT_A_KEY}s", "SSL_CLIENT_A_KEY is in Client-Cert"),
        ("RequestHeader set X %{SSL_SERVER_I_DN}s", "SSL_SERVER_I_DN is in no field"),
    ],
)
def test_what_no_rule_can_say_is_left(text: str, why: str) -> None:
    report = Report()
    found = read(line(text), report)
    assert found is None or (isinstance(found, Edit) and found.deed == "remove")
    assert [why in left.why for left in report.left] == [True]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RequestHeader set X-Who %{SSL_CLIENT_S_DN_CN}s", "X-Who"),
        ("RequestHeader set X-Who %{SSL_CLIENT_S_DN_CN}e env=CN", "X-Who"),
        ("RequestHeader add X-Who %{SSL_CLIENT_S_DN_CN}s", "X-Who"),
        ("RequestHeader merge X-Who a", "X-Who"),
        ("RequestHeader set X-Who: %{REMOTE_USER}s", "X-Who"),
        ("RequestHeader append X-Who %{REMOTE_USER}e", "X-Who"),
        ("RequestHeader set X-Who a\x01b", "X-Who"),
        ("RequestHeader set SSL_CLIENT_CERT %{SSL_CLIENT_CERT}s expr=true", None),  # nobody says it anyway
        ("RequestHeader set Authorization '%{TOKEN}e' env=TOKEN", None),
        ("RequestHeader setifempty X-Who %{REMOTE_USER}e", None),
        ("RequestHeader edit X-Who a b", None),
        ("RequestHeader set Mutualgate-Client %{REMOTE_USER}e", None),
        ("RequestHeader set Host %{REMOTE_USER}e", None),
        ("Header set X-Who %{REMOTE_USER}e", None),
        ("Header merge X-Who a", None),
    ],
)
def test_what_a_service_believes_no_client_says(text: str, name: str | None) -> None:
    report = Report()
    found = read(line(text), report)
    assert report.left
    if name is None:
        assert found is None
    else:
        assert isinstance(found, Edit)
        assert (found.direction, found.deed, found.name) == ("request", "remove", name)


@pytest.mark.parametrize(
    ("texts", "found", "left"),
    [
        (["add X a", "append x b"], FieldRules(add=(("X", "a, b"),)), 0),
        (["add X a", "add X b"], FieldRules(add=(("X", "a"),)), 1),
        (["set X a", "add X b"], FieldRules(set=(("X", "a"),)), 1),
        (["unset X", "append X b"], FieldRules(set=(("X", "b"),)), 0),
    ],
)
def test_a_name_has_one_rule(texts: list[str], found: FieldRules, left: int) -> None:
    report = Report()
    edits = [one for text in texts if isinstance(one := read(line(f"Header {text}"), report), Edit)]
    assert rules(edits, "response", report) == found
    assert len(report.left) == left
