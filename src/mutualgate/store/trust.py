"""Changes of trust, each kept with the rows as they were before it, so that it can be taken back.

Knows rows, not what they mean to a partner or a client. A change is taken back only while every row that it left is as
it left it: what came later and built on it is never pulled away from under it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select, and_, column, delete, func, insert, select, table, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.selectable import TableClause

from mutualgate.errors import Conflict
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import ClientState
from mutualgate.model.names import shown
from mutualgate.model.partner import AnchorState, PartnerState, RuleKind
from mutualgate.model.pin import PinState
from mutualgate.model.trust import TrustChange
from mutualgate.store import schema
from mutualgate.store.changes import Changes
from mutualgate.store.credentials import Credentials
from mutualgate.store.members import member_key, note_invited

KEPT = 1_000
"""Changes: who looks further back reads the audit log."""

Key = tuple[int | str, ...]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Watched:
    """A table whose rows are put back: which columns name a row, which are put back, what the judge is told."""

    name: str
    key: tuple[str, ...]
    kind: ChangeKind
    columns: tuple[str, ...]
    # What becomes of a row that the change added; None: it is deleted, for nothing can hang on it.
    ended: Mapping[str, Any] | None = None
    told_by: str = "id"

    @cached_property
    def clause(self) -> TableClause:
        # Without types: values are kept and put back as the database has them.
        return table(self.name, *(column(name) for name in self.columns))


def _all(name: str) -> tuple[str, ...]:
    return tuple(one.name for one in schema.metadata.tables[name].columns)


_TABLES = {
    one.name: one
    for one in (
        _Watched("pin", ("id",), ChangeKind.PIN, _all("pin"), {"state": str(PinState.REMOVED)}),
        _Watched(
            "partner",
            ("id",),
            ChangeKind.PARTNER,
            # Whom to ask, and who may invite administrators, is no trust: who says it anew changes nothing of a change.
            ("id", "name", "name_key", "state", "admits", "roles", "client"),
            {"state": str(PartnerState.GONE), "name_key": None},
        ),
        _Watched(
            "anchor", ("id",), ChangeKind.ANCHOR, _all("anchor"), {"state": str(AnchorState.RETIRED), "activated": None}
        ),
        _Watched("name_rule", ("id",), ChangeKind.PARTNER, _all("name_rule"), told_by="partner"),
        _Watched("intermediate", ("id",), ChangeKind.PARTNER, _all("intermediate"), told_by="partner"),
        _Watched("member", ("partner", "name"), ChangeKind.MEMBER, _all("member")),
        _Watched("authority", ("id",), ChangeKind.AUTHORITY, ("id", "admits", "estate")),
        _Watched("client_role", ("client", "role"), ChangeKind.CLIENT, _all("client_role"), told_by="client"),
        _Watched(
            "client",
            ("id",),
            ChangeKind.CLIENT,
            ("id", "name", "name_key", "state"),
            {"state": str(ClientState.GONE), "name_key": None},
        ),
    )
}

# What may hang on a row that a change added: it is looked for before the row goes.
_HANGING = {
    "partner": (("anchor", "partner"), ("name_rule", "partner"), ("intermediate", "partner"), ("member", "partner")),
    "anchor": (("name_rule", "anchor"),),
    "client": (("credential", "client"), ("pin", "client"), ("member", "client"), ("partner", "client")),
}
_OWNERS = ("client", "estate")
"""Columns that say whose a row is: what comes back must be somebody's."""
_ENDED = {"anchor": str(AnchorState.RETIRED), "pin": str(PinState.REMOVED), "partner": str(PartnerState.GONE)}
_GONE = {"client": str(ClientState.GONE), "partner": str(PartnerState.GONE)}
# What the judge forgets with whoever goes. The members of a partner are kept, for they may be very many.
_FORGOTTEN = {
    "partner": (("anchor", ChangeKind.ANCHOR),),
    "client": (("credential", ChangeKind.CREDENTIAL), ("pin", ChangeKind.PIN), ("member", ChangeKind.MEMBER)),
}

_FINAL = json.dumps(None)
"""As what takes a change back: nothing does."""
_CHANGE: Select[Any] = select(
    *(schema.trust_change.c[name] for name in ("id", "at", "by", "what", "undone")),
    schema.trust_change.c.undo == _FINAL,
)


@dataclass
class Watch:
    """The rows that a change is about to touch, as they were."""

    trust: "Trust"
    rows: list[tuple[str, Key, Row | None]] = field(default_factory=list)

    def changes(self, name: str, *key: int | str) -> None:
        """To be called before the row of the table `name` changes or goes."""
        self.rows.append((name, key, self.trust.row(name, key)))

    def adds(self, name: str, *key: int | str) -> None:
        """To be called for a row that was added."""
        self.rows.append((name, key, None))

    def changes_roles(self, client: int, before: Iterable[str], after: Iterable[str]) -> None:
        """To be called before a client's roles change."""
        for role in sorted(set(before) - set(after)):
            self.changes("client_role", client, role)
        for role in sorted(set(after) - set(before)):
            self.adds("client_role", client, role)


class Trust:
    """Keeps changes of trust and takes them back."""

    def __init__(self, connection: Connection, changes: Changes, credentials: Credentials) -> None:
        self._connection = connection
        self._changes = changes
        self._credentials = credentials

    def watch(self) -> Watch:
        """For a change that begins."""
        return Watch(self)

    def record(self, at: datetime, by: str, what: str, watched: Watch | None) -> int:
        """Keeps a change that was made, and says its number; in its own transaction, so that both are there or neither.

        One that left every row of `watched` as it was is none, has the number 0, and is not kept: what is taken back is
        the last that changed something. Without `watched` it cannot be taken back, and stands for what nobody should
        think they took back.
        """
        steps = None
        if watched is not None:
            if all(self.row(name, key) == before for name, key, before in watched.rows):
                return 0
            steps = [
                [name, list(key), None if before is None else _written(before), self._left(name, key)]
                for name, key, before in watched.rows
            ]
        result = self._connection.execute(
            insert(schema.trust_change).values(at=at, by=by[:128], what=what, undo=json.dumps(steps), undone=None)
        )
        id = int(result.inserted_primary_key[0])  # type: ignore[index]  # one row was inserted
        if id % 100 == 0:
            self._connection.execute(delete(schema.trust_change).where(schema.trust_change.c.id <= id - KEPT))
        return id

    def recent(self, limit: int, *, before: int | None = None) -> list[TrustChange]:
        """The newest, at most `limit`, newest first, those before the id `before`."""
        query = _CHANGE
        if before is not None:
            query = query.where(schema.trust_change.c.id < before)
        newest = query.order_by(schema.trust_change.c.id.desc()).limit(limit)
        return [TrustChange(*row) for row in self._connection.execute(newest)]

    def get(self, id: int) -> TrustChange | None:
        """The one with this id."""
        row = self._connection.execute(_CHANGE.where(schema.trust_change.c.id == id)).first()
        return None if row is None else TrustChange(*row)

    def partners(self, id: int) -> set[int]:
        """The partners whose rules, intermediates, clients or state a change is about."""
        found: set[int] = set()
        for name, key, before, _ in self._steps(id):
            if name in ("partner", "member"):
                found.add(key[0])
            elif name in ("name_rule", "intermediate"):
                row = before or self.row(name, tuple(key))
                found |= {row["partner"]} if row else set()
        return found

    def members(self, id: int) -> dict[int, set[str]]:
        """The partners of whose rules or clients a change is about any, and of which clients, by their names."""
        found: dict[int, set[str]] = {rule["partner"]: set() for rule, _ in self._rules(id)}
        for name, key, *_ in self._steps(id):
            if name == "member":
                found.setdefault(key[0], set()).add(key[1])
        return found

    def rules_made(self, id: int, partner: int) -> list[tuple[RuleKind, str]]:
        """The rules (kind, pattern) of a partner's that a change has made, but for those for one CA alone."""
        return [
            (RuleKind(rule["kind"]), rule["pattern"])
            for rule, is_new in self._rules(id)
            if is_new and rule["partner"] == partner and rule["anchor"] is None
        ]

    def _rules(self, id: int) -> Iterator[tuple[Row, bool]]:
        """The rules that a change is about, and whether it has made them."""
        for name, key, before, _ in self._steps(id):
            if name == "name_rule" and (row := before or self.row(name, tuple(key))) is not None:
                yield row, before is None

    def touched(self, id: int, name: str) -> list[int]:
        """The rows of the table `name` that a change is about."""
        return [key[0] for table, key, *_ in self._steps(id) if table == name]

    def clients(self, id: int) -> set[int]:
        """The clients that a change is about, or whose what it is about is or was."""
        found = set(self.touched(id, "client"))
        for name, key, before, _ in self._steps(id):
            rows = [row for row in (before, self.row(name, tuple(key))) if row is not None]
            found |= {row[owner] for row in rows for owner in _OWNERS if row.get(owner) is not None}
        return found

    def _steps(self, id: int) -> list[Any]:
        changes = schema.trust_change
        return json.loads(self._connection.execute(select(changes.c.undo).where(changes.c.id == id)).scalar_one()) or []

    def last(self, *, final: bool = True) -> TrustChange | None:
        """The newest one that was not taken back; without `final`, that can be."""
        changes = schema.trust_change
        query = _CHANGE.where(changes.c.undone.is_(None))
        if not final:
            query = query.where(changes.c.undo != _FINAL)
        row = self._connection.execute(query.order_by(changes.c.id.desc()).limit(1)).first()
        return None if row is None else TrustChange(*row)

    def undo(self, id: int, at: datetime) -> None:
        """Puts every row back as it was. Raises `Conflict` where one was changed since, something hangs on it, or the
        client whose it was is gone."""
        changes = schema.trust_change
        steps = self._steps(id)
        for name, key, _, after in steps:
            if self._left(name, tuple(key)) != after:
                raise Conflict(
                    "what this change left was changed again since then",
                    expected="that the later change is taken back first",
                    fix="See them with: mutualgate trust list",
                    code="changed_since",
                )
        try:
            for name, key, before, _ in reversed(steps):
                self._put_back(_TABLES[name], tuple(key), None if before is None else _read(before))
        except IntegrityError:
            raise Conflict(
                "a name that this change freed is another's by now",
                expected="that the other is taken back or removed first",
                code="name_in_use",
            ) from None
        for _, _, before, _ in steps:
            for owner in _OWNERS:
                self._check_not_gone((before or {}).get(owner))
        self._connection.execute(update(changes).where(changes.c.id == id).values(undone=at))

    def row(self, name: str, key: Key) -> Row | None:
        """A row as the database has it."""
        watched = _TABLES[name]
        found = self._connection.execute(select(watched.clause).where(_which(watched, key))).mappings().first()
        return None if found is None else dict(found)

    def _left(self, name: str, key: Key) -> str:
        """What a change left of a row, to be told from what it is later."""
        row = self.row(name, key)
        if name == "member" and row is not None and row["client"] is None:
            row = None  # the gate notes by itself whom it sees: nobody comes in by that
        return _hash(row)

    def _put_back(self, watched: _Watched, key: Key, before: Row | None) -> None:
        now = self.row(watched.name, key)
        if before is None and now is not None:
            self._nothing_hangs_on(watched.name, int(key[0]))
            if watched.ended is None and watched.name != "authority":
                self._connection.execute(delete(watched.clause).where(_which(watched, key)))
            else:
                self._connection.execute(
                    update(watched.clause).where(_which(watched, key)).values(**(watched.ended or {}))
                )
            if watched.name == "pin":
                self._credentials.disown_key(now["client"], now["spki"])
        elif before is not None and now is None:
            self._connection.execute(insert(watched.clause).values(**before))
        elif before is not None:
            # Not the key, which is the same: for one that is written the database looks for all that refer to it.
            values = {name: value for name, value in before.items() if name not in watched.key}
            self._connection.execute(update(watched.clause).where(_which(watched, key)).values(**values))
        row = before or now
        if row is not None:
            told = member_key(row["partner"], row["name"]) if watched.name == "member" else row[watched.told_by]
            self._changes.note(watched.kind, told)
        if now is not None and watched.name in _GONE and now["state"] == _GONE[watched.name]:
            self._note_forgotten(watched.name, now["id"])
        for row in (before, now):
            if watched.name == "member" and row is not None and row["client"] is not None:
                note_invited(self._connection, self._changes, row["partner"], row["client"])

    def _note_forgotten(self, name: str, id: int) -> None:
        """With who went the judge forgot what hung on it: it is told of that again."""
        for hanging, kind in _FORGOTTEN[name]:
            of = schema.metadata.tables[hanging]
            told = (of.c.partner, of.c.name) if hanging == "member" else (of.c.id,)
            for key in self._connection.execute(select(*told).where(of.c[name] == id)):
                self._changes.note(kind, member_key(*key) if hanging == "member" else key[0])

    def _check_not_gone(self, client: int | None) -> None:
        query = select(schema.client.c.name).where(
            schema.client.c.id == client, schema.client.c.state == str(ClientState.GONE)
        )
        name = self._connection.execute(query).scalar_one_or_none()
        if name is not None:
            raise Conflict(f"what would come back was of the client {shown(name)}, which is gone", code="client_gone")

    def _nothing_hangs_on(self, name: str, id: int) -> None:
        for other, by in _HANGING.get(name, ()):
            hanging = schema.metadata.tables[other]
            query = select(func.count()).select_from(hanging).where(hanging.c[by] == id)
            if other in _ENDED:
                query = query.where(hanging.c.state != _ENDED[other])
            elif other == "member":
                query = query.where(hanging.c.client.is_not(None))  # as in `_left`
            if self._connection.execute(query).scalar_one():
                raise Conflict(
                    f"a later {other.replace('_', ' ')} depends on what this change added",
                    expected="that the later change is taken back first",
                    fix="See them with: mutualgate trust list",
                    code="depended_on",
                )


def _which(watched: _Watched, key: Key) -> Any:
    return and_(*(watched.clause.c[name] == value for name, value in zip(watched.key, key, strict=True)))


def _hash(row: Row | None) -> str:
    return hashlib.sha256(json.dumps(None if row is None else _written(row), sort_keys=True).encode()).hexdigest()


def _written(row: Row) -> Row:
    """As JSON takes it: bytes as a list of one text in hex."""
    return {name: [value.hex()] if isinstance(value, bytes) else value for name, value in row.items()}


def _read(row: Row) -> Row:
    return {name: bytes.fromhex(value[0]) if isinstance(value, list) else value for name, value in row.items()}
