"""Renewal with overlap: who still proves the old key gets the next certificate, and the old one ends a little later.

Only the head of a lineage is renewed, never what was revoked or renewed already: else a certificate that was replaced
would go on for ever beside its successor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from mutualgate import audit
from mutualgate.authorities import issuing
from mutualgate.authorities.csr import Request, read_csr
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.clients import revoking, states, subject
from mutualgate.enrolment import own
from mutualgate.enrolment.invitations import Invited
from mutualgate.enrolment.opening import for_visitors
from mutualgate.enrolment.signing import Signed, Signer, end_pin, supersede
from mutualgate.enrolment.tokens import Secrets
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound
from mutualgate.model import serial
from mutualgate.model.client import Client
from mutualgate.model.credential import Credential
from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.model.invitation import Invitation, InvitationState, Way
from mutualgate.model.legible import legible
from mutualgate.model.pin import Pin, PinKind, PinState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.material import Material
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import NewInvitation

REPLACEMENT_LIFE = timedelta(days=1)
"""How long a link for the next pin works: whoever asked for it has the next certificate at hand."""

_AT_A_TIME = 500
"""Superseded certificates that are revoked in one transaction: others write in between."""


@dataclass(frozen=True)
class Standing:
    """How long a certificate that stands for a client lets it in, and what becomes of it then."""

    until: datetime
    """Its own end or, if that is earlier, the end of its pin or of the overlap with the one that renews it."""
    renewed: datetime | None
    """When it was renewed already."""
    renewable: datetime | None
    """Until when it can be renewed, past its own end for its own key alone; None for one that cannot be."""
    by_own_alone: bool = False
    """Whether it is replaced by another one of its holder's own, and by none of ours."""


class Renewals:
    """The service. Who renews acts as the client that its certificate stands for."""

    def __init__(self, store: Store, keys: KeyRing, policy: Policy | None = None) -> None:
        self._store = store
        self._policy = policy or Policy()
        self._signer = Signer(keys, self._policy, "system")

    def renew(self, current: bytes, csr: bytes, *, peer: str) -> Signed:
        """The next certificate for who proved, in the handshake of this request, the key of `current` (DER).

        For the key of the CSR, the same or a new one. `current` goes on for the policy's overlap and is superseded
        then. Past its end it is renewed within the policy's grace, for the same key alone. Asked again with the same
        CSR's key, it gives the same certificate: an answer may get lost.

        A pin is renewed by a certificate of ours, too, unless it is for one environment alone. Raises `NotFound`
        (`not_renewable`) for what is neither, `Conflict` (`credential_revoked`, `credential_superseded`,
        `renewal_too_late`, `renewal_needs_same_key`, `renewal_by_pin_only`, `client_suspended`, `key_in_use`,
        `key_compromised`), `BadInput` for a CSR that cannot be used.
        """
        leaf = _leaf(current)
        request = read_csr(csr, "the CSR")
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            credential = tx.credentials.with_fingerprint(leaf.fingerprint or b"")
            if credential is None:
                return self._from_pin(tx, _pin(tx, leaf, now), request, peer, now)
            client = _owner(tx, credential.client)
            successors = [] if credential.revocation else tx.credentials.successors(credential.id)
            again = _again(tx, client, successors, request)
            if again is not None:
                return again
            _check_renewable(tx, credential)
            self._check_time(credential, key_fingerprint(request.public_key), now)
            signed = self._signer.sign(
                tx,
                client,
                request,
                now,
                lifetime=self._lifetime(tx, credential),
                replaces=credential.id,
                action="credential.renew",
                more={"replaces": serial.text(credential.serial), "peer": peer[:64]},
                by=subject(client),
            )
            supersede(tx, credential, now, self._policy.renewal_overlap)
            return signed

    def replace_pin(self, current: bytes, *, peer: str) -> Invited:
        """An invitation for who proved the key of `current`, a pin of ours: opened with the next certificate, it pins
        that one, and the old pin ends after the policy's overlap.

        Two handshakes, because a certificate that is only uploaded proves nothing (its holder may be somebody else).
        The next one is for the same environment, and no longer than the old one was meant to last. A new link takes the
        place of one that is open: else whoever has a pin could fill the store with them. Raises `NotFound`
        (`not_renewable`), `Conflict` (`client_suspended`, `credential_superseded`).
        """
        leaf = _leaf(current)
        now = self._store.clock()
        with self._store.transaction() as tx, for_visitors():
            pin = _pin(tx, leaf, now)
            client = _owner(tx, pin.client)
            own.check_newest(tx, pin)
            secrets, expires = Secrets.make(second_factor=False), now + REPLACEMENT_LIFE
            open_one = _open_link(tx, pin, now)
            if open_one is not None:
                tx.invitations.reopen(open_one.id, secrets.hashes, expires)
            invitation = open_one or tx.invitations.add(
                NewInvitation(
                    client=client.id,
                    hashes=secrets.hashes,
                    ways=(Way.OWN,) if pin.environment else (Way.CSR, Way.OWN),
                    validity=_meant(pin),
                    approval=False,
                    by=subject(client)[:128],
                    created=now,
                    expires=expires,
                    sent_to="",
                    replaces_pin=pin.id,
                )
            )
            about: audit.Facts = {"invitation": invitation.id, "replaces_pin": pin.id, "peer": peer[:64]}
            action = "invitation.create" if open_one is None else "invitation.renew"
            audit.record(tx, now, subject(client), action, subject(client), about)
        return Invited.of(secrets, replace(invitation, expires=expires), client)

    def standing(self, current: bytes) -> Standing | None:
        """How `current` (DER) stands; None for one that is neither ours nor a pin that counts."""
        try:
            leaf = _leaf(current)
        except MutualgateError:
            return None
        with self._store.reading() as tx:
            credential = tx.credentials.with_fingerprint(leaf.fingerprint or b"")
            if credential is not None:
                return self._of_credential(tx, credential)
            try:
                pin = _pin(tx, leaf, self._store.clock())
            except NotFound:
                return None
            renewed = own.replaced(tx, pin)
        assert leaf.certificate is not None  # noqa: S101 - `_leaf` makes it of one
        until = min(pin.not_after, leaf.certificate.says.not_valid_after_utc)
        return Standing(until, renewed, None if renewed else pin.not_after, bool(pin.environment))

    def renews(self, tx: Transaction, one: Expiring) -> bool:
        """Whether who has this certificate or pin that ends may renew it, as long as it lasts."""
        credential = tx.credentials.get(int(one.key)) if one.kind is ExpiryKind.CREDENTIAL else None
        pin = tx.pins.get(int(one.key)) if one.kind is ExpiryKind.PIN else None
        try:
            if credential is not None:
                _owner(tx, credential.client)
                _check_renewable(tx, credential)
            if pin is not None:
                _owner(tx, pin.client)
                own.check_newest(tx, pin)
        except MutualgateError:
            return False
        return credential is not None or pin is not None

    def _of_credential(self, tx: Transaction, credential: Credential) -> Standing:
        until = min(credential.not_after, credential.superseded or credential.not_after)
        try:
            _owner(tx, credential.client)
            _check_renewable(tx, credential)
        except MutualgateError:
            successors = tx.credentials.successors(credential.id)
            return Standing(until, successors[-1].created if successors else None, None)
        return Standing(until, None, credential.not_after + self._policy.renewal_grace)

    def end_superseded(self) -> int:
        """Revokes what was renewed and whose overlap is over, and says how many those were."""
        ended = 0
        while True:
            now = self._store.clock()
            with self._store.reading() as tx:
                if not tx.credentials.superseded(now, 1):
                    return ended
            with self._store.transaction() as tx:
                due = tx.credentials.superseded(now, _AT_A_TIME)
                for credential in due:
                    tx.credentials.set_superseded(credential.id, None)
                    ended += self._end(tx, credential, now)

    def _end(self, tx: Transaction, credential: Credential, now: datetime) -> int:
        if credential.not_after <= now:
            return 0
        try:
            entry = revoking.one(tx, credential, RevocationReason.superseded, now)
        except Conflict:  # it was revoked for another reason before
            return 0
        client = tx.clients.get(credential.client)
        about = f"client {credential.client}" if client is None else subject(client)
        audit.record(tx, now, "system", "credential.revoke", about, revoking.facts(tx, entry))
        return 1

    def _check_time(self, credential: Credential, spki: bytes, now: datetime) -> None:
        if now <= credential.not_after:
            return
        if now > credential.not_after + self._policy.renewal_grace:
            raise Conflict(
                f"this certificate expired on {credential.not_after:%Y-%m-%d}, too long ago to be renewed",
                fix="Ask for a new invitation",
                code="renewal_too_late",
            )
        if spki != credential.spki:
            # An expired certificate may be one that its owner gave up: only the key that it names still proves it.
            raise Conflict(
                f"this certificate expired on {credential.not_after:%Y-%m-%d}, so it is renewed for its own key only",
                fix="Make the CSR with the key of the expired certificate",
                code="renewal_needs_same_key",
            )

    def _lifetime(self, tx: Transaction, old: Credential) -> timedelta | None:
        """As long as the old one was meant to last, never longer: an invitation may have said less than the policy."""
        issuer = tx.authorities.get(old.authority)
        if issuer is not None and old.not_after >= issuer.not_after:
            return None  # cut short by its issuer's own end, which says nothing about it
        meant = old.not_after - old.not_before + timedelta(seconds=1)
        return min(meant, self._policy.client_validity)

    def _from_pin(self, tx: Transaction, pin: Pin, request: Request, peer: str, now: datetime) -> Signed:
        client = _owner(tx, pin.client)
        successors = [one for one in tx.credentials.of_client(client.id) if one.replaces_pin == pin.id]
        again = _again(tx, client, successors, request)
        if again is not None:
            return again
        own.check_newest(tx, pin)
        if pin.environment:
            raise Conflict(
                f"this certificate is accepted for {pin.environment} alone, and one of ours would be for all",
                fix="Replace it by another one of your own",
                code="renewal_by_pin_only",
            )
        signed = self._signer.sign(
            tx,
            client,
            request,
            now,
            lifetime=min(_meant(pin) or self._policy.client_validity, self._policy.client_validity),
            replaces_pin=pin.id,
            action="credential.renew",
            more={"replaces_pin": pin.id, "peer": peer[:64]},
            by=subject(client),
        )
        end_pin(tx, pin.id, now + self._policy.renewal_overlap)
        return signed


def _leaf(current: bytes) -> Material:
    try:
        return own.read_chain([current])[0]
    except BadInput as error:
        if error.code == "weak_key":  # it may not go on, and a new key needs an invitation: whoever broke it has it
            raise Conflict(
                "the key of this certificate is weak, so it proves nothing",
                fix="Ask for a new invitation",
                code="not_renewable",
            ) from error
        raise


def _owner(tx: Transaction, id: int) -> Client:
    client = tx.clients.get(id)
    if client is None:
        raise _not_ours()
    states.check_usable(tx, client)
    return client


def _pin(tx: Transaction, leaf: Material, now: datetime) -> Pin:
    for kind, digest in ((PinKind.CERTIFICATE, leaf.fingerprint), (PinKind.KEY, leaf.spki)):
        pin = None if digest is None else tx.pins.with_digest(kind, digest)
        if pin is not None and pin.state is PinState.ACTIVE and now <= pin.not_after:
            return pin
    raise _not_ours()


def _again(tx: Transaction, client: Client, successors: Sequence[Credential], request: Request) -> Signed | None:
    """The successor, if it is for the key of this very request: the answer to who did not get the first one."""
    spki = key_fingerprint(request.public_key)
    for successor in successors:
        der = tx.credentials.certificate(successor.id)
        if successor.spki == spki and successor.revocation is None and der is not None:
            issuer = tx.authorities.get(successor.authority)
            chain = () if issuer is None else tuple(issuing.chain_of(tx, issuer))
            return Signed(client, successor, x509.load_der_x509_certificate(der), chain, ())
    return None


def _open_link(tx: Transaction, pin: Pin, now: datetime) -> Invitation | None:
    """The link for the next one of a pin that is not used yet."""
    of_client = tx.invitations.of_client(pin.client)
    unused = (one for one in of_client if one.replaces_pin == pin.id and one.state is InvitationState.OPEN)
    return next((one for one in unused if not one.expired(now)), None)


def _meant(pin: Pin) -> timedelta | None:
    """How long it was meant to count; None where its certificate's own end cut it short, which says nothing of it."""
    if pin.certificate is not None and pin.not_after >= legible(pin.certificate).says.not_valid_after_utc:
        return None
    return pin.not_after - pin.not_before


def _not_ours() -> MutualgateError:
    return NotFound(
        "this certificate is not one that can be renewed here",
        expected="one that was issued here, or that was accepted as it is",
        fix="Ask for an invitation",
        code="not_renewable",
    )


def _check_renewable(tx: Transaction, credential: Credential) -> None:
    successors = tx.credentials.successors(credential.id)
    if successors:
        newest = successors[-1]
        raise Conflict(
            f"this certificate was renewed on {newest.created:%Y-%m-%d} already",
            expected=f"the newer one, with the serial number {serial.text(newest.serial)}",
            fix="Use the newer one; if it is lost, ask for a new invitation",
            code="credential_superseded",
        )
    revocation = credential.revocation
    if revocation is not None:
        what = "on hold" if revocation.can_be_lifted else "revoked"
        raise Conflict(
            f"this certificate is {what} since {revocation.at:%Y-%m-%d} ({revocation.reason.name})",
            fix="Ask whoever gave it to you",
            code="credential_revoked",
        )
