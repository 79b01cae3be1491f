"""An entry of the change feed: which record the judge has to be told of anew."""

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What changed."""

    CLIENT = "client"
    AUTHORITY = "authority"
    CREDENTIAL = "credential"
    REVOCATION = "revocation"
    PIN = "pin"
    PARTNER = "partner"
    """A partner with its rules and intermediates."""
    ANCHOR = "anchor"
    """A CA of a partner, with the lists and answers that are in force for it."""
    MEMBER = "member"
    """A client inside a partner; the key is `partner:name`."""
    FOREIGN = "foreign"
    """A serial number that a partner's CA revoked; the key is `anchor:serial`, the serial in hex."""
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
