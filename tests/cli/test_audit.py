"""`mutualgate audit`."""

import sqlite3

from commands import Run
from installation import Installation


def test_every_change_is_listed_newest_first(cli: Run) -> None:
    cli("client", "add", "alice")
    said = cli("audit", "list", "--limit", "2")
    assert said.code == 0
    lines = said.out.splitlines()
    assert len(lines) == 3
    assert "client.add" in lines[1]
    assert "alice" in lines[1]
    entries = cli("audit", "list", "--json").json["entries"]
    assert [entry["number"] for entry in entries] == list(range(len(entries), 0, -1))


def test_a_log_that_is_whole_says_its_head(cli: Run) -> None:
    said = cli("audit", "verify", "--json")
    assert said.code == 0
    assert said.json["whole"] is True
    assert said.json["head"] == cli("audit", "list", "--limit", "1", "--json").json["entries"][0]["hash"]
    assert cli("audit", "verify").out.startswith(f"{said.json['entries']} entries, none changed.")


def test_a_log_that_was_tampered_with_is_a_no(cli: Run, installed: Installation) -> None:
    with sqlite3.connect(installed.folder.store) as connection:
        connection.execute("UPDATE audit SET \"by\" = 'nobody' WHERE number = 2")
    connection.close()
    said = cli("audit", "verify")
    assert said.code == 1
    assert said.out.startswith("The log is broken at entry 2: ")
    assert cli("audit", "verify", "--json").json["whole"] is False


def test_an_entry_of_no_time_at_all_is_shown_and_a_no(cli: Run, installed: Installation) -> None:
    with sqlite3.connect(installed.folder.store) as connection:
        connection.execute("UPDATE audit SET at = -99999999999999999 WHERE number = 1")
    connection.close()
    assert cli("audit", "list").code == cli("audit", "list", "--json").code == 0
    said = cli("audit", "verify")
    assert said.code == 1
    assert said.out.startswith("The log is broken at entry 1: ")
