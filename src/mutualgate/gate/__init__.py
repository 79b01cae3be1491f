"""Runs the data plane. The only package that imports the compiled module."""

from mutualgate.gate.dataplane import DataPlane, Judge, Publication, Verdict, decide_batch, field_refused, reasons
from mutualgate.gate.settings import (
    Bounds,
    FieldRules,
    GateSettings,
    JwtSettings,
    Limits,
    Redirect,
    RouteSettings,
    ScopeLimits,
    ServerSettings,
    SiteSettings,
    Timeouts,
    TlsSettings,
    UpstreamSettings,
    Waits,
)

__all__ = [
    "Bounds",
    "DataPlane",
    "FieldRules",
    "GateSettings",
    "Judge",
    "JwtSettings",
    "Limits",
    "Publication",
    "Redirect",
    "RouteSettings",
    "ScopeLimits",
    "ServerSettings",
    "SiteSettings",
    "Timeouts",
    "TlsSettings",
    "UpstreamSettings",
    "Verdict",
    "Waits",
    "decide_batch",
    "field_refused",
    "reasons",
]
