"""The current CRL of each authority whose key we have (RFC 5280 5): when a new one is due, and its making.

A list is due when a revocation was added or lifted since, and at half its life, so that it never runs out.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from mutualgate.authorities.crl import make_crl
from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.model.authority import Authority
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.store import Store, Transaction

LARGE = 10_000
"""With more revocations, whoever has no time does not make the list: a million take 3 seconds."""
_PART = 1_000
_GIVE_WAY_SECONDS = 0.05
"""Between two parts of a large list: who waits for the store looks whether it is free, and does not queue."""


@dataclass(frozen=True, slots=True)
class Due:
    """A list that has to be made anew."""

    authority: Authority
    large: bool
    """Whether that takes long."""
    aged: bool
    """Whether half of its life is over, or it has not begun, or there is none: it is not due for a revocation alone."""


def current(store: Store, keys: KeyRing, policy: Policy, authority: Authority) -> StoredCrl:
    """The authority's list as it has to be now; made and stored first if that is due.

    Raises `Conflict` when we do not have the authority's key.
    """
    while True:
        now = store.clock()
        with store.reading() as tx:
            if due(tx, authority, now) is None:
                kept = tx.crls.find(authority.id)
                if kept is not None:
                    return kept
            # Outside a writing transaction: a list of a million takes seconds, and nobody should wait for that.
            draft = tx.crls.draft(_made(tx, keys, policy, authority, now))
        while draft.left > 1:
            with store.transaction() as tx:
                tx.crls.write(draft)
            time.sleep(_GIVE_WAY_SECONDS)
        with store.transaction() as tx:
            in_force = tx.crls.replace(draft)
            more = tx.crls.clear(authority.id)
        while more:
            time.sleep(_GIVE_WAY_SECONDS)
            with store.transaction() as tx:
                more = tx.crls.clear(authority.id)
        if in_force:
            return draft.entry
        # Another process was faster; its list may do.


def due(tx: Transaction, authority: Authority, now: datetime) -> Due | None:
    """Whether a new list has to be made."""
    state = tx.crls.state(authority.id)
    # One from the future is nobody's current list: the clock was set back since.
    aged = state is None or not state.this_update <= now < state.half_life
    if state is not None and not aged and not is_behind(tx, state):
        return None
    return Due(authority, tx.revocations.more_than(authority.id, LARGE), aged)


def is_behind(tx: Transaction, state: CrlState) -> bool:
    """Whether a revocation was added or lifted of which the list does not tell."""
    return tx.authorities.revoked_epoch(state.authority) > state.epoch


def _made(tx: Transaction, keys: KeyRing, policy: Policy, authority: Authority, now: datetime) -> StoredCrl:
    before = tx.crls.state(authority.id)
    issuer, key, life = certificate_of(authority), keys.open(tx, authority), policy.crl_life
    number = 1 if before is None else before.number + 1  # RFC 5280 5.2.3: increasing
    entries = (row for part in tx.revocations.walk_of(authority.id, _PART) for row in part)
    der = make_crl(issuer, key, entries, number, now, life)
    return StoredCrl(authority.id, number, now, now.replace(microsecond=0) + life, tx.changes.epoch(), der)
