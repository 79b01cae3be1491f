"""Which CAs of partners are above a certificate. For people and records: who comes in by it, the judge says.

As there, signatures lead over what was sent and, to each partner's CAs, over the intermediates that it registered: a
client may send its own certificate alone (R10). And they lead on over no CA that the partner registered itself.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from mutualgate.errors import BadInput
from mutualgate.model.certificate import signed, spki_fingerprint
from mutualgate.model.legible import Legible, legible
from mutualgate.model.partner import Anchor, AnchorState, Intermediate
from mutualgate.partners import ca
from mutualgate.partners.anchors import of_subject
from mutualgate.store import Transaction

Anchors = Callable[[bytes], Iterable[Anchor]]
"""The CAs with a subject, in DER."""
Helpers = Callable[[bytes], Iterable[Intermediate]]
"""The registered intermediates with a subject, in DER."""


def vouching(tx: Transaction, chain: Sequence[Legible], now: datetime) -> list[Anchor]:
    """The CAs that count, or did until their day, and are above the first of `chain`, those nearest to it first."""
    found = above(chain, lambda subject: _of_subject(tx, subject, now), lambda subject: _helpers(tx, subject))
    return [one for one in found if one.state is not AnchorState.RETIRED]


def retired(tx: Transaction, chain: Sequence[Legible], now: datetime) -> list[Anchor]:
    """As `vouching`, those that were retired or whose day has come: who is under them is out for that."""
    found = above(chain, lambda subject: _of_subject(tx, subject, now), lambda subject: _helpers(tx, subject))
    return [one for one in found if one.state_at(now) is AnchorState.RETIRED]


def above(chain: Sequence[Legible], anchors: Anchors, helpers: Helpers) -> Iterator[Anchor]:
    """Those of `anchors` that are above the first of `chain`, each once."""
    # With each certificate the partner whose intermediates led to it, if any: to no other's CAs do they lead. And those
    # whose own CAs were passed on the way: their paths ended there.
    reached: list[tuple[Legible, int | None, frozenset[int]]] = [(one, None, frozenset()) for one in chain[:1]]
    known = {(one.der, whose, past) for one, whose, past in reached}
    found = set[int]()
    for certificate, whose, past in reached:  # it grows
        for anchor in anchors(certificate.issuer):
            theirs = whose in (None, anchor.partner) and anchor.partner not in past and anchor.id not in found
            if theirs and signed(ca.parsed(anchor), certificate):
                found.add(anchor.id)
                yield anchor
        further = [(one, whose) for one in chain[1:]]
        registered = [one for one in helpers(certificate.issuer) if whose in (None, one.partner)]
        further += [(legible(one.certificate), one.partner) for one in registered]
        for one, by in further:
            step = (one, by, past | _whose(one, anchors))
            if (one.der, *step[1:]) not in known and certificate.signed_by(one):
                known.add((one.der, *step[1:]))
                reached.append(step)


def _whose(certificate: Legible, anchors: Anchors) -> set[int]:
    """The partners that registered this CA itself."""
    try:
        spki = spki_fingerprint(certificate.says)
    except BadInput:  # no CA's: those are read when they are registered
        return set()
    return {one.partner for one in anchors(certificate.subject) if one.spki == spki}


def _of_subject(tx: Transaction, subject: bytes, now: datetime) -> list[Anchor]:
    return [*of_subject(tx, subject, now), *tx.anchors.retired_with_subject(hashlib.sha256(subject).digest())]


def _helpers(tx: Transaction, subject: bytes) -> list[Intermediate]:
    return tx.partners.intermediates_with_subject(hashlib.sha256(subject).digest())
