"""Remembers which certificates were shown to the gate, and as whose, as the data plane tells it.

Only with proof: whoever showed one holds its key. So an operator may approve what is here, and the first good handshake
of somebody who was invited is known within a second.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from mutualgate.errors import BadInput, MutualgateError
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.legible import legible
from mutualgate.model.partner import PartnerName
from mutualgate.model.sighting import Sighting
from mutualgate.partners import between, members
from mutualgate.partners.names import hashes_in
from mutualgate.partners.telling import Tell, silent
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed, subject_text
from mutualgate.store import Store, Transaction
from mutualgate.store.seen import split
from mutualgate.store.types import EPOCH

log = logging.getLogger("mutualgate")


class Sightings:
    """The certificates of one installation that were shown."""

    def __init__(self, store: Store, tell: Tell = silent) -> None:
        self._store = store
        self._tell = tell

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Stores the sightings among `events`; a partner's client that is seen for the first time is recorded, and
        a CA between it and the partner's."""
        told = [event for event in events if event["kind"] == "seen"]
        shown = [(event, one) for event in told if (one := _sighting(event)) is not None]
        if not shown:
            return
        with self._store.transaction() as tx:
            tx.seen.add_many(one for _, one in shown)
        vouched = [(event, one) for event, one in shown if "partner" in event]
        if vouched:
            with self._store.transaction() as tx:
                for event, one in vouched:
                    _first_sight(tx, event["partner"], one)
        with_cas = [one for _, one in shown if len(one.chain) > 1]
        if with_cas:
            with self._store.transaction() as tx:
                for one in with_cas:
                    between.first_sight(tx, one.chain, at=one.last_at, tell=self._tell)

    def find(self, fingerprint: bytes) -> Sighting | None:
        """The one with this SHA-256 of its certificate."""
        with self._store.reading() as tx:
            return tx.seen.find(fingerprint)

    def recent(self, days: int = 30) -> list[Sighting]:
        """Those of the last days, the newest first."""
        since = self._store.clock() - timedelta(days=days)
        with self._store.reading() as tx:
            return list(tx.seen.since(since))

    def of_client(self, id: int) -> list[Sighting]:
        """A client's, the newest first."""
        with self._store.reading() as tx:
            return tx.seen.of_client(id)

    def first_seen(self, *, client: int | None = None, fingerprint: bytes | None = None) -> datetime | None:
        """When a client, or the holder of a certificate, was first admitted; None where that did not happen yet."""
        with self._store.reading() as tx:
            if fingerprint is None:
                return None if client is None else tx.seen.first_of_client(client)
            found = tx.seen.find(fingerprint)
            if found is None or client not in (None, found.client):
                return None
            return found.admitted_at


def _first_sight(tx: Transaction, partner: str, one: Sighting) -> None:
    owner = tx.partners.find(PartnerName(partner))
    # Whoever has a client of its own was recorded before.
    if owner is None or one.client not in (None, owner.client) or one.reason not in ("", "not_enrolled"):
        return
    try:
        with odd_serials_allowed():
            leaf = legible(one.chain[0])
        members.first_sight(tx, owner.id, leaf, at=one.last_at)
    except (*UNREADABLE, MutualgateError) as error:  # a name that no client can have, say: it stays the partner's own
        log.warning("a client of the partner %s could not be recorded: %s", partner, error)


def _sighting(event: Mapping[str, Any]) -> Sighting | None:
    """None for a chain that was too long to be told, or whose leaf is not alone in its bytes."""
    chain = tuple(event.get("chain", ()))
    if not chain or split(chain[0]) != chain[:1]:
        return None
    if split(b"".join(chain)) != chain:
        chain = chain[:1]  # what came with it is no certificate
    at = EPOCH + timedelta(milliseconds=event["at"])
    reason = event.get("reason", "")
    evidence = event.get("evidence", "")
    if "credential" in event:
        evidence = f"{evidence} {event['credential']}"
    subject, spki, not_after = _facts(chain[0])
    return Sighting(
        fingerprint=hashlib.sha256(chain[0]).digest(),
        chain=chain,
        site=event.get("site", ""),
        path=event.get("path", ""),
        first_at=at,
        last_at=at,
        count=event.get("count", 1),
        reason=reason,
        peer=event.get("peer", ""),
        spki=spki,
        client=event.get("client"),
        evidence=evidence,
        subject=event.get("subject") or subject,
        not_after=not_after,
        admitted_at=None if reason else at,
        signer=event.get("signer"),
        names=hashes_in(chain),
    )


def _facts(der: bytes) -> tuple[str, bytes | None, datetime | None]:
    """Subject, SHA-256 of the key, and end, as far as they can be read."""
    try:
        with odd_serials_allowed():
            certificate = legible(der).says
            subject = subject_text(certificate)
            return subject, spki_fingerprint(certificate), certificate.not_valid_after_utc
    except (*UNREADABLE, BadInput):
        return "", None, None
