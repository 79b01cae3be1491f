"""CAs between a partner's CA and its clients: who is seen for the first time is told of, and may have to wait (R9).

A partner's CA can make another one below it in a minute. Where one may stand there, its first sight is an event; where
new ones are held, nothing under it comes in before somebody allows it. Whether it does, the judge decides.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from mutualgate import audit
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.certificate import signed, spki_fingerprint
from mutualgate.model.partner import Anchor, AnchorState, Partner, SeenCa
from mutualgate.partners import ca, room
from mutualgate.partners.finding import find, subject
from mutualgate.partners.telling import Tell
from mutualgate.partners.terms import MOST_BELOW
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed, subject_text
from mutualgate.store import Store, Transaction


@dataclass(frozen=True)
class Below:
    """A CA that was seen below a partner's, and whether clients under it come in: `allowed`, `waits` or `refused`."""

    partner: Partner
    anchor: Anchor
    seen: SeenCa

    @property
    def state(self) -> str:
        """In a word."""
        if self.anchor.lets_below(self.seen.spki):
            return "allowed"
        return "waits" if self.anchor.hold else "refused"


class Between:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def of(self, name: str) -> list[Below]:
        """Those that were seen below a partner's CAs, oldest first. Raises `NotFound`."""
        with self._store.reading() as tx:
            partner = find(tx, name)
            return _below(tx, tx.anchors.of_partner(partner.id), {partner.id: partner})

    def waiting(self) -> list[Below]:
        """All that wait to be allowed."""
        with self._store.reading() as tx:
            anchors = tx.anchors.holding()
            partners = tx.partners.get_many({one.partner for one in anchors})
            return [one for one in _below(tx, anchors, partners) if one.state == "waits"]

    def allow(self, name: str, spki: bytes, *, anchor: int | None = None) -> list[Anchor]:
        """Lets the CA of this key stand below those CAs below which it was seen, or below `anchor`.

        Raises `NotFound`, `BadInput` where nobody can say below which, `Conflict` where it may already.
        """
        return self._change(name, spki, anchor, allow=True)

    def disallow(self, name: str, spki: bytes, *, anchor: int | None = None) -> list[Anchor]:
        """Takes that back. Raises `NotFound`, and `Conflict` for one that was not allowed by itself."""
        return self._change(name, spki, anchor, allow=False)

    def _change(self, name: str, spki: bytes, anchor: int | None, *, allow: bool) -> list[Anchor]:
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            own = _own(tx, partner.id, spki) if allow else None
            if own is not None:
                state = own.state_at(now)
                again = f"mutualgate partner ca add {partner.name} FILE" if state is AnchorState.RETIRED else None
                raise Conflict(
                    f"this is the CA {own.id} of the partner '{partner.name}' itself, {state}: it is below no other",
                    fix=again and f"To let its clients in again, claim it anew: {again}",
                    code="own_ca",
                )
            watch = tx.trust.watch()
            done = []
            for one in _meant(tx, partner, spki, anchor, now):
                if allow and one.lets_below(spki):
                    continue
                if not allow and (spki not in one.sub_cas or not one.hold):
                    continue
                if allow and len(one.sub_cas) >= MOST_BELOW:
                    raise Conflict(f"below the CA {one.id} are {MOST_BELOW} already", code="too_many_below")
                keys = (*one.sub_cas, spki) if allow else tuple(key for key in one.sub_cas if key != spki)
                watch.changes("anchor", one.id)
                changed = replace(one, sub_cas=keys)
                tx.anchors.set(changed)
                facts: audit.Facts = {"anchor": one.id, "spki": spki.hex()}
                action = "anchor.allow" if allow else "anchor.disallow"
                audit.record(tx, now, self._by, action, subject(partner), facts)
                done.append(changed)
            if not done:
                raise Conflict(
                    "this CA may stand there already" if allow else "this CA was not allowed by itself",
                    expected="one that waits" if allow else "one that was allowed, below a CA that holds new ones",
                    fix=f"See them with: mutualgate partner ca list {partner.name}",
                    code="nothing_to_allow" if allow else "nothing_to_disallow",
                )
            word = "allow" if allow else "disallow"
            tx.trust.record(now, self._by, f"partner ca {word} {partner.name} {spki.hex()[:16]}", watch)
        return done


def first_sight(tx: Transaction, chain: Sequence[bytes], *, at: datetime, tell: Tell) -> list[SeenCa]:
    """Notes CAs between a partner's CA and the leaf of `chain` (DER, as it was shown) that are seen for the first time.

    For each sighting: whoever showed it proved the leaf's key, and the CA's key signed the leaf.
    """
    made: list[SeenCa] = []
    if len(chain) < 2:
        return made
    try:
        with odd_serials_allowed():
            leaf, *above = [x509.load_der_x509_certificate(one) for one in chain]
            for one in above:
                if _issues(one):
                    made += _note(tx, one, at, tell, leaf)
    except (*UNREADABLE, BadInput):  # the judge refused it
        pass
    return made


def known(tx: Transaction, certificate: x509.Certificate, anchors: Iterable[Anchor], *, at: datetime) -> None:
    """Notes a CA that an operator brings, so that it can be allowed before it is seen, and is then no event."""
    spki = spki_fingerprint(certificate)
    for anchor in anchors:
        if anchor.depth and _own(tx, anchor.partner, spki) is None and spki not in _seen_keys(tx, anchor):
            tx.anchors.add_seen(_seen(anchor, certificate, spki, at))


def registered(tx: Transaction, anchor: Anchor, *, at: datetime) -> list[bytes]:
    """The keys of the partner's registered intermediates that this CA of its signed, which are known from now on."""
    found = []
    with odd_serials_allowed():
        for helper in tx.partners.intermediates_of(anchor.partner):
            certificate = x509.load_der_x509_certificate(helper.certificate)
            if _issues(certificate) and signed(ca.parsed(anchor), certificate):
                known(tx, certificate, [anchor], at=at)
                found.append(spki_fingerprint(certificate))
    return found


def _note(
    tx: Transaction, certificate: x509.Certificate, at: datetime, tell: Tell, leaf: x509.Certificate
) -> list[SeenCa]:
    name = hashlib.sha256(certificate.issuer.public_bytes()).digest()
    spki = spki_fingerprint(certificate)
    made = []
    for anchor in tx.anchors.with_subject(name)[: room.MOST_OF_ONE_NAME]:
        if not anchor.depth or anchor.state_at(at) not in _COUNTS or _own(tx, anchor.partner, spki) is not None:
            continue
        # By signature, last of all: it costs, and most have been seen.
        seen = _seen_keys(tx, anchor)
        if spki in seen or len(seen) >= MOST_BELOW or not signed(ca.parsed(anchor), certificate):
            continue
        if not signed(certificate, leaf):
            continue
        partner = tx.partners.get(anchor.partner)
        assert partner is not None  # noqa: S101 - a row refers to it
        one = _seen(anchor, certificate, spki, at)
        tx.anchors.add_seen(one)
        state = Below(partner, anchor, one).state
        facts: audit.Facts = {"anchor": anchor.id, "spki": spki.hex(), "subject": one.subject, "state": state}
        audit.record(tx, at, "gate", "anchor.below_seen", subject(partner), facts)
        tell(tx, partner, "A CA is seen below a partner's for the first time", _letter(partner, anchor, one, state),
             f"below:{anchor.id}:{spki.hex()[:32]}")  # fmt: skip
        made.append(one)
    return made


_COUNTS = (AnchorState.ACTIVE, AnchorState.RETIRING)
_WORDS = {
    "allowed": "Clients under it come in, within the partner's names.",
    "refused": "Clients under it are refused: it is none of the CAs that were listed.",
    "waits": "Clients under it are refused until the operator allows it: mutualgate partner ca allow {} {}",
}


def _letter(partner: Partner, anchor: Anchor, one: SeenCa, state: str) -> str:
    return (
        f"A client came with a certificate of {one.subject}, a CA below {anchor.subject} (CA {anchor.id}) that was not"
        f" seen before.\nSHA-256 of its key: {one.spki.hex()}\n{_WORDS[state].format(partner.name, one.spki.hex())}\n"
        "If nobody at the partner made this CA, its CA's key is in wrong hands: suspend the partner."
    )


def _seen(anchor: Anchor, certificate: x509.Certificate, spki: bytes, at: datetime) -> SeenCa:
    return SeenCa(anchor.id, spki, certificate.public_bytes(Encoding.DER), subject_text(certificate)[:1000], at)


def _seen_keys(tx: Transaction, anchor: Anchor) -> set[bytes]:
    return {one.spki for one in tx.anchors.seen_below([anchor.id])}


def _own(tx: Transaction, partner: int, spki: bytes) -> Anchor | None:
    """The CA of this key, where it is registered itself, if only as retired: paths end there, so it is below none."""
    own = tx.anchors.of_key(partner, spki)
    return None if own is None or own.activated is None else own


def _issues(certificate: x509.Certificate) -> bool:
    """Whether it can be in a path: a CA's, and not of a key for lists alone."""
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == ExtensionOID.KEY_USAGE


def _below(tx: Transaction, anchors: Iterable[Anchor], partners: dict[int, Partner]) -> list[Below]:
    by_id = {one.id: one for one in anchors}
    seen = ((by_id[one.anchor], one) for one in tx.anchors.seen_below(by_id))
    return [
        Below(partners[anchor.partner], anchor, one)
        for anchor, one in seen
        if _own(tx, anchor.partner, one.spki) is None
    ]


def _meant(tx: Transaction, partner: Partner, spki: bytes, id: int | None, now: datetime) -> list[Anchor]:
    """Those of the partner's CAs below which the CA of this key is to stand, or not."""
    anchors = [
        one
        for one in tx.anchors.of_partner(partner.id)
        if one.depth and one.state_at(now) is not AnchorState.RETIRED and id in (None, one.id)
    ]
    if not anchors:
        whose = "" if id is None else f" {id}"
        raise NotFound(
            f"the partner '{partner.name}' has no CA{whose} below which another may stand",
            fix=f"mutualgate partner ca set {partner.name} CA --depth 1 --new-intermediates hold",
            code="no_such_anchor",
        )
    if len(anchors) == 1:
        return anchors
    where = {one.anchor for one in tx.anchors.seen_below([one.id for one in anchors]) if one.spki == spki}
    found = [one for one in anchors if one.id in where or spki in one.sub_cas]
    if not found:
        raise BadInput(
            "this CA was not seen below any of the partner's, so it is not said below which it is to stand",
            where="--ca",
            expected=f"one of {', '.join(str(one.id) for one in anchors)}",
            code="which_ca",
        )
    return found
