"""Runs the data plane. The only package that imports the compiled module."""

from mutualgate.gate.dataplane import DataPlane, Judge, Publication, Verdict, decide_batch, reasons
from mutualgate.gate.settings import GateSettings, Limits, RouteSettings, SiteSettings, Timeouts, UpstreamSettings

__all__ = [
    "DataPlane",
    "GateSettings",
    "Judge",
    "Limits",
    "Publication",
    "RouteSettings",
    "SiteSettings",
    "Timeouts",
    "UpstreamSettings",
    "Verdict",
    "decide_batch",
    "reasons",
]
