"""The current CRL of each authority whose key we have (RFC 5280 5): when a new one is due, and its making.

A list is due when a revocation was added or lifted since, and at half its life, so that it never runs out.
"""

from datetime import datetime

from mutualgate.authorities.crl import make_crl
from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.model import serial
from mutualgate.model.authority import Authority
from mutualgate.model.crl import StoredCrl
from mutualgate.reading.crl import Revocation
from mutualgate.store import Store, Transaction

_PART = 10_000
_MOST_BITS = 159
"""RFC 5280 4.1.2.2: a positive number of at most 20 octets."""


def current(store: Store, keys: KeyRing, policy: Policy, authority: Authority) -> StoredCrl:
    """The authority's list as it has to be now; made and stored first if that is due.

    Raises `Conflict` when we do not have the authority's key.
    """
    while True:
        now = store.clock()
        with store.reading() as tx:
            stored = tx.crls.find(authority.id)
            if stored is not None and not _due(tx, stored, now):
                return stored
            # Outside a writing transaction: a list of a million takes seconds, and nobody should wait for that.
            made = _made(tx, keys, policy, authority, stored, now)
        with store.transaction() as tx:
            if _same(tx.crls.find(authority.id), stored):
                tx.crls.put(made)
                return made
        # Another process was faster; its list may do.


def due(store: Store, authority: Authority) -> bool:
    """Whether a new list has to be made."""
    with store.reading() as tx:
        stored = tx.crls.find(authority.id)
        return stored is None or _due(tx, stored, store.clock())


def _due(tx: Transaction, stored: StoredCrl, now: datetime) -> bool:
    return tx.authorities.revoked_epoch(stored.authority) > stored.epoch or now >= stored.half_life


def _same(one: StoredCrl | None, other: StoredCrl | None) -> bool:
    return (one and one.number) == (other and other.number)


def _made(
    tx: Transaction, keys: KeyRing, policy: Policy, authority: Authority, before: StoredCrl | None, now: datetime
) -> StoredCrl:
    key = keys.open(tx, authority)
    number = 1 if before is None else before.number + 1  # RFC 5280 5.2.3: increasing
    entries = (
        Revocation(entry.serial, entry.at, int(entry.reason))
        for part in tx.revocations.walk(authority.id, _PART)
        for entry in part
        # Numbers that RFC 5280 4.1.2.2 rules out can be in no list; the gate refuses them all the same.
        if 0 < serial.to_int(entry.serial).bit_length() <= _MOST_BITS
    )
    der = make_crl(certificate_of(authority), key, entries, number, now, policy.crl_life)
    return StoredCrl(authority.id, number, now, now.replace(microsecond=0) + policy.crl_life, tx.changes.epoch(), der)
