"""Certificates that were shown to the gate, each once."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, literal, or_, select, update

from mutualgate.model.sighting import Sighting
from mutualgate.store.schema import anchor, intermediate, member, seen, seen_name
from mutualgate.store.select import Values, among, chunks, plain_parts, plain_rows
from mutualgate.store.types import microseconds

KEPT_OF_CLIENTS = 80_000
KEPT_OF_STRANGERS = 20_000
"""Rows. Strangers cause theirs, so they have an end of their own: they push out nothing of a client's."""

_SHORT, _LONG = 255, 1_000
"""Characters kept of texts that strangers choose."""

SOUGHT = 25_000
"""For more, it is quicker to read all that are kept."""

COLLECTED = 5_000
"""Of a partner with more certificates, it is quicker to look for those that are wanted among all that were seen."""

UNKNOWN_NAME = b""
"""Above a chain in which no name can be read: it may concern everybody."""

PlainSeen = tuple[bytes, bytes, bytes | None, str, str, int | None, str, int, str]
"""Fingerprint, certificates one after the other, whose key signed the first, site, path, client, subject, when it was
last shown in microseconds since 1970, and from where."""

_PLAIN = (
    *(seen.c.fingerprint, seen.c.chain, seen.c.signer, seen.c.site, seen.c.path),
    *(seen.c.client, seen.c.subject, seen.c.last_at, seen.c.peer),
)


class Seen:
    """Keeps the newest, forgets the oldest."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_many(self, sightings: Iterable[Sighting]) -> None:
        """Adds them, oldest first; one that is there already is brought up to date."""
        strangers = clients = False
        for one in sightings:
            before = self.find(one.fingerprint)
            if before is None:
                self._connection.execute(insert(seen), {"fingerprint": one.fingerprint, **_values(one)})
                self._add_names(one)
                strangers |= one.client is None
                clients |= one.client is not None
            else:
                after = _values(_together(before, one))
                self._connection.execute(update(seen).where(seen.c.fingerprint == one.fingerprint).values(**after))
                if one.chain and one.chain != before.chain:
                    self._connection.execute(delete(seen_name).where(seen_name.c.fingerprint == one.fingerprint))
                    self._add_names(one)
                clients |= before.client is None and one.client is not None
        if strangers:
            self._forget(seen.c.client.is_(None), KEPT_OF_STRANGERS)
        if clients:
            self._forget(seen.c.client.is_not(None), KEPT_OF_CLIENTS)

    def find(self, fingerprint: bytes) -> Sighting | None:
        """The one with this SHA-256 of its certificate."""
        row = self._connection.execute(select(seen).where(seen.c.fingerprint == fingerprint)).first()
        return None if row is None else _sighting(row)

    def since(self, at: datetime) -> Iterator[Sighting]:
        """Those that were shown since then, the newest first."""
        query = select(seen).where(seen.c.last_at >= at).order_by(seen.c.last_at.desc())
        for row in self._connection.execute(query):
            yield _sighting(row)

    def counts(self, since: datetime) -> tuple[int, int]:
        """How many were shown since then, and of how many clients they were."""
        lately = seen.c.last_at >= since
        # All of a table are counted at once, but those of a time one by one: mostly fewer are from before it.
        every = select(func.count()).select_from(seen)
        older = every.where(seen.c.last_at < since).scalar_subquery()
        certificates = self._connection.execute(select(every.scalar_subquery() - older)).scalar_one()
        # Not COUNT(DISTINCT ...): SQLite would sort all of them for that.
        different = select(seen.c.client).distinct().where(lately, seen.c.client.is_not(None)).subquery()
        clients = self._connection.execute(select(func.count()).select_from(different)).scalar_one()
        return int(certificates), int(clients)

    def showed_none(self, clients: Collection[int], since: datetime) -> set[int]:
        """Those of these clients of whom none was shown since then."""
        theirs = select(seen.c.client).distinct().where(among(seen.c.client), seen.c.last_at >= since)
        return set(clients) - {id for (id,) in plain_rows(self._connection, theirs, clients)}

    def concerned(
        self, digests: Collection[bytes], names: Collection[bytes], limit: int | None = None
    ) -> set[bytes] | None:
        """The certificates (SHA-256) that were shown, by these hashes or by that of its key, or by a name above it, and
        all those whose names are not known. `None` for more than `limit` of them."""
        wanted = set[bytes]()
        for query, values in ways_to(digests, names, None if limit is None else limit + 1):
            wanted.update(fingerprint for (fingerprint,) in plain_rows(self._connection, query, values))
            if limit is not None and len(wanted) > limit:
                return None
        return wanted

    def shown(self, since: datetime, fingerprints: Collection[bytes] | None, size: int) -> Iterator[list[PlainSeen]]:
        """Those of `fingerprints`, or all, that were shown since then, in parts of at most `size`: plain values, for
        many are walked."""
        query = select(*_PLAIN)
        if fingerprints is not None and len(fingerprints) <= SOUGHT:
            query = query.where(seen.c.last_at >= since, among(seen.c.fingerprint))
            yield from plain_parts(self._connection, query, size, fingerprints)
            return
        # As they lie in the file, and told apart here: by an index each of them would be sought.
        begin = microseconds(since)
        for rows in plain_parts(self._connection, query, size):
            lately = [row for row in rows if row[7] >= begin and (fingerprints is None or row[0] in fingerprints)]
            if lately:
                yield lately

    def partners_names_above(self, digests: Collection[bytes], names: Collection[bytes]) -> set[bytes]:
        """The names above what is `concerned`, as far as a CA of a partner's has them; and `UNKNOWN_NAME`, where one
        has that."""
        name = seen_name.c.name
        theirs = [exists().where(table.c.subject_hash == name) for table in (anchor, intermediate)]
        known = or_(name == UNKNOWN_NAME, *theirs)
        query = select(name).distinct().where(known)
        return {
            name
            for those, values in ways_to(digests, names)
            for (name,) in plain_rows(self._connection, query.where(seen_name.c.fingerprint.in_(those)), values)
        }

    def vouched(self, since: datetime, reasons: Iterable[str], limit: int) -> list[Sighting]:
        """At most so many that were shown since then, the oldest first: under a partner's CA, or refused for one of
        these reasons."""
        under_partner = and_(seen.c.reason == "", seen.c.credential.startswith("partner"))
        query = select(seen).where(seen.c.last_at >= since, or_(under_partner, seen.c.reason.in_(list(reasons))))
        return [_sighting(row) for row in self._connection.execute(query.order_by(seen.c.last_at).limit(limit))]

    def of_client(self, id: int) -> list[Sighting]:
        """A client's, the newest first."""
        query = select(seen).where(seen.c.client == id).order_by(seen.c.last_at.desc())
        return [_sighting(row) for row in self._connection.execute(query)]

    def ending(self, partner_id: int, own_client: int, after: datetime, limit: int) -> Iterator[Sighting]:
        """Admitted ones of a partner's clients, its own client among them, that end after then, the next first."""
        members = select(member.c.client).where(member.c.partner == partner_id)
        own = select(literal(own_client))
        certificates = members.join(seen, seen.c.client == member.c.client)
        if self._connection.execute(_more_than(COLLECTED, certificates)).scalar_one():
            # Each in the order of their ends is asked whether it is theirs: many are, so the first ones are soon found.
            theirs = or_(seen.c.client == own_client, members.where(member.c.client == seen.c.client).exists())
        else:
            theirs = seen.c.client.in_(members.union(own))
        query = select(seen).where(theirs, seen.c.reason == "", seen.c.not_after > after)
        for row in self._connection.execute(query.order_by(seen.c.not_after).limit(limit)):
            yield _sighting(row)

    def first_of_client(self, id: int) -> datetime | None:
        """When one of a client's was first admitted."""
        query = select(func.min(seen.c.admitted_at)).where(seen.c.client == id)
        found: datetime | None = self._connection.execute(query).scalar_one_or_none()
        return found

    def _add_names(self, one: Sighting) -> None:
        rows = [{"name": name, "fingerprint": one.fingerprint} for name in one.names or (UNKNOWN_NAME,)]
        self._connection.execute(insert(seen_name), rows)

    def _forget(self, which: Any, kept: int) -> None:
        number = self._connection.execute(select(func.count()).select_from(seen).where(which)).scalar_one()
        if number <= kept:
            return
        oldest = select(seen.c.fingerprint).where(which).order_by(seen.c.last_at, seen.c.fingerprint)
        doomed = self._connection.execute(oldest.limit(number - kept)).scalars().all()
        for part in chunks(doomed):
            self._connection.execute(delete(seen).where(seen.c.fingerprint.in_(part)))
            self._connection.execute(delete(seen_name).where(seen_name.c.fingerprint.in_(part)))


def _more_than(number: int, of: Select[Any]) -> Select[Any]:
    return select(func.count() > number).select_from(of.limit(number + 1).subquery())


def _together(before: Sighting, now: Sighting) -> Sighting:
    """What is known of a certificate that was there already. Who it was last known to be is kept: a change of trust
    that keeps it out is measured by that."""
    same = now.client in (None, before.client)
    return Sighting(
        fingerprint=now.fingerprint,
        chain=now.chain or before.chain,
        site=now.site,
        path=now.path or before.path,
        first_at=before.first_at,
        last_at=max(before.last_at, now.last_at),
        count=before.count + now.count,
        reason=now.reason,
        peer=now.peer,
        spki=before.spki or now.spki,
        client=before.client if now.client is None else now.client,
        evidence=now.evidence or (before.evidence if same else ""),
        subject=before.subject or now.subject,
        not_after=before.not_after or now.not_after,
        admitted_at=(before.admitted_at or now.admitted_at) if same else now.admitted_at,
        signer=now.signer or before.signer,
    )


def _values(one: Sighting) -> dict[str, Any]:
    return {
        "spki": one.spki,
        "chain": b"".join(one.chain),
        "signer": one.signer,
        "site": one.site[:_SHORT],
        "path": one.path[:_LONG],
        "first_at": one.first_at,
        "last_at": one.last_at,
        "count": one.count,
        "admitted_at": one.admitted_at,
        "reason": one.reason[:32],
        "client": one.client,
        "credential": one.evidence[:32],
        "subject": one.subject[:_LONG],
        "not_after": one.not_after,
        "peer": one.peer[:64],
    }


def _sighting(row: Row[Any]) -> Sighting:
    return Sighting(
        fingerprint=row.fingerprint,
        chain=split(row.chain),
        site=row.site,
        path=row.path,
        first_at=row.first_at,
        last_at=row.last_at,
        count=row._mapping["count"],
        reason=row.reason,
        peer=row.peer,
        spki=row.spki,
        client=row.client,
        evidence=row.credential,
        subject=row.subject,
        not_after=row.not_after,
        admitted_at=row.admitted_at,
        signer=row.signer,
    )


@cache
def _ways(limit: int | None) -> list[Select[Any]]:
    ways: list[Select[Any]] = [
        select(seen.c.fingerprint).where(among(seen.c.fingerprint)),
        select(seen.c.fingerprint).where(among(seen.c.spki)),
        select(seen_name.c.fingerprint).where(among(seen_name.c.name)),
        select(seen_name.c.fingerprint).where(seen_name.c.name == UNKNOWN_NAME),
    ]
    return ways if limit is None else [one.limit(limit) for one in ways]


def ways_to(
    digests: Collection[bytes], names: Collection[bytes], limit: int | None = None
) -> list[tuple[Select[Any], Values | None]]:
    """The queries, each with its values and for at most `limit`, that find what is `concerned`: some of it more than
    once. Others ask by them, too, since all that is found is not to go to and fro for each."""
    return list(zip(_ways(limit), (digests, digests, names, None), strict=True))


def split(data: bytes) -> tuple[bytes, ...]:
    """Values in DER that stand one after the other; empty unless that is all that `data` is (X.690 8.1.3, 10.1)."""
    found = []
    while data:
        if len(data) < 2 or data[1] == 0x80 or data[1] > 0x84:
            return ()
        length, start = data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            return ()
        found.append(data[: start + length])
        data = data[start + length :]
    return tuple(found)
