"""What is put into the outbox is there with the change that it tells about, once, and only what can be sent."""

import json
from datetime import timedelta
from pathlib import Path

import post
import pytest
from conftest import Hands

from mutualgate import audit
from mutualgate.config import parse
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.letter import LetterKind, LetterState
from mutualgate.notices.outbox import Outbox
from mutualgate.store import Store

NONE = parse("")
WITH_MAIL = parse('[mail]\nserver = "127.0.0.1:25"\nsender = "gate@example.com"\n')


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store, lambda: WITH_MAIL.mail, lambda: WITH_MAIL.notices, "test")


def test_a_letter_is_there_if_the_change_is(store: Store, outbox: Outbox) -> None:
    with store.transaction() as tx:
        outbox.put(tx, "mail", "anna@example.com", "Hello", "text")

    def fails() -> None:
        with store.transaction() as tx:
            outbox.put(tx, LetterKind.MAIL, "ben@example.com", "Hello", "text")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    (letter,) = outbox.list()
    assert (letter.recipient, letter.state, letter.tries) == ("anna@example.com", LetterState.WAITING, 0)
    assert outbox.count().waiting == 1


def test_nothing_is_said_twice(store: Store, outbox: Outbox, clock: Hands) -> None:
    with store.transaction() as tx:
        first = outbox.put(tx, "mail", "anna@example.com", "Hello", "text", once="expiry:7:30")
        assert outbox.put(tx, "mail", "anna@example.com", "Hello", "text", once="expiry:7:30") is None
        assert outbox.put(tx, "mail", "anna@example.com", "Hello", "text", once="expiry:7:14") is not None
        assert outbox.put(tx, "mail", "anna@example.com", "Hello", "text") is not None
        assert outbox.put(tx, "mail", "anna@example.com", "Hello", "text") is not None
        assert first is not None
        tx.outbox.sent(first, clock())
    with store.transaction() as tx:  # nor after it was sent
        assert outbox.put(tx, "mail", "anna@example.com", "Hello", "text", once="expiry:7:30") is None
    assert len(outbox.list()) == 4


@pytest.mark.parametrize(
    ("recipient", "subject", "problem"),
    [
        ("anna@example.com\r\nBcc: x@example.com", "Hello", "no e-mail address"),
        ("anna@example.com, x@example.com", "Hello", "no e-mail address"),
        ("Anna <anna@example.com>", "Hello", "no e-mail address"),
        ("anna", "Hello", "no e-mail address"),
        ("", "Hello", "no e-mail address"),
        ("anna@example.com", "Hello\r\nBcc: x@example.com", "one printable line"),
        ("anna@example.com", "Hello\nX: y", "one printable line"),
        ("anna@example.com", "", "one printable line"),
        ("anna@example.com", "x" * 201, "one printable line"),
    ],
)
def test_what_cannot_be_sent_is_not_put(
    store: Store, outbox: Outbox, recipient: str, subject: str, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem) as error, store.transaction() as tx:
        outbox.put(tx, "mail", recipient, subject, "text")
    assert "\n" not in str(error.value)
    assert outbox.list() == []


def test_without_a_mail_server_there_are_no_letters(store: Store) -> None:
    none = Outbox(store, lambda: NONE.mail, lambda: NONE.notices)
    assert not none.sends_mail
    with pytest.raises(BadInput, match="no mail server is set"), store.transaction() as tx:
        none.put(tx, "mail", "anna@example.com", "Hello", "text")
    with store.transaction() as tx:
        assert none.tell(tx, "expiry", "Hello", "text", {}) == 0


def test_operators_are_told_each_way_once(store: Store, tmp_path: Path) -> None:
    notices = post.notices_config(tmp_path, "http://127.0.0.1:9/secret-path", '"ops@example.com", "boss@example.com"')
    outbox = Outbox(store, lambda: WITH_MAIL.mail, lambda: notices)
    with store.transaction() as tx:
        assert outbox.tell(tx, "expiry", "Two end", "They end.", {"count": 2}, once="expiry:2026") == 3
        assert outbox.tell(tx, "expiry", "Two end", "They end.", {"count": 2}, once="expiry:2026") == 0
    letters = outbox.list()
    assert {one.recipient for one in letters} == {"ops@example.com", "boss@example.com", "127.0.0.1:9"}
    (call,) = [one for one in letters if one.kind is LetterKind.WEBHOOK]
    said = json.loads(call.body)
    assert (said["event"], said["subject"], said["text"], said["facts"]) == (
        "expiry",
        "Two end",
        "They end.",
        {"count": 2},
    )
    assert said["at"] == "2026-06-01T12:00:00+00:00"
    assert len(said["id"]) == 32


def test_one_that_was_given_up_is_sent_again_on_request(store: Store, outbox: Outbox, clock: Hands) -> None:
    with store.transaction() as tx:
        letter = outbox.put(tx, "mail", "anna@example.com", "Hello", "text")
        assert letter is not None
        tx.outbox.try_(letter, clock())
    with pytest.raises(Conflict, match="is waiting"):
        outbox.retry(letter)
    with store.transaction() as tx:
        tx.outbox.failed(letter, "no such user", None)
    assert outbox.count().dead == 1
    assert outbox.count().error == "no such user"
    assert [one.id for one in outbox.list(LetterState.DEAD)] == [letter]
    again = outbox.retry(letter)
    assert (again.state, again.tries, again.error) == (LetterState.WAITING, 0, "")
    assert audit.recent(store, 1)[0].action == "notice.retry"
    with pytest.raises(NotFound, match="no letter 99"):
        outbox.retry(99)
    with store.transaction() as tx:
        tx.outbox.failed(letter, "no such user", None)
        tx.outbox.prune(forgotten=clock() - timedelta(days=1), wiped=clock() + timedelta(seconds=1))
    with pytest.raises(Conflict, match="its text is gone"):
        outbox.retry(letter)
