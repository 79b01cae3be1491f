"""What will expire is on the list, in the figures and in letters: once per threshold, not when it has a successor."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pki
import post
import pytest
from conftest import Hands
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.overview import views
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.config import Config, parse
from mutualgate.enrolment.renewals import Renewals
from mutualgate.enrolment.service import Enrolment
from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.model.letter import Letter, LetterKind
from mutualgate.model.partner import RevocationMode
from mutualgate.notices.expiry import Expiry, threshold
from mutualgate.notices.outbox import Outbox
from mutualgate.partners.pins import Pins
from mutualgate.partners.revocation import PartnerRevocation
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.store import Store

DAY = timedelta(days=1)
NOW = pki.NOW
MAIL = '[mail]\nserver = "127.0.0.1:25"\nsender = "gate@example.com"\n'


class World:
    """Services over one store; time moves by hand."""

    def __init__(self, store: Store, keys: KeyRing, clock: Hands, folder: Path) -> None:
        self.store, self.clock = store, clock
        self.clients = Clients(store)
        self.policy = Policy(client_validity=365 * DAY, renewal_overlap=7 * DAY)
        self.enrolment = Enrolment(store, keys, self.policy)
        self.renewals = Renewals(store, keys, self.policy)
        self.config = parse(f'{MAIL}[notices]\nto = ["ops@example.com"]\n')
        self.sites: dict[str, datetime] = {}

    def expiry(self, config: Config | None = None) -> Expiry:
        config = config or self.config
        outbox = Outbox(self.store, lambda: config.mail, lambda: config.notices)
        return Expiry(
            self.store,
            outbox,
            config.notices,
            sites=lambda: self.sites,
            renew_url=lambda: "https://gate.test/join",
            renews=self.renewals.renews,
        )

    def issue(self, name: str, days: float = 365, contact: str = "") -> bytes:
        self.clients.add(name, contact=contact)
        signed = self.enrolment.sign(name, pki.csr(pki.fresh_key()), lifetime=days * DAY)
        return signed.certificate.public_bytes(Encoding.DER)

    def letters(self) -> list[Letter]:
        with self.store.reading() as tx:
            return list(reversed(tx.outbox.list(limit=1_000)))

    def told(self) -> list[tuple[str, str]]:
        return [(one.recipient, one.subject) for one in self.letters()]

    def names(self, days: float = 30, kind: ExpiryKind | None = None) -> list[str]:
        return [f"{one.kind}:{one.name}" for one in self.expiry().ending(days * DAY, kind).found]


@pytest.fixture
def world(store: Store, keys: KeyRing, authorities: Authorities, clock: Hands, tmp_path: Path) -> World:
    return World(store, keys, clock, tmp_path)


def test_the_list(world: World) -> None:
    for name, days in (("soon", 5), ("later", 20), ("far", 100)):
        world.issue(name, days)
    world.sites["main"] = NOW + 10 * DAY
    assert world.names() == ["credential:soon", "site:main", "credential:later"]
    assert world.names(7) == ["credential:soon"]
    assert world.names(kind=ExpiryKind.SITE) == ["site:main"]
    world.clock.move(6 * DAY)
    assert world.names(5) == ["credential:soon", "site:main"], "it ended, and nobody did anything"
    world.clock.move(7 * DAY)
    assert "credential:soon" not in world.names(5), "a week later it is no news"


def test_whether_there_is_more_than_the_list(world: World) -> None:
    for number in range(4):
        world.issue(f"client {number}", 5 + number)
    world.sites["main"] = NOW + 6.5 * DAY
    expiry = world.expiry()
    assert not expiry.ending(limit=5).more
    part = expiry.ending(limit=3)
    assert [one.name for one in part.found] == ["client 0", "client 1", "main"]
    assert part.more
    assert expiry.ending(limit=4).more
    assert expiry.ending(limit=3, kind=ExpiryKind.CREDENTIAL).more
    assert not expiry.ending(limit=4, kind=ExpiryKind.CREDENTIAL).more


@pytest.mark.parametrize("days", [90, 60, 30, 14, 7, 1])
def test_once_per_threshold(world: World, days: int) -> None:
    world.issue("anna", 365)
    expiry = world.expiry()
    assert expiry.tell() == 0
    world.clock.now = NOW + (365 - days) * DAY - timedelta(hours=1)
    expiry.tell()
    before = len(world.told())
    world.clock.move(timedelta(hours=2))
    assert expiry.tell() == 1
    assert len(world.told()) == before + 1
    assert expiry.tell() == 0
    world.clock.move(timedelta(hours=3))
    assert world.expiry().tell() == 0, "nor by another process"
    assert len(world.told()) == before + 1
    assert world.told()[-1][0] == "ops@example.com"
    assert "certificate of anna ends" in world.told()[-1][1]


def test_a_gate_that_was_away_tells_the_nearest_only(world: World) -> None:
    world.issue("anna", 365)
    world.clock.move((365 - 5) * DAY)
    assert world.expiry().tell() == 1
    assert len(world.told()) == 1


def test_a_successor_silences(world: World) -> None:
    old = world.issue("anna", 365)
    world.clock.move((365 - 20) * DAY)
    assert world.names() == ["credential:anna"]
    world.renewals.renew(old, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    assert world.names() == []
    assert world.expiry().tell() == 0
    assert all(one.within[90] == 0 for one in world.expiry().summary() if one.kind is ExpiryKind.CREDENTIAL)


def test_authorities_until_their_successor_is_there(world: World, authorities: Authorities) -> None:
    ends = {str(view.authority.name): view.authority.not_after for view in views(world.store)}
    assert ends["issuing"] < ends["root"]
    world.clock.now = ends["issuing"] - 20 * DAY
    assert world.names(kind=ExpiryKind.AUTHORITY) == ["authority:issuing"]
    assert world.names(19, ExpiryKind.AUTHORITY) == []
    authorities.rotate_issuing()
    assert world.names(kind=ExpiryKind.AUTHORITY) == []
    world.clock.now = ends["root"] - 20 * DAY
    assert "authority:root" in world.names(kind=ExpiryKind.AUTHORITY)


def test_revoked_and_gone_ones_are_no_news(world: World) -> None:
    world.issue("anna", 10)
    world.issue("ben", 10)
    world.clients.revoke("anna")
    world.clients.remove("ben")
    assert world.names() == []


def test_the_client_hears_of_it_where_its_contact_is_an_address(world: World) -> None:
    world.issue("anna", 100, contact="anna@example.com")
    world.issue("ben", 100, contact="Ben, room 7")
    world.clock.move(75 * DAY)
    world.expiry().tell()
    told = dict(world.told())
    assert set(told) == {"ops@example.com", "anna@example.com"}
    assert told["anna@example.com"].startswith("Certificate of anna ends (in 2")
    (letter,) = [one for one in world.letters() if one.recipient == "anna@example.com"]
    assert "https://gate.test/join" in letter.body
    assert "ben" not in letter.body
    assert told["ops@example.com"].startswith("mutualgate: 2 things end")


def test_the_client_is_told_to_renew_only_what_it_can(world: World) -> None:
    """The one that renews it was revoked, or its client is suspended; a pin that counts is renewed."""
    old = world.issue("renewed", 100, contact="renewed@example.com")
    world.issue("suspended", 100, contact="suspended@example.com")
    world.clients.add("pinned", contact="pinned@example.com")
    Pins(world.store).add("pinned", pki.leaf(None, "pinned", days=100).pem)
    world.clock.move(75 * DAY)
    new = world.renewals.renew(old, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    world.clients.revoke("renewed", credential=str(new.credential.id))
    world.clients.suspend("suspended")
    world.clock.move(2 * DAY)
    assert world.expiry().tell() == 3
    letters = {one.recipient: one.body for one in world.letters()}
    assert "It can be renewed with the certificate itself" in letters["pinned@example.com"]
    for name in ("renewed", "suspended"):
        assert "renewed with" not in letters[f"{name}@example.com"]
        assert "ask whoever runs the gate" in letters[f"{name}@example.com"]


def test_or_not_where_that_was_not_wanted(world: World) -> None:
    world.issue("anna", 100, contact="anna@example.com")
    world.clock.move(75 * DAY)
    world.expiry(parse(f'{MAIL}[notices]\nto = ["ops@example.com"]\ncontacts = false\n')).tell()
    assert [recipient for recipient, _ in world.told()] == ["ops@example.com"]


def test_without_mail_nothing_is_lost(world: World) -> None:
    world.issue("anna", 100, contact="anna@example.com")
    world.clock.move(75 * DAY)
    assert world.expiry(parse("")).tell() == 1
    assert world.told() == []
    assert world.names() == ["credential:anna"], "the list has it"


def test_the_webhook_gets_facts(world: World, tmp_path: Path) -> None:
    world.issue("anna", 100)
    world.clock.move(95 * DAY)
    notices = post.notices_config(tmp_path, "http://127.0.0.1:9/x")
    config = parse("")
    outbox = Outbox(world.store, lambda: config.mail, lambda: notices)
    Expiry(world.store, outbox, notices).tell()
    (letter,) = world.letters()
    assert letter.kind is LetterKind.WEBHOOK
    facts = json.loads(letter.body)
    assert (facts["event"], facts["facts"]["count"]) == ("expiry", 1)
    (item,) = facts["facts"]["items"]
    assert (item["kind"], item["name"], item["threshold_days"]) == ("credential", "anna", 7)


def test_many_at_once_are_one_letter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.notices.expiry._LISTED_IN_A_LETTER", 3)
    for number in range(5):
        world.issue(f"client-{number}", 100)
    world.clock.move(80 * DAY)
    assert world.expiry().tell() == 5
    (letter,) = world.letters()
    assert "and 2 more: mutualgate expiring" in letter.body


def test_a_hostile_name_makes_one_line(world: World) -> None:
    with world.store.transaction() as tx:
        one = Expiring(ExpiryKind.SITE, "x", "a\r\nBcc: x@example.com", NOW + DAY, NOW - 99 * DAY)
        world.expiry()._tell_operators(tx, [(one, 1)], NOW)
    subject = "mutualgate: gate's certificate for a  Bcc: x@example.com ends (in 24 hours)"
    assert world.told() == [("ops@example.com", subject)]


@pytest.mark.parametrize(
    ("life", "left", "expected"),
    [
        (365, 91, None),
        (365, 90, 90),
        (365, 61, 90),
        (365, 60, 60),
        (365, 0.5, 1),
        (365, 0, None),
        (30, 20, None),
        (30, 14, 14),
        (7, 6, None),
        (7, 3, None),
        (7, 1, 1),
        (1, 0.9, None),
    ],
)
def test_thresholds(life: float, left: float, expected: int | None) -> None:
    ends = NOW + left * DAY
    one = Expiring(ExpiryKind.CREDENTIAL, "1", "x", ends, ends - life * DAY)
    assert threshold(one, NOW) == expected


def test_the_figures(world: World) -> None:
    for name, days in (("a", 5), ("b", 20), ("c", 100), ("d", 80)):
        world.issue(name, days)
    figures = {one.kind: one for one in world.expiry().summary()}
    assert set(figures) == set(ExpiryKind)
    assert dict(figures[ExpiryKind.CREDENTIAL].within) == {90: 3, 60: 2, 30: 2, 14: 1, 7: 1, 1: 0}
    nearest = figures[ExpiryKind.CREDENTIAL].nearest
    assert nearest is not None
    assert timedelta(days=4) < nearest - NOW <= timedelta(days=5)


def test_they_are_counted_once_a_minute(world: World) -> None:
    expiry = world.expiry()
    assert expiry.summary() is expiry.summary()
    world.issue("a", 5)
    assert expiry.summary()[0].within[7] == 0
    world.clock.move(timedelta(minutes=1))
    assert expiry.summary()[0].within[7] == 1


def active(partners: Partners, ca: pki.Issued, terms: Terms | None = None) -> int:
    claim = partners.anchors.claim("acme", ca.pem, terms=terms).anchor
    return partners.anchors.prove("acme", pki.leaf(ca, str(claim.challenge)).pem).id


@pytest.fixture
def partners(world: World) -> Partners:
    service = Partners(world.store, by="test")
    service.add("acme", names=["dns:*.acme.example"], contact="pki@acme.example", security_contact="sec@acme.example")
    return service


def test_a_partners_ca(world: World, partners: Partners) -> None:
    """R8."""
    active(partners, pki.ca("acme one", days=20))
    assert world.names() == ["partner-ca:acme"]
    world.expiry().tell()
    assert world.told() == [], "its life has 20 days, and 14 are more than half"
    world.clock.move(14 * DAY)
    world.expiry().tell()
    assert {recipient for recipient, _ in world.told()} == {"ops@example.com", "pki@acme.example"}
    world.clock.move(DAY)
    active(partners, pki.ca("acme two", days=300))
    assert world.names() == [], "its successor is there"


def test_a_partners_list_that_is_late(world: World, partners: Partners) -> None:
    """An alert before it hurts: with a quarter of its life left, and again when it is over."""
    ca = pki.ca("acme one")
    active(partners, ca, Terms(revocation=RevocationMode.FAIL))
    PartnerRevocation(world.store).load("acme", pki.crl(ca, 5, days=4))
    assert world.expiry().tell() == 0
    world.clock.move(3 * DAY)
    assert world.names() == ["partner-list:acme"]
    assert world.expiry().tell() == 1
    assert ("sec@acme.example", "Revocation list of the partner acme ends (in 24 hours)") in world.told()
    assert world.expiry().tell() == 0
    world.clock.move(2 * DAY)
    assert world.expiry().tell() == 1
    assert ("sec@acme.example", "Revocation list of the partner acme ended") in world.told()
    PartnerRevocation(world.store).load("acme", pki.crl(ca, 5, number=2, now=world.clock(), days=4))
    assert world.names() == []


def test_a_pin(world: World) -> None:
    """Until another pin, or a certificate of ours, takes its place."""
    world.clients.add("anna")
    own = pki.leaf(None, "own", days=20)
    Pins(world.store).add("anna", own.pem)
    assert world.names() == ["pin:anna"]
    world.renewals.renew(own.der, pki.csr(pki.fresh_key()), peer="192.0.2.7")
    assert world.names() == []


def test_what_the_gate_stands_on_presses_until_something_takes_its_place(
    world: World, authorities: Authorities, clock: Hands
) -> None:
    world.issue("anna", 5)  # of a client: there may be a million
    world.sites |= {"own": NOW - 100 * DAY, "ours": NOW + 40 * DAY, "far": NOW + 200 * DAY}
    service = Expiry(
        world.store,
        Outbox(world.store, lambda: world.config.mail, lambda: world.config.notices),
        world.config.notices,
        sites=lambda: world.sites,
        files=lambda: {"own": "/etc/own.pem"},
        issued_life=90 * DAY,
    )

    def said() -> list[tuple[str, str]]:
        return [(one.name, service.command(one)) for one in service.pressing()]

    # A third of ours is left, so the gate is about to make the next one; with less than a quarter it should be there.
    assert said() == [("own", "cp FILE /etc/own.pem")]
    world.sites["ours"] = NOW + 20 * DAY
    assert said()[1:] == [("ours", "mutualgate restart")]
    world.sites.clear()
    with world.store.reading() as tx:
        (issuing,) = (one for one in tx.authorities.own() if one.name == "issuing")
    clock.now = issuing.not_after + 60 * DAY
    assert ("issuing", "mutualgate ca rotate issuing") in said()
    clock.now = issuing.not_after - 20 * DAY
    authorities.rotate_issuing()
    assert "issuing" not in dict(said())
