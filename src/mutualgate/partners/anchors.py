"""Partners' CAs: claimed, proved, active, retiring, retired. Each call is one transaction, with its audit entry.

A CA is known by its key. A certificate is public, so a claim counts for nothing until its key has answered.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from mutualgate import audit
from mutualgate.clock import CLOCK_SKEW
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.partner import Anchor, AnchorState, Partner
from mutualgate.partners import ca, room, sharing
from mutualgate.partners.finding import find, subject
from mutualgate.partners.proofs import codes, late, new_code, proved
from mutualgate.partners.telling import Tell, silent
from mutualgate.partners.terms import MOST_BELOW, Terms, check_terms, terms_of
from mutualgate.reading.files import read_certificates, strictly
from mutualgate.reading.meant import read_meant
from mutualgate.store import Store, Transaction

CLAIM_LIFE = timedelta(days=7)
"""R7: how long a claim waits for its proof."""


@dataclass(frozen=True)
class Claimed:
    """A claim that was taken down: what it is, what is odd about it, and whose the key is by now, if anybody's."""

    anchor: Anchor
    partner: Partner
    explained: tuple[str, ...]
    remarks: tuple[str, ...]
    held_by: Partner | None


class Anchors:
    """The service. `by` names who acts, for the audit log; `tell` puts letters into the outbox."""

    def __init__(self, store: Store, by: str = "operator", tell: Tell = silent, fault: ca.Fault = ca.no_fault) -> None:
        self._store = store
        self._by = by
        self._tell = tell
        self._fault = fault

    def look_at(self, data: bytes, where: str = "the certificate", terms: Terms | None = None) -> tuple[str, ...]:
        """What would be trusted, in sentences, before anybody says yes. Raises `BadInput` as `claim` does."""
        terms = terms or Terms()
        now = self._store.clock()
        found = ca.read(data, where, now)
        ca.check_sound(found, where, self._fault)
        return (*ca.explained(found), *ca.remarks(found, now, terms, self._fault))

    def claim(
        self,
        name: str,
        data: bytes,
        where: str = "the certificate",
        terms: Terms | None = None,
        *,
        approval: bool = False,
    ) -> Claimed:
        """Takes a partner's claim to a CA down. Nothing under it is admitted before `prove` or `approve`.

        With `approval`, where the partner itself claims it, an operator has to say yes once it is proved.

        A `shared` CA (a public one) belongs to nobody, so there is nothing to prove: it counts at once, and vouches for
        the exact names alone that are bound to it.

        Without `terms` it has the usual ones, or those that it had: a partner that retires its CA and claims it anew is
        not rid of what the operator asked for.

        Raises `NotFound`, `BadInput` for what cannot be a CA or is a public one, or under which nobody could come in
        (`unsound_ca`), `Conflict` for one that is the partner's already or an authority of ours, or is declared shared
        and another partner's own.
        """
        from mutualgate.partners import between

        now = self._store.clock()
        found = ca.read(data, where, now)
        ca.check_sound(found, where, self._fault)
        with self._store.transaction() as tx:
            partner = find(tx, name)
            before = tx.anchors.of_key(partner.id, found.spki)
            if terms is None:
                terms = Terms() if before is None else replace(terms_of(before), shared=False)
            check_terms(terms, found, where)
            self._forget_late(tx, now)
            _check_new(tx, partner, found, now)
            held_by = sharing.holder(tx, partner.id, found.spki, now, shared=terms.shared)
            if held_by is not None and terms.shared:
                raise sharing.held(held_by)
            watch = tx.trust.watch()
            if before is not None:
                watch.changes("anchor", before.id)
            anchor = tx.anchors.add(
                Anchor(
                    id=0,
                    partner=partner.id,
                    certificate=found.der,
                    spki=found.spki,
                    subject=found.subject,
                    state=AnchorState.PENDING,
                    shared=terms.shared,
                    depth=terms.depth,
                    sub_cas=terms.sub_cas,
                    environment=terms.environment,
                    not_before=found.certificate.not_valid_before_utc,
                    not_after=found.certificate.not_valid_after_utc,
                    expired_grace=terms.expired_grace,
                    retire_at=None,
                    created=now,
                    # One that was retired stays so for the clients under it while the new claim waits.
                    activated=None if before is None else before.activated,
                    approval=approval,
                    challenge=None if terms.shared else new_code(),
                    challenge_expires=None if terms.shared else now + CLAIM_LIFE,
                    revocation=terms.revocation,
                    grace=terms.grace,
                    leaf_limit=terms.leaf_limit,
                    policy=terms.policy,
                    hold=terms.hold,
                ),
                found.subject_hash,
            )
            if before is None:
                watch.adds("anchor", anchor.id)
            if anchor.depth:
                between.registered(tx, anchor, at=now)
            self._record(tx, now, "anchor.claim", partner, anchor, {"shared": terms.shared})
            if terms.shared:
                anchor = self._activate(tx, now, partner, anchor, found)
            if held_by is not None:
                self._tell_of_conflict(tx, now, partner, held_by, anchor)
            tx.trust.record(now, self._by, f"partner ca add {partner.name} ({anchor.subject})", watch)
        return Claimed(
            anchor,
            partner,
            tuple(ca.explained(found)),
            tuple(ca.remarks(found, now, terms, self._fault)),
            held_by,
        )

    def prove(
        self,
        name: str,
        leaf: bytes,
        where: str = "the certificate",
        *,
        anchor: int | None = None,
        approved: bool = True,
    ) -> Anchor:
        """A certificate under a claimed CA that says the claim's code, from a file or a handshake: the claim counts.

        Unless it is `approved` by who hands it in, an operator, one that wants an approval is proved now and waits.
        Which claim is meant, the certificate says; `anchor` names it where a face knows. Raises `BadInput` for one that
        proves nothing, `NotFound` without a claim, `Conflict` while the key is another partner's.
        """
        now = self._store.clock()
        certificate = strictly(read_meant(leaf, where), where)
        with self._store.transaction() as tx:
            partner = find(tx, name)
            claims = [
                one
                for one in tx.anchors.of_partner(partner.id)
                if one.state is AnchorState.PENDING and (anchor is None or one.id == anchor)
            ]
            claim = proved(claims, certificate, partner, where, now)
            holder = sharing.holder(tx, partner.id, claim.spki, now, shared=claim.shared)
            if holder is not None:
                refused = Conflict(
                    f"the key of this CA is another partner's, so the claim {claim.id} waits",
                    expected="that it is retired there, or that both claims are declared shared",
                    fix="The operator and the other partner are told; the operator decides",
                    code="anchor_held",
                    facts={"anchor": claim.id},
                )
            elif claim.approval and not approved:
                claim = replace(claim, challenge=None, challenge_expires=None)
                tx.anchors.set(claim)
                self._record(tx, now, "anchor.prove", partner, claim, {"proof": _fingerprint(certificate)})
                self._tell(
                    tx,
                    partner,
                    "A CA is proved and waits for the operator",
                    f"The CA {claim.subject} of {partner.name} is proved.\nSHA-256 of its key: {claim.spki.hex()}\n"
                    "It counts once the operator has approved it.",
                    f"anchor-proved:{claim.id}:{now.isoformat()}",
                )
                return claim
            else:
                watch = tx.trust.watch()
                watch.changes("anchor", claim.id)
                claim = self._activate(tx, now, partner, claim, ca.of_certificate(ca.parsed(claim), where, now))
                self._record(tx, now, "anchor.prove", partner, claim, {"proof": _fingerprint(certificate)})
                tx.trust.record(now, self._by, f"partner ca prove {partner.name} {claim.id}", watch)
                return claim
            # R5: never silent. The letter and the entry stay, while the claim is refused.
            self._tell_of_conflict(tx, now, partner, holder, claim)
        raise refused

    def prove_shown(self, leaf: bytes) -> tuple[Partner, Anchor]:
        """As `prove`, with a certificate that a handshake showed: which claim it proves, its code says.

        Raises `NotFound` for one that says no code of a claim that waits, and what `prove` raises.
        """
        certificate = read_certificates(leaf, "the certificate")[0]
        with self._store.reading() as tx:
            found = [tx.anchors.claim_of(code) for code in codes(certificate)]
            claim = next((one for one in found if one is not None), None)
            partner = None if claim is None else tx.partners.get(claim.partner)
        if claim is None or partner is None:
            raise NotFound(
                "the certificate that you show says the code of no claim that waits",
                expected="a certificate under the CA with the code as its common name",
                code="no_claim",
            )
        return partner, self.prove(str(partner.name), leaf, anchor=claim.id, approved=False)

    def approve(self, name: str, id: int, *, without_proof: bool = False) -> Anchor:
        """Lets a claim count that is proved and waits for an operator; or one without proof, which is written down.

        Raises `NotFound`, and `Conflict` unless that is said in so many words, or while the key is another partner's.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner, claim = self._find(tx, name, id)
            if claim.state_at(now) is not AnchorState.PENDING:
                raise Conflict(f"the CA {id} is {claim.state_at(now)}, it waits for nothing", code="not_pending")
            if not claim.proved and not without_proof:
                raise Conflict(
                    f"nobody has proved that the partner '{partner.name}' controls the CA {id}",
                    expected=f"a certificate under it that says {claim.challenge}",
                    fix=f"mutualgate partner ca prove {partner.name} FILE; or, if you know better, --without-proof",
                    code="not_proved",
                )
            holder = sharing.holder(tx, partner.id, claim.spki, now, shared=claim.shared)
            if holder is not None:
                raise sharing.held(holder)
            watch = tx.trust.watch()
            watch.changes("anchor", id)
            done = self._activate(tx, now, partner, claim, ca.of_certificate(ca.parsed(claim), f"CA {id}", now))
            self._record(tx, now, "anchor.approve", partner, done, {"proved": claim.proved})
            how = "" if claim.proved else " --without-proof"
            tx.trust.record(now, self._by, f"partner ca approve {partner.name} {id}{how}", watch)
        return done

    def set(self, name: str, id: int, change: Callable[[Terms], Terms]) -> Anchor:
        """Changes on which terms a CA is trusted; whether it is shared is said when it is claimed.

        Raises `NotFound`, `BadInput`, and `Conflict` for a retired one.
        """
        from mutualgate.partners import between

        now = self._store.clock()
        with self._store.transaction() as tx:
            partner, anchor = self._find(tx, name, id)
            if anchor.state_at(now) is AnchorState.RETIRED:
                raise Conflict(f"the CA {id} is retired", code="anchor_retired")
            terms = replace(change(terms_of(anchor)), shared=anchor.shared)
            brought = between.registered(tx, replace(anchor, depth=terms.depth), at=now) if terms.depth else []
            if terms.hold and not (anchor.hold or anchor.sub_cas or terms.sub_cas):
                # Whoever came in below it until now goes on to, and what an operator brought is not new.
                came_in = tx.anchors.seen_below([id]) if anchor.depth else ()
                keys = dict.fromkeys([*brought, *(one.spki for one in came_in)])
                terms = replace(terms, sub_cas=tuple(keys)[:MOST_BELOW])
            check_terms(terms, ca.of_certificate(ca.parsed(anchor), f"CA {id}", anchor.not_before), f"CA {id}")
            done = replace(
                anchor,
                depth=terms.depth,
                sub_cas=terms.sub_cas,
                environment=terms.environment,
                revocation=terms.revocation,
                grace=terms.grace,
                leaf_limit=terms.leaf_limit,
                expired_grace=terms.expired_grace,
                policy=terms.policy,
                hold=terms.hold,
            )
            if done != anchor:
                watch = tx.trust.watch()
                watch.changes("anchor", id)
                tx.anchors.set(done)
                if tx.trust.record(now, self._by, f"partner ca set {partner.name} {id}", watch):
                    self._record(tx, now, "anchor.terms", partner, done, {})
        return done

    def renew(self, name: str, id: int, data: bytes, where: str = "the certificate") -> Anchor:
        """Takes a newer certificate of the same CA: same key, same subject. Its clients notice nothing.

        Raises `NotFound`, `BadInput` for what is not that or is not valid yet, `Conflict` for a CA that is retired.
        """
        now = self._store.clock()
        found = ca.read(data, where, now)
        ca.check_sound(found, where, self._fault)
        with self._store.transaction() as tx:
            partner, anchor = self._find(tx, name, id)
            if anchor.state_at(now) is AnchorState.RETIRED:
                raise Conflict(f"the CA {id} is retired", code="anchor_retired")
            if found.spki != anchor.spki:
                raise BadInput(
                    f"this is not the CA {id}: its key differs",
                    where=where,
                    expected=f"a newer certificate of {anchor.subject}",
                    fix=f"A new CA is added beside the old one: mutualgate partner ca add {partner.name} FILE",
                    code="another_ca",
                )
            if found.certificate.subject.public_bytes() != ca.parsed(anchor).subject.public_bytes():
                # Certificates are matched to it by these bytes: those that it signed would be nobody's.
                raise BadInput(
                    f"its subject is not, byte for byte, that of the CA {id}, by which its certificates are found",
                    where=where,
                    expected=f"a newer certificate of {anchor.subject}",
                    fix="Have it made with the subject of the old one, with the same types of strings",
                    code="another_ca",
                )
            begins = found.certificate.not_valid_before_utc
            if begins > now + CLOCK_SKEW:
                raise BadInput(
                    f"it begins on {begins:%Y-%m-%d %H:%M} UTC only: until then nobody under the CA {id} would come in",
                    where=where,
                    expected="one that is valid now",
                    fix=f"Renew it on that day or later: mutualgate partner ca renew {partner.name} {id} FILE",
                    code="not_yet_valid",
                )
            check_terms(terms_of(anchor), found, where)
            watch = tx.trust.watch()
            watch.changes("anchor", id)
            done = replace(
                anchor,
                certificate=found.der,
                not_before=found.certificate.not_valid_before_utc,
                not_after=found.certificate.not_valid_after_utc,
            )
            tx.anchors.set(done)
            if tx.trust.record(now, self._by, f"partner ca renew {partner.name} {id}", watch):
                self._record(tx, now, "anchor.renew", partner, done, {"not_after": done.not_after.isoformat()})
        return done

    def retire(self, name: str, id: int, *, on: datetime | None = None) -> Anchor:
        """Ends a CA now, or on a day until which both the old and the new one count; withdraws a claim.

        Raises `NotFound`, `Conflict` for one that is retired, `BadInput` for a day on which it does not count any more.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner, anchor = self._find(tx, name, id)
            if anchor.state_at(now) is AnchorState.RETIRED:
                raise Conflict(f"the CA {id} is retired already", code="anchor_retired")
            watch = tx.trust.watch()
            watch.changes("anchor", id)
            if on is None or on <= now or anchor.state is AnchorState.PENDING:
                done = replace(anchor, state=AnchorState.RETIRED, retire_at=now, challenge=None, challenge_expires=None)
            else:
                last = anchor.not_after + anchor.expired_grace
                if on > last:
                    raise BadInput(f"it ends on {last:%Y-%m-%d} by itself", where="--on", expected="an earlier day")
                done = replace(anchor, state=AnchorState.RETIRING, retire_at=on)
            tx.anchors.set(done)
            if tx.trust.record(now, self._by, f"partner ca retire {partner.name} {id}", watch):
                on_day = done.retire_at.isoformat() if done.retire_at else None
                self._record(tx, now, "anchor.retire", partner, done, {"on": on_day})
        return done

    def pending(self) -> list[tuple[Anchor, Partner, Partner | None]]:
        """All claims that wait, whose they are, and who else holds the key."""
        now = self._store.clock()
        with self._store.reading() as tx:
            claims = [one for one in tx.anchors.pending() if not late(one, now)]
            partners = tx.partners.get_many({one.partner for one in claims})
            return [
                (one, partners[one.partner], sharing.holder(tx, one.partner, one.spki, now, shared=one.shared))
                for one in claims
            ]

    def forget_late(self) -> int:
        """Withdraws claims whose proof did not come in time, and says how many those were."""
        now = self._store.clock()
        with self._store.reading() as tx:
            if not any(late(one, now) for one in tx.anchors.pending()):
                return 0
        with self._store.transaction() as tx:
            return self._forget_late(tx, now)

    def _forget_late(self, tx: Transaction, now: datetime) -> int:
        lapsed = [one for one in tx.anchors.pending() if late(one, now)]
        for one in lapsed:
            partner = tx.partners.get(one.partner)
            assert partner is not None  # noqa: S101 - a row refers to it
            done = replace(one, state=AnchorState.RETIRED, retire_at=now, challenge=None, challenge_expires=None)
            tx.anchors.set(done)
            audit.record(tx, now, "clock", "anchor.lapse", subject(partner), {"anchor": one.id})
        return len(lapsed)

    def _activate(self, tx: Transaction, now: datetime, partner: Partner, claim: Anchor, found: ca.Ca) -> Anchor:
        for one in room.of_one_name(tx, found.subject_hash, found.key_id, now):
            one.check()
        sharing.check_own_names(tx, claim, now)  # which it may have from before it was retired
        done = replace(claim, state=AnchorState.ACTIVE, activated=now, challenge=None, challenge_expires=None)
        tx.anchors.set(done)
        return done

    def _tell_of_conflict(
        self, tx: Transaction, now: datetime, partner: Partner, holder: Partner, claim: Anchor
    ) -> None:
        """R5: the rightful owner loses nothing, and everybody learns of it."""
        self._record(tx, now, "anchor.conflict", partner, claim, {"held_by": str(holder.name)})
        for whom, text in (
            (holder, f"Another partner claims the key of your CA {claim.subject}. Nothing changes for your clients."),
            (partner, f"The key of the CA {claim.subject} is registered for another partner, so your claim waits."),
        ):
            self._tell(
                tx,
                whom,
                "Two partners claim one CA",
                f"{text}\nSHA-256 of the key: {claim.spki.hex()}\nThe operator has been told and decides.",
                f"anchor-conflict:{claim.id}:{whom.id}",
            )

    def _find(self, tx: Transaction, name: str, id: int) -> tuple[Partner, Anchor]:
        partner = find(tx, name)
        anchor = tx.anchors.get(id)
        if anchor is None or anchor.partner != partner.id:
            raise NotFound(
                f"the partner '{partner.name}' has no CA {id}",
                fix=f"See them with: mutualgate partner ca list {partner.name}",
                code="no_such_anchor",
            )
        return partner, anchor

    def _record(
        self,
        tx: Transaction,
        at: datetime,
        action: str,
        partner: Partner,
        anchor: Anchor,
        more: dict[str, str | bool | None],
    ) -> None:
        facts: dict[str, str | int | bool | None] = {
            "anchor": anchor.id,
            "spki": anchor.spki.hex(),
            "depth": anchor.depth,
            "environment": anchor.environment,
            "revocation": str(anchor.revocation),
            "policy": anchor.policy,
            "hold": anchor.hold,
            **more,
        }
        audit.record(tx, at, self._by, action, subject(partner), facts)

    def list(self, name: str) -> list[Anchor]:
        """A partner's CAs, oldest first, retired ones too. Raises `NotFound`."""
        with self._store.reading() as tx:
            return tx.anchors.of_partner(find(tx, name).id)


def of_subject(tx: Transaction, subject: bytes, now: datetime) -> list[Anchor]:
    """The CAs of this subject, in DER, that count at `now`, then those whose day has come; no more than may be, and
    claims push none of them out."""
    import hashlib

    alike = tx.anchors.with_subject(hashlib.sha256(subject).digest())
    there = [one for one in alike if one.state is not AnchorState.PENDING]
    return sorted(there, key=lambda one: one.state_at(now) is AnchorState.RETIRED)[: room.MOST_OF_ONE_NAME]


def _check_new(tx: Transaction, partner: Partner, found: ca.Ca, now: datetime) -> None:
    sharing.check_ca_key(tx, found.spki)
    before = tx.anchors.of_key(partner.id, found.spki)
    if before is not None and before.state_at(now) is not AnchorState.RETIRED:
        raise Conflict(
            f"this key is the CA {before.id} of the partner '{partner.name}' already, {before.state}",
            fix=f"Prove it with: mutualgate partner ca prove {partner.name} FILE"
            if before.state is AnchorState.PENDING
            else None,
            code="anchor_known",
            facts={"anchor": before.id},
        )
    room.of_anchors(tx, partner, now).check()


def _fingerprint(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex()
