"""Letters go out, once, by real servers; what cannot go now goes later; what never can is given up and seen."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import post
import pytest
from conftest import Hands

from mutualgate.clock import system_clock
from mutualgate.config import Config, parse
from mutualgate.model.letter import Letter, LetterKind, LetterState
from mutualgate.notices.outbox import Outbox
from mutualgate.notices.sender import GIVE_UP_AFTER, WIPE_AFTER, Sender, pause
from mutualgate.store import Store


def config(port: int, webhook: int | None = None, folder: Path | None = None) -> Config:
    text = f'[mail]\nserver = "127.0.0.1:{port}"\nsender = "gate@example.com"\nsecurity = "none"\n'
    if webhook is not None:
        assert folder is not None
        secret = folder / "webhook.secret"
        secret.write_bytes(post.SECRET)
        secret.chmod(0o600)
        text += f'[notices]\nwebhook = "http://127.0.0.1:{webhook}/"\nsecret_file = "{secret}"\n'
    return parse(text)


def put(store: Store, settings: Config, *recipients: str) -> None:
    outbox = Outbox(store, lambda: settings.mail, lambda: settings.notices)
    with store.transaction() as tx:
        for recipient in recipients:
            outbox.put(tx, "mail", recipient, "Hello", f"For {recipient}.\n")


def letters(store: Store) -> list[Letter]:
    with store.reading() as tx:
        return list(reversed(tx.outbox.list()))


def sender(store: Store, settings: Config) -> Sender:
    return Sender(store, settings.mail, settings.notices)


def test_what_is_due_is_sent_once(store: Store, clock: Hands) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
        put(store, settings, "anna@example.com", "ben@example.com")
        assert sender(store, settings).step() == 2
        clock.move(timedelta(days=1))
        assert sender(store, settings).step() == 0
    assert [one.recipients for one in server.letters] == [["anna@example.com"], ["ben@example.com"]]
    for letter in letters(store):
        assert letter.state is LetterState.SENT
        assert letter.body == ""  # it may have opened an invitation


def test_mail_and_webhook(store: Store, tmp_path: Path) -> None:
    with post.mail_server() as server, post.webhook() as hook:
        settings = config(server.port, hook.port, tmp_path)
        put(store, settings, "anna@example.com")
        with store.transaction() as tx:
            Outbox(store, lambda: settings.mail, lambda: settings.notices).tell(tx, "test", "Hello", "text", {})
        assert sender(store, settings).step() == 2
    assert len(server.letters) == len(hook.calls) == 1


def test_a_server_that_is_down_is_tried_less_and_less(store: Store, clock: Hands) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
    put(store, settings, *(f"a{number}@example.com" for number in range(20)))
    one = sender(store, settings)
    assert one.step() == 0
    assert sum(letter.tries for letter in letters(store)) == 1, "the others would fail alike"
    assert one.step() == 0
    assert sum(letter.tries for letter in letters(store)) == 1, "not before the pause is over"
    clock.move(timedelta(seconds=30))
    one.step()
    assert sum(letter.tries for letter in letters(store)) == 2
    assert "Connection refused" in Outbox(store, lambda: settings.mail, lambda: settings.notices).count().error
    assert [pause(tries) for tries in (0, 1, 2, 7, 500)] == [
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=2),
        timedelta(hours=1),
        timedelta(hours=1),
    ]


def test_when_it_is_back_all_go_out(store: Store, clock: Hands, caplog: pytest.LogCaptureFixture) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
        server.sender_answer = "421 closing"
        put(store, settings, *(f"a{number}@example.com" for number in range(5)))
        one = sender(store, settings)
        assert one.step() == 0
        server.sender_answer = None
        clock.move(timedelta(minutes=2))
        assert one.step() == 5
        assert one.step() == 0
    assert len(server.letters) == 5
    assert "letters wait, and are sent later" in caplog.text


def test_one_bad_address_stops_no_other(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
        server.answers = {"bad@example.com": "550 no such user", "full@example.com": "452 full"}
        put(store, settings, "bad@example.com", "full@example.com", "good@example.com")
        assert sender(store, settings).step() == 1
    bad, full, good = letters(store)
    assert (bad.state, full.state, good.state) == (LetterState.DEAD, LetterState.WAITING, LetterState.SENT)
    assert "550 no such user" in bad.error
    assert "was given up" in caplog.text
    assert "bad@example.com" not in caplog.text
    assert "For bad" not in caplog.text


def test_after_two_days_it_is_given_up(store: Store, clock: Hands) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
        server.answers = {"full@example.com": "452 full"}
        put(store, settings, "full@example.com")
        one = sender(store, settings)
        one.step()
        clock.move(GIVE_UP_AFTER - timedelta(minutes=1))
        one.step()
        assert letters(store)[0].state is LetterState.WAITING
        clock.move(timedelta(hours=2))
        one.step()
    assert letters(store)[0].state is LetterState.DEAD
    assert letters(store)[0].body != "", "somebody may have it sent again"
    clock.move(WIPE_AFTER)
    one.step()
    assert letters(store)[0].body == "", "but not for ever"
    assert letters(store)[0].state is LetterState.DEAD


def test_a_webhook_that_was_taken_out_of_the_settings(store: Store, tmp_path: Path) -> None:
    with post.webhook() as hook:
        settings = config(25, hook.port, tmp_path)
        with store.transaction() as tx:
            Outbox(store, lambda: settings.mail, lambda: settings.notices).tell(tx, "test", "Hello", "text", {})
        sender(store, parse("")).step()
    assert hook.calls == []
    assert letters(store)[0].state is LetterState.DEAD
    assert letters(store)[0].kind is LetterKind.WEBHOOK


def test_it_stops_between_two_letters(store: Store) -> None:
    with post.mail_server() as server:
        settings = config(server.port)
        put(store, settings, "anna@example.com")
        one = sender(store, settings)
        one.stop()
        assert one.step() == 0
    assert server.letters == []


# Puts letters and prints a line when each is committed; another process sends.
_PUTS = """
import sys
from pathlib import Path
from mutualgate.clock import system_clock
from mutualgate.config import parse
from mutualgate.notices.outbox import Outbox
from mutualgate.store import Store

store = Store.open(Path(sys.argv[1]), system_clock)
settings = parse(sys.argv[2])
outbox = Outbox(store, lambda: settings.mail, lambda: settings.notices)
print("ready", flush=True)
number = 0
while True:
    name = f"{sys.argv[3]}-{number}@example.com"
    with store.transaction() as tx:
        outbox.put(tx, "mail", name, "Hello", "text", once=name)
    print(name, flush=True)
    number += 1
"""
_SENDS = """
import sys
from pathlib import Path
from mutualgate.clock import system_clock
from mutualgate.config import parse
from mutualgate.notices.sender import Sender
from mutualgate.store import Store

store = Store.open(Path(sys.argv[1]), system_clock)
settings = parse(sys.argv[2])
sender = Sender(store, settings.mail, settings.notices)
print("ready", flush=True)
while True:
    sender.step()
"""


def _start(program: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """kill -9 of who puts and who sends. A letter comes twice only if the sender died with it in its hands."""
    path = tmp_path / "store.sqlite3"
    moments = random.Random(seed)
    store = Store.open(path, system_clock)
    confirmed: list[str] = []
    kills = 4
    with post.mail_server() as server:
        text = f'[mail]\nserver = "127.0.0.1:{server.port}"\nsender = "gate@example.com"\nsecurity = "none"\n'
        for number in range(kills):
            puts = _start(_PUTS, str(path), text, f"r{number}")
            sends = _start(_SENDS, str(path), text)
            time.sleep(moments.uniform(0.1, 0.6))
            os.kill(sends.pid, signal.SIGKILL)
            os.kill(puts.pid, signal.SIGKILL)
            said, _ = puts.communicate(timeout=30)
            sends.communicate(timeout=30)
            confirmed += [line.strip() for line in said.splitlines(keepends=True) if line.endswith("\n")]
        settings = parse(text)
        late = Hands()
        late.now = system_clock() + timedelta(hours=2)  # what was in the hands of a killed one is due again
        store.clock = late
        Sender(store, settings.mail, settings.notices).step()
    came = Counter(one.recipients[0] for one in server.letters)
    assert confirmed
    assert set(confirmed) <= set(came), "a letter was confirmed and is lost"
    assert sum(came.values()) - len(came) <= kills
    assert len({one.message["Message-ID"] for one in server.letters}) == len(came)
    assert all(letter.state is LetterState.SENT for letter in letters(store))
    store.close()
