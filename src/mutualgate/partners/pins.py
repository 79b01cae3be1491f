"""Pins: a client's own certificate or key, accepted as it is. Each call is one transaction, with its audit entry.

A pin is compared whole and never becomes an issuer. Knows whose a key may be; how possession is proved, others see to:
a handshake, or an operator's word.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mutualgate import audit
from mutualgate.clients import find, revoking, states, subject
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import Client, ClientState
from mutualgate.model.partner import environment as legal_environment
from mutualgate.model.pin import Pin, PinKind, PinState
from mutualgate.partners import room, sharing
from mutualgate.store import Store, Transaction

if TYPE_CHECKING:
    from mutualgate.model.legible import Legible
    from mutualgate.partners.material import Material
    from mutualgate.store.trust import Watch

DEFAULT_LIFE = timedelta(days=398)
"""A year and a month, the span that browsers allow servers: nobody forgets a key for longer."""
LONGEST_LIFE = timedelta(days=1_830)
"""Five years, for who says so."""


class Pins:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by

    def add(
        self,
        name: str,
        data: bytes,
        where: str = "the certificate",
        *,
        kind: PinKind = PinKind.CERTIFICATE,
        not_after: datetime | None = None,
        environment: str | None = None,
        replaces: int | None = None,
        overlap: timedelta | None = None,
    ) -> Pin:
        """Pins the certificate or the public key in `data`, read from `where`, to a client.

        With `replaces`, the older pin goes on for `overlap` (without it, until its own end), and the new one is for the
        same environment unless another one is said. Raises `NotFound`,
        `BadInput` for what cannot be pinned, `Conflict` for what is somebody's already.
        """
        from mutualgate.partners import material

        what = material.read(data, where)
        now = self._store.clock()
        with self._store.transaction() as tx:
            client = find(tx, name)
            pin = record(
                tx,
                client,
                what,
                at=now,
                by=self._by,
                kind=kind,
                not_after=not_after,
                environment=environment,
                replaces=replaces,
                overlap=overlap,
            )
        return pin

    def get(self, id: int) -> Pin:
        """The pin. Raises `NotFound`."""
        with self._store.reading() as tx:
            return _there(tx, id)

    def list(self, name: str | None = None, *, after: int = 0, limit: int = 100) -> list[tuple[Pin, Client]]:
        """A client's pins or, in parts, all; each with its client. Raises `NotFound`."""
        with self._store.reading() as tx:
            if name is not None:
                client = find(tx, name)
                return [(pin, client) for pin in tx.pins.of_client(client.id)]
            pins = tx.pins.page(after=after, limit=limit)
            owners = tx.clients.get_many({pin.client for pin in pins})
        return [(pin, owners[pin.client]) for pin in pins]

    def retire(self, id: int, *, on: datetime | None = None) -> Pin:
        """Ends a pin now, or on a day before its end. Its holder reads `pin_retired` from then on.

        Raises `NotFound`, `Conflict` for one that is retired, `BadInput` for a day past its end.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            pin = _there(tx, id)
            client = _owner(tx, pin)
            if pin.state is PinState.RETIRED:
                raise Conflict(f"the pin {id} is retired already", code="pin_retired")
            watch = tx.trust.watch()
            watch.changes("pin", id)
            if on is None or on <= now:
                tx.pins.set(id, state=PinState.RETIRED, retired=now)
                done = replace(pin, state=PinState.RETIRED, retired=now)
            elif on > pin.not_after:
                raise BadInput(
                    f"the pin {id} ends on {pin.not_after:%Y-%m-%d} by itself", where="--on", expected="an earlier day"
                )
            else:
                tx.pins.set(id, state=PinState.ACTIVE, retired=None, not_after=on)
                done = replace(pin, not_after=on)
            if tx.trust.record(now, self._by, f"pin retire {id} ({client.name})", watch):
                _audit(tx, now, self._by, "pin.retire", client, done)
        return done

    def renew(self, id: int, *, not_after: datetime | None = None) -> Pin:
        """Gives a pin a new end, a retired one too, which comes in again.

        Raises `NotFound`, and `Conflict` when the certificate itself does not last longer, its client is out, or its
        key is a CA's by now or was revoked as compromised.
        """
        from mutualgate.model.legible import legible

        now = self._store.clock()
        with self._store.transaction() as tx:
            pin = _there(tx, id)
            client = _owner(tx, pin)
            states.check_usable(tx, client)
            sharing.check_client_key(tx, pin.spki, now)
            revoking.check_not_compromised(pin.spki, tx.credentials.compromised([pin.spki]))
            certificate = None if pin.certificate is None else legible(pin.certificate)
            end = _end(pin.kind, certificate, now, not_after, f"pin {id}")
            if pin.state is PinState.ACTIVE and end <= pin.not_after:
                raise Conflict(
                    f"the pin {id} lasts until {pin.not_after:%Y-%m-%d} already, as long as it can",
                    fix="Pin the client's next certificate:"
                    f" mutualgate pin add {client.name.word} FILE --replaces {id}",
                    code="nothing_to_renew",
                )
            room.of_pins(tx, client.id).check(int(pin.state is PinState.RETIRED))
            watch = tx.trust.watch()
            watch.changes("pin", id)
            tx.pins.set(id, state=PinState.ACTIVE, retired=None, not_after=end)
            done = replace(pin, state=PinState.ACTIVE, retired=None, not_after=end)
            _audit(tx, now, self._by, "pin.renew", client, done)
            tx.trust.record(now, self._by, f"pin renew {id} ({client.name})", watch)
        return done


def record(
    tx: Transaction,
    client: Client,
    what: "Material",
    *,
    at: datetime,
    by: str,
    kind: PinKind = PinKind.CERTIFICATE,
    not_after: datetime | None = None,
    environment: str | None = None,
    replaces: int | None = None,
    overlap: timedelta | None = None,
    watch: "Watch | None" = None,
) -> Pin:
    """Pins `what` to `client` within somebody else's transaction, with its audit entry and what takes it back; of what
    belongs to the same change, `watch` knows already.

    Raises `BadInput` and `Conflict` as `Pins.add` does; the transaction must then be given up.
    """
    tag = legal_environment(environment or "")
    digest, end = check(tx, client, what, at=at, kind=kind, not_after=not_after)
    tx.credentials.own_key(client, what.spki)
    watch = watch or tx.trust.watch()
    if replaces is not None:
        watch.changes("pin", replaces)
        old = _hand_over(tx, client, replaces, None if overlap is None else at + overlap)
        tag = old.environment if environment is None else tag
    pin = tx.pins.add(
        client=client.id,
        kind=kind,
        digest=digest,
        spki=what.spki,
        certificate=what.der,
        subject=what.subject,
        environment=tag,
        not_before=at,
        not_after=end,
        at=at,
        replaces=replaces,
    )
    watch.adds("pin", pin.id)
    if client.state is ClientState.NEW:
        tx.clients.set_state(client.id, ClientState.ACTIVE)
    _audit(tx, at, by, "pin.add", client, pin)
    tx.trust.record(at, by, f"pin add {client.name} ({kind} {digest.hex()[:16]}…)", watch)
    return pin


def check(
    tx: Transaction,
    client: Client,
    what: "Material",
    *,
    at: datetime,
    kind: PinKind,
    not_after: datetime | None = None,
) -> tuple[bytes, datetime]:
    """What a pin of `what` would compare, and when it would end. Changes nothing.

    Raises `BadInput` and `Conflict` where `client` may not have it.
    """
    states.check_usable(tx, client)
    where = what.subject or "the key"
    if kind is PinKind.CERTIFICATE and what.certificate is None:
        raise BadInput("a key alone cannot be pinned as a certificate", expected="--key, or a certificate")
    end = _end(kind, what.certificate, at, not_after, where)
    digest = what.spki if kind is PinKind.KEY else what.fingerprint
    assert digest is not None  # noqa: S101 - a certificate has one, and without one it is a key
    _nobody_elses(tx, client, what, kind, digest, at)
    room.of_pins(tx, client.id).check()
    return digest, end


def _nobody_elses(
    tx: Transaction, client: Client, what: "Material", kind: PinKind, digest: bytes, now: datetime
) -> None:
    """R2 to R4: a key is one client's; nothing that our authorities or a partner's CA stand for is pinned."""
    sharing.check_client_key(tx, what.spki, now)
    revoking.check_not_compromised(what.spki, tx.credentials.compromised([what.spki]))
    known = tx.pins.with_digest(kind, digest)
    if known is not None and known.state is not PinState.REMOVED:
        owner = _owner(tx, known)
        if known.client != client.id:
            raise Conflict(
                f"this {kind} is pinned for the client '{owner.name}'",
                expected="a key of its own for each client",
                fix="Make a new key and a new certificate",
                code="key_in_use",
                facts={"client": owner.id, "pin": known.id},
            )
        raise Conflict(
            f"this {kind} is the pin {known.id} of the client '{owner.name}' already"
            + (", retired" if known.state is PinState.RETIRED else ""),
            fix=f"Let it count for longer: mutualgate pin renew {known.id}",
            code="certificate_known",
            facts={"client": owner.id, "pin": known.id},
        )
    if tx.credentials.with_key(what.spki):
        # It would come in past the revocation of the certificate that we issued for the key.
        raise Conflict(
            "an authority of ours has certified this key",
            expected="a key that nothing else stands for",
            fix="Use the certificate that was issued, or make a new key",
            code="key_in_use",
        )
    if what.certificate is not None and _is_ours(tx, what.certificate):
        raise Conflict(
            "an authority of ours signed this certificate, so it needs no pin and would escape revocation with one",
            fix="Add the authority's certificates with: mutualgate ca adopt --issued",
            code="certificate_known",
        )
    tx.credentials.check_key(client, what.spki)


def _is_ours(tx: Transaction, certificate: "Legible") -> bool:
    from cryptography import x509

    from mutualgate.model.certificate import signed
    from mutualgate.reading.files import UNREADABLE

    for authority in tx.authorities.all():
        try:
            issuer = x509.load_der_x509_certificate(authority.certificate)
            if signed(issuer, certificate):
                return True
        except UNREADABLE:
            continue
    return False


def _end(kind: PinKind, certificate: "Legible | None", now: datetime, wanted: datetime | None, where: str) -> datetime:
    """R26: a pin ends, by itself after 398 days, and a certificate's never after the certificate."""
    if wanted is not None and not now < wanted <= now + LONGEST_LIFE:
        raise BadInput(
            f"a pin cannot end on {wanted:%Y-%m-%d}",
            where=where,
            expected=f"a day from tomorrow to {now + LONGEST_LIFE:%Y-%m-%d}",
            code="bad_end",
        )
    end = wanted or now + DEFAULT_LIFE
    if certificate is None:
        return end
    last = certificate.says.not_valid_after_utc
    if last <= now:
        raise BadInput(
            f"the certificate expired on {last:%Y-%m-%d %H:%M} UTC", where=where, expected="a newer one", code="expired"
        )
    return min(end, last) if kind is PinKind.CERTIFICATE else end


def _hand_over(tx: Transaction, client: Client, id: int, until: datetime | None) -> Pin:
    old = _there(tx, id)
    if old.client != client.id:
        raise Conflict(f"the pin {id} is not one of the client '{client.name}'", code="no_such_pin")
    if old.state is PinState.RETIRED:
        raise Conflict(f"the pin {id} is retired, nothing has to replace it", code="pin_retired")
    if until is not None and until < old.not_after:
        tx.pins.set(id, state=PinState.ACTIVE, retired=None, not_after=until)
    return old


def _there(tx: Transaction, id: int) -> Pin:
    pin = tx.pins.get(id)
    if pin is None or pin.state is PinState.REMOVED:
        raise NotFound(f"there is no pin {id}", fix="See them with: mutualgate pin list", code="no_such_pin")
    return pin


def _owner(tx: Transaction, pin: Pin) -> Client:
    client = tx.clients.get(pin.client)
    assert client is not None  # noqa: S101 - a row refers to it
    return client


def _audit(tx: Transaction, at: datetime, by: str, action: str, client: Client, pin: Pin) -> None:
    facts: audit.Facts = {
        "pin": pin.id,
        "kind": str(pin.kind),
        "digest": pin.digest.hex(),
        "not_after": pin.not_after.isoformat(),
        "environment": pin.environment,
        "replaces": pin.replaces,
    }
    audit.record(tx, at, by, action, subject(client), facts)
