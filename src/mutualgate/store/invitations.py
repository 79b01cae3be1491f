"""Invitations in the store. What opens one is here as a hash only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from mutualgate.model.change import ChangeKind
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.pin import PinKind
from mutualgate.store.changes import Changes
from mutualgate.store.schema import invitation, seen
from mutualgate.store.select import chunks

_MOST_PEER = 64
"""Characters, as the column."""

_UNUSED = (InvitationState.OPEN, InvitationState.WAITING)


@dataclass(frozen=True, slots=True)
class Hashes:
    """Of what opens an invitation."""

    token: bytes
    code: bytes | None
    factor: bytes | None


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """A row that is to be."""

    client: int
    hashes: Hashes
    ways: tuple[Way, ...]
    validity: timedelta | None
    approval: bool
    by: str
    created: datetime
    expires: datetime
    sent_to: str
    replaces_pin: int | None = None
    partner: int | None = None


class Invitations:
    """Finds and keeps invitations. Knows no rule about who may use one."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(self, new: NewInvitation) -> Invitation:
        """Adds one, open."""
        result = self._connection.execute(insert(invitation).values(**_values(new)))
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        found = self.get(id)
        assert found is not None  # noqa: S101 - inserted above, in this transaction
        return found

    def add_many(self, new: Sequence[NewInvitation]) -> None:
        """Adds many, open, in one statement."""
        if new:
            self._connection.execute(insert(invitation), [_values(one) for one in new])

    def get(self, id: int) -> Invitation | None:
        """The one with this id."""
        return self._one(self._query().where(invitation.c.id == id))

    def with_token(self, token_hash: bytes) -> Invitation | None:
        """The one that this opens."""
        return self._one(self._query().where(invitation.c.token_hash == token_hash))

    def with_code(self, code_hash: bytes) -> Invitation | None:
        """The one that this opens."""
        return self._one(self._query().where(invitation.c.code_hash == code_hash))

    def tokens_known(self, token_hashes: Iterable[bytes]) -> set[bytes]:
        """Those of the hashes that belong to an invitation."""

        known: set[bytes] = set()
        for part in chunks(token_hashes):
            rows = self._connection.execute(select(invitation.c.token_hash).where(invitation.c.token_hash.in_(part)))
            known.update(row.token_hash for row in rows)
        return known

    def factor(self, id: int) -> tuple[bytes, bytes] | None:
        """The hash of its second factor and the hash of its token, which is the salt; None where it has none."""
        row = self._connection.execute(
            select(invitation.c.factor_hash, invitation.c.token_hash).where(invitation.c.id == id)
        ).first()
        return None if row is None or row.factor_hash is None else (row.factor_hash, row.token_hash)

    def submitted(self, id: int) -> bytes | None:
        """What was handed in: a CSR or a certificate, DER."""
        return self._connection.execute(
            select(invitation.c.submitted).where(invitation.c.id == id)
        ).scalar_one_or_none()

    def of_client(self, id: int) -> list[Invitation]:
        """A client's, oldest first."""
        return self._read(self._query().where(invitation.c.client == id).order_by(invitation.c.id))

    def page(
        self,
        *,
        state: InvitationState | None = None,
        client: int | None = None,
        expired: bool | None = None,
        now: datetime,
        before: int | None = None,
        limit: int = 100,
        partner: int | None = None,
    ) -> list[Invitation]:
        """At most `limit`, newest first, those before the id `before`; `expired`: those whose time is over, or not."""
        query = self._filtered(self._query(), state, client, expired, now, partner)
        if before is not None:
            query = query.where(invitation.c.id < before)
        return self._read(query.order_by(invitation.c.id.desc()).limit(limit))

    def count(
        self,
        *,
        state: InvitationState | None = None,
        client: int | None = None,
        expired: bool | None = None,
        now: datetime,
        partner: int | None = None,
    ) -> int:
        """How many `page` would find without a limit."""
        query = self._filtered(select(func.count()).select_from(invitation), state, client, expired, now, partner)
        return int(self._connection.execute(query).scalar_one())

    def set(self, id: int, values: Mapping[str, Any]) -> None:
        """Changes columns; states as `InvitationState`, ways as `Way`."""
        plain = {
            name: str(value) if isinstance(value, InvitationState | Way | PinKind) else value
            for name, value in values.items()
        }
        if "peer" in plain:
            plain["peer"] = str(plain["peer"])[:_MOST_PEER]
        self._connection.execute(update(invitation).where(invitation.c.id == id).values(**plain))
        if values.get("state") is InvitationState.USED:
            self._note_guest(id)

    def _note_guest(self, id: int) -> None:
        """Whoever came in by a partner's administrator goes out with the partner: the judge hears of it."""
        query = select(invitation.c.client).where(invitation.c.id == id, invitation.c.partner.is_not(None))
        guest = self._connection.execute(query).scalar_one_or_none()
        if guest is not None:
            self._changes.note(ChangeKind.CLIENT, guest)

    def reopen(self, id: int, hashes: Hashes, expires: datetime) -> None:
        """Opens it anew, by other secrets: the old ones open nothing."""
        self.set(
            id,
            {
                **_hash_values(hashes),
                "state": InvitationState.OPEN,
                "expires": expires,
                "wrong_factors": 0,
                "closed": None,
            },
        )

    def end_of_client(self, id: int, at: datetime) -> list[int]:
        """Revokes what is unused of a client; the ids."""
        ids = [
            row.id
            for row in self._connection.execute(
                select(invitation.c.id).where(
                    invitation.c.client == id, invitation.c.state.in_([str(state) for state in _UNUSED])
                )
            )
        ]
        for one in ids:
            self.set(one, {"state": InvitationState.REVOKED, "closed": at})
        return ids

    def seen(self, client: int, *, fingerprint: bytes | None, spki: bytes | None) -> datetime | None:
        """When the gate first admitted this certificate, or any with this key, as the client's."""
        which = seen.c.fingerprint == fingerprint if fingerprint is not None else seen.c.spki == spki
        return self._connection.execute(
            select(func.min(seen.c.admitted_at)).where(which, seen.c.client == client)
        ).scalar_one_or_none()

    def _filtered(
        self,
        query: Select[Any],
        state: InvitationState | None,
        client_id: int | None,
        expired: bool | None,
        now: datetime,
        partner: int | None,
    ) -> Select[Any]:
        if partner is not None:
            query = query.where(invitation.c.partner == partner)
        if state is not None:
            query = query.where(invitation.c.state == str(state))
        if client_id is not None:
            query = query.where(invitation.c.client == client_id)
        if expired is True:
            query = query.where(invitation.c.expires <= now)
        elif expired is False:
            query = query.where(invitation.c.expires > now)
        return query

    def _query(self) -> Select[Any]:
        return select(invitation)

    def _one(self, query: Select[Any]) -> Invitation | None:
        return next(iter(self._read(query)), None)

    def _read(self, query: Select[Any]) -> list[Invitation]:
        return [_invitation(row) for row in self._connection.execute(query)]


def _hash_values(hashes: Hashes) -> dict[str, bytes | None]:
    return {"token_hash": hashes.token, "code_hash": hashes.code, "factor_hash": hashes.factor}


def _values(new: NewInvitation) -> dict[str, Any]:
    return {
        "client": new.client,
        **_hash_values(new.hashes),
        "ways": ",".join(new.ways),
        "validity_seconds": None if new.validity is None else int(new.validity.total_seconds()),
        "approval": int(new.approval),
        "state": str(InvitationState.OPEN),
        "by": new.by,
        "created": new.created,
        "expires": new.expires,
        "sent_to": new.sent_to,
        "wrong_factors": 0,
        "peer": "",
        "replaces_pin": new.replaces_pin,
        "partner": new.partner,
    }


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(
        id=row.id,
        client=row.client,
        ways=tuple(Way(word) for word in row.ways.split(",") if word),
        validity=None if row.validity_seconds is None else timedelta(seconds=row.validity_seconds),
        approval=bool(row.approval),
        has_factor=row.factor_hash is not None,
        state=InvitationState(row.state),
        by=row.by,
        created=row.created,
        expires=row.expires,
        sent_to=row.sent_to,
        wrong_factors=row.wrong_factors,
        way=None if row.way is None else Way(row.way),
        peer=row.peer,
        closed=row.closed,
        credential=row.credential,
        pin=row.pin,
        pin_kind=None if row.pin_kind is None else PinKind(row.pin_kind),
        replaces_pin=row.replaces_pin,
        partner=row.partner,
    )
