"""Puts a verified list in force: what it changes is found out beside the store, and then changed in one transaction.

A million entries are sorted in memory, 72 bytes each, and laid beside those that are there: only what differs is
written, so a list that grew by ten costs ten rows, and no other writer waits while it is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mutualgate import audit
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.foreign import ForeignList
from mutualgate.model.partner import Anchor
from mutualgate.model.serial import LIMIT
from mutualgate.partners.revocation_list import VerifiedList
from mutualgate.reading.crl import REMOVE_FROM_CRL, Revocation
from mutualgate.store import Store, Transaction
from mutualgate.store.foreign import Entry

_SHIFT = 1 << 40  # makes every date's seconds positive: packed, they sort as numbers do


@dataclass(frozen=True)
class Taken:
    """What a list did: the list in force now, and how many numbers were added and taken back. `news`: if any did."""

    list: ForeignList
    news: bool
    added: int = 0
    removed: int = 0


def take(store: Store, anchor: Anchor, verified: VerifiedList, by: str, where: str, *, force: bool = False) -> Taken:
    """Puts `verified` in force for `anchor`. Raises `BadInput` for one that goes back in time or has no base.

    `force`: an older one than that in force may take its place, too; a partner that put back a copy may need it.
    """
    entries = list(_packed(verified, where))
    entries.sort()
    while True:
        with store.reading() as tx:
            before = tx.foreign.list_of(anchor.id, verified.scope)
            if not force and before is not None and not _is_news(before, verified, where):
                return Taken(_prolonged(store, before, verified), news=False)
            base = _base(before, verified, where)
            gone, new = _differences(tx, anchor.id, verified, entries)
        with store.transaction() as tx:
            if tx.foreign.list_of(anchor.id, verified.scope) != before:
                continue  # another process was faster: it may know better
            now = store.clock()
            return _write(tx, now, anchor, verified, before, base, gone, new, by)


def _is_news(before: ForeignList, verified: VerifiedList, where: str) -> bool:
    """Whether it says more than what is in force; numbers and dates never go back (RFC 5280 5.2.3)."""
    if verified.digest == before.digest:
        return False
    if verified.base is None and before.number > before.base_number <= verified.number <= before.number:
        # Deltas are ahead of the complete list that they begin with, and of the next ones as well.
        return False
    if verified.base is not None and verified.number == before.number:
        return False
    if verified.number < before.number or verified.this_update < before.this_update:
        raise BadInput(
            f"is older than the list in force (number {verified.number} of {verified.this_update:%Y-%m-%d %H:%M}, "
            f"there is {before.number} of {before.this_update:%Y-%m-%d %H:%M} UTC)",
            where=where,
            expected="a number and a thisUpdate that do not go back",
            code="older_list",
        )
    if verified.number == before.number and verified.this_update == before.this_update:
        raise BadInput(
            f"has the number {verified.number} of the list in force and says something else",
            where=where,
            expected="a new number for a new list (RFC 5280 5.2.3)",
            code="older_list",
        )
    return True


def _prolonged(store: Store, before: ForeignList, verified: VerifiedList) -> ForeignList:
    """A complete list that deltas are ahead of says nothing new, but may say that it is good for longer."""
    if verified.base is not None or verified.next_update <= before.next_update:
        return before
    after = replace(before, base_number=verified.number, next_update=verified.next_update, digest=verified.digest)
    with store.transaction() as tx:
        if tx.foreign.list_of(before.anchor, before.scope) != before:
            return before  # another process was faster
        tx.foreign.put_list(after)
    return after


def _base(before: ForeignList | None, verified: VerifiedList, where: str) -> ForeignList | None:
    """What a delta CRL is applied to (RFC 5280 5.2.4); None for a complete one."""
    if verified.base is None:
        return None
    if before is None or not verified.base <= before.number <= verified.number:
        found = "none is in force" if before is None else f"number {before.number} is in force"
        raise BadInput(
            f"is a delta CRL for the complete list number {verified.base} or later, and {found}",
            where=where,
            expected="the complete list first",
            code="no_base",
        )
    return before


def _packed(verified: VerifiedList, where: str) -> Iterator[bytes]:
    for entry in verified.entries():
        if len(entry.serial) > LIMIT:
            raise BadInput("has a serial number of more than 20 octets", where=where, expected="RFC 5280 4.1.2.2")
        if entry.reason == REMOVE_FROM_CRL and verified.base is None:
            raise BadInput(
                "takes back an entry (removeFromCRL), as only delta CRLs do", where=where, expected="RFC 5280 5.3.1"
            )
        yield _pack(entry)


def _pack(entry: Revocation) -> bytes:
    """So that the order of bytes is the order of the numbers as the store has it: shorter ones first among equals."""
    seconds = int(entry.at.timestamp()) + _SHIFT
    return (
        entry.serial.ljust(LIMIT, b"\0")
        + bytes([len(entry.serial)])
        + seconds.to_bytes(8, "big")
        + bytes([entry.reason])
    )


def _unpack(packed: bytes) -> Entry:
    length = packed[LIMIT]
    return packed[:length], int.from_bytes(packed[LIMIT + 1 : LIMIT + 9], "big") - _SHIFT, packed[LIMIT + 9]


def _differences(
    tx: Transaction, anchor: int, verified: VerifiedList, entries: Sequence[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """The numbers that go, and the entries that come, packed; one that changed is in both."""
    if verified.base is not None:
        gone = [_unpack(packed)[0] for packed in entries]
        return gone, [packed for packed in _each_once(entries) if packed[-1] != REMOVE_FROM_CRL]
    gone, new = [], []
    there = tx.foreign.entries_of(anchor, verified.scope)
    old = next(there, None)
    for packed in _each_once(entries):
        entry = _unpack(packed)
        while old is not None and old[0] < entry[0]:
            gone.append(old[0])
            old = next(there, None)
        if old is None or old[0] != entry[0]:
            new.append(packed)
            continue
        if old != entry:
            gone.append(old[0])
            new.append(packed)
        old = next(there, None)
    while old is not None:
        gone.append(old[0])
        old = next(there, None)
    return gone, new


def _each_once(entries: Sequence[bytes]) -> Iterator[bytes]:
    """A list may have a number twice: the earliest date counts."""
    last = b""
    for packed in entries:
        if packed[: LIMIT + 1] != last:
            yield packed
            last = packed[: LIMIT + 1]


def _write(
    tx: Transaction,
    now: datetime,
    anchor: Anchor,
    verified: VerifiedList,
    before: ForeignList | None,
    base: ForeignList | None,
    gone: Sequence[bytes],
    new: Sequence[bytes],
    by: str,
) -> Taken:
    if tx.anchors.get(anchor.id) is None:
        raise Conflict("this CA is no longer there")
    count = 0 if before is None else tx.foreign.count_of(anchor.id, verified.scope)
    tx.foreign.change(anchor.id, verified.scope, gone, (_unpack(packed) for packed in new))
    after = tx.foreign.count_of(anchor.id, verified.scope)
    current = ForeignList(
        anchor=anchor.id,
        scope=verified.scope,
        number=verified.number,
        base_number=verified.number if base is None else base.base_number,
        this_update=verified.this_update,
        # The complete list is in force until its own day, whatever a delta CRL adds to it.
        next_update=verified.next_update if base is None else max(base.next_update, verified.next_update),
        entries=after,
        digest=verified.digest if base is None else base.digest,
        fetched=now,
    )
    tx.foreign.put_list(current)
    taken = Taken(current, news=True, added=len(new), removed=count + len(new) - after)
    audit.record(
        tx,
        now,
        by,
        "crl.take",
        f"CA {anchor.id}",
        {
            "scope": verified.scope,
            "number": str(verified.number),
            "delta": int(base is not None),
            "entries": after,
            "added": taken.added,
            "removed": taken.removed,
            "next_update": f"{current.next_update:%Y-%m-%dT%H:%M:%SZ}",
        },
    )
    return taken
