"""What may be anybody's is known as such. That the rest is judged the same, `tests/cli/test_trust.py` holds."""

import pytest
from rows import AT, authority, claim, client, credential, partner, pin, statements

from mutualgate.model.authority import Admits, AuthorityKind
from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.partner import Member, MemberState
from mutualgate.partners.names import name_hash
from mutualgate.snapshot import Concern, concern, concern_of
from mutualgate.snapshot.concern import MANY
from mutualgate.store import Store
from mutualgate.store.members import member_key
from mutualgate.store.revocations import key


def asked(store: Store, *changes: tuple[ChangeKind, str | int]) -> Concern | None:
    with store.reading() as tx:
        return concern([Change(1, kind, str(of)) for kind, of in changes], [tx])


def test_a_client_is_found_by_its_certificates_and_pins(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx)
        mine = credential(tx, anna, authority(tx), serial=b"\x07")
        own = pin(tx, anna.id)
    both, hers = {mine.fingerprint, own.digest}, {anna.id}
    assert asked(store, (ChangeKind.CLIENT, anna.id)) == Concern(both)
    assert asked(store, (ChangeKind.CREDENTIAL, mine.id), (ChangeKind.PIN, own.id)) == Concern(both, clients=hers)
    revoked = asked(store, (ChangeKind.REVOCATION, key(mine.authority, b"\x07")))
    assert revoked == Concern({mine.fingerprint}, clients=hers)
    assert asked(store) == Concern(set(), set())


def test_a_partner_is_found_by_the_names_of_its_cas(store: Store) -> None:
    with store.transaction() as tx:
        acme = partner(tx)
        ca = tx.anchors.add(claim(acme), b"n" * 32)
        tx.partners.add_intermediate(acme.id, b"f" * 32, b"h" * 32, b"helper", AT)
        anna = client(tx)
        tx.members.put(Member(acme.id, "dns:anna", anna.id, MemberState.ACTIVE, AT))
    names = {b"n" * 32, b"h" * 32}
    for kind, of in (
        (ChangeKind.PARTNER, acme.id),
        (ChangeKind.ANCHOR, ca.id),
        (ChangeKind.FOREIGN, key(ca.id, b"\x07")),
    ):
        assert asked(store, (kind, of)) == Concern(set(), names, partners={acme.id}), kind
    assert asked(store, (ChangeKind.CLIENT, acme.client)) == Concern(set(), names)
    # And one of its clients by its name there, however many there are.
    hers = {name_hash("dns:anna")}
    member = asked(store, (ChangeKind.MEMBER, member_key(acme.id, "dns:anna")))
    assert member == Concern(set(), hers, partners={acme.id}, clients={anna.id})
    assert asked(store, (ChangeKind.CLIENT, anna.id)) == Concern(set(), hers)


@pytest.mark.parametrize("kind", [ChangeKind.AUTHORITY, ChangeKind.SITES])
def test_what_is_over_everybody_concerns_everybody(store: Store, kind: ChangeKind) -> None:
    assert asked(store, (kind, 1)) is None
    assert concern(None, []) is None, "the feed does not reach back"


def test_who_stands_for_what_nobody_listed_may_be_anybody(store: Store) -> None:
    with store.transaction() as tx:
        estate = client(tx, "estate")
        old = authority(tx, "old", AuthorityKind.ADOPTED, Admits.SIGNED, estate.id)
        listed = credential(tx, client(tx), old, serial=b"\x07")
        own = credential(tx, client(tx, "ben"), authority(tx), "other", serial=b"\x08")
    assert asked(store, (ChangeKind.CLIENT, estate.id)) is None
    assert asked(store, (ChangeKind.REVOCATION, key(old.id, b"\x07"))) is None, "it may have given the number twice"
    assert asked(store, (ChangeKind.REVOCATION, key(own.authority, b"\x09"))) is None, "a CA's, it may be"
    assert asked(store, (ChangeKind.CREDENTIAL, listed.id)) == Concern({listed.fingerprint}, clients={listed.client})


def test_very_many_changes_are_not_looked_at_one_by_one(store: Store) -> None:
    assert asked(store, *[(ChangeKind.ANCHOR, number) for number in range(MANY)]) is not None
    assert asked(store, *[(ChangeKind.ANCHOR, number) for number in range(MANY + 1)]) is None
    assert asked(store, *[(ChangeKind.FOREIGN, key(1, number.to_bytes(2))) for number in range(MANY + 1)]) is not None


def test_very_many_clients_are_looked_at_together(store: Store) -> None:
    with store.transaction() as tx:
        anna = client(tx)
        mine = credential(tx, anna, authority(tx))
    with store.reading() as tx:
        with statements(store) as told:
            found = concern_of([*range(10_000, 10_400), anna.id], tx)
    assert found == Concern({mine.fingerprint}, set())
    assert len(told) < 10
