"""`SSLRequire` and `Require expr`: what is understood of them, and that the rest is no open door."""

import pytest
from apache.hosts import CN

from mutualgate.apache.expressions import grant_of_expression
from mutualgate.apache.grants import OPEN, Grant
from mutualgate.apache.syntax import Directive, Place

ANYBODY = Grant(certificate=True)
UNKNOWN = Grant(unknown=True)


def clients(*names: str) -> Grant:
    return Grant(certificate=True, clients=frozenset(names))


def roles(*names: str) -> Grant:
    return Grant(certificate=True, roles=frozenset(names))


def grant(text: str) -> Grant:
    return grant_of_expression(Directive(Place("site.conf", 1), "SSLRequire", (), f"SSLRequire {text}"), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"  \"{CN} == 'alice'\"", clients("alice")),
        (f'"{CN} == \\"alice\\""', clients("alice")),
        (f"{CN} == 'alice' \t", clients("alice")),
        (f"{CN} == 'alice' and %{{SSL_CLIENT_VERIFY}} == 'SUCCESS'", clients("alice")),
        (f"{CN} == 'a' or {CN} == 'b' or {CN} == 'c'", clients("a", "b", "c")),
        (f"{CN} == 'a' or true", OPEN),
        (f"{CN} in {{'a', 'b','c'}}", clients("a", "b", "c")),
        (f"{CN} =~ /^a\\.b\\@c\\-d$/", clients("a.b@c-d")),
        ("%{SSL:SSL_CLIENT_S_DN_CN_0} = 'alice'", clients("alice")),
        (f"{CN} == 'SUCCESS'", clients("SUCCESS")),
        ("%{SSL_CLIENT_S_DN} == ''", UNKNOWN),
        ("%{SSL_CLIENT_S_DN} == '/O=Acme/CN=alice'", roles("alice")),
        ("%{SSL_CLIENT_S_DN} != ''", ANYBODY),
        (f"{CN} != ''", ANYBODY),
        ("%{SSL_CLIENT_VERIFY} != 'none'", ANYBODY),
        ("%{HTTPS} == 'ON'", OPEN),
        ("%{SSL_PROTOCOL} in {'TLSv1.2', 'TLSv1.3'}", OPEN),
        ("%{SSL_PROTOCOL} != 'TLSv1.1'", OPEN),
        ("%{SSL_CIPHER} !~ m/^NULL/", OPEN),
        ("%{SSL_CIPHER_USEKEYSIZE} >= 128", OPEN),
        ("%{SSL_CIPHER_USEKEYSIZE} -gt 127", OPEN),
        ("%{SSL_CLIENT_S_DN_OU} in {'Ops', 'Dev'}", roles("ops", "dev")),
    ],
)
def test_what_is_understood(text: str, expected: Grant) -> None:
    assert grant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true true",
        "'true' and true",
        f"{CN} == 'alice' ; true",
        "false",
        f"{CN} == %{{SSL_CLIENT_S_DN_OU}}",
        "%{SSL_CLIENT_S_DN_OU} == %{REMOTE_USER}",
        f"{CN} != 'NONE'",
        "%{SSL_CIPHER} != 'TLSv1'",
        f"{CN} == ",
        f"{CN} 'alice'",
        f"'alice' == {CN}",
        f"{CN} in 'alice'",
        f"{CN} in {{'alice' 'bob'}}",
        f"{CN} in {{'alice', 'bob'",
        f"{CN} in {{}}",
        f"{CN} in {{'alice', '../bob'}}",
        f"{CN} =~ 'alice'",
        f'"{CN} =~ /^(a\\|b)$/"',
        f"{CN} =~ /^a|b$/x",
        f"{CN} =~ /^alice/",
        f"{CN} =~ /alice$/",
        f"{CN} >= 'alice'",
        f"{CN} != 'SUCCESS'",
        "%{SSL_CLIENT_S_DN_O} != ''",
        "%{SSL_CLIENT_S_DN} != 'CN=mallory'",
        "%{SSL_CLIENT_VERIFY} != 'SUCCESS'",
        "%{SSL_CLIENT_VERIFY} == 'NONE'",
        "%{SSL_CLIENT_VERIFY} in {'SUCCESS', 'GENEROUS'}",
        "%{HTTPS} == 'off'",
        "%{SSL_PROTOCOL} == 'TLSv1.3'",
        "%{SSL_PROTOCOL} != 'TLSv1.2'",
        "%{SSL_CIPHER_USEKEYSIZE} >= 129",
        "%{SSL_CIPHER_USEKEYSIZE} > 128",
        "%{SSL_CIPHER_USEKEYSIZE} < 127",
        "%{SSL_CIPHER_USEKEYSIZE} >= many",
        "%{SSL_CIPHER_ALGKEYSIZE} >= 128",
        "%{SSL_CLIENT_S_DN} == 'CN=alice,CN=bob'",
        "%{SSL_CLIENT_S_DN_OU} == '---'",
        "%{SSL_CLIENT_S_DN_OU} in {'Ops', 'OPS'}",
        "%{REMOTE_USER} == 'alice'",
        f"not {CN} == 'mallory'",
    ],
)
def test_what_is_not_understood_is_no_open_door(text: str) -> None:
    assert grant(text) == UNKNOWN


def test_parentheses_beside_each_other_are_not_deep() -> None:
    assert grant(" or ".join([f"({CN} == 'alice')"] * 120)) == clients("alice")
    assert grant("(" * 90 + f"{CN} == 'alice'" + ")" * 90) == clients("alice")
    assert grant("(" * 110 + f"{CN} == 'alice'" + ")" * 110) == UNKNOWN
