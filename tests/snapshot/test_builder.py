import itertools
import tempfile
from pathlib import Path

import mirror
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import AT, authority, client, credential

from mutualgate.clock import system_clock
from mutualgate.model import (
    Admits,
    Authority,
    AuthorityKind,
    Client,
    ClientState,
    Credential,
    Revocation,
    RevocationReason,
    Role,
)
from mutualgate.snapshot import build, delta
from mutualgate.snapshot.records import Batch, RouteRecord, SiteRecord
from mutualgate.store import Store, Transaction

SITES = [SiteRecord("main", ["localhost"], "required", "page", [RouteRecord("/", "required", ["ops"], [], 0)])]


def test_the_judge_is_told_what_it_needs_and_no_more(store: Store) -> None:
    with store.transaction() as tx:
        root = authority(tx, "root", AuthorityKind.ROOT)
        issuing = authority(tx, "issuing")
        estate = client(tx, "estate")
        adopted = authority(tx, "acme", AuthorityKind.ADOPTED, Admits.SIGNED, estate.id)
        anna, gone = client(tx, "anna", "ops", "admin"), client(tx, "gone")
        hers, lost = credential(tx, anna, issuing), credential(tx, gone, issuing)
        tx.clients.set_state(anna.id, ClientState.SUSPENDED)
        tx.clients.set_state(gone.id, ClientState.GONE)
        tx.revocations.put(Revocation(issuing.id, lost.serial, AT, RevocationReason.cessationOfOperation))
        tx.revocations.put(Revocation(root.id, b"\x01", AT, RevocationReason.superseded))
    told = mirror.of(build(store, SITES))
    assert told.epoch == store.epoch()
    assert told.sites == SITES
    assert {one.name: (one.admits, one.estate) for one in told.authorities.values()} == {
        "issuing": ("issued", None),
        "acme": ("signed", estate.id),
    }  # our root vouches for no client
    assert told.authorities[adopted.id].certificate == adopted.certificate
    assert {one.name: (one.roles, one.suspended) for one in told.clients.values()} == {
        "estate": ([], False),
        "anna": (["admin", "ops"], True),
    }
    assert [(one.id, one.client, one.authority) for one in told.credentials.values()] == [
        (hers.id, anna.id, issuing.id)
    ]
    assert [(one.authority, one.serial, one.at, one.reason) for one in told.revocations.values()] == [
        (issuing.id, lost.serial, 1777896000, 5)
    ]


def test_batches_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.snapshot.builder.BATCH_RECORDS", 7)
    with store.transaction() as tx:
        issuing = authority(tx)
        for number in range(30):
            credential(tx, client(tx, f"c{number}", "a"), issuing)
        tx.revocations.add_many(issuing.id, [(bytes([n]), AT, RevocationReason.superseded) for n in range(1, 50)])
    batches = [msgspec.msgpack.decode(data, type=Batch) for data in build(store, SITES)]
    for batch in batches:
        assert len(batch.clients) + len(batch.credentials) + len(batch.revocations) + len(batch.authorities) <= 7
    assert [batch.epoch for batch in batches[:-1]] == [None] * (len(batches) - 1)
    told = mirror.of(build(store, SITES))
    assert (len(told.clients), len(told.credentials), len(told.revocations)) == (30, 30, 49)


def test_a_build_is_one_state_although_the_store_moves_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.snapshot.builder.BATCH_RECORDS", 2)
    with store.transaction() as tx:
        for number in range(6):
            client(tx, f"c{number}")
    batches = build(store, SITES)
    first = next(batches)
    with store.transaction() as tx:
        late = client(tx, "late")
        credential(tx, late, authority(tx))
    told = mirror.of(itertools.chain([first], batches))
    assert (told.epoch, len(told.clients), len(told.credentials)) == (6, 6, 0)


def test_a_delta_names_only_what_changed(store: Store) -> None:
    with store.transaction() as tx:
        issuing = authority(tx)
        for number in range(20):
            credential(tx, client(tx, f"c{number}"), issuing)
    before = store.epoch()
    with store.transaction() as tx:
        one = tx.clients.page(limit=1)[0]
        tx.clients.set_state(one.id, ClientState.SUSPENDED)
    data = delta(store, before)
    assert data is not None
    batch = msgspec.msgpack.decode(data, type=Batch)
    assert [entry.id for entry in batch.clients] == [one.id]
    assert (batch.credentials, batch.authorities, batch.revocations, batch.sites) == ([], [], [], None)
    assert batch.epoch == before + 1


def test_sites_are_replaced_when_they_are_given(store: Store) -> None:
    told = mirror.of(build(store, SITES))
    other = [SiteRecord("other", ["b.example"], "off", "page", [])]
    data = delta(store, told.epoch, other)
    assert data is not None
    told.apply(data)
    assert told.sites == other


def test_a_bulk_change_asks_for_a_new_build(store: Store) -> None:
    with store.transaction() as tx:
        issuing = authority(tx)
    before = store.epoch()
    with store.transaction() as tx:
        entries = ((n.to_bytes(3, "big").lstrip(b"\0"), AT, RevocationReason.unspecified) for n in range(1, 20_000))
        tx.revocations.add_many(issuing.id, entries)
    assert delta(store, before) is None
    assert delta(store, store.epoch()) is not None
    assert len(mirror.of(build(store, SITES)).revocations) == 19_999


class _World:
    """Random changes to a store, each in a transaction of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clients: list[Client] = []
        self.anchors: list[Authority] = []
        self.credentials: list[Credential] = []
        self.number = 0
        with store.transaction() as tx:
            self.root = authority(tx, "root", AuthorityKind.ROOT)

    def do(self, action: int, pick: int) -> None:
        self.number += 1
        with self.store.transaction() as tx:
            getattr(self, _ACTIONS[action])(tx, pick)

    def add_client(self, tx: Transaction, pick: int) -> None:
        self.clients.append(client(tx, f"c{self.number}", f"r{pick % 3}"))

    def add_authority(self, tx: Transaction, pick: int) -> None:
        estate = client(tx, f"estate{self.number}") if pick % 2 else None
        kind, admits = (AuthorityKind.ADOPTED, Admits.SIGNED) if estate else (AuthorityKind.ISSUING, Admits.ISSUED)
        self.anchors.append(authority(tx, f"a{self.number}", kind, admits, estate.id if estate else None))

    def add_credential(self, tx: Transaction, pick: int) -> None:
        if self.clients and self.anchors:
            owner, by = self.clients[pick % len(self.clients)], self.anchors[pick % len(self.anchors)]
            self.credentials.append(credential(tx, owner, by))

    def revoke(self, tx: Transaction, pick: int) -> None:
        if self.credentials:
            one = self.credentials[pick % len(self.credentials)]
            tx.revocations.put(Revocation(one.authority, one.serial, AT, RevocationReason.certificateHold))
        tx.revocations.put(Revocation(self.root.id, b"\x05", AT, RevocationReason.superseded))

    def lift(self, tx: Transaction, pick: int) -> None:
        if self.credentials:
            one = self.credentials[pick % len(self.credentials)]
            tx.revocations.lift(one.authority, one.serial)

    def move(self, tx: Transaction, pick: int) -> None:
        if self.clients:
            one = self.clients[pick % len(self.clients)]
            now = tx.clients.get(one.id)
            if now is not None and now.state is not ClientState.GONE:
                tx.clients.set_state(one.id, (ClientState.SUSPENDED, ClientState.ACTIVE, ClientState.GONE)[pick % 3])

    def roles(self, tx: Transaction, pick: int) -> None:
        if self.clients:
            tx.clients.set_roles(self.clients[pick % len(self.clients)].id, [Role(f"r{pick}")])

    def admits(self, tx: Transaction, pick: int) -> None:
        if self.anchors:
            tx.authorities.set_admits(self.anchors[pick % len(self.anchors)].id, Admits.LISTED, None)


_ACTIONS = ("add_client", "add_authority", "add_credential", "revoke", "lift", "move", "roles", "admits")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(_ACTIONS) - 1), st.integers(0, 50), st.booleans()), min_size=1, max_size=40)
)
def test_deltas_lead_to_what_a_build_gives(steps: list[tuple[int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store.sqlite3", system_clock)
        world = _World(store)
        followed = mirror.of(build(store, SITES))
        for action, pick, look in steps:
            world.do(action, pick)
            if look:
                data = delta(store, followed.epoch)
                assert data is not None
                followed.apply(data)
                followed.whole()
        data = delta(store, followed.epoch)
        assert data is not None
        followed.apply(data)
        assert followed == mirror.of(build(store, SITES))
        store.close()
