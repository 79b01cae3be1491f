"""Authorities in the store, and their keys, which are encrypted before they come here."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, insert, select, update

from mutualgate.errors import Conflict
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.change import ChangeKind
from mutualgate.model.names import AuthorityName
from mutualgate.store.changes import Changes
from mutualgate.store.schema import authority, authority_key
from mutualgate.store.select import chunks, plain_rows

_HAS_KEY = exists().where(authority_key.c.authority == authority.c.id).label("has_key")

# What is asked at nearly each change is made once: that takes longer than to ask it.

_ALL = select(authority, _HAS_KEY)
_ONE = _ALL.where(authority.c.id == bindparam("id"))
_WITH_SPKI = _ALL.where(authority.c.spki == bindparam("spki"))
_ESTATES = select(authority.c.estate).where(authority.c.estate.is_not(None))
_TOLD = (
    select(*(authority.c[name] for name in ("id", "name", "certificate", "admits", "estate", "depth")))
    .where(authority.c.kind != str(AuthorityKind.ROOT))
    .order_by(authority.c.id)
)


class Authorities:
    """Finds and keeps authorities. Sees keys only as ciphertext."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def add(
        self,
        name: AuthorityName,
        *,
        kind: AuthorityKind,
        admits: Admits,
        certificate: bytes,
        spki: bytes,
        not_after: datetime,
        at: datetime,
        key: bytes | None = None,
        estate: int | None = None,
        issuer: int | None = None,
        depth: int | None = None,
    ) -> Authority:
        """Adds one; `key` is encrypted PKCS #8. Raises `Conflict` when its name, certificate or key is in use."""
        if self.find(name) is not None:
            raise Conflict(f"there is an authority '{name}' already", code="name_in_use")
        other = self.with_spki(spki)
        if other is not None:
            # One key, one authority: the judge knows an anchor by its key, and serials count per key.
            raise Conflict(
                f"the key of this certificate is that of the authority '{other.name}'",
                code="authority_known",
                facts={"authority": str(other.name)},
            )
        result = self._connection.execute(
            insert(authority).values(
                name=str(name),
                kind=str(kind),
                admits=str(admits),
                certificate=certificate,
                spki=spki,
                estate=estate,
                issuer=issuer,
                not_after=not_after,
                created=at,
                revoked_epoch=0,
                depth=depth,
            )
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        if key is not None:
            self._connection.execute(insert(authority_key).values(authority=id, encrypted=key))
        self._changes.note(ChangeKind.AUTHORITY, id)
        return Authority(
            id, name, kind, admits, certificate, spki, key is not None, estate, issuer, not_after, at, depth
        )

    def all(self) -> list[Authority]:
        """All, oldest first."""
        return self._read(_ALL.order_by(authority.c.id))

    def walk(self, size: int) -> Iterator[list[tuple[int, str, bytes, str, int | None, int | None]]]:
        """Id, name, certificate, admits, estate and depth of all anchors (`Authority.is_anchor`), by id, in parts of at
        most `size`: plain values, for there may be thousands."""
        last = 0
        query = _TOLD.limit(size)
        while rows := plain_rows(self._connection, query.where(authority.c.id > last)):
            yield rows
            if len(rows) < size:
                return
            last = rows[-1][0]

    def own(self) -> list[Authority]:
        """Ours, oldest first: few, while thousands may be adopted."""
        ours = authority.c.kind != str(AuthorityKind.ADOPTED)
        return self._read(_ALL.where(ours).order_by(authority.c.id))

    def ending(self, until: datetime) -> list[Authority]:
        """Those that end before `until`, oldest first."""
        return self._read(_ALL.where(authority.c.not_after < until).order_by(authority.c.id))

    def ends(self) -> list[tuple[AuthorityName, datetime]]:
        """The name of each and its notAfter, oldest first: quicker than `all` where there are thousands."""
        rows = self._connection.execute(select(authority.c.name, authority.c.not_after).order_by(authority.c.id))
        return [(AuthorityName(name), not_after) for name, not_after in rows]

    def with_keys(self) -> list[Authority]:
        """Those whose keys are here, oldest first."""
        return self._read(_ALL.where(authority.c.id.in_(select(authority_key.c.authority))).order_by(authority.c.id))

    def get(self, id: int) -> Authority | None:
        """The one with this id."""
        return next(iter(self._read(_ONE, {"id": id})), None)

    def get_many(self, ids: Iterable[int]) -> list[Authority]:
        """Those of `ids` that exist."""
        return [one for part in chunks(ids) for one in self._read(_ALL.where(authority.c.id.in_(part)))]

    def find(self, name: AuthorityName) -> Authority | None:
        """The one of this name."""
        return next(iter(self._read(_ALL.where(authority.c.name == str(name)))), None)

    def with_spki(self, spki: bytes) -> Authority | None:
        """The one whose key this is."""
        return next(iter(self._read(_WITH_SPKI, {"spki": spki})), None)

    def with_estate(self, client: int) -> Authority | None:
        """The one whose unlisted certificates stand for `client`."""
        return next(iter(self._read(_ALL.where(authority.c.estate == client))), None)

    def any_with_estate(self, clients: Iterable[int]) -> bool:
        """Whether any one's unlisted certificates stand for one of `clients`."""
        return not set(clients).isdisjoint(self._connection.execute(_ESTATES).scalars())

    def key(self, id: int) -> bytes | None:
        """Its encrypted private key."""
        return self._connection.execute(
            select(authority_key.c.encrypted).where(authority_key.c.authority == id)
        ).scalar_one_or_none()

    def set_key(self, id: int, encrypted: bytes) -> None:
        """Gives a key to one that has none."""
        self._connection.execute(insert(authority_key).values(authority=id, encrypted=encrypted))

    def set_certificate(self, id: int, certificate: bytes, not_after: datetime) -> None:
        """Replaces its certificate by another one for the same key."""
        self._connection.execute(
            update(authority).where(authority.c.id == id).values(certificate=certificate, not_after=not_after)
        )
        self._changes.note(ChangeKind.AUTHORITY, id)

    def set_admits(self, id: int, admits: Admits, estate: int | None) -> None:
        """Changes which of its certificates are admitted, and whom the unlisted ones stand for."""
        self._connection.execute(
            update(authority).where(authority.c.id == id).values(admits=str(admits), estate=estate)
        )
        self._changes.note(ChangeKind.AUTHORITY, id)

    def set_depth(self, id: int, depth: int) -> None:
        """Changes how many CAs may stand between it and a client."""
        self._connection.execute(update(authority).where(authority.c.id == id).values(depth=depth))
        self._changes.note(ChangeKind.AUTHORITY, id)

    def revoked_epoch(self, id: int) -> int:
        """The epoch of the last change of its revocations."""
        return int(self._connection.execute(select(authority.c.revoked_epoch).where(authority.c.id == id)).scalar_one())

    def _read(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Authority]:
        return [
            Authority(
                id=row.id,
                name=AuthorityName(row.name),
                kind=AuthorityKind(row.kind),
                admits=Admits(row.admits),
                certificate=row.certificate,
                spki=row.spki,
                has_key=bool(row.has_key),
                estate=row.estate,
                issuer=row.issuer,
                not_after=row.not_after,
                created=row.created,
                depth=row.depth,
            )
            for row in self._connection.execute(query, values)
        ]
