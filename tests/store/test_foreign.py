"""What partners' CAs revoked, as the store keeps it and as the judge is told."""

from dataclasses import replace
from datetime import timedelta

from rows import AT, claim, partner, plan, statements

from mutualgate.model.change import ChangeKind
from mutualgate.model.foreign import ForeignList, OcspStatus, SourceKind, SourceState
from mutualgate.model.partner import Anchor
from mutualgate.store import Store, Transaction

DAY = timedelta(days=1)
SECONDS = int(AT.timestamp())


def anchor(tx: Transaction, text: str = "ca") -> Anchor:
    return tx.anchors.add(claim(partner(tx, text), text), text.encode().ljust(32))


def crl(of: Anchor, scope: str = "", number: int = 7, entries: int = 0) -> ForeignList:
    return ForeignList(of.id, scope, number, number, AT, AT + DAY, entries, b"d" * 32, AT)


def noted(store: Store, since: int) -> list[tuple[ChangeKind, str]]:
    with store.reading() as tx:
        found = tx.changes.since(since)
        assert found is not None
        return [(one.kind, one.key) for one in found]


def test_sources_are_kept_and_due(store: Store) -> None:
    with store.transaction() as tx:
        ca = anchor(tx)
        learned = tx.foreign.add_source(ca.id, SourceKind.CRL, "http://a/", SourceState.LEARNED, False, AT)
        approved = tx.foreign.add_source(ca.id, SourceKind.CRL, "http://b/", SourceState.APPROVED, True, AT)
        assert tx.foreign.due_sources(AT + DAY, DAY, 10) == [approved], "what was only learned is never due"
        later = replace(
            approved, next_fetch=AT + DAY, failures=2, error="no answer", etag='"x"', modified="Mon", fetched=AT
        )
        tx.foreign.set_source(later)
        assert tx.foreign.due_sources(AT, DAY, 10) == []
        assert tx.foreign.due_sources(AT - DAY, DAY, 10) == [later], "the clock was set back"
        assert tx.foreign.source(approved.id) == tx.foreign.source_at(ca.id, "http://b/") == later
        assert tx.foreign.sources_of(ca.id) == [learned, later]
        assert tx.foreign.sources(SourceKind.OCSP) == []
        tx.foreign.remove_source(learned.id)
        assert tx.foreign.source(learned.id) is None


def test_a_list_takes_the_place_of_the_one_before(store: Store) -> None:
    with store.transaction() as tx:
        ca = anchor(tx)
        epoch = tx.changes.epoch()
        tx.foreign.put_list(crl(ca, number=2**150))
        tx.foreign.put_list(crl(ca, "http://a/1", 3))
        tx.foreign.put_list(crl(ca, number=2**150 + 1))
        assert [(one.scope, one.number) for one in tx.foreign.lists_of(ca.id)] == [("", 2**150 + 1), ("http://a/1", 3)]
        assert tx.foreign.list_of(ca.id, "http://a/1") == crl(ca, "http://a/1", 3)
        assert tx.foreign.all_lists() == tx.foreign.lists_of(ca.id)
    assert noted(store, epoch) == [(ChangeKind.ANCHOR, str(ca.id))] * 3


def test_numbers_change_and_each_change_is_told(store: Store) -> None:
    with store.transaction() as tx:
        ca = anchor(tx)
        tx.foreign.change(ca.id, "", [], [(b"\2", SECONDS, 1), (b"\1", SECONDS, 0), (b"\3", SECONDS, 0)])
        epoch = tx.changes.epoch()
    with store.transaction() as tx:
        tx.foreign.change(ca.id, "", [b"\1"], [(b"\4", SECONDS, 5)])
        assert [one[0] for one in tx.foreign.entries_of(ca.id, "", 2)] == [b"\2", b"\3", b"\4"]
        assert tx.foreign.count(ca.id) == 3
        found = tx.foreign.find(ca.id, b"\4")
        assert found is not None
        assert (found.at, found.reason) == (AT, 5)
        assert tx.foreign.find(ca.id, b"\1") is None
    assert noted(store, epoch) == [(ChangeKind.FOREIGN, f"{ca.id}:01"), (ChangeKind.FOREIGN, f"{ca.id}:04")]


def test_a_list_takes_back_only_its_own_word(store: Store) -> None:
    with store.transaction() as tx:
        ca, other = anchor(tx), anchor(tx, "other")
        tx.foreign.change(ca.id, "", [], [(b"\1", SECONDS + 9, 1)])
        tx.foreign.change(ca.id, "http://a/", [], [(b"\1", SECONDS, 4)])
        tx.foreign.change(other.id, "", [], [(b"\1", SECONDS, 0)])
        assert tx.foreign.plain([(ca.id, b"\1"), (ca.id, b"\2")]) == [(ca.id, b"\1", SECONDS, 4)]
        tx.foreign.forget(ca.id, "http://a/")
        assert tx.foreign.plain([(ca.id, b"\1")]) == [(ca.id, b"\1", SECONDS + 9, 1)]
        tx.foreign.forget(ca.id, "")
        assert tx.foreign.plain([(ca.id, b"\1")]) == []
        assert tx.foreign.find(other.id, b"\1") is not None


def test_the_judge_is_told_each_number_once(store: Store) -> None:
    with store.transaction() as tx:
        ca, other = anchor(tx), anchor(tx, "other")
        for number in range(1, 6):
            tx.foreign.change(ca.id, "", [], [(bytes([number]), SECONDS + 1, 0)])
            tx.foreign.change(ca.id, "http://a/", [], [(bytes([number]), SECONDS, 1)])
        tx.foreign.change(other.id, "", [], [(b"\1", SECONDS, 0)])
        for size in (1, 2, 3, 100):
            walked = [one for part in tx.foreign.walk_plain(size) for one in part]
            assert walked == [(ca.id, bytes([n]), SECONDS, 1) for n in range(1, 6)] + [(other.id, b"\1", SECONDS, 0)]


def test_few_numbers_are_asked_for_by_the_whole_of_their_keys(store: Store) -> None:
    """A CA may have revoked a million: those beside them must not be read."""
    with store.transaction() as tx, statements(store) as told:
        tx.foreign.plain([(1, b"\1"), (1, b"\2")])
        assert any("PRIMARY KEY (anchor=? AND serial=?)" in step for step in plan(tx, told[-1])), plan(tx, told[-1])


def test_answers_become_lists_of_one_certificate(store: Store) -> None:
    with store.transaction() as tx:
        ca = anchor(tx)
        assert tx.foreign.want(ca.id, b"\xab", AT, AT + 9 * DAY)
        assert not tx.foreign.want(ca.id, b"\xab", AT, AT + 9 * DAY)
        assert tx.foreign.want(ca.id, b"\xcd", AT, AT + 5 * DAY)
        assert tx.foreign.anchors_to_ask(AT, DAY, 10) == [ca.id]
        assert len(tx.foreign.due_answers(ca.id, AT, DAY, 1)) == 1
        wanted, _ = tx.foreign.due_answers(ca.id, AT, DAY, 10)
        assert wanted.status is OcspStatus.WANTED
        tx.foreign.put_answer(
            replace(wanted, status=OcspStatus.GOOD, this_update=AT, next_update=AT + DAY, next_ask=AT + DAY)
        )
        assert [one.serial for one in tx.foreign.due_answers(ca.id, AT, DAY, 10)] == [b"\xcd"]
        assert [one.serial for one in tx.foreign.due_answers(ca.id, AT - DAY, DAY, 10)] == [b"\xab"], "set back"
        tx.foreign.put_list(crl(ca))
        assert tx.foreign.plain_lists([ca.id, 99]) == {
            ca.id: [("", SECONDS, SECONDS + 86_400), ("ocsp:ab", SECONDS, SECONDS + 86_400)]
        }
        assert tx.foreign.count_answers(ca.id) == {OcspStatus.GOOD: 1, OcspStatus.WANTED: 1}
        unknown = tx.foreign.answer(ca.id, b"\xab")
        assert unknown is not None
        tx.foreign.put_answer(replace(unknown, status=OcspStatus.UNKNOWN))
        assert [scope for scope, _, _ in tx.foreign.plain_lists([ca.id])[ca.id]] == [""]
        tx.foreign.change(ca.id, "ocsp", [], [(b"\xcd", SECONDS, 0)])
        tx.foreign.forget_ended(AT + 6 * DAY)
        assert [one.serial for one in tx.foreign.answers_of(ca.id)] == [b"\xab"], "it ended"
        assert tx.foreign.find(ca.id, b"\xcd") is None
