"""The metrics: a table of what there is, and the Prometheus text of a `Status` (exposition format 0.0.4).

Totals end in `_total`; times are in seconds, sizes in bytes. No label has values that clients choose.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mutualgate import __version__
from mutualgate.ops.status import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PASSED = ("admitted", "anonymous")

Labels = tuple[tuple[str, str], ...]
Samples = Iterator[tuple[str, Labels, float | int]]
"""What follows the metric's name (`_bucket`, or nothing), the labels, the number."""


@dataclass(frozen=True)
class Metric:
    """One row of the reference page."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Mapping[str, str]
    """Each label and what it says."""
    samples: Callable[[Status], Samples]


def render(status: Status) -> str:
    """The text that Prometheus reads."""
    lines: list[str] = []
    for metric in METRICS:
        lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.type}")
        for suffix, labels, number in metric.samples(status):
            shown = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels)
            lines.append(f"{metric.name}{suffix}{{{shown}}} {number}" if shown else f"{metric.name}{suffix} {number}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _one(number: Callable[[Status], float | int | None]) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        if (value := number(status)) is not None:
            yield "", (), value

    return samples


def _counter(field: str) -> Callable[[Status], Samples]:
    return _one(lambda status: status.counters.get(field))


def _labelled(field: str, label: str) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        for value, number in _pairs(status.counters.get(field, ())):
            yield "", ((label, value),), number

    return samples


def _pairs(value: Iterable[Sequence[Any]]) -> Iterator[tuple[str, int]]:
    return ((str(name), int(number)) for name, number in value)


def _verdicts(status: Status) -> Samples:
    for code, number in _pairs(status.counters.get("verdicts", ())):
        passed = code in PASSED
        yield "", (("verdict", code if passed else "refused"), ("reason", "" if passed else code)), number


def _requests(status: Status) -> Samples:
    for route in status.counters.get("requests", ()):
        for digit, number in enumerate(route["classes"]):
            yield "", (*_where(route), ("status", f"{digit}xx" if digit else "none")), int(number)


def _durations(status: Status) -> Samples:
    bounds = status.counters.get("latency_bounds_us", ())
    for route in status.counters.get("requests", ()):
        below = 0
        # One bucket more than there are bounds; Prometheus wants each to hold those before it, too.
        for bound, number in zip((*bounds, None), route["latency"], strict=True):
            below += int(number)
            yield "_bucket", (*_where(route), ("le", "+Inf" if bound is None else repr(bound / 1_000_000))), below
        yield "_sum", _where(route), route["latency_sum_us"] / 1_000_000
        yield "_count", _where(route), below


def _servers(field: str) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        for server in status.counters.get("servers", ()):
            yield "", tuple((label, str(server[label])) for label in _SERVER), int(server[field])

    return samples


def _servers_up(status: Status) -> Samples:
    for server in status.counters.get("servers", ()):
        yield "", tuple((label, str(server[label])) for label in _SERVER), int(server["state"] == "up")


def _where(route: Mapping[str, Any]) -> Labels:
    return ("site", str(route["site"])), ("route", str(route["route"]))


def _dropped(status: Status) -> Samples:
    for field, kind in (
        ("dropped_refusals", "refusal"),
        ("dropped_notices", "notice"),
        ("dropped_access_lines", "access_line"),
    ):
        if field in status.counters:
            yield "", (("kind", kind),), int(status.counters[field])


def _spans(status: Status) -> Samples:
    for end in ("sent", "failed", "rejected"):
        if end in status.spans:
            yield "", (("end", end),), int(status.spans[end])
    if "dropped_spans" in status.counters:
        yield "", (("end", "dropped"),), int(status.counters["dropped_spans"])


def _endings(of_lists: bool) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        for ending in status.endings:
            if of_lists and ending.kind == "crl":
                yield "", (("authority", ending.name),), int(ending.at.timestamp())
            elif not of_lists and ending.kind != "crl":
                yield "", (("kind", ending.kind), ("name", ending.name)), int(ending.at.timestamp())

    return samples


def _lists_behind(status: Status) -> Samples:
    for name, behind in status.lists_behind.items():
        yield "", (("authority", name),), int(behind)


def _clients(status: Status) -> Samples:
    for state, number in status.clients.items():
        yield "", (("state", state),), number


def _letters(status: Status) -> Samples:
    for state, number in status.letters.items():
        yield "", (("state", state),), number


def _partner_lists(field: str) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        for one in status.partner_lists:
            labels = ("partner", str(one["partner"])), ("ca", str(one["ca"]))
            value = one[field]
            if isinstance(value, str):
                value = int(datetime.fromisoformat(value).timestamp())
            if value is not None:
                yield "", labels, value

    return samples


def _key_sets(status: Status) -> Samples:
    if status.key_sets is not None:
        yield "", (("state", "read"),), status.key_sets.sets - status.key_sets.failing
        yield "", (("state", "failing"),), status.key_sets.failing


def _published_keys(status: Status) -> Samples:
    if status.key_sets is not None:
        for state, number in status.key_sets.keys.items():
            yield "", (("state", state),), number


def _nearest(status: Status) -> Samples:
    for one in status.expiring:
        if one.nearest is not None:
            yield "", (("kind", str(one.kind)),), int(one.nearest.timestamp())


def _expiring(status: Status) -> Samples:
    for one in status.expiring:
        for days, number in one.within.items():
            yield "", (("kind", str(one.kind)), ("within_days", str(days))), number


def _build(status: Status) -> Samples:
    yield "", (("version", __version__),), 1


_EXPIRY_KINDS = "credential, pin, partner-ca and so on: as `mutualgate expiring` says"
_PARTNER_AND_CA = {"partner": "its name", "ca": "the number of its CA"}
_SERVER = {
    "upstream": "its name, or the address of its only server",
    "server": "the server as it is set",
    "address": "where it is reached",
}
_SITE_AND_ROUTE = {"site": "the site's name, `other` for none", "route": "the route's path, `other` for none"}

METRICS: tuple[Metric, ...] = (
    Metric("mutualgate_build_info", "gauge", "Always 1.", {"version": "of the package"}, _build),
    Metric("mutualgate_up", "gauge", "1 when the gate serves, 0 when not.", {}, _one(lambda s: int(s.problem is None))),
    Metric(
        "mutualgate_start_time_seconds",
        "gauge",
        "When the process started, in seconds since 1970.",
        {},
        _one(lambda s: int(s.started.timestamp())),
    ),
    Metric("mutualgate_epoch", "gauge", "The epoch of the trust that is in force.", {}, _one(lambda s: s.epoch)),
    Metric(
        "mutualgate_store_epoch",
        "gauge",
        "The latest epoch of the store; alert when it stays ahead of mutualgate_epoch.",
        {},
        _one(lambda s: s.store_epoch),
    ),
    Metric("mutualgate_clients", "gauge", "Clients.", {"state": "active, suspended and so on"}, _clients),
    Metric(
        "mutualgate_handshakes_total",
        "counter",
        "TLS handshakes. A complete one says nothing of the certificate: see mutualgate_verdicts_total.",
        {"end": "full, resumed, or why it failed"},
        _labelled("handshakes", "end"),
    ),
    Metric(
        "mutualgate_memory_bytes",
        "gauge",
        "Memory of the process.",
        {},
        _counter("memory_bytes"),
    ),
    Metric(
        "mutualgate_memory_stage",
        "gauge",
        "How short memory is: 0 not, 1 idle connections are closed, 2 no new ones are taken, 3 requests get 503. Alert "
        "above 0.",
        {},
        _counter("memory_stage"),
    ),
    Metric(
        "mutualgate_limited_total",
        "counter",
        "Connections and requests that were turned away because of a limit; `mutualgate status` says whose.",
        {
            "limit": "the limit, as its setting is called: `address_…`, `client_…`, `min_…_rate` of `[gate.limits]`; "
            "`site_…`, `route_…`, `max_connections`; `idle_connections` closed to make room; `memory_…` turned away or "
            "cut for want of memory"
        },
        _labelled("limited", "limit"),
    ),
    Metric(
        "mutualgate_verdicts_total",
        "counter",
        "Requests by what was decided about their client.",
        {"verdict": "admitted, anonymous or refused", "reason": "the reason of a refusal"},
        _verdicts,
    ),
    Metric(
        "mutualgate_requests_total",
        "counter",
        "Requests that were answered, by whomever.",
        {**_SITE_AND_ROUTE, "status": "2xx, 3xx and so on"},
        _requests,
    ),
    Metric(
        "mutualgate_request_duration_seconds",
        "histogram",
        "From the head of a request to the end of the answer.",
        _SITE_AND_ROUTE,
        _durations,
    ),
    Metric(
        "mutualgate_upstream_errors_total",
        "counter",
        "Requests that their upstream did not answer.",
        {"error": "how it failed"},
        _labelled("upstream_errors", "error"),
    ),
    Metric(
        "mutualgate_upstream_requests_total",
        "counter",
        "Requests that were sent to a server of an upstream, other attempts among them.",
        _SERVER,
        _servers("requests"),
    ),
    Metric(
        "mutualgate_upstream_failures_total",
        "counter",
        "Requests that a server of an upstream did not answer.",
        _SERVER,
        _servers("failures"),
    ),
    Metric(
        "mutualgate_upstream_retries_total",
        "counter",
        "Requests that were sent to another server after this one gave no answer.",
        _SERVER,
        _servers("retries"),
    ),
    Metric(
        "mutualgate_upstream_ejections_total",
        "counter",
        "How often a server was left out for its failures.",
        _SERVER,
        _servers("ejections"),
    ),
    Metric(
        "mutualgate_upstream_up",
        "gauge",
        "1 while a server gets requests, 0 while it drains, is not well or is left out.",
        _SERVER,
        _servers_up,
    ),
    Metric("mutualgate_connections", "gauge", "Connections that are open.", {}, _counter("open_connections")),
    Metric(
        "mutualgate_connections_accepted_total",
        "counter",
        "Connections since the start.",
        {},
        _counter("accepted_connections"),
    ),
    Metric(
        "mutualgate_connections_cut_total",
        "counter",
        "Connections that were cut since their client is no longer admitted.",
        {},
        _counter("cut_connections"),
    ),
    Metric("mutualgate_request_body_bytes_total", "counter", "Bytes of request bodies.", {}, _counter("bytes_in")),
    Metric("mutualgate_response_body_bytes_total", "counter", "Bytes of answers' bodies.", {}, _counter("bytes_out")),
    Metric(
        "mutualgate_events_dropped_total",
        "counter",
        "Events that nobody took in time.",
        {"kind": "refusal, notice or access_line"},
        _dropped,
    ),
    Metric(
        "mutualgate_spans_total",
        "counter",
        "Spans of traced requests; alert when others than those sent grow.",
        {
            "end": "sent; dropped, since too many waited; failed: the collector was not there or did not want the "
            "batch; rejected: it took the batch without them"
        },
        _spans,
    ),
    Metric(
        "mutualgate_certificate_not_after_seconds",
        "gauge",
        "When a certificate of the gate's own ends, in seconds since 1970.",
        {"kind": "authority or site", "name": "its name"},
        _endings(False),
    ),
    Metric(
        "mutualgate_crl_next_update_seconds",
        "gauge",
        "When a revocation list has to be replaced, in seconds since 1970.",
        {"authority": "its name"},
        _endings(True),
    ),
    Metric(
        "mutualgate_crl_behind",
        "gauge",
        "Whether a revocation list does not tell of the last revocations yet: 1, or 0. The gate refuses at once; the "
        "longer a list takes to make, the rarer it is made anew.",
        {"authority": "its name"},
        _lists_behind,
    ),
    Metric(
        "mutualgate_letters",
        "gauge",
        "E-mails and calls of the webhook that are not sent yet; alert on any that is dead.",
        {"state": "waiting, or dead: given up"},
        _letters,
    ),
    Metric(
        "mutualgate_expiry_nearest_seconds",
        "gauge",
        "When the next of a kind ends that has no successor, in seconds since 1970; up to a week ago.",
        {"kind": _EXPIRY_KINDS},
        _nearest,
    ),
    Metric(
        "mutualgate_expiring",
        "gauge",
        "How many of a kind end within so many days, or did in the last week, and have no successor.",
        {"kind": _EXPIRY_KINDS, "within_days": "90, 60, 30, 14, 7 or 1"},
        _expiring,
    ),
    Metric(
        "mutualgate_partner_list_next_update_seconds",
        "gauge",
        "When the first of the revocation lists of a partner's CA has to be replaced, in seconds since 1970.",
        _PARTNER_AND_CA,
        _partner_lists("next_update"),
    ),
    Metric(
        "mutualgate_partner_list_age_seconds",
        "gauge",
        "How long ago the oldest of the revocation lists of a partner's CA was made.",
        _PARTNER_AND_CA,
        _partner_lists("age_seconds"),
    ),
    Metric(
        "mutualgate_partner_list_entries",
        "gauge",
        "Certificates that a partner's CA revoked.",
        _PARTNER_AND_CA,
        _partner_lists("entries"),
    ),
    Metric(
        "mutualgate_partner_list_errors",
        "gauge",
        "Addresses of a partner's CA that could not be fetched when they were tried last.",
        _PARTNER_AND_CA,
        _partner_lists("errors"),
    ),
    Metric(
        "mutualgate_key_sets",
        "gauge",
        "Clients whose published keys are watched; alert on any that is failing for long.",
        {"state": "read, or failing: could not be fetched or used when it was tried last"},
        _key_sets,
    ),
    Metric(
        "mutualgate_key_sets_oldest_seconds",
        "gauge",
        "How long ago the published keys were read that were not read for the longest time.",
        {},
        _one(lambda s: None if s.key_sets is None else s.key_sets.oldest_seconds),
    ),
    Metric(
        "mutualgate_published_keys",
        "gauge",
        "Keys that watched clients published, by what became of them.",
        {"state": "waiting, pinned, declined, refused or withdrawn"},
        _published_keys,
    ),
)
"""Everything that `/metrics` shows, in its order; the reference page is made of it."""
