"""What strangers do with invitations, over the portal: guess, use again, hand in what is not theirs."""

import urllib.parse

from end_to_end import forge
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row
from end_to_end.raw import Headers


@row("R7", "a link that was guessed", by=By.OURS, way=Way.INVITATION, expected="invitation_unknown")
def guessed(scene: Scene) -> str:
    return scene.hand_in(f"/join/{'A' * 43}/csr", _csr(scene))


@row("R7", "a link that was used", by=By.OPENSSL, way=Way.INVITATION, expected="invitation_used")
def used(scene: Scene) -> str:
    link = scene.invite()
    assert scene.hand_in(f"{link}/csr", _csr(scene)) == "done"
    return scene.hand_in(f"{link}/csr", _csr(scene))


@row("R7", "a link that was taken back", by=By.OPENSSL, way=Way.INVITATION, expected="invitation_revoked")
def taken_back(scene: Scene) -> str:
    link = scene.invite()
    scene.typist.command("invitation", "revoke", str(scene.last_invitation))
    return scene.hand_in(f"{link}/csr", _csr(scene))


@row("R7", "a link without its second code", by=By.OPENSSL, way=Way.INVITATION, expected="second_factor_needed")
def without_second_code(scene: Scene) -> str:
    return scene.hand_in(f"{scene.invite('--second-factor')}/csr", _csr(scene))


@row("R15", "a weak key by an invitation", by=By.KEYTOOL, way=Way.INVITATION, expected="weak_key")
def weak(scene: Scene) -> str:
    request = makers.keytool_csr(scene.new, "CN=x", key="RSA -keysize 1024")
    return scene.hand_in(f"{scene.invite()}/csr", request.read_bytes())


@row("R24", "a CSR of 10 MiB by an invitation", by=By.OURS, way=Way.INVITATION, expected="too_large")
def large(scene: Scene) -> str:
    return scene.hand_in(f"{scene.invite()}/csr", b"A" * (10 << 20))


@row("R7", "another client's key by an invitation", by=By.OURS, way=Way.INVITATION, expected="key_in_use")
def key_of_another(scene: Scene) -> str:
    request, _ = forge.request(scene.new, "x")
    assert scene.hand_in(f"{scene.invite()}/csr", request.read_bytes()) == "done"
    return scene.hand_in(f"{scene.invite()}/csr", request.read_bytes())


@row("R19", "another site's form", by=By.OURS, way=Way.INVITATION, expected="cross_site")
def cross_site(scene: Scene) -> str:
    form = urllib.parse.urlencode({"csr": _csr(scene).decode()}).encode()
    fields: Headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Accept", "application/json"),
    ]
    return scene.hand_in(f"{scene.invite()}/csr", form, fields)


@row("R19", "the operator's page, with the operator's name", by=By.OURS, way=Way.HTTP, expected="not_an_operator")
def operator_by_header(scene: Scene) -> str:
    fields: Headers = [
        ("Mutualgate-Verdict", "admitted"),
        ("Mutualgate-Client", "operator"),
        ("Mutualgate-Roles", "admin"),
        ("Accept", "application/json"),
    ]
    response = scene.gate.get("/join/operator", None, fields)
    return str(response.json()["code"])


def _csr(scene: Scene) -> bytes:
    return makers.openssl_csr(scene.new, "/CN=x").read_bytes()
