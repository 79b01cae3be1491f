"""`mutualgate explain`."""

import pki
import pytest
from commands import Run
from installation import Installation


@pytest.fixture(autouse=True)
def _refused(installed: Installation) -> None:
    services = installed.services()
    leaf = pki.leaf(pki.ca("root"), "al\x1b[31mice")
    event = {"kind": "refused", "at": 1_780_000_000_000, "site": "main", "path": "/x\x1b[31m", "peer": "192.0.2.1"}
    services.refusals.keep(
        [
            {**event, "refusal": "A" * 16, "reason": "client_suspended", "detail": "It is.", "client": 1,
             "certificate": leaf.der, "fingerprint": "ab" * 32},
            {**event, "refusal": "B" * 16, "reason": "no_certificate", "detail": "None came."},
        ]
    )  # fmt: skip
    services.close()


def test_an_id_tells_the_whole_story(cli: Run) -> None:
    said = cli("explain", "a" * 16)
    assert said.code == 0
    for part in ("client_suspended: ", "what to do  ", "CN=al\\x1b[31mice", "ab" * 32, "main /x\\x1b[31m", "192.0.2.1"):
        assert part in said.out, part
    assert "\x1b" not in said.out
    found = cli("explain", "A" * 16, "--json").json
    assert (found["reason"], found["subject"], found["client"]) == ("client_suspended", "CN=al\\x1b[31mice", 1)


def test_the_latest_are_listed_by_reason(cli: Run) -> None:
    assert [one["id"][0] for one in cli("explain", "--json").json["refusals"]] == ["B", "A"]
    listed = cli("explain", "--reason", "client_suspended").out.splitlines()
    assert len(listed) == 2
    assert listed[1].endswith("client_suspended  192.0.2.1  CN=al\\x1b[31mice")
    assert cli("explain", "--reason", "expired").out == "No refusal is known.\n"


def test_a_reason_that_is_none_is_told_which_there_are(cli: Run) -> None:
    said = cli("explain", "--reason", "tired")
    assert said.code == 2
    assert "'tired' is no reason" in said.err
    assert "no_certificate" in said.err


def test_an_id_that_is_not_known(cli: Run) -> None:
    said = cli("explain", "\x1b[31m" * 10)
    assert said.code == 2
    assert "\x1b" not in said.err
    assert cli("explain", "Z" * 16, "--json").json["error"]["code"] == "no_such_refusal"
