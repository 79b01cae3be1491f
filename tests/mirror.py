"""The records, applied as the judge applies them: a record replaces the one of its key, `removed` takes away."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from mutualgate.snapshot.records import (
    AuthorityRecord,
    Batch,
    ClientRecord,
    CredentialRecord,
    RevocationRecord,
    SiteRecord,
)


@dataclass
class Mirror:
    epoch: int = -1
    authorities: dict[int, AuthorityRecord] = field(default_factory=dict)
    clients: dict[int, ClientRecord] = field(default_factory=dict)
    credentials: dict[bytes, CredentialRecord] = field(default_factory=dict)
    revocations: dict[tuple[int, bytes], RevocationRecord] = field(default_factory=dict)
    sites: list[SiteRecord] = field(default_factory=list)

    def apply(self, data: bytes) -> None:
        batch = msgspec.msgpack.decode(data, type=Batch)
        if batch.epoch is not None:
            assert batch.epoch >= self.epoch
            self.epoch = batch.epoch
        for id in batch.removed.authorities:
            self.authorities.pop(id, None)
        for id in batch.removed.clients:
            self.clients.pop(id, None)
        for fingerprint in batch.removed.credentials:
            self.credentials.pop(fingerprint, None)
        for authority, serial in batch.removed.revocations:
            self.revocations.pop((authority, serial), None)
        self.authorities |= {one.id: one for one in batch.authorities}
        self.clients |= {one.id: one for one in batch.clients}
        self.credentials |= {one.fingerprint: one for one in batch.credentials}
        self.revocations |= {(one.authority, one.serial): one for one in batch.revocations}
        if batch.sites is not None:
            self.sites = batch.sites

    def whole(self) -> None:
        """Asserts that nothing points at what is not there."""
        for one in self.credentials.values():
            assert one.client in self.clients
            assert one.authority in self.authorities
        for entry in self.revocations.values():
            assert entry.authority in self.authorities
            assert not entry.serial.startswith(b"\0")
        for anchor in self.authorities.values():
            assert (anchor.estate is None) == (anchor.admits != "signed")
            assert anchor.estate is None or anchor.estate in self.clients


def of(batches: Iterable[bytes]) -> Mirror:
    mirror = Mirror()
    for data in batches:
        mirror.apply(data)
    mirror.whole()
    return mirror
