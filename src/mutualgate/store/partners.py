"""Partners in the store: their CAs, what those may vouch for, and their clients."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, or_, select, tuple_, update

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.names import Role
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
    RevocationMode,
    RuleKind,
    SeenCa,
)
from mutualgate.store.changes import Changes
from mutualgate.store.schema import anchor, client, intermediate, invitation, member, name_rule, partner, seen_ca
from mutualgate.store.select import chunks
from mutualgate.store.types import EPOCH

PlainRule = tuple[str, str, int | None]
"""Kind, pattern, and the CA that it is bound to."""
PlainPartner = tuple[int, str, str, int, bool, list[PlainRule], list[bytes], str]
"""Id, name, what it admits, its own client, whether suspended, rules, helping intermediates (DER), profile."""
PlainAnchor = tuple[int, int, bytes, int, int, bool, int, list[bytes], str, str, int, int, str, bool]
"""Id, partner, certificate, from and until in Unix seconds, shared, depth, keys of CAs below it, environment,
revocation, seconds of grace, seconds that a leaf may live, certificate policy, whether
new CAs below it wait."""
PlainMember = tuple[int, str, int]
"""Partner, name, client."""

_COUNTS = (str(AnchorState.ACTIVE), str(AnchorState.RETIRING))
_ELSE = tuple(str(one) for one in AnchorState if one not in _COUNTS)
"""For what goes along another index than that of states: nearly all CAs count."""


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
        id = int(result.inserted_primary_key[0])  # type: ignore[index]
        self._changes.note(ChangeKind.PARTNER, id)
        return Partner(id, name, contact, security_contact, PartnerState.ACTIVE, admits, roles, client, at, profile)

    def get(self, id: int) -> Partner | None:
        """The one with this id, a gone one too."""
        return next(iter(self._partners(select(partner).where(partner.c.id == id))), None)

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
        # Who was invited by it comes in as long as it does.
        self._changes.note_many(ChangeKind.CLIENT, invited(self._connection, wanted.id))

    # CAs

    def add_anchor(self, claim: Anchor, subject_hash: bytes) -> Anchor:
        """Adds a CA; takes the row of a retired one of the same partner and key. The id of `claim` is not looked at."""
        values = {**_anchor_values(claim), "subject_hash": subject_hash}
        before = self.anchor_of(claim.partner, claim.spki)
        if before is not None:
            id = before.id
            self._connection.execute(update(anchor).where(anchor.c.id == id).values(**values))
        else:
            result = self._connection.execute(insert(anchor).values(**values))
            id = int(result.inserted_primary_key[0])  # type: ignore[index]
        self._changes.note(ChangeKind.ANCHOR, id)
        return replace(claim, id=id)

    def set_anchor(self, wanted: Anchor) -> None:
        """Writes all of a CA but its id."""
        self._connection.execute(update(anchor).where(anchor.c.id == wanted.id).values(**_anchor_values(wanted)))
        self._changes.note(ChangeKind.ANCHOR, wanted.id)

    def anchor(self, id: int) -> Anchor | None:
        """The CA with this id."""
        return next(iter(self._anchors(select(anchor).where(anchor.c.id == id))), None)

    def anchor_of(self, partner_id: int, spki: bytes) -> Anchor | None:
        """The partner's CA of this key, a retired one too."""
        query = select(anchor).where(anchor.c.partner == partner_id, anchor.c.spki == spki)
        return next(iter(self._anchors(query)), None)

    def anchors_of(self, partner_id: int) -> list[Anchor]:
        """A partner's CAs, oldest first, retired ones too."""
        return self._anchors(select(anchor).where(anchor.c.partner == partner_id).order_by(anchor.c.id))

    def anchors_with_key(self, spki: bytes) -> list[Anchor]:
        """The CAs of this key, whosever, oldest first, retired ones too."""
        return self._anchors(select(anchor).where(anchor.c.spki == spki).order_by(anchor.c.id))

    def anchors_with_subject(self, subject_hash: bytes) -> list[Anchor]:
        """The CAs of this subject name that are not retired."""
        query = select(anchor).where(anchor.c.subject_hash == subject_hash, anchor.c.state != str(AnchorState.RETIRED))
        return self._anchors(query.order_by(anchor.c.id))

    def claim_of(self, challenge: str) -> Anchor | None:
        """The claim that a certificate with this code proves."""
        pending = (anchor.c.state == str(AnchorState.PENDING), anchor.c.challenge == challenge)
        return next(iter(self._anchors(select(anchor).where(*pending))), None)

    def pending_anchors(self) -> list[Anchor]:
        """Claims that are not proved, oldest first."""
        return self._anchors(select(anchor).where(anchor.c.state == str(AnchorState.PENDING)).order_by(anchor.c.id))

    def counting(self, ids: Iterable[int]) -> list[Anchor]:
        """Of the CAs with these ids, those that count or may still count."""
        found: list[Anchor] = []
        for part in chunks(ids):
            found += self._anchors(select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.id.in_(part)))
        return found

    def anchors_beside_ending(self, until: datetime) -> list[Anchor]:
        """The CAs that count of partners of which one ends before `until`, by id: its successor is among them."""
        ending = select(anchor.c.partner).where(anchor.c.state.not_in(_ELSE), anchor.c.not_after < until)
        leaving = select(anchor.c.partner).where(anchor.c.state == str(AnchorState.RETIRING))
        owners = ending.union(leaving)
        query = select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.partner.in_(owners))
        return self._anchors(query.order_by(anchor.c.id))

    def anchors_asked(self, also: Iterable[int]) -> list[Anchor]:
        """Of the CAs that count, those that are asked about revocation, and of the rest those in `also`; by id."""
        modes = [str(one) for one in RevocationMode if one is not RevocationMode.IGNORE]
        query = select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.revocation.in_(modes))
        found = self._anchors(query)
        found += self.counting(set(also) - {one.id for one in found})
        return sorted(found, key=lambda one: one.id)

    def add_seen_ca(self, one: SeenCa) -> None:
        """Notes a CA that was seen below one of a partner's."""
        self._connection.execute(
            insert(seen_ca).values(
                anchor=one.anchor,
                spki=one.spki,
                certificate=one.certificate,
                subject=one.subject,
                first_at=one.first_at,
            )
        )

    def seen_cas(self, anchor_ids: Iterable[int]) -> list[SeenCa]:
        """Those that were seen below these CAs, in the order in which they came."""
        found: list[SeenCa] = []
        for part in chunks(anchor_ids):
            query = select(seen_ca).where(seen_ca.c.anchor.in_(part)).order_by(seen_ca.c.first_at, seen_ca.c.spki)
            found += [SeenCa(*row) for row in self._connection.execute(query)]
        return found

    def anchors_holding(self) -> list[Anchor]:
        """The CAs that count and below which new ones wait, by id."""
        query = select(anchor).where(anchor.c.state.in_(_COUNTS), anchor.c.hold != 0)
        return self._anchors(query.order_by(anchor.c.id))

    # Rules and intermediates

    def add_rule(self, partner_id: int, kind: RuleKind, pattern: str, anchor_id: int | None, at: datetime) -> NameRule:
        """Adds a rule."""
        result = self._connection.execute(
            insert(name_rule).values(partner=partner_id, anchor=anchor_id, kind=str(kind), pattern=pattern, created=at)
        )
        self._changes.note(ChangeKind.PARTNER, partner_id)
        return NameRule(int(result.inserted_primary_key[0]), partner_id, anchor_id, kind, pattern, at)  # type: ignore[index]

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
        return Intermediate(int(result.inserted_primary_key[0]), partner_id, fingerprint, certificate, at)  # type: ignore[index]

    def remove_intermediate(self, one: Intermediate) -> None:
        """Takes it away."""
        self._connection.execute(delete(intermediate).where(intermediate.c.id == one.id))
        self._changes.note(ChangeKind.PARTNER, one.partner)

    def intermediates_of(self, partner_id: int) -> list[Intermediate]:
        """A partner's, oldest first."""
        rows = self._connection.execute(
            select(intermediate).where(intermediate.c.partner == partner_id).order_by(intermediate.c.id)
        )
        return [Intermediate(row.id, row.partner, row.fingerprint, row.certificate, row.created) for row in rows]

    # Members

    def put_member(self, wanted: Member) -> None:
        """Adds a client inside a partner, or replaces what was said of it. The judge hears of who has a client."""
        before = self.member(wanted.partner, wanted.name)
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

    def remove_member(self, partner_id: int, name: str) -> None:
        """Takes it away."""
        before = self.member(partner_id, name)
        self._connection.execute(delete(member).where(member.c.partner == partner_id, member.c.name == name))
        self._changes.note(ChangeKind.MEMBER, member_key(partner_id, name))
        self._note_invited(before)

    def _note_invited(self, *members: Member | None) -> None:
        """Who was invited by a partner comes in as long as it is that partner's client: the judge hears of it."""
        for one in members:
            if one is not None and one.client is not None:
                self._changes.note_many(ChangeKind.CLIENT, invited(self._connection, one.partner, one.client))

    def member(self, partner_id: int, name: str) -> Member | None:
        """The client of this name inside this partner."""
        query = select(member).where(member.c.partner == partner_id, member.c.name == name)
        return next(iter(self._members(query)), None)

    def members_of(
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
        return self._members(query.order_by(member.c.name).limit(limit))

    def memberships_of(self, client_id: int) -> list[Member]:
        """Inside which partners a client is, and as whom."""
        return self._members(select(member).where(member.c.client == client_id).order_by(member.c.partner))

    def invited_by(self, partner_id: int, state: MemberState) -> list[Member]:
        """The partner's clients in this state that its administrators invited, in the order of their names."""
        invited_clients = select(invitation.c.client).where(invitation.c.partner == partner_id)
        query = select(member).where(
            member.c.partner == partner_id, member.c.state == str(state), member.c.client.in_(invited_clients)
        )
        return self._members(query.order_by(member.c.name))

    def count_members(self, partner_id: int, state: MemberState | None = None) -> int:
        """How many there are."""
        query = select(func.count()).select_from(member).where(member.c.partner == partner_id)
        if state is not None:
            query = query.where(member.c.state == str(state))
        return int(self._connection.execute(query).scalar_one())

    # For the judge

    def plain(self, ids: Iterable[int]) -> list[PlainPartner]:
        """Those of `ids` that the judge has to know."""
        found: list[PlainPartner] = []
        for part in chunks(ids):
            found += self._plain_partners(partner.c.id.in_(part))
        return found

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
            yield self._plain_partners(partner.c.id.between(ids[0], ids[-1]))
            last = ids[-1]

    def concerned(self, subject_hashes: Iterable[bytes]) -> list[int]:
        """Partners with a CA that counts, or a helping intermediate, by a subject name (SHA-256 of its DER)."""
        found: set[int] = set()
        for part in chunks(subject_hashes):
            for query in (
                select(anchor.c.partner).where(anchor.c.subject_hash.in_(part), anchor.c.state.in_(_COUNTS)),
                select(intermediate.c.partner).where(intermediate.c.subject_hash.in_(part)),
            ):
                found |= set(self._connection.execute(query).scalars())
        return sorted(found)

    def plain_anchors_of(self, partner_ids: Iterable[int]) -> list[PlainAnchor]:
        """The CAs of these partners that the judge has to know."""
        found: list[PlainAnchor] = []
        for part in chunks(partner_ids):
            found += [_plain_anchor(one) for one in self._anchors(self._told().where(anchor.c.partner.in_(part)))]
        return found

    def plain_anchors(self, ids: Iterable[int]) -> list[PlainAnchor]:
        """Those CAs of `ids` that the judge has to know."""
        found: list[PlainAnchor] = []
        for part in chunks(ids):
            found += [_plain_anchor(one) for one in self._anchors(self._told().where(anchor.c.id.in_(part)))]
        return found

    def walk_anchors(self, size: int) -> Iterator[list[PlainAnchor]]:
        """All CAs that count, by id, in parts of at most `size`: not pending or retired ones, not of who is gone."""
        last = 0
        while found := self._anchors(self._told().where(anchor.c.id > last).order_by(anchor.c.id).limit(size)):
            yield [_plain_anchor(one) for one in found]
            last = found[-1].id

    def plain_members(self, keys: Iterable[tuple[int, str]]) -> list[PlainMember]:
        """Those clients inside partners that the judge has to know, of the partners and names in `keys`."""
        found: list[PlainMember] = []
        for part in chunks(keys, 200):
            found += self._plain_members(self._told_members().where(tuple_(member.c.partner, member.c.name).in_(part)))
        return found

    def walk_members(self, size: int) -> Iterator[list[PlainMember]]:
        """All clients inside partners that were approved and are not gone, in parts of at most `size`."""
        last: PlainMember | None = None
        query = self._told_members().order_by(member.c.partner, member.c.name).limit(size)
        while found := self._plain_members(
            query
            if last is None
            else query.where(
                or_(member.c.partner > last[0], and_(member.c.partner == last[0], member.c.name > last[1]))
            )
        ):
            yield found
            last = found[-1]

    def _plain_partners(self, which: Any) -> list[PlainPartner]:
        there = and_(which, partner.c.name_key.is_not(None))
        rows = self._connection.execute(
            select(partner.c.id, partner.c.name, partner.c.admits, partner.c.client, partner.c.state, partner.c.profile)
            .where(there)
            .order_by(partner.c.id)
        ).all()
        rules: dict[int, list[PlainRule]] = defaultdict(list)
        for row in self._connection.execute(
            select(name_rule.c.partner, name_rule.c.kind, name_rule.c.pattern, name_rule.c.anchor)
            .join(partner, partner.c.id == name_rule.c.partner)
            .where(there)
            .order_by(name_rule.c.id)
        ):
            rules[row[0]].append((row[1], row[2], row[3]))
        helpers: dict[int, list[bytes]] = defaultdict(list)
        for owner, certificate in self._connection.execute(
            select(intermediate.c.partner, intermediate.c.certificate)
            .join(partner, partner.c.id == intermediate.c.partner)
            .where(there)
            .order_by(intermediate.c.id)
        ):
            helpers[owner].append(certificate)
        suspended = str(PartnerState.SUSPENDED)
        return [
            (id, name, admits, owner, state == suspended, rules.get(id, []), helpers.get(id, []), profile)
            for id, name, admits, owner, state, profile in rows
        ]

    def _told(self) -> Select[Any]:
        return (
            select(anchor)
            .join(partner, partner.c.id == anchor.c.partner)
            .where(anchor.c.state.in_(_COUNTS), partner.c.name_key.is_not(None))
        )

    def _told_members(self) -> Select[Any]:
        return (
            select(member.c.partner, member.c.name, member.c.client)
            .join(partner, partner.c.id == member.c.partner)
            .join(client, client.c.id == member.c.client)
            .where(
                partner.c.name_key.is_not(None),
                member.c.state == str(MemberState.ACTIVE),
                client.c.name_key.is_not(None),
            )
        )

    def _plain_members(self, query: Select[Any]) -> list[PlainMember]:
        return [(id, name, owner) for id, name, owner in self._connection.execute(query)]

    # Rows

    def _partners(self, query: Select[Any]) -> list[Partner]:
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
            for row in self._connection.execute(query)
        ]

    def _anchors(self, query: Select[Any]) -> list[Anchor]:
        return [_anchor(row) for row in self._connection.execute(query)]

    def _members(self, query: Select[Any]) -> list[Member]:
        return [
            Member(row.partner, row.name, row.client, MemberState(row.state), row.created)
            for row in self._connection.execute(query)
        ]


def invited(connection: Connection, partner_id: int, client_id: int | None = None) -> list[int]:
    """The clients that the partner's administrators invited, or this one if they did."""
    query = select(invitation.c.client).where(invitation.c.partner == partner_id).distinct()
    if client_id is not None:
        query = query.where(invitation.c.client == client_id)
    return list(connection.execute(query).scalars())


def member_key(partner_id: int, name: str) -> str:
    """The member's key in the change feed."""
    return f"{partner_id}:{name}"


def parse_member_key(text: str) -> tuple[int, str]:
    """Partner and name of a key in the change feed."""
    partner_id, _, name = text.partition(":")
    return int(partner_id), name


def _anchor_values(one: Anchor) -> dict[str, Any]:
    return {
        "partner": one.partner,
        "certificate": one.certificate,
        "spki": one.spki,
        "subject": one.subject,
        "state": str(one.state),
        "shared": int(one.shared),
        "depth": one.depth,
        "sub_cas": ",".join(key.hex() for key in one.sub_cas),
        "environment": one.environment,
        "not_before": one.not_before,
        "not_after": one.not_after,
        "expired_grace_seconds": int(one.expired_grace.total_seconds()),
        "retire_at": one.retire_at,
        "created": one.created,
        "activated": one.activated,
        "challenge": one.challenge,
        "challenge_expires": one.challenge_expires,
        "approval": int(one.approval),
        "revocation": str(one.revocation),
        "grace_seconds": int(one.grace.total_seconds()),
        "leaf_limit_seconds": int(one.leaf_limit.total_seconds()),
        "policy": one.policy,
        "hold": int(one.hold),
    }


def _anchor(row: Row[Any]) -> Anchor:
    return Anchor(
        id=row.id,
        partner=row.partner,
        certificate=row.certificate,
        spki=row.spki,
        subject=row.subject,
        state=AnchorState(row.state),
        shared=bool(row.shared),
        depth=row.depth,
        sub_cas=tuple(bytes.fromhex(key) for key in row.sub_cas.split(",") if key),
        environment=row.environment,
        not_before=row.not_before,
        not_after=row.not_after,
        expired_grace=timedelta(seconds=row.expired_grace_seconds),
        retire_at=row.retire_at,
        created=row.created,
        activated=row.activated,
        challenge=row.challenge,
        challenge_expires=row.challenge_expires,
        approval=bool(row.approval),
        revocation=RevocationMode(row.revocation),
        grace=timedelta(seconds=row.grace_seconds),
        leaf_limit=timedelta(seconds=row.leaf_limit_seconds),
        policy=row.policy,
        hold=bool(row.hold),
    )


def _plain_anchor(one: Anchor) -> PlainAnchor:
    return (
        one.id,
        one.partner,
        one.certificate,
        _seconds(one.not_before),
        _seconds(one.last_moment),
        one.shared,
        one.depth,
        list(one.sub_cas),
        one.environment,
        str(one.revocation),
        int(one.grace.total_seconds()),
        int(one.leaf_limit.total_seconds()),
        one.policy,
        one.hold,
    )


def _seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)
