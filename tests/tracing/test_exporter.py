"""A collector that is not there, does not want it, or comes back."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import collector
import pytest
from publisher import Page, Publisher, publisher
from tracing.test_otlp import call, record

from mutualgate.config import TracingConfig
from mutualgate.errors import Unavailable
from mutualgate.tracing import Exporter
from mutualgate.tracing.exporter import MOST, TRIES

PAUSE = 0.001


class Plane:
    """Gives what waits."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.waiting = list(records)

    def traces(self, most: int) -> list[dict[str, Any]]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken


@pytest.fixture
def server() -> Iterator[Publisher]:
    with publisher() as server:
        server.pages[collector.PATH] = Page(b"{}")
        yield server


def config(server: Publisher, **changes: Any) -> TracingConfig:
    made = TracingConfig(
        endpoint=server.url("").rstrip("/"),
        sample=1.0,
        accept=False,
        service="mutualgate",
        headers_file=None,
        ca_file=None,
        timeout=timedelta(seconds=10),
    )
    return replace(made, **changes)


def exporter(plane: Plane, made: TracingConfig) -> Exporter:
    return Exporter(plane, lambda: made, "instance", pause_seconds=PAUSE)


def test_all_that_waits_is_sent_in_batches(server: Publisher) -> None:
    plane = Plane(*(record(call=call()) for _ in range(MOST + 1)))
    one = exporter(plane, config(server))
    one.send()
    sizes = [len(collector.read(asked.body)) for asked in server.asked]
    assert sizes == [2 * MOST, 2]
    assert {(asked.path, asked.headers["Content-Type"]) for asked in server.asked} == {
        ("/v1/traces", "application/json")
    }
    assert (one.tally.sent, one.tally.waiting, one.tally.problem) == (2 * MOST + 2, 0, None)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_batch_is_sent_again_to_a_collector_that_cannot_take_it_now(server: Publisher, status: int) -> None:
    server.pages[collector.PATH] = Page(status=status)
    plane = Plane(record(), record(call=call()))
    one = exporter(plane, config(server))
    for tried in range(1, 4):
        with pytest.raises(Unavailable, match=f"answers {status}"):
            one.send()
        # Longer each time, and by chance up to half of it less.
        assert PAUSE * 2**tried / 2 <= one.pause <= PAUSE * 2**tried
        assert (one.tally.waiting, one.tally.sent) == (3, 0)
    assert f"answers {status}" in str(one.tally.problem)
    server.pages[collector.PATH] = Page(b"{}")
    plane.waiting.append(record())
    one.send()
    bodies = [collector.read(asked.body) for asked in server.asked]
    assert [len(spans) for spans in bodies] == [3, 3, 3, 3, 1]
    assert (one.tally.sent, one.tally.failed, one.tally.waiting, one.tally.problem) == (4, 0, 0, None)
    assert one.pause == PAUSE


def test_a_collector_that_says_when_is_not_asked_before(server: Publisher) -> None:
    one = exporter(Plane(record()), config(server))
    for said, pause in (("30", 30), ("99999", 60)):
        server.pages[collector.PATH] = Page(status=503, headers={"Retry-After": said})
        with pytest.raises(Unavailable):
            one.send()
        assert one.pause == pause


def test_a_collector_that_is_not_there_is_tried_so_often_and_no_more(server: Publisher) -> None:
    with publisher() as gone:
        nowhere = gone.url("").rstrip("/")
    one = exporter(Plane(record(), record()), config(server, endpoint=nowhere))
    for _ in range(TRIES):
        assert one.tally.failed == 0
        with pytest.raises(Unavailable, match="cannot be reached"):
            one.send()
    assert (one.tally.failed, one.tally.waiting, one.pause) == (2, 0, PAUSE)
    one.send()  # there is nothing left


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_a_batch_that_the_collector_does_not_want_is_given_up_at_once(server: Publisher, status: int) -> None:
    server.pages[collector.PATH] = Page(status=status, headers={"Location": server.url("/elsewhere")})
    one = exporter(Plane(record()), config(server))
    with pytest.raises(Unavailable, match=f"answers {status}"):
        one.send()
    one.send()
    assert (len(server.asked), one.tally.failed) == (1, 1)


def test_what_the_collector_rejects_of_a_batch_is_counted(server: Publisher) -> None:
    server.pages[collector.PATH] = Page(b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too\\u001b old"}}')
    one = exporter(Plane(record(), record(), record()), config(server))
    one.send()
    assert (one.tally.sent, one.tally.rejected) == (1, 2)
    assert str(one.tally.problem).endswith("rejected 2 of 3 spans (too old)")


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b"\xff", b'{"partialSuccess": {"rejectedSpans": "x"}}'])
def test_an_answer_that_says_nothing_is_a_yes(server: Publisher, answer: bytes) -> None:
    server.pages[collector.PATH] = Page(answer)
    one = exporter(Plane(record()), config(server))
    one.send()
    assert (one.tally.sent, one.tally.rejected) == (1, 0)


def test_header_fields_are_read_from_a_file_that_nobody_else_may_read(server: Publisher, tmp_path: Path) -> None:
    headers_file = tmp_path / "headers"
    headers_file.write_text("Authorization: Bearer sesame\nX-Scope-OrgID:  team 7 \n\n")
    headers_file.chmod(0o644)
    one = exporter(Plane(record()), config(server, headers_file=headers_file))
    with pytest.raises(Unavailable, match="others may read it") as error:
        one.send()
    assert "sesame" not in f"{error.value} {one.tally}"
    assert server.asked == []
    headers_file.chmod(0o600)
    one.send()
    (asked,) = server.asked
    assert (asked.headers["Authorization"], asked.headers["X-Scope-OrgID"]) == ("Bearer sesame", "team 7")


def test_at_the_end_what_is_left_gets_one_try(server: Publisher) -> None:
    server.pages[collector.PATH] = Page(status=503)
    one = exporter(Plane(record()), config(server))
    one.last(1)
    assert len(server.asked) == 1
    server.pages[collector.PATH] = Page(b"{}")
    one.last(1)
    assert one.tally.sent == 1


def test_what_was_traced_before_tracing_was_turned_off_is_forgotten(server: Publisher) -> None:
    plane = Plane(*(record() for _ in range(MOST + 1)))
    one = exporter(plane, config(server, endpoint=None))
    one.send()
    one.last(1)
    assert (plane.waiting, server.asked) == ([], [])
