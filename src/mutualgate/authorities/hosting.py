"""The gate's own certificates: one for each site that has none of its own, kept and renewed in time."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy, certificate_of, chain_of, is_worn, issue, issuing_authority
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, PrivateKey, make_key, plain_key_pem
from mutualgate.authorities.profiles import ServerProfile
from mutualgate.errors import Corrupt
from mutualgate.model.authority import AuthorityKind
from mutualgate.store import Transaction


@dataclass(frozen=True)
class ServerCertificate:
    """A site's certificate; `chain_pem` is it and what is above it but the root, `key_pem` is for memory only."""

    site: str
    hosts: tuple[str, ...]
    certificate: x509.Certificate
    chain_pem: bytes
    key: PrivateKey = field(repr=False)
    is_new: bool

    @property
    def key_pem(self) -> bytes:
        """PKCS #8 without encryption."""
        return plain_key_pem(self.key)

    @property
    def not_after(self) -> datetime:
        """Its last second."""
        return self.certificate.not_valid_after_utc


def stored(
    tx: Transaction, keys: KeyRing, site: str, hosts: tuple[str, ...], now: datetime
) -> ServerCertificate | None:
    """The site's certificate, unless it is for other hosts, two thirds of its life are over, or our root is another."""
    text = tx.settings.get(_name(site))
    if text is None:
        return None
    try:
        kept = json.loads(text)
        chain = x509.load_pem_x509_certificates(kept["chain"].encode())
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("the certificate of the site cannot be read", where=f"store, site '{site}'") from error
    certificate = chain[0]
    issuer = issuing_authority(tx)
    same_issuer = certificate.issuer == certificate_of(issuer).subject and len(chain) == 1 + len(chain_of(tx, issuer))
    if tuple(kept["hosts"]) != hosts or not same_issuer or is_worn(certificate, now):
        return None
    key = keys.unlock(kept["key"].encode(), f"the key of the site '{site}'")
    return ServerCertificate(site, hosts, certificate, kept["chain"].encode(), key, is_new=False)


def issued(
    tx: Transaction, keys: KeyRing, policy: Policy, site: str, hosts: tuple[str, ...], now: datetime
) -> ServerCertificate:
    """A new certificate for the site, with a new key, kept in place of the one before."""
    key = make_key(KeyKind.P256)
    issuer = issuing_authority(tx)
    assert issuer.kind is AuthorityKind.ISSUING  # noqa: S101 - asked for without a name
    profile = ServerProfile(hosts, policy.server_validity)
    certificate, _ = issue(tx, keys, issuer, profile, key.public_key(), now, policy, "server")
    chain = b"".join(link.public_bytes(Encoding.PEM) for link in [certificate, *chain_of(tx, issuer)])
    kept = {"hosts": list(hosts), "chain": chain.decode(), "key": keys.lock(key).decode()}
    tx.settings.put(_name(site), json.dumps(kept))
    return ServerCertificate(site, hosts, certificate, chain, key, is_new=True)


def _name(site: str) -> str:
    """The name of the setting; sites have names of any length."""
    return f"site.{sha256(site.encode()).hexdigest()[:32]}"
