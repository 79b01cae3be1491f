"""What one address, one client, a site and a route may use: all that is beyond is turned away, and nothing else is.

Rates are by the hour, so that no test waits and none depends on how fast it runs: what is used up stays so. Each test
has clients and addresses (127.0.0.0/8) of its own. There are two workers, and limits hold for both together.
"""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.raw import SECONDS, Connection, Response
from end_to_end.recorder import Recorder

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "{upstream}" }},
    {{ path = "/slow", upstream = "{upstream}", limits = {{ client_requests = "3/h burst 3" }} }},
    {{ path = "/all", upstream = "{upstream}", limits = {{ requests = "4/h burst 4" }} }},
{more}
]

[[sites]]
name = "open"
hosts = ["open.test"]
client_certificate = "optional"
limits = {{ client_requests = "2/h burst 2" }}
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "fair"
hosts = ["fair.test"]
limits = {{ requests = "30/h burst 30", client_requests = "10/h burst 10" }}
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "plain"
hosts = ["plain.test"]
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "few"
hosts = ["few.test"]
limits = {{ client_connections = 2 }}
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "full"
hosts = ["full.test"]
limits = {{ connections = 3 }}
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "seldom"
hosts = ["seldom.test"]
limits = {{ client_handshakes = "3/h burst 3" }}
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "shy"
hosts = ["shy.test"]
limits = {{ handshakes = "4/h burst 4" }}
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""
LIMITS = """
workers = 2
[gate.timeouts]
header = "10m"
idle = "10m"
[gate.limits]
address_connections = 6
address_handshakes = "25/h burst 25"
address_requests = "15/h burst 15"
client_connections = 4
client_handshakes = "20/h burst 20"
client_requests = "12/h burst 12"
"""

_addresses, _names = count(1), count(1)


class Limited:
    """A gate with limits, and clients that come from where they say."""

    def __init__(self, gate: Gate, head: str, upstream: Recorder) -> None:
        self.gate, self.head, self.upstream = gate, head, upstream

    def client(self) -> Identity:
        """A client of its own."""
        return self.gate.client(f"client-{next(_names)}")

    def open(self, identity: Identity | None, address: str, host: str = "localhost", *, h2: bool = False) -> Connection:
        """A connection from `address`."""
        tls = self.gate.context(identity, alpn=["h2" if h2 else "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", self.gate.port), SECONDS, source_address=(address, 0))
        try:
            return Connection(tls.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise

    def get(self, target: str, identity: Identity | None, address: str = "", host: str = "localhost") -> Response:
        """One request on a connection of its own, from an address of its own if none is given."""
        with self.open(identity, address or new_address(), host) as connection:
            return connection.request(target, host=host)

    def limited(self) -> dict[str, int]:
        """How often each limit was met."""
        return dict(self.gate.command("status").json["counters"]["limited"])

    def most(self) -> set[tuple[str, str]]:
        """Who met which."""
        return {(one["limit"], one["who"]) for one in self.gate.command("status").json["counters"]["limited_most"]}


def new_address() -> str:
    number = next(_addresses)
    return f"127.7.{number >> 8}.{number & 255}"


def assert_turned_away(response: Response) -> None:
    """A 429 that says why and when to come again."""
    assert (response.status, response.reason) == (429, "too_many_requests")
    wait = response.header("retry-after")
    assert wait is not None
    assert 1 <= int(wait) <= 3600


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Limited]:
    folder = tmp_path_factory.mktemp("shares")
    with running_gate(folder / "gate", SITES.format(upstream=upstream.url, more=""), LIMITS) as gate:
        head = (gate.folder / "mutualgate.toml").read_text().split("[[sites]]")[0]
        yield Limited(gate, head, upstream)


def statuses(responses: list[Response]) -> list[int]:
    return [response.status for response in responses]


def test_requests_of_a_client_are_limited_over_all_its_connections_and_addresses(limited: Limited) -> None:
    somebody, other = limited.client(), limited.client()
    responses = [limited.get("/", somebody) for _ in range(16)]
    assert statuses(responses) == [200] * 12 + [429] * 4
    for response in responses[12:]:
        assert_turned_away(response)
    assert limited.get("/", other).status == 200
    assert limited.limited()["client_requests"] >= 4
    assert any(what == "client_requests" for what, _ in limited.most())


def test_what_is_beyond_is_a_page_and_the_connection_goes_on(limited: Limited) -> None:
    somebody = limited.client()
    with limited.open(somebody, new_address()) as connection:
        assert statuses([connection.request("/slow/x") for _ in range(5)]) == [200] * 3 + [429] * 2
        page = connection.request("/slow/x", [("Accept", "text/html")])
        assert page.status == 429
        assert (page.header("content-type") or "").startswith("text/html")
        assert connection.request("/").status == 200


def test_requests_of_an_address_are_limited_whoever_makes_them(limited: Limited) -> None:
    address = new_address()
    one, other = limited.client(), limited.client()
    assert statuses([limited.get("/", client, address) for client in (one, other) * 4]) == [200] * 8
    # Strangers count, too.
    assert statuses([limited.get("/", None, address) for _ in range(7)]) == [403] * 7
    assert_turned_away(limited.get("/", one, address))
    assert_turned_away(limited.get("/", None, address))
    assert limited.get("/", one).status == 200
    assert ("address_requests", address) in limited.most()


def test_requests_over_http2_count_one_by_one(limited: Limited) -> None:
    somebody = limited.client()
    with limited.open(somebody, new_address(), h2=True) as connection:
        client = H2(connection)
        assert [client.request("/slow").status for _ in range(4)] == [200] * 3 + [429]


def test_all_requests_to_a_route_are_limited_together(limited: Limited) -> None:
    one, other = limited.client(), limited.client()
    responses = [limited.get("/all", client) for client in (one, other) * 3]
    assert statuses(responses) == [200] * 4 + [429] * 2
    assert_turned_away(responses[-1])


def test_who_comes_without_a_certificate_counts_as_its_address(limited: Limited) -> None:
    address = new_address()
    assert statuses([limited.get("/", None, address, "open.test") for _ in range(3)]) == [200, 200, 429]
    assert limited.get("/", None, host="open.test").status == 200
    assert limited.get("/", limited.client(), address, "open.test").status == 200


def test_one_that_floods_takes_nothing_from_the_others(limited: Limited) -> None:
    abuser, honest = limited.client(), [limited.client(), limited.client()]
    got = statuses([limited.get("/", abuser, host="fair.test") for _ in range(19)])
    assert got == [200] * 10 + [429] * 9
    for client in honest:
        assert statuses([limited.get("/", client, host="fair.test") for _ in range(10)]) == [200] * 10
    # Now all together have had what the site gives.
    assert_turned_away(limited.get("/", limited.client(), host="fair.test"))


def test_connections_of_an_address_are_limited_before_tls(limited: Limited) -> None:
    address = new_address()
    with ExitStack() as open_ones:
        clients = (limited.client(), limited.client()) * 3
        first = [open_ones.enter_context(limited.open(client, address)) for client in clients]
        assert not can_connect(limited, address)
        assert [connection.request("/").status for connection in first] == [200] * 6
        assert limited.get("/", clients[0]).status == 200
    assert limited.limited()["address_connections"] >= 1
    assert ("address_connections", address) in limited.most()
    # What is closed counts no longer.
    limited.gate.program.wait_for(lambda: can_connect(limited, address), 15)


def can_connect(limited: Limited, address: str, host: str = "localhost") -> bool:
    try:
        limited.open(None, address, host).transport.close()
    except OSError:
        return False
    return True


def test_handshakes_of_an_address_are_limited_before_tls(limited: Limited) -> None:
    address = new_address()
    assert [can_connect(limited, address) for _ in range(28)] == [True] * 25 + [False] * 3
    assert can_connect(limited, new_address())
    assert ("address_handshakes", address) in limited.most()


def test_connections_of_a_client_are_limited_wherever_it_comes_from(limited: Limited) -> None:
    somebody = limited.client()
    with ExitStack() as open_ones:
        first = [open_ones.enter_context(limited.open(somebody, new_address())) for _ in range(4)]
        with limited.open(somebody, new_address()) as one_more:
            assert_turned_away(one_more.request("/"))
            assert one_more.closed()
        assert [connection.request("/").status for connection in first] == [200] * 4
    assert limited.limited()["client_connections"] >= 1
    limited.gate.program.wait_for(lambda: limited.get("/", somebody).status == 200, 15)


def test_connections_of_a_client_to_a_site_are_limited(limited: Limited) -> None:
    somebody = limited.client()
    with ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(limited.open(somebody, new_address(), "few.test"))
        assert_turned_away(limited.get("/", somebody, host="few.test"))
        assert limited.get("/", limited.client(), host="few.test").status == 200
        assert limited.get("/", somebody).status == 200


def test_connections_to_a_site_are_limited(limited: Limited) -> None:
    with ExitStack() as open_ones:
        one, other = limited.client(), limited.client()
        for _ in range(3):
            open_ones.enter_context(limited.open(one, new_address(), "full.test"))
        # Strangers take nothing of it: they are refused for what they are.
        assert limited.get("/", None, host="full.test").status == 403
        assert_turned_away(limited.get("/", other, host="full.test"))
    assert limited.limited()["site_connections"] >= 1


def test_handshakes_of_a_client_are_limited(limited: Limited) -> None:
    somebody = limited.client()
    responses = [limited.get("/", somebody, host="seldom.test") for _ in range(5)]
    assert statuses(responses) == [200] * 3 + [429] * 2
    assert_turned_away(responses[-1])
    assert limited.limited()["site_client_handshakes"] >= 2


def test_handshakes_of_a_client_are_limited_over_all_sites(limited: Limited) -> None:
    somebody = limited.client()
    before = limited.limited()["client_handshakes"]
    for number in range(23):
        if number == 20:
            assert limited.limited()["client_handshakes"] == before
        last = limited.get("/", somebody, host=("localhost", "plain.test")[number % 2])
    assert_turned_away(last)
    assert limited.limited()["client_handshakes"] == before + 3


def test_handshakes_with_a_site_are_limited_before_keys_are_used(limited: Limited) -> None:
    for _ in range(4):
        limited.open(None, new_address(), "shy.test").transport.close()
    assert not can_connect(limited, new_address(), "shy.test")
    assert ("site_handshakes", "shy") in limited.most()


def test_what_is_counted_outlives_a_change_of_the_configuration(limited: Limited) -> None:
    somebody = limited.client()
    assert statuses([limited.get("/slow", somebody) for _ in range(4)]) == [200] * 3 + [429]
    more = f'\n    {{ path = "/new", upstream = "{limited.upstream.url}", client_certificate = "off" }},'
    file = limited.gate.folder / "mutualgate.toml"
    file.write_text(limited.head + SITES.format(upstream=limited.upstream.url, more=more))
    limited.gate.program.wait_for(lambda: limited.get("/new", None).status == 200, 15)
    assert limited.get("/slow", somebody).status == 429
    assert limited.get("/slow", limited.client()).status == 200


def test_metrics_and_status_say_which_limits_were_met(limited: Limited) -> None:
    somebody = limited.client()
    assert statuses([limited.get("/slow", somebody) for _ in range(4)]) == [200] * 3 + [429]
    with urllib.request.urlopen(f"http://127.0.0.1:{limited.gate.ops_port}/metrics", timeout=SECONDS) as answer:
        text = answer.read().decode()
    line = next(line for line in text.splitlines() if line.startswith('mutualgate_limited_total{limit="route_client'))
    assert int(line.split()[-1]) >= 1
    assert "client-" not in text
