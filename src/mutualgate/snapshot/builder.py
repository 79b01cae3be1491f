"""The store, as the judge reads it: whole, in batches that fit into memory, or what changed since an epoch.

Both are made in one reading transaction, so they are the store's state at exactly the epoch that they carry.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from mutualgate.model import Authority, Change, ChangeKind, Client, ClientState, Revocation
from mutualgate.snapshot.records import (
    AuthorityRecord,
    Batch,
    ClientRecord,
    CredentialRecord,
    Removed,
    RevocationRecord,
    SiteRecord,
    encode,
)
from mutualgate.store import Store, Transaction
from mutualgate.store.revocations import parse_key
from mutualgate.store.types import EPOCH

BATCH_RECORDS = 10_000
"""Records in a batch: a few MB at most, so that a million clients pass through without being held at once."""


def build(store: Store, sites: Sequence[SiteRecord]) -> Iterator[bytes]:
    """Everything, in encoded batches; the last one carries the sites and the epoch.

    The store is read as the batches are taken, in one transaction that ends with them.
    """
    with store.reading() as tx:
        epoch = tx.changes.epoch()
        for clients in tx.clients.walk(BATCH_RECORDS):
            yield encode(Batch(clients=[ClientRecord(*one) for one in clients]))
        anchors = [one for one in tx.authorities.all() if one.is_anchor]
        for start in range(0, len(anchors), BATCH_RECORDS):
            yield encode(Batch(authorities=[_authority(one) for one in anchors[start : start + BATCH_RECORDS]]))
        for credentials in tx.credentials.walk(BATCH_RECORDS):
            yield encode(
                Batch(
                    credentials=[
                        CredentialRecord(fingerprint, id, client, authority)
                        for id, client, authority, fingerprint in credentials
                    ]
                )
            )
        for anchor in anchors:
            for revocations in tx.revocations.walk_plain(anchor.id, BATCH_RECORDS):
                yield encode(
                    Batch(
                        revocations=[
                            RevocationRecord(anchor.id, serial, at, reason) for serial, at, reason in revocations
                        ]
                    )
                )
        yield encode(Batch(epoch=epoch, sites=list(sites)))


def delta(store: Store, since: int, sites: Sequence[SiteRecord] | None = None) -> bytes | None:
    """What makes the snapshot of epoch `since` today's, encoded; with `sites`, they replace those that were there.

    `None` when the change feed does not reach back that far, or a bulk change is in it: build anew then.
    """
    with store.reading() as tx:
        changes = tx.changes.since(since)
        if changes is None:
            return None
        return encode(_batch(tx, changes, None if sites is None else list(sites)))


def _batch(tx: Transaction, changes: Iterable[Change], sites: list[SiteRecord] | None) -> Batch:
    keys: dict[ChangeKind, dict[str, None]] = {kind: {} for kind in ChangeKind}
    for change in changes:
        keys[change.kind][change.key] = None
    removed = Removed()
    client_ids = [int(key) for key in keys[ChangeKind.CLIENT]]
    credential_ids = [int(key) for key in keys[ChangeKind.CREDENTIAL]]
    credentials = tx.credentials.get_many(credential_ids)
    clients = tx.clients.get_many(client_ids)
    owners = clients | tx.clients.get_many({one.client for one in credentials.values() if one.client not in clients})
    for id in client_ids:
        if clients[id].state is ClientState.GONE:
            removed.clients.append(id)
            removed.credentials.extend(one.fingerprint for one in tx.credentials.of_client(id))
    anchors = {one.id: one for one in tx.authorities.all() if one.is_anchor}
    revocations = []
    for key in keys[ChangeKind.REVOCATION]:
        authority, serial = parse_key(key)
        entry = tx.revocations.find(authority, serial) if authority in anchors else None
        if entry is not None:
            revocations.append(_revocation(entry))
        elif authority in anchors:
            removed.revocations.append((authority, serial))
    return Batch(
        epoch=tx.changes.epoch(),
        authorities=[_authority(anchors[int(key)]) for key in keys[ChangeKind.AUTHORITY] if int(key) in anchors],
        clients=[_client(clients[id]) for id in client_ids if clients[id].state is not ClientState.GONE],
        credentials=[
            CredentialRecord(one.fingerprint, one.id, one.client, one.authority)
            for one in credentials.values()
            if owners[one.client].state is not ClientState.GONE
        ],
        revocations=revocations,
        sites=sites,
        removed=removed,
    )


def _client(client: Client) -> ClientRecord:
    return ClientRecord(client.id, str(client.name), [str(role) for role in client.roles], client.suspended)


def _authority(authority: Authority) -> AuthorityRecord:
    return AuthorityRecord(
        authority.id, str(authority.name), authority.certificate, str(authority.admits), authority.estate
    )


def _revocation(entry: Revocation) -> RevocationRecord:
    return RevocationRecord(
        entry.authority, entry.serial, (entry.at - EPOCH) // timedelta(seconds=1), int(entry.reason)
    )
