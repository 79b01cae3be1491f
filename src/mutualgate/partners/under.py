"""Who was refused or let in under a partner's CAs: for the partner's own eyes, so nothing of anybody else's is in it.

Whether a certificate is under a CA, the CA's signature says; what a stranger writes into an issuer's name does not.
"""

from datetime import datetime
from itertools import islice

from mutualgate.errors import BadInput
from mutualgate.model.legible import legible
from mutualgate.model.partner import Anchor, AnchorState, Intermediate, Partner
from mutualgate.model.refusal import RefusalRecord
from mutualgate.model.sighting import Sighting
from mutualgate.partners import ca
from mutualgate.partners.above import above
from mutualgate.partners.names import name_of
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Transaction
from mutualgate.store.seen import split

LOOKED_AT = 500
"""Refusals, the newest first."""
ENDING_LOOKED_AT = 200
"""Certificates of its clients, those that end next: mostly they are under it."""


def refused_under(tx: Transaction, partner_id: int, *, limit: int = 20) -> list[RefusalRecord]:
    """The newest refusals of certificates that a CA of the partner's signed, directly or by one between.

    Under a CA that it shares with others, those of the names that are bound to it for this partner.
    """
    found: list[RefusalRecord] = []
    known: dict[bytes, bool] = {}
    partner = tx.partners.get(partner_id)
    if partner is None:
        return found
    with odd_serials_allowed():
        cas = _Cas(tx, partner)
        for record, chain in tx.refusals.recent_shown(LOOKED_AT):
            fingerprint = record.fingerprint or b""
            if fingerprint not in known:
                known[fingerprint] = cas.above(split(chain))
            if known[fingerprint]:
                found.append(record)
                if len(found) == limit:
                    break
    return found


def unlisted_under(tx: Transaction, partner_id: int) -> list[Sighting]:
    """Who was refused lately under the partner's CAs for want of being one of its clients, and nothing else."""
    records = refused_under(tx, partner_id, limit=LOOKED_AT)
    shown = dict.fromkeys(one.fingerprint for one in records if one.reason == "not_enrolled" and one.fingerprint)
    found = [tx.seen.find(one) for one in shown]
    return [one for one in found if one is not None and one.reason == "not_enrolled"]


def let_in_under(tx: Transaction, partner: Partner, ending_after: datetime, *, limit: int = 20) -> list[Sighting]:
    """Certificates of the partner's clients that were let in and end after a moment, those that end next first.

    A client of the partner's may have others, too, of ours or under another's CA: those are not told.
    """
    with odd_serials_allowed():
        cas = _Cas(tx, partner)
        shown = tx.seen.ending(partner.id, partner.client, ending_after, ENDING_LOOKED_AT)
        return list(islice((one for one in shown if cas.above(one.chain)), limit))


class _Cas:
    """A partner's CAs that are no mere claims, and its intermediates."""

    def __init__(self, tx: Transaction, partner: Partner) -> None:
        self._profile = partner.profile
        self._bound = {(rule.anchor, rule.text) for rule in tx.partners.rules_of(partner.id)}
        self._anchors: dict[bytes, list[Anchor]] = {}
        self._helpers: dict[bytes, list[Intermediate]] = {}
        for anchor in tx.anchors.of_partner(partner.id):
            # Whatever became of a claim that was never proved.
            if anchor.activated is not None and not _is_anothers(tx, anchor):
                self._anchors.setdefault(ca.parsed(anchor).subject.public_bytes(), []).append(anchor)
        for helper in tx.partners.intermediates_of(partner.id):
            self._helpers.setdefault(legible(helper.certificate).subject, []).append(helper)

    def above(self, chain: tuple[bytes, ...]) -> bool:
        """Whether the signatures lead from the leaf to one; where others have that, too, for a name bound to it."""
        try:
            certificates = [legible(one) for one in chain]
            name = name_of(certificates[0], self._profile) if certificates else None
        except (*UNREADABLE, BadInput):
            return False
        found = above(
            certificates, lambda subject: self._anchors.get(subject, ()), lambda subject: self._helpers.get(subject, ())
        )
        return any(not anchor.shared or (anchor.id, name) in self._bound for anchor in found)


def _is_anothers(tx: Transaction, anchor: Anchor) -> bool:
    """Whether a CA that its partner retired is another's by now, as one of a company that was sold."""
    return anchor.state is AnchorState.RETIRED and any(
        one.partner != anchor.partner and one.state not in (AnchorState.PENDING, AnchorState.RETIRED)
        for one in tx.anchors.with_key(anchor.spki)
    )
