"""The running data plane, and the judge, as the layers above see them. Knows bytes and threads, no rule."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from mutualgate import _engine  # noqa: TID251 - this package is the one door to it
from mutualgate.errors import BadInput, Corrupt, Unavailable
from mutualgate.gate.settings import GateSettings
from mutualgate.priority import undiminished

Verdict = _engine.Verdict
EngineError = _engine.EngineError


class DataPlane:
    """Listeners, TLS and proxying, on threads of their own. Methods may block for as long as their docstring says."""

    def __init__(self, settings: GateSettings, batches: Iterable[bytes]) -> None:
        """Builds the snapshot of `batches` and checks `settings`; serves nothing before `start`.

        Raises `BadInput` that names the setting or the record.
        """
        try:
            self._snapshot = _engine.Snapshot.build(batches)
            self._settings: bytes | None = settings.encode()
            self._mark = _mark(self._settings)
            self._gate = _engine.Gate(self._settings, self._snapshot)
        except EngineError as error:
            raise BadInput(str(error)) from error

    @property
    def epoch(self) -> int:
        """The epoch in force."""
        return self._snapshot.epoch

    @property
    def problems(self) -> list[str]:
        """What partners brought and the judge cannot use, a sentence each; it reads all of theirs."""
        return self._snapshot.problems()

    def start(self, given: Sequence[tuple[str, str, int]] = ()) -> list[str]:
        """Opens the listeners and returns their addresses, with the ports that port 0 became.

        `given` are sockets that listen already: the service (`tls` or `plain`), the address of the settings that each
        stands for, and its descriptor, which belongs to the data plane from then on. Raises `Unavailable` where an
        address cannot be had.
        """
        try:
            listening = undiminished(lambda: self._gate.start(list(given)))
        except EngineError as error:
            raise Unavailable(str(error)) from error
        self._settings = None  # they hold keys, and nobody needs them again
        return listening

    def listening(self) -> list[tuple[str, str, int]]:
        """The sockets that it accepts from, as `start` takes them, by descriptors of the caller's own."""
        with _ours():
            return self._gate.listening()

    def apply(self, delta: bytes) -> int:
        """Puts the next snapshot in force, in microseconds, and returns its epoch. Before `start`, it will be in force.

        Raises `Corrupt` for records that cannot be, and then all stays as it was.
        """
        with _ours():
            return self._swap(self._snapshot.apply(delta))

    def has(self, settings: GateSettings) -> bool:
        """Whether these settings are in force."""
        return _mark(settings.encode()) == self._mark

    def configure(self, settings: GateSettings, batches: Iterable[bytes], *, anew: bool = False) -> int:
        """Puts new settings in force together with records: changes, or all of them `anew`. Connections stay.

        Listeners and workers stay as they are.

        Raises `BadInput`, and then all stays as it was.
        """
        encoded = settings.encode()
        try:
            if anew:
                snapshot = _engine.Snapshot.build(batches)
            else:
                snapshot = self._snapshot
                for batch in batches:
                    snapshot = snapshot.apply(batch)
            epoch = self._gate.configure(encoded, snapshot)
        except EngineError as error:
            raise BadInput(str(error)) from error
        self._snapshot, self._mark = snapshot, _mark(encoded)
        return epoch

    def replace(self, batches: Iterable[bytes]) -> int:
        """Puts a snapshot made anew in force: for a change too large to list. Raises as `apply` does."""
        with _ours():
            return self._swap(_engine.Snapshot.build(batches))

    def _swap(self, snapshot: _engine.Snapshot) -> int:
        if self._settings is None:
            epoch = self._gate.swap(snapshot)
        else:
            self._gate, epoch = _engine.Gate(self._settings, snapshot), snapshot.epoch
        self._snapshot = snapshot
        return epoch

    def publish(self, files: Sequence["Publication"]) -> None:
        """Puts `files` in place at the plain listener."""
        with _ours():
            self._gate.publish(msgspec.msgpack.encode(files))

    def events(self, most: int, wait_seconds: float) -> list[dict[str, Any]]:
        """Takes what happened: refusals, and clients seen for the first time. Waits for the first of them."""
        with _ours():
            events: list[dict[str, Any]] = msgspec.msgpack.decode(self._gate.events(most, wait_seconds))
        return events

    def traces(self, most: int) -> list[dict[str, Any]]:
        """Takes requests that were traced, at most so many (`Record` in `rust/gate/src/trace`). Does not wait."""
        with _ours():
            traces: list[dict[str, Any]] = msgspec.msgpack.decode(self._gate.traces(most))
        return traces

    def counters(self) -> Mapping[str, Any]:
        """All counters, since the start."""
        with _ours():
            counters: dict[str, Any] = msgspec.msgpack.decode(self._gate.counters())
        return counters

    def reopen_access_log(self) -> None:
        """Moves on to a new file after the access log was moved away."""
        with _ours():
            self._gate.reopen_access_log()

    def stop(self, drain_seconds: float, *, in_turn: bool = False) -> Mapping[str, Any]:
        """Accepts nothing new, waits for what is under way for at most `drain_seconds`, then cuts it.

        Connections that idle end at once, or `in_turn`: with their next request, or after a moment without one. That is
        for a process whose listeners another one goes on with.
        """
        with _ours():
            stopped: dict[str, Any] = msgspec.msgpack.decode(self._gate.stop(drain_seconds, in_turn))
        return stopped


class Publication(msgspec.Struct, frozen=True):
    """A file of the plain listener. Past `expires_at` (Unix seconds) it is not served any more."""

    path: str
    content_type: str
    body: bytes
    expires_at: int | None


class Judge:
    """The judge without a gate: the very function that a gate asks."""

    def __init__(self, batches: Iterable[bytes]) -> None:
        with _ours():
            self._snapshot = _engine.Snapshot.build(batches)

    @property
    def epoch(self) -> int:
        """The epoch by which it judges."""
        return self._snapshot.epoch

    @property
    def problems(self) -> list[str]:
        """What partners brought and the judge cannot use, a sentence each: it vouches for nobody."""
        return self._snapshot.problems()

    def after(self, delta: bytes) -> "Judge":
        """The judge as a change would make it; this one stays as it is."""
        with _ours():
            snapshot = self._snapshot.apply(delta)
        changed = object.__new__(Judge)
        changed._snapshot = snapshot
        return changed

    def decide(self, chain: Sequence[bytes], at: int) -> Verdict:
        """Judges a chain (DER, leaf first) at a time (Unix seconds)."""
        return self._snapshot.decide(chain, at)

    def authorize(self, chain: Sequence[bytes], at: int, host: str, path: str) -> Verdict:
        """Judges a request of the holder of `chain`. Raises `BadInput` where no route covers it."""
        try:
            return self._snapshot.authorize(chain, at, host, path)
        except EngineError as error:
            raise BadInput(str(error)) from error

    def compare(
        self, after: "Judge", seen: Sequence[tuple[bytes, bytes | None, str | None, str]], at: int
    ) -> tuple[list[tuple[int, tuple[Verdict, Verdict]]], set[str]]:
        """What this judge and the one `after` a change say of what was `seen`: certificates (DER) one after the other,
        leaf first; the SHA-256 of the key that the gate told to have signed the leaf, if it did: that is believed; a
        host of the site, if that is still there; the path. Other threads run meanwhile.

        Returns the positions of those that are judged otherwise, each with both verdicts: at the place where they were
        seen, or of the certificate alone where no route covers that any more or strangers pass, too. And the names of
        the clients as which the rest comes in, before and after.
        """
        return self._snapshot.compare(after._snapshot, seen, at)


def _mark(settings: bytes) -> bytes:
    """Tells settings apart without keeping them: they hold keys."""
    return hashlib.sha256(settings).digest()


@contextmanager
def _ours() -> Iterator[None]:
    """Around what takes nothing but our own: an error is a broken promise."""
    try:
        yield
    except EngineError as error:
        raise Corrupt(f"the data plane: {error}") from error


def decide_batch(line: bytes) -> bytes:
    """Answers one question of `mutualgate decide --batch`, JSON to JSON."""
    return _engine.decide_batch(line)


def reasons() -> list[tuple[str, str, str]]:
    """Code, meaning and fix of every reason, in the order of judgement."""
    return _engine.reasons()


def field_refused(
    direction: Literal["request", "response"], deed: Literal["add", "set", "remove"], name: str
) -> str | None:
    """Why no header rule may do that to fields of this name; the rest of a sentence that begins with the name."""
    return _engine.field_refused(direction, deed, name)


def names_permitted(rules: Sequence[tuple[str, str]], names: Sequence[str]) -> list[bool]:
    """For each of `names`, as `dns:api.example`, whether one of a partner's `rules`, kinds and patterns, permits it as
    in a certificate."""
    return _engine.names_permitted(rules, names)


def adoption_fault(certificate: bytes, policy: bool) -> str | None:
    """Why nobody could come in under this certificate (DER), were it adopted: the rest of a sentence about it.

    `policy` says whether one is agreed with whose it is: then it may require one.
    """
    return _engine.adoption_fault(certificate, policy)


def most_of_a_name() -> int:
    """So many CAs of one subject are tried for a certificate that does not say by which key it was signed."""
    return _engine.MOST_OF_A_NAME
