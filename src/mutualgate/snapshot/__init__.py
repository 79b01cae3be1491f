"""What the judge and the router read, made of the store and the configuration, whole or as a delta."""

from mutualgate.snapshot.builder import build, delta

__all__ = ["build", "delta"]
