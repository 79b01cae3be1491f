"""An entry of the change feed: which record the judge has to be told of anew."""

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What changed."""

    CLIENT = "client"
    AUTHORITY = "authority"
    CREDENTIAL = "credential"
    REVOCATION = "revocation"
    SITES = "sites"
    """The configuration that a gate read; it is in no table, the entry only moves the epoch."""
    ALL = "all"
    """Too much to list: build anew."""


@dataclass(frozen=True, slots=True)
class Change:
    """`seq` counts without gaps in the order of commits; `key` is an id, of a revocation `authority:serial` in hex."""

    seq: int
    kind: ChangeKind
    key: str
