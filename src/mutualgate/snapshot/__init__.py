"""What the judge and the router read, made of the store and the configuration, whole or as a delta."""

from mutualgate.snapshot.builder import build, delta, delta_of_sites, has_changed
from mutualgate.snapshot.concern import Concern, concern, concern_of
from mutualgate.snapshot.excerpt import build_for
from mutualgate.snapshot.records import SiteRecord
from mutualgate.snapshot.sites import site_records

__all__ = [
    "Concern",
    "SiteRecord",
    "build",
    "build_for",
    "concern",
    "concern_of",
    "delta",
    "delta_of_sites",
    "has_changed",
    "site_records",
]
