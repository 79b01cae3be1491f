"""What will expire: a list, figures, and letters; each thing once per threshold, and none that has a successor.

An end that nobody saw coming is the most frequent outage of mutual TLS, so this looks at everything that has an end:
clients' certificates and pins, partners' CAs, certificates and lists, our own authorities, the gate's certificates,
invitations that nobody opened.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mutualgate.clock import Clock
from mutualgate.config import NoticesConfig, is_mailbox
from mutualgate.counts import counted
from mutualgate.model.authority import AuthorityKind
from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.model.foreign import CA_SCOPE
from mutualgate.model.partner import Anchor, AnchorState
from mutualgate.notices import successors
from mutualgate.notices.outbox import Outbox
from mutualgate.store import Store, Transaction

THRESHOLDS = (90, 60, 30, 14, 7, 1)
"""Days before an end at which somebody is told."""
ENDED = timedelta(days=7)
"""How long something that ended without a successor stays on the list."""
MOST_LISTED = 10_000
_MOST_TOLD = 1_000_000
_LISTED_IN_A_LETTER = 100
_TOLD_AT_A_TIME = 5_000
_REMEMBERED = timedelta(days=800)
_DAY = timedelta(days=1)
_SUMMARY_LIFE = timedelta(seconds=60)

Sites = Callable[[], Mapping[str, datetime]]
"""The gate's own certificates: the name of the site, and when it ends."""
Files = Callable[[], Mapping[str, str]]
"""Those of these that operators bring: the name of the site, and the file."""
Renews = Callable[[Transaction, Expiring], bool]
"""Whether its holder can renew a certificate or pin, with nothing but itself."""

WORDS = {
    ExpiryKind.CREDENTIAL: "certificate of",
    ExpiryKind.PIN: "pin of",
    ExpiryKind.PARTNER_CERTIFICATE: "certificate under a partner's CA of",
    ExpiryKind.PARTNER_CA: "CA of the partner",
    ExpiryKind.SITE: "the gate's certificate for",
    ExpiryKind.AUTHORITY: "authority",
    ExpiryKind.LIST: "revocation list of",
    ExpiryKind.PARTNER_LIST: "revocation list of the partner",
    ExpiryKind.INVITATION: "invitation of",
}
_OF_CLIENTS = (ExpiryKind.CREDENTIAL, ExpiryKind.PIN, ExpiryKind.PARTNER_CERTIFICATE)
_IN_TABLES = (*_OF_CLIENTS, ExpiryKind.INVITATION)


@dataclass(frozen=True)
class Summary:
    """Figures for one kind: the next end, and how many end within each threshold. Nothing of it names a client."""

    kind: ExpiryKind
    nearest: datetime | None
    within: Mapping[int, int]


@dataclass(frozen=True)
class Ending:
    """What ends, the next first; and whether there is more of it: to count very many takes a second."""

    found: list[Expiring]
    more: bool


class Expiry:
    """The service. `renew_url` is where clients can renew by themselves, if that is anywhere, and `renews` says which
    of them can; `issued_life` is how long the certificates that the gate makes for itself are valid."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        notices: NoticesConfig,
        *,
        sites: Sites = dict,
        files: Files = dict,
        issued_life: timedelta = timedelta(days=397),
        renew_url: Callable[[], str | None] = lambda: None,
        renews: Renews = lambda tx, one: True,
    ) -> None:
        self._store = store
        self._clock: Clock = store.clock
        self._outbox = outbox
        self._notices = notices
        self._sites = sites
        self._files = files
        self._issued_life = issued_life
        self._renew_url = renew_url
        self._renews = renews
        self._summary: tuple[datetime, list[Summary]] | None = None

    def ending(
        self, within: timedelta = timedelta(days=30), kind: ExpiryKind | None = None, limit: int = 1_000
    ) -> Ending:
        """What ends within that time, or did in the last week, and has no successor; the next first."""
        now = self._clock()
        window, most = (now - ENDED, now + within), min(limit, MOST_LISTED)
        with self._store.reading() as tx:
            found = [one for one in self._few(tx, window, now) if kind in (None, one.kind)]
            for one in _IN_TABLES:
                if kind in (None, one):
                    found += tx.expiring.find(one, window, most + 1)
        return Ending(sorted(found, key=lambda one: (one.ends, one.item))[:most], len(found) > most)

    def pressing(self) -> list[Expiring]:
        """What a watcher hears of one by one, since the gate stands on it: certificates of its sites, CAs, lists of
        ours. Those that end within a month, or whose successor should be there by now; and that have ended."""
        now = self._clock()
        with self._store.reading() as tx:
            found = self._few(tx, (datetime.min.replace(tzinfo=UTC), now + 30 * _DAY), now)
        return sorted((one for one in found if _presses(one, now)), key=lambda one: (one.ends, one.item))

    def as_dict(self, one: Expiring, now: datetime) -> dict[str, Any]:
        """For programs; with the command that an operator types for it."""
        return {
            "kind": str(one.kind),
            "id": one.key,
            "name": one.name,
            "client": one.client,
            "ends": one.ends.isoformat(),
            "days": (one.ends - now) // _DAY,
            "detail": one.detail,
            "command": self.command(one),
        }

    def command(self, one: Expiring) -> str:
        """What an operator types for it."""
        return successors.command(one, portal=self._renew_url() is not None)

    def summary(self) -> list[Summary]:
        """Figures of each kind, at most a minute old: who watches asks often."""
        now = self._clock()
        if self._summary is None or now - self._summary[0] >= _SUMMARY_LIFE or now < self._summary[0]:
            self._summary = now, self._count(now)
        return self._summary[1]

    def _count(self, now: datetime) -> list[Summary]:
        window = now - ENDED, now + THRESHOLDS[0] * _DAY
        ends = [now + days * _DAY for days in THRESHOLDS]
        with self._store.reading() as tx:
            few = self._few(tx, window, now)
            counted = {kind: tx.expiring.count(kind, window, ends) for kind in _IN_TABLES}
        for kind in ExpiryKind:
            if kind not in counted:
                these = [one.ends for one in few if one.kind is kind]
                counted[kind] = min(these, default=None), [sum(at < end for at in these) for end in ends]
        return [
            Summary(kind, counted[kind][0], dict(zip(THRESHOLDS, counted[kind][1], strict=True))) for kind in ExpiryKind
        ]

    def tell(self) -> int:
        """Puts a letter into the outbox for everything that came nearer than a threshold; returns how many things.

        The operators get one letter for all of them; a client gets one for each of its own. Raises what the store does.
        """
        now = self._clock()
        due = self._due(now)
        told = 0
        for start in range(0, len(due), _TOLD_AT_A_TIME):
            with self._store.transaction() as tx:
                part = due[start : start + _TOLD_AT_A_TIME]
                before = tx.expiring.told(one.item for one, _ in part)
                news = [(one, days) for one, days in part if days < before.get(one.item, THRESHOLDS[0] + 1)]
                for one, days in news:
                    tx.expiring.tell(one.item, days, now)
                    self._tell_holder(tx, one, days, now)
                if news:
                    self._tell_operators(tx, news, now)
                told += len(news)
        with self._store.transaction() as tx:
            tx.expiring.forget(now - _REMEMBERED)
        return told

    def _due(self, now: datetime) -> list[tuple[Expiring, int]]:
        """What came nearer than a threshold, and which; of what is in tables only that of which nobody was told."""
        with self._store.reading() as tx:
            found = self._few(tx, (now - ENDED, now + THRESHOLDS[0] * _DAY), now)
            for kind in _IN_TABLES:
                found += tx.expiring.untold(kind, now, THRESHOLDS, _MOST_TOLD)
        ordered = sorted(found, key=lambda one: (one.ends, one.item))
        return [(one, days) for one in ordered if (days := threshold(one, now)) is not None]

    def _tell_holder(self, tx: Transaction, one: Expiring, days: int, now: datetime) -> None:
        """To whoever can renew it, where its contact is an address."""
        if not self._notices.contacts or not self._outbox.sends_mail or not is_mailbox(one.contact):
            return
        if one.kind not in (*_OF_CLIENTS, ExpiryKind.PARTNER_CA, ExpiryKind.PARTNER_LIST):
            return
        verb = "ends" if one.ends > now else "ended"
        lines = [f"The {_words(one)} {verb} on {one.ends.day} {one.ends:%B %Y at %H:%M} UTC."]
        if one.detail and one.kind is not ExpiryKind.CREDENTIAL:
            lines.append(f"It is: {one.detail}")
        url = self._renew_url() if one.kind in (ExpiryKind.CREDENTIAL, ExpiryKind.PIN) else None
        if url is not None and self._renews(tx, one):
            lines += ["", "It can be renewed with the certificate itself, in the browser that has it:", f"  {url}"]
        else:
            lines += ["", "Please see to the next one, or ask whoever runs the gate."]
        lines += ["", "You get this letter since your address is the contact of this client or partner."]
        words = _words(one)
        subject = f"{words[0].upper()}{words[1:]} {verb}" + (f" ({_left(one, now)})" if one.ends > now else "")
        key = f"expiry:{one.item}:{days}:holder"
        self._outbox.put(tx, "mail", one.contact, _line(subject), "\n".join(lines) + "\n", key[:160])

    def _tell_operators(self, tx: Transaction, news: Sequence[tuple[Expiring, int]], now: datetime) -> None:
        first = news[0][0]
        what = f"{_words(first)} ends" if len(news) == 1 else f"{len(news)} things end, the first"
        subject = f"mutualgate: {what} ({_left(first, now)})"
        lines = [
            f"{one.ends:%Y-%m-%d %H:%M} UTC ({_left(one, now)}): {_words(one)}\n    {self.command(one)}"
            for one, _ in news[:_LISTED_IN_A_LETTER]
        ]
        if len(news) > len(lines):
            lines.append(f"and {len(news) - len(lines)} more: mutualgate expiring --within 90d")
        text = "These end, and nothing that would take their place is there yet:\n\n" + "\n".join(lines) + "\n"
        facts: dict[str, Any] = {
            "count": len(news),
            "items": [{**self.as_dict(one, now), "threshold_days": days} for one, days in news[:_LISTED_IN_A_LETTER]],
        }
        self._outbox.tell(tx, "expiry", _line(subject), text, facts)

    def _few(self, tx: Transaction, window: tuple[datetime, datetime], now: datetime) -> list[Expiring]:
        """What there are few of: looked at one by one."""
        everything = [
            *self._site_certificates(now),
            *_authorities(tx, window[1]),
            *_own_lists(tx, now),
            *_partner_cas(tx, now, window[1]),
            *_partner_lists(tx, now),
        ]
        return [one for one in everything if window[0] <= one.ends < window[1]]

    def _site_certificates(self, now: datetime) -> Iterable[Expiring]:
        files = self._files()
        for name, ends in self._sites().items():
            begins = now - THRESHOLDS[0] * 2 * _DAY if name in files else ends - self._issued_life
            yield Expiring(ExpiryKind.SITE, name, name, ends, begins, detail=files.get(name, ""))


def threshold(one: Expiring, now: datetime) -> int | None:
    """The smallest threshold that it came nearer than, in days; None if it did not, or has ended.

    One that is more than half of its life says nothing: what lives a week would always be told of.
    """
    left, life = one.ends - now, one.ends - one.begins
    if one.kind in (ExpiryKind.LIST, ExpiryKind.PARTNER_LIST):
        return 1 if left > timedelta(0) else 0  # only those are here that should have been replaced
    if left <= timedelta(0):
        return None
    reached = [days for days in THRESHOLDS if left <= days * _DAY and days * _DAY <= life / 2]
    return min(reached, default=None)


def _presses(one: Expiring, now: datetime) -> bool:
    if one.kind is ExpiryKind.PARTNER_LIST:
        return False  # whoever asks about them says so
    if one.kind is ExpiryKind.SITE and not one.detail:
        return _near(one.begins, one.ends, now)  # made anew with a third of its life left
    own = one.kind in (ExpiryKind.SITE, ExpiryKind.LIST) or one.detail in (AuthorityKind.ROOT, AuthorityKind.ISSUING)
    return own or one.ends >= now - ENDED


def _words(one: Expiring) -> str:
    return f"{WORDS[one.kind]} {one.name}".removeprefix("the ")


def _left(one: Expiring, now: datetime) -> str:
    left = one.ends - now
    if left <= timedelta(0):
        return "ended"
    days = left // _DAY
    if days >= 2:
        return f"in {days} days"
    return f"in {counted(left // timedelta(hours=1), 'hour')}"


def _line(text: str) -> str:
    """Fit for a subject: names are ours or were checked, and still."""
    return "".join(character if character.isprintable() else " " for character in text)[:200]


def _authorities(tx: Transaction, until: datetime) -> Iterable[Expiring]:
    """Ours and adopted ones; one of ours that has a successor of its kind is on its way out."""
    own = tx.authorities.own()
    for one in tx.authorities.ending(until):
        newer = one.kind is not AuthorityKind.ADOPTED and any(
            other.kind is one.kind and other.created > one.created and other.not_after > one.not_after for other in own
        )
        if not newer:
            yield Expiring(
                ExpiryKind.AUTHORITY, str(one.id), str(one.name), one.not_after, one.created, detail=str(one.kind)
            )


def _own_lists(tx: Transaction, now: datetime) -> Iterable[Expiring]:
    """New ones are made at half of their life, so one that is near its end is stuck."""
    for one in tx.authorities.with_keys():
        crl = tx.crls.state(one.id)
        if crl is not None and crl.signed and _near(crl.this_update, crl.next_update, now):
            yield Expiring(ExpiryKind.LIST, str(one.id), str(one.name), crl.next_update, crl.this_update)


def _partner_cas(tx: Transaction, now: datetime, until: datetime) -> Iterable[Expiring]:
    found = tx.anchors.beside_ending(until)
    anchors = [one for one in found if one.state_at(now) is not AnchorState.RETIRED]
    partners = tx.partners.get_many({one.partner for one in anchors})
    by_partner: dict[int, list[Anchor]] = {}
    for one in anchors:
        by_partner.setdefault(one.partner, []).append(one)
    for one in anchors:
        newer = any(
            other.state is AnchorState.ACTIVE and other.created > one.created and other.last_moment > one.last_moment
            for other in by_partner[one.partner]
        )
        partner = partners.get(one.partner)
        if newer or partner is None:
            continue
        yield Expiring(
            ExpiryKind.PARTNER_CA,
            str(one.id),
            str(partner.name),
            one.last_moment,
            one.not_before,
            contact=partner.contact or partner.security_contact,
            detail=one.subject,
        )


def _partner_lists(tx: Transaction, now: datetime) -> Iterable[Expiring]:
    lists = [one for one in tx.foreign.all_lists() if _near(one.this_update, one.next_update, now)]
    if not lists:
        return
    known = tx.anchors.counting({one.anchor for one in lists})
    anchors = {one.id: one for one in known if one.state_at(now) is not AnchorState.RETIRED}
    partners = tx.partners.get_many({one.partner for one in anchors.values()})
    for one in lists:
        anchor = anchors.get(one.anchor)
        if anchor is None or anchor.partner not in partners:
            continue
        partner = partners[anchor.partner]
        covers = "CA certificates" if one.scope == CA_SCOPE else one.scope or "all certificates"
        yield Expiring(
            ExpiryKind.PARTNER_LIST,
            f"{one.anchor}:{one.scope}"[:60],
            str(partner.name),
            one.next_update,
            one.this_update,
            contact=partner.security_contact or partner.contact,
            detail=f"{anchor.subject}, for {covers}",
        )


def _near(begins: datetime, ends: datetime, now: datetime) -> bool:
    """A quarter of its life, or less, is left."""
    return now >= ends - (ends - begins) / 4
