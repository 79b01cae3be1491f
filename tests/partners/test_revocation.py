"""Where partners' CAs are asked, as operators say; and lists from files."""

import hashlib
from datetime import datetime, timedelta

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mutualgate import audit, snapshot
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import Judge
from mutualgate.model.foreign import SourceKind, SourceState
from mutualgate.model.partner import Anchor, RevocationMode
from mutualgate.model.sighting import Sighting
from mutualgate.partners import revocation as module
from mutualgate.partners.revocation import MOST_LEARNED, PartnerRevocation, named_by
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.store import Store

URL = "http://crl.acme.example/ca.crl"
NOW = pki.NOW


def active(partners: Partners, ca: pki.Issued, name: str = "acme", terms: Terms | None = None) -> Anchor:
    claim = partners.anchors.claim(name, ca.pem, terms=terms).anchor
    return partners.anchors.prove(name, pki.leaf(ca, str(claim.challenge)).pem)


@pytest.fixture
def revocation(store: Store) -> PartnerRevocation:
    return PartnerRevocation(store, "test")


def leaf(ca: pki.Issued, *urls: str, ocsp: tuple[str, ...] = (), name: str = "anna") -> pki.Issued:
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None) for url in urls]
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)) for url in ocsp
    ]
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if points:
        extensions.append((x509.CRLDistributionPoints(points), False))
    if access:
        extensions.append((x509.AuthorityInformationAccess(access), False))
    return pki.issue(ca, name, extensions=extensions)


def test_what_a_certificate_names_waits_for_approval(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued
) -> None:
    """R11: strangers choose what stands in certificates."""
    anchor = active(partners, acme_ca)
    revocation.learn(anchor, leaf(acme_ca, URL, "ldap://x/y", ocsp=("http://ocsp.acme.example/",)).certificate)
    (state,) = revocation.show("acme")
    assert [(one.kind, one.url, one.state) for one in state.sources] == [
        (SourceKind.CRL, URL, SourceState.LEARNED),
        (SourceKind.OCSP, "http://ocsp.acme.example/", SourceState.LEARNED),
    ]
    with store.reading() as tx:
        assert tx.foreign.due_sources(NOW, timedelta(days=1), 10) == []
    source = revocation.approve("acme", URL)
    assert (source.state, source.private, source.next_fetch) == (SourceState.APPROVED, False, NOW)
    assert audit.recent(store, 1)[0].action == "crl.approve"
    with store.reading() as tx:
        assert [one.url for one in tx.foreign.due_sources(NOW, timedelta(days=1), 10)] == [URL]


def test_a_list_that_is_taken_in_counts_at_once(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued
) -> None:
    """Else it would put the one before out of force and keep everybody out until the clocks agree."""
    active(partners, acme_ca, terms=Terms(revocation=RevocationMode.FAIL))
    chain = pki.leaf(acme_ca, sans=["a.acme.example"], days=30).chain_der

    def admitted() -> bool:
        return Judge(snapshot.build(store, [])).decide(chain, int(NOW.timestamp())).admitted

    def ahead(seconds: int, number: int) -> bytes:
        begins_earlier = timedelta(minutes=5)
        return pki.crl(acme_ca, number=number, now=NOW + begins_earlier + timedelta(seconds=seconds))

    assert not admitted()
    revocation.load("acme", ahead(120, 1))
    assert admitted()
    with pytest.raises(BadInput, match="begins in the future"):
        revocation.load("acme", ahead(121, 2))
    assert admitted()


def test_a_ca_between_that_is_registered_itself_is_asked_about(
    partners: Partners, revocation: PartnerRevocation, store: Store
) -> None:
    """Whoever sends its certificate along, or has it registered as a help, comes no further."""
    root = pki.ca("acme root")
    sub = pki.ca("acme sub", parent=root, path_length=0)
    active(partners, root, terms=Terms(depth=1))
    active(partners, sub, terms=Terms(revocation=RevocationMode.FAIL))
    shown = pki.leaf(sub, sans=["a.acme.example"], days=30)

    def reasons() -> set[str | None]:
        asked = [(shown.der,), (shown.der, sub.der)]
        return {reason for chain in asked for reason in judged(store, *chain)}

    assert reasons() == {"crl_missing"}
    partners.add_intermediate("acme", sub.pem)
    assert reasons() == {"crl_missing"}
    revocation.load("acme", pki.crl(sub, shown.certificate.serial_number))
    assert reasons() == {"revoked"}


def test_an_intermediate_that_its_ca_revoked_helps_nobody(
    partners: Partners, revocation: PartnerRevocation, store: Store
) -> None:
    root = pki.ca("acme root")
    sub = pki.ca("acme sub", parent=root, path_length=0)
    active(partners, root, terms=Terms(depth=1))
    partners.add_intermediate("acme", sub.pem)
    shown = pki.leaf(sub, sans=["a.acme.example"], days=30)
    assert judged(store, shown.der) == [None, None]
    revocation.load("acme", pki.crl(root, sub.certificate.serial_number))
    assert judged(store, shown.der) == ["revoked", "revoked"]


def judged(store: Store, *chain: bytes) -> list[str | None]:
    """Why it is refused, by the whole store and by what of it concerns the chain."""
    told = (snapshot.build(store, []), snapshot.build_for(store, [], [chain]))
    return [Judge(one).decide(chain, int(NOW.timestamp())).reason for one in told]


def test_certificates_cannot_fill_the_store(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued
) -> None:
    anchor = active(partners, acme_ca)
    for number in range(3):
        urls = [f"http://crl.acme.example/{number}-{one}" for one in range(30)]
        revocation.learn(anchor, leaf(acme_ca, *urls).certificate)
    (state,) = revocation.show("acme")
    assert len(state.sources) == MOST_LEARNED


def test_what_was_refused_is_not_learned_again(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued
) -> None:
    anchor = active(partners, acme_ca)
    revocation.learn(anchor, leaf(acme_ca, URL).certificate)
    revocation.refuse("acme", URL)
    (entry,) = audit.recent(store, 1)
    assert (entry.by, entry.action, entry.subject.split()[-1]) == ("test", "crl.refuse", "acme")
    assert entry.facts == {"anchor": anchor.id, "kind": "crl", "url": URL, "private": False}
    before = len(audit.recent(store, 1_000))
    revocation.learn(anchor, leaf(acme_ca, URL).certificate)
    (state,) = revocation.show("acme")
    assert [one.state for one in state.sources] == [SourceState.REFUSED]
    assert len(audit.recent(store, 1_000)) == before
    with pytest.raises(NotFound, match="no such address"):
        revocation.refuse("acme", "http://other.example/")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ldap://ldap.acme.example/",
        "http://127.1/",
        "http://169.254.169.254/ca.crl",
        "http://[::1]/ca.crl",
        "http://u:p@x/",
    ],
)
def test_what_is_no_address_is_not_approved(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued, url: str
) -> None:
    active(partners, acme_ca)
    with pytest.raises(BadInput):
        revocation.approve("acme", url)


def test_a_ca_has_a_bounded_number_of_addresses(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    active(partners, acme_ca)
    monkeypatch.setattr(module, "MOST_SOURCES", 1)
    revocation.approve("acme", URL)
    with pytest.raises(Conflict) as full:
        revocation.approve("acme", "http://crl.acme.example/other.crl")
    assert full.value.code == "too_many_sources"


def test_which_ca_is_meant(partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued) -> None:
    with pytest.raises(Conflict, match="has no CA"):
        revocation.approve("acme", URL)
    first = active(partners, acme_ca)
    second_ca = pki.ca("acme second")
    second = active(partners, second_ca)
    with pytest.raises(Conflict, match="several CAs"):
        revocation.approve("acme", URL)
    assert revocation.approve("acme", URL, anchor=second.id).anchor == second.id
    assert revocation.approve("acme", URL, private=True).anchor == second.id, "there is one with that address"
    with pytest.raises(NotFound, match="no CA 99"):
        revocation.approve("acme", URL, anchor=99)
    loaded = revocation.load("acme", pki.crl(second_ca, 5))
    assert loaded.anchor.id == second.id
    assert revocation.load("acme", pki.crl(acme_ca, 5)).anchor.id == first.id


def test_a_list_that_is_taken_out_of_force_is_in_the_audit_log(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued
) -> None:
    anchor = active(partners, acme_ca)
    revocation.load("acme", pki.crl(acme_ca, 5, 6))
    assert revocation.forget("acme", "").entries == 2
    (entry,) = audit.recent(store, 1)
    assert (entry.by, entry.action, entry.subject.split()[-1]) == ("test", "crl.forget", "acme")
    assert entry.facts == {"anchor": anchor.id, "scope": "", "entries": 2}


def test_of_several_cas_the_one_whose_list_or_address_is_meant_has_to_be_named(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued
) -> None:
    """Else who is revoked under one of them would be let in, unasked."""
    second_ca = pki.ca("acme second")
    first, second = active(partners, acme_ca), active(partners, second_ca)
    third = active(partners, pki.ca("acme third"))
    for ca, anchor in ((acme_ca, first), (second_ca, second)):
        revocation.load("acme", pki.crl(ca, 5))
        revocation.approve("acme", URL, anchor=anchor.id)
    for ambiguous in (lambda: revocation.forget("acme", ""), lambda: revocation.refuse("acme", URL)):
        with pytest.raises(Conflict, match=rf"several CAs \({first.id}, {second.id}\)") as refused:
            ambiguous()
        assert refused.value.code == "which_anchor"
    states = revocation.show("acme")
    assert [one.revoked for one in states] == [1, 1, 0]
    assert {source.state for one in states for source in one.sources} == {SourceState.APPROVED}
    with pytest.raises(NotFound, match="no list of all certificates"):
        revocation.forget("acme", "", anchor=third.id)
    assert revocation.forget("acme", "", anchor=second.id).anchor == second.id
    assert revocation.refuse("acme", URL, anchor=second.id).anchor == second.id
    states = revocation.show("acme")
    assert [one.revoked for one in states] == [1, 0, 0]
    assert [source.state for one in states for source in one.sources] == [SourceState.APPROVED, SourceState.REFUSED]
    assert revocation.forget("acme", "").anchor == first.id, "the only one that is left"


def test_a_list_from_a_file(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued
) -> None:
    anchor = active(partners, acme_ca)
    loaded = revocation.load("acme", pki.crl(acme_ca, 5, 6, number=3), "ca.crl")
    assert loaded.taken.list.entries == 2
    with store.reading() as tx:
        assert tx.foreign.find(anchor.id, b"\5") is not None
    with pytest.raises(BadInput, match="is older than the list in force"):
        revocation.load("acme", pki.crl(acme_ca, 5, number=2), "ca.crl")
    assert revocation.load("acme", pki.crl(acme_ca, 5, number=2), "ca.crl", force=True).taken.list.entries == 1


def test_another_partners_list_is_not_taken(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued
) -> None:
    """R13, and between partners: neither by file nor by name can one speak for the other."""
    active(partners, acme_ca)
    umbrella_ca = pki.ca("umbrella ca")
    active(partners, umbrella_ca, "umbrella")
    with pytest.raises(BadInput, match="is the CRL of CN=umbrella ca"):
        revocation.load("acme", pki.crl(umbrella_ca, 5))
    twin = pki.ca("acme issuing")
    with pytest.raises(BadInput, match="was not signed by"):
        revocation.load("acme", pki.crl(twin, 5))


def test_an_intermediate_may_be_the_key_for_lists(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued
) -> None:
    active(partners, acme_ca)
    helper = pki.issue(
        acme_ca,
        "acme issuing",
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (pki.usage(crl_sign=True, key_cert_sign=True), True),
        ],
    )
    with pytest.raises(BadInput, match="was not signed by"):
        revocation.load("acme", pki.crl(helper, 5))
    partners.add_intermediate("acme", helper.pem)
    assert revocation.load("acme", pki.crl(helper, 5)).taken.list.entries == 1


@pytest.mark.parametrize("constraints", [None, False, True])
def test_a_key_for_lists_alone_is_believed_and_lets_nobody_in(
    partners: Partners, revocation: PartnerRevocation, store: Store, acme_ca: pki.Issued, constraints: bool | None
) -> None:
    active(partners, acme_ca, terms=Terms(revocation=RevocationMode.FAIL))
    says: list[tuple[x509.ExtensionType, bool]] = [(pki.usage(crl_sign=True), True)]
    if constraints is not None:
        says.append((x509.BasicConstraints(ca=constraints, path_length=None), True))
    signer = pki.issue(acme_ca, "acme issuing", extensions=says)
    made, [note] = partners.add_intermediate("acme", signer.pem)
    assert note == "It signs lists only: those of the CA 1 are believed, and nobody comes in under it."
    good, bad = (pki.leaf(acme_ca, sans=["a.acme.example"], days=30) for _ in range(2))
    assert revocation.load("acme", pki.crl(signer, bad.certificate.serial_number)).taken.list.entries == 1
    assert judged(store, good.der) == [None, None]
    assert judged(store, bad.der) == ["revoked", "revoked"]
    under = pki.leaf(signer, sans=["a.acme.example"], days=30)
    for chain in ([under.der], [under.der, signer.der]):
        assert judged(store, *chain) == ["path_invalid", "path_invalid"]
    assert partners.between.of("acme") == []
    partners.remove_intermediate("acme", made.id)


def test_a_key_for_lists_has_the_name_of_its_ca(partners: Partners, acme_ca: pki.Issued) -> None:
    active(partners, acme_ca)
    only_lists: list[tuple[x509.ExtensionType, bool]] = [(pki.usage(crl_sign=True), True)]
    with pytest.raises(BadInput, match="has not the name of their CA"):
        partners.add_intermediate("acme", pki.issue(acme_ca, "acme lists", extensions=only_lists).pem)
    for other in (pki.ca("acme issuing"), pki.ca("umbrella")):
        with pytest.raises(BadInput, match="no CA of the partner 'acme' signed"):
            partners.add_intermediate("acme", pki.issue(other, "acme issuing", extensions=only_lists).pem)
    with pytest.raises(BadInput, match="does not say that it is a CA's"):
        partners.anchors.claim("acme", pki.issue(None, "lists", extensions=only_lists).pem)


def test_how_it_stands(partners: Partners, revocation: PartnerRevocation, clock: Hands, acme_ca: pki.Issued) -> None:
    active(partners, acme_ca, terms=Terms(revocation=RevocationMode.FAIL))
    (state,) = revocation.show("acme")
    assert state.problem == "no list or answer is in force: nobody under it is let in (crl_missing)"
    revocation.load("acme", pki.crl(acme_ca, 5, days=8))
    (state,) = revocation.show("acme")
    assert (state.problem, state.revoked, state.lists[0].late, state.lists[0].soon) == (None, 1, False, False)
    clock.move(timedelta(days=6, hours=2))
    assert revocation.show("acme")[0].lists[0].soon
    clock.move(timedelta(days=2))
    (state,) = revocation.overview()
    assert state.lists[0].late
    assert "should have been replaced by 2026-06-09" in str(state.problem)


def test_a_list_of_ca_certificates_lets_nobody_in(
    partners: Partners, revocation: PartnerRevocation, acme_ca: pki.Issued
) -> None:
    active(partners, acme_ca, terms=Terms(revocation=RevocationMode.FAIL))
    of_cas = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    revocation.load("acme", pki.crl(acme_ca, extensions=[(of_cas, True)]))
    for (state,) in (revocation.show("acme"), revocation.overview()):
        assert "nobody under it is let in (crl_missing)" in str(state.problem)
    revocation.load("acme", pki.crl(acme_ca))
    assert [one.problem for one in revocation.show("acme")] == [None]


def test_addresses_that_are_not_for_everything_are_passed_over() -> None:
    other = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://a/")], None, None, [x509.DirectoryName(pki.common_name("other"))]
    )
    some = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://b/")], None, frozenset([x509.ReasonFlags.key_compromise]), None
    )
    ca = pki.ca("x")
    assert (
        named_by(pki.issue(ca, "y", extensions=[(x509.CRLDistributionPoints([other, some]), False)]).certificate) == []
    )
    assert named_by(pki.v1_leaf(ca).certificate) == []


def see(store: Store, clock: Hands, *shown: pki.Issued, reason: str = "") -> None:
    """As the gate tells it."""
    with store.transaction() as tx:
        for one in shown:
            key, at = hashlib.sha256(one.der).digest(), clock()
            evidence = "" if reason else "partner"
            sighting = Sighting(key, (one.der,), "main", "/", at, at, 1, reason, "192.0.2.7", evidence=evidence)
            tx.seen.add_many([sighting])


def test_what_was_shown_to_the_gate_teaches(
    partners: Partners, revocation: PartnerRevocation, store: Store, clock: Hands, acme_ca: pki.Issued
) -> None:
    active(partners, acme_ca)
    see(store, clock, leaf(acme_ca, URL), reason="crl_missing")
    assert revocation.learn_from_seen() == 1
    assert [one.url for one in revocation.show("acme")[0].sources] == [URL]
    clock.move(timedelta(minutes=2))
    assert revocation.learn_from_seen() == 0
    see(store, clock, leaf(acme_ca, "http://crl.acme.example/2.crl", name="ben"))
    assert revocation.learn_from_seen() == 1
    assert len(revocation.show("acme")[0].sources) == 2


def test_a_month_of_sightings_is_looked_at_by_and_by(
    partners: Partners,
    revocation: PartnerRevocation,
    store: Store,
    clock: Hands,
    acme_ca: pki.Issued,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_LOOKED", 3)
    active(partners, acme_ca)
    urls = {f"http://crl.acme.example/{number}.crl" for number in range(8)}
    for number, url in enumerate(sorted(urls)):
        see(store, clock, leaf(acme_ca, url, name=f"client {number}"))
        clock.move(timedelta(hours=number % 3))  # some at the same moment
    learned = [revocation.learn_from_seen() for _ in range(6)]
    assert max(learned) <= 3
    assert {one.url for one in revocation.show("acme")[0].sources} == urls
    assert learned[-1] == 0


def test_a_clock_that_is_set_back_keeps_nobody_from_being_looked_at(
    partners: Partners, revocation: PartnerRevocation, store: Store, clock: Hands, acme_ca: pki.Issued
) -> None:
    active(partners, acme_ca)
    clock.move(timedelta(days=300))
    see(store, clock, leaf(acme_ca, URL))
    revocation.learn_from_seen()
    clock.move(timedelta(days=-300))
    assert PartnerRevocation(store).learn_from_seen() == 0
    with store.reading() as tx:
        assert datetime.fromisoformat(tx.settings.get(module.LEARNED_UNTIL) or "") < clock()
    see(store, clock, leaf(acme_ca, "http://crl.acme.example/2.crl", name="ben"))
    assert revocation.learn_from_seen() == 1
    see(store, clock, leaf(acme_ca, "http://crl.acme.example/3.crl", name="cara"))
    assert PartnerRevocation(store).learn_from_seen() == 1, "a process that begins now"


@pytest.mark.parametrize("anew", [False, True])
def test_who_came_while_nobody_looked_at_a_clock_that_was_set_back_is_looked_at(
    partners: Partners, revocation: PartnerRevocation, store: Store, clock: Hands, acme_ca: pki.Issued, anew: bool
) -> None:
    active(partners, acme_ca)
    clock.move(timedelta(days=300))
    revocation.learn_from_seen()
    clock.move(timedelta(days=-300))
    see(store, clock, leaf(acme_ca, URL))
    clock.move(2 * module.LATE)
    assert (PartnerRevocation(store) if anew else revocation).learn_from_seen() == 1


def test_strangers_teach_nothing(
    partners: Partners, revocation: PartnerRevocation, store: Store, clock: Hands, acme_ca: pki.Issued
) -> None:
    """R11. A certificate that names the CA as its issuer is not one that the CA signed."""
    active(partners, acme_ca)
    twin = pki.ca("acme issuing")
    see(store, clock, leaf(twin, URL), leaf(pki.ca("stranger"), URL), pki.leaf(None, "self"))
    assert revocation.learn_from_seen() == 0
    assert revocation.show("acme")[0].sources == []


def test_an_approved_responder_is_asked_about_who_was_there_before(
    partners: Partners, revocation: PartnerRevocation, store: Store, clock: Hands, acme_ca: pki.Issued
) -> None:
    anchor = active(partners, acme_ca)
    anna = leaf(acme_ca, ocsp=("http://ocsp.acme.example/",))
    see(store, clock, anna)
    revocation.learn_from_seen()
    clock.move(timedelta(hours=5))
    with store.reading() as tx:
        assert tx.foreign.answer(anchor.id, anna.serial) is None, "nobody may be asked yet"
    revocation.approve("acme", "http://ocsp.acme.example/")
    assert revocation.learn_from_seen() == 1
    with store.reading() as tx:
        assert tx.foreign.answer(anchor.id, anna.serial) is not None
