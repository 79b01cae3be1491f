"""A certificate for a client, in a transaction that somebody else leads: invitation, renewal or an operator's command.

Knows whose a key is and what is recorded. Who may have a certificate, the callers know.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate import audit
from mutualgate.authorities import issuing
from mutualgate.authorities.csr import Difference, Request, differences
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.profiles import ClientProfile, Prepared
from mutualgate.clients import revoking, subject
from mutualgate.errors import Conflict
from mutualgate.model import serial
from mutualgate.model.authority import Authority, AuthorityKind
from mutualgate.model.certificate import facts
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Credential, Origin
from mutualgate.model.pin import PinState
from mutualgate.partners import sharing
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Transaction


@dataclass(frozen=True)
class Signed:
    """A new credential. `differences` is what the request asked for and the certificate does not say so."""

    client: Client
    credential: Credential
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    differences: tuple[Difference, ...]

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The certificate and what is above it but the root: what a program that connects has to send."""
        return b"".join(link.public_bytes(Encoding.PEM) for link in (self.certificate, *self.chain))


@dataclass(frozen=True)
class Issued:
    """What was made for one key, all of it recorded in the transaction but for the audit entry."""

    client: Client
    credential: Credential
    certificate: x509.Certificate
    prepared: Prepared
    chain: tuple[x509.Certificate, ...]


class Signer:
    """Signs with the authorities' keys by the policy in force. `by` names who acts, for the audit log."""

    def __init__(self, keys: KeyRing, policy: Policy, by: str) -> None:
        self._keys = keys
        self.policy = policy
        self._by = by

    def sign(
        self,
        tx: Transaction,
        client: Client,
        request: Request,
        now: datetime,
        *,
        authority: str | None = None,
        lifetime: timedelta | None = None,
        replaces: int | None = None,
        replaces_pin: int | None = None,
        action: str = "credential.sign",
        more: audit.Facts | None = None,
        by: str | None = None,
    ) -> Signed:
        """A certificate for the key of `request`, with its audit entry. Raises `Conflict` for a key that may not be."""
        made = self.issue(
            tx,
            client,
            request.public_key,
            now,
            authority=authority,
            lifetime=lifetime,
            replaces=replaces,
            replaces_pin=replaces_pin,
        )
        asked = tuple(differences(request, made.prepared))
        self.record(tx, now, action, made, {"differences": len(asked), **(more or {})}, by=by)
        return Signed(made.client, made.credential, made.certificate, made.chain, asked)

    def issue(
        self,
        tx: Transaction,
        client: Client,
        key: CertificatePublicKeyTypes,
        now: datetime,
        *,
        authority: str | None = None,
        lifetime: timedelta | None = None,
        replaces: int | None = None,
        replaces_pin: int | None = None,
    ) -> Issued:
        """A certificate for `key` that says what the client's record says. The caller adds the audit entry."""
        issuer = signing_authority(tx, authority)
        check_key(tx, client, key_fingerprint(key), now)
        certificate, prepared = issuing.issue(
            tx, self._keys, issuer, self.profile(client, lifetime), key, now, self.policy, "client"
        )
        credential = tx.credentials.add(
            client,
            authority=issuer.id,
            certificate_facts=facts(certificate),
            origin=Origin.ISSUED,
            at=now,
            replaces=replaces,
            replaces_pin=replaces_pin,
        )
        if client.state is ClientState.NEW:
            tx.clients.set_state(client.id, ClientState.ACTIVE)
        return Issued(active(client), credential, certificate, prepared, tuple(issuing.chain_of(tx, issuer)))

    def profile(self, client: Client, lifetime: timedelta | None) -> ClientProfile:
        """What its certificate says."""
        return ClientProfile(
            client.id, str(client.name), client.contact or None, lifetime or self.policy.client_validity
        )

    def record(
        self,
        tx: Transaction,
        now: datetime,
        action: str,
        made: Issued,
        more: audit.Facts,
        *,
        by: str | None = None,
    ) -> None:
        """The audit entry."""
        about = {**credential_facts(made.credential), **more}
        audit.record(tx, now, by or self._by, action, subject(made.client), about)


def signing_authority(tx: Transaction, name: str | None) -> Authority:
    """Who signs clients. Raises `Conflict` for a root, `NotFound`."""
    issuer = issuing.issuing_authority(tx, name)
    if issuer.kind is AuthorityKind.ROOT:
        raise Conflict("the root signs no clients", expected="an issuing or adopted authority", code="root_signs_none")
    return issuer


def check_key(tx: Transaction, client: Client, spki: bytes, now: datetime) -> None:
    """Before anything is signed: one key, one owner, and never again one that somebody else has seen."""
    tx.credentials.own_key(client, spki)
    sharing.check_client_key(tx, spki, now)
    revoking.check_not_compromised(spki, tx.credentials.compromised([spki]))


def supersede(tx: Transaction, old: Credential, now: datetime, overlap: timedelta) -> None:
    """Ends a certificate that another one renews: after `overlap`, or by itself if it does not last as long."""
    if now + overlap < old.not_after:
        tx.credentials.set_superseded(old.id, now + overlap)


def end_pin(tx: Transaction, id: int, until: datetime) -> None:
    """Ends a pin that something else takes the place of, unless it ends before `until` by itself."""
    pin = tx.pins.get(id)
    if pin is not None and pin.state is PinState.ACTIVE and until < pin.not_after:
        tx.pins.set(id, state=PinState.ACTIVE, retired=None, not_after=until)


def credential_facts(credential: Credential) -> dict[str, str | int | bool | None]:
    """What the audit log says of a certificate."""
    return {
        "serial": serial.text(credential.serial),
        "fingerprint": credential.fingerprint.hex(),
        "not_after": credential.not_after.isoformat(),
    }


def active(client: Client) -> Client:
    """As it is once it has a credential."""
    return replace(client, state=ClientState.ACTIVE)
