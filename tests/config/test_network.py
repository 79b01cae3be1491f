"""Names and places on the network, in the one spelling that everything else compares."""

from pathlib import Path

import pytest

from mutualgate.config.kinds import Unfit
from mutualgate.config.network import Address, Host, Listener, Network, PlainUrl, Service, UrlPath

HERE = Path("/folder")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", Address("127.0.0.1", 8443)),
        ("[::1]:0", Address("::1", 0)),
        ("[0:0::0:1]:443", Address("::1", 443)),
        ("localhost:8443", Address("127.0.0.1", 8443)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Listener().read(text, HERE) == address


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:8443", "[::1]:8443"):
        assert str(Listener().read(text, HERE)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8443",
        ":8443",
        "*:8443",
        "::1:8443",
        "[::1]",
        "127.1:80",
        "host:80",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٨",
        "[fe80::1%eth0]:80",
        "127.0.0.1:80 ",
        8443,
    ],
)
def test_what_is_no_address(text: object) -> None:
    with pytest.raises(Unfit):
        Listener().read(text, HERE)


def test_a_lone_port_is_told_how_to_be_an_address() -> None:
    with pytest.raises(Unfit) as caught:
        Listener().read("8443", HERE)
    assert caught.value.fix == 'Write "127.0.0.1:8443" for this machine alone, "0.0.0.0:8443" for everybody'


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("0.0.0.0:80", "[::]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_which_addresses_cannot_be_listened_on_together(one: str, other: str, overlap: bool) -> None:
    first, second = Listener().read(one, HERE), Listener().read(other, HERE)
    assert first.overlaps(second) is overlap
    assert second.overlaps(first) is overlap


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("WWW.Example.COM", "www.example.com"),
        ("my_host", "my_host"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # decomposed
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2008, as browsers do, not "strasse"
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("0::1", "::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_hosts_have_one_spelling(text: str, host: str) -> None:
    assert Host().read(text, HERE) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "a.b.",
        "*.example.com",
        "a:443",
        "https://a",
        "[::1]",
        "127.1",
        "1.2.3.4.5",
        "256.0.0.1",
        "-a",
        "a-",
        "a b",
        "a/b",
        "a" * 64,
        ".".join(["a" * 63] * 4 + ["b"]),
        "a\u200db",
        "ﬁ.example",
        "a。b",
        "xn--a\u00e4",
        "a\n",
        "fe80::1%eth0",
        "a\0b",
        1,
    ],
)
def test_what_is_no_host(text: object) -> None:
    with pytest.raises(Unfit):
        Host().read(text, HERE)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("*.example.com", "List each name"),
        ("a.example.", "Leave out the dot at the end"),
        ("[::1]", "Write the name alone"),
        ("https://a.example", "Write the name alone"),
        ("a.example:443", "Write the name without the port"),
        ("a\u200db.example", "Write the name with its xn-- labels"),
    ],
)
def test_what_is_nearly_a_host_is_told_how_to_be_one(text: str, fix: str) -> None:
    with pytest.raises(Unfit) as caught:
        Host().read(text, HERE)
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("HTTP://Tomcat:8080", "http://tomcat:8080"),
        ("http://app_1", "http://app_1:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("unix:app.sock", "unix:/folder/app.sock"),
        ("demo", "demo"),
    ],
)
def test_upstreams(text: str, address: str) -> None:
    assert str(Service().read(text, HERE)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "http://a:0",
        "http://a:65536",
        "http://a/app",
        "http://a?b",
        "http://a#b",
        "http://a:b",
        "http://a b",
        "https://a:0",
        "a:80",
        "ftp://a",
        "unix:",
        "unix:/a\0b",
        "unix:/" + "a" * 200,
        "http://[::1",
        "http://a\n:80",
        "Demo",
        8080,
    ],
)
def test_what_is_no_upstream(text: object) -> None:
    with pytest.raises(Unfit):
        Service().read(text, HERE)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@a:80",
        "user:hunter2@a:80",
        "http://user:hunter2@[a",
        "http://u:hunter2@a:99999",
        "https://user:hunter2@a",
    ],
)
def test_a_password_in_an_upstream_is_not_repeated(text: str) -> None:
    with pytest.raises(Unfit) as caught:
        Service().read(text, HERE)
    assert "hunter2" not in f"{caught.value.problem} {caught.value.fix}"


@pytest.mark.parametrize("text", ["/", "/admin", "/a/b-c_d.e~f", "/...", "/.well-known"])
def test_paths_that_have_one_spelling(text: str) -> None:
    assert UrlPath().read(text, HERE) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "admin",
        "/admin/",
        "//",
        "/a//b",
        "/.",
        "/a/..",
        "/../a",
        "/a;b",
        "/a\\b",
        "/%61",
        "/a%2fb",
        "/a%20b",
        "/%",
        "/a?b",
        "/a#b",
        "/é",
        "/a b",
        "/a\n",
        "/a\0",
        "/a!",
        "/a:b",
        "/" + "a" * 1024,
        1,
    ],
)
def test_paths_that_servers_could_read_otherwise(text: object) -> None:
    with pytest.raises(Unfit):
        UrlPath().read(text, HERE)


def test_revocation_lists_are_not_fetched_by_tls() -> None:
    with pytest.raises(Unfit) as caught:
        PlainUrl().read("https://ca.example.com/crl", HERE)
    assert caught.value.fix == "Lists are fetched over plain http: they are signed, and https would need them first"


def test_the_address_of_revocation_lists() -> None:
    assert PlainUrl().read("http://CA.example.com:8080/crl/", HERE) == "http://ca.example.com:8080/crl"
    assert PlainUrl().read("http://[::1]/x", HERE) == "http://[::1]/x"
    for text in (
        "https://ca.example.com",
        "ca.example.com",
        "http://a:0",
        "http://a/?b",
        "http://u@a",
        "http://a/b c",
        "",
    ):
        with pytest.raises(Unfit):
            PlainUrl().read(text, HERE)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_networks_have_one_spelling(text: str, network: str) -> None:
    assert Network().read(text, HERE) == network


@pytest.mark.parametrize("text", ["", "host", "10.0.0.0/33", "10.0.0", "10.0.0.1-10.0.0.9", "::1/129", 7])
def test_what_is_no_network(text: object) -> None:
    with pytest.raises(Unfit):
        Network().read(text, HERE)


def test_a_network_that_is_meant_is_told() -> None:
    with pytest.raises(Unfit) as caught:
        Network().read("10.0.0.7/8", HERE)
    assert caught.value.fix == 'Write "10.0.0.0/8"'


@pytest.mark.parametrize(
    ("text", "address", "stream", "server"),
    [
        ("tcp://127.0.0.1:6379", "tcp://127.0.0.1:6379", "tcp", "tcp://127.0.0.1:6379"),
        ("TCP://Cache:06379", "tcp://cache:6379", "tcp", "tcp://cache:6379"),
        ("tls://cache:6380", "tls://cache:6380", "tcp", "tls://cache:6380"),
        ("postgresql://[::1]:5432", "postgresql://[::1]:5432", "postgresql", "tcp://[::1]:5432"),
        ("tcp+unix:/run/cache.sock", "tcp+unix:/run/cache.sock", "tcp", "unix:/run/cache.sock"),
        ("postgresql+unix:run/.s.PGSQL.5432", "postgresql+unix:/folder/run/.s.PGSQL.5432", "postgresql",
         "unix:/folder/run/.s.PGSQL.5432"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1", None, "http://127.0.0.1:1"),
        ("tcp", "tcp", None, "tcp"),
    ],
)  # fmt: skip
def test_upstreams_that_are_no_http(text: str, address: str, stream: str | None, server: str) -> None:
    upstream = Service().read(text, HERE)
    assert (str(upstream), upstream.stream, upstream.server) == (address, stream, server)


@pytest.mark.parametrize(
    "text",
    ["tcp:", "tcp://", "tcp://db", "tcp://db:0", "tcp://db:65536", "tcp://db:1/", "tcp:db:1", "tcp+unix:",
     "tls://db", "tls+unix:/db",
     "tcp+unix:a/", "mysql://db:3306", "postgresql://u:p@db:5432", "postgresql://db:5432/shop"],
)  # fmt: skip
def test_what_is_no_upstream_beyond_http(text: str) -> None:
    with pytest.raises(Unfit) as unfit:
        Service().read(text, HERE)
    assert "u:p" not in str(unfit.value.problem)
