"""`Require`, `Order` and their kin: what a section says, also where it says nothing."""

import pytest
from apache.hosts import BASIC, CN, TLS, Nothing, routes

from mutualgate.apache.access import always_of, grant_of
from mutualgate.apache.grants import OPEN, Grant
from mutualgate.apache.syntax import parse
from mutualgate.config import Mode

ANYBODY = Grant(certificate=True)
ALICE = Grant(certificate=True, clients=frozenset({"alice"}))
UNKNOWN = Grant(unknown=True)
NOBODY = Grant(nobody=True)
IS_ALICE = f"Require expr {CN} == 'alice'"


def grant(*lines: str) -> Grant | None:
    return grant_of(parse("\n".join(lines), "site.conf", Nothing())[0])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["LimitRequestBody 5"], None),
        (["Order deny,allow"], None),
        (["Satisfy any"], None),
        (["Require all granted"], OPEN),
        (["require ALL Granted"], OPEN),
        (["Require ssl"], OPEN),
        (["Require all denied"], NOBODY),
        (["Require ssl-verify-client"], ANYBODY),
        (["Require ssl-verify-client more"], UNKNOWN),
        (["Require all granted more"], UNKNOWN),
        (["Require not all denied"], UNKNOWN),
        ([IS_ALICE], ALICE),
        (["Require all denied", IS_ALICE], ALICE),
        (["Require ip 10.0.0.1", IS_ALICE], UNKNOWN),
        (["<RequireAll>", "Require ssl-verify-client", IS_ALICE, "</RequireAll>"], ALICE),
        (["<RequireAny>", "Require ssl-verify-client", IS_ALICE, "</RequireAny>"], ANYBODY),
        (["<RequireAny>", "<RequireAll>", "Require ssl", IS_ALICE, "</RequireAll>", "</RequireAny>"], ALICE),
        (["<RequireNone>", "Require all denied", "</RequireNone>"], UNKNOWN),
        (["Order allow,deny", "Allow from all"], OPEN),
        (["Order deny,allow", "Deny from all"], NOBODY),
        (["Deny from 10.0.0.1"], UNKNOWN),
        (["Allow from 10.0.0.1"], UNKNOWN),
        (["Allow from all", "Deny from 10.0.0.1"], UNKNOWN),
        (["Allow from all", IS_ALICE], ALICE),
        (["Deny from 10.0.0.1", IS_ALICE], UNKNOWN),
        (["Satisfy all", "Deny from all", IS_ALICE], NOBODY),
        (["Satisfy Any", "Deny from all", IS_ALICE], UNKNOWN),
        (["Satisfy any", "Allow from all", "Require all granted"], OPEN),
        (["AuthMerging off", IS_ALICE], ALICE),
        (["AuthMerging Or", IS_ALICE], UNKNOWN),
    ],
)
def test_what_a_section_says(lines: list[str], expected: Grant | None) -> None:
    assert grant(*lines) == expected


def test_what_mod_ssl_requires_has_to_hold_as_a_whole() -> None:
    lines = (f"SSLRequire {CN} == 'alice'", "SSLRequire %{SSL_CLIENT_VERIFY} == 'SUCCESS'", "Require ip 10.0.0.1")
    assert always_of(parse("\n".join(lines), "site.conf", Nothing())[0]) == ALICE


@pytest.mark.parametrize(
    ("line", "clients", "roles"),
    [
        (f"SSLRequire {CN} == 'alice'", ("alice",), ()),
        ("SSLVerifyClient require", (), ()),
        ("AuthMerging And", (), ("any",)),
    ],
)
def test_what_stands_beside_require_in_a_group_holds_for_all(
    line: str, clients: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    inner = ("<RequireAll>", line, "Require all granted", "</RequireAll>")
    for group in (inner, ("<RequireAny>", *inner, "</RequireAny>")):
        found = routes(*TLS, "ProxyPass / http://h/", "<Location /x>", *group, "</Location>")["/x"]
        assert found.client_certificate is Mode.REQUIRED
        assert (found.clients, bool(found.roles)) == (clients, bool(roles))
    (limited,) = routes(*TLS, "ProxyPass / http://h/", "<Limit POST>", *inner, "</Limit>").values()
    assert limited.client_certificate is Mode.REQUIRED


def test_a_rule_is_shut_because_of_what_says_so() -> None:
    merged = grant("LimitRequestBody 5", "AuthMerging And", "Require all granted")
    assert merged is not None
    assert [directive.text for directive in merged.because] == ["AuthMerging And"]


def test_a_part_that_says_nothing_has_the_rule_of_the_whole() -> None:
    whole = ("<Location />", "Require ip 10.0.0.1", "</Location>")
    found = routes(*BASIC, *whole, "<Location /x>", "LimitRequestBody 5", "Order deny,allow", "</Location>")
    assert found["/x"].max_body_bytes == 5
    assert found["/x"].roles == found["/"].roles != ()
