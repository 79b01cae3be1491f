"""Carries traced requests from the data plane to a collector: one batch at a time, each until it is taken or given up.

Bounded: while the collector does not take a batch, the next ones wait in the data plane, which drops what has no room
and counts it. No request ever waits for any of this.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from mutualgate import __version__
from mutualgate.config import TracingConfig
from mutualgate.config.posting import TRACES_PATH
from mutualgate.errors import MutualgateError, Unavailable
from mutualgate.notices.failure import Failure, said
from mutualgate.notices.http_post import Answer, post
from mutualgate.notices.secret_file import read_fields
from mutualgate.tracing import otlp

MOST = 512
"""Requests of a batch."""
TRIES = 9
"""How often a batch is tried: with the pauses between, some four minutes."""
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_AGAIN_LATER = (429, 502, 503, 504)
"""Answers after which the same batch may be taken another time (OTLP 1, "Retryable Response Codes")."""


class Source(Protocol):
    """What traced requests are taken from: the data plane."""

    def traces(self, most: int) -> Sequence[Mapping[str, Any]]:
        """At most `most`, without a wait."""


@dataclass(frozen=True)
class Tally:
    """What became of spans since the start, but those that the data plane dropped."""

    sent: int = 0
    failed: int = 0
    """Given up: the collector was not there, or did not want the batch."""
    rejected: int = 0
    """Of batches that it took, those that it did not."""
    waiting: int = 0
    problem: str | None = None
    """Why the last try failed, for an operator."""


class Exporter:
    """What exports, in one process; `config` gives what is in force."""

    def __init__(
        self,
        source: Source,
        config: Callable[[], TracingConfig],
        instance: str,
        *,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._source = source
        self._config = config
        self._instance = instance
        self._first_pause = self._pause = pause_seconds
        self._batch: Sequence[Mapping[str, Any]] = ()
        self._tries = 0
        self._one = threading.Lock()
        self.tally = Tally()

    @property
    def pause(self) -> float:
        """Seconds until `send` is due again."""
        return self._pause

    def send(self) -> None:
        """Sends what there is, in batches. Raises `Unavailable`."""
        with self._one:
            config = self._config()
            if config.endpoint is None:
                self._forget()
                return
            while self._batch or self._take():
                self._send(config, config.endpoint)

    def last(self, seconds: float) -> None:
        """Sends what is left, in one try: for the end of the process. Waits `seconds` for a try that is under way."""
        if not self._one.acquire(timeout=seconds):
            return
        try:
            config = self._config()
            with contextlib.suppress(Unavailable):
                while config.endpoint is not None and (self._batch or self._take()):
                    self._send(config, config.endpoint)
        finally:
            self._one.release()

    def _take(self) -> bool:
        self._batch, self._tries = self._source.traces(MOST), 0
        return bool(self._batch)

    def _forget(self) -> None:
        self._batch = ()
        while self._source.traces(MOST):
            pass
        self._pause = self._first_pause
        self.tally = replace(self.tally, waiting=0, problem=None)

    def _send(self, config: TracingConfig, endpoint: str) -> None:
        spans = otlp.count(self._batch)
        where = urlsplit(endpoint).netloc
        try:
            answer = self._post(config, endpoint)
        except Failure as failure:
            raise self._failed(spans, str(failure)) from failure
        except MutualgateError as error:
            raise self._failed(spans, str(error)) from error
        if answer.status in _AGAIN_LATER:
            raise self._failed(spans, f"{where} answers {answer.status}", retry_after=answer.retry_after)
        if not 200 <= answer.status < 300:
            raise self._failed(spans, f"{where} answers {answer.status}", final=True)
        rejected, why = _rejected(answer.body)
        rejected = min(rejected, spans)
        self._batch, self._pause = (), self._first_pause
        problem = f"{where} rejected {rejected} of {spans} spans ({why})" if rejected else None
        tally = self.tally
        self.tally = Tally(tally.sent + spans - rejected, tally.failed, tally.rejected + rejected, 0, problem)

    def _post(self, config: TracingConfig, endpoint: str) -> Answer:
        own = {} if config.headers_file is None else read_fields(config.headers_file)
        headers = {**own, "Content-Type": "application/json", "User-Agent": f"mutualgate/{__version__}"}
        body = otlp.encode(self._batch, config.service, self._instance)
        seconds = config.timeout.total_seconds()
        return post(endpoint + TRACES_PATH, body, headers, ca_file=config.ca_file, seconds=seconds)

    def _failed(self, spans: int, why: str, *, final: bool = False, retry_after: str = "") -> Unavailable:
        self._tries += 1
        given_up = final or self._tries >= TRIES
        if given_up:
            self._batch, self._pause = (), self._first_pause
        else:
            # A bit of chance, so that many gates do not come back at once.
            pause = self._first_pause * 2**self._tries * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
            asked = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
            self._pause = min(max(pause, asked), _LONGEST_PAUSE_SECONDS)
        tally = self.tally
        failed, waiting = (tally.failed + spans, 0) if given_up else (tally.failed, spans)
        self.tally = replace(tally, failed=failed, waiting=waiting, problem=why)
        return Unavailable(why)


def _rejected(body: bytes) -> tuple[int, str]:
    """How many spans of a batch the collector did not want (ExportTracePartialSuccess), and why it says so."""
    try:
        partial = msgspec.json.decode(body).get("partialSuccess") or {}
        return max(0, int(partial.get("rejectedSpans", 0))), said(str(partial.get("errorMessage", "")))
    except (ValueError, TypeError, AttributeError):
        return 0, ""  # an answer that is not JSON is one without a word about it
