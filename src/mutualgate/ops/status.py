"""What the watchers are told of, at one moment: put together by whoever runs the gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mutualgate.notices.expiry import Summary
from mutualgate.partners.key_sets import KeySetFigures


@dataclass(frozen=True)
class Ending:
    """Something that ends one day: a certificate at notAfter, a revocation list at nextUpdate."""

    kind: str
    """`authority`, `site` or `crl`; never a client, since a label of each would be a million series."""
    name: str
    at: datetime


@dataclass(frozen=True)
class Status:
    """The gate at one moment."""

    started: datetime
    problem: str | None = None
    """Why the gate cannot serve, in a sentence for an operator without a secret in it; None when it serves."""
    epoch: int | None = None
    """The epoch of the snapshot in force."""
    store_epoch: int | None = None
    """The latest epoch of the store; ahead of `epoch` while a change is on its way."""
    clients: Mapping[str, int] = field(default_factory=dict)
    """How many clients there are in each state."""
    endings: Sequence[Ending] = ()
    lists_behind: Mapping[str, bool] = field(default_factory=dict)
    """Of our authorities' revocation lists, whether one does not tell of the last revocations yet."""
    letters: Mapping[str, int] = field(default_factory=dict)
    """How many letters wait and how many were given up; the states of `LetterState`."""
    partner_lists: Sequence[Mapping[str, Any]] = ()
    """How it stands with what partners' CAs revoked: see `app.overview.Figures`."""
    key_sets: KeySetFigures | None = None
    """How it stands with clients that publish their keys; None where that is not known yet."""
    expiring: Sequence[Summary] = ()
    """What ends, in figures; of clients, too, so no name is in it."""
    counters: Mapping[str, Any] = field(default_factory=dict)
    """The gate's counters, decoded from what `Counters::snapshot` gives (`rust/gate/src/counters.rs`); empty before the
    data plane runs. A counter that is not there is left out, one that is unknown is ignored."""
    spans: Mapping[str, Any] = field(default_factory=dict)
    """What became of the spans of traced requests: see `tracing.Tally`; empty before the data plane runs."""
