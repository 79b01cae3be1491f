"""Few certificates are judged at once, many while somebody is told how far it is, and what is found is what is found by
judging all of them one by one. How it is told, `test_trust` holds."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import pki
import pytest
from installation import CONFIG, Installation
from rows import see

from mutualgate import snapshot
from mutualgate.app import Services, trial
from mutualgate.app.trial import Make, Tried
from mutualgate.errors import BadInput, MutualgateError
from mutualgate.gate import Judge
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.partner import PartnerAdmits
from mutualgate.partners.terms import Terms

NOW = pki.real_now()
ACME = pki.ca("acme issuing", path_length=0, now=NOW)


@pytest.fixture
def retire(services: Services, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Locks out the five that came under a partner's CA; three certificates are many."""
    services.partners.add("acme", names=["dns:*.acme.example"])
    anchor = services.partners.anchors.claim("acme", ACME.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    for number in range(5):
        name = f"m{number}.acme.example"
        services.partners.members.add("acme", f"dns:{name}")
        leaf = pki.leaf(ACME, name, sans=[name], days=30, now=NOW)
        see(services.store, leaf.chain_der, at=NOW - timedelta(days=1, seconds=number), subject=f"CN={name}")
    monkeypatch.setattr(trial, "FEW", 2)
    monkeypatch.setattr(trial, "SOON", 2)
    monkeypatch.setattr(trial, "PART", 2)
    return lambda tried: tried.partners.anchors.retire("acme", anchor.id)


def signed_by(leaf: pki.Issued) -> bytes:
    return spki_fingerprint((leaf.parent or leaf).certificate)


def test_many_are_judged_while_somebody_is_told(services: Services, retire: Make) -> None:
    told: list[tuple[int, int]] = []
    found = services.trust.try_(retire, told=lambda judged, of: told.append((judged, of)))
    assert len(found.locked_out) == 5
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_few_are_known_at_once(services: Services, retire: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert services.trust.try_few(retire) is None
    many = services.trust.try_(retire)
    for limit in ("SOON", "FEW"):
        monkeypatch.setattr(trial, limit, 5)
        few = services.trust.try_few(retire)
        assert few is not None
        assert (few.affected, few.locked_out, few.clients) == (many.affected, many.locked_out, many.clients)
    told: list[tuple[int, int]] = []
    few = services.trust.try_(retire, told=lambda *far: told.append(far))
    assert (few.affected, told) == (many.affected, [])


def test_a_partner_s_client_is_one_however_many_there_are(services: Services, retire: Make) -> None:
    for words in ("members", "clients"):

        def suspend(tried: Services, words: str = words) -> object:
            if words == "members":
                return tried.partners.members.suspend("acme", "dns:m1.acme.example")
            return tried.clients.suspend("m1.acme.example")

        found = services.trust.try_few(suspend)
        assert found is not None
        assert (found.locked_out, found.clients) == (("m1.acme.example",), 1)


def test_who_is_told_can_end_it(services: Services, retire: Make) -> None:
    def enough(judged: int, of: int) -> None:
        if judged:
            raise KeyboardInterrupt

    epoch = services.store.epoch()
    with pytest.raises(KeyboardInterrupt):
        services.trust.try_(retire, told=enough)
    assert services.store.epoch() == epoch
    assert services.trust.try_(retire).certificates == 5


@pytest.mark.parametrize("told", [True, False])
def test_what_the_gate_told_to_be_signed_is_not_verified_again(services: Services, retire: Make, told: bool) -> None:
    """No such certificate comes from a gate: it shows who looks."""
    services.partners.members.add("acme", "dns:m5.acme.example")
    leaf = pki.leaf(ACME, "m5.acme.example", sans=["m5.acme.example"], days=30, now=NOW)
    damaged = leaf.der[:-1] + bytes([leaf.der[-1] ^ 1])
    see(services.store, [damaged], at=NOW - timedelta(days=1), signer=signed_by(leaf) if told else None)
    assert ("m5.acme.example" in services.trust.try_(retire).locked_out) is told


SITES = """
[[sites]]
name = "test"
hosts = ["test.example"]
environment = "test"
routes = [
    { path = "/", upstream = "demo", client_certificate = "optional" },
    { path = "/staff", upstream = "demo", client_certificate = "required", roles = ["staff"] },
]
"""
NEWCOMER = pki.ca("newcomer", now=NOW)
STRANGER = pki.leaf(None, "alone", now=NOW)
PLACES = [("main", "/"), ("main", ""), ("test", "/"), ("test", "/staff/x"), ("test", "/../x"), ("gone", "/")]


@pytest.fixture
def busy(installed: Installation) -> Iterator[Services]:
    """Many kinds of certificates were shown, anywhere."""
    installed.config.write_text(CONFIG + SITES)
    services = installed.services()
    chance = random.Random(7)
    ours = services.authorities.hierarchy()
    assert ours is not None
    acme = pki.ca("issuing", now=NOW)
    twin = pki.ca("issuing", now=NOW)  # its name is the other's, too
    below = pki.ca("below", parent=acme, path_length=0, now=NOW)
    shown = 0

    def show(*chain: pki.Issued) -> pki.Issued:
        nonlocal shown
        shown += 1
        site, path = chance.choice(PLACES)
        days = chance.choice((1, 2, 40))
        at = NOW - timedelta(days=days, seconds=shown)
        sent, client = [one.der for one in chain], chance.choice((None, 1))
        # Of about half, the gate has told whose key signed it, as it does where it lets somebody in by that.
        signer = signed_by(chain[0]) if shown % 2 else None
        see(services.store, sent, at=at, site=site, path=path, client=client, signer=signer)
        return chain[0]

    def named(ca: pki.Issued | None, name: str) -> pki.Issued:
        return pki.leaf(ca, name, sans=[name], days=30, now=NOW)

    for partner, ca, environment in (("acme", acme, ""), ("umbrella", twin, "test")):
        services.partners.add(partner, names=[f"dns:*.{partner}.example"], admits=PartnerAdmits.RULE)
        terms = Terms(depth=1, environment=environment)
        anchor = services.partners.anchors.claim(partner, ca.pem, terms=terms).anchor
        services.partners.anchors.approve(partner, anchor.id, without_proof=True)
        for name in ("a", "b"):
            services.partners.members.add(partner, f"dns:{name}.{partner}.example", roles=["staff"])
        for name in ("a", "a", "b", "c"):
            show(named(ca, f"{name}.{partner}.example"))
        show(named(ca, "d.other.example"))
        # The other's names: the gate may have let it in when they were this one's.
        for _ in range(2):
            show(named(ca, "a.umbrella.example" if partner == "acme" else "a.acme.example"))
    show(named(below, "b.acme.example"))
    show(named(below, "b.acme.example"), below)
    for name in ("a.acme.example", "b.acme.example", "first-client"):
        services.pins.add(name, show(pki.leaf(None, "own", now=NOW)).pem)
    for _ in range(3):
        show(pki.leaf(None, "stranger", now=NOW))
    with services.store.reading() as tx:
        certificate = tx.credentials.certificate(tx.credentials.of_client(1)[0].id)
    assert certificate is not None
    see(services.store, [certificate], at=NOW - timedelta(days=3))
    for name in ("a", "b"):
        show(named(NEWCOMER, f"{name}.initech.example"))
        show(pki.leaf(None, "alone", now=NOW))
    show(STRANGER)
    services.partners.add("initech", names=["dns:*.initech.example"], admits=PartnerAdmits.RULE)
    services.clients.add("quiet")
    services.pins.add("quiet", pki.leaf(None, "unseen", now=NOW).pem)  # it is no news that it has one
    yield services
    services.close()


def comes(tried: Services) -> None:
    """A partner that nobody's certificate had anything to do with has a CA."""
    anchor = tried.partners.anchors.claim("initech", NEWCOMER.pem).anchor
    tried.partners.anchors.approve("initech", anchor.id, without_proof=True)


CHANGES: list[Callable[[Services], object]] = [
    lambda tried: tried.partners.suspend("acme"),
    lambda tried: tried.partners.suspend("umbrella"),
    lambda tried: tried.partners.remove("umbrella"),
    lambda tried: tried.partners.set_admits("acme", PartnerAdmits.LISTED),
    lambda tried: tried.partners.anchors.retire("acme", 1),
    lambda tried: tried.partners.permit("umbrella", ["dns:d.other.example"]),
    lambda tried: tried.partners.members.suspend("acme", "dns:b.acme.example"),
    lambda tried: tried.partners.members.add("acme", "dns:c.acme.example"),
    lambda tried: tried.pins.retire(1),
    lambda tried: tried.pins.retire(3),
    lambda tried: tried.clients.suspend("first-client"),
    lambda tried: tried.clients.suspend("a.acme.example"),
    lambda tried: tried.clients.remove("b.acme.example"),
    lambda tried: tried.clients.set_roles("a.umbrella.example", ["x"]),
    lambda tried: tried.clients.suspend("acme"),
    comes,
    lambda tried: tried.pins.add("quiet", STRANGER.pem),
]


def one_by_one(services: Services, change: Make) -> tuple[object, ...]:
    """What `change` would do, found out the long way."""
    sites = snapshot.site_records(services.config)
    hosts = {site.name: site.hosts[0] for site in services.config.sites}
    at = int(services.clock().timestamp())
    came, would_come, affected = set[str](), set[str](), []
    with services.store.rehearsal() as tried:
        before = Judge(list(snapshot.build(services.store, sites)))
        change(services.rehearsing(tried))
        after = Judge(list(snapshot.build(tried, sites)))
    with services.store.reading() as tx:
        seen = list(tx.seen.since(services.clock() - timedelta(days=30)))
    for one in seen:
        said = []
        for judge, names in ((before, came), (after, would_come)):
            verdict = judge.decide(one.chain, at)
            with suppress(BadInput, KeyError):
                there = judge.authorize(one.chain, at, hosts[one.site], one.path or "/")
                verdict = there if not there.admitted or there.client_name is not None else verdict
            said.append((verdict.admitted, verdict.client_name or verdict.reason))
            names |= {verdict.client_name} if verdict.client_name is not None else set()
        if said[0] != said[1]:
            affected.append((one.fingerprint, *said))
    return sorted(came - would_come), sorted(would_come - came), sorted(affected), len(seen)


def found(tried: Tried) -> tuple[object, ...]:
    assert list(tried.affected) == sorted(tried.affected, key=lambda one: (one.last_at, one.fingerprint), reverse=True)
    affected = [
        (one.fingerprint, (one.admitted_before, one.before), (one.admitted_after, one.after)) for one in tried.affected
    ]
    return list(tried.locked_out), list(tried.let_in), sorted(affected), tried.certificates


def test_all_ways_find_what_judging_one_by_one_finds(busy: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    order = chance.sample(CHANGES, len(CHANGES))
    drawn = [order[at : at + 1 + at % 3] for at in range(len(order))]  # one, two or three at once
    drawn += [[one] for one in CHANGES[-2:]]
    ways: dict[str, dict[str, int]] = {"few": {"FEW": 200}, "many": {"FEW": 0, "PART": 3}, "all": {"FEW": 200}}
    for changes in drawn:

        def change(tried: Services, changes: list[Callable[[Services], object]] = changes) -> None:
            for one in changes:
                with suppress(MutualgateError):  # what one removed, the next does not find
                    one(tried)

        expected = one_by_one(busy, change)
        clients = set()
        for way, limits in ways.items():
            with monkeypatch.context() as patch:
                for name, limit in limits.items():
                    patch.setattr(trial, name, limit)
                if way == "all":
                    patch.setattr(snapshot, "concern", lambda *_: None)
                tried = busy.trust.try_(change)
            assert found(tried) == expected, (way, [CHANGES.index(one) for one in changes])
            clients.add(tried.clients)
        assert len(clients) == 1
