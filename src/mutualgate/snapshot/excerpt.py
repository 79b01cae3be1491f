"""What of the store a verdict about one chain can depend on: for who asks about one certificate and runs no gate.

The judge is the same; it is only not told of the other clients. So a question costs the same with 1 client or
1,000,000. A test holds that the whole gives the same verdicts.
"""

import hashlib
from collections.abc import Iterator, Sequence

from cryptography import x509

from mutualgate.errors import BadInput
from mutualgate.model import ClientState, PinKind, serial
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.snapshot.builder import (
    BATCH_RECORDS,
    anchor_records,
    authority_record,
    client_record,
    partner_record,
    revocation_record,
)
from mutualgate.snapshot.records import (
    Batch,
    ClientRecord,
    CredentialRecord,
    ForeignRecord,
    MemberRecord,
    PinRecord,
    RevocationRecord,
    SiteRecord,
    encode,
)
from mutualgate.store import Store, Transaction


def build_for(store: Store, sites: Sequence[SiteRecord], chain: Sequence[bytes]) -> Iterator[bytes]:
    """As `build`, but of clients, credentials, pins and revocations only what concerns `chain` (DER, leaf first).

    Authorities, partners, their CAs and their clients are all there: which of them a name belongs to, the judge says.
    """
    with store.reading() as tx:
        known = _Known(tx, chain)
        for part in known.clients():
            yield encode(Batch(clients=part))
        yield encode(
            Batch(
                authorities=[authority_record(one) for one in known.authorities],
                credentials=known.credentials,
                pins=known.pins,
                revocations=known.revocations(),
            )
        )
        for partners in tx.partners.walk(max(1, BATCH_RECORDS // 10)):
            yield encode(Batch(partners=[partner_record(one) for one in partners]))
        for anchors in tx.partners.walk_anchors(max(1, BATCH_RECORDS // 10)):
            records = anchor_records(tx, anchors)
            keys = [(one.id, number) for one in records for number in known.serials]
            yield encode(Batch(anchors=records, foreign=[ForeignRecord(*one) for one in tx.foreign.plain(keys)]))
        for members in tx.partners.walk_members(BATCH_RECORDS):
            yield encode(Batch(members=[MemberRecord(*one) for one in members]))
        yield encode(Batch(epoch=tx.changes.epoch(), sites=list(sites)))


class _Known:
    """What the store knows of a chain."""

    def __init__(self, tx: Transaction, chain: Sequence[bytes]) -> None:
        self._tx = tx
        self.authorities = [one for one in tx.authorities.all() if one.is_anchor]
        self.serials = list(dict.fromkeys(number for der in chain if (number := _serial(der)) is not None))
        leaf = chain[0] if chain else b""
        fingerprint = hashlib.sha256(leaf).digest()
        credential = tx.credentials.with_fingerprint(fingerprint)
        self.credentials = (
            []
            if credential is None
            else [CredentialRecord(credential.fingerprint, credential.id, credential.client, credential.authority)]
        )
        found = [tx.pins.with_digest(PinKind.CERTIFICATE, fingerprint)]
        spki = _spki(leaf)
        if spki is not None:
            found.append(tx.pins.with_digest(PinKind.KEY, spki))
        self.pins = [PinRecord(*one) for one in tx.pins.plain([pin.id for pin in found if pin is not None])]
        gone = self._gone()
        self.credentials = [one for one in self.credentials if one.client not in gone]

    def clients(self) -> Iterator[list[ClientRecord]]:
        """Those that any of it can stand for."""
        ids = self._owners()
        ids |= {one.estate for one in self.authorities if one.estate is not None}
        for partners in self._tx.partners.walk(BATCH_RECORDS):
            ids |= {partner_record(one).client for one in partners}
        for members in self._tx.partners.walk_members(BATCH_RECORDS):
            ids |= {MemberRecord(*one).client for one in members}
        ordered = sorted(ids)
        for start in range(0, len(ordered), BATCH_RECORDS):
            some = self._tx.clients.get_many(ordered[start : start + BATCH_RECORDS])
            out = self._tx.clients.out_with_partner(some)
            yield [client_record(one, out) for one in some.values() if one.state is not ClientState.GONE]

    def revocations(self) -> list[RevocationRecord]:
        """Those of the chain's numbers, by whichever authority of ours."""
        entries = [
            self._tx.revocations.find(authority.id, number) for authority in self.authorities for number in self.serials
        ]
        return [revocation_record(one) for one in entries if one is not None]

    def _owners(self) -> set[int]:
        return {one.client for one in self.credentials} | {one.client for one in self.pins}

    def _gone(self) -> set[int]:
        owners = self._tx.clients.get_many(self._owners())
        return {id for id, one in owners.items() if one.state is ClientState.GONE}


def _serial(der: bytes) -> bytes | None:
    try:
        with odd_serials_allowed():
            return serial.from_int(x509.load_der_x509_certificate(der).serial_number)
    except (*UNREADABLE, BadInput):
        return None


def _spki(der: bytes) -> bytes | None:
    try:
        with odd_serials_allowed():
            return spki_fingerprint(x509.load_der_x509_certificate(der))
    except (*UNREADABLE, BadInput):
        return None
