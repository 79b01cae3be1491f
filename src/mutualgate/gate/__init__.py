"""Runs the data plane. The only package that imports the compiled module."""

from mutualgate.gate.dataplane import DataPlane, Judge, Publication, Verdict, decide_batch, field_refused, reasons
from mutualgate.gate.settings import (
    Bounds,
    FieldRules,
    GateSettings,
    Limits,
    Redirect,
    RouteSettings,
    ScopeLimits,
    SiteSettings,
    Timeouts,
    UpstreamSettings,
)

__all__ = [
    "Bounds",
    "DataPlane",
    "FieldRules",
    "GateSettings",
    "Judge",
    "Limits",
    "Publication",
    "Redirect",
    "RouteSettings",
    "ScopeLimits",
    "SiteSettings",
    "Timeouts",
    "UpstreamSettings",
    "Verdict",
    "decide_batch",
    "field_refused",
    "reasons",
]
