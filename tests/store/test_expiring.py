"""What ends and has no successor, along indexes."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import rows
from rows import AT
from sqlalchemy import insert, text

from mutualgate.model.certificate import CertificateFacts
from mutualgate.model.client import ClientState
from mutualgate.model.credential import Origin
from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.model.names import ClientName
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.store import Store, Transaction
from mutualgate.store import expiring as module
from mutualgate.store.schema import seen

DAY = timedelta(days=1)
WINDOW = (AT, AT + 30 * DAY)
CREDENTIAL, PIN, PARTNER = ExpiryKind.CREDENTIAL, ExpiryKind.PIN, ExpiryKind.PARTNER_CERTIFICATE


def facts(name: str, ends: datetime, key: str = "") -> CertificateFacts:
    number = next(rows._counter)
    return CertificateFacts(
        der=f"{name} {number}".encode(),
        serial=number.to_bytes(4, "big").lstrip(b"\0"),
        fingerprint=hashlib.sha256(f"{name} {number}".encode()).digest(),
        spki=hashlib.sha256((key or f"{name} {number}").encode()).digest(),
        not_before=AT - 300 * DAY,
        not_after=ends,
    )


def names(store: Store, kind: ExpiryKind = CREDENTIAL) -> list[str]:
    with store.reading() as tx:
        return [one.name for one in tx.expiring.find(kind, WINDOW, 100)]


def revoke(tx: Transaction, id: int, reason: RevocationReason = RevocationReason.unspecified) -> None:
    one = tx.credentials.get_many([id])[id]
    tx.revocations.put(Revocation(one.authority, one.serial, AT, reason))


Issue = Callable[..., int]


@pytest.fixture
def issue(store: Store) -> Issue:
    with store.transaction() as tx:
        by = rows.authority(tx)

    def issue(name: str, days: float, key: str = "", replaces: int | None = None) -> int:
        with store.transaction() as tx:
            owner = tx.clients.find(ClientName(name)) or rows.client(tx, name)
            return tx.credentials.add(
                owner,
                authority=by.id,
                certificate_facts=facts(name, AT + days * DAY, key),
                origin=Origin.ISSUED,
                at=AT,
                replaces=replaces,
            ).id

    return issue


def test_the_next_to_end_comes_first(store: Store, issue: Issue) -> None:
    for name, days in (("late", 29), ("soon", 1), ("beyond", 30), ("over", -1)):
        issue(name, days)
    assert names(store) == ["soon", "late"]
    with store.reading() as tx:
        assert [one.name for one in tx.expiring.find(CREDENTIAL, WINDOW, 1)] == ["soon"]
        (one,) = tx.expiring.find(CREDENTIAL, (AT, AT + 2 * DAY), 9)
        assert (one.ends, one.begins) == (AT + DAY, AT - 300 * DAY)
        nearest, counts = tx.expiring.count(CREDENTIAL, WINDOW, [AT + 30 * DAY, AT + 7 * DAY, AT + DAY])
    assert (nearest, counts) == (AT + DAY, [2, 1, 0])


def test_a_successor_silences(store: Store, issue: Issue) -> None:
    first = issue("renewed", 5)
    issue("renewed", 300, replaces=first)
    issue("same key", 5, key="k")
    issue("same key", 300, key="k")
    issue("two devices", 5)
    issue("two devices", 300)
    assert names(store) == ["two devices"], "another device's certificate is no successor"


@pytest.mark.parametrize("reason", [RevocationReason.keyCompromise, RevocationReason.certificateHold])
def test_what_was_revoked_is_no_successor(store: Store, issue: Issue, reason: RevocationReason) -> None:
    renewed, short = issue("renewed", 100), issue("shorter than its overlap", 5)
    issue("same key", 20, key="k")
    later = [issue("renewed", 300, replaces=renewed), issue("same key", 300, key="k")]
    later += [issue("shorter than its overlap", 300, replaces=short)]
    with store.transaction() as tx:
        tx.credentials.set_superseded(renewed, AT + 7 * DAY)
        tx.credentials.set_superseded(short, AT + 7 * DAY)
        assert tx.expiring.find(CREDENTIAL, WINDOW, 9) == []
        for one in later:
            revoke(tx, one, reason)
        found = [(one.name, one.ends) for one in tx.expiring.find(CREDENTIAL, WINDOW, 9)]
        assert found == [
            ("shorter than its overlap", AT + 5 * DAY),
            ("renewed", AT + 7 * DAY),
            ("same key", AT + 20 * DAY),
        ]
        assert tx.expiring.count(CREDENTIAL, WINDOW, [AT + 30 * DAY, AT + 6 * DAY]) == (AT + 5 * DAY, [3, 1])
        assert [one.name for one in tx.expiring.untold(CREDENTIAL, AT, [7], 9)] == [
            "shorter than its overlap",
            "renewed",
        ]
    issue("renewed", 200, replaces=renewed)
    assert names(store) == ["shorter than its overlap", "same key"], "another one renewed it"


def test_what_counts_no_more_is_not_told(store: Store, issue: Issue) -> None:
    revoked, gone, superseded = issue("revoked", 5), issue("gone", 5), issue("superseded", 5)
    issue("superseded", 300, replaces=superseded)
    with store.transaction() as tx:
        revoke(tx, revoked)
        owner = tx.clients.get(tx.credentials.get_many([gone])[gone].client)
        assert owner is not None
        tx.clients.set_state(owner.id, ClientState.GONE)
        tx.credentials.set_superseded(superseded, AT)
    assert names(store) == []


def test_pins(store: Store) -> None:
    with store.transaction() as tx:
        anna, ben = rows.client(tx, "anna"), rows.client(tx, "ben")
        old = rows.pin(tx, anna.id, "old")
        rows.pin(tx, ben.id, "own")
        end = old.not_after
    window = (end - DAY, end + DAY)
    with store.reading() as tx:
        assert [one.name for one in tx.expiring.find(PIN, window, 9)] == ["anna", "ben"]
    with store.transaction() as tx:
        by = rows.authority(tx)
        ours = tx.credentials.add(
            anna,
            authority=by.id,
            certificate_facts=facts("anna", AT + 300 * DAY),
            origin=Origin.ISSUED,
            at=AT,
            replaces_pin=old.id,
        )
        assert [one.name for one in tx.expiring.find(PIN, window, 9)] == ["ben"], "a certificate of ours renews it"
        revoke(tx, ours.id)
        assert [one.name for one in tx.expiring.find(PIN, window, 9)] == ["anna", "ben"]


def _see(tx: Transaction, client: int | None, subject: str, days: float, reason: str = "", by: str = "partner") -> None:
    tx.expiring._connection.execute(
        insert(seen).values(
            fingerprint=hashlib.sha256(f"{subject} {days} {reason} {by}".encode()).digest(),
            spki=None,
            chain=b"",
            site="main",
            path="/",
            first_at=AT,
            last_at=AT,
            count=1,
            reason=reason,
            client=client,
            credential=by,
            subject=subject,
            not_after=AT + days * DAY,
            peer="",
        )
    )


def test_certificates_under_partners(store: Store) -> None:
    with store.transaction() as tx:
        acme = rows.client(tx, "acme")
        _see(tx, acme.id, "CN=a", 5)
        _see(tx, acme.id, "CN=b", 6)
        _see(tx, acme.id, "CN=b", 300)
        _see(tx, acme.id, "CN=refused", 5, reason="name_not_permitted")
        _see(tx, None, "CN=stranger", 5)
        _see(tx, acme.id, "CN=pinned", 5, by="pin 7")
    with store.reading() as tx:
        assert [one.detail for one in tx.expiring.find(PARTNER, WINDOW, 9)] == ["CN=a"]


def test_what_was_told(store: Store) -> None:
    with store.transaction() as tx:
        tx.expiring.tell("credential:1:5", 30, AT)
        tx.expiring.tell("credential:1:5", 14, AT + DAY)
        tx.expiring.tell("pin:1:5", 7, AT)
        assert tx.expiring.told(["credential:1:5", "pin:1:5", "x"]) == {"credential:1:5": 14, "pin:1:5": 7}
        tx.expiring.forget(AT + DAY)
        assert tx.expiring.told(["credential:1:5", "pin:1:5"]) == {"credential:1:5": 14}


def test_what_nobody_was_told_of(store: Store, issue: Issue) -> None:
    issue("anna", 10)  # of 310 days
    with store.transaction() as tx:
        _see(tx, rows.client(tx, "acme").id, "CN=a", 100)  # begins now

        def untold(*days: int, kind: ExpiryKind = CREDENTIAL, at: datetime = AT) -> list[Expiring]:
            return tx.expiring.untold(kind, at, days, 9)

        (anna,) = untold(90, 30, 14)
        assert anna == tx.expiring.find(CREDENTIAL, WINDOW, 9)[0]
        assert untold(9) == [] == untold(10, at=AT - timedelta(microseconds=1)), "not so near yet"
        assert untold(10) == [anna]
        assert untold(10, at=AT + 10 * DAY) == [], "it is over"
        assert untold(155) == [anna]
        assert untold(156) == [], "more than half of its life"
        later = AT + 50 * DAY
        (partner,) = untold(90, 50, kind=PARTNER, at=later)
        assert untold(51, kind=PARTNER, at=later) == []
        for one in (anna, partner):
            tx.expiring.tell(one.item, 60, AT)
        assert untold(90, 30, 14) == [anna], "told of it when it was further away"
        for one, days in ((anna, 14), (partner, 50)):
            tx.expiring.tell(one.item, days, AT)
        assert untold(90, 30, 14) == [] == untold(90, 50, kind=PARTNER, at=later)
        assert untold(90, 30, 14, 10) == [anna]


@pytest.mark.parametrize("kind", list(module._QUERIES))
def test_each_query_goes_along_an_index(store: Store, kind: ExpiryKind) -> None:
    """With a hundred thousand clients it must not read them all."""
    with store.reading() as tx:
        query = module._QUERIES[kind](WINDOW).order_by("ends").limit(100)
        compiled = query.compile(tx.expiring._connection.engine, compile_kwargs={"literal_binds": True})
        plan = tx.expiring._connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()
    steps = [str(row[3]) for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step], steps
