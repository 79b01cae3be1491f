from datetime import timedelta

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mutualgate import audit, snapshot
from mutualgate.authorities.service import Authorities
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import Judge
from mutualgate.model.partner import Anchor, AnchorState, RevocationMode
from mutualgate.partners.anchors import CLAIM_LIFE, of_subject
from mutualgate.partners.pins import Pins
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import Terms
from mutualgate.store import Store


def claim(partners: Partners, ca: pki.Issued, name: str = "acme") -> Anchor:
    return partners.anchors.claim(name, ca.pem).anchor


def proof(ca: pki.Issued, anchor: Anchor) -> bytes:
    assert anchor.challenge is not None
    return pki.leaf(ca, anchor.challenge).pem


def active(partners: Partners, ca: pki.Issued, name: str = "acme") -> Anchor:
    return partners.anchors.prove(name, proof(ca, claim(partners, ca, name)))


def told(store: Store) -> list[int]:
    """The CAs that the judge knows, but for those that it knows as retired."""
    with store.reading() as tx:
        return [id for part in tx.anchors.walk(10) for id, *_, retired in part if not retired]


def reasons(store: Store, *chains: list[pki.Issued]) -> list[str | None]:
    """Why those who show them are refused, by all that the judge is told."""
    judge = Judge(snapshot.build(store, []))
    at = int(store.clock().timestamp())
    return [judge.decide([one.der for one in chain], at).reason for chain in chains]


def _actions(store: Store) -> list[str]:
    assert isinstance(audit.verify(store), audit.Verified)
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_a_claim_counts_once_it_is_proved(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    """R7: a certificate is public; the key behind it has to answer."""
    claimed = partners.anchors.claim("acme", acme_ca.pem)
    anchor = claimed.anchor
    assert (anchor.state, claimed.remarks, claimed.held_by) == (AnchorState.PENDING, (), None)
    assert told(store) == []
    assert [(one.id, whose.name) for one, whose, _ in partners.anchors.pending()] == [(anchor.id, "acme")]
    proved = partners.anchors.prove("acme", proof(acme_ca, anchor))
    assert (proved.id, proved.state, proved.challenge) == (anchor.id, AnchorState.ACTIVE, None)
    assert told(store) == [anchor.id]
    assert partners.anchors.pending() == []
    assert _actions(store)[-2:] == ["anchor.claim", "anchor.prove"]


def test_how_many_may_bear_one_name_is_bounded(partners: Partners, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge tries all of them for a certificate that does not say which of them issued it."""
    monkeypatch.setattr("mutualgate.partners.room.MOST_OF_ONE_NAME", 3)
    for name in ("acme", "umbrella", "acme"):
        active(partners, pki.ca("issuing"), name)
    with pytest.raises(Conflict, match="3 CAs with this subject name are trusted") as caught:
        active(partners, pki.ca("issuing"), "umbrella")
    assert caught.value.code == "too_many_alike"
    active(partners, pki.ca("another name"), "umbrella")
    partners.anchors.retire("acme", partners.anchors.list("acme")[0].id)
    claimed = partners.anchors.list("umbrella")[1]
    assert (claimed.subject, claimed.state) == ("CN=issuing", AnchorState.PENDING)


def test_a_dns_name_may_say_the_code(partners: Partners, acme_ca: pki.Issued) -> None:
    anchor = claim(partners, acme_ca)
    leaf = pki.leaf(acme_ca, "probe", sans=[f"{anchor.challenge}.acme.example"])
    assert partners.anchors.prove("acme", leaf.der).state is AnchorState.ACTIVE


def test_what_proves_nothing(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    anchor = claim(partners, acme_ca)
    code = str(anchor.challenge)
    for leaf, says in (
        (pki.leaf(acme_ca, "any client"), "does not say the claim's code"),
        (pki.leaf(acme_ca, code + "x"), "does not say"),
        (pki.leaf(acme_ca, "x", sans=[f"x.{code}"]), "does not say"),
        (pki.leaf(None, code), "no claimed CA signed"),
        (pki.leaf(pki.ca("acme issuing"), code), "no claimed CA signed"),
        (pki.leaf(acme_ca, code, days=-1), "not in date"),
    ):
        with pytest.raises(BadInput, match=says):
            partners.anchors.prove("acme", leaf.pem)
    with pytest.raises(BadInput, match="private key"):
        partners.anchors.prove("acme", proof(acme_ca, anchor) + pki.key_pem(pki.fresh_key()))
    with pytest.raises(NotFound, match="no claim"):
        partners.anchors.prove("umbrella", proof(acme_ca, anchor))
    assert told(store) == []


def test_a_sha1_signature_proves_nothing(partners: Partners) -> None:
    root = pki.ca("root", path_length=0)
    anchor = claim(partners, root)
    with pytest.raises(BadInput, match="SHA-256"):
        partners.anchors.prove("acme", pki.v1_leaf(root, str(anchor.challenge), md="sha1").pem)


def test_a_claim_lapses(partners: Partners, store: Store, clock: Hands, acme_ca: pki.Issued) -> None:
    anchor = claim(partners, acme_ca)
    clock.move(CLAIM_LIFE)
    late = pki.leaf(acme_ca, str(anchor.challenge), now=clock()).pem
    with pytest.raises(Conflict, match="was valid until"):
        partners.anchors.prove("acme", late)
    with pytest.raises(Conflict, match="is retired, it waits for nothing"):
        partners.anchors.approve("acme", anchor.id, without_proof=True)
    assert partners.anchors.pending() == []
    assert partners.anchors.forget_late() == 1
    assert _actions(store)[-1] == "anchor.lapse"
    assert partners.anchors.forget_late() == 0
    again = claim(partners, acme_ca)
    assert again.challenge != anchor.challenge
    with pytest.raises(BadInput, match="does not say"):
        partners.anchors.prove("acme", late)


def test_an_operator_may_do_without_proof_and_it_is_written_down(
    partners: Partners, store: Store, acme_ca: pki.Issued
) -> None:
    anchor = claim(partners, acme_ca)
    with pytest.raises(Conflict, match="nobody has proved"):
        partners.anchors.approve("acme", anchor.id)
    partners.anchors.approve("acme", anchor.id, without_proof=True)
    assert told(store) == [anchor.id]
    with store.reading() as tx:
        last = tx.audit.last()
    assert last is not None
    assert (last.action, last.facts["proved"]) == ("anchor.approve", False)
    with pytest.raises(Conflict, match="waits for nothing"):
        partners.anchors.approve("acme", anchor.id, without_proof=True)


def test_one_key_is_one_partners(
    partners: Partners, store: Store, letters: list[tuple[str, str]], acme_ca: pki.Issued
) -> None:
    """R5: who comes second waits, both are told, and the first loses nothing."""
    first = active(partners, acme_ca)
    claimed = partners.anchors.claim("umbrella", acme_ca.pem)
    assert claimed.held_by is not None
    assert claimed.held_by.name == "acme"
    assert letters == [("acme", "Two partners claim one CA"), ("umbrella", "Two partners claim one CA")]
    letters.clear()
    with pytest.raises(Conflict, match="another partner's") as refused:
        partners.anchors.prove("umbrella", proof(acme_ca, claimed.anchor))
    assert "acme" not in str(refused.value)
    assert [name for name, _ in letters] == ["acme", "umbrella"]
    assert _actions(store)[-1] == "anchor.conflict"
    with pytest.raises(Conflict, match="'acme'"):
        partners.anchors.approve("umbrella", claimed.anchor.id, without_proof=True)
    assert told(store) == [first.id]
    partners.anchors.retire("acme", first.id)
    assert partners.anchors.prove("umbrella", proof(acme_ca, claimed.anchor)).state is AnchorState.ACTIVE
    assert told(store) == [claimed.anchor.id]


def test_a_key_that_is_shared_is_declared_so_by_all(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    """R5: one partner's patterns and another's exact names under one key would be two answers to one certificate."""
    own = active(partners, acme_ca, "acme")
    with pytest.raises(Conflict, match="'acme'") as refused:
        partners.anchors.claim("umbrella", acme_ca.pem, terms=Terms(shared=True))
    assert refused.value.code == "anchor_held"
    partners.anchors.retire("acme", own.id)
    shared = partners.anchors.claim("umbrella", acme_ca.pem, terms=Terms(shared=True)).anchor
    claimed = partners.anchors.claim("acme", acme_ca.pem)
    assert claimed.held_by is not None
    assert claimed.held_by.name == "umbrella"
    with pytest.raises(Conflict, match="another partner's"):
        partners.anchors.prove("acme", proof(acme_ca, claimed.anchor))
    assert told(store) == [shared.id]


def test_a_claim_blocks_nobody(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    """R5: who claims another's CA first has nothing of it."""
    claim(partners, acme_ca, "umbrella")
    rightful = active(partners, acme_ca, "acme")
    assert told(store) == [rightful.id]


def test_a_shared_ca_is_everybodys(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    made = [partners.anchors.claim(name, acme_ca.pem, terms=Terms(shared=True)).anchor for name in ("acme", "umbrella")]
    assert [one.state for one in made] == [AnchorState.ACTIVE] * 2
    with pytest.raises(Conflict, match="shared with others"):
        partners.permit("acme", ["dns:*.acme.example"], anchor=made[0].id)
    partners.permit("acme", ["dns:api.acme.example"], anchor=made[0].id)
    with pytest.raises(NotFound):
        partners.permit("umbrella", ["dns:api.acme.example"], anchor=made[0].id)
    with pytest.raises(BadInput, match="signs the clients itself"):
        partners.anchors.claim("acme", pki.ca("x").pem, terms=Terms(shared=True, depth=1))


def test_a_shared_ca_that_is_claimed_anew_is_to_be_proved(
    partners: Partners, store: Store, acme_ca: pki.Issued
) -> None:
    """Only an operator says that one belongs to nobody: a partner claims without terms."""
    shared = partners.anchors.claim("acme", acme_ca.pem, terms=Terms(shared=True)).anchor
    partners.anchors.retire("acme", shared.id)
    anew = partners.anchors.claim("acme", acme_ca.pem).anchor
    assert (anew.state, anew.shared) == (AnchorState.PENDING, False)
    assert told(store) == []


def test_a_name_under_a_shared_ca_is_one_partner_s(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    acme, umbrella = (
        partners.anchors.claim(name, acme_ca.pem, terms=Terms(shared=True)).anchor for name in ("acme", "umbrella")
    )
    partners.permit("acme", ["dns:api.acme.example"], anchor=acme.id)
    with pytest.raises(Conflict, match="'acme' has 'dns:api"):
        partners.permit("umbrella", ["dns:api.acme.example"], anchor=umbrella.id)
    assert partners.permit("umbrella", ["dns:api.umbrella.example"], anchor=umbrella.id)
    partners.forbid("acme", ["dns:api.acme.example"], anchor=acme.id)
    assert partners.permit("umbrella", ["dns:api.acme.example"], anchor=umbrella.id)


def test_a_name_that_another_has_by_now_does_not_come_back_with_a_shared_ca(
    partners: Partners, store: Store, acme_ca: pki.Issued
) -> None:
    """R1: a CA that is claimed again has the rules that it had."""
    acme, umbrella = (
        partners.anchors.claim(name, acme_ca.pem, terms=Terms(shared=True)).anchor for name in ("acme", "umbrella")
    )
    partners.permit("acme", ["dns:api.acme.example"], anchor=acme.id)
    partners.anchors.retire("acme", acme.id)
    partners.permit("umbrella", ["dns:api.acme.example"], anchor=umbrella.id)
    with pytest.raises(Conflict, match="'umbrella' has 'dns:api"):
        partners.anchors.claim("acme", acme_ca.pem, terms=Terms(shared=True))
    assert told(store) == [umbrella.id]
    partners.forbid("acme", ["dns:api.acme.example"], anchor=acme.id)
    assert partners.anchors.claim("acme", acme_ca.pem, terms=Terms(shared=True)).anchor.state is AnchorState.ACTIVE


def test_a_public_ca_is_nobodys_own(partners: Partners) -> None:
    """R6."""
    isrg = pki.public_root_name()
    under = pki.issue(None, "R99", issuer_name=isrg, extensions=[(x509.BasicConstraints(True, 0), True)])
    with pytest.raises(BadInput, match="publicly trusted") as refused:
        partners.anchors.claim("acme", under.pem)
    assert refused.value.code == "public_ca"
    assert partners.anchors.claim("acme", under.pem, terms=Terms(shared=True)).anchor.state is AnchorState.ACTIVE


def test_equal_subjects_are_legal_but_bounded(partners: Partners, store: Store) -> None:
    """R2: the key tells CAs apart. R24: how many look alike, the judge pays for with each stranger."""
    key_id = x509.SubjectKeyIdentifier(b"same")
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(True, 0), True),
        (pki.usage(key_cert_sign=True), True),
        (key_id, False),
    ]
    alike = [pki.issue(None, "same", identifiers=False, extensions=extensions) for _ in range(5)]
    for one in alike[:4]:
        active(partners, one)
    with pytest.raises(Conflict, match="4 CAs with this subject name"):
        active(partners, alike[4])
    assert active(partners, pki.ca("same", path_length=0)).state is AnchorState.ACTIVE
    assert len(told(store)) == 5


def test_our_keys_and_clients_keys_are_no_partners_cas(
    partners: Partners, store: Store, authorities: Authorities
) -> None:
    with store.reading() as tx:
        ours = tx.authorities.all()[0].certificate
    with pytest.raises(Conflict, match="authority of ours"):
        partners.anchors.claim("acme", ours)
    key = pki.fresh_key()
    from mutualgate.clients import Clients

    Clients(store).add("anna")
    Pins(store).add("anna", pki.leaf(None, key=key).pem)
    with pytest.raises(Conflict, match="client proves itself"):
        partners.anchors.claim("acme", pki.ca(key=key).pem)
    ca = pki.ca("acme")
    claim(partners, ca)
    with pytest.raises(Conflict, match="partner's CA"):
        Pins(store).add("anna", ca.pem)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (Terms(depth=2), "depth of 2"),
        (Terms(depth=1), "no CA below itself"),
        (Terms(sub_cas=(b"x" * 32,)), "none may be"),
        (Terms(hold=True), "none may be"),
        (Terms(environment="Test!"), "environment"),
        (Terms(policy="1.2.x"), "certificate policy"),
        (Terms(grace=timedelta(days=31)), "out of bounds"),
        (Terms(expired_grace=timedelta(days=-1)), "out of bounds"),
    ],
)
def test_terms_are_within_bounds(partners: Partners, acme_ca: pki.Issued, terms: Terms, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        partners.anchors.claim("acme", acme_ca.pem, terms=terms)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (Terms(shared=True, depth=1), "signs the clients itself"),
        (Terms(depth=1, sub_cas=(b"x" * 31,)), "SHA-256 of its key"),
    ],
)
def test_terms_of_a_ca_with_others_below_are_within_bounds(partners: Partners, terms: Terms, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        partners.anchors.claim("acme", pki.ca("acme root").pem, terms=terms)


def test_terms_change_and_are_told(partners: Partners, store: Store) -> None:
    root = pki.ca("root")
    anchor = active(partners, root)
    sub = (b"k" * 32,)

    def change(terms: Terms) -> Terms:
        from dataclasses import replace

        return replace(
            terms, depth=1, sub_cas=sub, revocation=RevocationMode.FAIL, environment="test", policy="1.2.3.4"
        )

    changed = partners.anchors.set("acme", anchor.id, change)
    assert (changed.depth, changed.sub_cas, changed.environment) == (1, sub, "test")
    with store.reading() as tx:
        ((_, _, _, _, _, _, depth, keys, environment, mode, _, _, policy, _, _),) = tx.anchors.plain([anchor.id])
    assert (depth, keys, environment, mode, policy) == (1, [sub[0]], "test", "fail", "1.2.3.4")


def test_terms_that_are_so_already_make_no_epoch(partners: Partners, store: Store, acme_ca: pki.Issued) -> None:
    anchor, before = active(partners, acme_ca), store.epoch()
    assert partners.anchors.set("acme", anchor.id, lambda terms: terms) == anchor
    assert store.epoch() == before


def test_a_ca_retires_at_once_or_on_a_day(partners: Partners, store: Store, clock: Hands, acme_ca: pki.Issued) -> None:
    anchor = active(partners, acme_ca)
    day = pki.NOW + timedelta(days=30)
    leaving = partners.anchors.retire("acme", anchor.id, on=day)
    assert leaving.state is AnchorState.RETIRING
    with store.reading() as tx:
        assert tx.anchors.plain([anchor.id])[0][4] == int(day.timestamp())
    with pytest.raises(BadInput, match="by itself"):
        partners.anchors.retire("acme", anchor.id, on=anchor.not_after + timedelta(days=1))
    clock.move(timedelta(days=31))
    with pytest.raises(Conflict, match="retired already"):
        partners.anchors.retire("acme", anchor.id)
    for name, id in (("umbrella", anchor.id), ("acme", 999)):
        with pytest.raises(NotFound):
            partners.anchors.retire(name, id)


def test_under_a_ca_that_was_retired_nobody_comes_in_by_the_one_above(
    partners: Partners, store: Store, clock: Hands
) -> None:
    root = pki.ca("acme root")
    sub = pki.ca("acme sub", parent=root)
    leaf = pki.leaf(sub, "api", sans=["api.acme.example"], days=30)
    chains = ([leaf], [leaf, sub])
    above = partners.anchors.claim("acme", root.pem, terms=Terms(depth=1)).anchor
    partners.anchors.approve("acme", above.id, without_proof=True)
    assert reasons(store, *chains) == ["unknown_issuer", None]
    anchor = active(partners, sub)
    assert reasons(store, *chains) == [None, None]

    judge = Judge(snapshot.build(store, []))
    before = store.epoch()
    partners.anchors.retire("acme", anchor.id)
    assert reasons(store, *chains) == ["unknown_issuer"] * 2
    data = snapshot.delta(store, before)
    assert data is not None
    at = int(clock().timestamp())
    assert judge.after(data).decide([leaf.der, sub.der], at).reason == "unknown_issuer"
    excerpt = Judge(snapshot.build_for(store, [], [(leaf.der, sub.der)]))
    assert excerpt.decide([leaf.der, sub.der], at).reason == "unknown_issuer"
    partners.add_intermediate("acme", sub.pem)
    assert reasons(store, *chains) == ["unknown_issuer"] * 2

    # Nor while somebody only claims it anew, whatever comes of that.
    again = claim(partners, sub)
    assert reasons(store, *chains) == ["unknown_issuer"] * 2
    clock.move(CLAIM_LIFE)
    assert partners.anchors.forget_late() == 1
    assert reasons(store, *chains) == ["unknown_issuer"] * 2
    partners.anchors.prove("acme", proof(sub, claim(partners, sub)))
    assert again.id == anchor.id
    assert reasons(store, *chains) == [None, None]


def test_a_claim_that_came_to_nothing_keeps_nobody_out(partners: Partners, store: Store, clock: Hands) -> None:
    root = pki.ca("acme root")
    sub = pki.ca("acme sub", parent=root)
    leaf = pki.leaf(sub, "api", sans=["api.acme.example"], days=30)
    above = partners.anchors.claim("acme", root.pem, terms=Terms(depth=1)).anchor
    partners.anchors.approve("acme", above.id, without_proof=True)
    claimed = claim(partners, sub)
    assert reasons(store, [leaf, sub]) == [None]
    partners.anchors.retire("acme", claimed.id)
    assert reasons(store, [leaf, sub]) == [None]
    # As good as never made is one that was taken back, even if it counted.
    other = pki.ca("acme other", parent=root)
    leaf = pki.leaf(other, "api", sans=["api.acme.example"], days=30)
    partners.anchors.claim("acme", other.pem, terms=Terms(shared=True))
    assert reasons(store, [leaf, other]) == ["name_not_permitted"]
    with store.transaction() as tx:
        last = tx.trust.last()
        assert last is not None
        tx.trust.undo(last.id, clock())
    assert reasons(store, [leaf, other]) == [None]


def test_a_ca_whose_day_has_come_is_in_nobody_s_way(
    partners: Partners, store: Store, clock: Hands, acme_ca: pki.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was retired at once: nobody writes down that the day has come."""
    monkeypatch.setattr("mutualgate.partners.room.MOST_PER_PARTNER", 1)
    shared = Terms(shared=True)
    acme, umbrella = (partners.anchors.claim(name, acme_ca.pem, terms=shared).anchor for name in ("acme", "umbrella"))
    partners.permit("acme", ["dns:api.acme.example"], anchor=acme.id)
    partners.anchors.retire("acme", acme.id, on=clock() + timedelta(days=5))
    with store.reading() as tx:
        assert [one.id for one in of_subject(tx, acme_ca.legible.subject, clock())] == [acme.id, umbrella.id]
    clock.move(timedelta(days=5))
    partners.permit("umbrella", ["dns:api.acme.example"], anchor=umbrella.id)
    with store.reading() as tx:
        assert [one.id for one in of_subject(tx, acme_ca.legible.subject, clock())] == [umbrella.id, acme.id]
    partners.forbid("umbrella", ["dns:api.acme.example"], anchor=umbrella.id)
    again = partners.anchors.claim("acme", acme_ca.pem, terms=shared).anchor
    assert (again.id, again.state) == (acme.id, AnchorState.ACTIVE)
    for id, name in ((acme.id, "acme"), (umbrella.id, "umbrella")):
        partners.anchors.retire(name, id, on=clock() + timedelta(days=5))
    clock.move(timedelta(days=5))
    claim(partners, pki.ca("acme 2"))
    from mutualgate.clients import Clients

    Clients(store).add("anna")
    assert Pins(store).add("anna", acme_ca.pem).subject == "CN=acme issuing"


def test_one_that_is_retired_stays_as_it_was(partners: Partners, acme_ca: pki.Issued) -> None:
    anchor = active(partners, acme_ca)
    partners.anchors.retire("acme", anchor.id)
    with pytest.raises(Conflict, match="is retired"):
        partners.anchors.set("acme", anchor.id, lambda terms: terms)
    with pytest.raises(Conflict, match="is retired"):
        partners.anchors.renew("acme", anchor.id, acme_ca.pem)


def test_a_newer_certificate_bears_the_terms_of_the_old_one(partners: Partners) -> None:
    root = pki.ca("acme root", path_length=1)
    anchor = partners.anchors.claim("acme", root.pem, terms=Terms(depth=1)).anchor
    with pytest.raises(BadInput, match="no CA below itself"):
        partners.anchors.renew("acme", anchor.id, pki.ca("acme root", key=root.key, path_length=0).pem)


def test_a_partner_has_a_bounded_number_of_cas(partners: Partners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.partners.room.MOST_PER_PARTNER", 2)
    first = claim(partners, pki.ca("one"))
    claim(partners, pki.ca("two"))
    with pytest.raises(Conflict) as full:
        claim(partners, pki.ca("three"))
    assert full.value.code == "too_many_anchors"
    partners.anchors.retire("acme", first.id)
    assert claim(partners, pki.ca("three")).state is AnchorState.PENDING


def test_a_newer_certificate_of_the_same_ca(partners: Partners, store: Store) -> None:
    ca = pki.ca("acme", days=100)
    anchor = active(partners, ca)
    newer = pki.ca("acme", key=ca.key, days=1000)
    renewed = partners.anchors.renew("acme", anchor.id, newer.pem)
    assert renewed.not_after == newer.certificate.not_valid_after_utc
    # To pyca/cryptography both spellings are one name; the judge, as TLS libraries do, compares bytes.
    printable = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme", _ASN1Type.PrintableString)])
    assert printable == ca.certificate.subject
    early = pki.NOW + timedelta(days=7)
    others = {"its key": pki.ca("acme"), "its subject": pki.ca("other", key=ca.key)}
    others["byte for byte"] = pki.issue(
        None, printable, key=ca.key, extensions=[(one.value, one.critical) for one in ca.certificate.extensions][:2]
    )
    others["begins on 2026-06-08 12:00 UTC only"] = pki.ca("acme", key=ca.key, not_before=early, days=1000)
    for words, other in others.items():
        with pytest.raises(BadInput, match=words):
            partners.anchors.renew("acme", anchor.id, other.pem)


def test_a_newer_certificate_may_call_the_key_otherwise(partners: Partners, store: Store) -> None:
    """Clients' certificates name their CA's key by what it was called when they were made (RFC 5280 4.2.1.1)."""
    ca = pki.ca("acme", days=100)
    anchor = active(partners, ca)
    old = pki.leaf(ca, "api", sans=["api.acme.example"], days=30)
    newer = pki.issue(
        None,
        "acme",
        key=ca.key,
        identifiers=False,
        extensions=[(x509.BasicConstraints(True, None), True), (x509.SubjectKeyIdentifier(b"o"), False)],
    )
    partners.anchors.renew("acme", anchor.id, newer.pem)
    assert reasons(store, [old], [old, ca], [old, newer]) == [None] * 3
    assert reasons(store, [pki.leaf(pki.ca("acme"), "api", sans=["api.acme.example"], days=30)]) == ["unknown_issuer"]


def test_the_same_claim_twice(partners: Partners, acme_ca: pki.Issued) -> None:
    claim(partners, acme_ca)
    with pytest.raises(Conflict, match="already, pending"):
        claim(partners, acme_ca)
