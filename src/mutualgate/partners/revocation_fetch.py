"""What is due is fetched: lists before they run out, and answers about certificates that were seen.

Runs in the control plane, in threads that nobody waits for. Whatever goes wrong is a sentence at the address, and the
next try comes later and later; what was in force stays in force.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from mutualgate import audit
from mutualgate.errors import MutualgateError, NotFound
from mutualgate.model.change import ChangeKind
from mutualgate.model.foreign import OCSP_SCOPE, OcspAnswer, OcspStatus, RevocationSource, SourceKind, SourceState
from mutualgate.model.partner import Anchor, AnchorState, Partner, PartnerState
from mutualgate.partners import fetching, ocsp
from mutualgate.partners.addresses import read_location
from mutualgate.partners.finding import find
from mutualgate.partners.ocsp import Answer
from mutualgate.partners.revocation import PartnerRevocation, certificate_of, helpers_of
from mutualgate.partners.revocation_list import verify_list
from mutualgate.store import Store
from mutualgate.store.types import EPOCH

log = logging.getLogger("mutualgate")

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(hours=24)
"""From one fetch that went well to the next: half of what is left until nextUpdate, within these."""
AT_ONCE = 4
"""Fetches side by side: one slow server does not hold up the others."""
QUESTIONS_AT_ONCE = 50
_EVER = timedelta(days=3650)


@dataclass(frozen=True)
class Outcome:
    """What came of one address. `problem` is a sentence when nothing did."""

    source: RevocationSource
    news: bool = False
    entries: int = 0
    problem: str | None = None


class RevocationFetch:
    """The service of the running gate, and of who wants it now."""

    def __init__(self, store: Store, revocation: PartnerRevocation) -> None:
        self._store = store
        self._revocation = revocation
        self._under_way: set[tuple[str, int]] = set()
        self._lock = Lock()

    def due(self) -> list[RevocationSource]:
        """Lists that are to be fetched now, at most as many as are fetched side by side."""
        with self._store.reading() as tx:
            found = tx.foreign.due_sources(self._store.clock(), LONGEST, 4 * AT_ONCE)
        return [one for one in found if one.kind is SourceKind.CRL][:AT_ONCE]

    def due_to_ask(self) -> list[int]:
        """CAs whose responder is to be asked now."""
        with self._store.reading() as tx:
            return tx.foreign.anchors_to_ask(self._store.clock(), LONGEST, AT_ONCE)

    def fetch_all(self, name: str) -> list[Outcome]:
        """Fetches every approved list of a partner now, due or not, and asks its responders. Raises `NotFound`."""
        with self._store.reading() as tx:
            partner = find(tx, name)
            anchors = tx.anchors.of_partner(partner.id)
            sources = [source for one in anchors for source in tx.foreign.sources_of(one.id)]
        approved = [one for one in sources if one.state is SourceState.APPROVED]
        if not approved:
            raise NotFound(
                f"the partner '{partner.name}' has no address that may be fetched",
                fix=f"Approve one: mutualgate partner crl approve {partner.name} URL",
                code="no_source",
            )
        outcomes = [self.fetch(one.id, unconditional=True) for one in approved if one.kind is SourceKind.CRL]
        for anchor in {one.anchor for one in approved if one.kind is SourceKind.OCSP}:
            outcomes += self.ask(anchor, all_of_them=True)
        return outcomes

    def fetch(self, source_id: int, *, unconditional: bool = False) -> Outcome:
        """Fetches one list. Never raises for what the other side did."""
        with self._store.reading() as tx:
            source = tx.foreign.source(source_id)
            anchor = None if source is None else tx.anchors.get(source.anchor)
            partner = None if anchor is None else tx.partners.get(anchor.partner)
            helpers = [] if partner is None else helpers_of(tx, partner.id)
        if source is None or anchor is None or partner is None:
            raise NotFound(f"there is no address {source_id}")
        if source.state is not SourceState.APPROVED:
            return Outcome(source, problem="it is not approved")
        now = self._store.clock()
        if not _counts(anchor, partner, now):
            later = replace(source, next_fetch=now + LONGEST)
            self._keep(source, later)
            return Outcome(later, problem="its CA does not count")
        with self._lock:
            if ("crl", source_id) in self._under_way:
                return Outcome(source, problem="it is being fetched")
            self._under_way.add(("crl", source_id))
        try:
            location = read_location(source.url)
            fetched = fetching.fetch(
                location,
                private=source.private,
                etag="" if unconditional else source.etag,
                modified="" if unconditional else source.modified,
            )
            now = self._store.clock()
            news, entries, after = False, 0, source
            if fetched.data is not None:
                verified = verify_list(fetched.data, certificate_of(anchor), helpers, now, source.url, source.url)
                taken = self._revocation.take(anchor, verified, source.url)
                news, entries = taken.news, taken.list.entries
                after = replace(source, etag=fetched.etag, modified=fetched.modified)
        except MutualgateError as error:
            return self._failed(source, partner, str(error))
        finally:
            with self._lock:
                self._under_way.discard(("crl", source_id))
        done = replace(after, fetched=now, next_fetch=self._next(source, now), failures=0, error="")
        self._keep(source, done)
        if source.failures:
            log.info("the revocation list of the partner %s at %s comes again", partner.name, source.url)
        return Outcome(done, news=news, entries=entries)

    def ask(self, anchor_id: int, *, all_of_them: bool = False) -> list[Outcome]:
        """Asks a CA's responder about its certificates for which that is due, or the first of all."""
        now = self._store.clock()
        with self._store.reading() as tx:
            anchor = tx.anchors.get(anchor_id)
            partner = None if anchor is None else tx.partners.get(anchor.partner)
            until = now + _EVER if all_of_them else now
            due = tx.foreign.due_answers(anchor_id, until, LONGEST, QUESTIONS_AT_ONCE)
            sources = [
                one
                for one in tx.foreign.sources_of(anchor_id)
                if one.kind is SourceKind.OCSP and one.state is SourceState.APPROVED
            ]
        if anchor is None or partner is None or not due:
            return []
        if not sources or not _counts(anchor, partner, now):
            self._answered(anchor, [(one, replace(one, next_ask=now + LONGEST), None) for one in due])
            return []
        source = min(sources, key=lambda one: (one.failures, one.id))
        results: list[tuple[OcspAnswer, OcspAnswer, Answer | None]] = []
        problem = None
        for one in due:
            answer, problem = self._ask(anchor, source, one)
            results.append((one, self._after(one, answer, problem), answer))
            if problem is not None and answer is None:
                break  # the responder is away, or answers badly: the others wait with this one
        self._answered(anchor, results)
        if problem is not None:
            return [self._failed(source, partner, problem)]
        done = replace(source, fetched=self._store.clock(), next_fetch=None, failures=0, error="")
        self._keep(source, done)
        return [Outcome(done, news=True, entries=len(results))]

    def _ask(self, anchor: Anchor, source: RevocationSource, about: OcspAnswer) -> tuple[Answer | None, str | None]:
        ca = certificate_of(anchor)
        try:
            question = ocsp.ask(ca, about.serial)
            fetched = fetching.fetch(
                read_location(source.url),
                private=source.private,
                body=question.der,
                content_type=ocsp.CONTENT_TYPE,
                max_bytes=fetching.MAX_ANSWER_BYTES,
                total_seconds=30.0,
            )
            answer = ocsp.verify(fetched.data or b"", question, ca, self._store.clock(), source.url)
        except MutualgateError as error:
            return None, str(error)
        except ValueError:  # a serial number that no request can hold, such as 0
            return None, f"{source.url}: the serial number {about.serial.hex() or '0'} cannot be asked about"
        if about.this_update is not None and answer.this_update < about.this_update:
            return None, f"{source.url}: answers with something older than before"
        if answer.responder is not None and not answer.nocheck:
            with self._store.reading() as tx:
                if tx.foreign.find(anchor.id, answer.responder) is not None:
                    return None, f"{source.url}: is signed by a responder whose certificate was revoked"
        return answer, None

    def _after(self, before: OcspAnswer, answer: Answer | None, problem: str | None) -> OcspAnswer:
        now = self._store.clock()
        if answer is None:
            failures = before.failures + 1
            return replace(before, next_ask=now + fetching.retry(failures), failures=failures, error=problem or "")
        return OcspAnswer(
            before.anchor,
            before.serial,
            answer.status,
            answer.this_update,
            answer.next_update,
            now + _half(answer.next_update - now),
            0,
            "",
        )

    def _answered(self, anchor: Anchor, results: Sequence[tuple[OcspAnswer, OcspAnswer, Answer | None]]) -> None:
        """Keeps what came of each that was asked about, as it was and as it is now."""
        now = self._store.clock()
        with self._store.transaction() as tx:
            told = False
            for before, kept, answer in results:
                if tx.foreign.answer(anchor.id, kept.serial) != before:
                    continue  # somebody else has asked meanwhile, and may know better
                tx.foreign.put_answer(kept)
                if answer is None:
                    continue
                told = True
                if answer.status is OcspStatus.REVOKED:
                    at = answer.revoked_at or answer.this_update
                    entry = (kept.serial, (at - EPOCH) // timedelta(seconds=1), answer.reason)
                    tx.foreign.change(anchor.id, OCSP_SCOPE, [kept.serial], [entry])
                elif answer.status is OcspStatus.GOOD and tx.foreign.find(anchor.id, kept.serial) is not None:
                    # A hold that ended (RFC 6960 2.2), whatever was answered since it began.
                    tx.foreign.change(anchor.id, OCSP_SCOPE, [kept.serial], [])
                if answer.status is not before.status:
                    facts = {"serial": kept.serial.hex(), "status": str(answer.status)}
                    audit.record(tx, now, "clock", "ocsp.answer", f"CA {anchor.id}", facts)
            if told:
                tx.changes.note(ChangeKind.ANCHOR, anchor.id)

    def _failed(self, source: RevocationSource, partner: Partner, problem: str) -> Outcome:
        now = self._store.clock()
        failures = source.failures + 1
        due = now + fetching.retry(failures) if source.kind is SourceKind.CRL else None
        done = replace(source, failures=failures, error=problem[:1_000], next_fetch=due)
        self._keep(source, done)
        if failures == 1:
            log.warning("revocation of the partner %s: %s", partner.name, problem)
        return Outcome(done, problem=problem)

    def _keep(self, before: RevocationSource, after: RevocationSource) -> None:
        """Unless somebody said something else about it meanwhile, or took its list out of force."""
        with self._store.transaction() as tx:
            if tx.foreign.source(before.id) == before:
                tx.foreign.set_source(after)

    def _next(self, source: RevocationSource, now: datetime) -> datetime:
        with self._store.reading() as tx:
            ends = [one.next_update for one in tx.foreign.lists_of(source.anchor)]
        return now + _half(min(ends, default=now) - now)


def _counts(anchor: Anchor, partner: Partner, now: datetime) -> bool:
    return partner.state is not PartnerState.GONE and anchor.state_at(now) in (AnchorState.ACTIVE, AnchorState.RETIRING)


def _half(left: timedelta) -> timedelta:
    return min(max(left / 2, SHORTEST), LONGEST)
