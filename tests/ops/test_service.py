"""The watchers' service, asked over a real socket."""

import asyncio
import http.client
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from mutualgate.errors import Unavailable
from mutualgate.ops.service import application
from mutualgate.ops.status import Status
from mutualgate.serving import serving, tcp_socket

GOOD = Status(started=datetime(2026, 11, 24, tzinfo=UTC), epoch=1)


def ask(
    status: Callable[[], Status],
    path: str,
    *,
    host: str | None = None,
    method: str = "GET",
    keys: Callable[[], bytes | None] = lambda: None,
) -> tuple[int, str, str]:
    async def run() -> tuple[int, str, str]:
        listener = tcp_socket("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with serving(application(status, ["watch.example.org"], keys), listener):
            return await asyncio.to_thread(request, port)

    def request(port: int) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, headers={} if host is None else {"Host": host.replace("PORT", str(port))})
        response = connection.getresponse()
        answer = response.status, response.read().decode(), response.headers.get("Content-Type", "")
        connection.close()
        return answer

    return asyncio.run(run())


def test_metrics_are_served() -> None:
    status, body, content_type = ask(lambda: GOOD, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=0.0.4")
    assert "mutualgate_epoch 1\n" in body


def test_the_keys_of_tokens_are_served_where_there_are_some() -> None:
    path = "/.well-known/mutualgate/jwks.json"
    assert ask(lambda: GOOD, path, keys=lambda: b'{"keys":[]}') == (200, '{"keys":[]}', "application/jwk-set+json")
    assert ask(lambda: GOOD, path)[0] == 404


def test_a_gate_that_serves_is_healthy() -> None:
    assert ask(lambda: GOOD, "/healthz")[:2] == (200, "ok\n")


def test_one_that_does_not_says_why() -> None:
    status, body, _ = ask(lambda: Status(started=GOOD.started, problem="nothing listens on 8443"), "/healthz")
    assert status == 503
    assert body == "nothing listens on 8443\n"


def test_a_status_that_fails_is_not_healthy_and_tells_no_secret() -> None:
    def unknown() -> Status:
        raise RuntimeError("passphrase hunter2")

    def known() -> Status:
        raise Unavailable("the store does not answer")

    for path in ("/healthz", "/metrics"):
        status, body, _ = ask(unknown, path)
        assert status == 503
        assert "hunter2" not in body
        assert ask(known, path)[:2] == (503, "the store does not answer\n")


@pytest.mark.parametrize("host", ["localhost:PORT", "LOCALHOST", "[::1]:PORT", "192.0.2.1", "watch.example.org:PORT"])
def test_it_answers_to_addresses_and_to_names_it_was_given(host: str) -> None:
    assert ask(lambda: GOOD, "/healthz", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:PORT", "127.0.0.1.evil.example", "localhost.evil.example", "", "a@127.0.0.1", "[evil]", "1.2.3.4:x"],
)
def test_no_page_from_elsewhere_can_read_it_under_a_name_of_its_own(host: str) -> None:
    status, body, _ = ask(lambda: GOOD, "/metrics", host=host)
    assert status == 421
    assert "mutualgate_" not in body


def test_nothing_else_is_there() -> None:
    assert ask(lambda: GOOD, "/")[0] == 404
    assert ask(lambda: GOOD, "/metrics/")[0] == 404
    assert ask(lambda: GOOD, "/metrics", method="POST")[0] == 405


def test_head_has_no_body() -> None:
    assert ask(lambda: GOOD, "/metrics", method="HEAD")[:2] == (200, "")
