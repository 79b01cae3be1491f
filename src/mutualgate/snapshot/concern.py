"""What a change concerns: `excerpt`, the other way round. A chain that it does not concern is judged as before.

Tests hold that the whole gives the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mutualgate.model.change import Change, ChangeKind
from mutualgate.partners.names import name_hash
from mutualgate.store import Transaction
from mutualgate.store.members import parse_member_key
from mutualgate.store.revocations import parse_key

MANY = 500
"""Entries of the change feed, of which each costs some queries."""


@dataclass(frozen=True)
class Concern:
    """Chains, by the SHA-256 of the leaf or its key, or by a name, above them or the leaf's inside a partner
    (`partners.names.hashes_in`)."""

    digests: set[bytes] = field(default_factory=set)
    names: set[bytes] = field(default_factory=set)


def concern(changes: Sequence[Change] | None, states: Sequence[Transaction]) -> Concern | None:
    """What `changes` concern by any of the `states`: the store before and after. `None` for what may be everybody."""
    if changes is None or len(changes) > MANY:
        return None
    keys: dict[ChangeKind, dict[str, None]] = {kind: {} for kind in ChangeKind}
    for change in changes:
        keys[change.kind][change.key] = None
    if keys[ChangeKind.AUTHORITY] or keys[ChangeKind.SITES]:
        return None
    found = Concern()
    for tx in states:
        if not _add(found, tx, keys):
            return None
    return found


def _add(found: Concern, tx: Transaction, keys: dict[ChangeKind, dict[str, None]]) -> bool:
    """False for what may be everybody."""
    clients = [int(key) for key in keys[ChangeKind.CLIENT]]
    if any(tx.authorities.with_estate(id) is not None for id in clients):
        return False
    partners = {int(key) for key in keys[ChangeKind.PARTNER]}
    members = {parse_member_key(key)[1] for key in keys[ChangeKind.MEMBER]}
    anchors = {int(key) for key in keys[ChangeKind.ANCHOR]} | {parse_key(key)[0] for key in keys[ChangeKind.FOREIGN]}
    partners |= {one.partner for id in anchors if (one := tx.anchors.get(id)) is not None}
    credentials = list(tx.credentials.get_many(int(key) for key in keys[ChangeKind.CREDENTIAL]).values())
    pins = list(tx.pins.get_many(int(key) for key in keys[ChangeKind.PIN]).values())
    for authority, serial in map(parse_key, keys[ChangeKind.REVOCATION]):
        numbered = tx.credentials.with_serial(authority, serial)
        issuer = tx.authorities.get(authority)
        if not numbered or issuer is None or issuer.estate is not None:
            return False  # a CA's, or one that an adopted authority issued and nobody listed
        credentials += numbered
    for id in clients:
        credentials += tx.credentials.of_client(id)
        pins += tx.pins.of_client(id)
        members |= {one.name for one in tx.members.of_client(id)}
        own = tx.partners.of_client(id)
        partners |= set() if own is None else {own.id}
    found.digests.update(one.fingerprint for one in credentials)
    found.digests.update(one.digest for one in pins)
    found.names.update(tx.partners.names_above(partners), map(name_hash, members))
    return True
