"""What partners' CAs revoked, for operators: where it is asked, lists from files, and how fresh all of it is.

The judge looks numbers up that were verified here before; it never fetches, and neither does a request.

    addresses            which addresses may be fetched, and where they may lead
    fetching             one bounded HTTP exchange
    revocation_list      a CRL: whether it may be believed, and what it covers
    revocation_intake    what a list changes
    ocsp                 a question about one certificate, and its answer
    revocation_fetch     what is due is fetched and asked
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mutualgate import audit
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.certificate import signed
from mutualgate.model.foreign import CA_SCOPE, ForeignList, OcspStatus, RevocationSource, SourceKind, SourceState
from mutualgate.model.names import shown
from mutualgate.model.partner import Anchor, AnchorState, Partner, RevocationMode
from mutualgate.model.sighting import Sighting
from mutualgate.partners import revocation_intake
from mutualgate.partners.addresses import check_written, read_location
from mutualgate.partners.anchors import of_subject
from mutualgate.partners.finding import find, subject
from mutualgate.partners.revocation_intake import Taken
from mutualgate.partners.revocation_list import VerifiedList, addresses, verify_list
from mutualgate.reading.crl import serial_octets
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed, read_certificates
from mutualgate.store import Store, Transaction

MOST_SOURCES = 32
"""Addresses of one CA; a partitioned list has some of them."""
MOST_LEARNED = 16
"""Addresses of one CA that wait for approval: its certificates could name any number."""
MOST_ASKED = 10_000
"""Certificates of one CA that its responder is asked about."""
LEARNED_UNTIL = "revocation.learned_until"
"""The setting that says up to when the certificates that were seen have been looked at."""
LOOKED_BACK = timedelta(days=30)
"""How far back, the first time and when a responder was approved."""
MOST_LOOKED = 1_000
"""Sightings that are looked at in one go: in the first month there may be a hundred thousand."""
LATE = timedelta(seconds=5)
"""By how much a sighting may be stored later than it was made."""
_VOUCHED = ("crl_missing", "crl_expired", "revoked", "not_enrolled", "client_suspended", "not_granted")
"""Reasons of refusals whose certificate a CA may have signed; others are not worth a signature."""
_COUNTS = (AnchorState.ACTIVE, AnchorState.RETIRING)


@dataclass(frozen=True)
class ListState:
    """A list in force, and how it stands now."""

    list: ForeignList
    age: timedelta
    left: timedelta
    """Until nextUpdate; less than nothing when that has passed."""

    @property
    def late(self) -> bool:
        """Whether the next one should have come by now."""
        return self.left <= timedelta(0)

    @property
    def soon(self) -> bool:
        """Whether less than a quarter of its life is left: by then a new one is usually there."""
        return self.left < (self.age + self.left) / 4


@dataclass(frozen=True)
class AnchorRevocation:
    """All that is known about revocation under one CA."""

    anchor: Anchor
    partner: Partner
    lists: Sequence[ListState]
    sources: Sequence[RevocationSource]
    answers: dict[OcspStatus, int]
    revoked: int

    @property
    def known(self) -> bool:
        """Whether anything is, of any client: a list of CA certificates says nothing of one, nor does an answer that is
        still to come or that the responder does not have."""
        said = self.answers.get(OcspStatus.GOOD) or self.answers.get(OcspStatus.REVOKED)
        return bool(said) or any(one.list.scope != CA_SCOPE for one in self.lists)

    @property
    def problem(self) -> str | None:
        """What keeps, or will soon keep, good clients out; or what is not known. None when all is well."""
        broken = next((one for one in self.sources if one.failures), None)
        why = f": {broken.error}" if broken is not None else ""
        if self.anchor.revocation is not RevocationMode.IGNORE and not self.known:
            return f"no list or answer is in force: nobody under it is let in (crl_missing){why}"
        for one in self.lists:
            if one.late:
                return f"its list should have been replaced by {one.list.next_update:%Y-%m-%d %H:%M} UTC{why}"
        if broken is not None:
            return broken.error
        return None


@dataclass(frozen=True)
class Loaded:
    """A list that was put in force from a file, and for which CA."""

    anchor: Anchor
    taken: Taken


class PartnerRevocation:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, by: str = "operator") -> None:
        self._store = store
        self._by = by
        self._looked: tuple[str, datetime] | None = None
        """What the setting said, and up to when this process has looked since then."""

    def show(self, name: str) -> list[AnchorRevocation]:
        """How it stands with a partner's CAs that are not retired. Raises `NotFound`."""
        now = self._store.clock()
        with self._store.reading() as tx:
            partner = find(tx, name)
            anchors = tx.anchors.of_partner(partner.id)
            return [
                _state(
                    partner,
                    one,
                    tx.foreign.lists_of(one.id),
                    tx.foreign.sources_of(one.id),
                    tx.foreign.count_answers(one.id),
                    now,
                )
                for one in anchors
                if one.state_at(now) is not AnchorState.RETIRED
            ]

    def overview(self) -> list[AnchorRevocation]:
        """How it stands with all CAs that count and have anything to be told of."""
        now = self._store.clock()
        lists: dict[int, list[ForeignList]] = defaultdict(list)
        sources: dict[int, list[RevocationSource]] = defaultdict(list)
        with self._store.reading() as tx:
            for listed in tx.foreign.all_lists():
                lists[listed.anchor].append(listed)
            for source in tx.foreign.sources():
                sources[source.anchor].append(source)
            answers = tx.foreign.count_all_answers()
            asked = tx.anchors.asked([*lists, *sources])
            anchors = [one for one in asked if one.state_at(now) in _COUNTS]
            partners = tx.partners.get_many({one.partner for one in anchors})
        return [
            _state(partners[one.partner], one, lists[one.id], sources[one.id], answers.get(one.id, {}), now)
            for one in anchors
        ]

    def approve(
        self,
        name: str,
        address: str,
        *,
        kind: SourceKind | None = None,
        private: bool = False,
        anchor: int | None = None,
    ) -> RevocationSource:
        """Has an address fetched from now on: one that a certificate named, or any other.

        `private`: it may lie in this network or on this machine. Raises `NotFound`, `BadInput` for what is no address,
        `Conflict` where it is not clear which CA is meant, or there are too many.
        """
        location = read_location(address)
        check_written(location, private)
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            candidates = self._anchors(tx, partner, anchor, now)
            known = [one for ca in candidates if (one := tx.foreign.source_at(ca.id, location.url)) is not None]
            if len(known) == 1:
                wanted = kind or known[0].kind
                source = replace(
                    known[0],
                    kind=wanted,
                    state=SourceState.APPROVED,
                    private=private,
                    next_fetch=now if wanted is SourceKind.CRL else None,
                    failures=0,
                    error="",
                )
                tx.foreign.set_source(source)
            else:
                ca = _only(candidates, partner)
                if len(tx.foreign.sources_of(ca.id)) >= MOST_SOURCES:
                    raise Conflict(f"the CA {ca.id} has {MOST_SOURCES} addresses already", code="too_many_sources")
                wanted = kind or SourceKind.CRL
                source = tx.foreign.add_source(ca.id, wanted, location.url, SourceState.APPROVED, private, now)
            if source.kind is SourceKind.OCSP:
                tx.settings.put(LEARNED_UNTIL, "")  # it is asked about all who were seen, too
            self._record(tx, now, "crl.approve", partner, source)
        return source

    def refuse(self, name: str, address: str, *, anchor: int | None = None) -> RevocationSource:
        """Has an address not fetched any more, nor learned again. What it gave stays in force until its nextUpdate.

        Raises `NotFound` for one that is not known, `Conflict` where several CAs have it.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            candidates = self._anchors(tx, partner, anchor, now)
            known = {ca: one for ca in candidates if (one := tx.foreign.source_at(ca.id, address)) is not None}
            if not known:
                raise NotFound(
                    f"the partner '{partner.name}' has no such address: {shown(address)}",
                    fix=f"See them with: mutualgate partner crl list {partner.name}",
                    code="no_such_source",
                )
            found = known[_only(list(known), partner)]
            source = replace(found, state=SourceState.REFUSED, next_fetch=None, failures=0, error="")
            tx.foreign.set_source(source)
            self._record(tx, now, "crl.refuse", partner, source)
        return source

    def load(
        self, name: str, data: bytes, where: str = "the list", *, anchor: int | None = None, force: bool = False
    ) -> Loaded:
        """Puts a CRL from a file in force: complete, of one distribution point, or a delta for the one in force.

        `force`: it may be older than the one in force. Raises `NotFound`, and `BadInput` for one that no CA of the
        partner signed, or that must not be believed.
        """
        now = self._store.clock()
        with self._store.reading() as tx:
            partner = find(tx, name)
            candidates = self._anchors(tx, partner, anchor, now)
            helpers = helpers_of(tx, partner.id)
        if not candidates:
            raise Conflict(f"the partner '{partner.name}' has no CA", fix="Claim it first: mutualgate partner ca add")
        failure: BadInput | None = None
        for one in candidates:
            try:
                verified = verify_list(data, certificate_of(one), helpers, now, where)
            except BadInput as error:
                # Of several, the most telling: that of the CA whose name it has.
                failure = error if failure is None or failure.code == "other_issuer" else failure
                continue
            return Loaded(one, self.take(one, verified, where, force=force))
        raise failure or BadInput("is no list that can be used", where=where)

    def forget(self, name: str, scope: str, *, anchor: int | None = None) -> ForeignList:
        """Takes a list out of force with all that it revoked, and returns it: one that is not published any more, say.

        `scope` is empty for the list of all certificates. Raises `NotFound`, `Conflict` where several CAs have one: all
        that the wrong one revoked would be let in.
        """
        now = self._store.clock()
        with self._store.transaction() as tx:
            partner = find(tx, name)
            candidates = self._anchors(tx, partner, anchor, now)
            known = {ca: one for ca in candidates if (one := tx.foreign.list_of(ca.id, scope)) is not None}
            if not known:
                raise NotFound(
                    f"the partner '{partner.name}' has no list of {shown(scope) if scope else 'all certificates'}",
                    fix=f"See them with: mutualgate partner crl list {partner.name}",
                    code="no_such_list",
                )
            found = known[_only(list(known), partner)]
            tx.foreign.forget(found.anchor, scope)
            facts: dict[str, str | int] = {"anchor": found.anchor, "scope": scope, "entries": found.entries}
            audit.record(tx, now, self._by, "crl.forget", subject(partner), facts)
        return found

    def take(self, anchor: Anchor, verified: VerifiedList, where: str, *, force: bool = False) -> Taken:
        """Puts a verified list in force, and learns where it says that delta CRLs are. Raises `BadInput`."""
        taken = revocation_intake.take(self._store, anchor, verified, self._by, where, force=force)
        if taken.news and verified.fresher:
            with self._store.transaction() as tx:
                self._learn(tx, anchor, [(SourceKind.CRL, url) for url in verified.fresher])
        return taken

    def learn(self, anchor: Anchor, certificate: x509.Certificate) -> None:
        """Notes where a certificate, which this CA signed, says that it can be asked; and has its responder asked.

        Nothing is fetched before somebody approves it.
        """
        found = named_by(certificate)
        serial = serial_octets(certificate.serial_number)
        with self._store.reading() as tx:
            known = {one.url for one in tx.foreign.sources_of(anchor.id)}
            responders = _responders(tx, anchor)
            new = [one for one in found if one[1] not in known]
            if not new and (not responders or tx.foreign.answer(anchor.id, serial) is not None):
                return
        with self._store.transaction() as tx:
            self._learn(tx, anchor, new)
            if responders and sum(tx.foreign.count_answers(anchor.id).values()) < MOST_ASKED:
                tx.foreign.want(anchor.id, serial, self._store.clock(), certificate.not_valid_after_utc)

    def learn_from_seen(self) -> int:
        """Looks at the certificates that were shown to the gate since the last time, at most `MOST_LOOKED`; returns how
        many were news.

        Only those that a CA of a partner's signed: strangers teach nothing.
        """
        now = self._store.clock()
        with self._store.reading() as tx:
            if not tx.partners.any():
                return 0
            until = tx.settings.get(LEARNED_UNTIL) or ""
            stored = datetime.fromisoformat(until) if until else None
            since = self._looked[1] if self._looked is not None and self._looked[0] == until else stored
            if since is None or since > now:  # never; or the clock was set back since
                since = now - LOOKED_BACK
            shown = tx.seen.vouched(since, _VOUCHED, MOST_LOOKED)
            found = list(self._news(tx, shown))
        for anchor, certificate in found:
            self.learn(anchor, certificate)
        # The last ones again the next time: what was shown while this looked is not lost.
        looked = now - LATE
        if len(shown) == MOST_LOOKED:  # more of the same moment than these, nobody stores
            looked = max(shown[-1].last_at, since + timedelta(microseconds=1))
        if stored is None or found or abs(looked - stored) > timedelta(minutes=1):
            with self._store.transaction() as tx:
                tx.foreign.forget_ended(now)
                # Unless an operator said meanwhile that all are to be looked at.
                if (tx.settings.get(LEARNED_UNTIL) or "") == until:
                    until = looked.isoformat()
                    tx.settings.put(LEARNED_UNTIL, until)
        self._looked = until, looked
        return len(found)

    def _news(self, tx: Transaction, shown: Sequence[Sighting]) -> Iterator[tuple[Anchor, x509.Certificate]]:
        """Certificates of which something is to be learned; those are few, whatever was shown."""
        alike: dict[bytes, list[Anchor]] = {}
        known: dict[int, tuple[set[str], bool]] = {}
        for sighting in shown:
            try:
                with odd_serials_allowed():
                    leaf = x509.load_der_x509_certificate(sighting.chain[0])
                    issuer = leaf.issuer.public_bytes()
            except (*UNREADABLE, IndexError):
                continue
            if issuer not in alike:
                alike[issuer] = of_subject(tx, issuer, self._store.clock())
            for anchor in alike[issuer]:
                if anchor.id not in known:
                    urls = {one.url for one in tx.foreign.sources_of(anchor.id)}
                    known[anchor.id] = urls, bool(_responders(tx, anchor))
                urls, asked = known[anchor.id]
                new = {url for _, url in named_by(leaf)} - urls
                news = new or (asked and tx.foreign.answer(anchor.id, serial_octets(leaf.serial_number)) is None)
                if news and signed(certificate_of(anchor), leaf):
                    urls |= new
                    yield anchor, leaf

    def _learn(self, tx: Transaction, anchor: Anchor, found: Sequence[tuple[SourceKind, str]]) -> None:
        now = self._store.clock()
        known = tx.foreign.sources_of(anchor.id)
        waiting = sum(one.state is SourceState.LEARNED for one in known)
        for kind, url in found:
            if waiting >= MOST_LEARNED or any(one.url == url for one in known):
                continue
            try:
                read_location(url)
            except BadInput:
                continue
            source = tx.foreign.add_source(anchor.id, kind, url, SourceState.LEARNED, False, now)
            known.append(source)
            waiting += 1
            partner = tx.partners.get(anchor.partner)
            if partner is not None:
                self._record(tx, now, "crl.learn", partner, source)

    def _anchors(self, tx: Transaction, partner: Partner, anchor: int | None, now: datetime) -> list[Anchor]:
        found = [
            one
            for one in tx.anchors.of_partner(partner.id)
            if one.state_at(now) is not AnchorState.RETIRED and (anchor is None or one.id == anchor)
        ]
        if anchor is not None and not found:
            raise NotFound(
                f"the partner '{partner.name}' has no CA {anchor}",
                fix=f"See them with: mutualgate partner ca list {partner.name}",
                code="no_such_anchor",
            )
        return found

    def _record(self, tx: Transaction, now: datetime, action: str, partner: Partner, source: RevocationSource) -> None:
        facts: dict[str, str | int | bool] = {
            "anchor": source.anchor,
            "kind": str(source.kind),
            "url": source.url,
            "private": source.private,
        }
        audit.record(tx, now, self._by, action, subject(partner), facts)


def certificate_of(anchor: Anchor) -> x509.Certificate:
    """The CA's certificate, parsed."""
    with odd_serials_allowed():
        return x509.load_der_x509_certificate(anchor.certificate)


def helpers_of(tx: Transaction, partner: int) -> list[x509.Certificate]:
    """The partner's intermediates: one of them may be the certificate of a key that signs lists only."""
    found: list[x509.Certificate] = []
    for one in tx.partners.intermediates_of(partner):
        found += read_certificates(one.certificate, "the intermediate")
    return found


def named_by(certificate: x509.Certificate) -> list[tuple[SourceKind, str]]:
    """The addresses of lists and responders in a certificate (RFC 5280 4.2.1.13 and 4.2.2.1), in its order."""
    found: list[tuple[SourceKind, str]] = []
    try:
        extensions = list(certificate.extensions)
    except UNREADABLE:
        return []
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.CRLDistributionPoints | x509.FreshestCRL):
            found += [(SourceKind.CRL, url) for url in addresses(value)]
        elif isinstance(value, x509.AuthorityInformationAccess):
            for access in value:
                location = access.access_location
                if access.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
                    location, x509.UniformResourceIdentifier
                ):
                    found.append((SourceKind.OCSP, location.value))
    return found[:MOST_LEARNED]


def _responders(tx: Transaction, anchor: Anchor) -> list[RevocationSource]:
    return [
        one
        for one in tx.foreign.sources_of(anchor.id)
        if one.kind is SourceKind.OCSP and one.state is SourceState.APPROVED
    ]


def _only(candidates: Sequence[Anchor], partner: Partner) -> Anchor:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise Conflict(f"the partner '{partner.name}' has no CA", fix="Claim it first: mutualgate partner ca add")
    ids = ", ".join(str(one.id) for one in candidates)
    raise Conflict(
        f"the partner '{partner.name}' has several CAs ({ids})", fix="Say which one: --ca ID", code="which_anchor"
    )


def _state(
    partner: Partner,
    anchor: Anchor,
    lists: Sequence[ForeignList],
    sources: Sequence[RevocationSource],
    answers: dict[OcspStatus, int],
    now: datetime,
) -> AnchorRevocation:
    return AnchorRevocation(
        anchor=anchor,
        partner=partner,
        lists=[ListState(one, now - one.this_update, one.next_update - now) for one in lists],
        sources=sources,
        answers=answers,
        revoked=sum(one.entries for one in lists) + answers.get(OcspStatus.REVOKED, 0),
    )
