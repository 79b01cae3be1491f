"""What the judge and the router read, made of the store and the configuration, whole or as a delta."""

from mutualgate.snapshot.builder import build, build_of, delta, delta_of_sites, has_changed
from mutualgate.snapshot.concern import Concern, concern, concern_of
from mutualgate.snapshot.excerpt import build_for, build_of_seen, excerpt_of
from mutualgate.snapshot.records import SiteRecord
from mutualgate.snapshot.sites import site_records

__all__ = [
    "Concern",
    "SiteRecord",
    "build",
    "build_for",
    "build_of",
    "build_of_seen",
    "concern",
    "concern_of",
    "delta",
    "delta_of_sites",
    "excerpt_of",
    "has_changed",
    "site_records",
]
