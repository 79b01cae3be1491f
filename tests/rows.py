"""Rows for a store in one line each, where no real certificate is needed."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from sqlalchemy import event

from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.certificate import CertificateFacts, spki_fingerprint
from mutualgate.model.client import Client
from mutualgate.model.credential import Credential, Origin
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.model.names import AuthorityName, ClientName
from mutualgate.model.partner import Anchor, AnchorState, Partner, PartnerAdmits, PartnerName, RevocationMode
from mutualgate.model.pin import Pin, PinKind
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.model.sighting import Sighting
from mutualgate.partners.names import hashes_in
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import Hashes, NewInvitation

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_counter = itertools.count(1)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What the database is told meanwhile."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        event.remove(store._engine, "before_cursor_execute", note)


def plan(tx: Transaction, statement: str) -> list[str]:
    """How the database goes about a statement."""
    steps = tx._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (0,) * statement.count("?"))
    return [str(step[3]) for step in steps]


def facts(text: str = "", *, serial: bytes | None = None, key: str | None = None) -> CertificateFacts:
    """What would be read from a certificate, another one for each `text` and, without one, for each call."""
    number = next(_counter)
    der = (text or f"certificate {number}").encode()
    return CertificateFacts(
        der=der,
        serial=number.to_bytes(8, "big").lstrip(b"\0") if serial is None else serial,
        fingerprint=hashlib.sha256(der).digest(),
        spki=hashlib.sha256(f"key {key or der.decode()}".encode()).digest(),
        not_before=AT,
        not_after=AT.replace(year=2027),
    )


def authority(
    tx: Transaction,
    name: str = "issuing",
    kind: AuthorityKind = AuthorityKind.ISSUING,
    admits: Admits = Admits.ISSUED,
    estate: int | None = None,
) -> Authority:
    return tx.authorities.add(
        AuthorityName(name),
        kind=kind,
        admits=admits,
        certificate=name.encode(),
        spki=hashlib.sha256(name.encode()).digest(),
        not_after=AT.replace(year=2036),
        at=AT,
        estate=estate,
    )


def adopted(store: Store, count: int) -> None:
    """So many CAs more, each with a client for what it signed and a revocation."""
    with store.transaction() as tx:
        for _ in range(count):
            number = next(_counter)
            estate = client(tx, f"estate {number}")
            one = authority(tx, f"adopted-{number}", AuthorityKind.ADOPTED, Admits.SIGNED, estate.id)
            tx.revocations.put(Revocation(one.id, b"\x05", AT, RevocationReason.superseded))


def client(tx: Transaction, name: str = "anna", *roles: str) -> Client:
    from mutualgate.model.names import roles as parse

    return tx.clients.add(ClientName(name), contact="", roles=parse(roles), at=AT)


def credential(
    tx: Transaction, owner: Client, by: Authority, text: str = "", serial: bytes | None = None
) -> Credential:
    return tx.credentials.add(
        owner, authority=by.id, certificate_facts=facts(text, serial=serial), origin=Origin.ISSUED, at=AT
    )


def pin(tx: Transaction, owner: int, text: str = "one", kind: PinKind = PinKind.CERTIFICATE, key: str = "") -> Pin:
    digest = hashlib.sha256(text.encode()).digest()
    return tx.pins.add(
        client=owner,
        kind=kind,
        digest=digest,
        spki=hashlib.sha256(key.encode()).digest() if key else digest,
        certificate=text.encode() if kind is PinKind.CERTIFICATE else None,
        subject=f"CN={text}",
        environment="",
        not_before=AT,
        not_after=AT.replace(year=2027),
        at=AT,
    )


def partner(tx: Transaction, name: str = "acme", own: str = "") -> Partner:
    return tx.partners.add(
        PartnerName(name),
        contact="",
        security_contact="",
        admits=PartnerAdmits.RULE,
        roles=(),
        client=client(tx, own or name).id,
        at=AT,
    )


def invitation(tx: Transaction, guest: int, host: int, number: int = 0) -> None:
    """One of an administrator of the partner `host`, by which `guest` came in."""
    new = NewInvitation(
        client=guest,
        hashes=Hashes(number.to_bytes(32), None, None),
        ways=(Way.CSR,),
        validity=None,
        approval=False,
        by="test",
        created=AT,
        expires=AT + timedelta(days=7),
        sent_to="",
        partner=host,
    )
    tx.invitations.set(tx.invitations.add(new).id, {"state": InvitationState.USED, "closed": AT})


def claim(of: Partner, text: str = "ca", state: AnchorState = AnchorState.ACTIVE) -> Anchor:
    return Anchor(
        id=0,
        partner=of.id,
        certificate=text.encode(),
        spki=hashlib.sha256(text.encode()).digest(),
        subject=f"CN={text}",
        state=state,
        shared=False,
        depth=0,
        sub_cas=(b"\1" * 32, b"\2" * 32),
        environment="test",
        not_before=AT,
        not_after=AT + timedelta(days=100),
        expired_grace=timedelta(days=2),
        retire_at=None,
        created=AT,
        activated=AT if state in (AnchorState.ACTIVE, AnchorState.RETIRING) else None,
        challenge="code",
        challenge_expires=AT + timedelta(days=7),
        revocation=RevocationMode.GRACE,
        grace=timedelta(hours=24),
        leaf_limit=timedelta(days=90),
        policy="1.2.3.4",
        hold=True,
    )


def see(
    store: Store,
    chain: Sequence[bytes],
    *,
    at: datetime,
    site: str = "main",
    path: str = "/",
    reason: str = "",
    subject: str = "CN=seen",
    count: int = 1,
    client: int | None = None,
    not_after: datetime | None = None,
    signer: bytes | None = None,
) -> bytes:
    """A certificate that was shown to the gate; returns its SHA-256."""
    fingerprint = hashlib.sha256(chain[0]).digest()
    with store.transaction() as tx:
        tx.seen.add_many(
            [
                Sighting(
                    fingerprint=fingerprint,
                    chain=tuple(chain),
                    site=site,
                    path=path,
                    first_at=at,
                    last_at=at,
                    count=count,
                    reason=reason,
                    subject=subject,
                    client=client,
                    not_after=not_after,
                    peer="192.0.2.9",
                    spki=_spki(chain[0]),
                    signer=signer,
                    names=hashes_in(chain),
                )
            ]
        )
    return fingerprint


def _spki(der: bytes) -> bytes | None:
    """As the gate keeps it: none of what is no certificate."""
    try:
        return spki_fingerprint(x509.load_der_x509_certificate(der))
    except ValueError:
        return None
