import hashlib
import itertools
import tempfile
from collections.abc import Sized
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import mirror
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import AT, adopted, authority, claim, client, credential, invitation, partner, pin, statements

from mutualgate.clock import system_clock
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Credential
from mutualgate.model.foreign import ForeignList, OcspAnswer, OcspStatus
from mutualgate.model.names import Role
from mutualgate.model.partner import Anchor, AnchorState, Member, MemberState, Partner, PartnerState, RuleKind
from mutualgate.model.pin import Pin, PinKind, PinState
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.snapshot import build, delta, delta_of_sites
from mutualgate.snapshot.records import (
    AnchorRecord,
    Batch,
    ForeignRecord,
    ListRecord,
    MemberRecord,
    PartnerRecord,
    PinRecord,
    RouteRecord,
    RuleRecord,
    SiteRecord,
)
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


def test_thousands_of_adopted_authorities_are_not_asked_about_one_by_one(store: Store) -> None:
    def asked(many: int) -> int:
        adopted(store, many)
        with statements(store) as told:
            list(build(store, SITES))
        return len(told)

    assert asked(1) == asked(30)


SECONDS = 1777896000
"""`AT` in Unix seconds."""


def list_of(anchor: int, scope: str = "") -> ForeignList:
    return ForeignList(anchor, scope, 7, 7, AT, AT + timedelta(hours=1), 2, b"\0" * 32, AT)


def claimed(tx: Transaction, of: Partner, text: str = "ca", **changed: Any) -> Anchor:
    one = replace(claim(of, text), **changed)
    return tx.anchors.add(one, hashlib.sha256(text.encode()).digest())


def test_the_judge_is_told_what_clients_and_partners_brought(store: Store) -> None:
    with store.transaction() as tx:
        anna, gone = client(tx, "anna"), client(tx, "gone")
        whole, key = pin(tx, anna.id, "whole"), pin(tx, anna.id, "key", PinKind.KEY)
        retired, removed = pin(tx, anna.id, "retired"), pin(tx, anna.id, "removed")
        pin(tx, gone.id, "lost")
        tx.pins.set(retired.id, state=PinState.RETIRED, retired=AT)
        tx.pins.set(removed.id, state=PinState.REMOVED, retired=AT)
        acme, left = partner(tx), partner(tx, "left")
        active = claimed(tx, acme)
        retiring = claimed(tx, acme, "old", state=AnchorState.RETIRING, retire_at=AT + timedelta(days=1))
        for text, state in (("wanted", AnchorState.PENDING), ("former", AnchorState.RETIRED)):
            claimed(tx, acme, text, state=state, activated=None)
        claimed(tx, left, "of somebody who left")
        tx.partners.add_rule(acme.id, RuleKind.DNS, "*.acme.example", None, AT)
        tx.partners.add_rule(acme.id, RuleKind.DN, "CN=api", active.id, AT)
        tx.partners.add_intermediate(acme.id, b"\1" * 32, b"\2" * 32, b"helper", AT)
        for name, owner, membership in (
            ("dns:a.acme.example", anna.id, MemberState.ACTIVE),
            ("dns:b.acme.example", anna.id, MemberState.PENDING),
            ("dns:c.acme.example", None, MemberState.ACTIVE),
            ("dns:d.acme.example", gone.id, MemberState.ACTIVE),
        ):
            tx.members.put(Member(acme.id, name, owner, membership, AT))
        tx.foreign.put_list(list_of(active.id))
        tx.foreign.change(active.id, "", [], [(b"\7", SECONDS, 1), (b"\x08", SECONDS, 0)])
        tx.foreign.want(active.id, b"\x09", AT, AT + timedelta(days=1))
        tx.foreign.put_answer(OcspAnswer(active.id, b"\x09", OcspStatus.GOOD, AT, AT + timedelta(hours=2), AT, 0, ""))
        tx.clients.set_state(gone.id, ClientState.GONE)
        tx.partners.set(replace(left, state=PartnerState.GONE))
    told = mirror.of(build(store, SITES))
    year = (AT.replace(year=2027) - AT) // timedelta(seconds=1)
    assert sorted(told.pins.values(), key=lambda one: one.id) == [
        PinRecord(one.kind, one.digest, one.id, anna.id, SECONDS, SECONDS + year, one is retired, "")
        for one in (whole, key, retired)
    ]
    assert told.partners == {
        acme.id: PartnerRecord(
            acme.id,
            "acme",
            "rule",
            acme.client,
            False,
            [RuleRecord("dns", "*.acme.example", None), RuleRecord("dn", "CN=api", active.id)],
            [b"helper"],
        )
    }
    day = 86400
    lists = [ListRecord("", SECONDS, SECONDS + 3600), ListRecord("ocsp:09", SECONDS, SECONDS + 7200)]
    shown = ("test", "grace", day, 90 * day)
    keys = [b"\1" * 32, b"\2" * 32]
    assert told.anchors == {
        active.id: AnchorRecord(
            active.id, acme.id, b"ca", SECONDS, SECONDS + 102 * day, False, 0, keys, *shown, lists, "1.2.3.4", True
        ),  # until its certificate ends, and two days of grace (R8)
        retiring.id: AnchorRecord(
            retiring.id, acme.id, b"old", SECONDS, SECONDS + day, False, 0, keys, *shown, [], "1.2.3.4", True
        ),
    }
    assert list(told.members.values()) == [MemberRecord(acme.id, "dns:a.acme.example", anna.id)]
    assert list(told.foreign.values()) == [
        ForeignRecord(active.id, b"\7", SECONDS, 1),
        ForeignRecord(active.id, b"\x08", SECONDS, 0),
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
    with store.transaction() as tx:
        epoch = tx.changes.note(ChangeKind.SITES, "")
    told.apply(delta_of_sites(epoch, SITES))
    assert (told.sites, told.epoch) == (SITES, store.epoch())


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


def test_what_goes_is_taken_away(store: Store) -> None:
    with store.transaction() as tx:
        anna, bert = client(tx, "anna"), client(tx, "bert")
        pins = [pin(tx, anna.id, "one"), pin(tx, bert.id, "two", PinKind.KEY), pin(tx, bert.id, "three")]
        acme, left = partner(tx), partner(tx, "left")
        cas = [claimed(tx, acme), claimed(tx, left, "other")]
        for number, owner in enumerate((anna, bert, bert)):
            tx.members.put(Member(acme.id, f"dns:{number}.example", owner.id, MemberState.ACTIVE, AT))
        tx.members.put(Member(left.id, "dns:0.example", anna.id, MemberState.ACTIVE, AT))
        tx.foreign.put_list(list_of(cas[0].id))
        tx.foreign.change(cas[0].id, "", [], [(b"\7", SECONDS, 1), (b"\x08", SECONDS, 0)])
    followed = mirror.of(build(store, SITES))

    def follow(*counts: int) -> None:
        data = delta(store, followed.epoch)
        assert data is not None
        followed.apply(data)
        assert followed == mirror.of(build(store, SITES))
        kinds: list[Sized] = [followed.pins, followed.partners, followed.anchors, followed.members]
        assert tuple(len(kind) for kind in (*kinds, followed.foreign)) == counts

    with store.transaction() as tx:
        tx.foreign.change(cas[0].id, "", [b"\7"], [])
    follow(3, 2, 2, 4, 1)
    with store.transaction() as tx:
        tx.pins.set(pins[0].id, state=PinState.REMOVED, retired=AT)
    follow(2, 2, 2, 4, 1)
    with store.transaction() as tx:
        tx.members.remove(acme.id, "dns:0.example")
    follow(2, 2, 2, 3, 1)
    with store.transaction() as tx:
        tx.clients.set_state(bert.id, ClientState.GONE)
    follow(0, 2, 2, 1, 1)
    with store.transaction() as tx:
        tx.anchors.set(replace(cas[0], state=AnchorState.RETIRED))
    follow(0, 2, 2, 1, 1)  # paths still end there
    with store.transaction() as tx:
        tx.partners.set(replace(left, state=PartnerState.GONE))
    follow(0, 1, 1, 1, 1)  # its clients are kept: what they are inside comes back with it, or is asked by nobody
    with store.transaction() as tx:
        tx.foreign.forget(cas[0].id, "")
    follow(0, 1, 1, 1, 0)


class _World:
    """Random changes to a store, each in a transaction of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clients: list[Client] = []
        self.anchors: list[Authority] = []
        self.credentials: list[Credential] = []
        self.pins: list[Pin] = []
        self.partners: list[Partner] = []
        self.cas: list[Anchor] = []
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

    def add_pin(self, tx: Transaction, pick: int) -> None:
        owner = self._there(tx, pick)
        if owner is not None:
            kind = PinKind.KEY if pick % 2 else PinKind.CERTIFICATE
            self.pins.append(pin(tx, owner.id, f"p{self.number}", kind))

    def move_pin(self, tx: Transaction, pick: int) -> None:
        if self.pins:
            one = self.pins[pick % len(self.pins)]
            tx.pins.set(one.id, state=tuple(PinState)[pick % 3], retired=None)

    def add_partner(self, tx: Transaction, pick: int) -> None:
        self.partners.append(partner(tx, f"p{self.number}"))

    def guest(self, tx: Transaction, pick: int) -> None:
        one, who = self._partner(tx, pick), self._there(tx, pick // 3)
        if one is not None and who is not None:
            invitation(tx, who.id, one.id, self.number)

    def leave(self, tx: Transaction, pick: int) -> None:
        one = self._partner(tx, pick)
        if one is not None:
            watch = tx.trust.watch()
            watch.changes("partner", one.id)
            watch.changes("client", one.client)
            tx.partners.set(replace(one, state=PartnerState.GONE))
            tx.clients.set_state(one.client, ClientState.GONE)
            tx.trust.record(AT, "test", "leave", watch)

    def come_back(self, tx: Transaction, _: int) -> None:
        last = tx.trust.last()
        if last is not None:
            tx.trust.undo(last.id, AT)

    def move_partner(self, tx: Transaction, pick: int) -> None:
        one = self._partner(tx, pick)
        if one is not None:
            tx.partners.set(replace(one, state=tuple(PartnerState)[pick % 3]))

    def rule(self, tx: Transaction, pick: int) -> None:
        one = self._partner(tx, pick)
        if one is not None:
            tx.partners.add_rule(one.id, RuleKind.DNS, f"a{self.number}.example", None, AT)
            tx.partners.add_intermediate(one.id, self.number.to_bytes(32, "big"), b"\2" * 32, b"helper", AT)

    def add_ca(self, tx: Transaction, pick: int) -> None:
        one = self._partner(tx, pick)
        if one is not None:
            self.cas.append(claimed(tx, one, f"ca{self.number}", state=tuple(AnchorState)[pick % 4]))

    def move_ca(self, tx: Transaction, pick: int) -> None:
        if self.cas:
            one = replace(self.cas[pick % len(self.cas)], state=tuple(AnchorState)[pick % 4])
            tx.anchors.set(one)

    def member(self, tx: Transaction, pick: int) -> None:
        one, who = self._partner(tx, pick), self._there(tx, pick)
        if one is not None and who is not None:
            name, state = f"dns:{pick % 4}.example", MemberState.PENDING if pick % 5 == 0 else MemberState.ACTIVE
            tx.members.put(Member(one.id, name, who.id, state, AT))

    def remove_member(self, tx: Transaction, pick: int) -> None:
        one = self._partner(tx, pick)
        if one is not None:
            tx.members.remove(one.id, f"dns:{pick % 4}.example")

    def foreign(self, tx: Transaction, pick: int) -> None:
        if self.cas:
            id = self.cas[pick % len(self.cas)].id
            scope = ("", "http://a.example/1.crl")[pick % 2]
            gone, new = bytes([1 + pick % 7]), bytes([1 + pick % 5])
            tx.foreign.put_list(list_of(id, scope))
            tx.foreign.change(id, scope, [gone, new], [(new, SECONDS + self.number, pick % 7)])

    def forget(self, tx: Transaction, pick: int) -> None:
        if self.cas:
            tx.foreign.forget(self.cas[pick % len(self.cas)].id, "")

    def _there(self, tx: Transaction, pick: int) -> Client | None:
        """A client that is not gone."""
        found = tx.clients.get(self.clients[pick % len(self.clients)].id) if self.clients else None
        return None if found is None or found.state is ClientState.GONE else found

    def _partner(self, tx: Transaction, pick: int) -> Partner | None:
        """A partner that is not gone."""
        found = tx.partners.get(self.partners[pick % len(self.partners)].id) if self.partners else None
        return None if found is None or found.state is PartnerState.GONE else found


_ACTIONS = (
    "add_client",
    "add_authority",
    "add_credential",
    "revoke",
    "lift",
    "move",
    "roles",
    "admits",
    "add_pin",
    "move_pin",
    "add_partner",
    "move_partner",
    "guest",
    "leave",
    "come_back",
    "rule",
    "add_ca",
    "move_ca",
    "member",
    "remove_member",
    "foreign",
    "forget",
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(_ACTIONS) - 1), st.integers(0, 50), st.booleans()), min_size=40, max_size=60)
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
