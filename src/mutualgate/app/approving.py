"""From a refusal to a client: who was refused, shown whole, and let in for good by an operator's word.

Only what the gate has seen can be approved: its handshake proved that whoever showed the certificate holds its key.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.app.remedies import judged, remedy, voucher
from mutualgate.clients import find, subject
from mutualgate.errors import Conflict, NotFound
from mutualgate.model.client import Client, ClientState
from mutualgate.model.legible import Legible, legible
from mutualgate.model.names import ClientName, Role, shown
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import Member, Partner
from mutualgate.model.pin import Pin, PinKind
from mutualgate.model.refusal import RefusalRecord
from mutualgate.model.sighting import Sighting
from mutualgate.partners import material, pins
from mutualgate.partners.finding import find as find_partner
from mutualgate.partners.members import Members
from mutualgate.partners.names import name_of
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Store, Transaction

if TYPE_CHECKING:
    from mutualgate.store.trust import Watch

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
    """Who was refused, and all that matters before anybody lets him in. `member` is set where a partner vouches.

    `remarks` say what is odd about the certificate, `unusual` what is about whose it is.
    """

    refusal: RefusalRecord
    seen: Sighting
    words: str
    remarks: tuple[str, ...]
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
        with self._store.transaction() as tx:
            watch = tx.trust.watch()
            if found.partner is not None and found.member is not None:
                partner, one = find_partner(tx, str(found.partner.name)), None
                if client is not None:
                    one = self._whose(tx, watch, client, partner.contact, held, partner.roles)
                members = Members(self._store, self._by)
                member, owner = members.enter(
                    tx, now, partner, found.member, None if one else held, client=one, watch=watch
                )
                return Approved(owner, None, member)
            if client is None:
                raise Conflict("whose certificate is it?", fix="Name the client: --client NAME", code="client_needed")
            pin = pins.record(
                tx,
                self._whose(tx, watch, client, "", held, ()),
                material.of_certificate(_leaf(found.seen), found.refusal.id),
                at=now,
                by=self._by,
                kind=kind,
                environment=environment,
                watch=watch,
            )
            return Approved(find(tx, client), pin, None)

    def _whose(
        self,
        tx: Transaction,
        watch: "Watch",
        name: str,
        contact: str,
        roles: tuple[Role, ...] | None,
        otherwise: tuple[Role, ...],
    ) -> Client:
        """The client of this name; a new one, with `roles` or, where none are said, `otherwise`, goes when this is
        taken back."""
        known = tx.clients.find(ClientName(name))
        if known is None:
            held = otherwise if roles is None else roles
            now = self._store.clock()
            added = tx.clients.add(ClientName(name), contact=contact, roles=held, at=now)
            watch.adds("client", added.id)
            audit.record(tx, now, self._by, "client.add", subject(added), {"roles": ",".join(held)})
            return added
        if roles is not None:
            raise Conflict(
                f"the client '{known.name}' is there and has its roles",
                fix=f"Change them with: mutualgate client roles {known.name.word}",
                code="has_roles",
            )
        return known


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
    words, odd = material.words(leaf), material.remarks(leaf, now)
    with odd_serials_allowed():
        vouched = voucher(tx, [_loaded(one) for one in seen.chain], now)
    unusual: list[str] = []
    partner, member = None, None
    if vouched is not None:
        _, owner = vouched
        if reason == "not_enrolled":
            partner, member = owner, name_of(leaf, owner.profile)
        else:
            unusual.append(f"A CA of the partner {owner.name} signed it, and it is refused under it ({reason}).")
    what = material.of_certificate(leaf, record.id)
    owner_id = tx.credentials.key_owner(what.spki)
    if owner_id is not None:
        known = tx.clients.get(owner_id)
        if known is not None:
            gone = known.state is ClientState.GONE
            unusual.append(
                f"Its key is known: it {'was' if gone else 'is'} the {'removed ' * gone}client {known.name}'s."
            )
    name = _common_name(leaf)
    if name is not None:
        unusual += _namesake(tx, name, owner_id)
    return Candidate(record, seen, words, tuple(odd), tuple(unusual), partner, member)


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


def _common_name(leaf: Legible) -> str | None:
    from cryptography.x509.oid import NameOID

    try:
        with odd_serials_allowed():
            found = leaf.says.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE:
        return None
    return str(found[0].value) if found else None


def _leaf(seen: Sighting) -> Legible:
    with odd_serials_allowed():
        return _loaded(seen.chain[0])


def _loaded(der: bytes) -> Legible:
    """Raises `Conflict` for what cannot be told."""
    try:
        return legible(der)
    except UNREADABLE as error:
        raise Conflict(
            f"the certificate cannot be read, so nobody can be let in by it ({error})",
            fix="Let its holder get another one",
            code="malformed",
        ) from error
