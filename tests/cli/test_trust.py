"""`mutualgate trust` and `mutualgate approve`, for people and for programs."""

import re
from datetime import timedelta
from pathlib import Path

import pki
import pytest
from commands import Run
from installation import Installation
from rows import see

from mutualgate.model.refusal import RefusalRecord

NOW = pki.real_now()


@pytest.fixture
def own(cli: Run, installed: Installation, tmp_path: Path) -> Path:
    """A certificate that was shown to the gate."""
    leaf = pki.leaf(None, "own", now=NOW)
    path = tmp_path / "own.pem"
    path.write_bytes(leaf.pem)
    services = installed.services()
    fingerprint = see(services.store, [leaf.der], at=NOW - timedelta(days=1), reason="unknown_issuer", subject="CN=own")
    with services.store.transaction() as tx:
        tx.refusals.add_many(
            [
                RefusalRecord(
                    "7K3M9QW2XT5B8N4C", NOW, "unknown_issuer", "why", "main", "/", "192.0.2.9", "", fingerprint, None
                )
            ]
        )
    services.close()
    return path


def test_a_change_is_tried_and_nothing_is_changed(cli: Run, own: Path) -> None:
    said = cli("trust", "try", "pin", "add", "first-client", own)
    assert said.code == 0, said.err
    assert said.out.startswith("It would lock out none of 0 clients.\nIt would let in 1: first-client.\n")
    assert "Pin 1" not in said.out
    assert cli("pin", "list").out == "No pin fits.\n"
    cli("pin", "add", "first-client", own)
    tried = cli("trust", "try", "pin", "retire", "1")
    assert tried.out.startswith("It would lock out 1 of 1 client: first-client.\n")
    assert "1 would be judged otherwise, 1 of them kept out:" in tried.out
    assert "pin_retired" in tried.out
    facts = cli("trust", "try", "pin", "retire", "1", "--on", "2020-01-01", "--json").json
    assert facts["locked_out"] == ["first-client"]
    assert facts["affected"][0]["after"] == {"admitted": False, "reason": "pin_retired"}
    assert cli("trust", "try", "client", "roles", "first-client", "--add", "x").out.startswith(
        "It would change nothing"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pin", "list"), "no change that can be tried"),
        (("up",), "no change"),
        (("client", "p12", "first-client", "--out", "x"), "no change"),
        (("pin", "retire", "99"), "no pin 99"),
        (("pin", "retire"), "Missing argument"),
        (("pin", "retire", "1", "--nonsense"), "--nonsense"),
        (("partner", "ca", "list"), "no change"),
        (("partner", "ca", "retire", "nobody", "1"), "no partner"),
    ],
)
def test_what_cannot_be_tried(cli: Run, words: tuple[str, ...], says: str) -> None:
    said = cli("trust", "try", *words)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""


def test_a_change_is_taken_back(cli: Run, own: Path) -> None:
    assert cli("trust", "list").out == "No change of trust so far.\n"
    cli("pin", "add", "first-client", own)
    assert "pin add first-client" in cli("trust", "list").out
    assert cli("trust", "undo").out.startswith("Taken back: pin add first-client")
    assert cli("pin", "list").out == "No pin fits.\n"
    again = cli("trust", "undo", "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "no_such_change")
    assert cli("trust", "list", "--json").json["changes"][0]["undone"] is not None
    # What cannot be taken back stands in the way: nobody takes an older change back who meant this one.
    cli("pin", "add", "first-client", own)
    cli("client", "revoke", "first-client")
    refused = cli("trust", "undo")
    assert refused.code == 2
    assert "'client revoke first-client' (change 3) is final" in refused.err
    assert re.search(r"\bfinal +client revoke first-client$", cli("trust", "list").out, re.MULTILINE)


def test_from_a_refusal_to_a_client(cli: Run, own: Path) -> None:
    asked = cli("approve", "7K3M9QW2XT5B8N4C", "--client", "partner-7")
    assert asked.code == 2
    for part in ("CN=own", "self-signed, P-256", "refused for", "unknown_issuer", "192.0.2.9", "proved", "--yes"):
        assert part in asked.err
    assert cli("decide", "--cert", own, "--json").json["verdict"] == "refused"
    done = cli("approve", "7K3M9QW2XT5B8N4C", "--client", "partner-7", "--role", "orders", "--yes")
    assert done.code == 0, done.err
    assert "partner-7 comes in (pin 1, until " in done.out
    assert cli("decide", "--cert", own, "--json").json["client"] == "partner-7"
    unknown = cli("approve", "NONE", "--client", "x", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "no_such_refusal")


def test_what_an_adopted_authority_admits_can_be_tried_and_taken_back(
    cli: Run, installed: Installation, tmp_path: Path
) -> None:
    root = pki.ca("old root", now=NOW)
    (tmp_path / "root.pem").write_bytes(root.pem)
    assert cli("ca", "adopt", "--cert", tmp_path / "root.pem", "--name", "old").code == 0
    assert "'ca adopt old' (change 1) is final" in cli("trust", "undo").err
    leaf = pki.leaf(root, "unlisted", now=NOW)
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    services = installed.services()
    see(services.store, [leaf.der], at=NOW, subject="CN=unlisted")
    services.close()
    tried = cli("trust", "try", "ca", "admits", "old", "listed", "--json").json
    assert (tried["locked_out"], tried["clients"]) == (["old estate"], 1)
    cli("ca", "admits", "old", "listed")
    assert cli("decide", "--cert", tmp_path / "leaf.pem", "--json").json["verdict"] == "refused"
    assert "ca admits old listed" in cli("trust", "undo").out
    assert cli("decide", "--cert", tmp_path / "leaf.pem", "--json").json["client"] == "old estate"
    cli("client", "revoke", "--certificate", tmp_path / "leaf.pem")
    assert "'client revoke --certificate " in cli("trust", "undo").err


@pytest.mark.parametrize("which", ["issuing", "root"])
def test_a_rotation_is_final(cli: Run, which: str) -> None:
    assert cli("ca", "rotate", which).code == 0
    assert f"'ca rotate {which}' (change 1) is final" in cli("trust", "undo").err
