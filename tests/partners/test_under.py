"""A partner sees who was refused under its CAs: by signature, so nobody else's, whatever names say."""

import hashlib
from datetime import timedelta

import pki
import pytest
from conftest import Hands
from rows import see

from mutualgate.clients import Clients
from mutualgate.model.refusal import RefusalRecord
from mutualgate.partners import under
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.partners.under import let_in_under, refused_under
from mutualgate.store import Store, seen


@pytest.fixture
def acme(store: Store) -> tuple[int, pki.Issued]:
    service, ca = Partners(store, "test"), pki.ca("acme issuing")
    partner = service.add("acme", names=["dns:*.acme.example"])
    service.anchors.approve("acme", service.anchors.claim("acme", ca.pem).anchor.id, without_proof=True)
    return partner.id, ca


def refuse(store: Store, clock: Hands, chain: list[bytes], id: str) -> None:
    see(store, chain, at=clock(), reason="expired", subject="CN=x", count=1)
    fingerprint = hashlib.sha256(chain[0]).digest()
    with store.transaction() as tx:
        tx.refusals.add_many([RefusalRecord(id, clock(), "expired", "why", subject="CN=x", fingerprint=fingerprint)])


def refused(store: Store, partner: int, limit: int = 20) -> list[str]:
    with store.reading() as tx:
        return [one.id for one in refused_under(tx, partner, limit=limit)]


def test_those_under_its_ca_are_its_own(store: Store, clock: Hands, acme: tuple[int, pki.Issued]) -> None:
    partner, ca = acme
    below = pki.ca("acme sub", ca)
    refuse(store, clock, [pki.leaf(ca, "direct").der], "DIRECT")
    refuse(store, clock, [pki.leaf(below, "through a sub CA").der, below.der], "BELOW")
    assert refused(store, partner) == ["BELOW", "DIRECT"]
    assert refused(store, partner, limit=1) == ["BELOW"]


def test_those_below_its_registered_intermediates_are_its_own(
    store: Store, clock: Hands, acme: tuple[int, pki.Issued]
) -> None:
    """The judge reads those, too: a client may send its own certificate alone."""
    partner, ca = acme
    helper = pki.ca("acme sub", ca)
    Partners(store, "test").add_intermediate("acme", helper.pem)
    lowest = pki.ca("acme lowest", helper)
    refuse(store, clock, [pki.leaf(helper, "alone").der], "ALONE")
    refuse(store, clock, [pki.leaf(lowest, "with the lower one").der, lowest.der], "LOWEST")
    refuse(store, clock, [pki.leaf(pki.ca("acme sub", ca), "same name").der], "OTHER")
    assert refused(store, partner) == ["LOWEST", "ALONE"]


def test_nobody_else_s_are(store: Store, clock: Hands, acme: tuple[int, pki.Issued]) -> None:
    partner, ca = acme
    impostor = pki.ca("acme issuing")
    tampered = pki.tampered(pki.leaf(ca, "tampered"))
    for number, chain in enumerate(
        [
            [pki.leaf(impostor, "same name").der],
            [pki.leaf(impostor, "with the real CA sent along").der, ca.der],
            [pki.leaf(pki.ca("globex issuing"), "other").der],
            [tampered.der],
            [pki.leaf(None, "itself").der],
            [b"no certificate"],
        ]
    ):
        refuse(store, clock, chain, f"OTHER{number}")
    with store.transaction() as tx:
        tx.refusals.add_many([RefusalRecord("NONE", clock(), "no_certificate", "why")])
    assert refused(store, partner) == []


def test_a_claim_shows_nothing(store: Store, clock: Hands, acme: tuple[int, pki.Issued]) -> None:
    """A CA's certificate is public: who claims another's CA and has not proved it learns of nobody."""
    partner, _ = acme
    globex = pki.ca("globex issuing")
    anchors = Partners(store, "test").anchors
    claimed = anchors.claim("acme", globex.pem).anchor
    refuse(store, clock, [pki.leaf(globex, "under another's CA").der], "THEIRS")
    assert refused(store, partner) == []
    anchors.retire("acme", claimed.id)
    assert refused(store, partner) == []


def test_a_ca_that_is_another_s_by_now_shows_nothing_more(
    store: Store, clock: Hands, acme: tuple[int, pki.Issued]
) -> None:
    """One that is nobody's since shows what it did; a mere claim of another takes nothing away."""
    partner, ca = acme
    service = Partners(store, "test")
    heir = service.add("heir", names=["dns:*.acme.example"]).id
    refuse(store, clock, [pki.leaf(ca, "under it").der], "UNDER")
    with store.reading() as tx:
        (anchor,) = tx.anchors.of_partner(partner)
    service.anchors.retire("acme", anchor.id)
    taken = service.anchors.claim("heir", ca.pem).anchor
    assert (refused(store, partner), refused(store, heir)) == (["UNDER"], [])
    service.anchors.approve("heir", taken.id, without_proof=True)
    assert (refused(store, partner), refused(store, heir)) == ([], ["UNDER"])


def test_under_a_ca_of_several_each_sees_its_own_names(
    store: Store, clock: Hands, acme: tuple[int, pki.Issued]
) -> None:
    service, public = Partners(store, "test"), pki.ca("public issuing")
    others = service.add("globex", names=["dns:*.globex.example"]).id
    for name in ("acme", "globex"):
        anchor = service.anchors.claim(name, public.pem, terms=Terms(shared=True)).anchor
        service.permit(name, [f"dns:api.{name}.example"], anchor=anchor.id)
    for id, host in (("ACME", "api.acme.example"), ("GLOBEX", "API.globex.example"), ("NOBODY", "www.acme.example")):
        refuse(store, clock, [pki.leaf(public, "x", sans=[host]).der], id)
    assert (refused(store, acme[0]), refused(store, others)) == (["ACME"], ["GLOBEX"])
    assert refused(store, 999) == []


def test_the_newest_that_showed_a_certificate_are_looked_at(
    store: Store, clock: Hands, acme: tuple[int, pki.Issued], monkeypatch: pytest.MonkeyPatch
) -> None:
    partner, ca = acme
    monkeypatch.setattr(under, "LOOKED_AT", 1)
    refuse(store, clock, [pki.leaf(ca, "api").der], "ONE")
    with store.transaction() as tx:
        tx.refusals.add_many([RefusalRecord("NONE", clock(), "no_certificate", "none was shown")])
    assert refused(store, partner) == ["ONE"]
    refuse(store, clock, [pki.leaf(pki.ca("globex issuing"), "x").der], "ANOTHERS")
    assert refused(store, partner) == []


@pytest.mark.parametrize("collected", [0, seen.COLLECTED], ids=["very many clients", "few"])
def test_its_clients_certificates_are_listed_by_their_end(
    store: Store, clock: Hands, acme: tuple[int, pki.Issued], monkeypatch: pytest.MonkeyPatch, collected: int
) -> None:
    monkeypatch.setattr(seen, "COLLECTED", collected)
    partner, ca = acme
    clients = Clients(store, "test")
    other, member = clients.add("somebody else"), clients.add("api of acme")
    Partners(store, "test").members.add("acme", "dns:api.acme.example", client="api of acme")
    with store.reading() as tx:
        acme_itself = tx.partners.get(partner)
    assert acme_itself is not None
    now = clock()
    for name, issuer, client, days, reason in (
        ("later", ca, member.id, 20, ""),
        ("next", ca, acme_itself.client, 10, ""),
        ("over", ca, member.id, -10, ""),
        ("refused", ca, member.id, 5, "revoked"),
        ("a member's own from elsewhere", pki.ca("globex issuing"), member.id, 5, ""),
        ("another's", ca, other.id, 5, ""),
    ):
        leaf = pki.leaf(issuer, name)
        end = now + timedelta(days=days)
        see(store, [leaf.der], at=now, subject=f"CN={name}", client=client, not_after=end, reason=reason)
    with store.reading() as tx:
        assert [one.subject for one in let_in_under(tx, acme_itself, now)] == ["CN=next", "CN=later"]
        assert len(let_in_under(tx, acme_itself, now, limit=1)) == 1
