"""The token that tells a service who the client is, as the service verifies it: by the keys that the gate publishes."""

import base64
import http.client
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from end_to_end.estate import mark
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate, up
from end_to_end.raw import Connection
from end_to_end.recorder import Recorder

KEYS = "/.well-known/mutualgate/jwks.json"
LIFETIME = 10


@dataclass(frozen=True)
class Scene:
    """A gate with routes whose services are told by tokens."""

    gate: Gate
    recorder: Recorder
    alice: Identity

    def token(self, path: str, identity: Identity) -> str:
        word = mark()
        assert self.gate.get(f"{path}/{word}", identity).status == 200
        (request,) = self.recorder.marked(word)
        (token,) = request.values("Mutualgate-Jwt")
        return token


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("tokens")
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [
    {{ path = "/", upstream = "{upstream.url}" }},
    {{ path = "/token", upstream = "{upstream.url}", identity = ["jwt"] }},
    {{ path = "/orders", upstream = "{upstream.url}", identity = ["jwt", "rfc9440"], jwt_audience = "orders" }},
    {{ path = "/optional", upstream = "{upstream.url}", identity = ["jwt"], client_certificate = "optional" }},
]
"""
    jwt = f'jwt = {{ issuer = "https://gate.test", lifetime = "{LIFETIME}s" }}\n'
    with running_gate(folder / "gate", sites, jwt) as gate:
        yield Scene(gate, upstream, gate.client("alice", "admin", "ops"))


def fetched(port: int) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", KEYS)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert (response.status, response.headers["Content-Type"]) == (200, "application/jwk-set+json")
    keys: list[dict[str, str]] = json.loads(body)["keys"]
    return keys


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    """The claims, once the signature is verified (RFC 7515 5.2, RFC 7518 3.4)."""
    header, claims, signature = token.split(".")
    head = json.loads(decoded(header))
    assert (head["alg"], head["typ"]) == ("ES256", "JWT")
    (key,) = [key for key in keys if key["kid"] == head["kid"]]
    x, y = (int.from_bytes(decoded(key[name]), "big") for name in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = decoded(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    found: dict[str, Any] = json.loads(decoded(claims))
    return found


def test_a_token_says_who_it_is_and_verifies(scene: Scene) -> None:
    keys = fetched(scene.gate.plain_port)
    assert fetched(scene.gate.ops_port) == keys
    assert all("d" not in key for key in keys)
    word = mark()
    scene.gate.get(f"/orders/{word}", scene.alice)
    (request,) = scene.recorder.marked(word)
    claims = verified(request.values("Mutualgate-Jwt")[0], keys)
    digest = scene.alice.leaf().fingerprint(hashes.SHA256())
    assert claims.pop("cnf") == {"x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
    assert re.fullmatch("[0-9a-f]{32}", claims.pop("jti"))
    assert claims.pop("exp") - claims.pop("iat") == LIFETIME
    assert claims == {
        "iss": "https://gate.test",
        "sub": request.values("Mutualgate-Client-Id")[0],
        "aud": "orders",
        "client": "alice",
        "roles": ["admin", "ops"],
    }


def test_a_token_is_for_one_audience_and_about_one_client(scene: Scene) -> None:
    keys = fetched(scene.gate.plain_port)
    bob = scene.gate.client("bob")
    alice, other, bobs = (
        verified(scene.token(path, identity), keys)
        for path, identity in (("/token", scene.alice), ("/orders", scene.alice), ("/token", bob))
    )
    assert (alice["aud"], other["aud"], bobs["aud"]) == ("main", "orders", "main")
    assert (alice["client"], other["client"], bobs["client"]) == ("alice", "alice", "bob")
    assert len({alice["jti"], other["jti"], bobs["jti"]}) == 3


def test_a_token_is_signed_once_and_renewed_in_time(scene: Scene) -> None:
    keys = fetched(scene.gate.plain_port)
    with scene.gate.open(scene.alice) as connection:
        tokens = [_over(connection, scene)]
        deadline = time.monotonic() + 3 * LIFETIME
        while len(set(tokens)) < 3 and time.monotonic() < deadline:
            tokens.append(_over(connection, scene))
            # Whatever comes is good when it comes.
            assert verified(tokens[-1], keys)["exp"] > time.time()  # noqa: TID251 - the service's own clock
            time.sleep(0.2)
    assert len(set(tokens)) == 3
    assert len(tokens) > 6


def test_of_nobody_there_is_no_token(scene: Scene) -> None:
    word = mark()
    assert scene.gate.get(f"/optional/{word}", None, [("Mutualgate-Jwt", "forged")]).status == 200
    (request,) = scene.recorder.marked(word)
    assert request.values("Mutualgate-Jwt") == []
    word = mark()
    assert scene.gate.get(f"/{word}", scene.alice, [("mutualgate_jwt", "forged")]).status == 200
    assert not [name for name, _ in scene.recorder.marked(word)[0].headers if "jwt" in name.lower()]


def test_a_key_is_replaced_by_command_and_outlives_a_restart(tmp_path: Path, upstream: Recorder) -> None:
    sites = (
        '[[sites]]\nname = "main"\nhosts = ["localhost"]\n'
        f'routes = [{{ path = "/", upstream = "{upstream.url}", identity = ["jwt"] }}]\n'
    )
    with running_gate(tmp_path / "gate", sites) as gate:
        scene = Scene(gate, upstream, gate.client("alice"))
        (first,) = fetched(gate.plain_port)
        verified(scene.token("", scene.alice), [first])
        replaced = gate.command("token-key", "replace").json
        gate.program.wait_for(lambda: first not in fetched(gate.ops_port))
        (second,) = fetched(gate.ops_port)
        assert second["kid"] == replaced["key_id"] != first["kid"]
        gate.program.wait_for(lambda: _kid(scene.token("", scene.alice)) == second["kid"], 60)
        verified(scene.token("", scene.alice), [second])
        shown = gate.program.text()
    with up(gate.folder, gate.port, gate.plain_port, gate.ops_port) as again:
        assert fetched(again.plain_port) == [second]
        verified(Scene(again, upstream, scene.alice).token("", scene.alice), [second])
    assert "PRIVATE KEY" not in shown


def _kid(token: str) -> str:
    return str(json.loads(decoded(token.split(".")[0]))["kid"])


def _over(connection: Connection, scene: Scene) -> str:
    word = mark()
    assert connection.request(f"/token/{word}").status == 200
    (request,) = scene.recorder.marked(word)
    (token,) = request.values("Mutualgate-Jwt")
    return token
