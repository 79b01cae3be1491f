"""Partners: organisations whose CAs vouch for names of their own. Each call is one transaction, with its audit entry.

Their CAs are in `anchors`, their clients in `members`. Whom a chain belongs to, the judge decides.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.clients.service import parse_contact
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client, ClientState
from mutualgate.model.names import ClientName, shown
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import (
    Anchor,
    AnchorState,
    Intermediate,
    Member,
    MemberState,
    NameRule,
    Partner,
    PartnerAdmits,
    PartnerName,
    PartnerProfile,
    PartnerState,
)
from mutualgate.partners import bounds, room, rules, sharing
from mutualgate.partners.finding import find, subject
from mutualgate.partners.members import Members
from mutualgate.partners.rules import Rule
from mutualgate.partners.telling import Tell, silent
from mutualgate.store import Store, Transaction

if TYPE_CHECKING:
    from mutualgate.partners.anchors import Anchors
    from mutualgate.partners.between import Between
    from mutualgate.partners.ca import Fault


@dataclass(frozen=True)
class PartnerView:
    """A partner with what it may do. `client` stands for those of its clients that are not recorded."""

    partner: Partner
    client: Client
    anchors: tuple[Anchor, ...]
    rules: tuple[NameRule, ...]
    intermediates: tuple[Intermediate, ...]
    members: int


@dataclass(frozen=True)
class Forbidden:
    """The rules that were taken away, and the clients, invited by the partner, that no rule permits now.

    They are out until one does, unless they were `kept`.
    """

    rules: tuple[NameRule, ...]
    outside: tuple[Member, ...]
    kept: bool


class Partners:
    """The service. `by` names who acts, for the audit log; `tell` puts letters into the outbox."""

    def __init__(
        self,
        store: Store,
        by: str = "operator",
        tell: Tell = silent,
        permits: bounds.Permits = bounds.none,
        fault: "Fault | None" = None,
    ) -> None:
        self._store = store
        self._by = by
        self._tell = tell
        self._permits = permits
        self._fault = fault
        self.members = Members(store, by)

    # What reads certificates loads what reads them.

    @cached_property
    def anchors(self) -> "Anchors":
        """Their CAs."""
        from mutualgate.partners.anchors import Anchors
        from mutualgate.partners.ca import no_fault

        return Anchors(self._store, self._by, self._tell, self._fault or no_fault)

    @cached_property
    def between(self) -> "Between":
        """CAs below theirs."""
        from mutualgate.partners.between import Between

        return Between(self._store, self._by)

    def add(
        self,
        name: str,
        *,
        names: Iterable[str] = (),
        wide: bool = False,
        roles: Iterable[str] = (),
        admits: PartnerAdmits = PartnerAdmits.APPROVAL,
        contact: str = "",
        security_contact: str = "",
        client: str | None = None,
        profile: PartnerProfile = PartnerProfile.NAMES,
    ) -> Partner:
        """Adds a partner that may vouch for `names`, once it has a CA. Its own client is called after it, or `client`.

        Raises `BadInput` for an illegal name, rule, role or contact, `Conflict` for a name in use.
        """
        legal = PartnerName(name)
        permitted = rules.parse_all(names, wide=wide)
        rules.check_profile(profile, permitted)
        held = parse_roles(roles)
        reachable, security = parse_contact(contact), parse_contact(security_contact)
        now = self._store.clock()
        with self._store.transaction() as tx:
            watch = tx.trust.watch()
            own = tx.clients.add(
                _own_name(tx, legal, client), contact=reachable, roles=held, at=now, state=ClientState.ACTIVE
            )
            watch.adds("client", own.id)
            partner = tx.partners.add(
                legal,
                contact=reachable,
                security_contact=security,
                admits=admits,
                roles=held,
                client=own.id,
                at=now,
                profile=profile,
            )
            watch.adds("partner", partner.id)
            room.of_rules(tx, partner).check(len(permitted))
            for rule in permitted:
                watch.adds("name_rule", tx.partners.add_rule(partner.id, rule.kind, rule.pattern, None, now).id)
            facts: audit.Facts = {
                "admits": str(admits),
                "roles": ",".join(held),
                "names": ", ".join(rule.text for rule in permitted),
                "client": own.id,
                "wide": wide,
                "profile": str(profile),
            }
            audit.record(tx, now, self._by, "partner.add", subject(partner), facts)
            tx.trust.record(now, self._by, f"partner add {legal}", watch)
        return partner

    def show(self, name: str) -> PartnerView:
        """A partner with all that is its own. Raises `NotFound`."""
        with self._store.reading() as tx:
            partner = find(tx, name)
            own = tx.clients.get(partner.client)
            assert own is not None  # noqa: S101 - a row refers to it
            return PartnerView(
                partner,
                own,
                tuple(tx.anchors.of_partner(partner.id)),
                tuple(tx.partners.rules_of(partner.id)),
                tuple(tx.partners.intermediates_of(partner.id)),
                tx.members.count(partner.id),
            )

    def get(self, name: str) -> Partner:
        """The partner of this name. Raises `NotFound`."""
        with self._store.reading() as tx:
            return find(tx, name)

    def suspend(self, name: str) -> Partner:
        """Keeps it out with all its clients until it is resumed. Raises `NotFound`, `Conflict`."""
        return self._move(name, PartnerState.ACTIVE, PartnerState.SUSPENDED, "partner.suspend")

    def resume(self, name: str) -> Partner:
        """Lets a suspended one in again. Raises `NotFound`, `Conflict`."""
        return self._move(name, PartnerState.SUSPENDED, PartnerState.ACTIVE, "partner.resume")

    def remove(self, name: str) -> Partner:
        """Lets it go for good, its CAs with it; its name is free. Clients that were recorded stay as they are.

        Raises `NotFound`.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            watch = tx.trust.watch()
            watch.changes("partner", partner.id)
            watch.changes("client", partner.client)
            for anchor in tx.anchors.of_partner(partner.id):
                if anchor.state is not AnchorState.RETIRED:
                    watch.changes("anchor", anchor.id)
                    tx.anchors.set(replace(anchor, state=AnchorState.RETIRED, retire_at=now, challenge=None))
            done = replace(partner, state=PartnerState.GONE)
            tx.partners.set(done)
            tx.clients.set_state(partner.client, ClientState.GONE)
            audit.record(tx, now, self._by, "partner.remove", subject(partner), {})
            tx.trust.record(now, self._by, f"partner remove {partner.name}", watch)
        return done

    def set_admits(self, name: str, admits: PartnerAdmits) -> Partner:
        """Which of its clients come in: listed ones, approved ones, or any under the rules. Raises `NotFound`.

        Where they are approved from now on, those wait at once who were refused lately.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            done = replace(partner, admits=admits)
            if done != partner:
                watch = tx.trust.watch()
                watch.changes("partner", partner.id)
                tx.partners.set(done)
                facts: audit.Facts = {"from": str(partner.admits), "to": str(admits)}
                audit.record(tx, now, self._by, "partner.admits", subject(partner), facts)
                tx.trust.record(now, self._by, f"partner admits {partner.name} {admits}", watch)
                if admits is PartnerAdmits.APPROVAL:
                    self._note_waiting(tx, done)
        return done

    def _note_waiting(self, tx: Transaction, partner: Partner) -> None:
        """The gate tells of a certificate once an hour, and has told of these before anybody could let them in."""

        from mutualgate.model.legible import legible
        from mutualgate.partners.members import first_sight
        from mutualgate.partners.names import name_of
        from mutualgate.partners.under import unlisted_under
        from mutualgate.reading.files import UNREADABLE, odd_serials_allowed

        for one in unlisted_under(tx, partner.id):
            try:
                with odd_serials_allowed():
                    leaf = legible(one.chain[0])
                name = name_of(leaf, partner.profile)
            except (*UNREADABLE, BadInput):
                continue  # no client can have such a name
            if name is not None and self._permitted(tx, partner, name):
                first_sight(tx, partner.id, leaf, at=one.last_at)

    def set_roles(self, name: str, roles: Iterable[str]) -> Partner:
        """Which roles its own client has, and those of its clients that are recorded from now on. Raises `NotFound`."""
        held = parse_roles(roles)
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            done = replace(partner, roles=held)
            if done != partner:
                watch = tx.trust.watch()
                watch.changes("partner", partner.id)
                own = tx.clients.get(partner.client)
                watch.changes_roles(partner.client, own.roles if own else (), held)
                tx.partners.set(done)
                tx.clients.set_roles(partner.client, held)
                facts: audit.Facts = {"from": ",".join(partner.roles), "to": ",".join(held)}
                audit.record(tx, now, self._by, "partner.roles", subject(partner), facts)
                tx.trust.record(now, self._by, f"partner roles {partner.name}", watch)
        return done

    def set_appoints(self, name: str, appoints: bool) -> Partner:
        """Whether its administrators may make further ones. Raises `NotFound`."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            done = replace(partner, appoints=appoints)
            if done != partner:
                tx.partners.set(done)
                audit.record(tx, now, self._by, "partner.appoints", subject(partner), {"appoints": appoints})
        return done

    def set_contacts(self, name: str, *, contact: str | None = None, security_contact: str | None = None) -> Partner:
        """Whom to ask, and whom to tell of what is wrong. Raises `NotFound`, `BadInput`."""
        new = None if contact is None else parse_contact(contact)
        security = None if security_contact is None else parse_contact(security_contact)
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            done = replace(
                partner,
                contact=partner.contact if new is None else new,
                security_contact=partner.security_contact if security is None else security,
            )
            if done != partner:
                tx.partners.set(done)
                audit.record(tx, now, self._by, "partner.contacts", subject(partner), {})
        return done

    # What it may vouch for

    def permit(
        self, name: str, texts: Iterable[str], *, anchor: int | None = None, wide: bool = False
    ) -> list[NameRule]:
        """Lets a partner vouch for more names; with `anchor`, under that CA alone. One that is there is left as it is.

        Clients that it invited and that were out for want of such a rule are in again. Raises `NotFound`, `BadInput`
        for what is no rule or too wide, `Conflict` for a pattern under a shared CA.
        """
        wanted = rules.parse_all(texts, wide=wide)
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            rules.check_profile(partner.profile, wanted)
            there = tx.partners.rules_of(partner.id)
            if anchor is not None:
                _check_bound(tx, partner, anchor, wanted, now)
            watch = tx.trust.watch()
            made = []
            known = {one.text: one for one in there if one.anchor == anchor}
            room.of_rules(tx, partner).check(sum(rule.text not in known for rule in wanted))
            for rule in wanted:
                if rule.text in known:
                    made.append(known[rule.text])
                    continue
                one = tx.partners.add_rule(partner.id, rule.kind, rule.pattern, anchor, now)
                watch.adds("name_rule", one.id)
                facts: audit.Facts = {"rule": rule.text, "anchor": anchor, "wide": rule.wide}
                audit.record(tx, now, self._by, "partner.permit", subject(partner), facts)
                made.append(one)
            if watch.rows:
                for member in bounds.let_in_again(tx, watch, partner.id, self._permits):
                    self._record_member(tx, "member.inside", partner, member)
                said = " ".join(rule.text for rule in wanted)
                tx.trust.record(now, self._by, f"partner name add {partner.name} {said}", watch)
        return made

    def permitted(self, name: str, inside: str) -> bool:
        """Whether a rule of the partner's permits the name `inside` it, under one of its CAs at least."""
        with self._store.reading() as tx:
            return self._permitted(tx, find(tx, name), inside)

    def _permitted(self, tx: Transaction, partner: Partner, inside: str) -> bool:
        shared = _only_shared(tx, partner, self._store.clock())
        rules = [one for one in tx.partners.rules_of(partner.id) if one.anchor is not None or not shared]
        return self._permits([(str(one.kind), one.pattern) for one in rules], [inside])[0]

    def only_shared(self, name: str) -> tuple[int, ...]:
        """The partner's CAs if all of them are shared, so that no rule counts but those of one of them (R6)."""
        with self._store.reading() as tx:
            return _only_shared(tx, find(tx, name), self._store.clock())

    def forbid(self, name: str, texts: Iterable[str], *, anchor: int | None = None, keep: bool = False) -> Forbidden:
        """Takes rules away; those of one CA where `anchor` names it.

        Clients that the partner invited and that no rule permits any more are out, too, unless they are to be kept.
        Raises `NotFound` for a rule that is not there.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            there = tx.partners.rules_of(partner.id)
            # What is there goes, whether it could be written today or not.
            as_kept = {one.text for one in there}
            wanted = dict.fromkeys(text if text in as_kept else rules.parse(text, wide=True).text for text in texts)
            gone: list[NameRule] = []
            for wanted_text in wanted:
                found = [one for one in there if one.text == wanted_text and anchor in (None, one.anchor)]
                if not found:
                    raise NotFound(
                        f"the partner '{partner.name}' has no rule {shown(wanted_text)}",
                        fix=f"See them with: mutualgate partner name list {partner.name}",
                        code="no_such_rule",
                    )
                gone += found
            invited = tx.members.invited_under(partner.id, MemberState.ACTIVE, bounds.binding(gone))
            kept_before = bounds.outside(tx, partner.id, self._permits, invited)
            watch = tx.trust.watch()
            for one in gone:
                watch.changes("name_rule", one.id)
                tx.partners.remove_rule(one)
                facts: audit.Facts = {"rule": one.text, "anchor": one.anchor}
                audit.record(tx, now, self._by, "partner.forbid", subject(partner), facts)
            now_outside = bounds.outside(tx, partner.id, self._permits, invited)
            fell = tuple(member for key, member in now_outside.items() if key not in kept_before)
            if not keep:
                bounds.put_out(tx, watch, fell)
            for member in fell:
                self._record_member(tx, "member.keep" if keep else "member.outside", partner, member)
            tx.trust.record(now, self._by, f"partner name remove {partner.name} {' '.join(wanted)}", watch)
        return Forbidden(tuple(gone), fell, keep)

    # Helping intermediates

    def add_intermediate(
        self, name: str, data: bytes, where: str = "the certificate"
    ) -> tuple[Intermediate, list[str]]:
        """Adds a CA certificate that helps when a client sends its leaf only (R10); and what is odd about it.

        Or that of a key by which one of the partner's CAs signs its revocation lists.

        Raises `NotFound`, `BadInput` for one that no CA of the partner's signed, `Conflict` for one that is there.
        """
        from cryptography.hazmat.primitives.serialization import Encoding

        from mutualgate.model.certificate import signed
        from mutualgate.partners import between, ca

        now = self._store.clock()
        found = ca.read(data, where, now, lists=True)
        with self._store.transaction() as tx:
            partner = find(tx, name)
            anchors = [one for one in tx.anchors.of_partner(partner.id) if one.state_at(now) is not AnchorState.RETIRED]
            above = [one for one in anchors if signed(ca.parsed(one), found.certificate)]
            if above and found.lists_only and found.certificate.subject != found.certificate.issuer:
                raise BadInput(
                    "its key may sign revocation lists alone (keyUsage cRLSign), and has not the name of their CA",
                    where=where,
                    expected=f"the subject {above[0].subject}, or a CA between the trusted one and the clients",
                    code="other_name",
                )
            if not above:
                raise BadInput(
                    f"no CA of the partner '{partner.name}' signed this certificate",
                    where=where,
                    expected="a CA between the trusted one and the clients",
                    fix=f"Claim the CA above it first: mutualgate partner ca add {partner.name} FILE",
                    code="no_anchor_above",
                )
            there = tx.partners.intermediates_of(partner.id)
            der = found.certificate.public_bytes(Encoding.DER)
            if any(one.certificate == der for one in there):
                raise Conflict("this certificate is there already", code="intermediate_known")
            room.of_intermediates(tx, partner).check()
            watch = tx.trust.watch()
            made = tx.partners.add_intermediate(partner.id, _digest(der), found.subject_hash, der, now)
            watch.adds("intermediate", made.id)
            if not found.lists_only:
                between.known(tx, found.certificate, above, at=now)
            facts: audit.Facts = {"intermediate": made.id, "fingerprint": made.fingerprint.hex()}
            audit.record(tx, now, self._by, "partner.intermediate", subject(partner), facts)
            tx.trust.record(now, self._by, f"partner intermediate add {partner.name} ({found.subject})", watch)
        odd = []
        if found.lists_only:
            # The judge takes it for no issuer.
            whose = ", ".join(str(one.id) for one in above)
            odd.append(f"It signs lists only: those of the CA {whose} are believed, and nobody comes in under it.")
            return made, odd
        if not any(one.depth for one in above):
            odd.append(
                f"The CA {above[0].id} is trusted with depth 0, so nothing under this certificate comes in:"
                f" mutualgate partner ca set {partner.name} {above[0].id} --depth 1"
            )
        if any(one.hold and not one.lets_below(found.spki) for one in above):
            odd.append(
                "It waits until it is allowed, and nothing under it comes in before:"
                f" mutualgate partner ca allow {partner.name} {found.spki.hex()}"
            )
        elif any(one.depth and not one.lets_below(found.spki) for one in above):
            odd.append("Its key is not among those that --sub-ca names, so nothing under it comes in.")
        return made, odd

    def remove_intermediate(self, name: str, id: int) -> Intermediate:
        """Takes it away. Raises `NotFound`."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            found = next((one for one in tx.partners.intermediates_of(partner.id) if one.id == id), None)
            if found is None:
                raise NotFound(f"the partner '{partner.name}' has no intermediate {id}", code="no_such_intermediate")
            watch = tx.trust.watch()
            watch.changes("intermediate", id)
            tx.partners.remove_intermediate(found)
            audit.record(tx, now, self._by, "partner.intermediate.remove", subject(partner), {"intermediate": id})
            tx.trust.record(now, self._by, f"partner intermediate remove {partner.name} {id}", watch)
        return found

    def _record_member(self, tx: Transaction, action: str, partner: Partner, member: Member) -> None:
        facts: audit.Facts = {"name": member.name, "client": member.client}
        audit.record(tx, self._store.clock(), self._by, action, subject(partner), facts)

    def _move(self, name: str, before: PartnerState, after: PartnerState, action: str) -> Partner:
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            if partner.state is not before:
                raise Conflict(f"the partner '{partner.name}' is {partner.state} already", code="same_state")
            watch = tx.trust.watch()
            watch.changes("partner", partner.id)
            done = replace(partner, state=after)
            tx.partners.set(done)
            audit.record(tx, now, self._by, action, subject(partner), {})
            tx.trust.record(now, self._by, f"partner {action.partition('.')[2]} {partner.name}", watch)
        return done

    def list(self, *, search: str = "", after: int = 0, limit: int = 100) -> tuple[list[Partner], int]:
        """At most `limit` partners in the order in which they were added, those after the id `after`; and how many."""
        with self._store.reading() as tx:
            return tx.partners.page(search=search, after=after, limit=limit), tx.partners.count()


def _own_name(tx: Transaction, partner: PartnerName, wanted: str | None) -> ClientName:
    if wanted is not None:
        return ClientName(wanted)
    name = ClientName(partner)
    return name if tx.clients.find(name) is None else ClientName(f"partner {partner}"[:64])


def _check_bound(tx: Transaction, partner: Partner, id: int, wanted: Iterable[Rule], now: datetime) -> None:
    anchor = tx.anchors.get(id)
    if anchor is None or anchor.partner != partner.id:
        raise NotFound(f"the partner '{partner.name}' has no CA {id}", code="no_such_anchor")
    wide = next((rule for rule in wanted if not rule.exact), None)
    if anchor.shared and wide is not None:
        # R6: others have certificates under this CA, too, so every name is said in full.
        raise Conflict(
            f"the CA {id} is shared with others, so {shown(wide.text)} could let them in",
            expected="exact names",
            code="pattern_under_shared",
        )
    if anchor.shared:
        sharing.check_names(tx, anchor, wanted, now)


def _only_shared(tx: Transaction, partner: Partner, now: datetime) -> tuple[int, ...]:
    there = [one for one in tx.anchors.of_partner(partner.id) if one.state_at(now) is not AnchorState.RETIRED]
    return tuple(one.id for one in there) if all(one.shared for one in there) else ()


def _digest(der: bytes) -> bytes:
    return hashlib.sha256(der).digest()
