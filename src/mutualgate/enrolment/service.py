"""Gives clients certificates. Certificate, credential, audit entry and change are one transaction.

Knows who may have one and whose a key is. What a certificate says and which keys are good, `authorities` knows.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509

from mutualgate.authorities import p12
from mutualgate.authorities.csr import read_csr
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, make_key
from mutualgate.clients import find, revoking, states
from mutualgate.enrolment.signing import Signed, Signer, supersede
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.client import Client
from mutualgate.model.credential import Credential
from mutualgate.store import Store, Transaction


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
        self._signer = Signer(keys, policy or Policy(), by)

    def sign(
        self,
        name: str,
        csr: bytes,
        where: str = "the CSR",
        *,
        authority: str | None = None,
        lifetime: timedelta | None = None,
        replaces: str | None = None,
    ) -> Signed:
        """Signs a client's CSR, PEM or DER, read from `where`; by our issuing authority unless another is named.

        With `replaces` (a number, serial or fingerprint, in part) that credential is superseded after the overlap.

        What it says comes from the client's record alone. A client may have several, so that the old certificate and
        the new one overlap, under one key too.

        Raises `BadInput` for a CSR that proves nothing or a weak key, `NotFound`, and `Conflict` for a client that is
        suspended, a key that another client or an authority uses, or one that was revoked as compromised.
        """
        request = read_csr(csr, where)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = self._usable(tx, name)
            old = None if replaces is None else revoking.select(tx, client, replaces)
            if old is not None and old.revocation is None and not tx.credentials.successors(old.id):
                supersede(tx, old, now, self._signer.policy.renewal_overlap)
            elif old is not None:
                raise Conflict(
                    f"the credential {old.id} is {'revoked' if old.revocation else 'renewed'} already",
                    expected="one that counts and is not renewed",
                    code="credential_superseded",
                )
            return self._signer.sign(
                tx,
                client,
                request,
                now,
                authority=authority,
                lifetime=lifetime,
                replaces=None if old is None else old.id,
            )

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
            made = self._signer.issue(tx, client, key.public_key(), now, authority=authority, lifetime=lifetime)
            data = p12.make_p12(key, made.certificate, list(made.chain), secret, chosen, str(client.name))
            self._signer.record(tx, now, "credential.make", made, {"encoding": str(chosen)})
        return MadeP12(made.client, made.credential, made.certificate, chosen, data, secret)

    def _usable(self, tx: Transaction, name: str) -> Client:
        client = find(tx, name)
        states.check_usable(tx, client)
        return client
