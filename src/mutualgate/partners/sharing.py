"""What is one partner's alone: a CA's key or, where it is declared shared for all who have it, each name under it.

Without that, one certificate could be two partners' at once; or a client's, too, if its key were a CA's and a client's.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from mutualgate.clients import revoking
from mutualgate.errors import Conflict
from mutualgate.model.names import shown
from mutualgate.model.partner import Anchor, AnchorState, NameRule, Partner
from mutualgate.model.pin import PinState
from mutualgate.partners.rules import Rule
from mutualgate.store import Transaction


def check_ca_key(tx: Transaction, spki: bytes) -> None:
    """R4: raises `Conflict` for the key of an authority of ours or of a client, or one that was revoked as compromised:
    it can be no partner's CA's."""
    if tx.authorities.with_spki(spki) is not None:
        raise Conflict("this is the key of an authority of ours", expected="the partner's own CA", code="key_in_use")
    revoking.check_free_for_ca(tx, spki)


def check_client_key(tx: Transaction, spki: bytes, now: datetime) -> None:
    """R4: raises `Conflict` for the key of a CA. Pinned, its own certificate would come in as a client: a CA vouches
    for clients and is none."""
    check_no_ca(spki, ca_keys(tx, [spki], now))


def ca_keys(tx: Transaction, spkis: Collection[bytes], now: datetime) -> dict[bytes, str]:
    """Those of these keys that are a CA's, and whose: in words."""
    theirs = {one.spki: "a partner's CA" for one in tx.anchors.all_standing(spkis, now)}
    ours = {one.spki: "an authority of ours" for one in tx.authorities.all()}
    return {spki: whose for spki, whose in (theirs | ours).items() if spki in spkis}


def check_no_ca(spki: bytes, cas: Mapping[bytes, str]) -> None:
    """As `check_client_key`, by what `ca_keys` found."""
    if spki in cas:
        raise Conflict(
            f"this is the key of {cas[spki]}",
            expected="a client's own key",
            fix="Make a new key, and a CSR or certificate with it",
            code="key_in_use",
        )


def holder(tx: Transaction, partner: int, spki: bytes, now: datetime, *, shared: bool) -> Partner | None:
    """R5: another partner that has this key, unless it is declared shared for both; a claim is nobody's."""
    for other in tx.anchors.standing(spki, now):
        if other.partner != partner and not (shared and other.shared) and other.state is not AnchorState.PENDING:
            return tx.partners.get(other.partner)
    return None


def held(by: Partner) -> Conflict:
    """That a CA's key is that partner's."""
    return Conflict(
        f"the key of this CA is the partner '{by.name}'s",
        fix="Retire it there first, or declare both shared",
        code="anchor_held",
    )


def check_names(tx: Transaction, anchor: Anchor, wanted: Iterable[Rule | NameRule], now: datetime) -> None:
    """R1: raises `Conflict` where a name under a shared CA is another partner's."""
    texts = {rule.text for rule in wanted}
    for other in tx.anchors.standing(anchor.spki, now):
        if other.partner == anchor.partner:
            continue
        for rule in tx.partners.rules_of(other.partner):
            if rule.anchor == other.id and rule.text in texts:
                owner = tx.partners.get(other.partner)
                raise Conflict(
                    f"the partner '{owner.name if owner else other.partner}' has {shown(rule.text)} under this CA",
                    expected="a name of one partner alone",
                    fix="Take it from one of them: mutualgate partner name remove",
                    code="name_in_use_under_shared",
                )


def check_own_names(tx: Transaction, anchor: Anchor, now: datetime) -> None:
    """As `check_names`, of the names that its partner has under a CA that begins to count, once more perhaps."""
    check_names(tx, anchor, [rule for rule in tx.partners.rules_of(anchor.partner) if rule.anchor == anchor.id], now)


def check_undone(tx: Transaction, change: int, now: datetime) -> None:
    """Raises `Conflict` where a change that was taken back gives a partner what is another's or a client's by now, or
    lets a pin count whose key is a CA's by now or was revoked as compromised."""
    for id in tx.trust.touched(change, "pin"):
        pin = tx.pins.get(id)
        if pin is not None and pin.state is PinState.ACTIVE:
            check_client_key(tx, pin.spki, now)
            revoking.check_not_compromised(pin.spki, tx.credentials.compromised([pin.spki]))
    touched = set(tx.trust.touched(change, "anchor"))
    for partner in tx.trust.partners(change):
        touched |= {rule.anchor for rule in tx.partners.rules_of(partner) if rule.anchor is not None}
    for id in touched:
        anchor = tx.anchors.get(id)
        if anchor is None or anchor.state_at(now) is AnchorState.RETIRED:
            continue
        check_ca_key(tx, anchor.spki)  # of a claim, too: it is not asked for again once that is proved
        if anchor.state is AnchorState.PENDING:
            continue
        by = holder(tx, anchor.partner, anchor.spki, now, shared=anchor.shared)
        if by is not None:
            raise held(by)
        check_own_names(tx, anchor, now)
