"""What the judge and the router read, made of the store and the configuration, whole or as a delta."""

from typing import TYPE_CHECKING

from mutualgate.later import members

if TYPE_CHECKING:
    from mutualgate.snapshot.builder import build, delta, has_changed
    from mutualgate.snapshot.excerpt import build_for
    from mutualgate.snapshot.records import SiteRecord
    from mutualgate.snapshot.sites import site_records

__all__ = ["SiteRecord", "build", "build_for", "delta", "has_changed", "site_records"]

if not TYPE_CHECKING:
    __getattr__ = members(
        __name__,
        {
            "builder": (
                "build",
                "delta",
                "has_changed",
            ),
            "excerpt": ("build_for",),
            "records": ("SiteRecord",),
            "sites": ("site_records",),
        },
    )
