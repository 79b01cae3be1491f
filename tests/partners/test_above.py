"""Which CAs of partners are above a certificate, for people and records."""

import pki
import pytest
from partners.test_anchors import active, claim

from mutualgate.partners.above import retired, vouching
from mutualgate.partners.service import Partners
from mutualgate.store import Store


def test_who_vouches_is_found_by_signature(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    anchor = active(partners, acme_ca)
    with store.reading() as tx:
        assert vouching(tx, [pki.leaf(acme_ca).legible], pki.NOW) == [anchor]
        forged = pki.leaf(pki.ca("acme issuing"))
        assert vouching(tx, [forged.legible], pki.NOW) == []


def test_who_vouches_is_found_over_what_its_partner_registered(partners: Partners, store: Store) -> None:
    """As the judge finds it: over one partner's intermediates to that partner's CAs alone, whatever was sent along."""
    root, other = pki.ca("root"), pki.ca("other root")
    sub = pki.ca("sub", root)
    anchor = active(partners, root)
    leaf, stranger = pki.leaf(sub).legible, pki.leaf(None).legible
    with store.reading() as tx:
        assert vouching(tx, [leaf], pki.NOW) == []
        assert vouching(tx, [leaf, sub.legible], pki.NOW) == [anchor]
        assert vouching(tx, [stranger, sub.legible], pki.NOW) == [], "it is not above this one"
    partners.add_intermediate("acme", sub.pem)
    crossed = pki.ca("sub", other, key=sub.key)
    second = active(partners, other, "umbrella")
    with store.reading() as tx:
        assert vouching(tx, [leaf], pki.NOW) == [anchor]
        assert vouching(tx, [leaf, crossed.legible], pki.NOW) == [second, anchor]
    lower = pki.ca("lower", pki.ca("between", root))
    between = pki.ca("between", other)
    partners.add_intermediate("umbrella", between.pem)
    with store.reading() as tx:
        assert vouching(tx, [pki.leaf(lower).legible, lower.legible], pki.NOW) == []


def test_no_path_leads_over_a_ca_that_its_partner_registered(partners: Partners, store: Store) -> None:
    root, other = pki.ca("root"), pki.ca("other root")
    sub = pki.ca("sub", root)
    chain = [pki.leaf(sub).legible, sub.legible, pki.ca("sub", other, key=sub.key).legible]
    over, umbrellas = active(partners, root), active(partners, other, "umbrella")
    with store.reading() as tx:
        assert vouching(tx, chain, pki.NOW) == [over, umbrellas]
    own = active(partners, sub)
    with store.reading() as tx:
        assert vouching(tx, chain, pki.NOW) == [own, umbrellas]
        assert retired(tx, chain, pki.NOW) == []
    partners.anchors.retire("acme", own.id)
    with store.reading() as tx:
        assert vouching(tx, chain, pki.NOW) == [umbrellas]
        assert [one.id for one in retired(tx, chain, pki.NOW)] == [own.id]


def test_claims_push_out_nobody_who_vouches(
    partners: Partners, store: Store, acme_ca: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutualgate.partners.room.MOST_OF_ONE_NAME", 2)
    for _ in range(2):
        claim(partners, pki.ca("acme issuing"), "umbrella")
    anchor = active(partners, acme_ca)
    with store.reading() as tx:
        assert vouching(tx, [pki.leaf(acme_ca).legible], pki.NOW) == [anchor]
