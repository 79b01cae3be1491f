"""Traces: what the service behind is told, what the collector gets, and that both are about the same thing."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import collector
import pki
import pytest
from collector import Received
from end_to_end.estate import Estate, mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.h2 import H2
from end_to_end.process import free_port
from end_to_end.raw import Connection
from end_to_end.recorder import Recorded, Recorder
from publisher import Page, Publisher, publisher

SECRET = "sesame-open-tokens-0815"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
THEIRS = f"00-{TRACE}-{SPAN}-01"
HOSTILE = [
    "",
    "00",
    THEIRS.upper(),
    f"{THEIRS}-",
    f"{THEIRS}{'0' * 4000}",
    f"cc{THEIRS[2:]}-{'0' * 4000}",
    f"ff{THEIRS[2:]}",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}\t-{SPAN}-01",
    f"00 {TRACE} {SPAN} 01",
]


@dataclass(frozen=True)
class Scene:
    """A gate that traces, and where its spans go."""

    gate: Gate
    recorder: Recorder
    collector: Publisher
    alice: Identity

    def sent(self, word: str) -> Recorded:
        """What the service got of the request with `word` in it."""
        (request,) = self.recorder.marked(word)
        return request

    def parent(self, word: str) -> tuple[str, str, int]:
        """Trace, span and flags that the service was told."""
        (value,) = self.sent(word).values("traceparent")
        version, trace, span, flags = value.split("-")
        assert (version, len(trace), len(span)) == ("00", 32, 16)
        return trace, span, int(flags, 16)

    def received(self) -> list[Received]:
        """All spans so far."""
        return [span for asked in list(self.collector.asked) for span in collector.read(asked.body)]

    def trace(self, word: str) -> list[Received]:
        """The spans of the request whose path holds `word`, in their order, once they have come."""
        deadline = time.monotonic() + 20
        while True:
            all_ = self.received()
            found = [one for one in all_ if word in str(one.facts.get("url.path"))]
            if found:
                (server,) = found
                return [server, *(one for one in all_ if one.parent == server.span_id)]
            assert time.monotonic() < deadline, "no span came"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Scene]:
    """Every request is recorded, and no client's trace goes on."""
    folder = tmp_path_factory.mktemp("tracing")
    headers = folder / "headers"
    headers.write_text(f"Authorization: Bearer {SECRET}\n")
    headers.chmod(0o600)
    with publisher() as server:
        server.pages[collector.PATH] = Page(b"{}")
        tracing = f"""
[tracing]
endpoint = "{server.url("").rstrip("/")}"
sample = 1
service = "gate-eu"
headers_file = "{headers}"
timeout = "5s"
"""
        dead = f"http://127.0.0.1:{free_port()}"
        sites = f"""
{tracing}
[[upstreams]]
name = "pool"
servers = ["{dead}", "{upstream.url}"]

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "{upstream.url}" }},
    {{ path = "/dead", upstream = "{dead}" }},
    {{ path = "/pool", upstream = "pool" }},
    {{ path = "/old", redirect = "/new" }},
    {{ path = "/optional", upstream = "{upstream.url}", client_certificate = "optional" }},
    {{ path = "/admin", upstream = "{upstream.url}", roles = ["admin"] }},
    {{ path = "/join", upstream = "portal" }},
]
"""
        with running_gate(folder / "gate", sites) as gate:
            yield Scene(gate, upstream, server, gate.client("alice"))


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Scene]:
    """No trace that begins here is recorded; those of clients go on."""
    folder = tmp_path_factory.mktemp("trusting")
    with publisher() as server:
        server.pages[collector.PATH] = Page(b"{}")
        sites = f"""
[tracing]
endpoint = "{server.url("").rstrip("/")}"
sample = 0
accept = true

[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "optional"
routes = [{{ path = "/", upstream = "{upstream.url}" }}]
"""
        with running_gate(folder / "gate", sites) as gate:
            yield Scene(gate, upstream, server, gate.client("alice"))


def test_what_the_service_is_told_is_what_the_collector_gets(scene: Scene) -> None:
    word = mark()
    fields = [("Authorization", f"Bearer {SECRET}"), ("Cookie", f"session={SECRET}")]
    answer = scene.gate.get(f"/x/{word}?token={SECRET}", scene.alice, fields, method="POST", body=b"hello")
    assert answer.status == 200
    trace, span, flags = scene.parent(word)
    server, client = scene.trace(word)
    assert (server.trace_id, client.trace_id, client.span_id) == (trace, trace, span)
    assert (server.parent, client.parent) == ("", server.span_id)
    assert (flags, server.span.flags) == (3, 0x103)
    assert (server.span.name, client.span.name) == ("POST /", "POST")
    began, ended = server.span.start_time_unix_nano, server.span.end_time_unix_nano
    assert began <= client.span.start_time_unix_nano <= client.span.end_time_unix_nano <= ended
    assert abs(began / 1e9 - pki.real_now().timestamp()) < 300
    facts = server.facts
    sizes = facts.pop("http.response.body.size"), facts.pop("http.request.body.size")
    assert sizes == (len(answer.body), 5)
    assert facts.pop("tls.cipher").startswith("TLS_")
    assert 0 < facts.pop("mutualgate.handshake.duration") < 300
    assert facts == {
        "http.request.method": "POST",
        "http.route": "/",
        "http.response.status_code": 200,
        "url.scheme": "https",
        "url.path": f"/x/{word}",
        "network.protocol.version": "1.1",
        "server.address": "localhost",
        "server.port": scene.gate.port,
        "client.address": "127.0.0.1",
        "tls.protocol.name": "tls",
        "tls.protocol.version": "1.3",
        "tls.resumed": False,
        "mutualgate.site": "main",
        "mutualgate.client": "alice",
        "mutualgate.verdict": "admitted",
        "mutualgate.request_id": scene.sent(word).values("x-request-id")[0],
    }
    assert client.facts == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": scene.recorder.port,
        "mutualgate.upstream": scene.recorder.url,
    }
    assert (server.resource["service.name"], len(server.resource["service.instance.id"])) == ("gate-eu", 36)


def test_no_secret_is_handed_over_but_the_one_for_the_collector(scene: Scene) -> None:
    word = mark()
    token = "Yk3v0Qz1S7mA9cXeT5uR2wLbN8pFhGdJ4iKoVqZsEyM"
    fields = [("X-Api-Key", SECRET), ("User-Agent", SECRET), ("tracestate", f"a={SECRET}")]
    scene.gate.get(f"/join/{token}", scene.alice, fields)
    scene.gate.get(f"/{word}?{SECRET}", scene.alice, fields)
    scene.trace(word)
    asked = list(scene.collector.asked)
    text = b"".join(one.body for one in asked)
    assert SECRET.encode() not in text
    assert token.encode() not in text
    assert b"CERTIFICATE" not in text
    assert {one.headers["Authorization"] for one in asked} == {f"Bearer {SECRET}"}
    assert any(one.facts.get("url.path") == "/join/…" for one in scene.received())
    assert SECRET not in scene.gate.program.text() + scene.gate.command("status").out


def test_over_http2_it_is_the_same(scene: Scene) -> None:
    word = mark()
    with Connection.open(scene.gate.port, scene.gate.context(scene.alice, alpn=["h2"]), "localhost") as connection:
        assert H2(connection).request(f"/{word}").status == 200
    trace, span, _ = scene.parent(word)
    server, client = scene.trace(word)
    assert (server.trace_id, client.span_id) == (trace, span)
    assert server.facts["network.protocol.version"] == "2"


def test_a_trace_of_a_client_is_linked_and_does_not_go_on(scene: Scene) -> None:
    word = mark()
    scene.gate.get(f"/{word}", scene.alice, [("traceparent", THEIRS), ("tracestate", "vendor=1")])
    assert scene.parent(word)[0] != TRACE
    assert scene.sent(word).values("tracestate") == []
    server, _ = scene.trace(word)
    assert (server.parent, server.span.trace_state) == ("", "")
    (link,) = server.span.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.flags) == (TRACE, SPAN, 0x301)


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_no_parent_is_neither_linked_nor_continued(scene: Scene, trusting: Scene, value: str) -> None:
    word = mark()
    fields = [("traceparent", value), ("tracestate", "vendor=1")]
    scene.gate.get(f"/{word}", scene.alice, fields)
    server, _ = scene.trace(word)
    assert not server.span.links
    assert scene.parent(word)[0] == server.trace_id != TRACE
    word = mark()
    trusting.gate.get(f"/{word}", trusting.alice, fields)
    trace, _, flags = trusting.parent(word)
    assert (trace != TRACE, flags) == (True, 2)
    assert trusting.sent(word).values("tracestate") == []


def test_a_trace_of_an_admitted_client_goes_on_where_that_is_wanted(trusting: Scene) -> None:
    word = mark()
    fields = [("TraceParent", THEIRS), ("tracestate", "a=1"), ("tracestate", "b=2")]
    trusting.gate.get(f"/{word}", trusting.alice, fields)
    trace, span, flags = trusting.parent(word)
    assert (trace, flags) == (TRACE, 1)
    assert trusting.sent(word).values("tracestate") == ["a=1", "b=2"]
    server, client = trusting.trace(word)
    assert (server.trace_id, server.parent, server.span.trace_state) == (TRACE, SPAN, "a=1,b=2")
    assert server.span.flags == 0x301
    assert client.span_id == span != SPAN
    assert not server.span.links


def test_nobody_else_says_what_is_recorded(trusting: Scene) -> None:
    """Sampling of 0: what a stranger says makes no span, nor does a client that says no."""
    words = [mark() for _ in range(4)]
    trusting.gate.get(f"/{words[0]}", None, [("traceparent", THEIRS)])
    trusting.gate.get(f"/{words[1]}", trusting.alice, [("traceparent", f"{THEIRS[:-2]}00")])
    trusting.gate.get(f"/{words[2]}", trusting.alice)
    trusting.gate.get(f"/{words[3]}", trusting.alice, [("traceparent", THEIRS)])
    # The last one comes after those that do not come.
    trusting.trace(words[3])
    paths = " ".join(str(one.facts.get("url.path")) for one in trusting.received())
    assert not [word for word in words[:3] if word in paths]
    trace, _, flags = trusting.parent(words[0])
    assert (trace != TRACE, flags) == (True, 2)
    trace, _, flags = trusting.parent(words[1])
    assert (trace, flags) == (TRACE, 0)
    assert trusting.parent(words[2])[2] == 2


def test_a_refusal_is_a_span(scene: Scene) -> None:
    word = mark()
    answer = scene.gate.get(f"/admin/{word}", scene.alice, [("Accept", "application/problem+json")])
    assert answer.status == 403
    (server,) = scene.trace(word)
    facts = server.facts
    assert (facts["http.route"], facts["http.response.status_code"]) == ("/admin", 403)
    assert (facts["mutualgate.verdict"], facts["mutualgate.reason"]) == ("refused", "not_granted")
    assert facts["mutualgate.refusal"] == answer.json()["refusal"]
    assert facts["mutualgate.client"] == "alice"
    assert server.span.status.code == 0
    word = mark()
    scene.gate.get(f"/{word}")
    (server,) = scene.trace(word)
    facts = server.facts
    assert (facts["mutualgate.reason"], "mutualgate.client" in facts) == ("no_certificate", False)


def test_who_comes_without_a_certificate_and_who_is_sent_elsewhere(scene: Scene) -> None:
    anonymous, elsewhere = mark(), mark()
    scene.gate.get(f"/optional/{anonymous}")
    scene.gate.get(f"/old/{elsewhere}", scene.alice)
    server, _ = scene.trace(anonymous)
    assert server.facts["mutualgate.verdict"] == "anonymous"
    (server,) = scene.trace(elsewhere)
    assert (server.facts["http.route"], server.facts["http.response.status_code"]) == ("/old", 308)


def test_a_service_that_is_not_there_is_an_error(scene: Scene) -> None:
    word = mark()
    assert scene.gate.get(f"/dead/{word}", scene.alice).status == 503
    server, client = scene.trace(word)
    assert (server.facts["error.type"], server.span.status.code) == ("connect", 2)
    assert (client.facts["error.type"], client.span.status.code) == ("connect", 2)
    assert "http.response.status_code" not in client.facts
    assert [event.name for event in client.span.events] == ["mutualgate.attempt_failed"]


def test_an_attempt_at_another_server_is_told_by_an_event(scene: Scene) -> None:
    words = [mark(), mark()]
    for word in words:
        assert scene.gate.get(f"/pool/{word}", scene.alice).status == 200
    traces = [scene.trace(word) for word in words]
    # One of the two began at the server that is not there.
    clients = [client for _, client in traces if client.span.events]
    assert clients
    for client in clients:
        assert client.facts["http.request.resend_count"] == 1
        assert client.facts["server.port"] == scene.recorder.port
        assert client.facts["mutualgate.upstream"] == "pool"
        (event,) = client.span.events
        assert collector.facts(event.attributes)["error.type"] == "connect"
        assert client.span.status.code == 0
    for word, (_, client) in zip(words, traces, strict=True):
        assert scene.parent(word)[1] == client.span_id


def test_a_collector_that_is_ill_holds_nobody_up_and_gets_it_later(scene: Scene) -> None:
    word = mark()
    scene.trace(_served(scene, mark()))
    scene.collector.pages[collector.PATH] = Page(status=503)
    before = len(scene.collector.asked)
    _served(scene, word)
    scene.gate.program.wait_for(lambda: len(scene.collector.asked) > before)
    assert scene.gate.get(f"/{mark()}", scene.alice).status == 200
    scene.gate.program.wait_for(
        lambda: "answers 503" in str(scene.gate.command("status").json["tracing"]["problem"]), 20
    )
    scene.collector.pages[collector.PATH] = Page(b"{}")
    asked = len(scene.collector.asked)

    def taken() -> bool:
        bodies = [one.body for one in scene.collector.asked[asked:]]
        return any(word.encode() in body for body in bodies)

    scene.gate.program.wait_for(taken)
    scene.gate.program.wait_for(lambda: scene.gate.command("status").json["tracing"]["problem"] is None)
    assert scene.gate.command("status").json["tracing"]["sent"] > 0


def test_without_tracing_the_fields_pass_as_they_came(estate: Estate) -> None:
    for value in (THEIRS, "what", f"{THEIRS}{'0' * 200}"):
        word = mark()
        fields = [("traceparent", value), ("tracestate", "vendor=1"), ("tracestate", "b=2")]
        estate.gate.get(f"/{word}", estate.alice, fields)
        (request,) = estate.recorder.marked(word)
        assert request.values("traceparent") == [value]
        assert request.values("tracestate") == ["vendor=1", "b=2"]
    assert estate.gate.command("status").json["tracing"] is None


def test_what_is_left_is_handed_over_at_the_end(tmp_path: Path, upstream: Recorder) -> None:
    with publisher() as server:
        server.pages[collector.PATH] = Page(b"{}")
        sites = f"""
[tracing]
endpoint = "{server.url("").rstrip("/")}"
sample = 1.0

[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "off"
routes = [{{ path = "/", upstream = "{upstream.url}" }}]
"""
        word = mark()
        with running_gate(tmp_path / "gate", sites) as gate:
            gate.get(f"/{word}")
            assert gate.program.stop() == 0
        assert any(word.encode() in asked.body for asked in server.asked)


def _served(scene: Scene, word: str) -> str:
    assert scene.gate.get(f"/{word}", scene.alice).status == 200
    return word
