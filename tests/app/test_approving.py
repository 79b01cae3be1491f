from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from installation import Installation
from rows import see

from mutualgate.app import Services
from mutualgate.app.judging import judge_of
from mutualgate.app.remedies import remedy
from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.partner import PartnerAdmits
from mutualgate.model.pin import PinKind
from mutualgate.model.refusal import RefusalRecord
from mutualgate.partners.members import first_sight
from mutualgate.partners.terms import Terms

NOW = pki.real_now()


@dataclass
class Refused:
    """Refuses strangers, as the gate would tell it."""

    services: Services
    count: int = 0

    def __call__(self, leaf: pki.Issued | None, reason: str = "unknown_issuer", *, seen: bool = True) -> str:
        self.count += 1
        id = f"REFUSAL{self.count:09}"
        fingerprint = None if leaf is None else leaf.certificate.fingerprint(hashes.SHA256())
        if leaf is not None and seen:
            see(self.services.store, leaf.chain_der, at=NOW, reason=reason, subject="CN=stranger", count=7)
        with self.services.store.transaction() as tx:
            tx.refusals.add_many(
                [RefusalRecord(id, NOW, reason, "why", "main", "/", "192.0.2.9", "CN=stranger", fingerprint, None)]
            )
        return id


@pytest.fixture
def refused(services: Services) -> Refused:
    return Refused(services)


def test_a_stranger_comes_in_as_a_client_of_ours(services: Services, refused: Refused) -> None:
    own = pki.leaf(None, "stranger", now=NOW)
    id = refused(own)
    found = services.approvals.look(id.lower())
    assert found.words.startswith("self-signed, P-256")
    assert (found.seen.count, found.unusual, found.remarks, found.partner) == (7, (), (), None)
    with pytest.raises(Conflict, match="whose"):
        services.approvals.approve(id)
    done = services.approvals.approve(id, client="new one", roles=["orders"])
    assert (done.client.name, done.client.roles) == ("new one", ("orders",))
    assert done.pin is not None
    assert done.pin.certificate == own.der
    with pytest.raises(Conflict, match="let in already, as the client 'new one'"):
        services.approvals.look(id)


def test_a_client_that_exists_keeps_its_roles(services: Services, refused: Refused) -> None:
    id = refused(pki.leaf(None, "x", now=NOW))
    with pytest.raises(Conflict, match="has its roles"):
        services.approvals.approve(id, client="first-client", roles=["admin"])
    done = services.approvals.approve(id, client="first-client", kind=PinKind.KEY)
    assert done.pin is not None
    assert done.pin.kind is PinKind.KEY


def test_what_is_unusual_is_said(services: Services, refused: Refused) -> None:
    found = services.approvals.look(refused(pki.leaf(None, "first-client", ca=True, now=NOW)))
    assert "CA:TRUE" in " ".join(found.remarks)
    (unusual,) = found.unusual
    assert "calls itself as the client first-client is called" in unusual


def test_one_whose_name_cannot_be_read_is_approved(services: Services, refused: Refused) -> None:
    own = pki.named_in_latin_1(now=NOW)
    id = refused(own)
    found = services.approvals.look(id)
    assert (found.words.split(", ")[1], found.unusual) == ("P-256", ())
    done = services.approvals.approve(id, client="zoe")
    assert done.pin is not None
    assert done.pin.certificate == own.der


def of_ours(services: Services, installed: Installation) -> x509.Certificate:
    """What the first client shows: our authority issued it."""
    return x509.load_pem_x509_certificate(installed.pem().read_bytes())


def assert_not_approved(services: Services, id: str, code: str, fix: str) -> None:
    for call in (services.approvals.look, services.approvals.approve):
        with pytest.raises(Conflict) as error:
            call(id)
        assert (error.value.code, fix in str(error.value.fix)) == (code, True), error.value


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("expired", "Have the partner issue it anew"),
        ("not_yet_valid", "date -u"),
        ("weak_key", "new key"),
        ("bad_signature", "Compare the key"),
    ],
)
def test_what_is_no_question_of_trust_is_not_approved(
    services: Services, refused: Refused, acme: pki.Issued, reason: str, fix: str
) -> None:
    made = {
        "expired": lambda: pki.leaf(acme, now=NOW, days=-1),
        "not_yet_valid": lambda: pki.leaf(acme, now=NOW + timedelta(days=2), days=30),
        "weak_key": lambda: pki.leaf(acme, now=NOW, days=30, key=pki.rsa_key(1024)),
        "bad_signature": lambda: pki.tampered(pki.leaf(acme, now=NOW, days=30)),
    }[reason]()
    assert_not_approved(services, refused(made, reason), reason, fix)
    with pytest.raises(Conflict) as today:
        services.approvals.approve(refused(made, "unknown_issuer"), client="x")
    assert today.value.code == reason, "whatever it was refused for then"


def test_a_client_of_ours_is_never_approved_as_somebody_else(
    services: Services, refused: Refused, installed: Installation
) -> None:
    """It would be two clients at once; and what it lacks is a role, or its client's state."""
    own = pki.Issued(of_ours(services, installed), pki.fresh_key())
    for reason in ("not_granted", "wrong_site", "unknown_issuer"):
        id = refused(own, reason)
        for call in (services.approvals.look, lambda id: services.approvals.approve(id, client="x")):
            with pytest.raises(Conflict, match="let in already, as the client 'first-client'"):
                call(id)
    assert "client roles first-client --add ROLE" in str(remedy_of(services, refused(own, "not_granted")))
    services.clients.suspend("first-client")
    assert_not_approved(services, id, "client_suspended", "mutualgate client resume first-client")
    services.clients.resume("first-client")
    services.clients.revoke("first-client")
    assert_not_approved(services, id, "revoked", "mutualgate invite first-client")


def remedy_of(services: Services, id: str) -> str:
    with pytest.raises(Conflict) as error:
        services.approvals.look(id)
    return str(error.value.fix)


def test_what_cannot_be_read_was_never_seen_and_is_not_approved(services: Services, refused: Refused) -> None:
    assert_not_approved(services, refused(pki.leaf(None), "malformed", seen=False), "malformed", "intermediates only")


def test_what_breaks_a_rule_of_its_encoding_is_approved_as_it_is(services: Services, refused: Refused) -> None:
    """The judge reads it, and a pin compares its bytes."""
    odd, _ = pki.oddly_spelt(pki.ca("theirs", now=NOW), "R&D", now=NOW)
    see(services.store, [odd], at=NOW, reason="unknown_issuer", subject="CN=R&D", count=1)
    with services.store.transaction() as tx:
        digest = sha256(odd).digest()
        record = RefusalRecord("ODD", NOW, "unknown_issuer", "why", "main", "/", "192.0.2.9", "CN=R&D", digest, None)
        tx.refusals.add_many([record])
    assert "PrintableString" in " ".join(services.approvals.look("ODD").remarks)
    done = services.approvals.approve("ODD", client="research")
    assert done.pin is not None
    assert (done.pin.certificate, done.pin.digest, done.pin.subject) == (odd, digest, "CN=R&D")
    verdict = judge_of(services, [odd], with_sites=False).decide([odd], int(services.clock().timestamp()))
    assert verdict.client_name == "research"


def test_only_what_was_proved_is_approved(services: Services, refused: Refused) -> None:
    """R7: a certificate that the gate has not seen in a handshake is anybody's."""
    with pytest.raises(NotFound, match="not among those"):
        services.approvals.approve(refused(pki.leaf(None, now=NOW), seen=False), client="x")
    with pytest.raises(Conflict, match="no certificate"):
        services.approvals.look(refused(None, "no_certificate"))
    with pytest.raises(NotFound, match="no refusal"):
        services.approvals.look("NONE")


def test_a_key_that_a_removed_client_had_is_said_to_be(services: Services, refused: Refused) -> None:
    own = pki.leaf(None, "stranger", now=NOW)
    services.clients.add("anna")
    services.pins.add("anna", own.pem)
    services.clients.remove("anna")
    (unusual,) = services.approvals.look(refused(own)).unusual
    assert unusual == "Its key is known: it was the removed client anna's."


def test_a_retired_pin_is_renewed_instead(services: Services, refused: Refused) -> None:
    own = pki.leaf(None, now=NOW)
    pin = services.pins.add("first-client", own.pem)
    services.pins.retire(pin.id)
    with pytest.raises(Conflict, match="retired") as error:
        services.approvals.look(refused(own, "pin_retired"))
    assert f"pin renew {pin.id}" in str(error.value)


@pytest.fixture
def acme(services: Services) -> pki.Issued:
    ca = pki.ca("acme issuing", path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.APPROVAL, roles=["orders"])
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    return ca


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("client", [None, "api", "first-client"])
def test_a_partners_client_comes_in_as_the_partners(
    services: Services, refused: Refused, acme: pki.Issued, waits: bool, client: str | None
) -> None:
    leaf = pki.leaf(acme, "x", sans=["api.acme.example"], now=NOW, days=30)
    if waits:
        with services.store.transaction() as tx:
            first_sight(tx, 1, leaf.certificate, at=NOW)
    id = refused(leaf, "not_enrolled")
    found = services.approvals.look(id)
    assert found.partner is not None
    assert (found.partner.name, found.member) == ("acme", "dns:api.acme.example")
    done = services.approvals.approve(id, client=client, roles=["billing"] if client is None else None)
    assert done.pin is None
    assert done.client.name == client or (client is None and done.client.name == "api.acme.example")
    assert done.client.roles == {None: ("billing",), "api": ("orders",)}.get(client, done.client.roles)
    assert [one.member.client for one in services.partners.members.list("acme")] == [done.client.id]


@pytest.mark.parametrize("own", [True, False])
def test_taken_back_the_client_that_came_with_it_goes_too(
    services: Services, refused: Refused, acme: pki.Issued, own: bool
) -> None:
    if own:
        id = refused(pki.leaf(None, "x", now=NOW))
    else:
        id = refused(pki.leaf(acme, "x", sans=["api.acme.example"], now=NOW, days=30), "not_enrolled")
    services.approvals.approve(id, client="new one", roles=["orders"])
    with services.store.reading() as tx:
        last, before = tx.audit.recent(limit=2)
    assert (before.action, before.facts["roles"]) == ("client.add", "orders")
    assert last.action == ("pin.add" if own else "member.add")
    services.trust.undo()
    with pytest.raises(NotFound):
        services.clients.get("new one")
    again = services.approvals.approve(id, client="new one")
    assert services.clients.get("new one").id == again.client.id


def test_taken_back_a_client_that_was_there_stays(services: Services, refused: Refused, acme: pki.Issued) -> None:
    for leaf in (pki.leaf(None, "x", now=NOW), pki.leaf(acme, "x", sans=["api.acme.example"], now=NOW, days=30)):
        id = refused(leaf, "not_enrolled")
        with pytest.raises(Conflict, match="has its roles"):
            services.approvals.approve(id, client="first-client", roles=["admin"])
        services.approvals.approve(id, client="first-client")
        services.trust.undo()
        assert services.clients.get("first-client").state is ClientState.ACTIVE


def test_a_name_that_a_partner_forged_is_said_to_be(services: Services, refused: Refused, acme: pki.Issued) -> None:
    leaf = pki.leaf(acme, "x", sans=["api.umbrella.example"], now=NOW, days=30)
    found = services.approvals.look(refused(leaf, "name_not_permitted"))
    assert found.partner is None
    assert "A CA of the partner acme signed it, and it is refused under it (name_not_permitted)" in found.unusual[0]


def test_a_partners_client_that_sends_its_certificate_alone_comes_in_as_the_partners(
    services: Services, refused: Refused
) -> None:
    root = pki.ca("acme root", now=NOW)
    sub = pki.ca("acme issuing", root, path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.LISTED)
    anchor = services.partners.anchors.claim("acme", root.pem, terms=Terms(depth=1)).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    services.partners.add_intermediate("acme", sub.pem)
    leaf = pki.leaf(sub, "x", sans=["api.acme.example"], now=NOW, days=30)
    id = refused(pki.Issued(leaf.certificate, leaf.key), "not_enrolled")
    with services.store.reading() as tx:
        record = tx.refusals.find(id)
    assert record is not None
    can = remedy(services.store, record)
    assert (can.partner, can.ca, can.deed) == ("acme", anchor.id, f"If it is the partner's: `mutualgate approve {id}`.")
    done = services.approvals.approve(id)
    assert done.pin is None
    assert done.member is not None
    assert done.member.name == "dns:api.acme.example"


def test_under_a_shared_ca_a_client_is_the_partners_that_may_vouch_for_its_name(
    services: Services, refused: Refused
) -> None:
    public = pki.ca("public", path_length=0, now=NOW)
    for name in ("eta", "zeta"):
        services.partners.add(name, names=["dns:*.zeta.example"], admits=PartnerAdmits.LISTED)
        anchor = services.partners.anchors.claim(name, public.pem, terms=Terms(shared=True)).anchor
        services.partners.permit(name, [f"dns:api.{name}.example"], anchor=anchor.id)
    leaf = pki.leaf(public, "x", sans=["api.zeta.example"], now=NOW, days=30)
    id = refused(leaf, "not_enrolled")
    with services.store.reading() as tx:
        record = tx.refusals.find(id)
    assert record is not None
    can = remedy(services.store, record)
    assert (can.partner, can.ca) == ("zeta", anchor.id)
    done = services.approvals.approve(id)
    assert [one.member.name for one in services.partners.members.list("zeta")] == ["dns:api.zeta.example"]
    assert services.partners.members.list("eta") == []
    verdict = judge_of(services, leaf.chain_der, with_sites=False).decide(leaf.chain_der, int(NOW.timestamp()))
    assert (verdict.admitted, verdict.client_id, verdict.partner) == (True, done.client.id, "zeta")
