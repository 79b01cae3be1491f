"""Hands the spans of traced requests to an OpenTelemetry collector.

Knows OTLP and how to wait for a collector. Does not know which requests are traced: the data plane says.
"""

from mutualgate.tracing.exporter import Exporter, Source, Tally

__all__ = ["Exporter", "Source", "Tally"]
