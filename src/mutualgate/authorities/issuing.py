"""Signing in a transaction that somebody else leads: the number is stored before anything is signed under it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mutualgate.authorities.crl import CRL_LIFETIME
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.profiles import CLIENT_LIFETIME, SERVER_LIFETIME, Prepared, Profile, prepare, sign
from mutualgate.errors import BadInput, NotFound
from mutualgate.model import serial
from mutualgate.model.authority import Authority, AuthorityKind
from mutualgate.model.names import AuthorityName, shown
from mutualgate.reading.files import odd_serials_allowed
from mutualgate.store import Transaction

RENEWAL_OVERLAP = timedelta(days=7)
"""Long enough to bring the new one to every machine, whoever is on holiday."""
RENEWAL_GRACE = timedelta(days=30)
"""Who was offline when it ended proves the key all the same."""


@dataclass(frozen=True)
class Policy:
    """What is written into all that we sign. Below `crl_url` is an authority's list, `NAME.crl`; None: no address."""

    crl_url: str | None = None
    crl_life: timedelta = CRL_LIFETIME
    client_validity: timedelta = CLIENT_LIFETIME
    server_validity: timedelta = SERVER_LIFETIME
    renewal_overlap: timedelta = RENEWAL_OVERLAP
    """How long a certificate goes on once another one renews it."""
    renewal_grace: timedelta = RENEWAL_GRACE
    """How long after its end a certificate is still renewed, for the same key."""

    def crl_address(self, authority: Authority) -> str | None:
        """Where the authority's CRL is fetched (RFC 5280 4.2.1.13)."""
        return None if self.crl_url is None else f"{self.crl_url.rstrip('/')}/{authority.name}.crl"


def issue(
    tx: Transaction,
    keys: KeyRing,
    issuer: Authority,
    profile: Profile,
    public_key: CertificatePublicKeyTypes,
    now: datetime,
    policy: Policy,
    purpose: str,
) -> tuple[x509.Certificate, Prepared]:
    """A certificate by `issuer`. `purpose` says in one word, for the store, what it is for.

    Nothing of it leaves before the transaction ends: a crash undoes the number together with the certificate.
    """
    prepared = prepare(profile, public_key, certificate_of(issuer), now, policy.crl_address(issuer))
    key = keys.open(tx, issuer)
    tx.serials.reserve(issuer.id, serial.from_int(prepared.serial), purpose, now)
    return sign(prepared, key), prepared


def certificate_of(authority: Authority) -> x509.Certificate:
    """Its certificate."""
    with odd_serials_allowed():
        return x509.load_der_x509_certificate(authority.certificate)


def chain_of(tx: Transaction, authority: Authority) -> list[x509.Certificate]:
    """What is sent after a leaf: the authority and those above it, without the root."""
    chain = []
    link: Authority | None = authority
    while link is not None and link.issuer is not None:
        chain.append(certificate_of(link))
        link = tx.authorities.get(link.issuer)
    return chain


def is_worn(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether two thirds of its life are over, so that the next one is due; or it has not begun, because the clock was
    set back since."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return not begin <= now < end - (end - begin) / 3


def find(tx: Transaction, name: str) -> Authority:
    """The authority of this name. Raises `NotFound`."""
    try:
        found = tx.authorities.find(AuthorityName(name))
    except BadInput:
        found = None  # no authority can be called so
    if found is None:
        raise NotFound(
            f"there is no authority {shown(name)}", fix="See them with: mutualgate ca list", code="no_such_authority"
        )
    return found


def issuing_authority(tx: Transaction, name: str | None = None) -> Authority:
    """The authority that signs leaves: the one of this name, else our newest issuing one. Raises `NotFound`."""
    if name is not None:
        return find(tx, AuthorityName(name))
    found = next((one for one in reversed(tx.authorities.own()) if one.kind is AuthorityKind.ISSUING), None)
    if found is None:
        raise NotFound("there is no authority yet", fix="Run 'mutualgate up', which makes one", code="no_authority")
    return found
