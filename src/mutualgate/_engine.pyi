"""The compiled data plane (rust/binding). Only `mutualgate.gate` imports it."""

from collections.abc import Iterable, Sequence
from typing import final

class EngineError(Exception):
    """The data plane could not do what was asked; the text says what and why."""

@final
class Verdict:
    """What the judge says. Not a truth value: ask `admitted`."""

    @property
    def admitted(self) -> bool: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def certificate(self) -> int | None: ...
    @property
    def detail(self) -> str | None: ...
    @property
    def fix(self) -> str | None: ...
    @property
    def client_id(self) -> int | None: ...
    @property
    def client_name(self) -> str | None: ...
    @property
    def roles(self) -> list[str]: ...
    @property
    def credential_id(self) -> int | None: ...
    @property
    def evidence(self) -> str | None: ...  # credential, pin, partner, signed
    @property
    def partner(self) -> str | None: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def authority(self) -> str | None: ...
    @property
    def route(self) -> str | None: ...
    def __bool__(self) -> bool: ...  # always raises TypeError

@final
class Snapshot:
    """All that the judge reads, at one epoch; immutable."""

    @staticmethod
    def build(batches: Iterable[bytes]) -> Snapshot: ...
    def apply(self, delta: bytes) -> Snapshot: ...
    @property
    def epoch(self) -> int: ...
    def problems(self) -> list[str]: ...
    def decide(self, chain: Sequence[bytes], at: int) -> Verdict: ...
    def authorize(self, chain: Sequence[bytes], at: int, host: str, path: str) -> Verdict: ...
    # `seen`: certificates (DER) one after the other, the key that an event said signed the leaf, the host if it is
    # still served, the path. Returned: the positions of those that are judged otherwise, with both verdicts; the names
    # of the clients as which the rest comes in.
    def compare(
        self, after: Snapshot, seen: Sequence[tuple[bytes, bytes | None, str | None, str]], at: int
    ) -> tuple[list[tuple[int, tuple[Verdict, Verdict]]], set[str]]: ...

@final
class Gate:
    """The running data plane, on threads of its own."""

    def __new__(cls, settings: bytes, snapshot: Snapshot) -> Gate: ...
    # Sockets that listen already: the service (tls, plain), the address of the settings, a descriptor, which it takes.
    def start(self, given: list[tuple[str, str, int]] = ...) -> list[str]: ...  # the addresses it listens on
    def listening(self) -> list[tuple[str, str, int]]: ...  # as `start` takes them; the descriptors are the caller's
    def swap(self, snapshot: Snapshot) -> int: ...  # the epoch in force
    def configure(self, settings: bytes, snapshot: Snapshot) -> int: ...
    def publish(self, files: bytes) -> None: ...
    def events(self, max: int, wait_seconds: float) -> bytes: ...  # msgpack: list of events
    def traces(self, max: int) -> bytes: ...  # msgpack: list of traced requests
    def counters(self) -> bytes: ...  # msgpack
    def reopen_access_log(self) -> None: ...
    def stop(self, drain_seconds: float, in_turn: bool = False) -> bytes: ...  # msgpack: statistics of the stop

def decide_batch(line: bytes) -> bytes:
    """Answers one question of `mutualgate decide --batch`, JSON to JSON."""

def reasons() -> list[tuple[str, str, str]]:
    """Code, meaning and fix of every reason, in the order of judgement."""

def field_refused(direction: str, deed: str, name: str) -> str | None:
    """Why no header rule may do that to fields of this name; the rest of a sentence that begins with the name."""

def names_permitted(rules: Sequence[tuple[str, str]], names: Sequence[str]) -> list[bool]:
    """For each of the names, as `dns:api.example`, whether one of a partner's rules, kinds and patterns, permits it as
    in a certificate."""

def adoption_fault(certificate: bytes, policy: bool) -> str | None:
    """Why nobody could come in under this certificate (DER), were it adopted: the rest of a sentence about it. `policy`
    says whether one is agreed with whose it is."""

MOST_OF_A_NAME: int
"""So many CAs of one subject are tried for a certificate that does not say by which key it was signed."""

__all__ = [
    "MOST_OF_A_NAME",
    "EngineError",
    "Gate",
    "Snapshot",
    "Verdict",
    "adoption_fault",
    "decide_batch",
    "field_refused",
    "names_permitted",
    "reasons",
]
