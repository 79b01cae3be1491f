"""Rows for a store in one line each, where no real certificate is needed."""

import hashlib
import itertools
from datetime import UTC, datetime

from mutualgate.model import Admits, Authority, AuthorityKind, AuthorityName, Client, ClientName, Credential, Origin
from mutualgate.model.certificate import CertificateFacts
from mutualgate.store import Transaction

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_counter = itertools.count(1)


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


def client(tx: Transaction, name: str = "anna", *roles: str) -> Client:
    from mutualgate.model.names import roles as parse

    return tx.clients.add(ClientName(name), contact="", roles=parse(roles), at=AT)


def credential(
    tx: Transaction, owner: Client, by: Authority, text: str = "", serial: bytes | None = None
) -> Credential:
    return tx.credentials.add(
        owner, authority=by.id, certificate_facts=facts(text, serial=serial), origin=Origin.ISSUED, at=AT
    )
