"""The store, as the judge reads it: whole, in batches that fit into memory, or what changed since an epoch.

Both are made in one reading transaction, so they are the store's state at exactly the epoch that they carry.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import timedelta

from mutualgate.model.authority import Authority
from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.client import Client, ClientState
from mutualgate.model.revocation import Revocation
from mutualgate.snapshot.records import (
    AnchorRecord,
    AuthorityRecord,
    Batch,
    ClientRecord,
    CredentialRecord,
    ForeignRecord,
    ListRecord,
    MemberRecord,
    PartnerRecord,
    PinRecord,
    Removed,
    RevocationRecord,
    RuleRecord,
    SiteRecord,
    encode,
    encode_rows,
)
from mutualgate.store import Store, Transaction
from mutualgate.store.anchors import PlainAnchor
from mutualgate.store.clients import NO_HOSTS, Hosts
from mutualgate.store.members import parse_member_key
from mutualgate.store.partners import PlainPartner
from mutualgate.store.revocations import parse_key
from mutualgate.store.types import EPOCH

BATCH_RECORDS = 1_000
"""Records in a batch: a million pass through in little memory, which Python would keep, and in no more time."""


def build(store: Store, sites: Sequence[SiteRecord]) -> Generator[bytes, None, None]:
    """Everything, in encoded batches; the last one carries the sites and the epoch.

    The store is read as the batches are taken, in one transaction that ends with them.
    """
    with store.reading() as tx:
        yield from build_of(tx, sites)


def build_of(tx: Transaction, sites: Sequence[SiteRecord]) -> Iterator[bytes]:
    """As `build`, of what a transaction sees."""
    for clients in tx.clients.walk(BATCH_RECORDS):
        yield encode_rows("clients", clients)
    for authorities in tx.authorities.walk(BATCH_RECORDS):
        yield encode_rows("authorities", authorities)
    for credentials in tx.credentials.walk(BATCH_RECORDS):
        yield encode_rows("credentials", credentials)
    for revocations in tx.revocations.walk(BATCH_RECORDS):
        yield encode_rows("revocations", revocations)
    yield from _brought(tx)
    yield encode(Batch(epoch=tx.changes.epoch(), sites=list(sites)))


def _brought(tx: Transaction) -> Iterator[bytes]:
    """What clients and partners brought."""
    for pins in tx.pins.walk(BATCH_RECORDS):
        yield encode_rows("pins", pins)
    for partners in tx.partners.walk(max(1, BATCH_RECORDS // 10)):
        yield encode(Batch(partners=[partner_record(one) for one in partners]))
    for anchors in tx.anchors.walk(max(1, BATCH_RECORDS // 10)):
        yield encode(Batch(anchors=anchor_records(tx, anchors)))
    for members in tx.members.walk(BATCH_RECORDS):
        yield encode_rows("members", members)
    for foreign in tx.foreign.walk_plain(BATCH_RECORDS):
        yield encode_rows("foreign", foreign)


def delta(store: Store, since: int, sites: Sequence[SiteRecord] | None = None) -> bytes | None:
    """What makes the snapshot of epoch `since` today's, encoded; with `sites`, they replace those that were there.

    `None` when the change feed does not reach back that far, or a bulk change is in it: build anew then.
    """
    with store.reading() as tx:
        changes = tx.changes.since(since)
        if changes is None:
            return None
        return encode(_batch(tx, changes, None if sites is None else list(sites)))


def delta_of_sites(epoch: int, sites: Sequence[SiteRecord]) -> bytes:
    """What makes the snapshot before `epoch` that of `epoch`, encoded, where nothing else changed than the sites."""
    return encode(Batch(epoch=epoch, sites=list(sites)))


def has_changed(store: Store, since: int, kind: ChangeKind) -> bool:
    """Whether a record of `kind` changed after the epoch `since`, or may have, where the feed does not reach back."""
    with store.reading() as tx:
        changes = tx.changes.since(since)
    return changes is None or any(change.kind is kind for change in changes)


def _batch(tx: Transaction, changes: Iterable[Change], sites: list[SiteRecord] | None) -> Batch:
    keys: dict[ChangeKind, dict[str, None]] = {kind: {} for kind in ChangeKind}
    for change in changes:
        keys[change.kind][change.key] = None
    removed = Removed()
    client_ids = [int(key) for key in keys[ChangeKind.CLIENT]]
    credential_ids = [int(key) for key in keys[ChangeKind.CREDENTIAL]]
    credentials = tx.credentials.get_many(credential_ids)
    clients = tx.clients.get_many(client_ids)
    hosts = tx.clients.hosts(client_ids)
    owners = clients | tx.clients.get_many({one.client for one in credentials.values() if one.client not in clients})
    for id in client_ids:
        if clients[id].state is ClientState.GONE:
            removed.clients.append(id)
            removed.credentials.extend(one.fingerprint for one in tx.credentials.of_client(id))
            removed.pins.extend((str(one.kind), one.digest) for one in tx.pins.of_client(id))
            removed.members.extend((one.partner, one.name) for one in tx.members.of_client(id))
    revoked = [parse_key(key) for key in keys[ChangeKind.REVOCATION]]
    concerned = {int(key) for key in keys[ChangeKind.AUTHORITY]} | {authority for authority, _ in revoked}
    anchors = {one.id: one for one in tx.authorities.get_many(concerned) if one.is_anchor}
    revocations = []
    for authority, serial in revoked:
        entry = tx.revocations.find(authority, serial) if authority in anchors else None
        if entry is not None:
            revocations.append(revocation_record(entry))
        elif authority in anchors:
            removed.revocations.append((authority, serial))
    return Batch(
        epoch=tx.changes.epoch(),
        authorities=[authority_record(anchors[int(key)]) for key in keys[ChangeKind.AUTHORITY] if int(key) in anchors],
        clients=[
            client_record(clients[id], hosts.get(id, NO_HOSTS))
            for id in client_ids
            if clients[id].state is not ClientState.GONE
        ],
        credentials=[
            CredentialRecord(one.fingerprint, one.id, one.client, one.authority)
            for one in credentials.values()
            if owners[one.client].state is not ClientState.GONE
        ],
        revocations=revocations,
        pins=_pins(tx, [int(key) for key in keys[ChangeKind.PIN]], removed),
        partners=_partners(tx, [int(key) for key in keys[ChangeKind.PARTNER]], removed),
        anchors=_changed_anchors(tx, [int(key) for key in keys[ChangeKind.ANCHOR]], removed),
        members=_members(tx, [parse_member_key(key) for key in keys[ChangeKind.MEMBER]], removed),
        foreign=_foreign(tx, [parse_key(key) for key in keys[ChangeKind.FOREIGN]], removed),
        sites=sites,
        removed=removed,
    )


# What changed of each kind, and into `removed` what the judge no longer has to know.


def _pins(tx: Transaction, ids: Sequence[int], removed: Removed) -> list[PinRecord]:
    told = [PinRecord(*one) for one in tx.pins.plain(ids)]
    gone = set(ids) - {one.id for one in told}
    removed.pins.extend((str(one.kind), one.digest) for one in tx.pins.get_many(sorted(gone)).values())
    return told


def _partners(tx: Transaction, ids: Sequence[int], removed: Removed) -> list[PartnerRecord]:
    told = [partner_record(one) for one in tx.partners.plain(ids)]
    for id in sorted(set(ids) - {one.id for one in told}):
        removed.partners.append(id)
        removed.anchors.extend(one.id for one in tx.anchors.of_partner(id))
    return told


def _changed_anchors(tx: Transaction, ids: Sequence[int], removed: Removed) -> list[AnchorRecord]:
    told = anchor_records(tx, tx.anchors.plain(ids))
    removed.anchors.extend(sorted(set(ids) - {one.id for one in told}))
    return told


def _members(tx: Transaction, keys: Sequence[tuple[int, str]], removed: Removed) -> list[MemberRecord]:
    told = [MemberRecord(*one) for one in tx.members.plain(keys)]
    removed.members.extend(sorted(set(keys) - {(one.partner, one.name) for one in told}))
    return told


def _foreign(tx: Transaction, keys: Sequence[tuple[int, bytes]], removed: Removed) -> list[ForeignRecord]:
    told = [ForeignRecord(*one) for one in tx.foreign.plain(keys)]
    removed.foreign.extend(sorted(set(keys) - {(one.anchor, one.serial) for one in told}))
    return told


def client_record(client: Client, hosts: Hosts) -> ClientRecord:
    """A client, as the judge is told of it."""
    partners, still = hosts
    roles = [str(role) for role in client.roles]
    return ClientRecord(client.id, str(client.name), roles, client.suspended or not still, partners)


def authority_record(authority: Authority) -> AuthorityRecord:
    """An authority of ours or an adopted one."""
    return AuthorityRecord(
        authority.id,
        str(authority.name),
        authority.certificate,
        str(authority.admits),
        authority.estate,
        authority.depth,
    )


def partner_record(one: PlainPartner) -> PartnerRecord:
    """A partner with its rules and helper intermediates."""
    id, name, admits, client, suspended, rules, intermediates, profile = one
    known = [RuleRecord(*rule) for rule in rules]
    return PartnerRecord(id, name, admits, client, suspended, known, intermediates, profile)


def anchor_records(tx: Transaction, anchors: Sequence[PlainAnchor]) -> list[AnchorRecord]:
    """CAs of partners, each with the lists and answers that are in force for it."""
    lists = tx.foreign.plain_lists([one[0] for one in anchors])
    return [
        AnchorRecord(*one[:12], [ListRecord(*entry) for entry in lists.get(one[0], ())], *one[12:]) for one in anchors
    ]


def revocation_record(entry: Revocation) -> RevocationRecord:
    """A number that an authority of ours revoked."""
    return RevocationRecord(
        entry.authority, entry.serial, (entry.at - EPOCH) // timedelta(seconds=1), int(entry.reason)
    )
