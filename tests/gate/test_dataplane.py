"""The data plane from its start to its end, over real sockets."""

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pki
import pytest
from end_to_end.process import free_port

from mutualgate.errors import BadInput, Corrupt, Unavailable
from mutualgate.gate import DataPlane, Judge, Publication, decide_batch, reasons
from mutualgate.gate.settings import GateSettings, RouteSettings, SiteSettings, TracingSettings, UpstreamSettings
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.snapshot.records import (
    AuthorityRecord,
    Batch,
    ClientRecord,
    CredentialRecord,
    PartnerRecord,
    RouteRecord,
    RuleRecord,
    SiteRecord,
    encode,
)

NOW = pki.real_now()
ADMITTED = 503
TRACED = 4096  # MAX_TRACED of rust/gate/src/runtime.rs
AT = int(NOW.timestamp())


@dataclass
class World:
    """An authority with a client, and a site whose upstream is nowhere: 503 says so to who is admitted."""

    folder: Path
    root: pki.Issued = field(default_factory=lambda: pki.ca("root", now=NOW))

    def __post_init__(self) -> None:
        self.alice = pki.leaf(self.root, "alice", now=NOW)
        self.server = pki.server(self.root, "localhost", now=NOW)

    def batch(self, epoch: int, *, suspended: bool = False, path: str = "/") -> bytes:
        route = RouteRecord(path, "required", [], [], 0)
        return encode(
            Batch(
                epoch=epoch,
                authorities=[AuthorityRecord(1, "root", self.root.der, "issued", None)],
                clients=[ClientRecord(1, "alice", ["orders"], suspended)],
                credentials=[CredentialRecord(fingerprint(self.alice), 1, 1, 1)],
                sites=[SiteRecord("main", ["localhost"], "required", "page", [route])],
            )
        )

    def settings(self, **changes: Any) -> GateSettings:
        settings = GateSettings(
            listen=["127.0.0.1:0"],
            plain_listen=[],
            workers=1,
            sites=[SiteSettings("main", self.server.chain_pem, self.server.key_pem)],
            upstreams=[UpstreamSettings.at("http://127.0.0.1:1")],
            routes=[[RouteSettings("/")]],
            access_log="",
        )
        return msgspec.structs.replace(settings, **changes)

    def ask(self, port: int, identity: pki.Issued | None = None, path: str = "/") -> tuple[int, dict[str, Any]]:
        context = ssl.create_default_context(cadata=self.root.pem.decode())
        if identity is not None:
            certificate, key = identity.write(self.folder, "identity")
            context.load_cert_chain(certificate, key)
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            return response.status, msgspec.json.decode(response.read() or b"{}")
        finally:
            connection.close()


def fingerprint(issued: pki.Issued) -> bytes:
    return sha256(issued.der).digest()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def plane(world: World) -> Iterator[DataPlane]:
    made = DataPlane(world.settings(), [world.batch(1)])
    yield made
    made.stop(0)


def test_what_a_partner_brought_and_cannot_be_used_is_told(plane: DataPlane) -> None:
    opened(plane)
    assert plane.problems == []
    partner = PartnerRecord(7, "acme", "rule", 1, False, [RuleRecord("dns", "a..b", None)], [])
    plane.apply(encode(Batch(epoch=2, partners=[partner])))
    (problem,) = plane.problems
    assert "acme" in problem
    assert "a..b" in problem


def opened(plane: DataPlane) -> int:
    (address,) = plane.start()
    return int(address.rpartition(":")[2])


def test_it_admits_and_refuses_and_a_delta_changes_that(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    assert plane.epoch == 1
    assert world.ask(port, world.alice)[0] == ADMITTED
    status, body = world.ask(port)
    assert (status, body["reason"]) == (403, "no_certificate")
    assert plane.apply(encode(Batch(epoch=2, clients=[ClientRecord(1, "alice", [], True)]))) == 2
    assert world.ask(port, world.alice)[1]["reason"] == "client_suspended"
    assert plane.replace([world.batch(3)]) == 3
    assert plane.epoch == 3
    assert world.ask(port, world.alice)[0] == ADMITTED


def test_settings_change_while_it_serves(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    assert world.ask(port, world.alice)[0] == ADMITTED
    settings = world.settings(routes=[[RouteSettings("/orders")]])
    assert (plane.has(world.settings()), plane.has(settings)) == (True, False)
    assert plane.configure(settings, [world.batch(2, path="/orders")]) == 2
    assert (plane.has(world.settings()), plane.has(settings)) == (False, True)
    assert world.ask(port, world.alice)[0] in (403, 404)
    assert world.ask(port, world.alice, "/orders")[0] == ADMITTED
    assert plane.configure(world.settings(), [world.batch(3)], anew=True) == 3
    assert world.ask(port, world.alice)[0] == ADMITTED


def test_traced_requests_wait_in_bounds_and_what_has_no_room_is_counted(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    world.ask(port, world.alice)
    assert plane.traces(10) == []
    plane.configure(world.settings(tracing=TracingSettings(1.0, False)), [world.batch(2)])
    context = ssl.create_default_context(cadata=world.root.pem.decode())
    context.load_cert_chain(*world.alice.write(world.folder, "identity"))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    for number in range(TRACED + 3):
        connection.request("GET", f"/{number}?secret")
        assert connection.getresponse().read()
    connection.close()
    # Two spans each: one of the request, one of what became of it at its upstream. They end just after the answer.
    deadline = time.monotonic() + 30
    while plane.counters()["dropped_spans"] != 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    traces = plane.traces(TRACED + 1)
    assert [one["path"] for one in traces] == [f"/{number}" for number in range(TRACED)]
    assert {(one["status"], one["error"], one["call"]["error"]) for one in traces} == {(503, "connect", "connect")}
    assert plane.traces(1) == []


def test_settings_that_are_wrong_change_nothing(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    with pytest.raises(BadInput, match="upstreams"):
        plane.configure(world.settings(upstreams=[UpstreamSettings.at("ftp://x")]), [world.batch(2, suspended=True)])
    assert plane.epoch == 1
    assert world.ask(port, world.alice)[0] == ADMITTED


@pytest.mark.parametrize("delta", [b"", b"\xc1", b"nonsense", msgspec.msgpack.encode({"unknown": 1})])
def test_records_that_cannot_be_are_a_broken_promise_and_change_nothing(
    world: World, plane: DataPlane, delta: bytes
) -> None:
    port = opened(plane)
    with pytest.raises(Corrupt):
        plane.apply(delta)
    with pytest.raises(Corrupt):
        plane.replace([delta])
    assert plane.epoch == 1
    assert world.ask(port, world.alice)[0] == ADMITTED


def test_events_tell_of_refusals_and_of_clients_that_are_seen(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    _, body = world.ask(port)
    world.ask(port, world.alice)
    events: list[dict[str, Any]] = []
    while {event["kind"] for event in events} != {"refused", "seen"}:
        events += plane.events(10, 5)
    (refused,) = [event for event in events if event["kind"] == "refused"]
    assert refused["refusal"] == body["refusal"]
    assert refused["peer"] == "127.0.0.1"
    (seen,) = [event for event in events if event["kind"] == "seen"]
    assert (seen["client"], seen["fingerprint"]) == (1, fingerprint(world.alice).hex())
    assert seen["signer"] == spki_fingerprint(world.root.certificate)
    assert plane.events(10, 0) == []


def test_counters_count(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    world.ask(port)
    world.ask(port, world.alice)
    counters = plane.counters()
    assert dict(counters["verdicts"])["no_certificate"] == 1
    assert dict(counters["verdicts"])["admitted"] == 1
    assert counters["accepted_connections"] == 2


def test_files_are_published_until_they_expire(world: World) -> None:
    port = free_port()
    plane = DataPlane(world.settings(plain_listen=[f"127.0.0.1:{port}"]), [world.batch(1)])
    plane.start()
    plane.publish([Publication("/a", "text/plain", b"first", None), Publication("/b", "text/plain", b"old", AT - 1)])
    assert fetched(port, "/a") == (200, b"first")
    status, why = fetched(port, "/b")
    assert (status, b"past the time" in why) == (503, True)
    plane.publish([Publication("/b", "text/plain", b"", 0)])
    status, why = fetched(port, "/b")
    assert (status, b"It is being made." in why) == (503, True)
    plane.publish([Publication("/a", "text/plain", b"second", AT + 86_400)])
    assert fetched(port, "/a") == (200, b"second")
    plane.stop(0)


def fetched(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_an_address_that_is_taken_is_named(world: World, plane: DataPlane) -> None:
    (address,) = plane.start()
    second = DataPlane(world.settings(listen=[address]), [world.batch(1)])
    with pytest.raises(Unavailable, match=address):
        second.start()


def test_stopped_it_takes_no_connection_and_no_change(world: World, plane: DataPlane) -> None:
    port = opened(plane)
    world.ask(port)
    assert plane.stop(1)["accepted_connections"] == 1
    with pytest.raises(ConnectionRefusedError):
        world.ask(port)
    with pytest.raises(Corrupt, match="does not run"):
        plane.apply(encode(Batch(epoch=2)))
    # What there is to tell can be read to the end.
    assert plane.stop(1)["accepted_connections"] == 1
    assert [event["kind"] for event in plane.events(10, 0)] == ["refused"]


def test_the_judge_answers_without_a_gate(world: World) -> None:
    judge = Judge([world.batch(1)])
    verdict = judge.decide([world.alice.der], AT)
    assert (verdict.admitted, verdict.client_name, verdict.roles) == (True, "alice", ["orders"])
    assert judge.decide([world.alice.der], AT + 10_000 * 86_400).reason == "expired"
    assert judge.decide([], AT).reason == "no_certificate"
    assert judge.decide([b"nonsense"], AT).reason == "malformed"
    assert judge.authorize([world.alice.der], AT, "localhost", "/x").route == "/"
    with pytest.raises(Corrupt):
        Judge([b"nonsense"])


_LOADED = """
import hashlib, sys
from pathlib import Path
from mutualgate.gate import Judge
from mutualgate.snapshot.records import encode_rows

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) << 10

def batches(count):
    for begin in range(0, count, 1_000):
        numbers = range(begin, begin + 1_000)
        yield encode_rows("revocations", [(1, b"\\1" + hashlib.sha256(b"%d" % n).digest()[:15], n, 1) for n in numbers])

Judge(batches(1_000))
before, count = resident(), int(sys.argv[1])
judge = Judge(batches(count))
print((resident() - before) / count)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say how much a process holds")
def test_loading_revocations_leaves_no_more_than_is_kept_of_them() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LOADED, "300000"], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(told.stdout) < 40


def test_a_verdict_is_no_truth_value(world: World) -> None:
    judge = Judge([world.batch(1)])
    for chain in ([world.alice.der], []):
        with pytest.raises(TypeError):
            bool(judge.decide(chain, AT))


def test_a_host_that_no_site_has_is_said(world: World) -> None:
    with pytest.raises(BadInput, match=r'no site serves "elsewhere\.test"'):
        Judge([world.batch(1)]).authorize([world.alice.der], AT, "elsewhere.test", "/")


def test_each_reason_has_a_meaning_and_a_fix() -> None:
    codes = [code for code, _, _ in reasons()]
    assert len(codes) == len(set(codes))
    assert {"no_certificate", "expired", "revoked", "client_suspended", "not_granted"} <= set(codes)
    assert all(meaning and fix for _, meaning, fix in reasons())


def test_a_batch_answers_nonsense_with_a_line() -> None:
    for line in (b"nonsense", b"{}", b'{"id": "x", "chain": ["nonsense"]}'):
        answer = decide_batch(line)
        assert b"\n" not in answer
        assert isinstance(json.loads(answer), dict)
