import json
from pathlib import Path

import pki
import pytest
from installation import Installation
from published import https_publisher, jwk, jwks

from mutualgate.app.telling import teller
from mutualgate.model.partner import PartnerName
from mutualgate.partners.between import first_sight
from mutualgate.partners.terms import Terms


def test_operators_and_the_client_are_told_of_new_keys(
    installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R27: the client alone knows whether it was it."""
    (installed.folder.path / "secret").write_text("a secret for tests of the webhook\n")
    (installed.folder.path / "secret").chmod(0o600)
    installed.config.write_text(
        installed.config.read_text()
        + """
[mail]
server = "127.0.0.1:2525"
sender = "gate@gate.example"

[notices]
to = ["ops@gate.example"]
webhook = "https://hook.example/a"
secret_file = "secret"
"""
    )
    services = installed.services()
    services.clients.set_contact("first-client", "anna@first.example")
    with https_publisher(tmp_path, monkeypatch) as server:
        services.key_sets.watch("first-client", server.put("/a", jwks(jwk(pki.fresh_key()))), private=True)
        assert services.key_set_fetch.now("first-client").problem is None
    letters = {letter.recipient: letter for letter in services.outbox.list()}
    assert set(letters) == {"ops@gate.example", "anna@first.example", "hook.example"}
    assert letters["ops@gate.example"].subject == "mutualgate: first-client published other keys"
    assert "mutualgate client keys list first-client" in letters["ops@gate.example"].body
    assert "tell whoever runs the gate at once" in letters["anna@first.example"].body
    notice = json.loads(letters["hook.example"].body)
    assert (notice["event"], notice["facts"]["client"]) == ("client_keys", "first-client")
    assert [one["state"] for one in notice["facts"]["keys"]] == ["waiting"]
    services.close()


def test_two_partners_that_claim_one_ca_are_told(installed: Installation) -> None:
    """R5: never silently."""
    installed.config.write_text(
        installed.config.read_text()
        + '\n[mail]\nserver = "127.0.0.1:2525"\nsender = "gate@gate.example"\n\n[notices]\nto = ["ops@gate.example"]\n'
    )
    services = installed.services()
    for name in ("acme", "umbrella"):
        services.partners.add(name, contact=f"ops@{name}.example", security_contact="not an address")
    ca = pki.ca("ca", path_length=0, now=pki.real_now())
    first = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", first.id, without_proof=True)
    services.partners.anchors.claim("umbrella", ca.pem)
    letters = services.outbox.list()
    assert sorted(letter.recipient for letter in letters) == [
        "ops@acme.example",
        "ops@gate.example",
        "ops@gate.example",
        "ops@umbrella.example",
    ]
    assert {letter.subject for letter in letters} == {"Two partners claim one CA"}
    services.close()


def test_the_webhook_is_told_too(installed: Installation) -> None:
    installed.config.write_text(
        installed.config.read_text()
        + '\n[notices]\nwebhook = "https://hooks.gate.example/x"\nsecret_file = "webhook.secret"\n'
    )
    (secret := installed.config.parent / "webhook.secret").write_text("s" * 40)
    secret.chmod(0o600)
    services = installed.services()
    services.partners.add("acme", contact="ops@acme.example")
    root, sub = (root := pki.ca("acme root")), pki.ca("acme sub", parent=root)
    claimed = services.partners.anchors.claim("acme", root.pem, terms=Terms(depth=1, hold=True)).anchor
    services.partners.anchors.approve("acme", claimed.id, without_proof=True)
    with services.store.transaction() as tx:
        partner = tx.partners.find(PartnerName("acme"))
        assert partner is not None
        chain = [pki.leaf(sub, "api").der, sub.der]
        tell = teller(services.config, services.outbox)
        assert len(first_sight(tx, chain, at=services.clock(), tell=tell)) == 1
    [letter] = services.outbox.list()
    assert (letter.kind, letter.subject) == ("webhook", "A CA is seen below a partner's for the first time")
    services.close()


def test_without_a_mail_server_nothing_is_put_in_the_outbox(installed: Installation) -> None:
    services = installed.services()
    for name in ("acme", "umbrella"):
        services.partners.add(name, contact=f"ops@{name}.example")
    ca = pki.ca("ca", path_length=0, now=pki.real_now())
    services.partners.anchors.approve(
        "acme", services.partners.anchors.claim("acme", ca.pem).anchor.id, without_proof=True
    )
    assert services.partners.anchors.claim("umbrella", ca.pem).held_by is not None
    assert services.outbox.list() == []
    services.close()
