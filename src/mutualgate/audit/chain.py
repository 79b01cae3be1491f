"""The chain of hashes over the audit log. Knows rows and hashes; what is worth an entry, the services know.

An entry's hash is SHA-256 over the previous hash and a canonical text of the entry. Who changes, removes or reorders
an entry has to compute every later hash anew; who compares the newest hash with one noted elsewhere sees that too.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mutualgate.model.audit import AuditEntry, Facts
from mutualgate.store import Store, Transaction

GENESIS = bytes(32)
"""The hash before the first entry."""

_HEAD = "audit.head"
_canonical = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode
_BY_LIMIT, _ACTION_LIMIT, _SUBJECT_LIMIT, _FACT_LIMIT = 128, 64, 256, 1_000  # characters, as the columns


@dataclass(frozen=True, slots=True)
class Verified:
    """The chain holds: its length and its newest hash, worth noting somewhere else."""

    entries: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that does not fit, and what is wrong with it."""

    number: int
    problem: str


def record(tx: Transaction, at: datetime, by: str, action: str, subject: str, facts: Facts | None = None) -> AuditEntry:
    """Adds an entry in the transaction of what it tells about; both are there after a crash, or neither.

    `facts` are short and hold no secret: no key, no password, no certificate's whole text.
    """
    return record_many(tx, at, by, [(action, subject, facts or {})])[-1]


def record_many(tx: Transaction, at: datetime, by: str, entries: Sequence[tuple[str, str, Facts]]) -> list[AuditEntry]:
    """Adds many entries, each an action, a subject and facts, as `record` does."""
    last = tx.audit.last()
    number, previous = (0, GENESIS) if last is None else (last.number, last.hash)
    made = []
    by = by[:_BY_LIMIT]
    for action, subject, facts in entries:
        number += 1
        kept = {name: value[:_FACT_LIMIT] if isinstance(value, str) else value for name, value in facts.items()}
        entry = _sealed(number, at, by, action[:_ACTION_LIMIT], subject[:_SUBJECT_LIMIT], kept, previous)
        previous = entry.hash
        made.append(entry)
    tx.audit.add_many(made)
    if made:
        tx.settings.put(_HEAD, f"{number}:{previous.hex()}")
    return made


def recent(store: Store, limit: int) -> list[AuditEntry]:
    """The newest entries, at most `limit`, newest first."""
    with store.reading() as tx:
        return tx.audit.recent(limit=limit)


def verify(store: Store) -> Verified | Broken:
    """Computes the whole chain anew, oldest entry first."""
    with store.reading() as tx:
        number, previous = 0, GENESIS
        for entry in tx.audit.walk():
            number += 1
            if entry.number != number:
                return Broken(number, f"the entry is missing, the next one is {entry.number}")
            if entry.previous != previous:
                return Broken(number, "the entry does not follow the one before it")
            expected = _sealed(number, entry.at, entry.by, entry.action, entry.subject, entry.facts, previous)
            if entry.hash != expected.hash:
                return Broken(number, "the entry was changed after it was written")
            previous = entry.hash
        head = tx.settings.get(_HEAD)
        if head is not None and head != f"{number}:{previous.hex()}":
            return Broken(number + 1, f"entries are missing at the end: there were {head.partition(':')[0]}")
    return Verified(number, previous)


def _sealed(number: int, at: datetime, by: str, action: str, subject: str, facts: Facts, previous: bytes) -> AuditEntry:
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = _canonical([number, moment, by, action, subject, dict(facts)])
    return AuditEntry(
        number, at, by, action, subject, facts, previous, hashlib.sha256(previous + text.encode("ascii")).digest()
    )
