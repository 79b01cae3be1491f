"""Clients inside partners in the store: under which name of the partner's each is which client."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from mutualgate.model.change import ChangeKind
from mutualgate.model.partner import Member, MemberState, RuleKind
from mutualgate.store.changes import Changes
from mutualgate.store.schema import client, invitation, member
from mutualgate.store.select import FEW_KEYS, among, chunks, one_of, plain_parts, plain_rows

FEW_RULES = 50
"""That many are asked for at once."""

PlainMember = tuple[int, str, int]
"""Partner, name, client."""

# What is asked at nearly each change is made once: that takes longer than to ask it.

_NAMES_OF = select(member.c.name).where(among(member.c.client))
_OF_CLIENT = select(member).where(member.c.client == bindparam("client")).order_by(member.c.partner)
_ONE = select(member).where(member.c.partner == bindparam("partner"), member.c.name == bindparam("name"))
_TOLD = (
    select(member.c.partner, member.c.name, member.c.client)
    .join(client, client.c.id == member.c.client)
    .where(member.c.state == str(MemberState.ACTIVE), client.c.name_key.is_not(None))
)
"""What the judge is told of: those of partners that are gone, too, so that who comes back need not bring very many."""
_TOLD_OF = _TOLD.where(among(member.c.partner))


class Members:
    """Finds and keeps them. Knows no rule of who may be one."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def put(self, wanted: Member) -> None:
        """Adds a client inside a partner, or replaces what was said of it. The judge hears of who has a client."""
        before = self.get(wanted.partner, wanted.name)
        where = (member.c.partner == wanted.partner, member.c.name == wanted.name)
        if before is not None:
            self._connection.execute(update(member).where(*where).values(client=wanted.client, state=str(wanted.state)))
        else:
            self._connection.execute(
                insert(member).values(
                    partner=wanted.partner,
                    name=wanted.name,
                    client=wanted.client,
                    state=str(wanted.state),
                    created=wanted.created,
                )
            )
        if MemberState.ACTIVE in (wanted.state, None if before is None else before.state):
            self._changes.note(ChangeKind.MEMBER, member_key(wanted.partner, wanted.name))
        self._note_invited(before, wanted)

    def remove(self, partner_id: int, name: str) -> None:
        """Takes it away."""
        before = self.get(partner_id, name)
        self._connection.execute(delete(member).where(member.c.partner == partner_id, member.c.name == name))
        self._changes.note(ChangeKind.MEMBER, member_key(partner_id, name))
        self._note_invited(before)

    def _note_invited(self, *members: Member | None) -> None:
        """Who was invited by a partner comes in as long as it is that partner's client: the judge hears of it."""
        for one in members:
            if one is not None and one.client is not None:
                note_invited(self._connection, self._changes, one.partner, one.client)

    def get(self, partner_id: int, name: str) -> Member | None:
        """The client of this name inside this partner."""
        return next(iter(self._read(_ONE, {"partner": partner_id, "name": name})), None)

    def of_partner(
        self,
        partner_id: int,
        *,
        state: MemberState | None = None,
        search: str = "",
        after: str = "",
        limit: int = 100,
    ) -> list[Member]:
        """At most `limit` clients inside a partner in the order of their names, those after the name `after`."""
        query = select(member).where(member.c.partner == partner_id, member.c.name > after)
        if state is not None:
            query = query.where(member.c.state == str(state))
        if search:
            query = query.where(member.c.name.contains(search, autoescape=True))
        return self._read(query.order_by(member.c.name).limit(limit))

    def of_client(self, client_id: int) -> list[Member]:
        """Inside which partners a client is, and as whom."""
        return self._read(_OF_CLIENT, {"client": client_id})

    def names_of(self, client_ids: Collection[int]) -> list[str]:
        """The names by which these clients go inside partners."""
        return [name for (name,) in plain_rows(self._connection, _NAMES_OF, client_ids)]

    def get_many(self, partner_id: int, names: Iterable[str]) -> dict[str, Member]:
        """Those of the names that are clients inside this partner, in the order of their names."""
        found: dict[str, Member] = {}
        for part in chunks(sorted(names)):
            query = select(member).where(member.c.partner == partner_id, member.c.name.in_(part))
            found |= {one.name: one for one in self._read(query.order_by(member.c.name))}
        return found

    def invited_by(self, partner_id: int, state: MemberState, among: Collection[str] | None = None) -> list[str]:
        """The names of the partner's clients in this state that its administrators invited, in any order; of `among`,
        or all."""
        invited_clients = select(invitation.c.client).where(invitation.c.partner == partner_id)
        query = select(member.c.name).where(
            member.c.partner == partner_id, member.c.state == str(state), member.c.client.in_(invited_clients)
        )
        queries = [query] if among is None else [query.where(member.c.name.in_(part)) for part in chunks(among)]
        return [name for one in queries for (name,) in plain_rows(self._connection, one)]

    def invited_under(self, partner_id: int, state: MemberState, rules: Collection[tuple[RuleKind, str]]) -> list[str]:
        """As `invited_by`, of those that one of `rules` (kind, pattern) may permit: whether it does, the judge says."""
        invited_clients = select(invitation.c.client).where(invitation.c.partner == partner_id)
        names: set[str] = set()
        for part in chunks(rules, FEW_RULES):
            query = select(member.c.name).where(
                member.c.partner == partner_id,
                member.c.state == str(state),
                or_(*(_may_permit(*rule) for rule in part)),
                # Calculated, so that it is asked of these alone: very many may have been invited.
                (member.c.client + 0).in_(invited_clients),
            )
            names.update(name for (name,) in plain_rows(self._connection, query))
        return list(names)

    def count(self, partner_id: int, state: MemberState | None = None) -> int:
        """How many there are."""
        query = select(func.count()).select_from(member).where(member.c.partner == partner_id)
        if state is not None:
            query = query.where(member.c.state == str(state))
        return int(self._connection.execute(query).scalar_one())

    # For the judge

    def plain(self, keys: Iterable[tuple[int, str]]) -> list[PlainMember]:
        """Those clients inside partners that the judge has to know, of the partners and names in `keys`."""
        found: list[PlainMember] = []
        for part in chunks(keys, FEW_KEYS):
            found += self._plain(_TOLD.where(one_of((member.c.partner, member.c.name), part)))
        return found

    def walk(self, size: int) -> Iterator[list[PlainMember]]:
        """All clients inside partners that were approved and are not gone, in parts of at most `size`."""
        last: PlainMember | None = None
        query = _TOLD.order_by(member.c.partner, member.c.name).limit(size)
        key = tuple_(member.c.partner, member.c.name)
        while found := self._plain(query if last is None else query.where(key > last[:2])):
            yield found
            last = found[-1]

    def plain_of(self, partners: Collection[int], size: int) -> Iterator[list[PlainMember]]:
        """As `walk`, of these partners, in any order."""
        yield from plain_parts(self._connection, _TOLD_OF, size, partners)

    def _plain(self, query: Select[Any]) -> list[PlainMember]:
        return [(id, name, owner) for id, name, owner in plain_rows(self._connection, query)]

    def _read(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Member]:
        return [
            Member(row.partner, row.name, row.client, MemberState(row.state), row.created)
            for row in self._connection.execute(query, values)
        ]


def note_invited(connection: Connection, changes: Changes, partner_id: int, client_id: int) -> None:
    """Says that the client changed, if administrators of the partner invited it."""
    query = select(invitation.c.id).where(invitation.c.client == client_id, invitation.c.partner == partner_id)
    if connection.execute(query.limit(1)).first() is not None:
        changes.note(ChangeKind.CLIENT, client_id)


def member_key(partner_id: int, name: str) -> str:
    """The member's key in the change feed."""
    return f"{partner_id}:{name}"


def parse_member_key(text: str) -> tuple[int, str]:
    """Partner and name of a key in the change feed."""
    partner_id, _, name = text.partition(":")
    return int(partner_id), name


def _may_permit(kind: RuleKind, pattern: str) -> ColumnElement[bool]:
    """Whether a name is of the kind of a rule, and ends as all that this permits where they all end alike."""
    of_kind = member.c.name.startswith(f"{kind}:", autoescape=True)
    if kind in {RuleKind.DNS, RuleKind.EMAIL}:
        return and_(of_kind, member.c.name.endswith(pattern.removeprefix("*"), autoescape=True))
    return of_kind
