"""R27: what a client publishes only adds, waits, is told of; and what a hijacked server publishes gains nothing by it.

The sets come from a real https server, whose pages change.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from conftest import Hands
from published import https_publisher, jwk, jwk_of, jwks, with_certificate
from publisher import Publisher

from mutualgate import audit, snapshot
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import Judge
from mutualgate.model.client import Client
from mutualgate.model.key_set import KeyState
from mutualgate.model.pin import PinKind, PinState
from mutualgate.partners import key_set_fetch
from mutualgate.partners.jwks import MOST_KEYS
from mutualgate.partners.key_set_fetch import MOST_NEW, KeySetFetch, Notice, Taken
from mutualgate.partners.key_sets import KeySets
from mutualgate.partners.pins import Pins
from mutualgate.partners.room import MOST_PER_CLIENT
from mutualgate.partners.service import Partners
from mutualgate.store import Store, Transaction

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class World:
    """Two clients, a server on which anna publishes, and the service."""

    def __init__(self, store: Store, clock: Hands, server: Publisher) -> None:
        self.store, self.clock, self.server = store, clock, server
        self.notices: list[tuple[str, Notice]] = []
        self.clients, self.pins = Clients(store, by="test"), Pins(store, by="test")
        self.key_sets, self.fetch = KeySets(store, "test"), KeySetFetch(store, self._tell)
        for name in ("anna", "bert"):
            self.clients.add(name)

    def _tell(self, tx: Transaction, client: Client, notice: Notice) -> None:
        self.notices.append((str(client.name), notice))

    def publish(self, *keys: dict[str, object], path: str = "/anna") -> str:
        return self.server.put(path, jwks(*keys))

    def watch(self, hold: timedelta = DAY, name: str = "anna", path: str = "/anna") -> Taken:
        self.key_sets.watch(name, self.server.url(path), hold=hold, private=True)
        return self.fetch.now(name)

    def step(self) -> list[Taken]:
        """What the running gate does now and then."""
        return [self.fetch.fetch(one) for one in self.fetch.due()]

    def states(self, name: str = "anna") -> list[KeyState]:
        return [key.state for key, _ in self.key_sets.show(name).keys]

    def comes_in(self, issued: pki.Issued) -> str | None:
        """The name of whom the judge takes it for, by all that the store tells it."""
        verdict = Judge(snapshot.build(self.store, [])).decide([issued.der], int(self.clock().timestamp()))
        return verdict.client_name if verdict.admitted else None

    def actions(self) -> list[str]:
        assert isinstance(audit.verify(self.store), audit.Verified)
        with self.store.reading() as tx:
            return [entry.action for entry in tx.audit.walk()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with pytest.MonkeyPatch.context() as patch, https_publisher(tmp_path_factory.mktemp("https"), patch) as server:
        yield server


@pytest.fixture
def world(store: Store, clock: Hands, server: Publisher) -> World:
    server.pages.clear()
    return World(store, clock, server)


def test_a_new_key_waits_and_then_lets_its_client_in(world: World) -> None:
    own = pki.leaf(None, "anna's own")
    world.publish(with_certificate(own, kid="1"))
    taken = world.watch()
    (found,) = taken.found
    assert (found.state, found.kind, found.label) == (KeyState.WAITING, PinKind.CERTIFICATE, "1, CN=anna's own")
    assert world.comes_in(own) is None
    world.clock.move(DAY - timedelta(seconds=1))
    world.step()
    assert world.comes_in(own) is None
    world.clock.move(timedelta(seconds=1))
    (then,) = world.step()
    assert [one.id for one in then.pinned] == [found.id]
    assert world.comes_in(own) == "anna"
    assert world.states() == [KeyState.PINNED]
    assert world.actions()[-3:] == ["keys.watch", "keys.found", "pin.add"]
    told = [(name, notice.subject) for name, notice in world.notices]
    assert told == [("anna", "anna published other keys"), ("anna", "anna has a new key")]
    assert "2026-06-02 at 12:00 UTC" in world.notices[0][1].lines[0]


def test_a_bare_key_lets_every_certificate_with_it_in(world: World) -> None:
    own = pki.leaf(None, "by anna", ca=True)
    world.publish(jwk(own.key))
    assert len(world.watch(timedelta(0)).pinned) == 1
    assert world.comes_in(own) == "anna"
    assert world.comes_in(pki.leaf(None, "renewed", key=own.key)) == "anna"
    assert world.comes_in(pki.leaf(own, "signed by it")) is None, "R4: it never becomes an issuer"


def test_it_has_to_stand_in_the_set_when_its_hold_is_over(world: World) -> None:
    """Whoever repairs a hijacked server within the hold has lost nothing."""
    mine, theirs = pki.leaf(None, "mine"), pki.leaf(None, "theirs")
    world.publish(with_certificate(mine))
    world.watch(timedelta(0))
    world.key_sets.watch("anna", world.server.url("/anna"), hold=DAY, private=True)
    world.publish(with_certificate(theirs))
    world.step()
    assert world.states() == [KeyState.PINNED, KeyState.WAITING]
    world.publish(with_certificate(mine))
    world.clock.move(23 * HOUR)
    world.step()
    assert world.states() == [KeyState.PINNED, KeyState.WITHDRAWN]
    world.clock.move(2 * HOUR)
    world.publish(with_certificate(mine), with_certificate(theirs))
    world.step()
    assert world.states() == [KeyState.PINNED, KeyState.WAITING], "it waits anew"
    assert world.comes_in(theirs) is None
    assert world.comes_in(mine) == "anna"


def test_while_nothing_can_be_fetched_nothing_begins_to_count(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    world.watch()
    world.server.pages.clear()
    world.clock.move(2 * DAY)
    (taken,) = world.step()
    assert "answers 404" in str(taken.problem)
    assert world.comes_in(own) is None
    world.publish(with_certificate(own))
    world.clock.move(HOUR)
    world.step()
    assert world.comes_in(own) == "anna"


def test_what_leaves_the_set_is_told_of_and_stays(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    world.watch(timedelta(0))
    world.publish()
    world.clock.move(HOUR)
    (taken,) = world.step()
    assert [one.state for one in taken.left] == [KeyState.PINNED]
    assert world.comes_in(own) == "anna"
    assert world.actions()[-1] == "keys.left"
    assert "It still lets the client in: end it with mutualgate pin retire 1." in world.notices[-1][1].lines[0]
    world.publish(with_certificate(own))
    world.clock.move(HOUR)
    (taken,) = world.step()
    assert len(taken.back) == 1
    assert world.actions()[-1] == "keys.back"
    world.pins.retire(1)
    world.clock.move(HOUR)
    world.step()
    assert world.comes_in(own) is None, "what an operator ended, no set brings back"
    world.publish()
    world.clock.move(HOUR)
    world.step()
    world.publish(with_certificate(own))
    world.clock.move(HOUR)
    world.step()
    assert world.pins.get(1).state is PinState.RETIRED
    assert world.comes_in(own) is None


def test_an_operator_approves_at_once_or_declines_for_good(world: World) -> None:
    first, second = pki.leaf(None, "first"), pki.leaf(None, "second")
    world.publish(with_certificate(first), with_certificate(second))
    one, two = world.watch().found
    pin = world.key_sets.approve("anna", one.id)
    assert (pin.client, world.comes_in(first)) == (world.clients.get("anna").id, "anna")
    world.key_sets.decline("anna", two.id)
    world.clock.move(3 * DAY)
    world.step()
    world.publish(with_certificate(first))
    world.clock.move(HOUR)
    world.step()
    world.publish(with_certificate(first), with_certificate(second))
    world.clock.move(3 * DAY)
    world.step()
    assert world.states() == [KeyState.PINNED, KeyState.DECLINED]
    assert world.comes_in(second) is None
    assert world.key_sets.approve("anna", two.id).state is PinState.ACTIVE, "unless they think again"
    assert [one for one in world.actions() if one.startswith(("keys.a", "keys.d"))] == [
        "keys.approve",
        "keys.decline",
        "keys.approve",
    ]
    for id in (one.id, two.id):
        with pytest.raises(Conflict, match=f"key {id} is the pin"):
            world.key_sets.approve("anna", id)
        with pytest.raises(Conflict, match="pin retire"):
            world.key_sets.decline("anna", id)


def test_a_key_that_left_cannot_be_approved(world: World) -> None:
    world.publish(with_certificate(pki.leaf(None)))
    (one,) = world.watch().found
    world.publish()
    world.clock.move(HOUR)
    world.step()
    with pytest.raises(Conflict, match="not in the set any more"):
        world.key_sets.approve("anna", one.id)
    with pytest.raises(NotFound, match="no published key"):
        world.key_sets.approve("anna", 99)


def test_a_key_is_approved_for_its_own_client_alone(world: World) -> None:
    world.publish(with_certificate(pki.leaf(None)))
    (one,) = world.watch().found
    world.publish(path="/bert")
    world.watch(name="bert", path="/bert")
    with pytest.raises(NotFound, match="'bert' has no published key"):
        world.key_sets.approve("bert", one.id)
    with pytest.raises(NotFound, match="'bert' has no published key"):
        world.key_sets.decline("bert", one.id)


def test_nothing_lifts_a_suspension(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    (one,) = world.watch().found
    world.clients.suspend("anna")
    world.clock.move(2 * DAY)
    assert world.step() == []
    with pytest.raises(Conflict, match=r"^the client 'anna' is suspended"):
        world.fetch.now("anna")
    with pytest.raises(Conflict, match="suspended"):
        world.key_sets.approve("anna", one.id)
    with pytest.raises(Conflict, match="suspended"):
        world.key_sets.watch("anna", world.server.url("/anna"), private=True)
    assert str(world.clients.get("anna").state) == "suspended"
    assert world.pins.list("anna") == []
    world.clients.resume("anna")
    world.step()
    assert world.comes_in(own) == "anna"


def test_who_is_suspended_while_it_is_fetched_gets_nothing(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    world.key_sets.watch("anna", world.server.url("/anna"), hold=timedelta(0), private=True)
    (wanted,) = world.fetch.due()
    world.clients.suspend("anna")
    assert world.fetch.fetch(wanted).problem == "was changed while it was fetched"
    assert world.states() == []
    assert str(world.clients.get("anna").state) == "suspended"


@pytest.mark.parametrize("its_own", [True, False], ids=["the partner's own client", "a client of the partner"])
def test_nothing_lifts_the_suspension_of_a_partner(world: World, its_own: bool) -> None:
    own = pki.leaf(None)
    partners = Partners(world.store, by="test")
    partners.add("acme", names=["dns:*.acme.example"], client="acme-own")
    name = "acme-own" if its_own else "anna"
    if not its_own:
        partners.members.add("acme", "dns:a.acme.example", client="anna")
    world.publish(with_certificate(own))
    world.watch(name=name)
    (wanted,) = world.key_sets.list()
    partners.suspend("acme")
    world.clock.move(DAY)
    assert world.step() == []
    assert world.fetch.fetch(wanted[0]).problem == "was changed while it was fetched"
    with pytest.raises(Conflict, match=f"a partner of the client '{name}' is suspended"):
        world.fetch.now(name)
    assert (world.comes_in(own), world.key_sets.figures().sets) == (None, 0)
    partners.resume("acme")
    world.step()
    assert world.comes_in(own) == name


def test_another_address_meanwhile(world: World) -> None:
    world.publish(with_certificate(pki.leaf(None)))
    world.key_sets.watch("anna", world.server.url("/anna"), hold=timedelta(0), private=True)
    (wanted,) = world.fetch.due()
    world.key_sets.watch("anna", world.server.url("/other"), hold=timedelta(0), private=True)
    assert world.fetch.fetch(wanted).problem == "was changed while it was fetched"
    assert world.states() == []


def test_no_set_touches_another_client(world: World, keys: KeyRing) -> None:
    """R22, R27: not by its keys, nor by those that an authority or a partner's CA has."""
    Authorities(world.store, keys, by="test").create()
    key = pki.fresh_key()
    signed = Enrolment(world.store, keys, Policy(), by="test").sign("bert", pki.csr(key, "bert"))
    berts = pki.leaf(None, "bert's own")
    pin = world.pins.add("bert", berts.pem)
    partners = Partners(world.store, by="test")
    partners.add("acme", names=["dns:*.acme.example"])
    ca = pki.ca("acme issuing")
    partners.anchors.claim("acme", ca.pem)
    before = world.comes_in(berts)
    issued = pki.Issued(signed.certificate, key)
    ours = jwk_of(signed.chain[-1].public_key())
    world.publish(with_certificate(berts), jwk(berts.key), jwk(key), with_certificate(issued), jwk(ca.key), ours)
    taken = world.watch(timedelta(0))
    assert [one.state for one in taken.found] == [KeyState.REFUSED] * 6
    assert taken.pinned == ()
    assert world.pins.list("anna") == []
    assert world.pins.get(pin.id) == pin
    assert world.comes_in(berts) == before == "bert"
    assert "is pinned for the client 'bert'" in taken.found[0].detail
    with pytest.raises(Conflict):
        world.key_sets.approve("anna", taken.found[0].id)


def test_what_waits_blocks_nobody(world: World) -> None:
    """R7: what a client says of a key does not keep its holder from having it pinned meanwhile."""
    own = pki.leaf(None, "bert's")
    world.publish(with_certificate(own))
    world.watch()
    world.pins.add("bert", own.pem)
    world.clock.move(DAY)
    (taken,) = world.step()
    assert taken.pinned == ()
    assert world.states() == [KeyState.REFUSED]
    assert world.comes_in(own) == "bert"
    assert world.actions()[-1] == "keys.refused"
    assert "cannot be accepted: this certificate is pinned for the client 'bert'" in world.notices[-1][1].lines[0]


def test_what_was_refused_may_be_fine_later_and_then_waits(world: World) -> None:
    own = pki.leaf(None)
    pin = world.pins.add("bert", own.pem)
    world.publish(with_certificate(own))
    world.watch()
    assert world.states() == [KeyState.REFUSED]
    with world.store.transaction() as tx:
        tx.trust.undo(1, world.clock())
    assert world.pins.list("bert") == []
    world.clock.move(2 * DAY)
    world.step()
    assert world.states() == [KeyState.WAITING]
    assert pin.id == 1


def test_what_is_pinned_by_hand_is_known(world: World) -> None:
    own = pki.leaf(None)
    pin = world.pins.add("anna", own.pem)
    world.pins.retire(pin.id)
    world.publish(with_certificate(own))
    (one,) = world.watch(timedelta(0)).found
    assert (one.state, one.pin) == (KeyState.PINNED, pin.id)
    assert world.comes_in(own) is None, "a retired pin stays retired"


def test_a_private_key_in_the_set_is_told_of_and_nothing_is_taken(world: World) -> None:
    world.publish(jwk(pki.fresh_key()), jwk(pki.fresh_key(), d="AA"))
    taken = world.watch(timedelta(0))
    assert "holds a private or symmetric key" in str(taken.problem)
    assert world.states() == []
    ((_, notice),) = world.notices
    assert notice.subject == "anna published a private key"
    assert world.actions()[-1] == "keys.private"
    world.clock.move(HOUR)
    world.step()
    assert len(world.notices) == 1
    assert world.key_sets.figures().problems[0][0] == "anna"


def test_a_set_that_cannot_be_read_gives_no_key_away(world: World) -> None:
    world.server.put("/anna", b"[]")
    assert "no JWK Set" in str(world.watch().problem)
    assert world.notices == []
    assert "keys.private" not in world.actions()


def test_a_crowd_of_keys_is_bounded(world: World) -> None:
    """A hijacked server that has new keys at each fetch fills neither the store nor anybody's letter box."""
    world.publish()
    world.watch()
    for _ in range(4):
        world.publish(*(jwk(pki.fresh_key()) for _ in range(MOST_KEYS // 2)))
        world.clock.move(HOUR)
        world.step()
    assert len(world.states()) == MOST_NEW
    assert "16 more keys are not looked at" in world.key_sets.show("anna").set.left_out[0]
    for _ in range(33):
        world.publish()
        world.clock.move(DAY)
        world.step()
    assert world.states() == []


def test_more_pins_than_a_client_may_have(world: World) -> None:
    for number in range(MOST_PER_CLIENT):
        world.pins.add("anna", pki.leaf(None, f"{number}").pem)
    world.publish(jwk(pki.fresh_key()))
    (one,) = world.watch(timedelta(0)).found
    assert (one.state, one.detail) == (KeyState.REFUSED, f"the client 'anna' has {MOST_PER_CLIENT} pins already")


def test_an_expired_certificate_is_refused(world: World) -> None:
    world.publish(with_certificate(pki.leaf(None, days=-1)))
    (one,) = world.watch(timedelta(0)).found
    assert one.state is KeyState.REFUSED
    assert "expired" in one.detail


def test_a_pin_of_it_is_taken_back_as_any_other(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    world.watch(timedelta(0))
    with world.store.transaction() as tx:
        last = tx.trust.last()
        assert last is not None
        assert last.by == "key set"
        tx.trust.undo(last.id, world.clock())
    assert world.comes_in(own) is None
    world.clock.move(HOUR)
    world.step()
    assert world.comes_in(own) is None
    (key, _) = world.key_sets.show("anna").keys[0]
    assert world.key_sets.approve("anna", key.id).state is PinState.ACTIVE
    assert world.comes_in(own) == "anna"


def test_it_goes_on_after_a_restart(world: World, clock: Hands) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own))
    world.watch()
    clock.move(DAY)
    again = Store.open(world.store.path, clock)
    try:
        service = KeySetFetch(again)
        assert len([service.fetch(one) for one in service.due()]) == 1
    finally:
        again.close()
    assert world.comes_in(own) == "anna"


def test_pins_are_of_its_environment(world: World) -> None:
    world.publish(jwk(pki.fresh_key()))
    world.key_sets.watch("anna", world.server.url("/anna"), hold=timedelta(0), private=True, environment="test")
    world.fetch.now("anna")
    ((pin, _),) = world.pins.list("anna")
    assert pin.environment == "test"


def test_who_is_not_watched_any_more(world: World) -> None:
    own = pki.leaf(None)
    world.publish(with_certificate(own), jwk(pki.fresh_key()))
    one, _ = world.watch().found
    world.key_sets.approve("anna", one.id)
    assert world.key_sets.unwatch("anna") == 1
    assert world.comes_in(own) == "anna"
    assert world.actions()[-1] == "keys.unwatch"
    world.clock.move(2 * DAY)
    assert world.step() == []
    for call in (world.key_sets.show, world.key_sets.unwatch, world.fetch.now):
        with pytest.raises(NotFound, match="no keys of the client 'anna' are watched"):
            call("anna")


def test_who_is_gone_is_not_fetched(world: World) -> None:
    world.publish(jwk(pki.fresh_key()))
    world.watch()
    world.clients.remove("anna")
    world.clock.move(2 * DAY)
    assert world.step() == []
    assert world.key_sets.figures().sets == 0


def test_failures_come_later_and_later_and_are_seen(world: World) -> None:
    world.watch()
    seen = []
    for _ in range(8):
        (one, _, _) = world.key_sets.list()[0]
        seen.append(int((one.next_fetch - world.clock()).total_seconds()))
        world.clock.now = one.next_fetch
        world.step()
    assert seen == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    figures = world.key_sets.figures()
    assert (figures.sets, figures.failing) == (1, 1)
    assert figures.oldest_seconds is not None
    assert figures.oldest_seconds > 3600
    world.publish()
    world.clock.move(HOUR)
    world.step()
    assert (world.key_sets.figures().failing, world.key_sets.figures().oldest_seconds) == (0, 0)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://anna.example/jwks", "plain http"),
        ("ftp://anna.example/jwks", "ftp"),
        ("https://anna@anna.example/jwks", "user name"),
        ("file:///etc/passwd", "not fetched"),
    ],
)
def test_what_is_no_address(world: World, url: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        world.key_sets.watch("anna", url)


def test_spans_have_bounds(world: World) -> None:
    url = world.server.url("/anna")
    wrong: list[dict[str, Any]] = [
        {"hold": timedelta(seconds=-1)},
        {"hold": 31 * DAY},
        {"every": timedelta(minutes=4)},
        {"every": 8 * DAY},
    ]
    for bad in wrong:
        with pytest.raises(BadInput):
            world.key_sets.watch("anna", url, **bad)


def test_nothing_inside_is_asked_unless_that_was_said(world: World) -> None:
    world.publish(jwk(pki.fresh_key()))
    asked = len(world.server.asked)
    url = world.server.url("/anna")
    with pytest.raises(BadInput) as refused:
        world.key_sets.watch("anna", url)
    assert refused.value.code == "private_address"
    world.key_sets.watch("anna", url.replace("127.0.0.1", "localhost"))
    assert "leads into a private network" in str(world.fetch.now("anna").problem)
    assert len(world.server.asked) == asked


def test_nobody_is_led_elsewhere(world: World) -> None:
    elsewhere = world.publish(jwk(pki.fresh_key()), path="/elsewhere")
    world.server.put("/anna", b"", status=302, headers={"Location": elsewhere})
    assert "redirects are not followed" in str(world.watch(timedelta(0)).problem)
    assert world.server.count("/elsewhere") == 0


def test_a_server_that_drips_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set_fetch, "TOTAL_SECONDS", 1.0)
    world.server.put("/anna", b" " * 1_000, drip_seconds=0.2)
    assert "no answer within 1 seconds" in str(world.watch().problem)


def test_ten_megabytes_are_not_read(world: World) -> None:
    world.server.put("/anna", b" " * (10 << 20), length=-1)
    assert "more than the 262144 bytes" in str(world.watch().problem)
    world.server.put("/anna", b" " * (10 << 20))
    world.clock.move(HOUR)
    (taken,) = world.step()
    assert "sends 10485760 bytes" in str(taken.problem)


def test_a_server_that_is_not_trusted(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(pki.ca("another", now=pki.real_now()).pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    world.publish(jwk(pki.fresh_key()))
    problem = str(world.watch(timedelta(0)).problem)
    assert "has a certificate that is not trusted" in problem
    assert "http address will do" not in problem
    assert world.states() == []
