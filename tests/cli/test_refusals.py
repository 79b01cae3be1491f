"""`mutualgate explain`."""

import ssl
from pathlib import Path

import pki
import pytest
from commands import Run
from installation import CONFIG, Installation


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
    for part in (
        "client_suspended: ",
        "it was told  ",
        "you can      Let it in again: mutualgate client resume first-client",
        "CN=al\\x1b[31mice",
        "ab" * 32,
        "main /x\\x1b[31m",
        "192.0.2.1",
    ):
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


def test_a_list_says_who_is_not_on_it(cli: Run, installed: Installation) -> None:
    said = "Whom main turned away by a TLS alert is counted"
    assert said not in cli("explain").out
    installed.config.write_text(CONFIG + 'on_refusal = "alert"\n')
    assert said in cli("explain").out
    assert said in cli("explain", "--json").json["unlisted"]
    assert said in cli("explain", "7" * 16).err
    installed.config.write_text("wrong")
    assert (cli("explain").code, cli("explain", "--json").json["unlisted"]) == (0, None)


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


def test_a_file_is_explained_and_an_id_is_never_taken_for_one(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = pki.leaf(None, "me\x1b[31m", now=pki.real_now())
    for name in ("me.pem", "A" * 16):
        (tmp_path / name).write_bytes(made.pem)
    said = cli("explain", "me.pem")
    assert said.code == 0
    assert "Self-signed, P-256, one year, for clients." in said.out
    assert "\x1b" not in said.out
    assert "\n\n\n" not in said.out
    assert cli("explain", "A" * 16, "--json").json["reason"] == "client_suspended"
    for words in ((f"./{'A' * 16}",), ("--file", "A" * 16)):
        assert cli("explain", *words, "--json").json["certificate"]["fingerprint"]
    assert cli("explain", "B" * 16, "--file", "me.pem").code == 2
    assert "cannot be read" in cli("explain", "gone.pem").err


def test_a_private_key_is_not_explained(cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pki.key_pem(pki.fresh_key()))
    said = cli("explain", str(path), "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "private_key_given"


def test_a_file_with_a_day_that_no_calendar_has_is_told(cli: Run, tmp_path: Path) -> None:
    leaf = pki.leaf(pki.ca("root"), "plain")
    ends = f"\x17\x0d{leaf.certificate.not_valid_after_utc:%y%m%d%H%M%S}Z".encode()
    der = pki.respelt(leaf, ends, b"\x17\x0d270230120000Z")
    (tmp_path / "a.der").write_bytes(der)
    (tmp_path / "a.pem").write_text(ssl.DER_cert_to_PEM_cert(der))
    for name in ("a.der", "a.pem"):
        said = cli("explain", tmp_path / name)
        assert said.code == 2
        assert "ends at a moment that cannot be read ('270230120000Z', RFC 5280 4.1.2.5)" in said.err
