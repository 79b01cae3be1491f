"""Partners in the store: their CAs, what those may vouch for, and their clients."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select, update

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.names import Role
from mutualgate.model.partner import (
    Intermediate,
    NameRule,
    Partner,
    PartnerAdmits,
    PartnerName,
    PartnerProfile,
    PartnerState,
    RuleKind,
)
from mutualgate.store.anchors import COUNTS
from mutualgate.store.changes import Changes
from mutualgate.store.schema import anchor, intermediate, name_rule, partner
from mutualgate.store.select import Values, among, chunks, plain_rows

PlainRule = tuple[str, str, int | None]
"""Kind, pattern, and the CA that it is bound to."""
PlainPartner = tuple[int, str, str, int, bool, list[PlainRule], list[bytes], str]
"""Id, name, what it admits, its own client, whether suspended, rules, helping intermediates (DER), profile."""

# What is asked at each change of trust is made once: that takes longer than to ask it.

_Told = tuple[Select[Any], Select[Any], Select[Any]]
"""Partners, their rules, and their helping intermediates."""


def _told(which: ColumnElement[bool]) -> _Told:
    there = and_(which, partner.c.name_key.is_not(None))
    return (
        select(partner.c.id, partner.c.name, partner.c.admits, partner.c.client, partner.c.state, partner.c.profile)
        .where(there)
        .order_by(partner.c.id),
        select(name_rule.c.partner, name_rule.c.kind, name_rule.c.pattern, name_rule.c.anchor)
        .join(partner, partner.c.id == name_rule.c.partner)
        .where(there)
        .order_by(name_rule.c.id),
        select(intermediate.c.partner, intermediate.c.certificate)
        .join(partner, partner.c.id == intermediate.c.partner)
        .where(there)
        .order_by(intermediate.c.id),
    )


_ONE = select(partner).where(partner.c.id == bindparam("id"))
_OF_CLIENTS = select(partner.c.id).where(partner.c.name_key.is_not(None), among(partner.c.client))
_TOLD_OF = _told(among(partner.c.id))
_CALLED = (
    # Not along the index of states: nearly all are in one.
    select(anchor.c.partner).where(among(anchor.c.subject_hash), func.coalesce(anchor.c.state, "").in_(COUNTS)),
    select(intermediate.c.partner).where(among(intermediate.c.subject_hash)),
)
_ABOVE = (
    select(anchor.c.subject_hash).where(among(anchor.c.partner)),
    select(intermediate.c.subject_hash).where(among(intermediate.c.partner)),
)


class Partners:
    """Finds and keeps partners with all that is theirs. Knows no rule of what may be claimed."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    # Partners

    def add(
        self,
        name: PartnerName,
        *,
        contact: str,
        security_contact: str,
        admits: PartnerAdmits,
        roles: tuple[Role, ...],
        client: int,
        at: datetime,
        profile: PartnerProfile = PartnerProfile.NAMES,
    ) -> Partner:
        """Adds one. Raises `Conflict` for a name in use."""
        if self.find(name) is not None:
            raise Conflict(f"there is a partner '{name}' already", code="name_in_use")
        result = self._connection.execute(
            insert(partner).values(
                name=str(name),
                name_key=str(name),
                contact=contact,
                security_contact=security_contact,
                state=str(PartnerState.ACTIVE),
                admits=str(admits),
                roles=",".join(roles),
                client=client,
                appoints=0,
                created=at,
                profile=str(profile),
            )
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        self._changes.note(ChangeKind.PARTNER, id)
        return Partner(id, name, contact, security_contact, PartnerState.ACTIVE, admits, roles, client, at, profile)

    def get(self, id: int) -> Partner | None:
        """The one with this id, a gone one too."""
        return next(iter(self._partners(_ONE, {"id": id})), None)

    def get_many(self, ids: Iterable[int]) -> dict[int, Partner]:
        """Those of `ids` that exist, gone ones too."""
        found: dict[int, Partner] = {}
        for part in chunks(ids):
            found |= {one.id: one for one in self._partners(select(partner).where(partner.c.id.in_(part)))}
        return found

    def find(self, name: PartnerName) -> Partner | None:
        """The one of this name that is not gone."""
        return next(iter(self._partners(select(partner).where(partner.c.name_key == str(name)))), None)

    def of_client(self, id: int) -> Partner | None:
        """The partner whose own client this is, if it is not gone."""
        query = select(partner).where(partner.c.client == id, partner.c.name_key.is_not(None))
        return next(iter(self._partners(query)), None)

    def with_clients(self, client_ids: Collection[int]) -> set[int]:
        """The partners (ids) whose own clients are among these, gone ones aside."""
        return {id for (id,) in plain_rows(self._connection, _OF_CLIENTS, client_ids)}

    def page(self, *, search: str = "", after: int = 0, limit: int = 100) -> list[Partner]:
        """At most `limit` in the order of their ids, those after the id `after`; gone ones aside."""
        query = select(partner).where(partner.c.id > after, partner.c.name_key.is_not(None))
        if search:
            query = query.where(
                or_(
                    partner.c.name_key.contains(search.lower(), autoescape=True),
                    func.lower(partner.c.contact).contains(search.lower(), autoescape=True),
                )
            )
        return self._partners(query.order_by(partner.c.id).limit(limit))

    def any(self) -> bool:
        """Whether there are any, gone ones aside."""
        return self._connection.execute(select(partner.c.id).where(partner.c.name_key.is_not(None))).first() is not None

    def count(self) -> int:
        """How many there are, gone ones aside."""
        query = select(func.count()).select_from(partner).where(partner.c.name_key.is_not(None))
        return int(self._connection.execute(query).scalar_one())

    def set(self, wanted: Partner) -> None:
        """Writes its state, roles, contacts and what it admits; one that goes gives its name back."""
        self._connection.execute(
            update(partner)
            .where(partner.c.id == wanted.id)
            .values(
                state=str(wanted.state),
                name_key=None if wanted.state is PartnerState.GONE else str(wanted.name),
                admits=str(wanted.admits),
                roles=",".join(wanted.roles),
                contact=wanted.contact,
                security_contact=wanted.security_contact,
                appoints=int(wanted.appoints),
            )
        )
        self._changes.note(ChangeKind.PARTNER, wanted.id)

    # Rules and intermediates

    def add_rule(self, partner_id: int, kind: RuleKind, pattern: str, anchor_id: int | None, at: datetime) -> NameRule:
        """Adds a rule."""
        result = self._connection.execute(
            insert(name_rule).values(partner=partner_id, anchor=anchor_id, kind=str(kind), pattern=pattern, created=at)
        )
        self._changes.note(ChangeKind.PARTNER, partner_id)
        return NameRule(int(result.inserted_primary_key[0]), partner_id, anchor_id, kind, pattern, at)  # type: ignore[index]  # one row was inserted

    def remove_rule(self, rule: NameRule) -> None:
        """Takes a rule away."""
        self._connection.execute(delete(name_rule).where(name_rule.c.id == rule.id))
        self._changes.note(ChangeKind.PARTNER, rule.partner)

    def rules_of(self, partner_id: int) -> list[NameRule]:
        """A partner's rules, oldest first."""
        rows = self._connection.execute(
            select(name_rule).where(name_rule.c.partner == partner_id).order_by(name_rule.c.id)
        )
        return [NameRule(row.id, row.partner, row.anchor, RuleKind(row.kind), row.pattern, row.created) for row in rows]

    def add_intermediate(
        self, partner_id: int, fingerprint: bytes, subject_hash: bytes, certificate: bytes, at: datetime
    ) -> Intermediate:
        """Adds a CA certificate that helps to build paths; `subject_hash` is the SHA-256 of its subject's DER."""
        result = self._connection.execute(
            insert(intermediate).values(
                partner=partner_id,
                fingerprint=fingerprint,
                subject_hash=subject_hash,
                certificate=certificate,
                created=at,
            )
        )
        self._changes.note(ChangeKind.PARTNER, partner_id)
        return Intermediate(int(result.inserted_primary_key[0]), partner_id, fingerprint, certificate, at)  # type: ignore[index]  # one row was inserted

    def remove_intermediate(self, one: Intermediate) -> None:
        """Takes it away."""
        self._connection.execute(delete(intermediate).where(intermediate.c.id == one.id))
        self._changes.note(ChangeKind.PARTNER, one.partner)

    def intermediates_of(self, partner_id: int) -> list[Intermediate]:
        """A partner's, oldest first."""
        return self._intermediates(intermediate.c.partner == partner_id)

    def intermediates_with_subject(self, subject_hash: bytes) -> list[Intermediate]:
        """Those with this subject name (SHA-256 of its DER), whosever, oldest first."""
        return self._intermediates(intermediate.c.subject_hash == subject_hash)

    def _intermediates(self, which: ColumnElement[bool]) -> list[Intermediate]:
        rows = self._connection.execute(select(intermediate).where(which).order_by(intermediate.c.id))
        return [Intermediate(row.id, row.partner, row.fingerprint, row.certificate, row.created) for row in rows]

    # For the judge

    def plain(self, ids: Collection[int]) -> list[PlainPartner]:
        """Those of `ids` that the judge has to know."""
        return self._plain_partners(_TOLD_OF, ids)

    def walk(self, size: int) -> Iterator[list[PlainPartner]]:
        """All partners that are not gone, by id, in parts of at most `size`."""
        last = 0
        while True:
            ids = (
                self._connection.execute(
                    select(partner.c.id)
                    .where(partner.c.id > last, partner.c.name_key.is_not(None))
                    .order_by(partner.c.id)
                    .limit(size)
                )
                .scalars()
                .all()
            )
            if not ids:
                return
            yield self._plain_partners(_told(partner.c.id.between(ids[0], ids[-1])))
            last = ids[-1]

    def concerned(self, subject_hashes: Collection[bytes]) -> list[int]:
        """Partners with a CA that counts, or a helping intermediate, by a subject name (SHA-256 of its DER)."""
        return sorted({id for query in _CALLED for (id,) in plain_rows(self._connection, query, subject_hashes)})

    def names_above(self, partner_ids: Collection[int]) -> frozenset[bytes]:
        """The subject names (SHA-256 of the DER) of these partners' CAs, whatever their state, and intermediates."""
        return frozenset(name for query in _ABOVE for (name,) in plain_rows(self._connection, query, partner_ids))

    def _plain_partners(self, told: _Told, values: Values | None = None) -> list[PlainPartner]:
        rows, held, brought = (plain_rows(self._connection, query, values) for query in told)
        rules: dict[int, list[PlainRule]] = defaultdict(list)
        for owner, *rule in held:
            rules[owner].append((rule[0], rule[1], rule[2]))
        helpers: dict[int, list[bytes]] = defaultdict(list)
        for owner, certificate in brought:
            helpers[owner].append(certificate)
        suspended = str(PartnerState.SUSPENDED)
        return [
            (id, name, admits, owner, state == suspended, rules.get(id, []), helpers.get(id, []), profile)
            for id, name, admits, owner, state, profile in rows
        ]

    def _partners(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Partner]:
        return [
            Partner(
                id=row.id,
                name=PartnerName(row.name),
                contact=row.contact,
                security_contact=row.security_contact,
                state=PartnerState(row.state),
                admits=PartnerAdmits(row.admits),
                roles=tuple(Role(one) for one in row.roles.split(",") if one),
                client=row.client,
                created=row.created,
                profile=PartnerProfile(row.profile),
                appoints=bool(row.appoints),
            )
            for row in self._connection.execute(query, values)
        ]
