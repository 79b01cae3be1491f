"""Envoy from its PyPI wheel: one worker thread.

Trust comes from an SDS file, so that a reload swaps it without draining.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

NAME = "envoy"
CAPABILITIES = {
    "A",
    "A2",
    "B",
    "B0",
    "C",
    "D",
    "E100k",
    "E1M",
    "F1k",
    "F10k",
    "F10k-nohint",
    "H",
    "A4",
    "2A",
    "2B",
    "Dmany",
}
NOTES = {
    "F10k-nohint": "no CA is hinted (suppress_client_ca_list)",
    "B0": "the body is held in memory (direct_response)",
    "H": "swaps the trust secret (SDS file), not the listener",
}

TYPE = "type.googleapis.com/envoy."


def _binary() -> Path:
    return next((Path(__file__).parent.parent / "work/venv/lib").glob("python3*/site-packages/envoy/_bin/envoy"))


def version() -> str:
    said = subprocess.run([_binary(), "--version"], capture_output=True, text=True).stdout
    found = re.search(r"/(\d+\.\d+\.\d+)/", said)
    return found[1] if found else ""


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    _write_trust(folder, options)
    config = folder / "envoy.json"
    config.write_text(json.dumps(_bootstrap(folder, pki, port, upstream_port, options)))
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [
                _binary(),
                "-c",
                str(config),
                "--concurrency",
                str(options.workers),
                "--disable-hot-restart",
                "--log-level",
                "warn",
            ],
            stdout=log,
            stderr=log,
        )


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    """A changed secret (Envoy ignores an equal one) is moved over the old one."""
    _write_trust(folder, options)


def _write_trust(folder: Path, options: Any) -> None:
    """The client trust as one SDS secret; every call writes a different but equivalent one."""
    link = folder / f"ca-{os.urandom(4).hex()}.pem"
    link.symlink_to(options.ca)
    context: dict[str, Any] = {"trusted_ca": {"filename": str(link)}}
    if options.crl:
        context["crl"] = {"filename": str(options.crl)}
    if not options.hints:
        context["suppress_client_ca_list"] = True
    secret = {
        "@type": TYPE + "extensions.transport_sockets.tls.v3.Secret",
        "name": "trust",
        "validation_context": context,
    }
    new = folder / "trust.new"
    new.write_text(json.dumps({"resources": [secret]}))
    new.rename(folder / "trust.json")


def _bootstrap(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> dict[str, Any]:
    files = {"certificate_chain": {"filename": f"{pki}/server.pem"}, "private_key": {"filename": f"{pki}/server.key"}}
    tls = {
        "@type": TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [files],
            "validation_context_sds_secret_config": {
                "name": "trust",
                "sds_config": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": str(folder / "trust.json")},
                },
            },
        },
    }
    action: dict[str, Any] = (
        {"direct_response": {"status": 200, "body": {"filename": f"{options.files}/1k"}}}
        if options.direct
        else {"route": {"cluster": "upstream", "timeout": "3600s"}}
    )
    manager = {
        "@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}} | action]}]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "gateway",
        "address": _address(port),
        "tcp_backlog_size": 4096,
        "filter_chains": [
            {
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            }
        ],
    }
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream_port)}}]}],
        },
    }
    return {
        "node": {"id": "bench", "cluster": "bench"},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
