"""Certificates that were shown, and what comes of it."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pki
import pytest

from mutualgate.app import Services
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.partner import MemberState, PartnerAdmits
from mutualgate.model.sighting import Sighting
from mutualgate.partners.terms import Terms
from mutualgate.store.types import EPOCH


def event(services: Services, chain: Sequence[bytes], **more: Any) -> dict[str, Any]:
    at = (services.clock() - EPOCH) // timedelta(milliseconds=1)
    return {"kind": "seen", "at": at, "until": at, "count": 1, "chain": list(chain), **more}


def admitted(services: Services, chain: Sequence[bytes], client: int, **more: Any) -> dict[str, Any]:
    return event(services, chain, client=client, evidence="credential", credential=5, **more)


def fingerprint(issued: pki.Issued) -> bytes:
    return hashlib.sha256(issued.der).digest()


def kept(services: Services, issued: pki.Issued) -> Sighting | None:
    return services.sightings.find(fingerprint(issued))


def test_what_the_data_plane_told_is_kept_with_what_can_be_read(services: Services) -> None:
    root = pki.ca("root")
    leaf = pki.leaf(root, "anna")
    told = event(services, [leaf.der, root.der], reason="unknown_issuer", site="main", path="/join", peer="192.0.2.1")
    services.sightings.keep([told, {"kind": "cut", "at": 1}])
    one = kept(services, leaf)
    assert one is not None
    assert one.chain == (leaf.der, root.der)
    assert (one.reason, one.site, one.path, one.peer) == ("unknown_issuer", "main", "/join", "192.0.2.1")
    assert (one.subject, one.client, one.admitted_at) == ("CN=anna", None, None)
    assert one.not_after == leaf.certificate.not_valid_after_utc
    assert one.spki is not None
    assert services.sightings.recent() == [one]
    assert services.sightings.recent(days=0) == []


def test_the_first_good_handshake_is_known(services: Services) -> None:
    leaf = pki.leaf(pki.ca("root"), "anna")
    client = services.clients.add("anna").id
    services.sightings.keep([event(services, [leaf.der], reason="unknown_issuer")])
    assert services.sightings.first_seen(client=client) is None
    assert services.sightings.first_seen(fingerprint=fingerprint(leaf)) is None
    told = admitted(services, [leaf.der], client)
    at = EPOCH + timedelta(milliseconds=told["at"])
    services.sightings.keep([told])
    assert services.sightings.first_seen(client=client) == at
    assert services.sightings.first_seen(fingerprint=fingerprint(leaf)) == at
    assert services.sightings.first_seen(client=client + 1, fingerprint=fingerprint(leaf)) is None
    assert [one.evidence for one in services.sightings.of_client(client)] == ["credential 5"]


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([], id="a chain that was too long to be told"),
        pytest.param([b""], id="nothing"),
        pytest.param([b"\x30\x03abcd"], id="more than a certificate"),
        pytest.param([b"\x30\x09abc"], id="less than one"),
    ],
)
def test_what_cannot_be_a_certificate_is_not_kept(services: Services, chain: list[bytes]) -> None:
    services.sightings.keep([event(services, chain, reason="malformed")])
    assert services.sightings.recent() == []


def test_what_came_with_a_certificate_and_is_none_is_left_out(services: Services) -> None:
    leaf = pki.leaf(pki.ca("root"), "anna")
    services.sightings.keep([event(services, [leaf.der, b"\x30\x99rubbish"], reason="malformed")])
    one = kept(services, leaf)
    assert one is not None
    assert one.chain == (leaf.der,)


def test_a_subject_cannot_be_more_than_text(services: Services) -> None:
    leaf = pki.leaf(pki.ca("root"), "al\x1b[31mice")
    services.sightings.keep([event(services, [leaf.der], reason="unknown_issuer")])
    one = kept(services, leaf)
    assert one is not None
    assert one.subject == "CN=al\\x1b[31mice"


def test_a_new_ca_below_a_partner_s_is_told_of(services: Services) -> None:
    services.partners.add("acme", names=["dns:*.acme.example"])
    root = pki.ca("acme root")
    terms = Terms(depth=1, hold=True)
    claimed = services.partners.anchors.claim("acme", root.pem, terms=terms).anchor
    services.partners.anchors.approve("acme", claimed.id, without_proof=True)
    sub = pki.ca("acme sub", parent=root)
    leaf = pki.leaf(sub, "api", sans=["api.acme.example"])
    for _ in range(2):
        services.sightings.keep([event(services, [leaf.der, sub.der], reason="path_invalid")])
    [waiting] = services.partners.between.waiting()
    assert (waiting.seen.subject, waiting.partner.name) == ("CN=acme sub", "acme")


def vouched(services: Services, issued: pki.Issued, **more: Any) -> dict[str, Any]:
    return event(services, [issued.der], partner="acme", **more)


def test_a_partner_s_client_is_recorded_at_first_sight(services: Services) -> None:
    acme = services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.RULE, roles=["orders"])
    leaf = pki.leaf(pki.ca("acme"), "api", sans=["api.acme.example"])
    services.sightings.keep([vouched(services, leaf, client=acme.client, evidence="partner")])
    [member] = services.partners.members.list("acme")
    assert (member.member.name, member.member.state) == ("dns:api.acme.example", MemberState.SEEN)
    assert member.client is None
    # A second time changes nothing.
    services.sightings.keep([vouched(services, leaf, client=acme.client, evidence="partner")])
    assert [one.chain for one in services.sightings.of_client(acme.client)] == [(leaf.der,)]
    assert len(services.partners.members.list("acme")) == 1


def test_one_whose_certificate_only_the_judge_reads_is_recorded_too(services: Services) -> None:
    """Else nobody would know whom to suspend."""
    acme = services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.RULE)
    odd, twin = pki.oddly_spelt(pki.ca("acme"), "R&D", sans=["api.acme.example"])
    nameless, _ = pki.oddly_spelt(pki.ca("acme"), "a_b")
    for der in (odd, nameless):
        services.sightings.keep([event(services, [der], partner="acme", client=acme.client, evidence="partner")])
    names = {one.member.name for one in services.partners.members.list("acme")}
    assert names == {"dns:api.acme.example", "dn:CN=a_b"}
    found = services.sightings.find(hashlib.sha256(odd).digest())
    assert found is not None
    assert (found.subject, found.not_after) == ("CN=R&D", twin.certificate.not_valid_after_utc)
    assert found.spki == spki_fingerprint(twin.certificate)
    services.partners.members.suspend("acme", "dns:api.acme.example")


def test_where_a_partner_s_clients_are_approved_they_wait(services: Services) -> None:
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.APPROVAL)
    leaf = pki.leaf(pki.ca("acme"), "api", sans=["api.acme.example"])
    services.sightings.keep([vouched(services, leaf, reason="not_enrolled")])
    [member] = services.partners.members.list("acme")
    assert (member.member.state, member.client) == (MemberState.PENDING, None)


@pytest.mark.parametrize("more", [{"reason": "revoked"}, {"reason": "client_suspended"}, {"client": 999_999}])
def test_nobody_else_becomes_a_partner_s_client(services: Services, more: dict[str, Any]) -> None:
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.APPROVAL)
    leaf = pki.leaf(pki.ca("acme"), "api", sans=["api.acme.example"])
    services.sightings.keep([vouched(services, leaf, **more)])
    assert services.partners.members.list("acme") == []


def test_a_name_that_no_client_can_have_stops_nothing(services: Services) -> None:
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.APPROVAL)
    services.sightings.keep(
        [
            event(services, [b"\x30\x00"], partner="acme", reason="not_enrolled"),
            event(services, [b"\x30\x01x"], partner="gone", reason="not_enrolled"),
        ]
    )
    assert len(services.sightings.recent()) == 2
