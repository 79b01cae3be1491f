"""gRPC through the gate with gRPC's own library: what the gate says itself, as clients of gRPC understand it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import pytest
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate


@dataclass(frozen=True)
class World:
    gate: Gate
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
    with socket.create_server(("127.0.0.1", 0)) as silent:
        closed = socket.create_server(("127.0.0.1", 0))
        dead, quiet = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (closed, silent))
        closed.close()
        sites = f"""
[gate.timeouts]
response = "1s"

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/a.Dead", upstream = "{dead}" }},
    {{ path = "/a.Quiet", upstream = "{quiet}" }},
    {{ path = "/a.Admin", upstream = "{dead}", roles = ["admin"] }},
    {{ path = "/a.Small", upstream = "{quiet}", max_body_bytes = 10 }},
]
"""
        with running_gate(folder / "gate", sites) as gate:
            gone = gate.client("gone")
            gate.command("client", "revoke", "gone")
            yield World(gate, gate.client("alice"), gone)


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
