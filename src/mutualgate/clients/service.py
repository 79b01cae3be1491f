"""What can be done with clients. Each call is one transaction, with its audit entry; what it returned is kept.

Does not know how certificates are made (`authorities`, `enrolment`) nor how a gate learns of a change (`snapshot`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mutualgate import audit
from mutualgate.clients import revoking, states
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model import serial as serials
from mutualgate.model.authority import Authority
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Credential
from mutualgate.model.names import ClientName, Role, shown
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import Member, Partner, PartnerAdmits, PartnerState
from mutualgate.model.pin import Pin
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import Store, Transaction
from mutualgate.store.trust import Watch

CONTACT_LIMIT = 320
"""Characters: an address of the longest kind that mail allows."""


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client and what it proves itself with; `estate_of` is the authority whose unlisted certificates are its own.

    `memberships` are its names inside partners, each with its partner; `partner` is the one whose own client it is.
    """

    client: Client
    credentials: tuple[Credential, ...]
    estate_of: Authority | None
    pins: tuple[Pin, ...] = ()
    memberships: tuple[tuple[Partner, Member], ...] = ()
    partner: Partner | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revocation reached: certificates, and the pins that were retired with them."""

    certificates: tuple[Revocation, ...]
    pins: tuple[Pin, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `after` asks for the next one and is `None` on the last."""

    clients: tuple[Client, ...]
    total: int
    after: int | None


class Clients:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def add(self, name: str, *, contact: str = "", roles: Iterable[str] = ()) -> Client:
        """Adds a client without a credential.

        Raises `BadInput` for an illegal name, contact or role, `Conflict` for a name in use.
        """
        legal = ClientName(name)
        held = parse_roles(roles)
        reachable = parse_contact(contact)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = tx.clients.add(legal, contact=reachable, roles=held, at=now)
            self._record(tx, "client.add", client, {"roles": ",".join(held)})
        return client

    def get(self, name: str) -> Client:
        """The client of this name. Raises `NotFound`."""
        with self._store.reading() as tx:
            return find(tx, name)

    def show(self, name: str) -> ClientView:
        """The client of this name with its credentials, oldest first. Raises `NotFound`."""
        with self._store.reading() as tx:
            client = find(tx, name)
            members = tx.members.of_client(client.id)
            partners = tx.partners.get_many({one.partner for one in members})
            return ClientView(
                client,
                tuple(tx.credentials.of_client(client.id)),
                tx.authorities.with_estate(client.id),
                tuple(tx.pins.of_client(client.id)),
                tuple((partners[one.partner], one) for one in members),
                tx.partners.of_client(client.id),
            )

    def list(
        self,
        *,
        search: str = "",
        state: ClientState | None = None,
        role: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> Page:
        """Those that fit, in the order in which they were added; gone ones only when asked for by their state.

        `search` finds parts of names and contacts. `limit` is 1 to 1,000; `after` comes from the page before.
        """
        if not 1 <= limit <= 1_000:
            raise BadInput(f"a page of {limit} clients is not possible", expected="1 to 1,000")
        wanted = None if role is None else Role(role)
        with self._store.reading() as tx:
            found = tx.clients.page(search=search, state=state, role=wanted, after=after, limit=limit + 1)
            # All of them are on this page: nothing has to be counted.
            one_page = after == 0 and len(found) <= limit
            total = len(found) if one_page else tx.clients.count(search=search, state=state, role=wanted)
        return Page(tuple(found[:limit]), total, found[limit - 1].id if len(found) > limit else None)

    def set_roles(self, name: str, roles: Iterable[str]) -> Client:
        """Replaces its roles. Raises `NotFound`, `BadInput`."""
        held = parse_roles(roles)
        with self._store.transaction() as tx:
            client = find(tx, name)
            self._set_roles(tx, client, held)
        return replace(client, roles=held)

    def change_roles(self, name: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Client:
        """Gives it some roles and takes others; one that it does not have need not be taken."""
        more, fewer = parse_roles(add), parse_roles(remove)
        both = set(more) & set(fewer)
        if both:
            raise BadInput(f"the role '{min(both)}' cannot be given and taken at once")
        with self._store.transaction() as tx:
            client = find(tx, name)
            held = tuple(sorted((set(client.roles) | set(more)) - set(fewer)))
            self._set_roles(tx, client, held)
        return replace(client, roles=held)

    def set_contact(self, name: str, contact: str) -> Client:
        """Replaces its contact. Raises `NotFound`, `BadInput`."""
        reachable = parse_contact(contact)
        with self._store.transaction() as tx:
            client = find(tx, name)
            tx.clients.set_contact(client.id, reachable)
            self._record(tx, "client.contact", client, {})
        return replace(client, contact=reachable)

    def suspend(self, name: str) -> Client:
        """Keeps it out until it is resumed, whatever it shows. Raises `NotFound`, `Conflict`."""
        with self._store.transaction() as tx:
            client = find(tx, name)
            states.check(client, ClientState.SUSPENDED)
            watch = tx.trust.watch()
            watch.changes("client", client.id)
            tx.clients.set_state(client.id, ClientState.SUSPENDED)
            self._record(tx, "client.suspend", client, {"from": str(client.state)})
            self._record_trust(tx, f"client suspend {client.name}", watch)
        return replace(client, state=ClientState.SUSPENDED)

    def resume(self, name: str) -> Client:
        """Lets a suspended one in again; what was revoked stays revoked. Raises `NotFound`, `Conflict`."""
        with self._store.transaction() as tx:
            client = find(tx, name)
            states.check_suspended(client)
            state = states.of_what_it_has(tx, client.id)
            watch = tx.trust.watch()
            watch.changes("client", client.id)
            tx.clients.set_state(client.id, state)
            self._record(tx, "client.resume", client, {"to": str(state)})
            self._record_trust(tx, f"client resume {client.name}", watch)
        return replace(client, state=state)

    def remove(self, name: str) -> Client:
        """Lets it go for good: revokes what still counts (cessationOfOperation) and invitations, frees its name.

        Raises `NotFound`, and `Conflict` while an adopted authority's unlisted certificates stand for it.
        """
        with self._store.transaction() as tx:
            client = find(tx, name)
            states.check(client, ClientState.GONE)
            estate = tx.authorities.with_estate(client.id)
            if estate is not None:
                raise Conflict(
                    f"the unlisted certificates of the authority '{estate.name}' stand for the client '{client.name}'",
                    fix=f"Let the authority admit listed certificates only: mutualgate ca admits {estate.name} listed",
                    code="estate_in_use",
                )
            partner = tx.partners.of_client(client.id)
            if partner is not None:
                raise Conflict(
                    f"the client '{client.name}' stands for the partner '{partner.name}'",
                    fix=f"Let the partner go instead: mutualgate partner remove {partner.name}",
                    code="partner_in_use",
                )
            _leave_partners(tx, client)
            ended = revoking.everything(
                tx, client, RevocationReason.cessationOfOperation, self._store.clock(), must_find=False
            )
            revoking.retire(tx, tx.pins.of_client(client.id), self._store.clock())
            invitations = tx.invitations.end_of_client(client.id, self._store.clock())
            tx.clients.set_state(client.id, ClientState.GONE)
            self._record(tx, "client.remove", client, {"revoked": len(ended), "invitations": len(invitations)})
            self._record_trust(tx, f"client remove {client.name}", None)
        return replace(client, state=ClientState.GONE)

    def revoke(
        self,
        name: str,
        *,
        reason: RevocationReason = RevocationReason.unspecified,
        credential: str | None = None,
        lineage: bool = False,
    ) -> Revoked:
        """Revokes its credential named by `credential` (its number, serial or fingerprint, in part), or all of them.

        With `lineage`, those that it renews and that renew it, too; for a compromised key, all that have it. Pins that
        go with what is revoked are retired, unless for a hold, which is lifted later: a pin knows no such state. A key
        that was compromised is never accepted again.
        One that is on hold can be revoked for good. Raises `NotFound`, and `Conflict` when nothing is left to revoke.
        """
        with self._store.transaction() as tx:
            client = find(tx, name)
            chosen = None if credential is None else revoking.select(tx, client, credential)
            made = self._revoke(tx, client, chosen, reason, lineage)
            self._record_trust(tx, f"client revoke {client.name}", None)
        return made

    def revoke_certificate(
        self, certificate: bytes, *, reason: RevocationReason = RevocationReason.unspecified, where: str | None = None
    ) -> Revoked:
        """Revokes a certificate (PEM or DER, from the file `where`) that an authority signed, listed or not.

        One that is listed goes as `revoke` has it go. Raises `BadInput`, `NotFound` when no authority that we know
        signed it, `Conflict` when it is revoked already.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            authority, serial, known = revoking.signed_by(tx, certificate, where)
            owner = authority.estate if known is None else known.client
            client = None if owner is None else tx.clients.get(owner)
            if known is not None and client is not None:
                made = self._revoke(tx, client, known, reason, lineage=False)
            else:
                entry = revoking.number(tx, authority.id, serial, reason, now)
                made = Revoked((entry,))
                whom = f"authority {authority.name}" if client is None else subject(client)
                audit.record(tx, now, self._by, "credential.revoke", whom, revoking.facts(tx, entry))
            self._record_trust(tx, f"client revoke --certificate {serials.text(serial)}", None)
        return made

    def release(self, name: str, *, credential: str | None = None) -> tuple[Revocation, ...]:
        """Lifts the hold of one credential or of all; returns what was lifted.

        Raises `Conflict` when there is none: RFC 5280 5.3.1 lets no other revocation be taken back.
        """
        with self._store.transaction() as tx:
            client = find(tx, name)
            lifted = revoking.release(tx, client, credential)
            for entry in lifted:
                self._record(tx, "credential.release", client, revoking.facts(tx, entry))
            self._record_trust(tx, f"client revoke {client.name} --release", None)
        return tuple(lifted)

    def _set_roles(self, tx: Transaction, client: Client, held: tuple[Role, ...]) -> None:
        if held == client.roles:
            return
        watch = tx.trust.watch()
        watch.changes_roles(client.id, client.roles, held)
        tx.clients.set_roles(client.id, held)
        self._record(tx, "client.roles", client, {"from": ",".join(client.roles), "to": ",".join(held)})
        self._record_trust(tx, f"client roles {client.name}", watch)

    def _revoke(
        self, tx: Transaction, client: Client, chosen: Credential | None, reason: RevocationReason, lineage: bool
    ) -> Revoked:
        """Revokes `chosen` and what goes with it, or everything."""
        now = self._store.clock()
        hold = reason is RevocationReason.certificateHold
        if chosen is None:
            retired = [] if hold else revoking.retire(tx, tx.pins.of_client(client.id), now)
            made = revoking.everything(tx, client, reason, now, must_find=not retired)
        else:
            compromised = reason is RevocationReason.keyCompromise
            credentials, pins = revoking.related(tx, client, chosen, lineage=lineage, key=compromised)
            retired = [] if hold else revoking.retire(tx, pins, now)
            made = revoking.those(tx, credentials, reason, now)
            if not made and not retired:
                revoking.one(tx, chosen, reason, now)  # raises: it says since when
        if reason is RevocationReason.keyCompromise:
            tx.credentials.set_compromised({pin.spki for pin in retired}, now)
        for pin in retired:
            self._record(tx, "pin.retire", client, {"pin": pin.id, "digest": pin.digest.hex()})
        for entry in made:
            self._record(tx, "credential.revoke", client, revoking.facts(tx, entry))
        return Revoked(tuple(made), tuple(retired))

    def _record(self, tx: Transaction, action: str, client: Client, facts: audit.Facts) -> None:
        audit.record(tx, self._store.clock(), self._by, action, subject(client), facts)

    def _record_trust(self, tx: Transaction, what: str, watch: Watch | None) -> None:
        tx.trust.record(self._store.clock(), self._by, what, watch)


def find(tx: Transaction, name: str) -> Client:
    """The client of this name that is not gone. Raises `NotFound`."""
    try:
        client = tx.clients.find(ClientName(name))
    except BadInput:
        client = None
    if client is None:
        raise NotFound(
            f"there is no client {shown(name)}", fix="See them with: mutualgate client list", code="no_such_client"
        )
    return client


def _leave_partners(tx: Transaction, client: Client) -> None:
    """Takes it off the lists of partners. Raises `Conflict` where it would go on coming in, as the partner's own."""
    members = tx.members.of_client(client.id)
    partners = tx.partners.get_many({one.partner for one in members})
    for one in members:
        partner = partners[one.partner]
        if partner.admits is PartnerAdmits.RULE and partner.state is not PartnerState.GONE:
            raise Conflict(
                f"the partner '{partner.name}' admits by rule, so {one.name} would still come in, as the partner's own"
                " client",
                fix=f"Keep it out: mutualgate client suspend {client.name.word}",
                code="admitted_by_rule",
            )
    for one in members:
        tx.members.remove(one.partner, one.name)


def subject(client: Client) -> str:
    """Of whom an audit entry speaks. With the id, for a name can be another client's later."""
    return f"client {client.id} {client.name}"


def parse_contact(text: str) -> str:
    """Whom to ask about a client, in one line; may be empty. Raises `BadInput`."""
    contact = text.strip()
    if len(contact) > CONTACT_LIMIT or not contact.isprintable():
        raise BadInput(
            f"{shown(text)} cannot be a contact", expected=f"at most {CONTACT_LIMIT} printable characters in one line"
        )
    return contact
