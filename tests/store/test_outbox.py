"""Letters in the store: which is due, what is kept of them, what is forgotten."""

import sqlite3
import sqlite3.dbapi2
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Hands
from rows import AT

from mutualgate.model.letter import LetterKind, LetterState
from mutualgate.store import Store

MAIL, HOOK = LetterKind.MAIL, LetterKind.WEBHOOK
HOUR = timedelta(hours=1)


def test_the_one_that_waited_longest_is_due(store: Store) -> None:
    with store.transaction() as tx:
        late = tx.outbox.add(MAIL, "a@b", "late", "text", None, AT + HOUR)
        early = tx.outbox.add(HOOK, "a@b", "early", "text", None, AT)
        assert late is not None
        assert early is not None
        assert tx.outbox.due(AT - HOUR, 9 * HOUR) is None
        due = tx.outbox.due(AT + HOUR, HOUR)
        assert due is not None
        assert due.id == early
        without = tx.outbox.due(AT + HOUR, HOUR, [HOOK])
        assert without is not None
        assert without.id == late
        assert tx.outbox.due(AT, HOUR, [HOOK]) is None
        tx.outbox.try_(early, AT + 2 * HOUR)
        assert tx.outbox.due(AT, 2 * HOUR) is None
        assert tx.outbox.due(AT - HOUR, HOUR) is not None, "the clock was set back"


def test_what_a_letter_said_is_gone_from_the_file(
    tmp_path: Path, clock: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have held a link, of which the store has a hash only."""
    connect = sqlite3.dbapi2.connect

    def leaves_it(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        """As where SQLite was built without -DSQLITE_SECURE_DELETE."""
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", leaves_it)
    store = Store.open(tmp_path / "store.sqlite3", clock)
    for size in (1, 9_000):  # pages of its own, too
        with store.transaction() as tx:
            letter = tx.outbox.add(MAIL, "a@b", "Hello", f"the link {'x' * size} secret-token", None, AT)
        with store.transaction() as tx:
            assert letter is not None
            tx.outbox.sent(letter, AT)
    store.close()
    assert b"secret-token" not in store.path.read_bytes()


def test_a_letter_and_its_states(store: Store) -> None:
    with store.transaction() as tx:
        letter = tx.outbox.add(MAIL, "a@b", "Hello", "a link", "once", AT)
        assert letter is not None
        waiting = tx.outbox.get(letter)
        assert waiting is not None
        assert (waiting.state, waiting.body, waiting.once) == (LetterState.WAITING, "a link", "once")
        assert "a link" not in repr(waiting)
        tx.outbox.failed(letter, "broke", None)
        assert [one.state for one in tx.outbox.list(LetterState.DEAD)] == [LetterState.DEAD]
        tx.outbox.revive(letter, AT)
        tx.outbox.sent(letter, AT + HOUR)
        sent = tx.outbox.get(letter)
        assert sent is not None
        assert (sent.state, sent.body, sent.error, sent.sent) == (LetterState.SENT, "", "", AT + HOUR)
        assert tx.outbox.list(LetterState.WAITING) == tx.outbox.list(LetterState.DEAD) == []
        assert tx.outbox.get(99) is None


def test_counts(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.outbox.count().waiting == 0
        ids = [tx.outbox.add(MAIL, "a@b", "x", "y", None, AT + number * HOUR) for number in range(4)]
        sent, dead, failed, _ = (number for number in ids if number is not None)
        tx.outbox.sent(sent, AT)
        tx.outbox.failed(dead, "no such user", None)
        tx.outbox.failed(failed, "busy", AT + HOUR)
        count = tx.outbox.count()
    assert (count.waiting, count.dead, count.oldest, count.error) == (2, 1, AT + 2 * HOUR, "busy")


def test_what_waits_is_never_forgotten(store: Store) -> None:
    with store.transaction() as tx:
        waiting = tx.outbox.add(MAIL, "a@b", "x", "y", "1", AT)
        dead = tx.outbox.add(MAIL, "a@b", "x", "y", "2", AT)
        sent = tx.outbox.add(MAIL, "a@b", "x", "y", "3", AT)
        assert dead is not None
        assert sent is not None
        tx.outbox.failed(dead, "no", None)
        tx.outbox.sent(sent, AT)
        tx.outbox.prune(forgotten=AT, wiped=AT + HOUR)
        assert [(one.id, one.body) for one in tx.outbox.list()] == [(sent, ""), (dead, ""), (waiting, "y")]
        tx.outbox.prune(forgotten=AT + HOUR, wiped=AT + HOUR)
        assert [one.id for one in tx.outbox.list()] == [waiting]
