"""Partners' CAs in the store, and the CAs that were seen below them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from mutualgate.model.change import ChangeKind
from mutualgate.model.partner import Anchor, AnchorState, RevocationMode, SeenCa
from mutualgate.store.changes import Changes
from mutualgate.store.schema import anchor, partner, seen_ca
from mutualgate.store.select import chunks
from mutualgate.store.types import EPOCH

PlainAnchor = tuple[int, int, bytes, int, int, bool, int, list[bytes], str, str, int, int, str, bool, bool]
"""Id, partner, certificate, from and until in Unix seconds, shared, depth, keys of CAs below it, environment,
revocation, seconds of grace, seconds that a leaf may live, certificate policy, whether new CAs below it wait, and
whether it was retired."""

COUNTS = (str(AnchorState.ACTIVE), str(AnchorState.RETIRING))
"""The states in which a CA counts."""
_ELSE = tuple(str(one) for one in AnchorState if one not in COUNTS)
"""For what goes along another index than that of states: nearly all CAs count."""


class Anchors:
    """Finds and keeps partners' CAs. Knows no rule of what may be claimed."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(self, claim: Anchor, subject_hash: bytes) -> Anchor:
        """Adds a CA; takes the row of a retired one of the same partner and key. The id of `claim` is not looked at."""
        values = {**_anchor_values(claim), "subject_hash": subject_hash}
        before = self.of_key(claim.partner, claim.spki)
        if before is not None:
            id = before.id
            self._connection.execute(update(anchor).where(anchor.c.id == id).values(**values))
        else:
            result = self._connection.execute(insert(anchor).values(**values))
            id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        self._changes.note(ChangeKind.ANCHOR, id)
        return replace(claim, id=id)

    def set(self, wanted: Anchor) -> None:
        """Writes all of a CA but its id."""
        self._connection.execute(update(anchor).where(anchor.c.id == wanted.id).values(**_anchor_values(wanted)))
        self._changes.note(ChangeKind.ANCHOR, wanted.id)

    def get(self, id: int) -> Anchor | None:
        """The CA with this id."""
        return next(iter(self._read(select(anchor).where(anchor.c.id == id))), None)

    def of_key(self, partner_id: int, spki: bytes) -> Anchor | None:
        """The partner's CA of this key, a retired one too."""
        query = select(anchor).where(anchor.c.partner == partner_id, anchor.c.spki == spki)
        return next(iter(self._read(query)), None)

    def of_partner(self, partner_id: int) -> list[Anchor]:
        """A partner's CAs, oldest first, retired ones too."""
        return self._read(select(anchor).where(anchor.c.partner == partner_id).order_by(anchor.c.id))

    def with_key(self, spki: bytes) -> list[Anchor]:
        """The CAs of this key, whosever, oldest first, retired ones too."""
        return self._with_keys([spki])

    def standing(self, spki: bytes, now: datetime) -> list[Anchor]:
        """As `with_key`, of those that are not retired by `now`, written down or not."""
        return self.all_standing([spki], now)

    def all_standing(self, spkis: Iterable[bytes], now: datetime) -> list[Anchor]:
        """As `standing`, of any of these keys."""
        return [one for one in self._with_keys(spkis) if one.state_at(now) is not AnchorState.RETIRED]

    def _with_keys(self, spkis: Iterable[bytes]) -> list[Anchor]:
        parts = (select(anchor).where(anchor.c.spki.in_(part)).order_by(anchor.c.id) for part in chunks(spkis))
        return [one for query in parts for one in self._read(query)]

    def with_subject(self, subject_hash: bytes) -> list[Anchor]:
        """The CAs of this subject name that are not retired."""
        query = select(anchor).where(anchor.c.subject_hash == subject_hash, anchor.c.state != str(AnchorState.RETIRED))
        return self._read(query.order_by(anchor.c.id))

    def retired_with_subject(self, subject_hash: bytes) -> list[Anchor]:
        """Those of this subject name that counted once and are retired."""
        retired = (anchor.c.state == str(AnchorState.RETIRED), anchor.c.activated.is_not(None))
        query = select(anchor).where(anchor.c.subject_hash == subject_hash, *retired)
        return self._read(query.order_by(anchor.c.id))

    def claim_of(self, challenge: str) -> Anchor | None:
        """The claim that a certificate with this code proves."""
        pending = (anchor.c.state == str(AnchorState.PENDING), anchor.c.challenge == challenge)
        return next(iter(self._read(select(anchor).where(*pending))), None)

    def pending(self) -> list[Anchor]:
        """Claims that are not proved, oldest first."""
        return self._read(select(anchor).where(anchor.c.state == str(AnchorState.PENDING)).order_by(anchor.c.id))

    def counting(self, ids: Iterable[int]) -> list[Anchor]:
        """Of the CAs with these ids, those that count or may still count."""
        found: list[Anchor] = []
        for part in chunks(ids):
            found += self._read(select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.id.in_(part)))
        return found

    def beside_ending(self, until: datetime) -> list[Anchor]:
        """The CAs that count of partners of which one ends before `until`, by id: its successor is among them."""
        ending = select(anchor.c.partner).where(anchor.c.state.not_in(_ELSE), anchor.c.not_after < until)
        leaving = select(anchor.c.partner).where(anchor.c.state == str(AnchorState.RETIRING))
        owners = ending.union(leaving)
        query = select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.partner.in_(owners))
        return self._read(query.order_by(anchor.c.id))

    def asked(self, also: Iterable[int]) -> list[Anchor]:
        """Of the CAs that count, those that are asked about revocation, and of the rest those in `also`; by id."""
        modes = [str(one) for one in RevocationMode if one is not RevocationMode.IGNORE]
        query = select(anchor).where(anchor.c.state.not_in(_ELSE), anchor.c.revocation.in_(modes))
        found = self._read(query)
        found += self.counting(set(also) - {one.id for one in found})
        return sorted(found, key=lambda one: one.id)

    def add_seen(self, one: SeenCa) -> None:
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

    def seen_below(self, anchor_ids: Iterable[int]) -> list[SeenCa]:
        """Those that were seen below these CAs, in the order in which they came."""
        found: list[SeenCa] = []
        for part in chunks(anchor_ids):
            query = select(seen_ca).where(seen_ca.c.anchor.in_(part)).order_by(seen_ca.c.first_at, seen_ca.c.spki)
            found += [SeenCa(*row) for row in self._connection.execute(query)]
        return found

    def holding(self) -> list[Anchor]:
        """The CAs that count and below which new ones wait, by id."""
        query = select(anchor).where(anchor.c.state.in_(COUNTS), anchor.c.hold != 0)
        return self._read(query.order_by(anchor.c.id))

    # For the judge

    def plain_of(self, partner_ids: Iterable[int]) -> list[PlainAnchor]:
        """The CAs of these partners that the judge has to know."""
        found: list[PlainAnchor] = []
        for part in chunks(partner_ids):
            found += [_plain_anchor(one) for one in self._read(self._told().where(anchor.c.partner.in_(part)))]
        return found

    def plain(self, ids: Iterable[int]) -> list[PlainAnchor]:
        """Those CAs of `ids` that the judge has to know."""
        found: list[PlainAnchor] = []
        for part in chunks(ids):
            found += [_plain_anchor(one) for one in self._read(self._told().where(anchor.c.id.in_(part)))]
        return found

    def walk(self, size: int) -> Iterator[list[PlainAnchor]]:
        """All CAs that count or did, by id, in parts of at most `size`: not mere claims, not of who is gone."""
        last = 0
        while found := self._read(self._told().where(anchor.c.id > last).order_by(anchor.c.id).limit(size)):
            yield [_plain_anchor(one) for one in found]
            last = found[-1].id

    def _told(self) -> Select[Any]:
        return (
            select(anchor)
            .join(partner, partner.c.id == anchor.c.partner)
            .where(anchor.c.activated.is_not(None), partner.c.name_key.is_not(None))
        )

    def _read(self, query: Select[Any]) -> list[Anchor]:
        return [_anchor(row) for row in self._connection.execute(query)]


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
        one.state not in COUNTS,
    )


def _seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)
