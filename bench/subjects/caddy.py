"""Caddy from its PyPI wheel: one process, GOMAXPROCS=1.

It has no CRL, resumes no mutual handshake, and always hints every CA.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

NAME = "caddy"
CAPABILITIES = {"A", "B", "B0", "C", "D", "F1k", "F10k", "H", "A4", "2A", "2B", "Dmany"}
NOTES = {
    "A2": "sends no session ticket once client certificates are required",
    "H": "through the admin socket, forced although nothing changed",
}

CADDY = Path(__file__).parent.parent / "work/venv/bin/caddy"


def version() -> str:
    return subprocess.run([CADDY, "version"], capture_output=True, text=True).stdout.split()[0].lstrip("v")


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    config = folder / "caddy.json"
    config.write_text(json.dumps(_config(folder, pki, port, upstream_port, options)))
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            [CADDY, "run", "--config", str(config)],
            stdout=log,
            stderr=log,
            env=_environment(folder) | {"GOMAXPROCS": str(options.workers)},
        )


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    subprocess.run(
        [CADDY, "reload", "--force", "--config", f"{folder}/caddy.json", "--address", f"unix/{folder}/admin"],
        check=True,
        capture_output=True,
        env=_environment(folder),
    )


def _environment(folder: Path) -> dict[str, str]:
    """Caddy keeps its state below HOME and the XDG folders: here, not in the user's."""
    return os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def _config(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> dict[str, Any]:
    handler: dict[str, Any] = (
        {"handler": "file_server", "root": str(options.files)}
        if options.direct
        else {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"127.0.0.1:{upstream_port}"}],
            "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 64, "idle_timeout": "1h"}},
        }
    )
    policy = {
        "client_authentication": {
            "mode": "require_and_verify",
            "ca": {"provider": "file", "pem_files": [str(options.ca)]},
        },
        "protocol_min": "tls1.2",
        "protocol_max": "tls1.3",
        "curves": ["x25519"],
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "protocols": ["h1", "h2"],
        "idle_timeout": "1h",
        "automatic_https": {"disable": True},
        "tls_connection_policies": [policy],
        "routes": [{"handle": [handler]}],
    }
    files = [{"certificate": f"{pki}/server.pem", "key": f"{pki}/server.key"}]
    return {
        "admin": {"listen": f"unix/{folder}/admin", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": {"http": {"servers": {"gateway": server}}, "tls": {"certificates": {"load_files": files}}},
    }
