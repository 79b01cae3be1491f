import pki
from cryptography.hazmat.primitives import hashes
from rows import see

from mutualgate.app import Services
from mutualgate.app.remedies import ADVICE, filled, remedy
from mutualgate.gate import reasons
from mutualgate.model.refusal import RefusalRecord
from mutualgate.partners.terms import Terms

NOW = pki.real_now()


def refused(services: Services, leaf: pki.Issued, reason: str, *, seen: bool = True) -> RefusalRecord:
    if seen:
        see(services.store, leaf.chain_der, at=NOW, reason=reason)
    digest = leaf.certificate.fingerprint(hashes.SHA256())
    return RefusalRecord("A" * 16, NOW, reason, "why", "main", "/", "192.0.2.9", "CN=x", digest, None)


def test_every_reason_has_advice_in_the_order_of_judgement() -> None:
    assert list(ADVICE) == [code for code, _, _ in reasons()]


def test_what_is_known_is_put_in_so_that_a_shell_takes_it() -> None:
    deed = "CLIENT: `mutualgate pin add CLIENT FILE`"
    assert filled(deed, {"CLIENT": "olga's; rm -r"}) == "CLIENT: `mutualgate pin add 'olga'\"'\"'s; rm -r' FILE`"


def test_a_certificate_that_is_not_remembered_gets_what_its_reason_gets(services: Services) -> None:
    found = remedy(services.store, refused(services, pki.leaf(None, now=NOW), "unknown_issuer", seen=False))
    assert (found.today, found.client, found.partner, found.ca) == ("", "", "", None)
    assert f"mutualgate approve {'A' * 16} --client CLIENT" in found.sentence


def test_it_follows_what_the_judge_says_today(services: Services) -> None:
    own = pki.leaf(None, now=NOW)
    record = refused(services, own, "unknown_issuer")
    assert remedy(services.store, record).today == ""
    pin = services.pins.add("first-client", own.pem)
    found = remedy(services.store, record)
    assert (found.today, found.client) == ("it is let in, as the client first-client", "first-client")
    services.pins.retire(pin.id)
    found = remedy(services.store, record)
    assert found.today.startswith("it is refused for pin_retired: ")
    assert f"mutualgate pin renew {pin.id}" in found.sentence


def test_it_names_the_partner_and_the_ca(services: Services) -> None:
    ca = pki.ca("acme issuing", path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"])
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    leaf = pki.leaf(ca, sans=["api.umbrella.example"], now=NOW, days=30)
    found = remedy(services.store, refused(services, leaf, "name_not_permitted"))
    assert (found.partner, found.ca) == ("acme", anchor.id)
    assert "mutualgate partner name add acme NAME" in found.sentence
    long = remedy(services.store, refused(services, pki.leaf(ca, now=NOW), "path_invalid"))
    assert f"mutualgate partner ca set acme {anchor.id} " in long.sentence


def test_it_says_that_the_ca_was_retired(services: Services) -> None:
    root = pki.ca("acme root", now=NOW)
    issuing = pki.ca("acme issuing", root, path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"])
    first, second = (
        services.partners.anchors.claim("acme", one.pem, terms=Terms(depth=depth)).anchor.id
        for one, depth in ((root, 1), (issuing, 0))
    )
    for id in (first, second):
        services.partners.anchors.approve("acme", id, without_proof=True)
    services.partners.anchors.retire("acme", second)
    leaf = pki.leaf(issuing, sans=["api.acme.example"], now=NOW, days=30)
    found = remedy(services.store, refused(services, leaf, "unknown_issuer"))
    assert (found.partner, found.ca) == ("acme", second)
    assert "was retired" in found.sentence
    assert "mutualgate partner ca add acme FILE" in found.sentence
