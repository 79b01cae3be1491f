"""Where requests go: times of httpd as the gate writes them, and pools of servers."""

from datetime import timedelta

import pytest
from apache.hosts import TLS, config, imported, vhost, whys

from mutualgate.apache.import_ import Imported
from mutualgate.apache.pools import duration, seconds
from mutualgate.config import UpstreamConfig, parse
from mutualgate.config.shape import Balance


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("5", '"5s"'),
        ("500MS", '"500ms"'),
        ("1500ms", '"1500ms"'),
        ("1ms", '"10ms"'),
        ("2mi", '"120s"'),
        ("3min", '"180s"'),
        ("1h", '"3600s"'),
        ("90000h", '"86400s"'),
    ],
)
def test_a_time_is_as_long_as_the_gate_waits(text: str, written: str) -> None:
    wait = seconds(text)
    assert wait is not None
    assert duration(wait) == written


@pytest.mark.parametrize("text", ["", "0", "0ms", "soon", "-5", "5 s", "1000000000"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert seconds(text) is None


def pool(first: str = "", second: str = "", *more: str) -> Imported:
    members = (f"BalancerMember http://10.0.0.1 {first}", f"BalancerMember http://10.0.0.2 {second}")
    return imported(vhost(*TLS, "ProxyPass / balancer://a/", "<Proxy balancer://a>", *members, *more, "</Proxy>"))


def upstream(*lines: str) -> UpstreamConfig:
    (one,) = config(*TLS, *lines).upstreams
    return one


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("loadfactor=2", "loadfactor=2", []),
        ("loadfactor=1", "", []),
        ("route=1", "route=2", []),
        ("loadfactor=2", "", ["BalancerMember http://10.0.0.1 loadfactor=2"]),
    ],
)
def test_weights_are_named_where_they_differ(first: str, second: str, left: list[str]) -> None:
    assert [one.directive for one in pool(first, second).left] == left


def test_a_client_that_stays_at_one_server_has_several() -> None:
    two = pool("", "", "ProxySet stickysession=ID")
    assert "keeps a client at one server" in two.left[0].why
    assert parse(two.toml).upstreams[0].balance is Balance.CLIENT_HASH
    one = imported(vhost(*TLS, "ProxyPass / http://h/ stickysession=ID keepalive=On"))
    assert (one.left, parse(one.toml).upstreams) == ((), ())


@pytest.mark.parametrize("member", ["status=+H", "status=R", "lbset=1"])
def test_a_spare_server_is_named(member: str) -> None:
    assert "no spare servers" in pool(member).left[0].why


def test_one_that_is_out_needs_no_word() -> None:
    assert pool("status=D").left == ()


def test_a_certificate_for_services_is_for_those_behind_tls() -> None:
    own = ("SSLProxyMachineCertificateFile own.pem", "ProxyPass / http://h/")
    assert config(*TLS, *own).upstreams == ()


def test_a_service_that_httpd_would_verify_without_an_authority_is_named() -> None:
    result = imported(vhost(*TLS, "SSLProxyVerify require", "ProxyPass / https://h/"))
    assert "takes none unseen" in whys(result, "ProxyPass")[0]


@pytest.mark.parametrize(("given", "time"), [("retry=5", 5), ("", 60), ("retry=0", 60), ("retry=90000", 3600)])
def test_a_sick_server_is_left_out_for_an_hour_at_most(given: str, time: int) -> None:
    one = upstream(f"ProxyPass / http://h/ failonstatus=503 {given}")
    assert one.ejection.time == timedelta(seconds=time)


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ("hcmethod=tcp hcuri=/x", ['check = "tcp"', 'interval = "30s"', "rise = 1", "fall = 1"]),
        ("hcmethod=GET hcuri=/x?y", ['check = "http"', 'path = "/x"', 'interval = "30s"', "rise = 1", "fall = 1"]),
        ("hcmethod=GET hcuri=?y", ['check = "http"', 'interval = "30s"', "rise = 1", "fall = 1"]),
        ("hcmethod=GET hcuri=/a;b", ['check = "http"', 'interval = "30s"', "rise = 1", "fall = 1"]),
        ("hcmethod=GET hcinterval=20ms hcpasses=0 hcfails=1000",
         ['check = "http"', 'interval = "100ms"', "rise = 1", "fall = 100"]),
        ("hcmethod=GET hcinterval=2h hcpasses=many hcfails=100",
         ['check = "http"', 'interval = "3600s"', "rise = 1", "fall = 100"]),
    ],
)  # fmt: skip
def test_how_a_server_is_asked_whether_it_is_well(given: str, rows: list[str]) -> None:
    toml = imported(vhost(*TLS, f"ProxyPass / http://h/ {given}")).toml
    assert toml.partition("[upstreams.health]\n")[2].partition("\n\n")[0].splitlines() == rows


def test_a_path_that_the_gate_cannot_ask_for_is_named() -> None:
    assert "hcuri=/a;b" in whys(imported(vhost(*TLS, "ProxyPass / http://h/ hcmethod=GET hcuri=/a;b")), "ProxyPass")[0]


@pytest.mark.parametrize(
    ("address", "do"),
    [("http://h:0/", "Use http://HOST:PORT or unix:/PATH."), ("http://user:hunter2@h/", "by headers")],
)
def test_an_address_that_is_none_is_named_with_what_to_do(address: str, do: str) -> None:
    (left,) = (one for one in imported(vhost(*TLS, f"ProxyPass / {address}")).left if "ProxyPass" in one.directive)
    assert left.do.endswith(do)
    assert "hunter2" not in f"{left}"
