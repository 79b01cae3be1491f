"""What an OpenTelemetry collector makes of what it is sent, by the schema of the protocol: no field is unknown."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass(frozen=True)
class Received:
    """A span with what surrounds it."""

    span: Span
    resource: dict[str, Any]

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def facts(self) -> dict[str, Any]:
        return facts(self.span.attributes)


def facts(attributes: Any) -> dict[str, Any]:
    """Attributes by their keys, each there once."""
    found = {}
    for one in attributes:
        assert one.key not in found
        found[one.key] = getattr(one.value, one.value.WhichOneof("value"))
    return found


def read(body: bytes) -> list[Received]:
    """The spans of an ExportTraceServiceRequest in JSON."""
    raw = json.loads(body)
    _hex_to_base64(raw)
    request = json_format.ParseDict(raw, ExportTraceServiceRequest(), ignore_unknown_fields=False)
    return [
        Received(span, facts(of.resource.attributes))
        for of in request.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _hex_to_base64(value: Any) -> None:
    """OTLP writes ids in hex, where JSON of protobuf has base64."""
    if isinstance(value, list):
        for item in value:
            _hex_to_base64(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("traceId", "spanId", "parentSpanId"):
                assert inner == inner.lower()
                assert len(inner) == (32 if key == "traceId" else 16)
                value[key] = base64.b64encode(bytes.fromhex(inner)).decode()
            else:
                _hex_to_base64(inner)
