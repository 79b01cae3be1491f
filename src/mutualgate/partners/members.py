"""Clients inside partners, by the names that the partners' CAs give them. Each call is one transaction, audited.

A member is a client like any other, with roles and a state of its own: to keep one out, its client is suspended.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.clients import find as find_client
from mutualgate.clients import subject as about_client
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client, ClientState
from mutualgate.model.names import NAME_LIMIT, ClientName, Role, shown
from mutualgate.model.names import roles as parse_roles
from mutualgate.model.partner import MEMBER_NAME_LIMIT, Member, MemberState, Partner, PartnerAdmits
from mutualgate.partners import rules
from mutualgate.partners.finding import find, subject
from mutualgate.store import Store, Transaction

if TYPE_CHECKING:
    from cryptography import x509

    from mutualgate.model.legible import Legible
    from mutualgate.store.trust import Watch

MOST_PENDING = 1_000
"""Names of one partner that wait: its CA can make any number of them, and nobody would read more."""
MOST_SEEN = 100_000
"""Names of one partner that are noted by rule; more come in just as well."""


May = Callable[[Client], None]
"""Raises for a client that whoever asks may not keep out or take off the list."""


@dataclass(frozen=True)
class MemberView:
    """A client inside a partner, and what we know it as."""

    member: Member
    client: Client | None

    @property
    def state(self) -> str:
        """In a word, for people: a client's own state, unless it is outside what the partner may vouch for."""
        outside = self.member.state is MemberState.OUTSIDE
        return str(self.member.state if outside or self.client is None else self.client.state)


class Members:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def add(
        self, partner: str, name: str, *, client: str | None = None, roles: Iterable[str] | None = None
    ) -> MemberView:
        """Enumerates a client of a partner's by its name (`dns:api.acme.example`), as a new client or one that exists.

        A new one has the partner's default roles, unless others are given. Raises `NotFound`, `BadInput`, `Conflict`.
        """
        legal = rules.parse_name(name)
        held = None if roles is None else parse_roles(roles)
        now = self._store.clock()
        with self._store.transaction() as tx:
            owner = find(tx, partner)
            rules.check_profile(owner.profile, [rules.parse(legal, wide=True)])
            before = tx.members.get(owner.id, legal)
            made, one = self._approve(tx, now, owner, legal, _named(tx, client), held, before, tx.trust.watch())
            self._audit(tx, now, "member.add", owner, made, one)
        return MemberView(made, one)

    def enter(
        self,
        tx: Transaction,
        at: datetime,
        owner: Partner,
        name: str,
        roles: tuple[Role, ...] | None,
        *,
        client: Client | None = None,
        watch: "Watch | None" = None,
    ) -> tuple[Member, Client]:
        """As `add`, of a name in its canonical spelling, in the caller's transaction: one that waits is let in, too.

        Of what belongs to the same change, `watch` knows already.
        """
        before = tx.members.get(owner.id, name)
        made, one = self._approve(tx, at, owner, name, client, roles, before, watch or tx.trust.watch())
        self._audit(tx, at, "member.add", owner, made, one)
        return made, one

    def approve(
        self, partner: str, name: str, *, client: str | None = None, roles: Iterable[str] | None = None
    ) -> MemberView:
        """Lets one in that was seen and waits, or makes one that comes in by rule a client of its own.

        Raises `NotFound`, `Conflict` for one that has its client.
        """
        held = None if roles is None else parse_roles(roles)
        now = self._store.clock()
        with self._store.transaction() as tx:
            owner, member = self._find(tx, partner, name)
            if member.state is MemberState.ACTIVE:
                raise Conflict(f"{shown(name)} does not wait for approval", code="not_pending")
            made, one = self._approve(tx, now, owner, member.name, _named(tx, client), held, member, tx.trust.watch())
            self._audit(tx, now, "member.approve", owner, made, one)
        return MemberView(made, one)

    def suspend(self, partner: str, name: str, *, may: May | None = None) -> MemberView:
        """Keeps one out for now, whatever the partner admits. Raises `NotFound`, `Conflict`, and what `may` raises."""
        with self._store.transaction() as tx:
            return self.keep_out(tx, partner, name, may=may)

    def keep_out(self, tx: Transaction, partner: str, name: str, *, may: May | None = None) -> MemberView:
        """As `suspend`, in the caller's transaction."""
        now = self._store.clock()
        owner, member = self._find(tx, partner, name, may)
        watch = tx.trust.watch()
        if member.client is None:
            watch.changes("member", owner.id, member.name)
            one = self._new_client(tx, now, owner, member.name, owner.roles)
            watch.adds("client", one.id)
            member = replace(member, client=one.id, state=MemberState.ACTIVE)
            tx.members.put(member)
        else:
            one = _client(tx, member.client)
            watch.changes("client", one.id)
        if one.state is ClientState.SUSPENDED:
            raise Conflict(f"{shown(name)} is suspended already", code="same_state")
        tx.clients.set_state(one.id, ClientState.SUSPENDED)
        one = replace(one, state=ClientState.SUSPENDED)
        self._audit(tx, now, "member.suspend", owner, member, one)
        tx.trust.record(now, self._by, f"partner member suspend {owner.name} {member.name}", watch)
        return MemberView(member, one)

    def resume(self, partner: str, name: str) -> MemberView:
        """Lets a suspended one in again. Raises `NotFound`, `Conflict`."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            owner, member = self._find(tx, partner, name)
            one = None if member.client is None else _client(tx, member.client)
            if one is None or one.state is not ClientState.SUSPENDED:
                raise Conflict(f"{shown(name)} is not suspended", code="not_suspended")
            watch = tx.trust.watch()
            watch.changes("client", one.id)
            tx.clients.set_state(one.id, ClientState.ACTIVE)
            one = replace(one, state=ClientState.ACTIVE)
            self._audit(tx, now, "member.resume", owner, member, one)
            tx.trust.record(now, self._by, f"partner member resume {owner.name} {member.name}", watch)
        return MemberView(member, one)

    def remove(self, partner: str, name: str, *, may: May | None = None) -> Member:
        """Takes one off the partner's list. Its client stays: it may have other credentials.

        Under a partner that admits by rule it comes in as the partner's own client then. Raises `NotFound`, and what
        `may` raises.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            owner, member = self._find(tx, partner, name, may)
            watch = tx.trust.watch()
            watch.changes("member", owner.id, member.name)
            tx.members.remove(owner.id, member.name)
            self._audit(tx, now, "member.remove", owner, member, None)
            tx.trust.record(now, self._by, f"partner member remove {owner.name} {member.name}", watch)
        return member

    def list(
        self, partner: str, *, state: MemberState | None = None, search: str = "", after: str = "", limit: int = 100
    ) -> list[MemberView]:
        """At most `limit` clients of a partner, by name, those after the name `after`. Raises `NotFound`."""
        with self._store.reading() as tx:
            owner = find(tx, partner)
            found = tx.members.of_partner(owner.id, state=state, search=search, after=after, limit=limit)
            clients = tx.clients.get_many({one.client for one in found if one.client is not None})
        return [MemberView(one, None if one.client is None else clients.get(one.client)) for one in found]

    def _approve(
        self,
        tx: Transaction,
        now: datetime,
        owner: Partner,
        name: str,
        client: Client | None,
        roles: tuple[Role, ...] | None,
        before: Member | None,
        watch: "Watch",
    ) -> tuple[Member, Client]:
        if len(name) > MEMBER_NAME_LIMIT:
            raise BadInput(f"{shown(name)} is too long", expected=f"at most {MEMBER_NAME_LIMIT} characters")
        if before is not None and before.state is MemberState.ACTIVE:
            raise Conflict(f"{shown(name)} is a client of the partner '{owner.name}' already", code="member_known")
        if before is not None and before.state is MemberState.OUTSIDE:
            raise Conflict(
                f"{shown(name)} is not among the names of {owner.name} any more",
                fix=f"Let {owner.name} vouch for it: mutualgate partner name add",
                code="name_not_permitted",
            )
        if client is not None:
            one = client
            if roles is not None:
                raise BadInput(
                    "a client that exists has its roles",
                    where="--role",
                    fix="mutualgate client roles",
                    code="has_roles",
                )
            if one.state is ClientState.NEW:
                tx.clients.set_state(one.id, ClientState.ACTIVE)
                one = replace(one, state=ClientState.ACTIVE)
        else:
            one = self._new_client(tx, now, owner, name, owner.roles if roles is None else roles)
        if before is not None:
            watch.changes("member", owner.id, name)
        if client is None:
            watch.rows.insert(0, ("client", (one.id,), None))
        made = Member(owner.id, name, one.id, MemberState.ACTIVE, now if before is None else before.created)
        tx.members.put(made)
        if before is None:
            watch.adds("member", owner.id, name)
        tx.trust.record(now, self._by, f"partner member approve {owner.name} {name}", watch)
        return made, one

    def _new_client(self, tx: Transaction, now: datetime, owner: Partner, name: str, roles: tuple[Role, ...]) -> Client:
        return new_client(tx, now, self._by, owner, name, roles)

    def _find(self, tx: Transaction, partner: str, name: str, may: May | None = None) -> tuple[Partner, Member]:
        owner = find(tx, partner)
        try:
            legal = rules.parse_name(name)
        except BadInput:
            legal = name  # as a certificate had it, which people can only copy
        member = tx.members.get(owner.id, legal) or tx.members.get(owner.id, name)
        if member is None:
            raise NotFound(
                f"the partner '{owner.name}' has no client {shown(name)}",
                fix=f"See them with: mutualgate partner member list {owner.name}",
                code="no_such_member",
            )
        if may is not None and member.client is not None:
            may(_client(tx, member.client))
        return owner, member

    def _audit(
        self, tx: Transaction, at: datetime, action: str, owner: Partner, member: Member, client: Client | None
    ) -> None:
        facts: audit.Facts = {"name": member.name, "client": member.client if client is None else client.id}
        audit.record(tx, at, self._by, action, subject(owner), facts)


def first_sight(tx: Transaction, partner: int, leaf: "x509.Certificate | Legible", *, at: datetime) -> Member | None:
    """Notes a certificate under a partner's CA that was seen for the first time; to be called for each such sighting.

    Under `approval` its name waits for somebody who lets it in. Under `rule` it has been let in as the partner's own
    client and stays that: who it is to a service behind does not change by being seen. What was noted before the
    partner began to admit otherwise is noted anew. Otherwise, and for a name that has its client, nothing is noted.
    """
    from mutualgate.partners.names import name_of

    owner = tx.partners.get(partner)
    name = None if owner is None else name_of(leaf, owner.profile)
    if owner is None or owner.admits is PartnerAdmits.LISTED or name is None or len(name) > MEMBER_NAME_LIMIT:
        return None
    waits = owner.admits is PartnerAdmits.APPROVAL
    state, most = (MemberState.PENDING, MOST_PENDING) if waits else (MemberState.SEEN, MOST_SEEN)
    known = tx.members.get(owner.id, name)
    if known is not None and (known.client is not None or known.state is state):
        return None
    if tx.members.count(owner.id, state) >= most:
        return None
    made = Member(owner.id, name, None, state, at if known is None else known.created)
    tx.members.put(made)
    audit.record(tx, at, "gate", "member.seen", subject(owner), {"name": name, "state": str(made.state)})
    return made


def new_client(tx: Transaction, at: datetime, by: str, owner: Partner, name: str, roles: tuple[Role, ...]) -> Client:
    """A client for a name inside a partner: called after it, and after the partner where that is taken."""
    bare = name.partition(":")[2]
    for number in range(100):
        text = bare if number == 0 else f"{bare[: NAME_LIMIT - 10 - len(owner.name)]} ({owner.name})"
        if number > 1:
            text = f"{bare[: NAME_LIMIT - 14 - len(owner.name)]} ({owner.name}) {number}"
        try:
            legal = ClientName(text)
        except BadInput:
            legal = ClientName(f"{owner.name} client {number + 1}")
        if tx.clients.find(legal) is None:
            client = tx.clients.add(legal, contact=owner.contact, roles=roles, at=at, state=ClientState.ACTIVE)
            facts: audit.Facts = {"partner": owner.id, "name": name, "roles": ",".join(roles)}
            audit.record(tx, at, by, "client.add", about_client(client), facts)
            return client
    raise Conflict(
        f"no name is free for a client called {shown(bare)}", fix="Name a client with --client", code="name_in_use"
    )


def _named(tx: Transaction, name: str | None) -> Client | None:
    return None if name is None else find_client(tx, name)


def _client(tx: Transaction, id: int) -> Client:
    client = tx.clients.get(id)
    assert client is not None  # noqa: S101 - a row refers to it
    return client
