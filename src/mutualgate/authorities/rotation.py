"""The next root and the next issuing authority, within the transaction of the service. The older ones go on verifying.

A new root signs nothing by itself: it is published beside the old one until an issuing authority is made under it, for
only who trusts it can then reach the gate.
"""

import re
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mutualgate.authorities import issuing
from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, PrivateKey
from mutualgate.authorities.profiles import MAX_COMMON_NAME, IntermediateProfile, RootProfile, prepare, sign
from mutualgate.errors import Conflict
from mutualgate.model import serial
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.names import AuthorityName
from mutualgate.store import Transaction

_GENERATION = re.compile(r"(.*?)(?: \d{1,4})?")


def current_root(tx: Transaction) -> Authority:
    """The root above the issuing authority in force. Raises `NotFound`, `Conflict`."""
    now_issuing = issuing.issuing_authority(tx)
    root = None if now_issuing.issuer is None else tx.authorities.get(now_issuing.issuer)
    if root is None:
        raise Conflict("the issuing authority has no root of ours above it", code="no_root")
    return root


def new_root(tx: Transaction, keys: KeyRing, key: PrivateKey, lifetime: timedelta, now: datetime) -> Authority:
    """A root beside the one in force. `key` is new; it is locked here."""
    before = current_root(tx)
    name, common_name = _next(tx, AuthorityKind.ROOT, before)
    prepared = prepare(RootProfile(common_name, lifetime), key.public_key(), None, now)
    certificate = sign(prepared, key)
    made = _add(tx, keys, key, name, AuthorityKind.ROOT, certificate, None, now)
    tx.serials.reserve(made.id, serial.from_int(prepared.serial), "root", now)
    return made


def new_issuing(
    tx: Transaction,
    keys: KeyRing,
    policy: Policy,
    key: PrivateKey,
    root: Authority,
    lifetime: timedelta,
    now: datetime,
) -> Authority:
    """An issuing authority under `root`, which signs from now on. Raises `Conflict` for what is no root of ours."""
    if root.kind is not AuthorityKind.ROOT:
        raise Conflict(
            f"the authority '{root.name}' is no root of ours", fix="See them with: mutualgate ca list", code="no_root"
        )
    name, common_name = _next(tx, AuthorityKind.ISSUING, issuing.issuing_authority(tx))
    certificate, _ = issuing.issue(
        tx, keys, root, IntermediateProfile(common_name, lifetime), key.public_key(), now, policy, "issuing"
    )
    return _add(tx, keys, key, name, AuthorityKind.ISSUING, certificate, root.id, now)


def key_kind(authority: Authority) -> KeyKind:
    """What kind its key is, so that the next one is of the same kind."""
    key = certificate_of(authority).public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return KeyKind.RSA3072 if key.key_size > 2048 else KeyKind.RSA2048
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1":
        return KeyKind.P384
    return KeyKind.P256


def _next(tx: Transaction, kind: AuthorityKind, before: Authority) -> tuple[AuthorityName, str]:
    """A name of ours, and a subject of its own: two authorities with one subject are legal and confuse programs."""
    taken = {str(one.name) for one in tx.authorities.all()}
    number = 2
    while f"{kind}-{number}" in taken:
        number += 1
    subject = certificate_of(before).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common_name = str(subject[0].value) if subject else str(kind)
    match = _GENERATION.fullmatch(common_name)
    stem = match[1] if match else common_name
    suffix = f" {number}"
    return AuthorityName(f"{kind}-{number}"), stem[: MAX_COMMON_NAME - len(suffix)].rstrip() + suffix


def _add(
    tx: Transaction,
    keys: KeyRing,
    key: PrivateKey,
    name: AuthorityName,
    kind: AuthorityKind,
    certificate: x509.Certificate,
    issuer: int | None,
    now: datetime,
) -> Authority:
    return tx.authorities.add(
        name,
        kind=kind,
        admits=Admits.ISSUED,
        certificate=certificate.public_bytes(Encoding.DER),
        spki=spki_fingerprint(certificate),
        not_after=certificate.not_valid_after_utc,
        at=now,
        key=keys.lock(key),
        issuer=issuer,
    )
