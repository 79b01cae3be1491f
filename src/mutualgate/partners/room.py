"""How many of a kind there may be, of a partner or a client: asked by who adds one, and by who takes a change back."""

# What reads certificates is loaded where one is read: most commands that ask have none.

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mutualgate.errors import Conflict
from mutualgate.model.partner import Anchor, AnchorState, Partner
from mutualgate.model.pin import PinState
from mutualgate.store import Transaction

MOST_ALIKE = 4
"""CAs that count with one subject name and key identifier: the judge tries these first for a stranger's chain."""
MOST_OF_ONE_NAME = 64
"""CAs that count with one subject name: it tries all of them for a stranger's certificate that names no key or another,
so that no partner's CAs stand before another's. About 5 ms of work."""
MOST_PER_PARTNER = 20
MOST_RULES = 1_000
MOST_INTERMEDIATES = 20
MOST_PER_CLIENT = 50
"""Pins that are not retired: overlap needs two, a crowd is somebody's mistake."""
_COUNTS = (AnchorState.ACTIVE, AnchorState.RETIRING)


@dataclass(frozen=True)
class Room:
    """How many there are of how many that may be; the rest is what is said where it is one too many."""

    has: int
    most: int
    sentence: str
    code: str
    expected: str | None = None
    fix: str | None = None

    def check(self, more: int = 1) -> None:
        """Raises `Conflict` unless there is room for so many `more`."""
        if self.has + more > self.most:
            raise Conflict(self.sentence, expected=self.expected, fix=self.fix, code=self.code)


def of_anchors(tx: Transaction, partner: Partner, now: datetime) -> Room:
    """The CAs of a partner, claims too."""
    has = sum(one.state_at(now) is not AnchorState.RETIRED for one in tx.anchors.of_partner(partner.id))
    sentence = f"the partner '{partner.name}' has {MOST_PER_PARTNER} CAs already"
    return Room(has, MOST_PER_PARTNER, sentence, "too_many_anchors", fix="Retire some")


def of_rules(tx: Transaction, partner: Partner) -> Room:
    """The name rules of a partner."""
    sentence = f"the partner '{partner.name}' has {MOST_RULES} rules already"
    return Room(len(tx.partners.rules_of(partner.id)), MOST_RULES, sentence, "too_many_rules")


def of_intermediates(tx: Transaction, partner: Partner) -> Room:
    """Certificates that help below its CAs."""
    sentence = f"there are {MOST_INTERMEDIATES} already"
    return Room(len(tx.partners.intermediates_of(partner.id)), MOST_INTERMEDIATES, sentence, "too_many_intermediates")


def of_pins(tx: Transaction, client: int) -> Room:
    """The pins of a client that count."""
    whose = tx.clients.get(client)
    has = sum(pin.state is PinState.ACTIVE for pin in tx.pins.of_client(client))
    sentence = f"the client '{whose.name if whose else client}' has {MOST_PER_CLIENT} pins already"
    fix = "Retire some: mutualgate pin list, mutualgate pin retire"
    return Room(has, MOST_PER_CLIENT, sentence, "too_many_pins", fix=fix)


def of_one_name(tx: Transaction, subject_hash: bytes, wanted: bytes | None, now: datetime) -> tuple[Room, Room]:
    """The CAs that count of this subject and, as `wanted`, key identifier; and those of the subject, whosever."""
    named = [one for one in tx.anchors.with_subject(subject_hash) if one.state_at(now) in _COUNTS]
    alike = sum(key_id(one) == wanted for one in named)
    expected, code = "a CA with a name of its own", "too_many_alike"
    with_key = f"{MOST_ALIKE} CAs with this subject name and key identifier are trusted already"
    with_name = f"{MOST_OF_ONE_NAME} CAs with this subject name are trusted already"
    return (
        Room(alike, MOST_ALIKE, with_key, code, expected),
        Room(len(named), MOST_OF_ONE_NAME, with_name, code, expected),
    )


def key_id(anchor: Anchor) -> bytes | None:
    """The subjectKeyIdentifier (RFC 5280 4.2.1.2) of its certificate."""
    from cryptography import x509

    from mutualgate.partners import ca
    from mutualgate.reading.files import UNREADABLE

    try:
        return ca.parsed(anchor).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None


Rooms = Mapping[tuple[str, int], Room]
"""By what they are of: a table, and the id of the partner or client, or of a CA."""


def of_change(tx: Transaction, change: int, now: datetime) -> Rooms:
    """All that a change of trust concerns, as it stands."""
    found: dict[tuple[str, int], Room] = {}
    anchors = [one for one in map(tx.anchors.get, tx.trust.touched(change, "anchor")) if one is not None]
    for partner in tx.partners.get_many({*tx.trust.partners(change), *(one.partner for one in anchors)}).values():
        found["anchor", partner.id] = of_anchors(tx, partner, now)
        found["name_rule", partner.id] = of_rules(tx, partner)
        found["intermediate", partner.id] = of_intermediates(tx, partner)
    for anchor in anchors:
        from mutualgate.partners import ca

        subject_hash = hashlib.sha256(ca.parsed(anchor).subject.public_bytes()).digest()
        alike, named = of_one_name(tx, subject_hash, key_id(anchor), now)
        found |= {("alike", anchor.id): alike, ("name", anchor.id): named}
    pins = [one for one in map(tx.pins.get, tx.trust.touched(change, "pin")) if one is not None]
    for client in {pin.client for pin in pins}:
        found["pin", client] = of_pins(tx, client)
    return found


def check_grown(before: Rooms, after: Rooms) -> None:
    """Raises `Conflict` where there are more than before, and more than may be."""
    for what, room in after.items():
        if what not in before or room.has > before[what].has:
            room.check(0)
