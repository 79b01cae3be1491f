"""`mutualgate status`: what somebody sees who is called at night."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from commands import Run
from installation import Installation

from mutualgate.app import control
from mutualgate.cli.status import text

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)

ANSWER: dict[str, Any] = {
    "pid": 4711,
    "started": (NOW - timedelta(days=2, hours=3)).isoformat(),
    "epoch": 12,
    "store_epoch": 12,
    "listening": ["0.0.0.0:443"],
    "sites": ["main", "a\x1b[31m"],
    "configuration": "/etc/gate/mutualgate.toml",
    "configuration_problem": None,
    "key_log": None,
    "clients": {"new": 1, "active": 40, "suspended": 0, "gone": 0},
    "certificates": {"main": (NOW + timedelta(days=200)).isoformat()},
    "authorities": {"root": (NOW + timedelta(days=3000)).isoformat()},
    "lists": {"issuing": (NOW + timedelta(days=5)).isoformat()},
    "expiring": [{"kind": "credential", "nearest": None, "within": {"30": 0}}],
    "ending": [],
    "partner_lists": [{"partner": "acme", "ca": 3, "problem": None}],
    "partner_problems": [],
    "key_sets": {"sets": 2, "failing": 0, "oldest_seconds": 60, "keys": {"waiting": 0}, "problems": []},
    "letters": {"waiting": 0, "dead": 0, "oldest": None, "error": ""},
    "tracing": None,
    "counters": {
        "handshakes": [["full", 50], ["resumed", 7], ["timeout", 0]],
        "verdicts": [["no_certificate", 3], ["expired", 2], ["revoked", 0], ["admitted", 90], ["anonymous", 4]],
        "upstream_errors": [["connect", 1], ["closed", 0]],
        "limited": [["client_requests", 7], ["address_requests", 0]],
        "memory_bytes": 123 << 20,
        "memory_stage": 0,
        "limited_most": [
            {
                "limit": "client_requests",
                "kind": "client",
                "who": "batch",
                "client": 3,
                "times": 7,
                "last": 1_800_000_000,
            }
        ],
        "requests": [{"classes": [0, 0, 80, 0, 9, 0]}, {"classes": [0, 1, 5, 0, 0, 2]}],
        "open_connections": 6,
        "accepted_connections": 60,
        "cut_connections": 1,
        "dropped_refusals": 0,
        "dropped_access_lines": 0,
        "dropped_spans": 3,
    },
}


def ending(kind: str, name: str, left: timedelta, command: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "ends": (NOW + left).isoformat(), "command": command}


def shown(**changes: Any) -> list[str]:
    return text({**copy.deepcopy(ANSWER), **changes}, NOW).splitlines()


def test_what_matters_is_there() -> None:
    rows = dict(line.split("  ", 1) for line in shown())
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows == {
        "running": "process 4711, since 2026-11-22 00:00:00 UTC (2 d 3 h)",
        "listening": "0.0.0.0:443",
        "sites": "main, a\\x1b[31m",
        "configuration": "/etc/gate/mutualgate.toml",
        "epoch": "12",
        "clients": "1 new, 40 active",
        "connections": "6 open, 60 accepted, 1 cut",
        "handshakes": "50 full, 7 resumed",
        "requests": "90 admitted, 4 without a certificate, 5 refused",
        "answers": "1 1xx, 85 2xx, 9 4xx, 2 5xx",
        "refused for": "3 no_certificate, 2 expired: mutualgate explain",
        "upstream errors": "1 connect: mutualgate upstream list",
        "turned away at": "7 client_requests",
        "most of them": "batch 7 times at client_requests, last 2027-01-15 08:00:00 UTC",
        "memory": "123 MiB",
        "ends next": "the revocation list of issuing: 2026-11-29 03:00 UTC",
    }


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"configuration_problem": "x.toml:1:1: wrong"},
            "mutualgate.toml as it is now is not in force: x.toml:1:1: wrong",
        ),
        ({"key_log": "/tmp/keys\x1b[31m"}, "the secrets of all connections are written to /tmp/keys\\x1b[31m"),
        ({"store_epoch": 14}, "the gate is at epoch 12, the store at 14: see its log"),
        (
            {"ending": [ending("site", "main", timedelta(days=2), "mutualgate restart")]},
            "the gate's certificate for main ends on 2026-11-26 03:00 UTC, in 2 d 0 h: mutualgate restart",
        ),
        (
            {"ending": [ending("authority", "issuing", -timedelta(days=1), "mutualgate ca rotate issuing")]},
            "the authority issuing ended on 2026-11-23 03:00 UTC: mutualgate ca rotate issuing",
        ),
        (
            {"partner_problems": ["partner acme: a rule that cannot be read"]},
            "nobody is let in by it: partner acme: a rule that cannot be read",
        ),
        (
            {"letters": {"waiting": 0, "dead": 2, "oldest": None, "error": ""}},
            "2 letters could not be sent and were given up: mutualgate notices list",
        ),
        (
            {"letters": {"waiting": 3, "dead": 0, "oldest": NOW.isoformat(), "error": "no\x1b[31m route"}},
            "3 letters wait: no\\x1b[31m route",
        ),
        (
            {"partner_lists": [{"partner": "acme", "ca": 3, "problem": "crl.acme.example answers 503"}]},
            "revocation under CA 3 of the partner acme: crl.acme.example answers 503. "
            "Its addresses, to approve or try again: mutualgate partner crl list acme",
        ),
        (
            {"key_sets": {"keys": {"waiting": 0}, "problems": [["anna", "a\x1b.example answers 503"]]}},
            "the published keys of anna: a\\x1b.example answers 503. Try again: mutualgate client keys fetch anna",
        ),
        (
            {"key_sets": {"keys": {"waiting": 4}, "problems": []}},
            "4 published keys wait for their time: mutualgate client keys list",
        ),
        (
            {"tracing": {"sent": 0, "failed": 0, "rejected": 0, "waiting": 9, "problem": "a\x1b:4318 answers 503"}},
            "traces do not arrive: a\\x1b:4318 answers 503",
        ),
    ],
)
def test_what_is_wrong_comes_first(changes: dict[str, Any], warning: str) -> None:
    assert shown(**changes)[0] == f"!  {warning}"
    assert not shown()[0].startswith("!")


def test_what_became_of_spans_is_there_where_requests_are_traced() -> None:
    tally = {"sent": 120, "failed": 4, "rejected": 0, "waiting": 0, "problem": None}
    (line,) = [line for line in shown(tracing=tally) if line.startswith("spans")]
    assert line.split(maxsplit=1)[1] == "120 sent, 4 failed, 3 dropped"


def test_what_expires_is_there_in_short() -> None:
    figures = [
        {"kind": "credential", "nearest": NOW.isoformat(), "within": {"90": 9, "30": 3}},
        {"kind": "pin", "nearest": None, "within": {"90": 0, "30": 0}},
        {"kind": "partner-ca", "nearest": NOW.isoformat(), "within": {"90": 1, "30": 1}},
    ]
    assert any("3 certificates, 1 partner's CA within 30 days" in line for line in shown(expiring=figures))


def test_no_gate_is_a_no_and_says_how_to_start_one(cli: Run, installed: Installation) -> None:
    said = cli("status")
    assert said.code == 1
    assert (
        said.out == f"No gate runs on {installed.folder.path}. Start one: mutualgate up --dir {installed.folder.path}\n"
    )
    assert cli("status", "--json").json == {"running": False}


def test_the_gate_s_answer_is_passed_on_to_programs(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ask", lambda *_: copy.deepcopy(ANSWER))
    said = cli("status", "--json")
    assert (said.code, said.json) == (0, {"running": True, **ANSWER})
    assert cli("status").out.startswith("!  the authority") or "running  " in cli("status").out
