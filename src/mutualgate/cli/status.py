"""`mutualgate status`: what runs, whether it is well, and what will need somebody soon."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import NO, emit, plain, table
from mutualgate.counts import counted
from mutualgate.model.expiring import ExpiryKind

# Of those that met limits most often; --json has up to 64.
_MOST = 3

_STAGES = ("", "idle connections are closed", "no new connections are taken", "requests are turned away")


def status(dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Show the running gate: where it listens, its epoch, what it served and refused. Exit status 1: none runs.

    Example: mutualgate status --json
    """
    from mutualgate.app import Folder, control
    from mutualgate.clock import system_clock

    folder = Folder(dir)
    folder.require()
    answer = control.ask(folder, "status")
    if answer is None:
        emit({"running": False}, f"No gate runs on {plain(dir)}. Start one: mutualgate up --dir {plain(dir)}", json)
        return NO
    emit({"running": True, **answer}, text(answer, system_clock()), json)
    return 0


def text(answer: Mapping[str, Any], now: datetime) -> str:
    """The gate's answer for people, what is wrong first."""
    warnings = [f"!  {warning}" for warning in _warnings(answer, now)]
    counters = answer["counters"]
    verdicts = {str(name): int(number) for name, number in counters["verdicts"]}
    admitted, anonymous = verdicts.pop("admitted", 0), verdicts.pop("anonymous", 0)
    started = datetime.fromisoformat(answer["started"])
    clients = [f"{number} {state}" for state, number in answer["clients"].items() if number]
    connections = f"{counters['open_connections']} open, {counters['accepted_connections']} accepted, "
    connections += f"{counters['cut_connections']} cut"
    rows = [
        ("running", f"process {answer['pid']}, since {started:%Y-%m-%d %H:%M:%S} UTC ({_span(now - started)})"),
        ("listening", ", ".join(answer["listening"])),
        ("sites", plain(", ".join(answer["sites"]))),
        ("configuration", plain(answer["configuration"])),
        ("epoch", answer["epoch"]),
        ("clients", ", ".join(clients) or "none yet"),
        ("connections", connections),
        ("handshakes", _counts(counters["handshakes"])),
        ("requests", f"{admitted} admitted, {anonymous} without a certificate, {sum(verdicts.values())} refused"),
        ("answers", _answers(counters["requests"])),
        ("refused for", _counts(verdicts.items(), "mutualgate explain")),
        ("upstream errors", _counts(counters["upstream_errors"], "mutualgate upstream list")),
        *_limited(counters),
        *_memory(counters),
        *_traces(answer),
    ]
    expiring = _expiring(answer["expiring"])
    rows += [("expiring", expiring)] if expiring else []
    ends = sorted((at, what) for what, at in _endings(answer))
    rows += [("ends next", f"{plain(what)}: {at:%Y-%m-%d %H:%M} UTC") for at, what in ends[:1]]
    return "\n".join([*warnings, table(("", ""), rows).lstrip("\n")])


def _limited(counters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which limits were met how often, and by whom most; nothing where none was."""
    if not any(number for _, number in counters["limited"]):
        return []
    most = [
        f"{plain(one['who']) or 'all'} {one['times']} times at {one['limit']}, last {_time(one['last'])}"
        for one in counters["limited_most"][:_MOST]
    ]
    return [("turned away at", _counts(counters["limited"])), ("most of them", "; ".join(most))]


def _memory(counters: Mapping[str, Any]) -> list[tuple[str, str]]:
    used = counters.get("memory_bytes")
    return [] if used is None else [("memory", f"{used >> 20} MiB")]


def _traces(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    tally = answer.get("tracing")
    if tally is None:
        return []
    dropped = answer["counters"].get("dropped_spans", 0)
    counts = [*((key, tally[key]) for key in ("sent", "failed", "rejected")), ("dropped", dropped)]
    return [("spans", _counts((name, number) for name, number in counts))]


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _expiring(figures: list[Mapping[str, Any]]) -> str:
    """The short form: what ends within a month; the list says more."""
    within = [(one["within"]["30"], ExpiryKind(one["kind"]).noun) for one in figures]
    found = [counted(number, noun) for number, noun in within if number]
    return f"{', '.join(found)} within 30 days: mutualgate expiring" if found else ""


def _warnings(answer: Mapping[str, Any], now: datetime) -> list[str]:
    found = []
    if answer["configuration_problem"]:
        found.append(f"mutualgate.toml as it is now is not in force: {plain(answer['configuration_problem'])}")
    if answer["key_log"]:
        found.append(f"the secrets of all connections are written to {plain(answer['key_log'])}")
    if answer["store_epoch"] != answer["epoch"]:
        found.append(f"the gate is at epoch {answer['epoch']}, the store at {answer['store_epoch']}: see its log")
    found += [_ending(one, now) for one in answer.get("ending", ())]  # an older gate says nothing of it
    for one in answer["partner_lists"]:
        if one["problem"]:
            partner = plain(one["partner"])
            found.append(
                f"revocation under CA {one['ca']} of the partner {partner}: {plain(one['problem'])}. "
                f"Its addresses, to approve or try again: mutualgate partner crl list {shlex.quote(partner)}"
            )
    for client, problem in answer["key_sets"]["problems"]:
        again = f"mutualgate client keys fetch {shlex.quote(plain(client))}"
        found.append(f"the published keys of {plain(client)}: {plain(problem)}. Try again: {again}")
    if waiting := answer["key_sets"]["keys"].get("waiting"):
        keys = counted(waiting, "published key waits for its time", "published keys wait for their time")
        found.append(f"{keys}: mutualgate client keys list")
    found += [f"nobody is let in by it: {plain(problem)}" for problem in answer["partner_problems"]]
    letters = answer["letters"]
    if letters["dead"]:
        were = counted(letters["dead"], "letter could not be sent and was", "letters could not be sent and were")
        found.append(f"{were} given up: mutualgate notices list")
    if letters["waiting"] and letters["error"]:
        found.append(f"{counted(letters['waiting'], 'letter waits', 'letters wait')}: {plain(letters['error'])}")
    if (tally := answer.get("tracing")) and tally["problem"]:
        found.append(f"traces do not arrive: {plain(tally['problem'])}")
    if stage := answer["counters"].get("memory_stage"):
        found.append(f"memory is short: {_STAGES[stage]}; see gate.memory_limit")
    for name, of in (("dropped_refusals", "refusal"), ("dropped_access_lines", "access line")):
        if number := answer["counters"].get(name):
            dropped = counted(number, f"{of} was dropped", f"{of}s were dropped")
            found.append(f"{dropped}: they came faster than they could be written, or could not be written at all")
    return found


def _ending(one: Mapping[str, Any], now: datetime) -> str:
    from mutualgate.notices.expiry import WORDS

    what = f"{WORDS[ExpiryKind(one['kind'])]} {plain(one['name'])}".removeprefix("the ")
    at = datetime.fromisoformat(one["ends"])
    when = f"ended on {at:%Y-%m-%d %H:%M} UTC"
    if at > now:
        when = f"ends on {at:%Y-%m-%d %H:%M} UTC, in {_span(at - now)}"
    return f"the {what} {when}: {plain(one['command'])}"


def _endings(answer: Mapping[str, Any]) -> list[tuple[str, datetime]]:
    """What the gate stands on, and when it ends."""
    kinds = (
        ("certificates", "the certificate of the site"),
        ("authorities", "the authority"),
        ("lists", "the revocation list of"),
    )
    return [(f"{what} {name}", datetime.fromisoformat(at)) for key, what in kinds for name, at in answer[key].items()]


def _counts(pairs: Any, more: str = "") -> str:
    """`more` is the command that says more of them."""
    counts = ", ".join(f"{number} {name}" for name, number in pairs if number)
    return f"{counts}: {more}" if counts and more else counts or "none"


def _answers(routes: Any) -> str:
    """By the first digit of the status."""
    sums = [sum(numbers) for numbers in zip(*(route["classes"] for route in routes), strict=True)]
    return _counts((f"{digit}xx", number) for digit, number in enumerate(sums))


def _span(span: timedelta) -> str:
    """In the two largest units."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])
