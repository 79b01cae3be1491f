"""What we know, kept: SQL lives in this package and only here."""

from mutualgate.store.store import Store, Transaction

__all__ = ["Store", "Transaction"]
