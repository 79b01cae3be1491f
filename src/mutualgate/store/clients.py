"""Clients in the store."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, func, insert, or_, select, update

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import Client, ClientState
from mutualgate.model.invitation import InvitationState
from mutualgate.model.names import ClientName, Role, name_key
from mutualgate.model.partner import MemberState, PartnerState
from mutualgate.store import sqlite
from mutualgate.store.changes import Changes
from mutualgate.store.schema import client, client_role, invitation, member, partner
from mutualgate.store.select import among, chunks, plain_parts, plain_rows
from mutualgate.store.types import microseconds

PlainClient = tuple[int, str, list[str], bool, list[int]]
"""Id, name, roles, whether suspended, and the partners with whom it goes out."""
Hosts = tuple[list[int], bool]
"""The partners whose administrators invited a client, and whether it is still the client of each."""
NO_HOSTS: Hosts = ([], True)

_INVITED = (
    exists()
    .where(
        invitation.c.client == client.c.id,
        invitation.c.state.in_([InvitationState.OPEN, InvitationState.WAITING, InvitationState.LOCKED]),
    )
    .label("invited")
)
_COLUMNS = (client.c.id, client.c.name, client.c.contact, client.c.state, client.c.created, _INVITED)

# What is asked at nearly each change is made once: that takes longer than to ask it.

_ONE = select(*_COLUMNS).where(client.c.id == bindparam("id"))
_MANY = select(*_COLUMNS).where(client.c.id.in_(bindparam("ids", expanding=True)))
_NAMED = select(*_COLUMNS).where(client.c.name_key == bindparam("key"))
_ROLES = (
    select(client_role.c.client, client_role.c.role)
    .where(client_role.c.client.in_(bindparam("clients", expanding=True)))
    .order_by(client_role.c.client, client_role.c.role)
)
_STILL = exists().where(
    member.c.partner == invitation.c.partner,
    member.c.client == invitation.c.client,
    member.c.state == str(MemberState.ACTIVE),
)
# Along the index of clients, or of partners where these are asked for: neither of states, nor of all partners.
_USED = func.coalesce(invitation.c.state, "") == str(InvitationState.USED)
_BY_PARTNER = func.coalesce(invitation.c.partner, 0) != 0
_OUT = (
    select(invitation.c.client)
    .join(partner, partner.c.id == invitation.c.partner)
    .where(
        _USED,
        or_(partner.c.state != str(PartnerState.ACTIVE), ~_STILL),
        among(invitation.c.client),
    )
)
_HOSTED = select(invitation.c.client, invitation.c.partner, _STILL).where(_USED)
_HOSTS = _HOSTED.where(invitation.c.partner > 0)
_HOSTS_OF = _HOSTED.where(_BY_PARTNER, among(invitation.c.client))
_GUESTS_OF = select(invitation.c.client).where(among(invitation.c.partner), _USED)


_NEW = "invited"
"""What the store calls a new client, from a time in which there was no other way to become one."""


def stored(state: ClientState) -> str:
    """The state, as the store has it."""
    return _NEW if state is ClientState.NEW else str(state)


def _state(text: str) -> ClientState:
    return ClientState.NEW if text == _NEW else ClientState(text)


class Clients:
    """Finds and keeps clients. Knows that names are unique among those who are not gone; no other rule."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(
        self,
        name: ClientName,
        *,
        contact: str,
        roles: Iterable[Role],
        at: datetime,
        state: ClientState = ClientState.NEW,
    ) -> Client:
        """Adds one. Raises `Conflict` when the name is in use, in any spelling that looks alike."""
        other = self.find(name)
        if other is not None:
            raise Conflict(f"there is a client '{other.name}' already", code="name_in_use", facts={"client": other.id})
        result = self._connection.execute(
            insert(client).values(name=str(name), name_key=name.key, contact=contact, state=stored(state), created=at)
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        self._write_roles(id, roles)
        self._changes.note(ChangeKind.CLIENT, id)
        return Client(id, name, contact, tuple(sorted(set(roles))), state, at)

    def add_many(
        self, new: Sequence[tuple[ClientName, str, tuple[Role, ...]]], at: datetime, state: ClientState
    ) -> list[Client]:
        """Adds many: name, contact and roles of each. The caller has seen that no name is in use, nor given twice."""
        if not new:
            return []
        begins, created = stored(state), microseconds(at)
        columns = ("name", "name_key", "contact", "state", "created")
        rows = [(str(name), name.key, contact, begins, created) for name, contact, _ in new]
        sqlite.insert(self._connection, client, columns, rows)
        ids = self._ids(name.key for name, _, _ in new)
        made = [
            Client(ids[name.key], name, contact, tuple(sorted(set(roles))), state, at) for name, contact, roles in new
        ]
        held = [(one.id, str(role)) for one in made for role in one.roles]
        sqlite.insert(self._connection, client_role, ("client", "role"), held)
        self._changes.note_many(ChangeKind.CLIENT, [one.id for one in made])
        return made

    def _ids(self, keys: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for part in chunks(keys):
            rows = self._connection.execute(select(client.c.name_key, client.c.id).where(client.c.name_key.in_(part)))
            found |= {row.name_key: row.id for row in rows}
        return found

    def find_many(self, names: Iterable[ClientName]) -> dict[str, Client]:
        """Those of the names that are there and not gone, by the key of the name."""
        found: dict[str, Client] = {}
        for part in chunks({name.key for name in names}):
            found |= {one.name.key: one for one in self._read(select(*_COLUMNS).where(client.c.name_key.in_(part)))}
        return found

    def get(self, id: int) -> Client | None:
        """The client with this id, a gone one too."""
        return next(iter(self._read(_ONE, {"id": id})), None)

    def get_many(self, ids: Iterable[int]) -> dict[int, Client]:
        """Those of `ids` that exist, gone ones too."""
        found: dict[int, Client] = {}
        for part in chunks(ids):
            found |= {one.id: one for one in self._read(_MANY, {"ids": part})}
        return found

    def find(self, name: ClientName) -> Client | None:
        """The client of this name that is not gone."""
        return next(iter(self._read(_NAMED, {"key": name.key})), None)

    def page(
        self,
        *,
        search: str = "",
        state: ClientState | None = None,
        role: Role | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Client]:
        """At most `limit` clients in the order of their ids, those after the id `after`; gone ones only when asked for.

        `search` finds parts of names and contacts, case aside.
        """
        # Of a role, along its index: neither is everybody asked for it, nor are all who have it put in order.
        id = client.c.id if role is None else client_role.c.client
        query = select(*_COLUMNS).where(id > after).order_by(id).limit(limit)
        return self._read(self._filtered(query, search, state, role))

    def count(self, *, search: str = "", state: ClientState | None = None, role: Role | None = None) -> int:
        """How many `page` would find without a limit."""
        query = self._filtered(select(func.count()).select_from(client), search, state, role)
        return int(self._connection.execute(query).scalar_one())

    def counts(self) -> dict[ClientState, int]:
        """How many there are in each state; gone ones, too."""
        query = select(client.c.state, func.count()).group_by(client.c.state)
        found = {_state(state): int(number) for state, number in self._connection.execute(query)}
        return {state: found.get(state, 0) for state in ClientState}

    def _filtered(self, query: Select[Any], search: str, state: ClientState | None, role: Role | None) -> Select[Any]:
        if state is None:
            query = query.where(client.c.name_key.is_not(None))
        elif role is None:
            query = query.where(client.c.state == stored(state))
        else:
            # Not along the index of states, but of roles: most clients are in one state.
            query = query.where(func.coalesce(client.c.state, "") == stored(state))
        if search:
            query = query.where(
                or_(
                    sqlite.contains_exactly(client.c.name_key, name_key(search)),
                    sqlite.contains(client.c.contact, search.lower()),
                )
            )
        if role is not None:
            query = query.where(client_role.c.client == client.c.id, client_role.c.role == str(role))
        return query

    def set_state(self, id: int, state: ClientState) -> None:
        """Moves it; a client that goes gives its name back."""
        values: dict[str, Any] = {"state": stored(state)}
        if state is ClientState.GONE:
            values["name_key"] = None
        self._connection.execute(update(client).where(client.c.id == id).values(**values))
        self._changes.note(ChangeKind.CLIENT, id)

    def activate(self, ids: Iterable[int]) -> None:
        """Moves those of `ids` that are new to active."""
        for part in chunks(ids):
            self._connection.execute(
                update(client)
                .where(client.c.id.in_(part), client.c.state == stored(ClientState.NEW))
                .values(state=stored(ClientState.ACTIVE))
            )
            self._changes.note_many(ChangeKind.CLIENT, part)

    def set_roles(self, id: int, roles: Iterable[Role]) -> None:
        """Replaces its roles."""
        self._connection.execute(delete(client_role).where(client_role.c.client == id))
        self._write_roles(id, roles)
        self._changes.note(ChangeKind.CLIENT, id)

    def set_contact(self, id: int, contact: str) -> None:
        """Replaces its contact, which the judge does not know."""
        self._connection.execute(update(client).where(client.c.id == id).values(contact=contact))

    def walk(self, size: int) -> Iterator[list[PlainClient]]:
        """All that are not gone, by id, in parts of at most `size`.

        Plain values: a million of them are walked, and they were checked when they came in.
        """
        known, last, hosts = _RolesOfText(), 0, self.hosts()
        query = self._told().order_by(client.c.id).limit(size)
        while rows := plain_rows(self._connection, query.where(client.c.id > last)):
            yield _plain(rows, known, hosts)
            last = rows[-1][0]

    def plain(self, ids: Collection[int], size: int) -> Iterator[list[PlainClient]]:
        """As `walk`, of these, in any order."""
        known, hosts = _RolesOfText(), self.hosts(ids)
        for rows in plain_parts(self._connection, self._told().where(among(client.c.id)), size, ids):
            yield _plain(rows, known, hosts)

    def _told(self) -> Select[Any]:
        # One text of all roles: most clients share theirs with many, so few texts are taken apart.
        held = (
            select(func.aggregate_strings(client_role.c.role, ","))
            .where(client_role.c.client == client.c.id)
            .scalar_subquery()
        )
        return select(client.c.id, client.c.name, held, client.c.state).where(client.c.name_key.is_not(None))

    def hosts(self, ids: Collection[int] | None = None) -> dict[int, Hosts]:
        """Those of `ids`, or of all, that came in by an invitation of a partner's administrator."""
        found: dict[int, Hosts] = {}
        query = _HOSTS if ids is None else _HOSTS_OF
        for id, host, still in plain_rows(self._connection, query, ids):
            partners, all_still = found.get(id, NO_HOSTS)
            found[id] = (sorted({*partners, host}), all_still and bool(still))
        return found

    def guests_of(self, partners: Collection[int]) -> set[int]:
        """The clients that came in by an invitation of an administrator of one of these."""
        return {id for (id,) in plain_rows(self._connection, _GUESTS_OF, partners)}

    def out_with_partner(self, ids: Collection[int]) -> set[int]:
        """Those of `ids` that came in by an invitation of a partner's administrator and are out with the partner: that
        is suspended or gone, or they are its clients no more."""
        return {id for (id,) in plain_rows(self._connection, _OUT, ids)}

    def _write_roles(self, id: int, roles: Iterable[Role]) -> None:
        rows = [{"client": id, "role": str(role)} for role in sorted(set(roles))]
        if rows:
            self._connection.execute(insert(client_role), rows)

    def _read(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Client]:
        rows: Sequence[Row[Any]] = self._connection.execute(query, values).all()
        roles: dict[int, list[Role]] = defaultdict(list)
        for part in chunks(row.id for row in rows):
            for owner, role in self._connection.execute(_ROLES, {"clients": part}):
                roles[owner].append(Role(role))
        return [
            Client(
                id=row.id,
                name=ClientName(row.name),
                contact=row.contact,
                roles=tuple(sorted(roles[row.id])) if row.id in roles else (),
                state=_state(row.state),
                created=row.created,
                invited=bool(row.invited),
            )
            for row in rows
        ]


def _plain(rows: Iterable[Any], known: dict[str | None, list[str]], hosts: dict[int, Hosts]) -> list[PlainClient]:
    suspended = str(ClientState.SUSPENDED)
    plain: list[PlainClient] = []
    for id, name, roles, state in rows:
        partners, still = hosts.get(id, NO_HOSTS)
        plain.append((id, name, known[roles], state == suspended or not still, partners))
    return plain


class _RolesOfText(dict[str | None, list[str]]):
    """Roles in their order, by a text with commas between them; each text is taken apart once."""

    def __missing__(self, text: str | None) -> list[str]:
        roles = self[text] = sorted(text.split(",")) if text else []
        return roles
