"""What ends soon and has no successor. Each query goes along an index of ends, however many clients there are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Connection,
    Select,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.model.invitation import InvitationState
from mutualgate.model.pin import PinState
from mutualgate.store.schema import client, credential, invitation, pin, revocation, seen, told
from mutualgate.store.select import chunks
from mutualgate.store.types import EPOCH

_INSTANT = timedelta(microseconds=1)
_SECOND, _DAY = 1_000_000, 86_400_000_000
"""Of moments as the database has them."""
Window = tuple[datetime, datetime]
"""From and until, the second not included."""
Query = Select[Any] | CompoundSelect[Any]


class ExpiringRows:
    """Finds what ends, and remembers of what somebody was told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, kind: ExpiryKind, window: Window, limit: int) -> list[Expiring]:
        """At most `limit` of a kind that is in tables of its own, the next to end first."""
        return self._read(kind, _QUERIES[kind](window).order_by("ends").limit(limit))

    def untold(self, kind: ExpiryKind, now: datetime, days: Sequence[int], limit: int) -> list[Expiring]:
        """As `find`, of what came nearer than one of these numbers of days: where that is not more than half of its
        life, and nobody was told of it at the nearest one, or later."""
        found = _QUERIES[kind]((now + _INSTANT, now + timedelta(days=max(days)) + _INSTANT)).subquery()
        ends, begins = (type_coerce(one, BigInteger) for one in (found.c.ends, found.c.begins))
        left = ends - (now - EPOCH) // _INSTANT
        nearest = case(*((left <= number * _DAY, number) for number in sorted(days)))
        item = literal(f"{kind}:") + cast(found.c.key, Text) + ":" + cast(ends // _SECOND, Text)
        query = select(found).where(
            ends - begins >= 2 * _DAY * nearest, ~exists().where(told.c.item == item, told.c.days <= nearest)
        )
        return self._read(kind, query.order_by(found.c.ends).limit(limit))

    def _read(self, kind: ExpiryKind, query: Query) -> list[Expiring]:
        return [
            Expiring(
                kind=kind,
                key=str(row.key),
                name=row.name,
                ends=row.ends,
                begins=row.begins,
                client=row.client,
                contact=row.contact or "",
                detail=row.detail,
            )
            for row in self._connection.execute(query)
        ]

    def count(self, kind: ExpiryKind, window: Window, ends: Sequence[datetime]) -> tuple[datetime | None, list[int]]:
        """The next to end within the window, and how many end before each of `ends`."""
        found = _QUERIES[kind](window).subquery()
        columns = [func.count().filter(found.c.ends < end) for end in ends]
        row = self._connection.execute(select(func.min(found.c.ends), *columns)).one()
        return row[0], [int(number) for number in row[1:]]

    # What was told

    def told(self, items: Iterable[str]) -> dict[str, int]:
        """Of which of these somebody was told, and how many days before the end the last time."""
        found: dict[str, int] = {}
        for part in chunks(items):
            rows = self._connection.execute(select(told.c.item, told.c.days).where(told.c.item.in_(part)))
            found |= {row.item: row.days for row in rows}
        return found

    def tell(self, item: str, days: int, at: datetime) -> None:
        """Somebody is told now."""
        changed = self._connection.execute(update(told).where(told.c.item == item).values(days=days, at=at))
        if changed.rowcount == 0:
            self._connection.execute(insert(told).values(item=item, days=days, at=at))

    def forget(self, before: datetime) -> None:
        """What was told before then is long over."""
        self._connection.execute(delete(told).where(told.c.at < before))


def _within(column: Any, window: Window) -> ColumnElement[bool]:
    return and_(column >= window[0], column < window[1])


def _in_force(one: Any) -> ColumnElement[bool]:
    """Nobody revoked the credential `one`, nor holds it back."""
    return ~exists().where(revocation.c.authority == one.c.authority, revocation.c.serial == one.c.serial)


def _credentials(window: Window) -> CompoundSelect[Any]:
    """Those in force that no other in force renews, and no later one of the client for the same key.

    One that was renewed ends with its overlap, and matters where what renewed it was revoked. Each of the two ends has
    an index of its own.
    """
    later = credential.alias("later")
    # Kept from the index of this: nearly all of them have none.
    overlap = func.coalesce(type_coerce(credential.c.superseded, BigInteger), credential.c.not_after)
    whole = _within(credential.c.not_after, window), overlap >= credential.c.not_after
    cut = _within(credential.c.superseded, window), credential.c.superseded < credential.c.not_after
    return union_all(
        *(
            select(
                credential.c.id.label("key"),
                client.c.name.label("name"),
                end.label("ends"),
                credential.c.not_before.label("begins"),
                client.c.id.label("client"),
                client.c.contact.label("contact"),
                credential.c.origin.label("detail"),
            )
            .join(client, client.c.id == credential.c.client)
            .where(
                *ends_then,
                client.c.name_key.is_not(None),
                _in_force(credential),
                ~exists().where(later.c.replaces == credential.c.id, _in_force(later)),
                ~exists().where(
                    later.c.spki == credential.c.spki,
                    later.c.client == credential.c.client,
                    later.c.not_after > credential.c.not_after,
                    _in_force(later),
                ),
            )
            for end, ends_then in ((credential.c.not_after, whole), (credential.c.superseded, cut))
        )
    )


def _pins(window: Window) -> Select[Any]:
    later = pin.alias("later")
    active = str(PinState.ACTIVE)
    return (
        select(
            pin.c.id.label("key"),
            client.c.name.label("name"),
            pin.c.not_after.label("ends"),
            pin.c.created.label("begins"),
            client.c.id.label("client"),
            client.c.contact.label("contact"),
            pin.c.subject.label("detail"),
        )
        .join(client, client.c.id == pin.c.client)
        .where(
            _within(pin.c.not_after, window),
            pin.c.state == active,
            pin.c.retired.is_(None),
            client.c.name_key.is_not(None),
            ~exists().where(
                later.c.client == pin.c.client,
                later.c.state == active,
                later.c.not_after > pin.c.not_after,
                or_(later.c.replaces == pin.c.id, later.c.spki == pin.c.spki),
            ),
            ~exists().where(
                credential.c.client == pin.c.client, credential.c.replaces_pin == pin.c.id, _in_force(credential)
            ),
        )
    )


def _partner_certificates(window: Window) -> Select[Any]:
    """Known by their subject within a client: that is how the next one of the same holder is told."""
    later = seen.alias("later")
    return (
        select(
            func.lower(func.hex(seen.c.fingerprint)).label("key"),
            client.c.name.label("name"),
            seen.c.not_after.label("ends"),
            seen.c.first_at.label("begins"),
            client.c.id.label("client"),
            client.c.contact.label("contact"),
            seen.c.subject.label("detail"),
        )
        .join(client, client.c.id == seen.c.client)
        .where(
            _within(seen.c.not_after, window),
            seen.c.reason == "",
            seen.c.credential.startswith("partner"),
            client.c.name_key.is_not(None),
            ~exists().where(
                later.c.client == seen.c.client,
                later.c.subject == seen.c.subject,
                later.c.reason == "",
                later.c.not_after > seen.c.not_after,
            ),
        )
    )


def _invitations(window: Window) -> Select[Any]:
    return (
        select(
            invitation.c.id.label("key"),
            client.c.name.label("name"),
            invitation.c.expires.label("ends"),
            invitation.c.created.label("begins"),
            client.c.id.label("client"),
            client.c.contact.label("contact"),
            invitation.c.sent_to.label("detail"),
        )
        .join(client, client.c.id == invitation.c.client)
        .where(_within(invitation.c.expires, window), func.lower(invitation.c.state) == str(InvitationState.OPEN))
    )


_QUERIES: Mapping[ExpiryKind, Callable[[Window], Query]] = {
    ExpiryKind.CREDENTIAL: _credentials,
    ExpiryKind.PIN: _pins,
    ExpiryKind.PARTNER_CERTIFICATE: _partner_certificates,
    ExpiryKind.INVITATION: _invitations,
}
