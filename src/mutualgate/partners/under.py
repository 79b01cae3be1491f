"""Who was refused or let in under a partner's CAs: for the partner's own eyes, so nothing of anybody else's is in it.

Whether a certificate is under a CA, the CA's signature says; what a stranger writes into an issuer's name does not.
"""

from datetime import datetime
from itertools import islice

from cryptography import x509

from mutualgate.model.certificate import signed
from mutualgate.model.partner import Anchor, AnchorState, Partner
from mutualgate.model.refusal import RefusalRecord
from mutualgate.model.sighting import Sighting
from mutualgate.partners import ca
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Transaction
from mutualgate.store.seen import split

LOOKED_AT = 500
"""Refusals, the newest first."""
ENDING_LOOKED_AT = 200
"""Certificates of its clients, those that end next: mostly they are under it."""


def refused_under(tx: Transaction, partner_id: int, *, limit: int = 20) -> list[RefusalRecord]:
    """The newest refusals of certificates that a CA of the partner's signed, directly or by one that was sent along."""
    found: list[RefusalRecord] = []
    known: dict[bytes, bool] = {}
    with odd_serials_allowed():
        named = _proved(tx, partner_id)
        for record, chain in tx.refusals.recent_shown(LOOKED_AT):
            fingerprint = record.fingerprint or b""
            if fingerprint not in known:
                known[fingerprint] = _is_under(split(chain), named)
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
        named = _proved(tx, partner.id)
        shown = tx.seen.ending(partner.id, partner.client, ending_after, ENDING_LOOKED_AT)
        return list(islice((one for one in shown if _is_under(one.chain, named)), limit))


def _proved(tx: Transaction, partner_id: int) -> list[tuple[x509.Certificate, Anchor]]:
    anchors = tx.anchors.of_partner(partner_id)
    return [(ca.parsed(one), one) for one in anchors if one.state is not AnchorState.PENDING]


def _is_under(chain: tuple[bytes, ...], anchors: list[tuple[x509.Certificate, Anchor]]) -> bool:
    """Whether the signatures lead from the leaf to one of the CAs, by what was sent."""
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        path = certificates[:1]
        for _ in certificates:
            head = path[-1]
            if any(issuer.subject == head.issuer and signed(issuer, head) for issuer, _ in anchors):
                return True
            above = next((one for one in certificates[1:] if one.subject == head.issuer and signed(one, head)), None)
            if above is None:
                return False
            path.append(above)
    except UNREADABLE:
        return False
    return False
