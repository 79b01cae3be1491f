"""gRPC through the gate with gRPC's own library on both sides: calls, and what the gate says itself."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate


@dataclass
class Service:
    """Answers bytes with bytes; the name of the method says how."""

    told: dict[str, str] = field(default_factory=dict)
    """The metadata of the last call."""
    remaining: float | None = None
    """Seconds that the last sleeper was given by its client; None for any time."""
    left: threading.Event = field(default_factory=threading.Event)
    """Whether a call has ended before its time."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.told = {str(name): str(value) for name, value in call.invocation_metadata}
        handlers: dict[str, Callable[[], grpc.RpcMethodHandler]] = {
            "Echo": lambda: grpc.unary_unary_rpc_method_handler(self.echo),
            "Fail": lambda: grpc.unary_unary_rpc_method_handler(self.fail),
            "Sleep": lambda: grpc.unary_unary_rpc_method_handler(self.sleep),
            "Count": lambda: grpc.unary_stream_rpc_method_handler(self.count),
            "Forever": lambda: grpc.unary_stream_rpc_method_handler(self.forever),
            "Sum": lambda: grpc.stream_unary_rpc_method_handler(lambda parts, context: b"".join(parts)),
            "Chat": lambda: grpc.stream_stream_rpc_method_handler(self.chat),
            "Early": lambda: grpc.stream_stream_rpc_method_handler(self.early),
        }
        make = handlers.get(call.method.rpartition("/")[2])
        return make() if make else None

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-after", "trailer"), ("x-bytes-bin", b"\x00\xff")))
        return request

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-after", "trailer"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not yet: 100 % \N{SNOWMAN}")
        return b""

    def sleep(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.remaining = context.time_remaining()
        context.add_callback(self.left.set)
        self.left.wait(30)
        return b""

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    def forever(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.left.set)
        while not self.left.wait(0.01):
            yield b"more"

    def chat(self, parts: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for part in parts:
            yield part.upper()

    def early(self, parts: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield next(parts)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc says nothing of its types
    def __init__(self, service: Service) -> None:
        self.of = service

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self.of.service(handler_call_details)


@dataclass(frozen=True)
class World:
    gate: Gate
    service: Service
    alice: Identity
    stranger: Identity

    @contextmanager
    def channel(self, identity: Identity | None) -> Iterator[grpc.Channel]:
        """HTTP/2 over TLS as gRPC does it, with the client's certificate."""
        credentials = grpc.ssl_channel_credentials(
            self.gate.root.read_bytes(),
            identity.key.read_bytes() if identity else None,
            identity.certificate.read_bytes() if identity else None,
        )
        with grpc.secure_channel(f"localhost:{self.gate.port}", credentials) as channel:
            yield channel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("grpc")
    service = Service()
    server = grpc.server(ThreadPoolExecutor(16), handlers=[Handlers(service)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        closed = socket.create_server(("127.0.0.1", 0))
        dead, quiet = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (closed, silent))
        closed.close()
        sites = f"""
[gate.timeouts]
response = "1s"

[[upstreams]]
name = "grpc"
servers = ["http://127.0.0.1:{port}"]
protocol = "h2"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/b.Live", upstream = "grpc" }},
    {{ path = "/a.Dead", upstream = "{dead}" }},
    {{ path = "/a.Quiet", upstream = "{quiet}" }},
    {{ path = "/a.Admin", upstream = "{dead}", roles = ["admin"] }},
    {{ path = "/a.Small", upstream = "{quiet}", max_body_bytes = 10 }},
]
"""
        with running_gate(folder / "gate", sites) as gate:
            gone = gate.client("gone")
            gate.command("client", "revoke", "gone")
            yield World(gate, service, gate.client("alice"), gone)
    server.stop(0)


def failure(world: World, method: str, identity: Identity | None, body: bytes = b"x") -> grpc.RpcError:
    with world.channel(identity) as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(method)(body, timeout=20)
    return raised.value


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        ("/a.Dead/Get", grpc.StatusCode.UNAVAILABLE, "upstream_unreachable"),
        ("/a.Quiet/Get", grpc.StatusCode.UNAVAILABLE, "upstream_timeout"),
        ("/a.Admin/Get", grpc.StatusCode.PERMISSION_DENIED, "not_granted"),
        ("/a.None/Get", grpc.StatusCode.UNIMPLEMENTED, "no_route"),
        ("/a.Small/Get", grpc.StatusCode.RESOURCE_EXHAUSTED, "body_too_large"),
        ("/a.Dead/a%2fb", grpc.StatusCode.INTERNAL, "ambiguous_path"),
    ],
)
def test_failures_of_the_gate_have_a_status_of_grpc(
    world: World, method: str, code: grpc.StatusCode, reason: str
) -> None:
    error = failure(world, method, world.alice, b"x" * 100)
    assert error.code() is code
    assert dict(error.trailing_metadata())["mutualgate-reason"] == reason
    assert error.details()


@pytest.mark.parametrize("who", ["nobody", "revoked"])
def test_who_is_not_let_in_is_told_so(world: World, who: str) -> None:
    error = failure(world, "/a.Dead/Get", world.stranger if who == "revoked" else None)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    reason = "revoked" if who == "revoked" else "no_certificate"
    assert dict(error.trailing_metadata())["mutualgate-reason"] == reason


@pytest.fixture
def channel(world: World) -> Iterator[grpc.Channel]:
    world.service.left.clear()
    with world.channel(world.alice) as channel:
        yield channel


def test_a_call_and_its_metadata(world: World, channel: grpc.Channel) -> None:
    for body in (b"", b"hello", b"x" * 1_000_000):
        sent = (("x-mine", "1"), ("x-bytes-bin", b"\x00\x01"), ("client-cert", "forged"))
        answer, call = channel.unary_unary("/b.Live/Echo").with_call(body, timeout=20, metadata=sent)
        assert answer == body
        trailers: dict[str, Any] = dict(call.trailing_metadata())
        assert (trailers["x-after"], trailers["x-bytes-bin"]) == ("trailer", b"\x00\xff")
    told = world.service.told
    assert (told["x-mine"], told["mutualgate-client"], told["mutualgate-verdict"]) == ("1", "alice", "admitted")
    assert told["client-cert"] != "forged"


def test_a_status_of_the_service_comes_through(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/b.Live/Fail")(b"x", timeout=20)
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.details() == "not yet: 100 % \N{SNOWMAN}"
    assert dict(raised.value.trailing_metadata())["x-after"] == "trailer"
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/b.Live/Unknown")(b"x", timeout=20)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_streams_one_way(channel: grpc.Channel) -> None:
    counted = list(channel.unary_stream("/b.Live/Count")(b"1000", timeout=20))
    assert counted == [b"%d" % number for number in range(1000)]
    parts = [b"%d," % number for number in range(1000)]
    assert channel.stream_unary("/b.Live/Sum")(iter(parts), timeout=20) == b"".join(parts)


def test_a_stream_both_ways_is_a_conversation(channel: grpc.Channel) -> None:
    """Each part is sent only when the one before was answered: nothing is held back on the way."""
    heard = threading.Semaphore(1)

    def parts() -> Iterator[bytes]:
        for number in range(50):
            assert heard.acquire(timeout=20)
            yield b"part %d" % number

    answers = []
    for answer in channel.stream_stream("/b.Live/Chat")(parts(), timeout=40):
        answers.append(answer)
        heard.release()
    assert answers == [b"PART %d" % number for number in range(50)]


def test_a_service_may_end_a_stream_early(channel: grpc.Channel) -> None:
    over = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"first"
        over.wait(20)

    call = channel.stream_stream("/b.Live/Early")(parts(), timeout=20)
    assert next(call) == b"first"
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    over.set()
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.details() == "enough"


def test_a_deadline_reaches_the_service(world: World, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/b.Live/Sleep")(b"x", timeout=0.5)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert world.service.left.wait(20)
    assert world.service.remaining is not None
    assert world.service.remaining <= 0.5
    assert channel.unary_unary("/b.Live/Echo")(b"x", timeout=20) == b"x"


def test_what_is_cancelled_is_cancelled_at_the_service(world: World, channel: grpc.Channel) -> None:
    call = channel.unary_stream("/b.Live/Forever")(b"x", timeout=60)
    assert next(call) == b"more"
    call.cancel()
    assert world.service.left.wait(20)


def test_a_stream_is_cut_when_its_client_is_revoked(world: World) -> None:
    world.service.left.clear()
    with world.channel(world.gate.client("bob")) as channel:
        call = channel.unary_stream("/b.Live/Forever")(b"x", timeout=60)
        assert next(call) == b"more"
        world.gate.command("client", "revoke", "bob")
        with pytest.raises(grpc.RpcError):
            for _ in call:
                pass
    assert world.service.left.wait(20)
