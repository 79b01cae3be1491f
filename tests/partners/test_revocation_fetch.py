"""What is due is fetched from a real server and asked of a real responder; what goes wrong is kept, and tried again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from publisher import Publisher, publisher

from mutualgate import audit
from mutualgate.errors import NotFound
from mutualgate.model.foreign import OcspStatus, SourceKind, SourceState
from mutualgate.model.partner import Anchor, RevocationMode
from mutualgate.partners import fetching
from mutualgate.partners.revocation import PartnerRevocation
from mutualgate.partners.revocation_fetch import Outcome, RevocationFetch
from mutualgate.partners.service import Partners
from mutualgate.store import Store

NOW = pki.NOW
HOUR = timedelta(hours=1)


class World:
    """A partner with a CA, where it publishes, and the service."""

    def __init__(self, store: Store, partners: Partners, clock: Hands, ca: pki.Issued, server: Publisher) -> None:
        self.store, self.partners, self.clock, self.ca, self.server = store, partners, clock, ca, server
        self.revocation = PartnerRevocation(store, "test")
        self.fetch = RevocationFetch(store, self.revocation)
        claim = partners.anchors.claim("acme", ca.pem).anchor
        self.anchor: Anchor = partners.anchors.prove("acme", pki.leaf(ca, str(claim.challenge)).pem)

    def publish(self, *serials: int, number: int = 1, path: str = "/ca.crl", days: float = 4, **more: Any) -> str:
        data = pki.crl(self.ca, *serials, number=number, now=self.clock(), days=days, **more)
        return self.server.put(path, data)

    def approve(self, url: str, *, private: bool = True, kind: SourceKind | None = None) -> int:
        return self.revocation.approve("acme", url, private=private, kind=kind).id

    def step(self) -> list[Outcome]:
        """What the running gate does now and then."""
        done = [self.fetch.fetch(one.id) for one in self.fetch.due()]
        for anchor in self.fetch.due_to_ask():
            done += self.fetch.ask(anchor)
        return done

    def revoked(self, serial: int) -> bool:
        with self.store.reading() as tx:
            return bool(tx.foreign.plain([(self.anchor.id, serial.to_bytes((serial.bit_length() + 7) // 8))]))

    def scopes(self) -> list[str]:
        with self.store.reading() as tx:
            return [scope for scope, _, _ in tx.foreign.plain_lists([self.anchor.id]).get(self.anchor.id, [])]


@pytest.fixture
def world(store: Store, partners: Partners, clock: Hands, acme_ca: pki.Issued) -> Iterator[World]:
    with publisher() as server:
        yield World(store, partners, clock, acme_ca, server)


def test_a_list_is_fetched_before_it_runs_out(world: World) -> None:
    world.approve(world.publish(5, number=1, days=4))
    (outcome,) = world.step()
    assert (outcome.news, outcome.entries, outcome.problem) == (True, 1, None)
    assert world.revoked(5)
    assert world.step() == []
    world.publish(5, 6, number=2, days=4)
    world.clock.move(23 * HOUR)
    assert world.step() == []
    world.clock.move(HOUR)
    assert world.step()[0].entries == 2, "after half of what was left, a day at the most"
    assert world.revoked(6)


def test_what_was_not_approved_is_never_fetched(world: World) -> None:
    url = world.publish(5)
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    leaf = pki.issue(world.ca, "anna", extensions=[(x509.CRLDistributionPoints([point]), False)])
    world.revocation.learn(world.anchor, leaf.certificate)
    (source,) = world.revocation.show("acme")[0].sources
    assert source.state is SourceState.LEARNED
    world.clock.move(99 * HOUR)
    assert world.step() == []
    assert world.fetch.fetch(source.id).problem == "it is not approved"
    assert world.server.asked == []
    with pytest.raises(NotFound, match="no address that may be fetched"):
        world.fetch.fetch_all("acme")
    assert world.server.asked == []


def test_this_machine_is_asked_only_if_that_was_allowed(world: World) -> None:
    """R11. A name in a certificate, approved in good faith, leads to us."""
    url = world.publish(5).replace("127.0.0.1", "localhost")
    world.approve(url, private=False)
    (outcome,) = world.step()
    assert "leads into a private network or to this machine" in str(outcome.problem)
    assert world.server.asked == []
    world.approve(url, private=True)
    assert world.step()[0].problem is None


def test_a_redirect_to_the_inside_is_not_followed(world: World) -> None:
    inside = world.server.put("/admin", b"secret")
    world.approve(world.server.put("/ca.crl", b"", status=302, headers={"Location": inside}))
    assert "redirects are not followed" in str(world.step()[0].problem)
    assert world.server.count("/admin") == 0


def test_what_is_not_newer_is_not_sent_again(world: World) -> None:
    source = world.approve(world.publish(5))
    world.step()
    outcome = world.fetch.fetch(source)
    assert (outcome.news, outcome.problem) == (False, None)
    assert world.server.asked[1].headers["If-None-Match"]
    world.fetch.fetch_all("acme")
    assert "If-None-Match" not in world.server.asked[2].headers, "who asks by hand gets it anew"


def test_a_list_that_was_taken_out_of_force_comes_again(world: World) -> None:
    """Whoever still has its ETag would be told that there is none newer."""
    url = world.publish(5)
    world.approve(url)
    world.step()
    world.revocation.refuse("acme", url)
    world.revocation.forget("acme", "")
    world.approve(url)
    (outcome,) = world.step()
    assert (outcome.news, outcome.entries, outcome.problem) == (True, 1, None)
    assert world.revoked(5)


def test_a_list_that_is_taken_out_of_force_while_it_is_asked_for_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.approve(world.publish(5))
    world.step()
    fetch = fetching.fetch

    def slow(*asked: Any, **more: Any) -> fetching.Fetched:
        answer = fetch(*asked, **more)
        world.revocation.forget("acme", "")
        return answer

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(fetching, "fetch", slow)
        assert not world.fetch.fetch(source).news
    world.clock.move(24 * HOUR)
    assert world.step()[0].news
    assert world.revoked(5)


def test_a_failure_is_kept_and_tried_later_and_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    url = world.publish(5)
    source = world.approve(url)
    world.step()
    world.server.pages["/ca.crl"].status = 503
    world.clock.move(24 * HOUR)
    waits = []
    for _ in range(9):
        (outcome,) = world.step()
        assert "answers 503" in str(outcome.problem)
        assert outcome.source.next_fetch is not None
        waits.append(outcome.source.next_fetch - world.clock())
        world.clock.move(waits[-1])
    assert [wait // timedelta(minutes=1) for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert world.revoked(5), "what was in force stays in force"
    assert caplog.text.count("answers 503") == 1, "said once, kept all the time"
    (state,) = world.revocation.show("acme")
    assert (state.sources[0].failures, "answers 503" in str(state.problem)) == (9, True)
    world.publish(5, number=2)
    assert world.step()[0].problem is None
    with world.store.reading() as tx:
        found = tx.foreign.source(source)
    assert found is not None
    assert (found.failures, found.error) == (0, "")


@pytest.mark.parametrize("data", [b"<html>login</html>", b"", b"\x30\x84\xff\xff\xff\xff" + b"x" * 1_000])
def test_what_is_no_list_changes_nothing(world: World, data: bytes) -> None:
    world.approve(world.publish(5))
    world.step()
    world.server.put("/ca.crl", data)
    world.clock.move(24 * HOUR)
    assert world.step()[0].problem
    assert world.revoked(5)


def test_an_old_list_put_back_is_refused(world: World) -> None:
    """A replay by whoever sits between: yesterday's list, validly signed, without today's entry."""
    yesterday = pki.crl(world.ca, number=1, now=world.clock(), days=30)
    world.approve(world.server.put("/ca.crl", yesterday))
    world.step()
    world.clock.move(24 * HOUR)
    world.publish(5, number=2, days=30)
    world.step()
    world.server.put("/ca.crl", yesterday)
    world.clock.move(24 * HOUR)
    assert "is older than the list in force" in str(world.step()[0].problem)
    assert world.revoked(5)


def test_a_delta_beside_its_list(world: World) -> None:
    """Full and delta at two addresses; the second is learned from the first."""
    delta_url = world.publish(6, number=11, path="/delta.crl", extensions=[(x509.DeltaCRLIndicator(10), True)])
    freshest = x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier(delta_url)], None, None, None)])
    world.approve(world.publish(5, number=10, extensions=[(freshest, False)]))
    world.step()
    assert [one.url for one in world.revocation.show("acme")[0].sources if one.state is SourceState.LEARNED] == [
        delta_url
    ]
    assert not world.revoked(6)
    world.approve(delta_url)
    world.step()
    assert world.revoked(5)
    assert world.revoked(6)


def test_a_part_covers_what_names_it(world: World) -> None:
    urls = []
    for number, serial in ((1, 5), (2, 6)):
        path = f"/{number}.crl"
        point = x509.IssuingDistributionPoint(
            [x509.UniformResourceIdentifier(world.server.url(path))], None, True, False, None, False, False
        )
        urls.append(world.publish(serial, number=number, path=path, extensions=[(point, True)]))
        world.approve(urls[-1])
    world.step()
    assert world.scopes() == sorted(urls)
    assert world.revoked(5)
    assert world.revoked(6)


def test_a_ca_that_is_retired_is_left_alone(world: World) -> None:
    world.approve(world.publish(5))
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, pki.leaf(world.ca, "anna").certificate)
    world.partners.anchors.retire("acme", world.anchor.id)
    assert len(world.fetch.due_to_ask()) == 1
    (outcome,) = world.step()
    assert outcome.problem == "its CA does not count"
    assert world.server.asked == []
    assert (world.fetch.due(), world.fetch.due_to_ask()) == ([], []), "nor looked at again in the next second"


class Responder:
    """Answers as the CA; what it says of a serial number can be changed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.status: dict[int, library.OCSPCertStatus] = {}
        self.asked: list[int] = []
        self.by = world.ca
        self.behind = timedelta(0)
        world.server.answer = self.answer

    def answer(self, body: bytes) -> bytes:
        request = library.load_der_ocsp_request(body)
        self.asked.append(request.serial_number)
        status = self.status.get(request.serial_number, library.OCSPCertStatus.UNKNOWN)
        now = self.world.clock() - self.behind
        revoked = status is library.OCSPCertStatus.REVOKED
        builder = library.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=request.issuer_name_hash,
            issuer_key_hash=request.issuer_key_hash,
            serial_number=request.serial_number,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=now,
            next_update=now + 8 * HOUR,
            revocation_time=now - HOUR if revoked else None,
            revocation_reason=x509.ReasonFlags.superseded if revoked else None,
        )
        builder = builder.responder_id(library.OCSPResponderEncoding.NAME, self.by.certificate)
        if self.by is not self.world.ca:
            builder = builder.certificates([self.by.certificate])
        nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value
        signed = builder.add_extension(nonce, False).sign(self.by.key, hashes.SHA256())
        return signed.public_bytes(Encoding.DER)


def test_a_responder_is_asked_about_who_was_seen(world: World) -> None:
    responder = Responder(world)
    anna, ben = pki.leaf(world.ca, "anna"), pki.leaf(world.ca, "ben")
    numbers = [one.certificate.serial_number for one in (anna, ben)]
    responder.status = dict.fromkeys(numbers, library.OCSPCertStatus.GOOD)
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    assert world.step() == []
    for one in (anna, ben, anna):
        world.revocation.learn(world.anchor, one.certificate)
    (outcome,) = world.step()
    assert (outcome.problem, sorted(responder.asked)) == (None, sorted(numbers))
    assert world.scopes() == sorted(f"ocsp:{one.serial.hex()}" for one in (anna, ben))
    assert world.step() == [], "not again before half of its time is over"
    responder.status[numbers[0]] = library.OCSPCertStatus.REVOKED
    world.clock.move(4 * HOUR)
    world.step()
    assert world.revoked(numbers[0])
    assert world.scopes() == [f"ocsp:{ben.serial.hex()}"]
    responder.status[numbers[0]] = library.OCSPCertStatus.GOOD  # a hold that ended
    world.clock.move(4 * HOUR)
    world.step()
    assert not world.revoked(numbers[0])
    responder.status.clear()
    world.clock.move(4 * HOUR)
    world.step()
    assert world.scopes() == [], "unknown is not good"
    assert world.revocation.show("acme")[0].answers == {OcspStatus.UNKNOWN: 2}
    said = [one for one in reversed(audit.recent(world.store, 100)) if one.action == "ocsp.answer"]
    assert {(one.by, one.subject) for one in said} == {("clock", f"CA {world.anchor.id}")}
    assert [one.facts["status"] for one in said if one.facts["serial"] == anna.serial.hex()] == [
        "good", "revoked", "good", "unknown"
    ], "each change, and no more"  # fmt: skip


def test_a_hold_that_ended_while_the_responder_did_not_know_the_certificate_is_over(world: World) -> None:
    responder = Responder(world)
    anna = pki.leaf(world.ca, "anna")
    number = anna.certificate.serial_number
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, anna.certificate)
    for status, revoked in (
        (library.OCSPCertStatus.REVOKED, True),
        (library.OCSPCertStatus.UNKNOWN, True),
        (library.OCSPCertStatus.GOOD, False),
    ):
        responder.status[number] = status
        assert world.step()[0].problem is None
        assert world.revoked(number) is revoked, status
        world.clock.move(4 * HOUR)


def test_what_a_list_revokes_no_responder_takes_back(world: World) -> None:
    responder = Responder(world)
    anna = pki.leaf(world.ca, "anna")
    number = anna.certificate.serial_number
    responder.status[number] = library.OCSPCertStatus.GOOD
    world.revocation.load("acme", pki.crl(world.ca, number))
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, anna.certificate)
    assert world.step()[0].problem is None
    assert world.revoked(number)


def test_a_responder_that_has_said_nothing_of_a_client_lets_nobody_in(world: World) -> None:
    responder = Responder(world)
    anna = pki.leaf(world.ca, "anna")
    world.partners.anchors.set("acme", world.anchor.id, lambda terms: replace(terms, revocation=RevocationMode.FAIL))
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, anna.certificate)

    def problem() -> str:
        return str(world.revocation.show("acme")[0].problem)

    assert problem().endswith("is let in (crl_missing)"), "it is still to be asked"
    world.server.answer = None
    world.step()
    assert "(crl_missing): " in problem()
    assert "answers 404" in problem(), "and why it is so"
    world.server.answer = responder.answer
    world.clock.move(HOUR)
    world.step()
    assert problem().endswith("is let in (crl_missing)"), "unknown"
    responder.status[anna.certificate.serial_number] = library.OCSPCertStatus.GOOD
    world.clock.move(4 * HOUR)
    world.step()
    assert world.revocation.show("acme")[0].problem is None


def test_a_responder_that_is_away(world: World) -> None:
    responder = Responder(world)
    for name in ("anna", "ben", "carl"):
        world.revocation.learn(world.anchor, pki.leaf(world.ca, name).certificate)
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    for name in ("anna", "ben", "carl"):
        world.revocation.learn(world.anchor, pki.leaf(world.ca, name).certificate)
    world.server.answer = None
    (outcome,) = world.step()
    assert "answers 404" in str(outcome.problem)
    assert len(world.server.asked) == 1, "the others wait with the first"
    world.server.answer = responder.answer
    world.clock.move(HOUR)
    assert world.step()[0].problem is None


def test_a_responder_that_was_revoked_is_not_believed(world: World) -> None:
    responder = Responder(world)
    responder.by = pki.issue(
        world.ca, "ocsp", extensions=[(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING]), False)]
    )
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, pki.leaf(world.ca, "anna").certificate)
    assert world.step()[0].problem is None
    world.revocation.load("acme", pki.crl(world.ca, responder.by.certificate.serial_number))
    world.clock.move(5 * HOUR)
    assert "whose certificate was revoked" in str(world.step()[0].problem)


def test_an_answer_that_was_overtaken_is_not_kept(world: World) -> None:
    """An operator asks, too, while the gate waits for a slow answer: the newer one stands."""
    responder = Responder(world)
    anna = pki.leaf(world.ca, "anna")
    number = anna.certificate.serial_number
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, anna.certificate)

    def slow(body: bytes) -> bytes:
        responder.status[number] = library.OCSPCertStatus.GOOD
        old = responder.answer(body)
        world.server.answer = responder.answer
        responder.status[number] = library.OCSPCertStatus.REVOKED
        world.clock.move(timedelta(minutes=1))
        assert [one.problem for one in world.fetch.ask(world.anchor.id)] == [None]
        return old

    world.server.answer = slow
    world.step()
    assert world.revoked(number)
    assert world.revocation.show("acme")[0].answers == {OcspStatus.REVOKED: 1}


def test_an_answer_that_goes_back_is_refused(world: World) -> None:
    responder = Responder(world)
    anna = pki.leaf(world.ca, "anna")
    responder.status[anna.certificate.serial_number] = library.OCSPCertStatus.GOOD
    world.approve(world.server.url("/ocsp"), kind=SourceKind.OCSP)
    world.revocation.learn(world.anchor, anna.certificate)
    world.step()
    responder.behind = 5 * HOUR
    world.clock.move(4 * HOUR)
    assert "something older than before" in str(world.step()[0].problem)
