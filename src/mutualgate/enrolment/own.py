"""A certificate that a client has already, shown in a handshake: whether an invitation may accept it as it is.

Knows what stands for somebody already. That possession was proved, the caller says: a certificate alone is no secret.
"""

from collections.abc import Sequence
from datetime import datetime

from mutualgate.clock import CLOCK_SKEW
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.client import Client
from mutualgate.model.legible import Legible, NotLegible, legible
from mutualgate.model.partner import AnchorState
from mutualgate.model.pin import Pin, PinKind, PinState
from mutualgate.partners.above import vouching
from mutualgate.partners.material import MAX_CHAIN, Material, of_certificate
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Transaction

MAX_CHAIN_BYTES = 32 * 1024
"""As the gate reads no more of a handshake."""

WHERE = "the certificate"


def read_chain(chain: Sequence[bytes]) -> tuple[Material, tuple[Legible, ...]]:
    """The leaf, and all of `chain` (DER, leaf first). Raises `BadInput` for what cannot be read or a weak key (R15)."""
    if not 1 <= len(chain) <= MAX_CHAIN or sum(map(len, chain)) > MAX_CHAIN_BYTES:
        raise BadInput(
            "no certificate was shown" if not chain else "the chain that was shown is too long",
            expected=f"1 to {MAX_CHAIN} certificates, {MAX_CHAIN_BYTES // 1024} KiB at most",
            code="no_certificate" if not chain else "malformed",
        )
    try:
        with odd_serials_allowed():
            certificates = tuple(legible(der) for der in chain)
            return of_certificate(certificates[0], WHERE), certificates
    except UNREADABLE as error:
        why = f": it {error}" if isinstance(error, NotLegible) else ""
        raise BadInput(f"the certificate cannot be read{why}", expected="X.509, DER", code="malformed") from error


def check(
    tx: Transaction, client: Client, leaf: Material, chain: Sequence[Legible], kind: PinKind, now: datetime
) -> None:
    """Raises `BadInput` for a leaf that is out of its dates, `Conflict` for one that stands for somebody already."""
    assert leaf.certificate is not None  # noqa: S101 - `read_chain` makes it of one
    begins, ends = leaf.certificate.says.not_valid_before_utc, leaf.certificate.says.not_valid_after_utc
    if ends <= now:
        raise BadInput(f"the certificate expired on {ends:%Y-%m-%d %H:%M} UTC", expected="a newer one", code="expired")
    if begins > now + CLOCK_SKEW:
        raise BadInput(
            f"the certificate begins on {begins:%Y-%m-%d %H:%M} UTC only",
            expected="one that is valid now",
            code="not_yet_valid",
        )
    _check_credential(tx, client, leaf)
    _check_pin(tx, client, leaf, kind)
    vouchers = [one for one in vouching(tx, chain, now) if one.state_at(now) is not AnchorState.RETIRED]
    partners = tx.partners.get_many({one.partner for one in vouchers})
    if partners:
        # Whose other partners are is nothing to who is invited: of several, none is named.
        name = next(iter(partners.values())).name if len(partners) == 1 else None
        whose = "several partners" if name is None else f"the partner '{name}'"
        rules = "the rules of the one that has its name" if name is None else "that partner's rules"
        raise Conflict(
            f"this certificate is issued under a CA of {whose}, so it comes in by {rules} and not by an invitation",
            fix=f"Open the protected page with it; if it is refused there, ask {name or 'the operator'}",
            code="under_partner",
        )


def check_newest(tx: Transaction, pin: Pin) -> None:
    """Raises `Conflict` for a pin that is retired, or whose place another pin or a certificate of ours took already.

    Else who has a key that was given up would go on with it, beside its successor.
    """
    if pin.state is not PinState.ACTIVE:
        raise Conflict(
            "the certificate that this would replace is no longer accepted",
            fix="Ask for a new invitation",
            code="pin_retired",
        )
    if replaced(tx, pin) is not None:
        raise Conflict(
            "this certificate was replaced already",
            expected="the newer one",
            fix="Use the newer one; if it is lost, ask for a new invitation",
            code="credential_superseded",
        )


def replaced(tx: Transaction, pin: Pin) -> datetime | None:
    """When another pin or a certificate of ours took its place; None while it is the newest."""
    taken = [one.created for one in tx.pins.of_client(pin.client) if one.replaces == pin.id]
    taken += [one.created for one in tx.credentials.of_client(pin.client) if one.replaces_pin == pin.id]
    return max(taken, default=None)


def _check_credential(tx: Transaction, client: Client, leaf: Material) -> None:
    known = None if leaf.fingerprint is None else tx.credentials.with_fingerprint(leaf.fingerprint)
    if known is None:
        return
    if known.client != client.id:
        raise Conflict("this certificate is known here already, as another client's", code="certificate_known_other")
    raise Conflict(
        "this certificate is yours here already, and needs no invitation",
        fix="Open the protected page with it",
        code="certificate_known_own",
    )


def _check_pin(tx: Transaction, client: Client, leaf: Material, kind: PinKind) -> None:
    for pin in tx.pins.with_key(leaf.spki):
        if pin.client != client.id:
            raise Conflict("this key is known here already, as another client's", code="certificate_known_other")
        digest = leaf.spki if kind is PinKind.KEY else leaf.fingerprint
        if pin.kind is kind and pin.digest == digest and pin.state is PinState.ACTIVE:
            raise Conflict(
                "this certificate is yours here already, and needs no invitation",
                fix="Open the protected page with it",
                code="certificate_known_own",
            )
