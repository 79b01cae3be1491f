"""From a refusal to a client: who was refused, shown whole, and let in for good by an operator's word.

Only what the gate has seen can be approved: its handshake proved that whoever showed the certificate holds its key.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from mutualgate.app.remedies import judged, remedy
from mutualgate.clients import find
from mutualgate.clients.service import Clients
from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import Client
from mutualgate.model.names import ClientName, shown
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import Member, MemberState, Partner
from mutualgate.model.pin import Pin, PinKind
from mutualgate.model.refusal import RefusalRecord
from mutualgate.model.sighting import Sighting
from mutualgate.partners import material, pins
from mutualgate.partners.anchors import vouching
from mutualgate.partners.members import Members
from mutualgate.partners.names import name_of
from mutualgate.reading.files import odd_serials_allowed
from mutualgate.store import Store, Transaction

NEVER = {
    "revoked": "it was revoked",
    "client_suspended": "its client is suspended",
    "pin_retired": "it was pinned, and its pin was retired or has ended",
    "not_yet_valid": "its validity has not begun",
    "expired": "it has expired",
    "weak_key": "its key is not good enough",
    "malformed": "it cannot be read",
    "bad_signature": "its signature does not verify",
}
"""Reasons for which a certificate is no question of trust."""


@dataclass(frozen=True)
class Candidate:
    """Who was refused, and all that matters before anybody lets him in. `member` is set where a partner vouches."""

    refusal: RefusalRecord
    seen: Sighting
    words: str
    unusual: tuple[str, ...]
    partner: Partner | None
    member: str | None


@dataclass(frozen=True)
class Approved:
    """Who comes in now, and by what."""

    client: Client
    pin: Pin | None
    member: Member | None


class Approvals:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def look(self, refusal: str) -> Candidate:
        """Who is behind the id on a refusal page. Raises `NotFound`, `Conflict` for what cannot be approved."""
        record, seen, reason = _judged(self._store, refusal)
        with self._store.reading() as tx:
            return _look(tx, record, seen, reason, self._store.clock())

    def approve(
        self,
        refusal: str,
        *,
        client: str | None = None,
        roles: Iterable[str] | None = None,
        kind: PinKind = PinKind.CERTIFICATE,
        environment: str = "",
    ) -> Approved:
        """Lets it in: under a partner that vouches for it as a client of the partner's, otherwise as a pin of `client`.

        A client of that name is added with `roles` when there is none. Raises as `look` and `Pins.add` do, and
        `Conflict` for a pin without a client's name.
        """
        held = None if roles is None else parse_roles(roles)
        now = self._store.clock()
        found = self.look(refusal)
        if found.partner is not None and found.member is not None:
            with self._store.reading() as tx:
                known = client is not None and tx.clients.find(ClientName(client)) is not None
                waits = tx.members.get(found.partner.id, found.member)
            if client is not None and not known:
                Clients(self._store, self._by).add(
                    client, contact=found.partner.contact, roles=held or found.partner.roles
                )
                known = True
            members = Members(self._store, self._by)
            act = members.approve if waits is not None and waits.state is not MemberState.ACTIVE else members.add
            made = act(found.partner.name, found.member, client=client, roles=None if known else held)
            assert made.client is not None  # noqa: S101 - an approved one has a client
            return Approved(made.client, None, made.member)
        if client is None:
            raise Conflict("whose certificate is it?", fix="Name the client: --client NAME", code="client_needed")
        with self._store.transaction() as tx:
            name = ClientName(client)
            owner = tx.clients.find(name)
            if owner is None:
                owner = tx.clients.add(name, contact="", roles=held or (), at=now)
            elif held is not None:
                raise Conflict(
                    f"the client '{owner.name}' is there and has its roles",
                    fix=f"Change them with: mutualgate client roles {owner.name}",
                    code="has_roles",
                )
            leaf = _leaf(found.seen)
            pin = pins.record(
                tx,
                owner,
                material.of_certificate(leaf, found.refusal.id),
                at=now,
                by=self._by,
                kind=kind,
                environment=environment,
            )
            owner = find(tx, client)
        return Approved(owner, pin, None)


def _judged(store: Store, refusal: str) -> tuple[RefusalRecord, Sighting, str]:
    """The refusal, what was shown, and why the judge would refuse that today: much may have changed since then."""
    with store.reading() as tx:
        record = tx.refusals.find(refusal.strip().upper())
        seen = None if record is None or record.fingerprint is None else tx.seen.find(record.fingerprint)
    if record is None:
        raise NotFound(
            f"no refusal {shown(refusal)[:40]} is known",
            fix="The latest are listed by: mutualgate explain",
            code="no_such_refusal",
        )
    if record.fingerprint is None:
        raise Conflict("no certificate was shown, so there is nothing to approve", code="no_certificate")
    reason = record.reason
    if seen is not None and seen.chain:
        verdict = judged(store, seen.chain)
        if verdict.admitted:
            raise Conflict(
                f"this certificate is let in already, as the client '{verdict.client_name}'",
                fix=remedy(store, record).sentence,
                code="is_let_in",
            )
        reason = verdict.reason or reason
    never = NEVER.get(reason)
    if never is not None:
        raise Conflict(f"this certificate cannot be approved: {never}", fix=remedy(store, record).sentence, code=reason)
    if seen is None or not seen.chain:
        raise NotFound(
            "this certificate is not among those that the gate remembers",
            fix="Let its holder try again, then approve the new refusal",
            code="not_seen",
        )
    return record, seen, reason


def _look(tx: Transaction, record: RefusalRecord, seen: Sighting, reason: str, now: datetime) -> Candidate:
    leaf = _leaf(seen)
    with odd_serials_allowed():
        words, odd = material.words(leaf), material.remarks(leaf, now)
        vouchers = vouching(tx, [x509.load_der_x509_certificate(one) for one in seen.chain])
    unusual = list(odd)
    partner, member = None, None
    if vouchers:
        owner = tx.partners.get(vouchers[0].partner)
        if reason == "not_enrolled":
            partner, member = owner, None if owner is None else name_of(leaf, owner.profile)
        elif owner is not None:
            unusual.insert(0, f"A CA of the partner {owner.name} signed it, and it is refused under it ({reason}).")
    what = material.of_certificate(leaf, record.id)
    owner_id = tx.credentials.key_owner(what.spki)
    if owner_id is not None:
        known = tx.clients.get(owner_id)
        if known is not None:
            unusual.append(f"Its key is known: it is the client {known.name}'s.")
    name = _common_name(leaf)
    if name is not None:
        unusual += _namesake(tx, name, owner_id)
    return Candidate(record, seen, words, tuple(unusual), partner, member)


def _namesake(tx: Transaction, name: str, owner: int | None) -> list[str]:
    """A stranger that calls itself as a client is called: the oldest trick."""
    from mutualgate.errors import BadInput

    try:
        other = tx.clients.find(ClientName(name))
    except BadInput:
        return []
    if other is None or other.id == owner:
        return []
    return [f"It calls itself as the client {other.name} is called, whose key is another: ask that client first."]


def _common_name(leaf: x509.Certificate) -> str | None:
    from cryptography.x509.oid import NameOID

    with odd_serials_allowed():
        found = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def _leaf(seen: Sighting) -> x509.Certificate:
    with odd_serials_allowed():
        return x509.load_der_x509_certificate(seen.chain[0])
