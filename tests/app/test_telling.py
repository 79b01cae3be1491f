import pki
from installation import Installation


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
