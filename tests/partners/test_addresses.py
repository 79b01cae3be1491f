"""R11: addresses come out of others' certificates; none of them leads into this network or to this machine."""

import ipaddress

import pytest

from mutualgate.errors import BadInput
from mutualgate.partners.addresses import check_written, is_public, may_connect, read_location


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "shown"),
    [
        ("http://crl.acme.example/ca.crl", "crl.acme.example", 80, "/ca.crl", "crl.acme.example"),
        ("HTTP://CRL.ACME.EXAMPLE", "crl.acme.example", 80, "/", "crl.acme.example"),
        ("https://a.example:8443/x?y=1%20", "a.example", 8443, "/x?y=1%20", "a.example:8443"),
        ("http://192.0.2.7/", "192.0.2.7", 80, "/", "192.0.2.7"),
        ("http://[2001:db8:0::1]:81/", "2001:db8::1", 81, "/", "[2001:db8::1]:81"),
    ],
)
def test_what_can_be_fetched(url: str, host: str, port: int, target: str, shown: str) -> None:
    location = read_location(url)
    assert (location.host, location.port, location.target, location.shown_host) == (host, port, target, shown)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ldap://ldap.acme.example/cn=ca?certificateRevocationList",
        "ldaps://ldap.acme.example/",
        "file:///etc/passwd",
        "ftp://ftp.acme.example/ca.crl",
        "gopher://127.0.0.1:25/",
        "data:,x",
        "unix:/run/x.sock",
        "//crl.acme.example/ca.crl",
        "crl.acme.example/ca.crl",
        "http:///ca.crl",
        "http://user@crl.acme.example/",
        "http://user:secret@crl.acme.example/",
        "http://crl.acme.example@127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://127.0.0.1.:80:80/",
        "http://crl.acme.example:0/",
        "http://crl.acme.example:99999/",
        "http://crl.acme.example/#x",
        "http://crl.acme.example/a b",
        "http://crl.acme.example/\r\nX: y",
        "http://crl.acme.example\\@127.0.0.1/",
        "http://*.acme.example/",
        "http://crl.acme.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadInput) as error:
        read_location(url)
    assert error.value.code == "bad_address"
    assert "secret" not in str(error.value.problem)
    assert str(error.value).isprintable()


PRIVATE = [
    *("127.0.0.1", "127.255.0.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("192.0.2.1", "192.88.99.1"),
    *("::1", "fe80::1", "fc00::1", "fd12::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a00:1", "2001:db8::1", "2002:7f00:1::", "2001::1", "fec0::1", "100::1", "3fff::1", "4000::1"),
]
NEVER = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"]
PUBLIC = ["1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]
PUBLIC += ["64:ff9b::101:101", "2a00:1450::1"]


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_public_has_to_be_allowed(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not is_public(address)
    assert not may_connect(address, private=False)
    assert may_connect(address, private=True)


@pytest.mark.parametrize("text", NEVER)
def test_groups_and_nowhere_are_never_allowed(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not may_connect(address, private=False)
    assert not may_connect(address, private=True)
    if address.version == 4:
        assert not may_connect(ipaddress.ip_address(f"::ffff:{text}"), private=True)


@pytest.mark.parametrize(
    ("host", "private", "problem", "fix"),
    [
        (
            "10.1.2.3",
            False,
            "leads into a private network or to this machine",
            "If that is right, allow it with --private",
        ),
        (
            "[::1]",
            False,
            "leads into a private network or to this machine",
            "If that is right, allow it with --private",
        ),
        ("224.0.0.1", True, "leads to a group of machines, or to none", None),
    ],
)
def test_an_address_that_is_written_out_is_looked_at_at_once(
    host: str, private: bool, problem: str, fix: str | None
) -> None:
    with pytest.raises(BadInput) as refused:
        check_written(read_location(f"http://{host}/ca.crl"), private)
    assert (refused.value.problem, refused.value.fix, refused.value.code) == (problem, fix, "private_address")


def test_what_may_be_fetched_is_not_in_the_way() -> None:
    for host, private in (("10.1.2.3", True), ("1.1.1.1", False), ("crl.acme.example", False)):
        check_written(read_location(f"http://{host}/ca.crl"), private)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
    assert may_connect(ipaddress.ip_address(text), private=False)
