"""The records, applied as the judge applies them: a record replaces the one of its key, `removed` takes away."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from mutualgate.snapshot.records import (
    AnchorRecord,
    AuthorityRecord,
    Batch,
    ClientRecord,
    CredentialRecord,
    ForeignRecord,
    MemberRecord,
    PartnerRecord,
    PinRecord,
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
    pins: dict[tuple[str, bytes], PinRecord] = field(default_factory=dict)
    partners: dict[int, PartnerRecord] = field(default_factory=dict)
    anchors: dict[int, AnchorRecord] = field(default_factory=dict)
    members: dict[tuple[int, str], MemberRecord] = field(default_factory=dict)
    foreign: dict[tuple[int, bytes], ForeignRecord] = field(default_factory=dict)
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
        for kind, digest in batch.removed.pins:
            self.pins.pop((kind, digest), None)
        for id in batch.removed.partners:
            self.partners.pop(id, None)
        for id in batch.removed.anchors:
            self.anchors.pop(id, None)
        for partner, name in batch.removed.members:
            self.members.pop((partner, name), None)
        for anchor, serial in batch.removed.foreign:
            self.foreign.pop((anchor, serial), None)
        self.authorities |= {one.id: one for one in batch.authorities}
        self.clients |= {one.id: one for one in batch.clients}
        self.credentials |= {one.fingerprint: one for one in batch.credentials}
        self.revocations |= {(one.authority, one.serial): one for one in batch.revocations}
        self.pins |= {(one.kind, one.digest): one for one in batch.pins}
        self.partners |= {one.id: one for one in batch.partners}
        self.anchors |= {one.id: one for one in batch.anchors}
        self.members |= {(one.partner, one.name): one for one in batch.members}
        self.foreign |= {(one.anchor, one.serial): one for one in batch.foreign}
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
        for pin in self.pins.values():
            assert pin.client in self.clients
        for ca in self.anchors.values():
            assert ca.partner in self.partners
        for member in self.members.values():
            assert member.client in self.clients


def of(batches: Iterable[bytes]) -> Mirror:
    mirror = Mirror()
    for data in batches:
        mirror.apply(data)
    mirror.whole()
    return mirror
