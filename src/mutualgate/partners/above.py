"""Which CAs of partners are above a certificate. For people and records: who comes in by it, the judge says.

As there, signatures lead over what was sent and, to each partner's CAs, over the intermediates that it registered: a
client may send its own certificate alone (R10).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from mutualgate.model.certificate import signed
from mutualgate.model.legible import Legible, legible
from mutualgate.model.partner import Anchor, Intermediate
from mutualgate.partners import ca
from mutualgate.partners.anchors import of_subject
from mutualgate.store import Transaction

Anchors = Callable[[bytes], Iterable[Anchor]]
"""The CAs with a subject, in DER."""
Helpers = Callable[[bytes], Iterable[Intermediate]]
"""The registered intermediates with a subject, in DER."""


def vouching(tx: Transaction, chain: Sequence[Legible], now: datetime) -> list[Anchor]:
    """The CAs that count, or did until their day, and are above the first of `chain`, those nearest to it first."""

    def helpers(subject: bytes) -> list[Intermediate]:
        return tx.partners.intermediates_with_subject(hashlib.sha256(subject).digest())

    return list(above(chain, lambda subject: of_subject(tx, subject, now), helpers))


def above(chain: Sequence[Legible], anchors: Anchors, helpers: Helpers) -> Iterator[Anchor]:
    """Those of `anchors` that are above the first of `chain`, each once."""
    # With each certificate the partner whose intermediates led to it, if any: to no other's CAs do they lead.
    reached: list[tuple[Legible, int | None]] = [(one, None) for one in chain[:1]]
    known = {(one.der, whose) for one, whose in reached}
    found = set[int]()
    for certificate, whose in reached:  # it grows
        for anchor in anchors(certificate.issuer):
            theirs = whose in (None, anchor.partner) and anchor.id not in found
            if theirs and signed(ca.parsed(anchor), certificate):
                found.add(anchor.id)
                yield anchor
        further = [(one, whose) for one in chain[1:]]
        registered = [one for one in helpers(certificate.issuer) if whose in (None, one.partner)]
        further += [(legible(one.certificate), one.partner) for one in registered]
        for one, by in further:
            if (one.der, by) not in known and certificate.signed_by(one):
                known.add((one.der, by))
                reached.append((one, by))
