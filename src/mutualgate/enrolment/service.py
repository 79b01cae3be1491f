"""Gives clients certificates. Certificate, credential, audit entry and change are one transaction.

Knows who may have one and whose a key is. What a certificate says and which keys are good, `authorities` knows.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate import audit
from mutualgate.authorities import issuing, p12
from mutualgate.authorities.csr import Difference, differences, read_csr
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, make_key
from mutualgate.authorities.profiles import ClientProfile, Prepared
from mutualgate.clients import find, states
from mutualgate.errors import BadInput, Conflict
from mutualgate.model import AuthorityKind, Client, ClientState, Credential, Origin, RevocationReason, serial
from mutualgate.model.certificate import facts
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Store, Transaction


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
class MadeP12:
    """A new credential with the key that was made for it, which is nowhere else. Show `password` once."""

    client: Client
    credential: Credential
    certificate: x509.Certificate
    encoding: p12.Encoding
    data: bytes = field(repr=False)
    password: str = field(repr=False)


class Enrolment:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, keys: KeyRing, policy: Policy | None = None, by: str = "operator") -> None:
        self._store = store
        self._keys = keys
        self._policy = policy or Policy()
        self._by = by

    def sign(
        self,
        name: str,
        csr: bytes,
        where: str = "the CSR",
        *,
        authority: str | None = None,
        lifetime: timedelta | None = None,
    ) -> Signed:
        """Signs a client's CSR, PEM or DER, read from `where`; by our issuing authority unless another is named.

        What it says comes from the client's record alone. A client may have several, so that the old certificate and
        the new one overlap, under one key too.

        Raises `BadInput` for a CSR that proves nothing or a weak key, `NotFound`, and `Conflict` for a client that is
        suspended, a key that another client or an authority uses, or one that was revoked as compromised.
        """
        request = read_csr(csr, where)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = self._usable(tx, name)
            certificate, prepared, credential, chain = self._issue(
                tx, client, request.public_key, now, authority, lifetime
            )
            asked = tuple(differences(request, prepared))
            self._record(tx, "credential.sign", client, credential, {"differences": len(asked)})
        return Signed(_active(client), credential, certificate, chain, asked)

    def make_p12(
        self,
        name: str,
        *,
        target: str | None = None,
        encoding: p12.Encoding | None = None,
        password: str | None = None,
        kind: KeyKind = KeyKind.P256,
        authority: str | None = None,
        lifetime: timedelta | None = None,
    ) -> MadeP12:
        """Makes a key and a certificate for it, in a .p12 for `target` (`windows-11`, `macos`; see `encoding_for`).

        The key is kept nowhere else and the password neither: what is returned is all there is. Raises as `sign` does.
        """
        if kind is KeyKind.ED25519:
            raise BadInput("browsers take no certificate with an Ed25519 key", expected="p256, p384, rsa2048, rsa3072")
        chosen = encoding or p12.encoding_for(target)
        secret = p12.make_password() if password is None else password
        key = make_key(kind)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = self._usable(tx, name)
            certificate, _, credential, chain = self._issue(tx, client, key.public_key(), now, authority, lifetime)
            data = p12.make_p12(key, certificate, list(chain), secret, chosen, str(client.name))
            self._record(tx, "credential.make", client, credential, {"encoding": str(chosen)})
        return MadeP12(_active(client), credential, certificate, chosen, data, secret)

    def _usable(self, tx: Transaction, name: str) -> Client:
        client = find(tx, name)
        states.check_usable(client)
        return client

    def _issue(
        self,
        tx: Transaction,
        client: Client,
        key: CertificatePublicKeyTypes,
        now: datetime,
        authority: str | None,
        lifetime: timedelta | None,
    ) -> tuple[x509.Certificate, Prepared, Credential, tuple[x509.Certificate, ...]]:
        issuer = issuing.issuing_authority(tx, authority)
        if issuer.kind is AuthorityKind.ROOT:
            raise Conflict(
                "the root signs no clients", expected="an issuing or adopted authority", code="root_signs_none"
            )
        self._check_key(tx, client, key_fingerprint(key))
        profile = ClientProfile(
            client.id, str(client.name), client.contact or None, lifetime or self._policy.client_validity
        )
        certificate, prepared = issuing.issue(tx, self._keys, issuer, profile, key, now, self._policy, "client")
        credential = tx.credentials.add(
            client, authority=issuer.id, certificate_facts=facts(certificate), origin=Origin.ISSUED, at=now
        )
        if client.state is ClientState.INVITED:
            tx.clients.set_state(client.id, ClientState.ACTIVE)
        return certificate, prepared, credential, tuple(issuing.chain_of(tx, issuer))

    def _check_key(self, tx: Transaction, client: Client, spki: bytes) -> None:
        """Before anything is signed: one key, one owner, and never again one that somebody else has seen."""
        tx.credentials.own_key(client, spki)
        if tx.authorities.with_spki(spki) is not None:
            raise Conflict("an authority uses this key", fix="Make a new key and a new CSR", code="key_in_use")
        for credential in tx.credentials.with_key(spki):
            revocation = credential.revocation
            if revocation is not None and revocation.reason is RevocationReason.keyCompromise:
                raise Conflict(
                    f"this key was revoked as compromised on {revocation.at:%Y-%m-%d}",
                    fix="Make a new key and a new CSR",
                    code="key_compromised",
                )

    def _record(
        self, tx: Transaction, action: str, client: Client, credential: Credential, more: dict[str, str | int]
    ) -> None:
        about: dict[str, str | int | bool | None] = {
            "serial": serial.text(credential.serial),
            "fingerprint": credential.fingerprint.hex(),
            "not_after": credential.not_after.isoformat(),
            **more,
        }
        audit.record(tx, self._store.clock(), self._by, action, f"client {client.id} {client.name}", about)


def _active(client: Client) -> Client:
    return replace(client, state=ClientState.ACTIVE)
