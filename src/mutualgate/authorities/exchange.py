"""The certificate that devices encrypt their SCEP requests for (RFC 8894 2.1.2): RSA, since that is all SCEP knows.

Our authorities have keys on curves, so a certificate under the issuing one stands for them in these messages. It signs
no certificates and is no credential: kept like a site's, renewed in time.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy, certificate_of, chain_of, is_worn, issue, issuing_authority
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, make_key
from mutualgate.authorities.profiles import RecipientProfile
from mutualgate.errors import Corrupt
from mutualgate.store import Transaction

SETTING: Final = "scep"


@dataclass(frozen=True)
class Recipient:
    """The certificate, its key, and what is above it: the issuing authority, then the root."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)
    above: tuple[x509.Certificate, ...]


def stored(tx: Transaction, keys: KeyRing, now: datetime) -> Recipient | None:
    """The one that is kept, unless two thirds of its life are over or another authority signs now."""
    text = tx.settings.get(SETTING)
    if text is None:
        return None
    try:
        kept = json.loads(text)
        certificate = x509.load_pem_x509_certificate(kept["certificate"].encode())
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the certificate for SCEP cannot be read", where="store") from error
    above = _above(tx)
    if is_worn(certificate, now) or kept["issuer"] != _hex(above[0]):
        return None
    key = keys.unlock(kept["key"].encode(), "the key for SCEP")
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Corrupt("the key for SCEP is of another kind", where="store")
    return Recipient(certificate, key, above)


def issued(tx: Transaction, keys: KeyRing, policy: Policy, now: datetime) -> Recipient:
    """A new one with a new key, kept in place of the one before."""
    key = make_key(KeyKind.RSA2048)
    assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - that kind was asked for
    issuer = issuing_authority(tx)
    certificate, _ = issue(tx, keys, issuer, RecipientProfile(), key.public_key(), now, policy, "scep")
    above = _above(tx)
    pem = certificate.public_bytes(Encoding.PEM).decode()
    tx.settings.put(SETTING, json.dumps({"certificate": pem, "issuer": _hex(above[0]), "key": keys.lock(key).decode()}))
    return Recipient(certificate, key, above)


def _above(tx: Transaction) -> tuple[x509.Certificate, ...]:
    issuer = issuing_authority(tx)
    chain = chain_of(tx, issuer) or [certificate_of(issuer)]
    root = None if issuer.issuer is None else tx.authorities.get(issuer.issuer)
    return (*chain, *([] if root is None else [certificate_of(root)]))


def _hex(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
