"""Revoking within a transaction that somebody else leads: which certificate is meant, and whether it can be."""

from collections.abc import Mapping
from datetime import datetime

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model import serial as serials
from mutualgate.model.audit import Facts
from mutualgate.model.authority import Authority
from mutualgate.model.client import Client
from mutualgate.model.credential import Credential, CredentialState
from mutualgate.model.names import shown
from mutualgate.model.pin import Pin, PinState
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import Transaction

_SHORTEST = 6
"""Hexadecimal digits that name a serial number or a fingerprint in part."""


def select(tx: Transaction, client: Client, text: str) -> Credential:
    """The one credential of `client` that `text` names: its number, or the beginning of its serial or fingerprint.

    Raises `NotFound`, and `Conflict` when several fit.
    """
    held = tx.credentials.of_client(client.id)
    digits = text.replace(":", "").casefold()
    found = [one for one in held if serials.text(one.serial) == digits or one.fingerprint.hex() == digits]
    if not found and text.isascii() and text.isdecimal():
        found = [one for one in held if str(one.id) == text.lstrip("0")]  # int() takes only so many digits
    if not found and len(digits) >= _SHORTEST:
        found = [
            one
            for one in held
            if serials.text(one.serial).startswith(digits) or one.fingerprint.hex().startswith(digits)
        ]
    if not found:
        raise NotFound(
            f"the client '{client.name}' has no credential {shown(text)}",
            expected=f"its number, or at least {_SHORTEST} digits of its serial or fingerprint",
            fix=f"See them with: mutualgate client show {client.name.word}",
            code="no_such_credential",
        )
    if len(found) > 1:
        raise Conflict(
            f"{shown(text)} names {len(found)} credentials of the client '{client.name}'",
            expected="more digits, or a number",
            code="ambiguous_credential",
        )
    return found[0]


def everything(
    tx: Transaction, client: Client, reason: RevocationReason, at: datetime, *, must_find: bool
) -> list[Revocation]:
    """Revokes all that still counts or, unless for a hold itself, is on hold. Raises `Conflict` if there is nothing."""
    made = those(tx, tx.credentials.of_client(client.id), reason, at)
    if not made and must_find:
        estate = tx.authorities.with_estate(client.id)
        raise Conflict(
            f"the client '{client.name}' has no credential that could be revoked",
            fix=f"Unlisted certificates of '{estate.name}' are revoked by their file; or suspend the client"
            if estate
            else None,
            code="nothing_to_revoke",
        )
    return made


def those(tx: Transaction, credentials: list[Credential], reason: RevocationReason, at: datetime) -> list[Revocation]:
    """Revokes those of `credentials` that still count or, unless for a hold itself, are on hold."""
    open_states = {CredentialState.VALID, CredentialState.HELD}
    if reason is RevocationReason.certificateHold:
        open_states = {CredentialState.VALID}
    wanted = {(one.authority, one.serial): None for one in credentials if one.state in open_states}
    return [number(tx, authority, serial, reason, at) for authority, serial in wanted]


def retire(tx: Transaction, pins: list[Pin], at: datetime) -> list[Pin]:
    """Retires those of `pins` that count, and says which those were."""
    ended = [pin for pin in pins if pin.state is PinState.ACTIVE]
    for pin in ended:
        tx.pins.set(pin.id, state=PinState.RETIRED, retired=at)
    return ended


def check_not_compromised(spki: bytes, compromised: Mapping[bytes, datetime], where: str | None = None) -> None:
    """Raises `Conflict` for a key that is one of `compromised`: nothing with it counts again."""
    if spki in compromised:
        raise Conflict(
            f"this key was revoked as compromised on {compromised[spki]:%Y-%m-%d}",
            where=where,
            fix="Make a new key",
            code="key_compromised",
        )


def check_free_for_ca(tx: Transaction, spki: bytes, where: str | None = None) -> None:
    """R4: raises `Conflict` for a key by which a client comes in, or that somebody else has: it can be no CA's.

    A pin that is retired lets nobody in, and is not renewed once the key is a CA's.
    """
    check_not_compromised(spki, tx.credentials.compromised([spki]), where)
    for credential in tx.credentials.with_key(spki):
        raise Conflict(
            f"a client proves itself with this key, by the certificate {serials.text(credential.serial)} of"
            f" {_named(tx, credential.client)}",
            where=where,
            expected="a CA's own key",
            code="key_in_use",
        )
    for pin in tx.pins.with_key(spki):
        if pin.state is PinState.ACTIVE:
            raise Conflict(
                f"a client proves itself with this key, by the pin {pin.id} of {_named(tx, pin.client)}",
                where=where,
                expected="a CA's own key",
                fix=f"Retire it first: mutualgate pin retire {pin.id}",
                code="key_in_use",
            )


def _named(tx: Transaction, id: int) -> str:
    client = tx.clients.get(id)
    return "a client" if client is None else f"the client '{client.name}'"


def one(tx: Transaction, credential: Credential, reason: RevocationReason, at: datetime) -> Revocation:
    """Revokes it."""
    return number(tx, credential.authority, credential.serial, reason, at)


def related(
    tx: Transaction, client: Client, credential: Credential, *, lineage: bool, key: bool
) -> tuple[list[Credential], list[Pin]]:
    """`credential` and, oldest first, what goes with it: of its `lineage`, of its `key`.

    A lineage is what one key holder was given: the pins and certificates that it renews, and those that renew it.
    """
    held, pins = tx.credentials.of_client(client.id), tx.pins.of_client(client.id)
    meant: set[Credential | Pin] = {credential}
    if key:
        meant.update(one for one in held if one.spki == credential.spki)
        meant.update(pin for pin in pins if pin.spki == credential.spki)
    if lineage:
        credentials_by_id, pins_by_id = {one.id: one for one in held}, {pin.id: pin for pin in pins}
        steps: list[tuple[Credential | Pin, Credential | Pin | None]] = [
            *((one, credentials_by_id.get(one.replaces or 0)) for one in held),
            *((one, pins_by_id.get(one.replaces_pin or 0)) for one in held),
            *((pin, pins_by_id.get(pin.replaces or 0)) for pin in pins),
        ]
        size = 0
        while len(meant) > size:
            size = len(meant)
            for later, earlier in steps:
                if earlier is not None and (later in meant or earlier in meant):
                    meant |= {later, earlier}
    return [one for one in held if one in meant], [pin for pin in pins if pin in meant]


def number(tx: Transaction, authority: int, serial: bytes, reason: RevocationReason, at: datetime) -> Revocation:
    """Revokes a serial number. Raises `Conflict` when it is revoked for good, or on hold and to be held again.

    RFC 5280 5.3.1: a hold may become final; what is final stays as it was first told.
    """
    if reason is RevocationReason.removeFromCRL:
        raise BadInput("removeFromCRL is no reason to revoke (RFC 5280 5.3.1)", code="bad_reason")
    before = tx.revocations.find(authority, serial)
    if before is not None and (not before.can_be_lifted or reason is RevocationReason.certificateHold):
        what = "on hold" if before.can_be_lifted else "revoked"
        raise Conflict(
            f"the certificate {serials.text(serial)} is {what} since {before.at:%Y-%m-%d %H:%M} UTC"
            f" ({before.reason.name})",
            code="already_revoked",
        )
    entry = Revocation(authority, serial, at, reason)
    tx.revocations.put(entry)
    return entry


def release(tx: Transaction, client: Client, credential: str | None) -> list[Revocation]:
    """Lifts holds. Raises `Conflict` when there is none to lift."""
    chosen = tx.credentials.of_client(client.id) if credential is None else [select(tx, client, credential)]
    held = {(one.authority, one.serial): one.revocation for one in chosen if one.state is CredentialState.HELD}
    if not held:
        raise Conflict(
            f"nothing of the client '{client.name}' is on hold",
            fix="What was revoked for another reason stays revoked; sign a new certificate instead",
            code="nothing_on_hold",
        )
    for authority, serial in held:
        tx.revocations.lift(authority, serial)
    return [entry for entry in held.values() if entry is not None]


def signed_by(tx: Transaction, data: bytes, where: str | None) -> tuple[Authority, bytes, Credential | None]:
    """Who of the authorities signed the certificate in `data`, its number, and the credential that it is, if any."""
    # Here, because reading certificates takes a library that the other commands need not wait for.
    from cryptography import x509

    from mutualgate.model import certificate as certificates

    certificate = certificates.read(data, where)
    about = certificates.facts(certificate)
    for authority in tx.authorities.all():
        if certificates.signed(x509.load_der_x509_certificate(authority.certificate), certificate):
            return authority, about.serial, tx.credentials.with_fingerprint(about.fingerprint)
    raise NotFound(
        "no authority of ours signed this certificate",
        where=where,
        fix="See them with: mutualgate ca list",
        code="unknown_issuer",
    )


def facts(tx: Transaction, entry: Revocation) -> Facts:
    """What the audit log says of it."""
    authority = tx.authorities.get(entry.authority)
    return {
        "authority": str(authority.name) if authority else entry.authority,
        "serial": serials.text(entry.serial),
        "reason": entry.reason.name,
    }
