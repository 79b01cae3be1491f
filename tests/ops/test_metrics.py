"""What Prometheus reads: parsed by its own client."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mutualgate.model.expiring import ExpiryKind
from mutualgate.notices.expiry import Summary
from mutualgate.ops.metrics import METRICS, Metric, render
from mutualgate.ops.status import Ending, Status
from mutualgate.partners.key_sets import KeySetFigures

START = datetime(2026, 11, 24, 12, tzinfo=UTC)

COUNTERS: dict[str, Any] = {
    "handshakes": [["full", 5], ["resumed", 2], ["timeout", 0]],
    "verdicts": [["no_certificate", 3], ["expired", 1], ["admitted", 7], ["anonymous", 4]],
    "upstream_errors": [["connect", 1]],
    "limited": [["client_requests", 4]],
    "memory_bytes": 1 << 27,
    "memory_stage": 1,
    "requests": [
        {
            "site": "shop",
            "route": '/a"\\b',
            "classes": [0, 0, 6, 1, 4, 0],
            "latency": [4, 0, 2, 5],
            "latency_sum_us": 1_500_000,
        }
    ],
    "servers": [
        {
            "upstream": "app",
            "server": "http://app:80",
            "address": f"192.0.2.{host}:80",
            "state": "up",
            "requests": 10 + host,
            "failures": host,
            "retries": 0,
            "ejections": 3,
        }
        for host in (1, 2)
    ],
    "latency_bounds_us": [250, 500, 30_000_000],
    "open_connections": 3,
    "accepted_connections": 9,
    "cut_connections": 1,
    "bytes_in": 100,
    "bytes_out": 2**63,
    "dropped_refusals": 0,
    "dropped_notices": 2,
    "dropped_access_lines": 0,
    "dropped_spans": 4,
    "something_newer": 1,
}

STATUS = Status(
    started=START,
    epoch=41,
    store_epoch=42,
    clients={"active": 2, "suspended": 1},
    endings=(Ending("site", "main", START), Ending("authority", "root", START), Ending("crl", "issuing", START)),
    lists_behind={"root": False, "issuing": True},
    expiring=(Summary(ExpiryKind.CREDENTIAL, START, {90: 3, 7: 1}),),
    partner_lists=(
        {
            "partner": "acme",
            "ca": 3,
            "next_update": START.isoformat(),
            "age_seconds": 60,
            "entries": 2,
            "errors": 0,
        },
    ),
    key_sets=KeySetFigures(sets=3, failing=1, oldest_seconds=77, keys={"waiting": 5}),
    letters={"waiting": 3, "dead": 1},
    counters=COUNTERS,
    spans={"sent": 8, "failed": 2, "rejected": 1, "waiting": 5, "problem": None},
)


def read(status: Status) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = {}
    for family in text_string_to_metric_families(render(status)):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, "a series twice"
            samples[key] = sample.value
    return samples


def value(name: str, /, **labels: str) -> float:
    return read(STATUS)[name, tuple(sorted(labels.items()))]


def test_each_number_has_its_place() -> None:
    assert value("mutualgate_up") == 1
    assert value("mutualgate_start_time_seconds") == START.timestamp()
    assert value("mutualgate_epoch") == 41
    assert value("mutualgate_store_epoch") == 42
    assert value("mutualgate_clients", state="suspended") == 1
    assert value("mutualgate_handshakes_total", end="resumed") == 2
    assert value("mutualgate_upstream_errors_total", error="connect") == 1
    assert value("mutualgate_connections") == 3
    assert value("mutualgate_connections_accepted_total") == 9
    assert value("mutualgate_connections_cut_total") == 1
    assert value("mutualgate_request_body_bytes_total") == 100
    assert value("mutualgate_response_body_bytes_total") == 2**63
    assert value("mutualgate_events_dropped_total", kind="notice") == 2
    spans = [value("mutualgate_spans_total", end=end) for end in ("sent", "dropped", "failed", "rejected")]
    assert spans == [8, 4, 2, 1]
    assert value("mutualgate_certificate_not_after_seconds", kind="site", name="main") == START.timestamp()
    assert value("mutualgate_crl_next_update_seconds", authority="issuing") == START.timestamp()
    assert value("mutualgate_crl_behind", authority="issuing") == 1
    assert value("mutualgate_crl_behind", authority="root") == 0
    assert value("mutualgate_key_sets", state="read") == 2
    assert value("mutualgate_key_sets", state="failing") == 1
    assert value("mutualgate_key_sets_oldest_seconds") == 77
    assert value("mutualgate_published_keys", state="waiting") == 5


def test_a_refusal_is_never_counted_as_an_admission() -> None:
    assert value("mutualgate_verdicts_total", verdict="admitted", reason="") == 7
    assert value("mutualgate_verdicts_total", verdict="anonymous", reason="") == 4
    assert value("mutualgate_verdicts_total", verdict="refused", reason="expired") == 1


def test_requests_are_told_apart_by_route_and_status() -> None:
    assert value("mutualgate_requests_total", site="shop", route='/a"\\b', status="2xx") == 6
    assert value("mutualgate_requests_total", site="shop", route='/a"\\b', status="none") == 0


def test_servers_are_told_apart_by_where_they_are_reached() -> None:
    where = {"upstream": "app", "server": "http://app:80", "address": "192.0.2.2:80"}
    assert value("mutualgate_upstream_requests_total", **where) == 12
    assert value("mutualgate_upstream_failures_total", **where) == 2
    assert value("mutualgate_upstream_ejections_total", **where) == 3
    assert value("mutualgate_upstream_up", **where) == 1


def test_latencies_are_a_histogram_in_seconds() -> None:
    where = {"site": "shop", "route": '/a"\\b'}
    name = "mutualgate_request_duration_seconds"
    buckets = [value(f"{name}_bucket", **where, le=le) for le in ("0.00025", "0.0005", "30.0", "+Inf")]
    assert buckets == [4, 4, 6, 11]
    assert value(f"{name}_count", **where) == 11
    assert value(f"{name}_sum", **where) == 1.5


def test_before_the_gate_runs_there_is_still_something_to_read() -> None:
    samples = read(Status(started=START, problem="the upstream's socket is missing"))
    assert samples["mutualgate_up", ()] == 0
    assert not [name for name, _ in samples if name.startswith("mutualgate_requests")]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_labels_are_as_the_table_says(metric: Metric) -> None:
    families = {f.name: f for f in text_string_to_metric_families(render(STATUS))}
    family = families[metric.name.removesuffix("_total")]
    assert family.type == metric.type
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert family.samples, "the example has one of each"
    for sample in family.samples:
        assert set(sample.labels) - {"le"} == set(metric.labels)
    assert metric.help.endswith(".") or "see " in metric.help


def test_a_name_cannot_break_out_of_its_label() -> None:
    hostile = 'x"} 1\nmutualgate_up 0\n\\'
    samples = read(replace(STATUS, endings=(Ending("site", hostile, START),)))
    assert samples["mutualgate_up", ()] == 1
    assert ("mutualgate_certificate_not_after_seconds", (("kind", "site"), ("name", hostile))) in samples
