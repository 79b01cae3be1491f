"""Who did what, when: an append-only record in which every entry covers the one before it."""

from mutualgate.audit.chain import Broken, Verified, recent, record, record_many, verify
from mutualgate.model.audit import Facts

__all__ = ["Broken", "Facts", "Verified", "recent", "record", "record_many", "verify"]
