"""Spans as the protocol's schema reads them."""

from typing import Any

import collector
import pytest

from mutualgate import __version__
from mutualgate.tracing import otlp

TRACE, SPAN, CALL = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
AT = 1_800_000_000_000_000_123


def record(**changes: Any) -> dict[str, Any]:
    return {
        "trace": TRACE,
        "span": SPAN,
        "parent": None,
        "link": None,
        "state": "",
        "flags": 3,
        "began": AT,
        "ended": AT + 5_000,
        "request": "c" * 32,
        "method": "GET",
        "host": "shop.example.com",
        "port": 443,
        "path": "/orders/1",
        "http": "1.1",
        "peer": "192.0.2.7",
        "site": "shop",
        "route": "/orders",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 12,
        "verdict": "admitted",
        "reason": "",
        "refusal": "",
        "client": "alice",
        "tls": "TLSv1.3",
        "cipher": "TLS13_AES_256_GCM_SHA384",
        "resumed": False,
        "handshake": 0.0025,
        "error": None,
        "call": None,
        **changes,
    }


def call(**changes: Any) -> dict[str, Any]:
    return {
        "span": CALL,
        "began": AT + 1_000,
        "ended": AT + 4_000,
        "upstream": "app",
        "status": 200,
        "error": None,
        "tries": [attempt("http://10.0.0.1:8080", "10.0.0.1:8080")],
        **changes,
    }


def attempt(server: str, address: str, failure: str | None = None) -> dict[str, Any]:
    return {"at": AT + 1_500, "server": server, "address": address, "failure": failure}


def spans(*records: dict[str, Any]) -> list[collector.Received]:
    return collector.read(otlp.encode(records, "gate-eu", "instance-1"))


def test_a_request_is_a_span_of_a_server_by_the_semantic_conventions() -> None:
    (one,) = spans(record())
    assert one.resource == {
        "service.name": "gate-eu",
        "service.version": __version__,
        "service.instance.id": "instance-1",
    }
    assert (one.trace_id, one.span_id, one.parent) == (TRACE, SPAN, "")
    assert (one.span.name, one.span.kind) == ("GET /orders", one.span.SPAN_KIND_SERVER)
    assert (one.span.start_time_unix_nano, one.span.end_time_unix_nano) == (AT, AT + 5_000)
    assert (one.span.flags, one.span.status.code) == (0x103, 0)
    assert one.facts == {
        "http.request.method": "GET",
        "http.route": "/orders",
        "http.response.status_code": 200,
        "http.response.body.size": 12,
        "url.scheme": "https",
        "url.path": "/orders/1",
        "network.protocol.version": "1.1",
        "server.address": "shop.example.com",
        "server.port": 443,
        "client.address": "192.0.2.7",
        "tls.protocol.name": "tls",
        "tls.protocol.version": "1.3",
        "tls.cipher": "TLS13_AES_256_GCM_SHA384",
        "tls.resumed": False,
        "mutualgate.handshake.duration": 0.0025,
        "mutualgate.site": "shop",
        "mutualgate.client": "alice",
        "mutualgate.verdict": "admitted",
        "mutualgate.request_id": "c" * 32,
    }


def test_the_request_to_the_upstream_is_its_child() -> None:
    first = attempt("https://app.internal:8443", "10.0.0.9:8443", "connect")
    then = attempt("https://app.internal:8443", "[2001:db8::1]:8443")
    made = record(call=call(tries=[first, then], status=404))
    server, client = spans(made)
    assert otlp.count([made, record()]) == 3
    assert (client.trace_id, client.span_id, client.parent) == (TRACE, CALL, server.span_id)
    assert (client.span.name, client.span.kind) == ("GET", client.span.SPAN_KIND_CLIENT)
    assert client.facts == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.request.resend_count": 1,
        "url.scheme": "https",
        "server.address": "app.internal",
        "server.port": 8443,
        "network.peer.address": "2001:db8::1",
        "error.type": "404",
        "mutualgate.upstream": "app",
    }
    # What is an error to the one who asks is none to the one who answers.
    assert (client.span.status.code, server.span.status.code) == (2, 0)
    (event,) = client.span.events
    assert (event.name, event.time_unix_nano) == ("mutualgate.attempt_failed", AT + 1_500)
    assert collector.facts(event.attributes) == {
        "url.scheme": "https",
        "server.address": "app.internal",
        "server.port": 8443,
        "network.peer.address": "10.0.0.9",
        "error.type": "connect",
    }


def test_a_socket_is_named_by_its_path() -> None:
    _, client = spans(record(call=call(tries=[attempt("unix:/run/app.sock", "/run/app.sock")])))
    assert (client.facts["server.address"], client.facts["network.transport"]) == ("/run/app.sock", "unix")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": 403, "verdict": "refused", "reason": "revoked"}, None),
        ({"status": 503, "error": "connect"}, "connect"),
        ({"status": 503, "verdict": "refused", "reason": "overloaded"}, "overloaded"),
        ({"status": 500}, "500"),
        ({"status": 200, "error": "incomplete"}, "incomplete"),
        ({"status": 0}, None),
        ({"status": 0, "error": "client_gone"}, None),
        ({"status": 413, "error": "body_too_large"}, None),
    ],
)
def test_what_is_an_error_of_the_server(changes: dict[str, Any], error: str | None) -> None:
    (one,) = spans(record(**changes))
    assert one.facts.get("error.type") == error
    assert one.span.status.code == (0 if error is None else 2)
    assert one.facts.get("mutualgate.reason", "") == changes.get("reason", "")


def test_a_trace_that_goes_on_and_one_that_is_linked() -> None:
    (one,) = spans(record(parent=CALL, state="a=1"))
    assert (one.parent, one.span.trace_state, one.span.flags) == (CALL, "a=1", 0x303)
    (one,) = spans(record(link=("ab" * 16, CALL, 1)))
    (link,) = one.span.links
    assert (one.parent, link.trace_id.hex(), link.span_id.hex(), link.flags) == ("", "ab" * 16, CALL, 0x301)


def test_a_method_that_nobody_knows_makes_no_name() -> None:
    (one,) = spans(record(method="BREW", route=""))
    assert one.span.name == "HTTP"
    assert (one.facts["http.request.method"], one.facts["http.request.method_original"]) == ("_OTHER", "BREW")
