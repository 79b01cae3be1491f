"""`mutualgate notices`."""

from commands import Run
from installation import CONFIG, Installation

from mutualgate.store import Store


def test_letters_are_listed_and_sent_again(cli: Run, installed: Installation) -> None:
    said = cli("notices", "test", "anna@example.com")
    assert said.code == 2
    assert "no mail server is set" in said.err
    installed.config.write_text(f'{CONFIG}[mail]\nserver = "127.0.0.1:25"\nsender = "gate@example.com"\n')
    assert cli("notices", "list").out == "There is no letter.\n"
    letter = cli("notices", "test", "anna@example.com", "--json").json["id"]
    (shown,) = cli("notices", "list", "--json").json["letters"]
    assert (shown["id"], shown["state"], shown["recipient"]) == (letter, "waiting", "anna@example.com")
    assert "body" not in shown
    assert "is waiting" in cli("notices", "retry", str(letter)).err
    store = Store.open(installed.folder.store, installed.services().clock)
    with store.transaction() as tx:
        tx.outbox.failed(letter, "no such\x1b[31m user", None)
    store.close()
    line = cli("notices", "list", "--state", "dead").out.splitlines()[1]
    assert "anna@example.com" in line
    assert "no such\\x1b[31m user" in line
    assert "is sent again" in cli("notices", "retry", str(letter)).out
    assert cli("notices", "list", "--state", "dead").out == "There is no letter.\n"
    assert "--state" in cli("notices", "list", "--state", "lost").err
