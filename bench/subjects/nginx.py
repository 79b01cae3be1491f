"""nginx: one master, one worker. Also the upstream of every subject (plain HTTP)."""

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

NAME = "nginx"
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
    "F10k-nohint": "nginx 1.22 needs one hinted CA: only the root is hinted, the bundle is ssl_trusted_certificate"
}

COMMON = """
user root;
worker_processes {workers};
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 3600s;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""

GATEWAY = """
    upstream backend {{
        server 127.0.0.1:{upstream_port};
        keepalive 64;
        keepalive_requests 100000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        server_name localhost;
        ssl_certificate {pki}/server.pem;
        ssl_certificate_key {pki}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ecdh_curve X25519;
        ssl_session_tickets on;
        ssl_verify_client on;
        {trust}
        location / {{ {location} }}
    }}
}}
"""

PROXY = 'proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;'

UPSTREAM = """
    open_file_cache max=16 inactive=1h;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {files};
    }}
}}
"""


def version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else ""


def start(folder: Path, pki: Path, port: int, upstream_port: int, options: Any) -> subprocess.Popen[bytes]:
    trust = (
        f"ssl_client_certificate {options.ca};"
        if options.hints
        else f"ssl_client_certificate {pki}/root.pem; ssl_trusted_certificate {options.ca};"
    )
    if options.crl:
        trust += f" ssl_crl {options.crl};"
    location = f"root {options.files}; open_file_cache max=16 inactive=1h;" if options.direct else PROXY
    return _run(
        folder,
        (COMMON + GATEWAY).format(
            folder=folder,
            pki=pki,
            port=port,
            upstream_port=upstream_port,
            trust=trust,
            location=location,
            workers=options.workers,
            connections=options.connections,
        ),
    )


def start_upstream(folder: Path, port: int, files: Path) -> subprocess.Popen[bytes]:
    """The static server behind every subject."""
    return _run(
        folder, (COMMON + UPSTREAM).format(folder=folder, port=port, files=files, workers=1, connections=15_000)
    )


def reload(process: subprocess.Popen[bytes], folder: Path, pki: Path, options: Any) -> None:
    process.send_signal(signal.SIGHUP)


def _run(folder: Path, text: str) -> subprocess.Popen[bytes]:
    config = folder / "nginx.conf"
    config.write_text(text)
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)], stdout=log, stderr=log)
