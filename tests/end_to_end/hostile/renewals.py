"""What people do with a certificate that is over, or nearly: renew it twice, at once, elsewhere, or after a theft."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from end_to_end.forge import Identity
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row

AT_ONCE = 8


@row("R26", "a pin that a certificate took the place of", by=By.OPENSSL, way=Way.CSR, expected="credential_superseded")
def replaced_pin(scene: Scene) -> str:
    own, _ = _pinned(scene)
    assert _renew(scene, own) == "done"
    return _renew(scene, own)


@row("R26", "a certificate that was renewed", by=By.OURS, way=Way.CSR, expected="credential_superseded")
def renewed(scene: Scene) -> str:
    current = scene.client(scene.name("renewer"))
    assert _renew(scene, current) == "done"
    return _renew(scene, current)


@row("R26", "one certificate, renewed for many keys at once", by=By.OPENSSL, way=Way.CSR, expected="1 done, 7 not")
def renewed_at_once(scene: Scene) -> str:
    current = scene.client(scene.name("renewer"))
    return _at_once(scene, lambda request: scene.hand_in("/join/renew", request, identity=current))


@row("R7", "one link, used by many at once", by=By.OPENSSL, way=Way.INVITATION, expected="1 done, 7 not")
def used_at_once(scene: Scene) -> str:
    link = scene.invite()
    return _at_once(scene, lambda request: scene.hand_in(f"{link}/csr", request))


@row(
    "R14",
    "a link that was asked for before its pin was retired",
    by=By.OURS,
    way=Way.INVITATION,
    expected="pin_retired",
)
def link_after_the_pin(scene: Scene) -> str:
    """Whoever stole the key has a link in reserve, and another key for it."""
    own, pin = _pinned(scene)
    link = _link(scene, own)
    scene.typist.command("pin", "retire", pin)
    return scene.hand_in(f"{link}/csr", _csr(scene))


@row("R14", "another pin by such a link", by=By.OPENSSL, way=Way.INVITATION, expected="pin_retired")
def pin_after_the_pin(scene: Scene) -> str:
    own, pin = _pinned(scene)
    link = _link(scene, own)
    scene.typist.command("pin", "retire", pin)
    following = makers.openssl_self_signed(scene.new, "/CN=next")
    return scene.hand_in(f"{link}/own", b"", identity=following)


@row("R14", "another certificate of a compromised key", by=By.OPENSSL, way=Way.HANDSHAKE, expected="revoked")
def same_key(scene: Scene) -> str:
    name = scene.name("careless")
    first = scene.client(name)
    request = scene.new / "again.csr"
    makers.run("openssl", "req", "-new", "-key", first.key, "-subj", "/CN=x", "-out", request)
    second = Identity(request.with_suffix(".pem"), first.key)
    scene.typist.command("client", "sign", name, "--csr", request, "--out", second.certificate)
    number = str(scene.typist.command("client", "show", name).json["credentials"][0]["id"])
    scene.typist.command("client", "revoke", name, "--credential", number, "--reason", "keyCompromise")
    return scene.show(second)


@row("R23", "out of the tests by a renewal", by=By.OPENSSL, way=Way.CSR, expected="renewal_by_pin_only")
def out_of_the_tests(scene: Scene) -> str:
    """A certificate of ours would be for every site, and the pin is for one kind of them."""
    own, _ = _pinned(scene, "--environment", "test")
    return _renew(scene, own)


@row("R7", "a certificate that is not one's own to renew", by=By.OURS, way=Way.CSR, expected="not_renewable")
def of_a_partner(scene: Scene) -> str:
    leaf = makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), "subjectAltName=DNS:api.acme.example")
    return _renew(scene, leaf)


def _pinned(scene: Scene, *options: str) -> tuple[Identity, str]:
    """A new client's own certificate, and the number of its pin."""
    own, name = makers.openssl_self_signed(scene.new, "/CN=own"), scene.name("owner")
    scene.typist.command("client", "add", name)
    return own, str(scene.typist.command("pin", "add", name, own.certificate, *options).json["id"])


def _link(scene: Scene, own: Identity) -> str:
    """The path of the link for the next one."""
    answer = scene.gate.get("/join/me/replace", own, [("Accept", "application/json")], method="POST")
    return "/join/" + str(answer.json()["link"]).rpartition("/")[2]


def _renew(scene: Scene, current: Identity) -> str:
    return scene.hand_in("/join/renew", _csr(scene), identity=current)


def _csr(scene: Scene) -> bytes:
    return makers.openssl_csr(scene.new, "/CN=x").read_bytes()


def _at_once(scene: Scene, hand_in: Callable[[bytes], str]) -> str:
    requests = [_csr(scene) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as hands:
        said = list(hands.map(hand_in, requests))
    done = said.count("done")
    return f"{done} done, {len(said) - done} not"
