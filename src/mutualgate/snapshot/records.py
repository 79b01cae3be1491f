"""What the data plane is told, as MessagePack; `rust/judge/src/record.rs` is the other side and explains each field."""

from collections.abc import Sequence

import msgspec


class AuthorityRecord(msgspec.Struct, array_like=True, frozen=True):
    id: int
    name: str
    certificate: bytes
    admits: str
    estate: int | None
    depth: int | None = None


class ClientRecord(msgspec.Struct, array_like=True, frozen=True):
    id: int
    name: str
    roles: list[str]
    suspended: bool
    hosts: list[int] = msgspec.field(default_factory=list)


class CredentialRecord(msgspec.Struct, array_like=True, frozen=True):
    fingerprint: bytes
    id: int
    client: int
    authority: int


class RevocationRecord(msgspec.Struct, array_like=True, frozen=True):
    authority: int
    serial: bytes
    at: int
    reason: int


class PinRecord(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    digest: bytes
    id: int
    client: int
    not_before: int
    not_after: int
    retired: bool
    environment: str


class RuleRecord(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    pattern: str
    anchor: int | None


class PartnerRecord(msgspec.Struct, array_like=True, frozen=True):
    id: int
    name: str
    admits: str
    client: int
    suspended: bool
    rules: list[RuleRecord]
    intermediates: list[bytes]
    profile: str = "names"


class ListRecord(msgspec.Struct, array_like=True, frozen=True):
    scope: str
    this_update: int
    next_update: int


class AnchorRecord(msgspec.Struct, array_like=True, frozen=True):
    id: int
    partner: int
    certificate: bytes
    not_before: int
    not_after: int
    shared: bool
    depth: int
    sub_cas: list[bytes]
    environment: str
    revocation: str
    grace_seconds: int
    leaf_limit_seconds: int
    lists: list[ListRecord]
    policy: str = ""
    hold: bool = False
    retired: bool = False


class MemberRecord(msgspec.Struct, array_like=True, frozen=True):
    partner: int
    name: str
    client: int


class ForeignRecord(msgspec.Struct, array_like=True, frozen=True):
    anchor: int
    serial: bytes
    at: int
    reason: int


class RouteRecord(msgspec.Struct, array_like=True, frozen=True):
    path: str
    client_certificate: str
    roles: list[str]
    clients: list[str]
    upstream: int | None


class SiteRecord(msgspec.Struct, array_like=True, frozen=True):
    name: str
    hosts: list[str]
    client_certificate: str
    on_refusal: str
    routes: list[RouteRecord]
    environment: str = ""


class Removed(msgspec.Struct, frozen=True, omit_defaults=True):
    authorities: list[int] = msgspec.field(default_factory=list)
    clients: list[int] = msgspec.field(default_factory=list)
    credentials: list[bytes] = msgspec.field(default_factory=list)
    revocations: list[tuple[int, bytes]] = msgspec.field(default_factory=list)
    pins: list[tuple[str, bytes]] = msgspec.field(default_factory=list)
    partners: list[int] = msgspec.field(default_factory=list)
    anchors: list[int] = msgspec.field(default_factory=list)
    members: list[tuple[int, str]] = msgspec.field(default_factory=list)
    foreign: list[tuple[int, bytes]] = msgspec.field(default_factory=list)


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    epoch: int | None = None
    authorities: list[AuthorityRecord] = msgspec.field(default_factory=list)
    clients: list[ClientRecord] = msgspec.field(default_factory=list)
    credentials: list[CredentialRecord] = msgspec.field(default_factory=list)
    revocations: list[RevocationRecord] = msgspec.field(default_factory=list)
    pins: list[PinRecord] = msgspec.field(default_factory=list)
    partners: list[PartnerRecord] = msgspec.field(default_factory=list)
    anchors: list[AnchorRecord] = msgspec.field(default_factory=list)
    members: list[MemberRecord] = msgspec.field(default_factory=list)
    foreign: list[ForeignRecord] = msgspec.field(default_factory=list)
    sites: list[SiteRecord] | None = None
    removed: Removed = msgspec.field(default_factory=Removed)


def encode(batch: Batch) -> bytes:
    """`batch` as the data plane reads it."""
    return msgspec.msgpack.encode(batch)


def encode_rows(field: str, rows: Sequence[tuple[object, ...]]) -> bytes:
    """A batch with nothing but `rows` in `field`: values in the order of its record's fields.

    What a million are told by: no record is made of each.
    """
    return msgspec.msgpack.encode({field: rows})
