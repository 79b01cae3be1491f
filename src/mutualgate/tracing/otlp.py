"""OTLP in its JSON encoding (OpenTelemetry protocol 1.x): ids in hex, enums as numbers, 64-bit integers as text.

Own code in place of a library: what we send is two kinds of spans, and the encoding is stable and specified; the
official exporter brings protobuf, requests and an SDK that wants to make the spans itself. Attributes follow the
semantic conventions for HTTP and TLS; ours begin with `mutualgate.`. Neither queries nor header fields nor certificates
are in a record, so they cannot get here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mutualgate import __version__

Record = Mapping[str, Any]
"""A traced request: `Record` in `rust/gate/src/trace`."""

_SERVER, _CLIENT = 2, 3
_ERROR = 2
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_OF_CLIENTS = ("body_too_large", "body_too_slow", "bad_body", "client_gone")
"""How a request to an upstream fails by its client's fault: no error of the server that the gate is."""
_KNOWN_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))


def encode(records: Sequence[Record], service: str, instance: str) -> bytes:
    """An ExportTraceServiceRequest. `instance` tells this process from others of the same `service`."""
    resource = {"service.name": service, "service.version": __version__, "service.instance.id": instance}
    scope = {"name": "mutualgate", "version": __version__}
    spans = [span for record in records for span in _spans(record)]
    return msgspec.json.encode(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(resource)},
                    "scopeSpans": [{"scope": scope, "spans": spans}],
                }
            ]
        }
    )


def count(records: Sequence[Record]) -> int:
    """How many spans they are."""
    return sum(2 if record["call"] else 1 for record in records)


def _spans(record: Record) -> Iterator[dict[str, Any]]:
    method, others = _method(record["method"])
    verb = "HTTP" if method == "_OTHER" else method
    status = record["status"]
    error = None if record["error"] in _OF_CLIENTS else record["error"]
    error = error or (record["reason"] or str(status) if status >= 500 else None)
    facts = {
        "http.request.method": method,
        **others,
        "http.route": record["route"],
        "http.response.status_code": status,
        "http.request.body.size": record["bytes_in"],
        "http.response.body.size": record["bytes_out"] if status else 0,
        "url.scheme": "https",
        "url.path": record["path"],
        "network.protocol.version": record["http"],
        "server.address": record["host"],
        "server.port": record["port"],
        "client.address": record["peer"],
        "tls.protocol.name": "tls" if record["tls"] else "",
        "tls.protocol.version": record["tls"].removeprefix("TLSv"),
        "tls.cipher": record["cipher"],
        "tls.resumed": record["resumed"],
        "mutualgate.handshake.duration": record["handshake"],
        "error.type": error,
        "mutualgate.site": record["site"],
        "mutualgate.client": record["client"],
        "mutualgate.verdict": record["verdict"],
        "mutualgate.reason": record["reason"],
        "mutualgate.refusal": record["refusal"],
        "mutualgate.request_id": record["request"],
    }
    parent = record["parent"]
    span = {
        **_base(record, record["span"], parent, remote=parent is not None),
        "name": f"{verb} {record['route']}".strip(),
        "kind": _SERVER,
        "startTimeUnixNano": str(record["began"]),
        "endTimeUnixNano": str(record["ended"]),
        "attributes": _attributes(facts),
        **_failed(error),
    }
    if record["link"]:
        trace, linked, flags = record["link"]
        span["links"] = [{"traceId": trace, "spanId": linked, "flags": flags | _HAS_IS_REMOTE | _IS_REMOTE}]
    yield span
    if record["call"]:
        yield _call(record, record["call"], {"http.request.method": method, **others}, verb)


def _call(record: Record, call: Mapping[str, Any], method: Mapping[str, Any], verb: str) -> dict[str, Any]:
    tries, status = call["tries"], call["status"]
    # To a client, 4xx is an error as well.
    error = call["error"] or (str(status) if status >= 400 else None)
    facts = {
        **method,
        "http.response.status_code": status,
        "http.request.resend_count": max(0, len(tries) - 1),
        **(_server(tries[-1]) if tries else {}),
        "error.type": error,
        "mutualgate.upstream": call["upstream"],
    }
    return {
        **_base(record, call["span"], record["span"], remote=False),
        "name": verb,
        "kind": _CLIENT,
        "startTimeUnixNano": str(call["began"]),
        "endTimeUnixNano": str(call["ended"]),
        "attributes": _attributes(facts),
        "events": [
            {
                "name": "mutualgate.attempt_failed",
                "timeUnixNano": str(one["at"]),
                "attributes": _attributes({**_server(one), "error.type": one["failure"]}),
            }
            for one in tries
            if one["failure"]
        ],
        **_failed(error),
    }


def _base(record: Record, span: str, parent: str | None, *, remote: bool) -> dict[str, Any]:
    base = {
        "traceId": record["trace"],
        "spanId": span,
        "flags": record["flags"] | _HAS_IS_REMOTE | (_IS_REMOTE if remote else 0),
    }
    if parent is not None:
        base["parentSpanId"] = parent
    if record["state"]:
        base["traceState"] = record["state"]
    return base


def _method(method: str) -> tuple[str, dict[str, str]]:
    """Methods are a stranger's choice: those that nobody knows are one, so that they do not multiply names."""
    return (method, {}) if method in _KNOWN_METHODS else ("_OTHER", {"http.request.method_original": method})


def _server(one: Mapping[str, Any]) -> dict[str, Any]:
    """Where an attempt went: the server as it is set, and the address where that is another."""
    server = one["server"]
    if server.startswith("unix:"):
        return {"server.address": server.removeprefix("unix:"), "network.transport": "unix"}
    parts = urlsplit(server)
    peer = one["address"].rpartition(":")[0].strip("[]")
    return {
        "url.scheme": parts.scheme,
        "server.address": parts.hostname,
        "server.port": parts.port,
        "network.peer.address": peer if peer != parts.hostname else None,
    }


def _failed(error: str | None) -> dict[str, Any]:
    return {} if error is None else {"status": {"code": _ERROR}}


def _attributes(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is not known (empty, 0, nothing) is left out."""
    return [{"key": key, "value": _value(value)} for key, value in facts.items() if value or value is False]


def _value(value: str | int | float | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
