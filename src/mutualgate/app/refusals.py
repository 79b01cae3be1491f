"""Remembers who was refused, as the data plane tells it, so that the id on a refusal page can be looked up."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mutualgate.model.refusal import RefusalRecord
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed, subject_text
from mutualgate.store import Store
from mutualgate.store.types import EPOCH

if TYPE_CHECKING:
    from mutualgate.config import Config


def unlisted(config: "Config") -> str | None:
    """Why somebody who was refused may not be on the list, for operators; None where everybody is.

    An alert ends the handshake before the certificate is proved to be its holder's: it may be anybody's.
    """
    from mutualgate.config import OnRefusal

    sites = [site.name for site in config.sites if site.on_refusal is OnRefusal.ALERT]
    if not sites:
        return None
    return (
        f"Whom {', '.join(sites)} turned away by a TLS alert is counted (handshakes in mutualgate status) and not "
        'listed: ask them for the certificate (mutualgate decide --cert FILE), or set on_refusal = "close" for a while.'
    )


class Refusals:
    """The last refusals of one installation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Stores the refusals among `events`; the other kinds say what needs no keeping."""
        records = [_record(event) for event in events if event["kind"] == "refused" and "refusal" in event]
        if records:
            with self._store.transaction() as tx:
                tx.refusals.add_many(records)

    def find(self, id: str) -> RefusalRecord | None:
        """The one with this id, as a person may have typed it."""
        with self._store.reading() as tx:
            return tx.refusals.find(id.strip().upper())

    def recent(self, *, reason: str | None = None, limit: int = 100) -> list[RefusalRecord]:
        """The newest `limit`, newest first."""
        with self._store.reading() as tx:
            return tx.refusals.recent(reason=reason, limit=limit)


def _record(event: Mapping[str, Any]) -> RefusalRecord:
    fingerprint = event.get("fingerprint")
    return RefusalRecord(
        id=event["refusal"],
        at=EPOCH + timedelta(milliseconds=event["at"]),
        reason=event.get("reason", ""),
        detail=event.get("detail", ""),
        site=event.get("site", ""),
        path=event.get("path", ""),
        peer=event.get("peer", ""),
        subject=event.get("subject") or _subject(event.get("certificate")),
        fingerprint=bytes.fromhex(fingerprint) if fingerprint else None,
        client=event.get("client"),
    )


def _subject(certificate: bytes | None) -> str:
    """The data plane does not read the names of whom it refuses; here is the time to. Empty where it cannot be read."""
    if certificate is None:
        return ""
    from mutualgate.model.legible import legible

    try:
        with odd_serials_allowed():
            return subject_text(legible(certificate).says)
    except UNREADABLE:
        return ""
