"""What a change concerns: `excerpt`, the other way round. A chain that it does not concern is judged as before.

Tests hold that the whole gives the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from mutualgate.model.change import Change, ChangeKind
from mutualgate.partners.names import name_hash
from mutualgate.store import Transaction
from mutualgate.store.members import parse_member_key
from mutualgate.store.revocations import parse_key

MANY = 500
"""Revocations and CAs of partners, of which each costs some queries."""


@dataclass(frozen=True)
class Concern:
    """Chains, by the SHA-256 of the leaf or its key, or by a name, above them or the leaf's inside a partner
    (`partners.names.hashes_in`); and what the judge has to know besides of what changed."""

    digests: set[bytes] = field(default_factory=set)
    names: set[bytes] = field(default_factory=set)
    partners: set[int] = field(default_factory=set)
    """Of whom records changed, or of what is theirs."""
    clients: set[int] = field(default_factory=set)
    """Whose changed records are."""


def concern(changes: Sequence[Change] | None, states: Sequence[Transaction]) -> Concern | None:
    """What `changes` concern by any of the `states`: the store before and after. `None` for what may be everybody."""
    if changes is None:
        return None
    keys: dict[ChangeKind, dict[str, None]] = {kind: {} for kind in ChangeKind}
    for change in changes:
        keys[change.kind][change.key] = None
    if keys[ChangeKind.AUTHORITY] or keys[ChangeKind.SITES]:
        return None
    found = Concern()
    # What came to a client, or left it, changed itself, so these need to be asked of one state alone.
    clients = {int(key) for key in keys[ChangeKind.CLIENT]}
    clients |= states[0].clients.guests_of(_moved({int(key) for key in keys[ChangeKind.PARTNER]}, states))
    return found if all(_add(found, tx, keys) for tx in states) and _add_clients(found, states[0], clients) else None


def concern_of(clients: Collection[int], state: Transaction) -> Concern | None:
    """Whatever may come in as one of `clients`. `None` for what may be anything."""
    found = Concern()
    return found if _add_clients(found, state, clients) else None


def _moved(partners: Collection[int], states: Sequence[Transaction]) -> set[int]:
    """Those of `partners` that are not in the same state in all `states`: with them their guests come in, or go out."""
    first, *others = ({id: one.state for id, one in tx.partners.get_many(partners).items()} for tx in states)
    return {id for id in partners if any(other.get(id) is not first.get(id) for other in others)}


# False for what may be everybody.


def _add(found: Concern, tx: Transaction, keys: dict[ChangeKind, dict[str, None]]) -> bool:
    partners = {int(key) for key in keys[ChangeKind.PARTNER]}
    anchors = {int(key) for key in keys[ChangeKind.ANCHOR]} | {parse_key(key)[0] for key in keys[ChangeKind.FOREIGN]}
    if len(anchors) + len(keys[ChangeKind.REVOCATION]) > MANY:
        return False
    partners |= {one.partner for id in anchors if (one := tx.anchors.get(id)) is not None}
    credentials = list(tx.credentials.get_many(int(key) for key in keys[ChangeKind.CREDENTIAL]).values())
    for authority, serial in map(parse_key, keys[ChangeKind.REVOCATION]):
        numbered = tx.credentials.with_serial(authority, serial)
        issuer = tx.authorities.get(authority)
        if not numbered or issuer is None or issuer.estate is not None:
            return False  # a CA's, or one that an adopted authority issued and nobody listed
        credentials += numbered
    pins = tx.pins.get_many(int(key) for key in keys[ChangeKind.PIN]).values()
    members = [parse_member_key(key) for key in keys[ChangeKind.MEMBER]]
    found.digests.update(one.fingerprint for one in credentials)
    found.digests.update(one.digest for one in pins)
    found.names.update(tx.partners.names_above(partners))
    found.names.update(name_hash(name) for _, name in members)
    found.partners.update(partners, (id for id, _ in members))
    found.clients.update([one.client for one in credentials], [one.client for one in pins])
    found.clients.update(client for _, _, client in tx.members.plain(members))
    return True


def _add_clients(found: Concern, tx: Transaction, clients: Collection[int]) -> bool:
    if not clients:
        return True
    if tx.authorities.any_with_estate(clients):
        return False
    found.digests.update(tx.credentials.digests_of(clients), tx.pins.digests_of(clients))
    found.names.update(tx.partners.names_above(tx.partners.with_clients(clients)))
    found.names.update(map(name_hash, tx.members.names_of(clients)))
    return True
