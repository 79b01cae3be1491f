"""CAs between a partner's and its clients: first sights are told of, and wait where new ones are held."""

from dataclasses import replace

import pki
import pytest

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.partner import Anchor, Partner
from mutualgate.partners.between import first_sight
from mutualgate.partners.service import Partners
from mutualgate.partners.terms import MOST_BELOW, Terms
from mutualgate.store import Store, Transaction


@pytest.fixture
def root() -> pki.Issued:
    return pki.ca("acme root")


def counting(partners: Partners, root: pki.Issued, terms: Terms, name: str = "acme") -> Anchor:
    claimed = partners.anchors.claim(name, root.pem, terms=terms).anchor
    return partners.anchors.approve(name, claimed.id, without_proof=True)


def show(store: Store, *chain: pki.Issued) -> list[str]:
    """Shows a chain; the bodies of the letters."""
    told: list[str] = []

    def tell(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        told.append(f"{partner.name}: {body}")

    with store.transaction() as tx:
        first_sight(tx, [one.der for one in chain], at=store.clock(), tell=tell)
    return told


def actions(store: Store) -> list[tuple[str, dict[str, object]]]:
    """What the audit log says was done, and its facts."""
    with store.reading() as tx:
        return [(entry.action, dict(entry.facts)) for entry in tx.audit.walk()]


def key(ca: pki.Issued) -> bytes:
    return spki_fingerprint(ca.certificate)


def test_the_first_sight_is_an_event_and_the_second_none(partners: Partners, store: Store, root: pki.Issued) -> None:
    anchor = counting(partners, root, Terms(depth=1))
    sub = pki.ca("acme sub", parent=root)
    leaf = pki.leaf(sub, "api", sans=["api.acme.example"])
    [letter] = show(store, leaf, sub)
    assert letter.startswith("acme: A client came with a certificate of CN=acme sub, a CA below CN=acme root")
    assert key(sub).hex() in letter
    assert "Clients under it come in" in letter
    [facts] = [facts for one, facts in actions(store) if one == "anchor.below_seen"]
    assert (facts["anchor"], facts["spki"], facts["state"]) == (anchor.id, key(sub).hex(), "allowed")
    assert show(store, leaf, sub) == []
    [below] = partners.between.of("acme")
    assert (below.seen.subject, below.state) == ("CN=acme sub", "allowed")
    assert partners.between.of("umbrella") == []


def test_what_is_no_sight_of_a_ca_between(partners: Partners, store: Store, root: pki.Issued) -> None:
    counting(partners, root, Terms(depth=1))
    sub, namesake = pki.ca("acme sub", parent=root), pki.ca("acme root")
    other, below_namesake = pki.ca("other", parent=sub), pki.ca("acme sub", parent=namesake)
    leaf = pki.leaf(sub, "api")
    for chain in (
        [leaf],
        [pki.leaf(root, "api"), root],
        [pki.leaf(None, "stranger"), sub],  # anybody can send a certificate that he saw
        [pki.leaf(below_namesake, "api"), below_namesake],
        [pki.leaf(other, "api"), other],
        [pki.leaf(leaf, "api"), leaf],
    ):
        assert show(store, *chain) == []
    assert partners.between.of("acme") == []
    anchor = partners.anchors.list("acme")[0]
    partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, depth=0))
    assert show(store, leaf, sub) == []


def test_new_ones_wait_where_they_are_held(partners: Partners, store: Store, root: pki.Issued) -> None:
    anchor = counting(partners, root, Terms(depth=1, hold=True))
    sub = pki.ca("acme sub", parent=root)
    [letter] = show(store, pki.leaf(sub, "api"), sub)
    assert f"refused until the operator allows it: mutualgate partner ca allow acme {key(sub).hex()}" in letter
    [waiting] = partners.between.waiting()
    assert (str(waiting.partner.name), waiting.anchor.id, waiting.state) == ("acme", anchor.id, "waits")
    [allowed] = partners.between.allow("acme", key(sub))
    assert allowed.sub_cas == (key(sub),)
    assert partners.between.waiting() == []
    with pytest.raises(Conflict, match="may stand there already"):
        partners.between.allow("acme", key(sub))
    partners.between.disallow("acme", key(sub))
    assert [one.state for one in partners.between.waiting()] == ["waits"]
    with pytest.raises(Conflict, match="not allowed by itself"):
        partners.between.disallow("acme", key(sub))
    assert [one for one, _ in actions(store)][-2:] == ["anchor.allow", "anchor.disallow"]


def test_those_that_came_in_before_go_on_to(partners: Partners, store: Store, root: pki.Issued) -> None:
    anchor = counting(partners, root, Terms(depth=1))
    old, new = pki.ca("acme old", parent=root), pki.ca("acme new", parent=root)
    show(store, pki.leaf(old, "api"), old)
    partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, hold=True))
    show(store, pki.leaf(new, "api"), new)
    assert {one.seen.subject: one.state for one in partners.between.of("acme")} == {
        "CN=acme old": "allowed",
        "CN=acme new": "waits",
    }


def test_where_a_list_was_given_nothing_waits(partners: Partners, store: Store, root: pki.Issued) -> None:
    counting(partners, root, Terms(depth=1, sub_cas=(b"k" * 32,)))
    sub = pki.ca("acme sub", parent=root)
    [letter] = show(store, pki.leaf(sub, "api"), sub)
    assert "none of the CAs that were listed" in letter
    assert [one.state for one in partners.between.of("acme")] == ["refused"]
    assert partners.between.waiting() == []
    with pytest.raises(Conflict):
        partners.between.disallow("acme", b"k" * 32)  # with the last one gone, any would come in


def test_below_which_ca_is_said_where_nobody_knows(partners: Partners, store: Store, root: pki.Issued) -> None:
    with pytest.raises(NotFound, match="no CA below which"):
        partners.between.allow("acme", b"k" * 32)
    terms = Terms(depth=1, hold=True)
    first, second = counting(partners, root, terms), counting(partners, pki.ca("acme second"), terms)
    with pytest.raises(BadInput, match="not said below which"):
        partners.between.allow("acme", b"k" * 32)
    assert [one.id for one in partners.between.allow("acme", b"k" * 32, anchor=second.id)] == [second.id]
    sub = pki.ca("acme sub", parent=root)
    show(store, pki.leaf(sub, "api"), sub)
    assert [one.id for one in partners.between.allow("acme", key(sub))] == [first.id]


def test_one_that_an_operator_brings_is_no_event(partners: Partners, store: Store, root: pki.Issued) -> None:
    counting(partners, root, Terms(depth=1, hold=True))
    sub = pki.ca("acme sub", parent=root)
    _, odd = partners.add_intermediate("acme", sub.pem)
    assert any("It waits until it is allowed" in one for one in odd)
    assert [one.state for one in partners.between.waiting()] == ["waits"]
    assert show(store, pki.leaf(sub, "api"), sub) == []


def test_they_are_bounded(partners: Partners, store: Store, root: pki.Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BELOW == 50
    monkeypatch.setattr("mutualgate.partners.between.MOST_BELOW", 2)
    counting(partners, root, Terms(depth=1, hold=True))
    told = []
    for number in range(4):
        sub = pki.ca(f"acme sub {number}", parent=root)
        told += show(store, pki.leaf(sub, "api"), sub)
    assert len(told) == len(partners.between.of("acme")) == 2
    partners.between.allow("acme", b"1" * 32)
    partners.between.allow("acme", b"2" * 32)
    with pytest.raises(Conflict, match="already"):
        partners.between.allow("acme", b"3" * 32)


def test_what_was_registered_before_new_ones_are_held_is_not_new(
    partners: Partners, store: Store, root: pki.Issued
) -> None:
    anchor = counting(partners, root, Terms())
    sub = pki.ca("acme sub", parent=root)
    partners.add_intermediate("acme", sub.pem)  # its clients may send their own certificate alone: it is never seen
    partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, depth=1))
    assert show(store, pki.leaf(sub, "api"), sub) == []
    [below] = partners.between.of("acme")
    assert below.seen.spki == key(sub)
    changed = partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, hold=True))
    assert changed.sub_cas == (key(sub),)


def test_what_was_registered_is_no_event_below_a_ca_that_is_claimed_anew(
    partners: Partners, store: Store, root: pki.Issued
) -> None:
    anchor = counting(partners, root, Terms())
    sub = pki.ca("acme sub", parent=root)
    partners.add_intermediate("acme", sub.pem)
    partners.anchors.retire("acme", anchor.id)
    counting(partners, root, Terms(depth=1, hold=True))
    assert show(store, pki.leaf(sub, "api"), sub) == []
    assert [one.seen.spki for one in partners.between.waiting()] == [key(sub)]


def test_what_waited_is_not_let_in_by_way_of_depth_0(partners: Partners, store: Store, root: pki.Issued) -> None:
    anchor = counting(partners, root, Terms(depth=1, hold=True))
    rogue, brought = pki.ca("rogue", parent=root), pki.ca("acme sub", parent=root)
    show(store, pki.leaf(rogue, "api"), rogue)
    partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, depth=0, hold=False))
    partners.add_intermediate("acme", brought.pem)
    changed = partners.anchors.set("acme", anchor.id, lambda terms: replace(terms, depth=1, hold=True))
    assert changed.sub_cas == (key(brought),)
    assert [one.seen.subject for one in partners.between.waiting()] == ["CN=rogue"]


def test_a_ca_that_is_registered_itself_is_between_nobody(partners: Partners, store: Store, root: pki.Issued) -> None:
    counting(partners, root, Terms(depth=1))
    sub = pki.ca("acme sub", parent=root)
    claimed = partners.anchors.claim("acme", sub.pem).anchor
    leaf = pki.leaf(sub, "api")
    partners.anchors.approve("acme", claimed.id, without_proof=True)
    assert show(store, leaf, sub) == []
    partners.add_intermediate("acme", sub.pem)
    assert partners.between.of("acme") == []
    with pytest.raises(Conflict, match="this is the CA 2 of the partner 'acme' itself, active: it is below no other"):
        partners.between.allow("acme", key(sub))
    # A claim does not count, so it ends no path.
    other = pki.ca("acme other", parent=root)
    partners.anchors.claim("acme", other.pem)
    assert len(show(store, pki.leaf(other, "api"), other)) == 1
    assert [one.seen.subject for one in partners.between.of("acme")] == ["CN=acme other"]
    # Nor is one that is claimed after it was seen, or was retired.
    claimed = partners.anchors.list("acme")[-1]
    partners.anchors.approve("acme", claimed.id, without_proof=True)
    assert partners.between.of("acme") == []
    partners.anchors.retire("acme", claimed.id)
    assert partners.between.of("acme") == []
    assert show(store, pki.leaf(other, "api"), other) == []
    with pytest.raises(Conflict, match=r"itself, retired: .*claim it anew: mutualgate partner ca add acme FILE"):
        partners.between.allow("acme", key(other))
