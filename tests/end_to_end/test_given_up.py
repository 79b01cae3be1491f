"""Requests that a client gives up, on connections to a service that others share (HTTP/2).

A real Tomcat: it ends a connection on which it is told so of some requests, and others are not answered between.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from end_to_end import java
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2, RST_STREAM, frame
from end_to_end.raw import Connection

CANCEL = 8
"""RFC 9113 section 7."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    if problem := java.missing():
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("given-up")
    with java.container("tomcat", folder / "container.log") as url:
        sites = f"""
[[upstreams]]
name = "tomcat"
servers = ["{url}"]
protocol = "h2"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "tomcat" }}]
"""
        # One worker, so that all share its connections.
        with running_gate(folder / "gate", sites, "workers = 1\n") as gate:
            yield gate


@pytest.mark.parametrize("at_once", [1, 20], ids=["one by one", "many at once"])
def test_one_who_gives_up_many_requests_ends_no_other_clients(gate: Gate, at_once: int) -> None:
    anna, mallory = gate.client(f"anna-{at_once}"), gate.client(f"mallory-{at_once}")
    with (
        ThreadPoolExecutor(1) as other,
        Connection.open(gate.port, gate.context(anna, alpn=("h2",))) as hers,
        Connection.open(gate.port, gate.context(mallory, alpn=("h2",))) as his,
    ):
        # Not idempotent: nothing of it may be sent again.
        waiting = other.submit(H2(hers).request, "/slow?ms=4000", method="POST")
        time.sleep(0.5)
        giving_up = H2(his)
        fields = [(":method", "GET"), (":scheme", "https"), (":path", "/slow?ms=9000"), (":authority", "localhost")]
        for _ in range(40 // at_once):
            streams = [giving_up.start(fields, end=True) for _ in range(at_once)]
            time.sleep(0.05)  # the service has begun with them
            for stream in streams:
                giving_up.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))
        answered = waiting.result()
        assert answered.status == 200, answered.body
        assert giving_up.request("/hello").status == 200
