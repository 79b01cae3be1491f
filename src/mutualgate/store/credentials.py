"""Credentials in the store: certificates of clients, and whose a key is."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, insert, select, update

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import Client
from mutualgate.model.credential import Credential, Origin
from mutualgate.model.pin import PinState
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import sqlite
from mutualgate.store.changes import Changes
from mutualgate.store.schema import certificate, client, credential, key_owner, pin, revocation
from mutualgate.store.seen import ways_to
from mutualgate.store.select import among, chunks, plain_rows
from mutualgate.store.types import EPOCH, microseconds

if TYPE_CHECKING:  # it needs cryptography, which commands that only read do not wait for
    from mutualgate.model.certificate import CertificateFacts

_WITH_REVOCATION = credential.outerjoin(
    revocation,
    and_(revocation.c.authority == credential.c.authority, revocation.c.serial == credential.c.serial),
)
_TOLD = (
    select(credential.c.fingerprint, credential.c.id, credential.c.client, credential.c.authority)
    .join(client, client.c.id == credential.c.client)
    .where(client.c.name_key.is_not(None))
)
"""What the judge is told of."""

# What is asked at nearly each change is made once: that takes longer than to ask it.

_ALL = select(credential, revocation.c.at.label("revoked_at"), revocation.c.reason.label("revoked_for")).select_from(
    _WITH_REVOCATION
)
_ONE = _ALL.where(credential.c.id == bindparam("id"))
_WITH_FINGERPRINT = _ALL.where(credential.c.fingerprint == bindparam("fingerprint"))
_OF_CLIENT = _ALL.where(credential.c.client == bindparam("client")).order_by(credential.c.id)
_DIGESTS_OF = select(credential.c.fingerprint).where(among(credential.c.client))
_TOLD_OF = _TOLD.where(among(credential.c.fingerprint))
_IDS = select(credential.c.fingerprint, credential.c.id).where(among(credential.c.fingerprint))
_OWNERS = select(key_owner.c.spki, key_owner.c.client).where(among(key_owner.c.spki))
_COMPROMISED = (
    select(key_owner.c.spki, key_owner.c.compromised).where(
        among(key_owner.c.spki), key_owner.c.compromised.is_not(None)
    ),
    select(credential.c.spki, revocation.c.at)
    .select_from(_WITH_REVOCATION)
    .where(among(credential.c.spki), revocation.c.reason == int(RevocationReason.keyCompromise)),
)


class Credentials:
    """Finds and keeps credentials. Knows that a key belongs to one client for good."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(
        self,
        owner: Client,
        *,
        authority: int,
        certificate_facts: "CertificateFacts",
        origin: Origin,
        at: datetime,
        replaces: int | None = None,
        replaces_pin: int | None = None,
    ) -> Credential:
        """Adds one, which renews the one with the id `replaces`, or the pin with the id `replaces_pin`.

        Raises `Conflict` for a certificate that is known, a number given twice, another client's key.
        """
        known = self.with_fingerprint(certificate_facts.fingerprint)
        if known is not None:
            raise Conflict(
                "this certificate is known already", code="certificate_known", facts={"client": known.client}
            )
        self.own_key(owner, certificate_facts.spki)
        values = {
            "client": owner.id,
            "authority": authority,
            "serial": certificate_facts.serial,
            "fingerprint": certificate_facts.fingerprint,
            "spki": certificate_facts.spki,
            "origin": str(origin),
            "not_before": certificate_facts.not_before,
            "not_after": certificate_facts.not_after,
            "created": at,
            "replaces": replaces,
            "replaces_pin": replaces_pin,
        }
        result = self._connection.execute(insert(credential).values(**values))
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        self._connection.execute(insert(certificate).values(credential=id, der=certificate_facts.der))
        self._changes.note(ChangeKind.CREDENTIAL, id)
        found = self.get(id)
        assert found is not None  # noqa: S101 - inserted above, in this transaction
        return found

    def add_many(self, new: "Sequence[tuple[int, CertificateFacts]]", *, authority: int, at: datetime) -> list[int]:
        """Adds many that `authority` issued, each with the id of its client; the ids, in order.

        The caller has seen that no certificate is known and whose the keys are.
        """
        if not new:
            return []
        origin, created = str(Origin.ISSUED), microseconds(at)
        columns = (
            "client",
            "authority",
            "serial",
            "fingerprint",
            "spki",
            "origin",
            "not_before",
            "not_after",
            "created",
        )
        rows = [
            (
                owner,
                authority,
                one.serial,
                one.fingerprint,
                one.spki,
                origin,
                microseconds(one.not_before),
                microseconds(one.not_after),
                created,
            )
            for owner, one in new
        ]
        sqlite.insert(self._connection, credential, columns, rows)
        found = dict(plain_rows(self._connection, _IDS, [one.fingerprint for _, one in new]))
        ids = [found[one.fingerprint] for _, one in new]
        ders = [(id, one.der) for id, (_, one) in zip(ids, new, strict=True)]
        sqlite.insert(self._connection, certificate, ("credential", "der"), ders)
        self._changes.note_many(ChangeKind.CREDENTIAL, ids)
        return ids

    def own_keys(self, owners: Mapping[bytes, int]) -> None:
        """Notes whose new keys are, by SHA-256 of the SubjectPublicKeyInfo. The caller has seen that they are free."""
        sqlite.insert(self._connection, key_owner, ("spki", "client"), list(owners.items()))

    def key_owners(self, spkis: Collection[bytes]) -> dict[bytes, int]:
        """The ids of the clients whose keys they are; without those that are nobody's."""
        return dict(plain_rows(self._connection, _OWNERS, spkis))

    def with_keys(self, spkis: Iterable[bytes]) -> list[Credential]:
        """Those whose certificate has one of these keys, oldest first."""
        found: list[Credential] = []
        for part in chunks(spkis):
            found += self._read(_ALL.where(credential.c.spki.in_(part)))
        return sorted(found, key=lambda one: one.id)

    def certificates(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The certificates themselves, DER."""
        found: dict[int, bytes] = {}
        for part in chunks(ids):
            rows = self._connection.execute(select(certificate).where(certificate.c.credential.in_(part)))
            found |= {row.credential: row.der for row in rows}
        return found

    def own_key(self, owner: Client, spki: bytes) -> None:
        """Notes that the key is `owner`'s. Raises `Conflict` when it is another client's, a gone one's too."""
        if not self.check_key(owner, spki):
            self._connection.execute(insert(key_owner).values(spki=spki, client=owner.id))

    def check_key(self, owner: Client, spki: bytes) -> bool:
        """Whether the key is noted as `owner`'s. Raises `Conflict` when it is another client's, a gone one's too."""
        holder = self.key_owner(spki)
        if holder is None or holder == owner.id:
            return holder is not None
        raise self.key_in_use(holder)

    def key_in_use(self, holder: int) -> Conflict:
        """Why the key of the client with the id `holder` is for nobody else, whether that client is gone or not."""
        found = select(client.c.name, client.c.name_key.is_(None).label("gone")).where(client.c.id == holder)
        row = self._connection.execute(found).one()
        who = f"a removed client, '{row.name}', used" if row.gone else f"the client '{row.name}' uses"
        return Conflict(
            f"{who} this key",
            expected="a key of its own for each client",
            fix="Make a new key, and a CSR or certificate with it",
            code="key_in_use",
            facts={"client": holder},
        )

    def set_compromised(self, spkis: Iterable[bytes], at: datetime) -> None:
        """Notes that somebody else has these keys, which are owned: what had them was no certificate of ours."""
        for part in chunks(spkis):
            self._connection.execute(update(key_owner).where(key_owner.c.spki.in_(part)).values(compromised=at))

    def compromised(self, spkis: Collection[bytes]) -> dict[bytes, datetime]:
        """Those of these keys that were revoked because somebody else has them, with a certificate or a pin, and when
        that was first said."""
        found: dict[bytes, int] = {}
        for query in _COMPROMISED:
            for spki, at in plain_rows(self._connection, query, spkis):
                found[spki] = min(at, found.get(spki, at))
        return {spki: EPOCH + timedelta(microseconds=at) for spki, at in found.items()}

    def disown_key(self, owner: int, spki: bytes) -> None:
        """The key is nobody's again, unless a credential or a pin of `owner` has it."""
        for table in (credential, pin):
            held = select(table.c.id).where(table.c.spki == spki, table.c.client == owner)
            if table is pin:
                held = held.where(pin.c.state != str(PinState.REMOVED))
            if self._connection.execute(held.limit(1)).first() is not None:
                return
        self._connection.execute(delete(key_owner).where(key_owner.c.spki == spki, key_owner.c.client == owner))

    def key_owner(self, spki: bytes) -> int | None:
        """The id of the client whose key it is."""
        return self._connection.execute(select(key_owner.c.client).where(key_owner.c.spki == spki)).scalar_one_or_none()

    def get(self, id: int) -> Credential | None:
        """The one with this id."""
        return next(iter(self._read(_ONE, {"id": id})), None)

    def get_many(self, ids: Iterable[int]) -> dict[int, Credential]:
        """Those of `ids` that exist."""
        found: dict[int, Credential] = {}
        for part in chunks(ids):
            found |= {one.id: one for one in self._read(_ALL.where(credential.c.id.in_(part)))}
        return found

    def with_fingerprint(self, fingerprint: bytes) -> Credential | None:
        """The one whose certificate has this SHA-256."""
        return next(iter(self._read(_WITH_FINGERPRINT, {"fingerprint": fingerprint})), None)

    def with_serial(self, authority: int, serial: bytes) -> list[Credential]:
        """Those with this number; more than one only under an adopted authority that was careless."""
        return self._read(
            _ALL.where(credential.c.authority == authority, credential.c.serial == serial).order_by(credential.c.id)
        )

    def of_client(self, id: int) -> list[Credential]:
        """A client's, oldest first."""
        return self._read(_OF_CLIENT, {"client": id})

    def digests_of(self, client_ids: Collection[int]) -> list[bytes]:
        """Those of these clients, by their SHA-256."""
        return [digest for (digest,) in plain_rows(self._connection, _DIGESTS_OF, client_ids)]

    def of_authority(self, id: int) -> list[Credential]:
        """An authority's, oldest first."""
        return self._read(_ALL.where(credential.c.authority == id).order_by(credential.c.id))

    def with_key(self, spki: bytes) -> list[Credential]:
        """Those whose certificate has this key, oldest first."""
        return self._read(_ALL.where(credential.c.spki == spki).order_by(credential.c.id))

    def successors(self, id: int) -> list[Credential]:
        """Those that renew it, oldest first."""
        return self._read(_ALL.where(credential.c.replaces == id).order_by(credential.c.id))

    def set_superseded(self, id: int, at: datetime | None) -> None:
        """From when it counts no more, because another one renews it. The judge learns of it by the revocation."""
        self._connection.execute(update(credential).where(credential.c.id == id).values(superseded=at))

    def superseded(self, by: datetime, limit: int) -> list[Credential]:
        """At most `limit` of those whose overlap is over."""
        return self._read(_ALL.where(credential.c.superseded <= by).order_by(credential.c.superseded).limit(limit))

    def certificate(self, id: int) -> bytes | None:
        """The certificate itself, DER."""
        return self._connection.execute(
            select(certificate.c.der).where(certificate.c.credential == id)
        ).scalar_one_or_none()

    def count(self) -> int:
        """How many there are."""
        return int(self._connection.execute(select(func.count()).select_from(credential)).scalar_one())

    def walk(self, size: int) -> Iterator[list[tuple[bytes, int, int, int]]]:
        """Fingerprint, id, client and authority of all whose client is not gone, in parts of at most `size`."""
        last = 0
        query = _TOLD.order_by(credential.c.id).limit(size)
        while rows := plain_rows(self._connection, query.where(credential.c.id > last)):
            yield rows
            last = rows[-1][1]

    def plain(self, fingerprints: Collection[bytes]) -> list[tuple[bytes, int, int, int]]:
        """As `walk`, of these certificates (SHA-256)."""
        return plain_rows(self._connection, _TOLD_OF, fingerprints)

    def plain_of_seen(self, digests: Collection[bytes], names: Collection[bytes]) -> list[tuple[bytes, int, int, int]]:
        """As `walk`, of what `Seen.concerned` finds by these."""
        rows: list[tuple[bytes, int, int, int]] = []
        for those, values in ways_to(digests, names):
            rows += plain_rows(self._connection, _TOLD.where(credential.c.fingerprint.in_(those)), values)
        return list(dict.fromkeys(rows))

    def _read(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Credential]:
        return [
            Credential(
                id=row.id,
                client=row.client,
                authority=row.authority,
                serial=row.serial,
                fingerprint=row.fingerprint,
                spki=row.spki,
                origin=Origin(row.origin),
                not_before=row.not_before,
                not_after=row.not_after,
                created=row.created,
                replaces=row.replaces,
                replaces_pin=row.replaces_pin,
                superseded=row.superseded,
                revocation=None
                if row.revoked_at is None
                else Revocation(row.authority, row.serial, row.revoked_at, RevocationReason(row.revoked_for)),
            )
            for row in self._connection.execute(query, values)
        ]
