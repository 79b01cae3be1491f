"""HAProxy: master-worker mode, one worker with one thread."""

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

NAME = "haproxy"
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
NOTES = {"F10k-nohint": "no CA is hinted (no-ca-names)", "B0": "the body is held in memory (http-request return)"}

CONFIG = """
global
    nbthread {workers}
    maxconn {connections}
    ssl-default-bind-options ssl-min-ver TLSv1.2
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 3600s
    timeout http-keep-alive 3600s
    timeout http-request 60s
    http-reuse always

frontend gateway
    bind 127.0.0.1:{port} backlog 4096 ssl crt {pki}/server.both curves X25519 verify required ca-file {ca}{more}
    {action}

backend upstream
    server one 127.0.0.1:{upstream_port} pool-max-conn 64
"""


def version() -> str:
    said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True).stdout
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    more = "" if options.hints else " no-ca-names"
    if options.crl:
        more += f" crl-file {options.crl}"
    action = (
        f"http-request return status 200 content-type application/octet-stream file {options.files}/1k"
        if options.direct
        else "default_backend upstream"
    )
    config = folder / "haproxy.cfg"
    config.write_text(
        CONFIG.format(
            folder=folder,
            pki=pki,
            port=port,
            upstream_port=upstream_port,
            ca=options.ca,
            more=more,
            action=action,
            workers=options.workers,
            connections=options.connections,
        )
    )
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(["haproxy", "-W", "-db", "-f", str(config)], stdout=log, stderr=log)


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    process.send_signal(signal.SIGUSR2)
