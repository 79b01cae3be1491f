"""Keys that a client publishes by a URL, and what a server may publish that somebody took over (R27).

Each row has a client of its own whose set is fetched without a hold, unless the hold is what is tried.
"""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from end_to_end import forge
from end_to_end.forge import Identity
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row
from published import jwk, jwk_of, jwks, url64, x5c_of

UNKNOWN = "unknown_issuer"


def own(scene: Scene) -> Identity:
    return makers.openssl_self_signed(scene.new, "/CN=own", days=30)


def published(identity: Identity, **more: Any) -> dict[str, Any]:
    """The certificate with its key."""
    leaf = identity.leaf()
    return jwk_of(leaf.public_key(), x5c=x5c_of(leaf), **more)


class Publisher:
    """A client of the scene that publishes."""

    def __init__(self, scene: Scene, *options: str) -> None:
        self.scene, self.options = scene, options
        self.name, self.path = scene.name("publisher"), f"/{scene.name('jwks')}"
        scene.typist.command("client", "add", self.name)

    def put(self, data: bytes, **more: Any) -> str:
        """Publishes it, and has it fetched: what became of each key, or why nothing did."""
        url = self.scene.publisher.put(self.path, data, **more)
        words = ("client", "keys", "watch", self.name, url, "--private", "--hold", "0h", *self.options)
        answer = self.scene.typist.command(*words, check=False)
        assert answer.code in (0, 1), answer.err
        return self._said(answer.json)

    def again(self, *keys: dict[str, Any]) -> str:
        """Publishes another set, and has it fetched."""
        self.scene.publisher.put(self.path, jwks(*keys))
        return self._said(self.scene.typist.command("client", "keys", "fetch", self.name, check=False).json)

    def _said(self, answer: Mapping[str, Any]) -> str:
        if "error" in answer and isinstance(answer["error"], dict):
            return str(answer["error"]["code"])
        if answer["problem"]:
            return str(answer["error"])
        listed = self.scene.typist.command("client", "keys", "list", self.name).json
        states = [str(one["state"]) for one in listed["keys"]]
        return ", ".join([*states, *(f"left out: {one}" for one in listed["left_out"])]) or "nothing"


@row("R27", "a new key before its hold is over", by=By.OPENSSL, way=Way.JWKS, expected=f"waiting, {UNKNOWN}")
def held(scene: Scene) -> str:
    one = own(scene)
    return f"{Publisher(scene, '--hold', '1h').put(jwks(published(one)))}, {scene.show(one)}"


@row(
    "R27",
    "a key that another client has pinned",
    by=By.OPENSSL,
    way=Way.JWKS,
    expected="refused, refused, and its holder is admitted",
)
def anothers(scene: Scene) -> str:
    theirs = scene.identity("pinned")
    said = Publisher(scene).put(jwks(published(theirs), jwk_of(theirs.leaf().public_key())))
    return f"{said}, and its holder is {scene.show(theirs)}"


@row("R27", "the key of a client that we issued to", by=By.OPENSSL, way=Way.JWKS, expected="refused")
def issued(scene: Scene) -> str:
    return Publisher(scene).put(jwks(jwk_of(scene.client(scene.name("issued")).leaf().public_key())))


@row("R27", "the keys of a hijacker in place of all", by=By.OPENSSL, way=Way.JWKS, expected="pinned, waiting, admitted")
def in_place(scene: Scene) -> str:
    """What counted goes on, what is new waits: a hijacked server neither lets in nor locks out."""
    mine, theirs = own(scene), own(scene)
    client = Publisher(scene)
    client.put(jwks(published(mine)))
    client.options = ("--hold", "1h")
    said = client.put(jwks(published(theirs)))
    assert scene.show(theirs) == UNKNOWN
    return f"{said}, {scene.show(mine)}"


@row("R27", "an empty set", by=By.OPENSSL, way=Way.JWKS, expected="pinned, admitted")
def emptied(scene: Scene) -> str:
    mine = own(scene)
    client = Publisher(scene)
    client.put(jwks(published(mine)))
    return f"{client.again()}, {scene.show(mine)}"


@row("R27", "a key of a suspended client", by=By.OPENSSL, way=Way.JWKS, expected=f"client_suspended, {UNKNOWN}")
def suspended(scene: Scene) -> str:
    client, one = Publisher(scene), own(scene)
    client.put(jwks())
    scene.typist.command("client", "suspend", client.name)
    return f"{client.again(published(one))}, {scene.show(one)}"


@row("R27", "a key whose pin an operator retired", by=By.OPENSSL, way=Way.JWKS, expected="pinned, pin_retired")
def retired(scene: Scene) -> str:
    client, one = Publisher(scene), own(scene)
    client.put(jwks(published(one)))
    (key,) = scene.typist.command("client", "keys", "list", client.name).json["keys"]
    scene.typist.command("pin", "retire", str(key["pin"]["id"]))
    client.again()
    return f"{client.again(published(one))}, {scene.show(one)}"


@row(
    "R27",
    "a private key beside a good one",
    by=By.OURS,
    way=Way.JWKS,
    expected=f"holds a private or symmetric key, which must never leave its owner: nothing of it was kept, {UNKNOWN}",
)
def private(scene: Scene) -> str:
    one = own(scene)
    leaked = {**jwk(ec.generate_private_key(ec.SECP256R1())), "d": url64(b"x" * 32)}
    return f"{Publisher(scene).put(jwks(published(one), leaked))}, {scene.show(one)}"


@row("R3", "a certificate with another's key", by=By.OPENSSL, way=Way.JWKS, expected="of another key")
def mismatch(scene: Scene) -> str:
    leaf, other = own(scene).leaf(), own(scene).leaf()
    return _part(Publisher(scene).put(jwks(jwk_of(leaf.public_key(), x5c=x5c_of(other)))), "of another key")


@row("R4", "what a published key has signed", by=By.OPENSSL, way=Way.JWKS, expected=f"pinned, {UNKNOWN}")
def signed(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Its own CA")
    below = makers.openssl_leaf(scene.new, "/CN=below", ca)
    said = Publisher(scene).put(jwks(jwk_of(ca.certificate.public_key(), x5c=x5c_of(ca.certificate))))
    return f"{said}, {scene.show(below)}"


@row("R4", "a partner's CA as a published key", by=By.OPENSSL, way=Way.JWKS, expected="refused")
def ca_key(scene: Scene) -> str:
    return Publisher(scene).put(jwks(jwk_of(scene.ca("acme").certificate.public_key())))


@row("R15", "RSA with 1024 bits", by=By.OURS, way=Way.JWKS, expected="1024")
def weak(scene: Scene) -> str:
    return _part(Publisher(scene).put(jwks(jwk_of(forge.private_key("rsa1024").public_key()))), "1024")


@row("R24", "10,000 keys", by=By.OURS, way=Way.JWKS, expected="has 10000 keys, more than the 32 that are read")
def many(scene: Scene) -> str:
    return Publisher(scene).put(jwks(*[{"kty": "EC"}] * 10_000))


@row("R24", "a set as deep as it is long", by=By.OURS, way=Way.JWKS, expected="is no JSON, or says something twice")
def deep(scene: Scene) -> str:
    return Publisher(scene).put(b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@row("R24", "10 MiB that do not say so", by=By.OURS, way=Way.JWKS, expected="more than the 262144 bytes")
def long(scene: Scene) -> str:
    return _part(Publisher(scene).put(b" " * (10 << 20), length=-1), "more than the 262144 bytes")


@row("R24", "one name twice", by=By.OURS, way=Way.JWKS, expected="is no JSON, or says something twice")
def twice(scene: Scene) -> str:
    key = json.dumps(published(own(scene)))
    return Publisher(scene).put(f'{{"keys": [{key}], "keys": []}}'.encode())


@row("R24", "a page in place of a set", by=By.OURS, way=Way.JWKS, expected="is no JSON, or says something twice")
def page(scene: Scene) -> str:
    return Publisher(scene).put(b"<!doctype html><title>Parked</title>")


@row("R11", "a set that leads on to an address inside", by=By.OURS, way=Way.JWKS, expected="not followed, no fetch")
def redirect(scene: Scene) -> str:
    headers = {"Location": scene.bait("led")}
    said = Publisher(scene).put(b"", status=302, headers=headers)
    return f"{_part(said, 'not followed')}, {scene.fetched('led')}"


@row("R11", "a set at an address inside", by=By.OURS, way=Way.JWKS, expected="private_address, no fetch")
def inside(scene: Scene) -> str:
    """Without the operator's word that it may be there, by a name that leads to it."""
    name = scene.name("publisher")
    scene.typist.command("client", "add", name)
    path = f"/{scene.name('jwks')}"
    url = scene.publisher.put(path, jwks()).replace("127.0.0.1", "localhost")
    said = scene.typist.command("client", "keys", "watch", name, url, check=False).json["problem"]
    told = "private_address" if "into a private network or to this machine" in str(said) else str(said)
    return f"{told}, {'fetched' if scene.publisher.count(path) else 'no fetch'}"


@row("R11", "a set over plain http", by=By.OURS, way=Way.JWKS, expected="bad_address")
def plain(scene: Scene) -> str:
    name = scene.name("publisher")
    scene.typist.command("client", "add", name)
    return scene.type("client", "keys", "watch", name, "http://publisher.example/jwks")


def _part(said: str, part: str) -> str:
    return part if part in said else said
