"""What of the store verdicts about few chains can depend on: for who asks about a certificate and runs no gate.

The judge is the same; it is only not told of the others. So a question costs the same with 1 client or 1,000,000, and
with one partner or 10,000. A test holds that the whole gives the same verdicts.
"""

import hashlib
from collections.abc import Iterator, Sequence

from cryptography import x509

from mutualgate.errors import BadInput
from mutualgate.model import serial
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.client import ClientState
from mutualgate.model.partner import PartnerProfile
from mutualgate.partners.names import name_of
from mutualgate.reading.files import UNREADABLE, names_above, odd_serials_allowed
from mutualgate.snapshot.builder import (
    BATCH_RECORDS,
    anchor_records,
    build_of,
    client_record,
    partner_record,
    revocation_record,
)
from mutualgate.snapshot.concern import Concern
from mutualgate.snapshot.records import (
    AuthorityRecord,
    Batch,
    CredentialRecord,
    ForeignRecord,
    MemberRecord,
    PinRecord,
    RevocationRecord,
    SiteRecord,
    encode,
    encode_rows,
)
from mutualgate.store import Store, Transaction
from mutualgate.store.clients import NO_HOSTS
from mutualgate.store.seen import UNKNOWN_NAME


def build_for(store: Store, sites: Sequence[SiteRecord], chains: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """As `build`, but only what concerns `chains` (DER, leaf first).

    Authorities of ours are all there. Where a certificate cannot be read here, all is: what the judge reads in it, it
    says itself.
    """
    with store.reading() as tx:
        yield from excerpt_of(tx, sites, chains)


def excerpt_of(
    tx: Transaction, sites: Sequence[SiteRecord], chains: Sequence[Sequence[bytes]], touched: Concern | None = None
) -> Iterator[bytes]:
    """As `build_for`, of what a transaction sees. Who applies the delta of a change to it says what that has `touched`,
    which may concern the chains by then."""
    try:
        shown = _Shown(chains)
        known = _Known(tx, shown, touched or Concern())
    except (*UNREADABLE, BadInput):
        yield from build_of(tx, sites)
        return
    yield encode(
        Batch(
            authorities=known.authorities,
            clients=known.clients,
            credentials=known.credentials,
            pins=known.pins,
            revocations=known.revocations(),
            partners=[*known.partners, *known.hosts],
        )
    )
    anchors = anchor_records(tx, tx.anchors.plain_of(one.id for one in known.partners))
    keys = [(one.id, number) for one in anchors for number in known.serials]
    foreign = [ForeignRecord(*one) for one in tx.foreign.plain(keys)]
    yield encode(Batch(anchors=anchors, foreign=foreign, members=known.members))
    yield encode(Batch(epoch=tx.changes.epoch(), sites=list(sites)))


def build_of_seen(tx: Transaction, sites: Sequence[SiteRecord], those: Concern, touched: Concern) -> Iterator[bytes]:
    """As `build_for`, of very many that were seen, by what was noted of them then: none is read. Who applies the delta
    of a change to it says what that has `touched`, which may concern them by now.

    What is told besides of these costs less to tell than to leave out.
    """
    names = tx.seen.partners_names_above(those.digests, those.names)
    if UNKNOWN_NAME in names:
        yield from build_of(tx, sites)
        return
    authorities = [AuthorityRecord(*one) for part in tx.authorities.walk(BATCH_RECORDS) for one in part]
    partners = [partner_record(one) for one in tx.partners.plain({*tx.partners.concerned(names), *touched.partners})]
    anchors = anchor_records(tx, tx.anchors.plain_of(one.id for one in partners))
    credentials = tx.credentials.plain_of_seen(those.digests, those.names)
    pins = tx.pins.plain_of_seen(those.digests, those.names)
    clients = {one.estate for one in authorities if one.estate is not None} | touched.clients
    clients.update(one.client for one in partners)
    clients.update(owner for _, _, owner, _ in credentials)
    clients.update(pin[3] for pin in pins)
    for members in tx.members.plain_of([one.id for one in partners], BATCH_RECORDS):
        clients.update(client for _, _, client in members)
        yield encode_rows("members", members)
    hosts = set[int]()
    for some in tx.clients.plain(clients, BATCH_RECORDS):
        hosts.update(host for *_, theirs in some for host in theirs)
        yield encode_rows("clients", some)
    partners += [partner_record(one) for one in tx.partners.plain(hosts - {one.id for one in partners})]
    yield encode_rows("credentials", credentials)
    yield encode_rows("pins", pins)
    for revocations in tx.revocations.walk(BATCH_RECORDS):
        yield encode_rows("revocations", revocations)
    for foreign in tx.foreign.walk_plain(BATCH_RECORDS, [one.id for one in anchors]):
        yield encode_rows("foreign", foreign)
    yield encode(Batch(authorities=authorities, partners=partners, anchors=anchors))
    yield encode(Batch(epoch=tx.changes.epoch(), sites=list(sites)))


class _Shown:
    """What the store is asked by. Raises what an unreadable certificate does."""

    def __init__(self, chains: Sequence[Sequence[bytes]]) -> None:
        serials, names = dict[bytes, None](), dict[bytes, None]()
        self.leaves: list[x509.Certificate] = []
        for chain in chains:
            with odd_serials_allowed():
                certificates = [x509.load_der_x509_certificate(der) for der in chain]
                serials |= dict.fromkeys(serial.from_int(one.serial_number) for one in certificates)
            names |= dict.fromkeys(names_above(certificates))
            self.leaves += certificates[:1]
        self.serials, self.names = list(serials), list(names)
        self.fingerprints = list(dict.fromkeys(hashlib.sha256(chain[0]).digest() for chain in chains if chain))
        self.spkis = list(dict.fromkeys(spki for leaf in self.leaves if (spki := _spki(leaf)) is not None))


class _Known:
    """What the store knows of the chains. Raises what an unreadable certificate does."""

    def __init__(self, tx: Transaction, shown: _Shown, touched: Concern) -> None:
        self._tx, self._shown = tx, shown
        self.authorities = [AuthorityRecord(*one) for part in tx.authorities.walk(BATCH_RECORDS) for one in part]
        self.credentials = [CredentialRecord(*one) for one in tx.credentials.plain(shown.fingerprints)]
        self.pins = [PinRecord(*one) for one in tx.pins.plain_of(shown.fingerprints, shown.spkis)]
        concerned = {*tx.partners.concerned(shown.names), *touched.partners}
        self.partners = [partner_record(one) for one in tx.partners.plain(concerned)]
        self.serials = list(dict.fromkeys([*shown.serials, *self._helpers_serials()]))
        self.members = [MemberRecord(*one) for one in tx.members.plain(self._names())]
        # Those that any of it can stand for, and the partners with whom these go out.
        ids = {one.estate for one in self.authorities if one.estate is not None} | touched.clients
        ids.update(one.client for part in (self.credentials, self.pins, self.partners, self.members) for one in part)
        hosts = tx.clients.hosts(ids)
        clients = tx.clients.get_many(sorted(ids)).values()
        self.clients = [
            client_record(one, hosts.get(one.id, NO_HOSTS)) for one in clients if one.state is not ClientState.GONE
        ]
        more = {host for one in self.clients for host in one.hosts} - concerned
        self.hosts = [partner_record(one) for one in tx.partners.plain(more)]

    def revocations(self) -> list[RevocationRecord]:
        """Those of the chains' numbers, by whichever authority of ours."""
        return [revocation_record(one) for one in self._tx.revocations.of_serials(self._shown.serials)]

    def _helpers_serials(self) -> list[bytes]:
        """The numbers of the partners' intermediates: a path may lead over one that was not sent, and was revoked."""
        with odd_serials_allowed():
            helpers = [x509.load_der_x509_certificate(der) for one in self.partners for der in one.intermediates]
            return [serial.from_int(one.serial_number) for one in helpers]

    def _names(self) -> list[tuple[int, str]]:
        """As whom a leaf may be recorded, inside which partner."""
        found: list[tuple[int, str]] = []
        for leaf in self._shown.leaves:
            called = {profile: name_of(leaf, profile) for profile in PartnerProfile}
            names = ((one.id, called[PartnerProfile(one.profile)]) for one in self.partners)
            found += [(id, name) for id, name in names if name is not None]
        return list(dict.fromkeys(found))


def _spki(leaf: x509.Certificate) -> bytes | None:
    """`None` for a key that cannot be read here: nobody could have pinned it."""
    try:
        return spki_fingerprint(leaf)
    except (*UNREADABLE, BadInput):
        return None
