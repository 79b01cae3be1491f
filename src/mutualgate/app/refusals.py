"""Keeps what the data plane tells of refused clients, so that the id on a refusal page can be looked up."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mutualgate.app.services import Services
from mutualgate.model import RefusalRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def keep_refusals(services: Services, events: Iterable[Mapping[str, Any]]) -> None:
    """Stores the refusals among `events`; the other kinds say what needs no keeping."""
    records = [_record(event) for event in events if event["kind"] == "refused" and "refusal" in event]
    if records:
        with services.store.transaction() as tx:
            tx.refusals.add_many(records)


def _record(event: Mapping[str, Any]) -> RefusalRecord:
    fingerprint = event.get("fingerprint")
    return RefusalRecord(
        id=event["refusal"],
        at=_EPOCH + timedelta(milliseconds=event["at"]),
        reason=event.get("reason", ""),
        detail=event.get("detail", ""),
        site=event.get("site", ""),
        path=event.get("path", ""),
        peer=event.get("peer", ""),
        subject=event.get("subject", ""),
        fingerprint=bytes.fromhex(fingerprint) if fingerprint else None,
        client=event.get("client"),
    )
