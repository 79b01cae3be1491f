"""`mutualgate decide`: one certificate, or many questions."""

import json
from pathlib import Path

import pki
import pytest
from commands import Run
from installation import Installation


def test_an_admitted_certificate(cli: Run, installed: Installation) -> None:
    said = cli("decide", "--cert", installed.pem())
    assert said.code == 0
    assert said.out == "admitted: first-client (client 1), roles: none, vouched for by issuing\n"
    found = cli("decide", "--cert", installed.pem(), "--host", "localhost", "--path", "/x", "--json").json
    assert (found["verdict"], found["client"], found["route"]) == ("admitted", "first-client", "/")
    assert cli("decide", "--cert", "-", stdin=installed.pem().read_bytes()).code == 0


def test_a_refused_one_is_a_no_with_reason_and_fix(cli: Run, installed: Installation, tmp_path: Path) -> None:
    said = cli("decide", "--cert", installed.pem(), "--at", "2099-01-01")
    assert said.code == 1
    assert said.out.startswith("refused: expired\n")
    assert "\nIts holder is told: Renew the certificate" in said.out
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(pki.leaf(pki.ca("theirs", now=pki.real_now()), "x", now=pki.real_now()).pem)
    found = cli("decide", "--cert", stranger, "--json")
    assert (found.code, found.json["reason"]) == (1, "unknown_issuer")
    assert found.json["fix"]


@pytest.mark.parametrize("content", ["listn = 1", None])
def test_a_certificate_alone_is_judged_whatever_the_configuration_says(
    cli: Run, installed: Installation, content: str | None
) -> None:
    if content is None:
        installed.config.unlink()
        installed.config.mkdir()
    else:
        installed.config.write_text(content)
    assert cli("decide", "--cert", installed.pem()).out.startswith("admitted: first-client ")
    asked = cli("decide", "--cert", installed.pem(), "--host", "localhost")
    assert (asked.code, len(asked.err.splitlines())) == (2, 1)
    assert "mutualgate.toml" in asked.err


def test_what_only_the_judge_reads_is_judged(cli: Run, tmp_path: Path) -> None:
    odd, _ = pki.oddly_spelt(pki.ca("theirs", now=pki.real_now()), "R&D", now=pki.real_now())
    (tmp_path / "odd.der").write_bytes(odd)
    said = cli("decide", "--cert", tmp_path / "odd.der")
    assert (said.code, said.out.splitlines()[0]) == (1, "refused: unknown_issuer")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--cert", "/nowhere"),
        ("--cert", "/"),
        ("--cert", "/dev/null"),
        ("--cert", "-", "--at", "yesterday"),
        ("--cert", "-", "--at", "99999999999"),
        ("--cert", "-", "--host", "elsewhere.test"),
    ],
)
def test_wrong_use_is_one_sentence(cli: Run, installed: Installation, words: tuple[str, ...]) -> None:
    said = cli("decide", *words, stdin=installed.pem().read_bytes())
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("mutualgate: ")


def test_the_end_of_time_is_no_defect(cli: Run, installed: Installation) -> None:
    for at in ("0001-01-01", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        assert cli("decide", "--cert", installed.pem(), "--at", at).code in (1, 2), at


def test_questions_are_answered_in_order(bare: Run) -> None:
    root = pki.ca("root")
    leaf = pki.leaf(root, "x")
    question = {
        "chain": [leaf.pem.decode()],
        "intermediates": [],
        "trusted": [root.pem.decode()],
        "crls": [],
        "at": int(pki.NOW.timestamp()),
        "max_chain_depth": None,
        "eku": "clientAuth",
    }
    lines = [json.dumps({"id": "1", **question}), "", "nonsense", json.dumps({"id": "2", **question, "at": 0})]
    said = bare("decide", "--batch", stdin="\n".join(lines).encode())
    assert bare("decide", "--batch", stdin="\n".join(lines).encode("utf-8-sig")) == said  # as editors begin a file
    assert said.code == 0
    first, nonsense, second = (json.loads(line) for line in said.out.splitlines())
    assert (first["id"], first["verdict"]) == ("1", "admitted")
    assert nonsense["verdict"] != "admitted" if "verdict" in nonsense else nonsense
    assert (second["id"], second["reason"]) == ("2", "not_yet_valid")
