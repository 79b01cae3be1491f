"""Who may pass where several rules hold at once, as virtual hosts say it."""

import pytest
from apache.hosts import BASIC, CN, imported, routes, vhost, whys

from mutualgate.apache.grants import MOST_ROLES, OPEN, Grant, all_of, any_of, role_of
from mutualgate.config import parse

ALICE = Grant(certificate=True, clients=frozenset({"alice"}))
UNKNOWN = Grant(unknown=True)
NOBODY = Grant(nobody=True)
ANYBODY = Grant(certificate=True)


def test_one_of_several_suffices() -> None:
    assert any_of([ALICE, OPEN]) == any_of([UNKNOWN, OPEN]) == OPEN
    assert any_of([ALICE, UNKNOWN]) == UNKNOWN
    assert any_of([ALICE, ANYBODY]) == ANYBODY
    assert any_of([ALICE, NOBODY]) == ALICE
    assert any_of([NOBODY, NOBODY]) == NOBODY


def test_each_has_to_hold() -> None:
    assert all_of([]) == all_of([OPEN]) == OPEN
    assert all_of([ALICE, ANYBODY, OPEN]) == ALICE
    assert all_of([ALICE, UNKNOWN]) == UNKNOWN
    assert all_of([UNKNOWN, NOBODY]) == NOBODY
    assert all_of([ALICE, ALICE]) == ALICE


def test_a_certificate_that_goes_without_saying_is_no_cause() -> None:
    rules = ("Require ssl-verify-client", f"Require expr {CN} == 'alice'")
    result = imported(vhost(*BASIC, "<Location /x>", "<RequireAll>", *rules, "</RequireAll>", "</Location>"))
    assert [left.directive for left in result.left] == [rules[1]]
    alone = imported(vhost(*BASIC, "<Location /x>", rules[0], "Order allow,deny", "Deny from all", "</Location>"))
    assert [left.directive for left in alone.left] == [rules[0], "Deny from all"]


def test_an_open_rule_beside_others_is_open_as_in_httpd() -> None:
    rules = ("Require all granted", "Require ip 10.0.0.1", "LimitRequestBody 5")
    assert not routes(*BASIC, "<Location /x>", *rules, "</Location>")["/x"].roles
    rules = ("Require ssl-verify-client", f"Require expr {CN} == 'alice'", "LimitRequestBody 5")
    assert not routes(*BASIC, "<Location /x>", *rules, "</Location>")["/x"].clients


def both(first: int, second: int) -> Grant:
    """Roles for so many times so many pairs."""
    return all_of(
        Grant(certificate=True, roles=frozenset(f"{word}{number}" for number in range(count)))
        for word, count in (("a", first), ("b", second))
    )


def test_a_role_stands_for_those_of_whom_all_holds_as_long_as_they_are_few() -> None:
    assert len(both(4, 5).roles) == 4 * 5 == MOST_ROLES
    assert both(4, 6) == both(3, 7) == UNKNOWN


def test_a_role_that_no_client_could_have_is_none() -> None:
    long = (Grant(certificate=True, roles=frozenset({letter * 40})) for letter in "ab")
    assert all_of(long) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "role"),
    [("Night Shift", "night-shift"), ("-Acme, Inc.-", "acme-inc"), ("x" * 63 + " y", "x" * 63), ("é", "")],
)
def test_words_become_names_of_roles(text: str, role: str) -> None:
    assert role_of(text) == role


@pytest.mark.parametrize(
    "rule",
    [
        "<RequireAny>\n</RequireAny>",
        "<RequireAll>\n</RequireAll>\nRequire ip 10.0.0.1",
        "<RequireAny>\n<IfDefine OFFICE>\nRequire ip 10.0.0.1\n</IfDefine>\n</RequireAny>",
        f"<RequireAny>\nRequire expr {CN} == 'alice'\n<RequireAll>\n</RequireAll>\n</RequireAny>",
    ],
)
def test_rules_without_a_rule_open_nothing(rule: str) -> None:
    """httpd does not start with them: what was in them stood in a condition."""
    result = imported(vhost(*BASIC, "<Location /x>", rule, "</Location>"))
    assert {route.path: bool(route.roles) for route in parse(result.toml).sites[0].routes} == {"/": False, "/x": True}
    assert "the gate has no such rule" in whys(result, "<Require")
